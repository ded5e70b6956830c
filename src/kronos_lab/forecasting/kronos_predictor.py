"""The API of the original Kronos code that people's scripts call: data frames in, data frames out.

Shapes: B series, P paths, C context bars, H horizon bars.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from kronos_lab.data.bars import FIELDS
from kronos_lab.data.normaliser import CLIP
from kronos_lab.data.settings import whole_number
from kronos_lab.data.time_features import time_features
from kronos_lab.forecasting.devices import resolve_device
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.progress import SeriesProgress
from kronos_lab.forecasting.series_batches import ROWS_AT_ONCE, Series, forecast_series
from kronos_lab.forecasting.series_input import SeriesInput, StampsLike, read_series
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer


class KronosPredictor:
    """The original's API: data frames of past bars in, data frames of forecasts out.

    Args:
        model: the predictor.
        tokenizer: the tokenizer it was trained with.
        device: "cpu", "cuda", "cuda:1", "mps"; None takes the fastest there is.
        max_context: bars seen at the most: 512 for small and base, 2048 for mini.
        clip: bound of normalised values.
        batch_size: upper bound on series × paths forecast at once; halved when memory runs out.
    """

    def __init__(
        self,
        model: Kronos,
        tokenizer: KronosTokenizer,
        device: str | torch.device | None = None,
        max_context: int = 512,
        clip: float = CLIP,
        batch_size: int = ROWS_AT_ONCE,
    ) -> None:
        self.device = resolve_device(device)
        self.forecaster = Forecaster(tokenizer, model, max_context, clip).to(self.device)
        self.batch_size = whole_number("batch_size", batch_size, 1)

    def predict(
        self,
        df: pd.DataFrame,
        x_timestamp: StampsLike,
        y_timestamp: StampsLike,
        pred_len: int,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
    ) -> pd.DataFrame:
        """Forecast one series: mean over `sample_count` paths, indexed by `y_timestamp`.

        Args:
            df: past bars; columns open, high, low, close, and where known volume and amount.
            x_timestamp: stamps of the rows of `df`.
            y_timestamp: stamps of the bars to forecast.
            pred_len: their number.
            T: temperature.
            top_k: above 0, keep the best `top_k` tokens and ignore `top_p`.
            top_p: nucleus of the distribution that is drawn from.
            sample_count: paths that are averaged.
            verbose: show progress.

        Raises:
            ValueError: naming the series and column that cannot be used.
        """
        return self.predict_batch([df], [x_timestamp], [y_timestamp], pred_len, T, top_k, top_p, sample_count, verbose)[
            0
        ]

    def predict_batch(
        self,
        df_list: Sequence[pd.DataFrame],
        x_timestamp_list: Sequence[StampsLike],
        y_timestamp_list: Sequence[StampsLike],
        pred_len: int,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
    ) -> list[pd.DataFrame]:
        """Forecast many series, of any mix of lengths, in one call; arguments as those of `predict`."""
        series = read_series(df_list, x_timestamp_list, y_timestamp_list, pred_len)
        paths_BPHF = self._paths(series, Sampling(T, top_p, top_k), sample_count, verbose)
        means_BHF = paths_BPHF.mean(axis=1, dtype=np.float64)
        return [
            pd.DataFrame(mean_HF, columns=list(FIELDS), index=one.future_stamps)
            for one, mean_HF in zip(series, means_BHF, strict=True)
        ]

    def predict_paths(
        self,
        df_list: Sequence[pd.DataFrame],
        x_timestamp_list: Sequence[StampsLike],
        y_timestamp_list: Sequence[StampsLike],
        pred_len: int,
        T: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.9,
        sample_count: int = 1,
        verbose: bool = True,
    ) -> np.ndarray:
        """The sample paths themselves, float32 [B, P, H, 6], fields in the order of `FIELDS`."""
        series = read_series(df_list, x_timestamp_list, y_timestamp_list, pred_len)
        return self._paths(series, Sampling(T, top_p, top_k), sample_count, verbose)

    def _paths(self, series: list[SeriesInput], sampling: Sampling, paths: int, verbose: bool) -> np.ndarray:
        whole_number("sample_count", paths, 1)
        prompts = [
            Series(
                one.values_CF,
                time_features(one.stamps),
                time_features(one.future_stamps),
                torch.rand(paths, len(one.future_stamps), 2).numpy(),
            )
            for one in series
        ]
        with SeriesProgress(len(series), shown=verbose) as progress:
            forecasts = forecast_series(self.forecaster, prompts, sampling, self.batch_size, progress.update)
        return np.stack(forecasts)
