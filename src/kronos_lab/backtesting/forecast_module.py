"""The forecaster as Lightning runs it over a universe, and how far it is."""

import logging
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from kronos_lab.backtesting.forecast_batches import BatchPlan, Forecast, ForecastBatch
from kronos_lab.data.bars import FIELDS
from kronos_lab.errors import InputError
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.token_sampling import Sampling

CLOSE = FIELDS.index("close")

log = logging.getLogger(__name__)


class ForecastModule(LightningModule):
    """Samples futures of one batch per predict step; halves what it takes at once when memory runs out.

    Args:
        forecaster: tokenizer and predictor.
        sampling: how tokens are drawn.
    """

    def __init__(self, forecaster: Forecaster, sampling: Sampling) -> None:
        super().__init__()
        self.forecaster = forecaster
        self.tokenizer = forecaster.tokenizer  # as submodules: Lightning moves them to the device
        self.predictor = forecaster.predictor
        self.sampling = sampling
        self._most_at_once: int | None = None

    def predict_step(self, batch: ForecastBatch, batch_idx: int) -> Forecast:
        """Forecast one batch.

        Raises:
            InputError: not even one series fits into memory, or a forecast is not finite.
        """
        parts: list[int] = []
        done: list[torch.Tensor] = []
        series, begin = len(batch.symbol_B), 0
        while begin < series:
            size = min(self._most_at_once or series, series - begin)
            paths = self._paths(batch, slice(begin, begin + size))
            if paths is None:
                self._most_at_once = _half(size)
                continue
            done.append(paths)
            parts.append(size)
            begin += size
        paths_BPHF = torch.cat(done)
        finite_B = paths_BPHF.isfinite().flatten(1).all(dim=1)
        if not finite_B.all():
            first = int((~finite_B).nonzero()[0])
            raise InputError(f"the forecast of {batch.symbol_B[first]} is not finite: the checkpoint is broken")
        return Forecast(
            batch=batch.batch,
            parts=parts,
            symbol_B=batch.symbol_B,
            date_B=batch.date_B,
            last_close_B=batch.context_BCF[:, -1, CLOSE],
            paths_BPHF=paths_BPHF.numpy(),
        )

    def _paths(self, batch: ForecastBatch, part: slice) -> torch.Tensor | None:
        """Paths of a part of the batch on the CPU, or None where memory ran out."""
        inputs = (batch.context_BCF, batch.stamp_BC5, batch.future_stamp_BH5, batch.uniforms_BPH2)
        context, stamp, future_stamp, uniforms = (torch.from_numpy(x[part]).to(self.device) for x in inputs)
        try:
            return self.forecaster.paths(context, stamp.long(), future_stamp.long(), uniforms, self.sampling).cpu()
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            return None


def _half(size: int) -> int:
    """Half of what did not fit, with the memory of the attempt given back."""
    if size == 1:
        raise InputError("one series does not fit into memory: lower forecast.paths or data.lookback")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    log.warning("out of memory with %d series at once: going on with %d", size, size // 2)
    return size // 2


def _out_of_memory(error: RuntimeError) -> bool:
    """CUDA has an error of its own for it, the CPU allocator only a message."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


class ForecastProgress(Callback):
    """A bar on rank 0: series done, series per second over all ranks, time left.

    Args:
        plan: the batches of all ranks.
    """

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count; every rank is taken to be as fast as this one."""
        self.started = time.perf_counter()
        if not trainer.is_global_zero:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("forecasting"), BarColumn(), MofNCompleteColumn(), TextColumn("series"),
            TextColumn("{task.fields[rate]:,.0f} series/s"), TimeRemainingColumn(),
        )  # fmt: skip
        self._bar = Progress(*columns)
        self._task = self._bar.add_task("", total=self.plan.series, rate=0.0)
        self._bar.start()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any, **kwargs: Any
    ) -> None:
        """One batch further, on every rank."""
        if trainer.is_global_zero:
            done = min(self.plan.rows(outputs.batch + trainer.world_size - 1).stop, self.plan.series)
            rate = done / (time.perf_counter() - self.started)
            self._bar.update(self._task, completed=done, rate=rate)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the finished bar on the screen."""
        if trainer.is_global_zero:
            self._bar.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        if trainer.is_global_zero and hasattr(self, "_bar"):
            self._bar.stop()
