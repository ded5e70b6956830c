"""The forecaster as Lightning runs it over a universe, and how far it is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from kronos_lab.backtesting.forecasts.forecast_batches import NOTHING, BatchPlan, Forecast, ForecastBatch
from kronos_lab.backtesting.scores.signals import CloseScale
from kronos_lab.data.bars import FIELDS
from kronos_lab.data.normaliser import fit_scale
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.progress import SeriesProgress
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.forecasting.window_series import forecast_batch
from kronos_lab.forecasting.within_memory import WithinMemory

CLOSE = FIELDS.index("close")


class ForecastModule(LightningModule):
    """Samples futures of one batch per predict step; halves what it takes at once when memory runs out.

    Args:
        forecaster: tokenizer and predictor.
        sampling: how tokens are drawn.
        rows_at_once: upper bound on series × paths.
    """

    def __init__(self, forecaster: Forecaster, sampling: Sampling, rows_at_once: int) -> None:
        super().__init__()
        self.forecaster = forecaster
        self.tokenizer = forecaster.tokenizer  # as submodules: Lightning moves them to the device
        self.predictor = forecaster.predictor
        self.sampling = sampling
        self.on_progress: Callable[[float], None] = lambda series: None  # series of the batch at work, as they are done
        self._memory = WithinMemory(rows_at_once)

    def predict_step(self, batch: ForecastBatch | None, batch_idx: int) -> Forecast | int:
        """Forecast one batch; `NOTHING` where there is none left for this rank.

        Raises:
            InputError: not even one path of a series fits into memory, or a forecast is not finite.
        """
        if batch is None:
            return NOTHING  # of None Lightning would ask whether it is meant
        series = batch.series
        paths_BPHF, parts = forecast_batch(self.forecaster, series, self.sampling, self._memory, self.on_progress)
        return Forecast(
            batch=batch.batch,
            parts=parts,
            symbol_B=series.symbol_B,
            date_B=series.date_B,
            last_close_B=series.context_BCF[:, -1, CLOSE],
            close_scale=_close_scale(series.context_BCF, self.forecaster.rescale),
            paths_BPHF=paths_BPHF,
        )


def _close_scale(context_BCF: np.ndarray, rescale: bool) -> CloseScale:
    """What the forecaster normalises closes by: of the same bars, by the same function."""
    scale = fit_scale(torch.from_numpy(context_BCF[..., CLOSE, None]).double(), rescale)
    return CloseScale(*(statistic.flatten().numpy().astype(np.float32) for statistic in scale))


class ForecastProgress(Callback):
    """A bar on rank 0: series done, series per second over all ranks, time left.

    Args:
        plan: the batches of all ranks; every rank is taken to be as fast as this one.
    """

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        assert isinstance(pl_module, ForecastModule)
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by `predict`
        rows = [self.plan.rows(batch) for batch in data.missing]
        self._done_after_batch = np.cumsum([part.stop - part.start for part in rows])
        self._total = int(self._done_after_batch[-1]) if rows else 0
        self._progress = SeriesProgress(self._total, shown=trainer.is_global_zero and self._total > 0, transient=False)
        self._progress.start()
        self._done = 0
        # The other ranks are taken to be as far with their batches as this one.
        pl_module.on_progress = lambda series: self._show(self._done + series * trainer.world_size)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """One batch further, on every rank."""
        batches = (batch_idx + 1) * trainer.world_size
        self._done = int(self._done_after_batch[batches - 1]) if batches <= len(self._done_after_batch) else self._total
        self._show(self._done)

    def _show(self, series: float) -> None:
        self._progress.update(min(series, self._total))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the finished bar on the screen."""
        self._progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        if hasattr(self, "_progress"):
            self._progress.stop()
