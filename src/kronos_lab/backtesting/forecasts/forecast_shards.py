"""Forecasts on disk: Parquet shards, each complete or absent, and a manifest beside them.

Layout of a shard: one row per series (a symbol on a signal day) with

- `symbol`, `date` (stamp of the last bar the forecaster saw), `last_close` (float32, adjusted, of that bar);
- `close_mean`, `close_deviation` (float32): what closes were normalised by; shards written earlier lack them;
- one column per field of a bar, a list of P · H float32: all H steps of path 0, then of path 1, and so on. Of
  closes alone (`Store` "closes") there is one column, `close`; in half the room ("closes_float16") it is
  `close_return`, the return since `last_close` as float16: off by at most 0.05 % of itself, or 3e-8.

The Parquet metadata of a shard says which batches are in it; `manifest.json` has the settings, the batch plan and,
once every rank has finished, all shards. Shards that an interrupted run leaves behind are whole.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kronos_lab.backtesting.forecasts.forecast_batches import BatchPlan, Forecast
from kronos_lab.backtesting.scores.signals import CloseScale, Signal, score_frame
from kronos_lab.data.bars import FIELDS
from kronos_lab.errors import InputError
from kronos_lab.runs.summary import write_json

MANIFEST_FILE = "manifest.json"
SCALE = ("close_mean", "close_deviation")  # columns of a `CloseScale`
CLOSE, CLOSE_RETURN = FIELDS.index("close"), "close_return"
LARGEST_FLOAT16 = float(np.finfo(np.float16).max)
BATCHES_KEY = b"kronos_lab.batches"

Store = Literal["bars", "closes", "closes_float16"]


class StoredForecasts(NamedTuple):
    """One shard as arrays.

    Attributes:
        symbol_B: strings.
        date_B: datetime64[ns].
        last_close_B: float32, adjusted.
        close_scale: what closes were normalised by; None in shards written before it was kept.
        paths: per field that was asked for, float32 [B, P, H].
    """

    symbol_B: np.ndarray
    date_B: np.ndarray
    last_close_B: np.ndarray
    close_scale: CloseScale | None
    paths: dict[str, np.ndarray]


def check_store(store: str) -> Store:
    """What of the forecasts is kept, as `backtest.store` names it."""
    for known in get_args(Store):
        if store == known:
            return known
    raise InputError(f"backtest.store={store}: choose one of {', '.join(get_args(Store))}")


def write_shard(path: Path, forecasts: Sequence[Forecast], store: Store) -> None:
    """Write batches to one shard, under a temporary name first: a shard is never half a file."""
    batches = [{"batch": forecast.batch, "parts": forecast.parts} for forecast in forecasts]
    table = pa.concat_tables(_table(forecast, store) for forecast in forecasts)
    partial = path.with_name(f"{path.name}.partial")
    pq.write_table(table.replace_schema_metadata({BATCHES_KEY: json.dumps(batches)}), partial, compression="zstd")
    partial.replace(path)


def write_manifest(folder: Path, settings: Mapping[str, Any], plan: BatchPlan, finished: bool) -> None:
    """Write `manifest.json`; a finished one lists the shards, and every batch of the plan is in exactly one of them.

    Args:
        folder: the folder of the shards.
        settings: what made the forecasts besides the plan: weights, data, sampling, seed.
        plan: the batches of all ranks.
        finished: whether all ranks have written all their shards.
    """
    shards = _shards(folder, plan) if finished else []
    content = {"finished": finished, **settings, "batch_plan": plan.describe(), "shards": shards}
    write_json(folder / MANIFEST_FILE, content)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Manifest of a finished forecast; InputError where there is none or the forecast was interrupted."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise InputError(f"{folder} holds no forecasts: it has no {MANIFEST_FILE}")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if not manifest["finished"]:
        raise InputError(f"the forecasts in {folder} were interrupted before the end: run the backtest again")
    return manifest


def read_forecasts(
    folder: Path, fields: Sequence[str] = FIELDS, only: list[tuple[str, str, Any]] | None = None
) -> Iterator[StoredForecasts]:
    """The shards of a finished forecast, one at a time.

    Args:
        folder: of the shards.
        fields: of the bars to read.
        only: conditions on `symbol` and `date` that the series meet, as pyarrow's filters; None: all series.

    Raises:
        InputError: there are none, see `read_manifest`, or not all of the fields were kept.
    """
    manifest = read_manifest(folder)
    shape = (-1, manifest["batch_plan"]["paths"], manifest["batch_plan"]["horizon"])
    for shard in manifest["shards"]:
        file = folder / shard["file"]
        known = pq.read_schema(file).names
        scale = [name for name in SCALE if name in known]
        of_paths = [CLOSE_RETURN if name == "close" and CLOSE_RETURN in known else name for name in fields]
        if missing := [name for name in of_paths if name not in known]:
            raise InputError(f"{folder} holds closes only, no {', '.join(missing)}: backtest.store=bars keeps them")
        table = pq.read_table(file, columns=["symbol", "date", "last_close", *scale, *of_paths], filters=only)
        stored = [table[name].combine_chunks().flatten().to_numpy().reshape(shape) for name in of_paths]
        last_close_B = table["last_close"].to_numpy()
        yield StoredForecasts(
            symbol_B=np.asarray(table["symbol"].to_pylist(), dtype=object),
            date_B=table["date"].to_numpy(),
            last_close_B=last_close_B,
            close_scale=CloseScale(*(table[name].to_numpy() for name in scale)) if scale else None,
            paths={
                field: (1 + values.astype(np.float32)) * last_close_B[:, None, None] if name == CLOSE_RETURN else values
                for field, name, values in zip(fields, of_paths, stored, strict=True)
            },
        )


def scores_in_turn(turns: Sequence[Sequence[Path]], signal: Signal) -> pd.DataFrame:
    """Scores of forecasts of different days as one frame [L, N], see `score_forecasts`."""
    return pd.concat([score_forecasts(folders, signal) for folders in turns]).sort_index().sort_index(axis=1)


def score_forecasts(folders: Sequence[Path], signal: Signal) -> pd.DataFrame:
    """Scores of a finished forecast as a frame [L, N], see `signals`; of several forecasts the paths are pooled."""
    dates, symbols, scores = [], [], []
    shards = read_forecasts(folders[0], ("close",)) if len(folders) == 1 else [_pooled(folders)]
    for shard in shards:
        dates.append(shard.date_B)
        symbols.append(shard.symbol_B)
        scores.append(signal(shard.paths["close"], shard.last_close_B, shard.close_scale))
    return score_frame(np.concatenate(dates), np.concatenate(symbols), np.concatenate(scores))


def _pooled(folders: Sequence[Path]) -> StoredForecasts:
    """Close paths of the same series by several forecasters, behind one another."""
    forecasts = [_in_order(folder) for folder in folders]
    first = forecasts[0]
    for folder, other in zip(folders[1:], forecasts[1:], strict=True):
        if not np.array_equal(other.symbol_B, first.symbol_B) or not np.array_equal(other.date_B, first.date_B):
            raise InputError(f"{folder} holds forecasts of other series than {folders[0]}: they cannot be pooled")
    return first._replace(paths={"close": np.concatenate([one.paths["close"] for one in forecasts], axis=1)})


def _in_order(folder: Path) -> StoredForecasts:
    """All close paths of one forecast, by date, then symbol."""
    shards = list(read_forecasts(folder, ("close",)))
    symbol_B, date_B, last_close_B = (
        np.concatenate([getattr(shard, name) for shard in shards]) for name in ("symbol_B", "date_B", "last_close_B")
    )
    order = np.lexsort((symbol_B.astype(str), date_B))
    scales = [shard.close_scale for shard in shards]
    scale = CloseScale(*(np.concatenate(part)[order] for part in zip(*scales, strict=True))) if all(scales) else None
    close_BPH = np.concatenate([shard.paths["close"] for shard in shards])[order]
    return StoredForecasts(symbol_B[order], date_B[order], last_close_B[order], scale, {"close": close_BPH})


def _table(forecast: Forecast, store: Store) -> pa.Table:
    paths, horizon = forecast.paths_BPHF.shape[1:3]
    columns = {
        "symbol": pa.array(forecast.symbol_B, pa.string()),
        "date": pa.array(forecast.date_B, pa.timestamp("ns")),
        "last_close": pa.array(forecast.last_close_B, pa.float32()),
        **{name: pa.array(values_B, pa.float32()) for name, values_B in zip(SCALE, forecast.close_scale, strict=True)},
    }
    paths_FBPH = np.moveaxis(forecast.paths_BPHF, -1, 0)
    kept = dict(zip(FIELDS, paths_FBPH, strict=True)) if store == "bars" else {"close": paths_FBPH[CLOSE]}
    if store == "closes_float16":
        return_BPH = kept.pop("close") / forecast.last_close_B[:, None, None] - 1
        kept[CLOSE_RETURN] = return_BPH.clip(-LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16)
    for name, values_BPH in kept.items():
        values = pa.array(np.ascontiguousarray(values_BPH).reshape(-1))
        columns[name] = pa.FixedSizeListArray.from_arrays(values, paths * horizon)
    return pa.table(columns)


def batches_of(shard: Path) -> list[int]:
    """Numbers of the batches in a shard."""
    return [batch["batch"] for batch in _batches(pq.read_metadata(shard))]


def _batches(metadata: pq.FileMetaData) -> list[dict[str, Any]]:
    return json.loads((metadata.metadata or {}).get(BATCHES_KEY, b"[]"))


def _shards(folder: Path, plan: BatchPlan) -> list[dict[str, Any]]:
    shards: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.parquet")):
        metadata = pq.read_metadata(path)
        shards.append({"file": path.name, "series": metadata.num_rows, "batches": _batches(metadata)})
    found = sorted(batch["batch"] for shard in shards for batch in shard["batches"])
    if found != list(range(plan.batches)):
        raise RuntimeError(f"{folder} holds batches {found}, where the plan has 0 to {plan.batches - 1} once each")
    return shards
