"""Forecasts of many series of any mix of lookbacks and horizons, in batches that fit.

Shapes: B series, P paths, C context bars, H horizon bars; C and H differ between series.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kronos_lab.errors import InputError
from kronos_lab.forecasting.decoding import Window
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.progress import BarsDone
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.forecasting.within_memory import WithinMemory

ROWS_AT_ONCE = 1000  # series × paths, where nothing else is asked for
MOST_PADDING = 0.25  # of the bars of a batch


class Series(NamedTuple):
    """What a forecast of one series starts from, numpy.

    Attributes:
        context_CF: past bars in the order of `FIELDS`.
        stamp_C5: their calendar features.
        future_stamp_H5: those of the bars to forecast.
        uniforms_PH2: random numbers of the draws; P is the same for all series.
    """

    context_CF: np.ndarray
    stamp_C5: np.ndarray
    future_stamp_H5: np.ndarray
    uniforms_PH2: np.ndarray


def forecast_series(
    forecaster: Forecaster,
    series: Sequence[Series],
    sampling: Sampling,
    rows_at_once: int = ROWS_AT_ONCE,
    on_progress: Callable[[float], None] = lambda series: None,
) -> list[np.ndarray]:
    """Sample futures of many series.

    Args:
        forecaster: tokenizer and predictor.
        series: in any order; lookbacks and horizons may differ.
        sampling: how tokens are drawn.
        rows_at_once: upper bound on series × paths in memory; halved when memory runs out.
        on_progress: called with the number of series done, those at work counted by their bars.

    Returns:
        float32 [P, H, F] of each series, in the order given.
    """
    forecasts: list[np.ndarray] = [np.empty(0)] * len(series)
    memory = WithinMemory(rows_at_once)
    paths = max((len(one.uniforms_PH2) for one in series), default=1)
    for i, one in enumerate(series):
        if len(one.uniforms_PH2) != paths:
            raise InputError(f"series {i} has {len(one.uniforms_PH2)} paths where another has {paths}")
    done = 0
    for batch in plan_batches(series, forecaster.window, max(1, rows_at_once // paths)):
        members = [series[i] for i in batch]
        bars = BarsDone(done, paths * max(len(one.future_stamp_H5) for one in members), on_progress)

        def forecast(part: slice, rows: int, members: list[Series] = members, bars: BarsDone = bars) -> Tensor:
            bars.begin(part.start)
            return _forecast_batch(forecaster, members[part], sampling, rows, bars.add)

        paths_BPHF, _ = memory.run(forecast, len(members), paths)
        for i, paths_PHF in zip(batch, paths_BPHF.numpy(), strict=True):
            forecasts[i] = paths_PHF[:, : len(series[i].future_stamp_H5)]
        done += len(batch)
    return forecasts


def plan_batches(series: Sequence[Series], window: Window, most: int) -> list[list[int]]:
    """Indices of the series forecast together.

    Neighbours in length share a batch of up to `most`, the shorter ones padded. Where the window overflows the order
    of steps depends on the length: there a batch holds one lookback, as far as it is seen, and one horizon.
    """
    shapes = [(len(one.context_CF), len(one.future_stamp_H5)) for one in series]

    def seen(i: int) -> tuple[int, int]:
        return min(shapes[i][0], window.max_context), shapes[i][1]

    batches: list[list[int]] = []
    bars = horizon = 0  # of the newest batch: bars without padding, longest horizon
    for i in sorted(range(len(series)), key=shapes.__getitem__):
        context, own_horizon = shapes[i]
        bars, horizon = bars + sum(shapes[i]), max(horizon, own_horizon)
        if batches and len(batches[-1]) < most:
            of_a_kind = seen(batches[-1][0]) == seen(i)
            padded = (len(batches[-1]) + 1) * (context + horizon)
            if (of_a_kind or window.holds(context, horizon)) and bars >= padded * (1 - MOST_PADDING):
                batches[-1].append(i)
                continue
        batches.append([i])
        bars, horizon = sum(shapes[i]), own_horizon
    return batches


def _forecast_batch(
    forecaster: Forecaster,
    members: Sequence[Series],
    sampling: Sampling,
    rows_at_once: int,
    on_bars: Callable[[int], None],
) -> Tensor:
    context, stamp, future_stamp, uniforms = zip(*members, strict=True)
    return forecaster.paths(
        _padded(context),
        _padded(stamp),
        _padded(future_stamp),
        _padded(uniforms, axis=1),
        sampling,
        torch.tensor([len(bars_CF) for bars_CF in context]),
        rows_at_once,
        on_bars,
    )


def _padded(arrays: Sequence[np.ndarray], axis: int = 0) -> Tensor:
    """Arrays joined along a new first axis, zeros behind those that are shorter along `axis`."""
    longest = max(array.shape[axis] for array in arrays)
    shape = list(arrays[0].shape)
    shape[axis] = longest
    joined = np.zeros((len(arrays), *shape), dtype=np.result_type(*arrays))
    for row, array in zip(joined, arrays, strict=True):
        row[tuple(slice(size) for size in array.shape)] = array
    return torch.from_numpy(joined)
