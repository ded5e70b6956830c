"""Checks and completes what a caller of the data-frame API hands over: bars of one series and their stamps."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos_lab.data.bars import FIELDS, PRICES, amount_from_volume
from kronos_lab.data.settings import whole_number
from kronos_lab.errors import InputError

StampsLike = pd.Series | pd.DatetimeIndex | Sequence


@dataclass(frozen=True)
class SeriesInput:
    """One series ready to be forecast: float64 bars [C, 6], their stamps, and the stamps to forecast."""

    values_CF: np.ndarray
    stamps: pd.DatetimeIndex
    future_stamps: pd.DatetimeIndex


def read_series(
    frames: Sequence[pd.DataFrame],
    stamps: Sequence[StampsLike],
    future_stamps: Sequence[StampsLike],
    pred_len: int,
) -> list[SeriesInput]:
    """Validate the parallel lists of the batch API.

    Raises:
        InputError: naming the series (by its place in the list, from 0) and the column or stamps at fault.
    """
    if not len(frames) == len(stamps) == len(future_stamps):
        raise InputError(
            f"df_list, x_timestamp_list and y_timestamp_list have {len(frames)}, {len(stamps)} and "
            f"{len(future_stamps)} entries: give one of each per series"
        )
    if not len(frames):
        raise InputError("df_list is empty: give at least one series")
    whole_number("pred_len", pred_len, 1)
    return [
        _read_one(f"series {i}", frame, x, y, pred_len)
        for i, (frame, x, y) in enumerate(zip(frames, stamps, future_stamps, strict=True))
    ]


def complete_bars(name: str, frame: pd.DataFrame) -> np.ndarray:
    """Bars [C, 6] of a frame, volume and amount filled as the original does where they are missing.

    Without volume, volume and amount are 0 (an amount alone is not used, with a warning); without amount, it is
    volume · mean(open, high, low, close).
    """
    missing = [column for column in PRICES if column not in frame]
    if missing:
        raise InputError(f"{name}: no column {', '.join(missing)} (there are: {', '.join(map(str, frame.columns))})")
    columns = {column: _numbers(name, frame, column) for column in FIELDS if column in frame}
    if "volume" not in columns:
        if "amount" in columns:
            warnings.warn(f"{name}: amount is set to 0 because there is no column volume", stacklevel=3)
        columns["volume"] = columns["amount"] = np.zeros(len(frame))
    if "amount" not in columns:
        columns["amount"] = amount_from_volume(*(columns[column] for column in (*PRICES, "volume")))
    return np.stack([columns[column] for column in FIELDS], axis=-1)


def _read_one(
    name: str, frame: pd.DataFrame, stamps: StampsLike, future_stamps: StampsLike, pred_len: int
) -> SeriesInput:
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"{name}: expected a pandas DataFrame, not {type(frame).__name__}")
    past = _stamps(f"{name}: x_timestamp", stamps, len(frame), "rows of the data frame")
    future = _stamps(f"{name}: y_timestamp", future_stamps, pred_len, "pred_len")
    if not len(past):
        raise InputError(f"{name}: no bars to forecast from")
    if (future.tz is None) != (past.tz is None):
        raise InputError(f"{name}: x_timestamp and y_timestamp must both have a time zone, or neither")
    if future[0] <= past[-1]:
        raise InputError(f"{name}: y_timestamp starts at {future[0]}, not after the last bar at {past[-1]}")
    return SeriesInput(complete_bars(name, frame), past, future)


def _stamps(what: str, stamps: StampsLike, count: int, counted: str) -> pd.DatetimeIndex:
    try:
        index = pd.DatetimeIndex(pd.Index(stamps))
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be read as stamps: {error}") from error
    if len(index) != count:
        raise InputError(f"{what} has {len(index)} stamps for {count} {counted}")
    if index.hasnans:
        raise InputError(f"{what} has an empty stamp at position {int(np.argmax(index.isna()))}")
    if not index.is_unique:
        raise InputError(f"{what} has {index[index.duplicated()][0]} twice")
    if not index.is_monotonic_increasing:
        raise InputError(f"{what} is not in time order (first at {index[1:][index[1:] < index[:-1]][0]})")
    return index


def _numbers(name: str, frame: pd.DataFrame, column: str) -> np.ndarray:
    try:
        values = frame[column].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: column {column} does not hold numbers: {error}") from error
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise InputError(f"{name}: column {column} has {values[row]} in row {row}: fill or drop such bars")
    return values
