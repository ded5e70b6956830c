"""Series and models to measure on: real bars of a file and a checkpoint, or random ones."""

from pathlib import Path

import numpy as np
import pandas as pd
from synthetic import load_random_models, random_series

from kronos_lab.data.readers import read_bars, source_files
from kronos_lab.data.time_features import time_features
from kronos_lab.forecasting.series_batches import Series
from kronos_lab.forecasting.series_input import complete_bars
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.checkpoint import find_checkpoint


def load_models(checkpoint: str | None, model: str) -> tuple[KronosTokenizer, Kronos]:
    """Those of a run folder, model folder or Hub id, or of a size with random weights."""
    if checkpoint is None:
        return load_random_models(model)
    return find_checkpoint(checkpoint, None, Path("outputs"), market=None).load()


def read_series(file: Path | None, count: int, context: int, horizon: int, paths: int) -> list[Series]:
    """Series from a Parquet or CSV file of bars, each ending on a day of its own; without a file random walks."""
    walks = [random_series(n, context, horizon, paths) for n in range(count)]
    if file is None:
        return walks
    rng = np.random.default_rng(0)
    length = context + horizon
    chosen: list[Series] = []
    for symbol, rows in read_bars(source_files(file), {}, {}).groupby("symbol", observed=True):
        traded = rows[(rows["volume"] > 0) & rows["close"].notna()].sort_values("stamp")
        if len(traded) < length or len(chosen) == count:
            continue
        begin = int(rng.integers(len(traded) - length + 1))
        past = traded.iloc[begin : begin + length]
        stamps = time_features(pd.DatetimeIndex(past["stamp"]))
        values = complete_bars(str(symbol), past)
        chosen.append(
            walks[len(chosen)]._replace(
                context_CF=values[:context], stamp_C5=stamps[:context], future_stamp_H5=stamps[context:]
            )
        )
    return chosen
