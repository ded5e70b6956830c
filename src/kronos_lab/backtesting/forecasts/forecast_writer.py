"""Keeps what `Trainer.predict` forecasts: each rank appends its own finished shards while it goes."""

import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from kronos_lab.backtesting.forecasts.forecast_batches import BatchPlan, Forecast
from kronos_lab.backtesting.forecasts.forecast_shards import Store, write_manifest, write_shard


class ForecastWriter(Callback):
    """Writes `<folder>/rank-<r>-shard-<n>.parquet` and the manifest, see `forecast_shards`.

    Args:
        folder: of the shards; those that are there already stay.
        plan: the batches of all ranks.
        settings: what else made the forecasts, for the manifest; read when forecasting begins.
        store: what of the forecasts is kept.
        series_per_shard: rows after which a shard is closed.
        seconds_per_shard: after which it is closed too; a killed run loses this much of the work of each rank.
    """

    def __init__(
        self,
        folder: Path,
        plan: BatchPlan,
        settings: Mapping[str, Any],
        store: Store,
        series_per_shard: int = 5_000,
        seconds_per_shard: float = 60.0,
    ) -> None:
        self.folder = folder
        self.plan = plan
        self.settings = settings
        self.store = store
        self.series_per_shard, self.seconds_per_shard = series_per_shard, seconds_per_shard
        self._closed_at = 0.0
        self._waiting: list[Forecast] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rank 0 makes the folder and an unfinished manifest."""
        self._closed_at = time.monotonic()
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_manifest(self.folder, self.settings, self.plan, finished=False)
        trainer.strategy.barrier("forecast folder")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch, and close a shard when there is enough for one."""
        if not isinstance(outputs, Forecast):
            return
        self._waiting.append(outputs)
        series = sum(len(forecast.symbol_B) for forecast in self._waiting)
        if series >= self.series_per_shard or time.monotonic() - self._closed_at >= self.seconds_per_shard:
            self._close_shard(trainer.global_rank)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the last shard; when all ranks have, rank 0 checks that no batch is missing or there twice."""
        self._close_shard(trainer.global_rank)
        trainer.strategy.barrier("forecast shards")
        if trainer.is_global_zero:
            write_manifest(self.folder, self.settings, self.plan, finished=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """An interrupted run keeps every batch that was finished."""
        self._close_shard(trainer.global_rank)

    def _close_shard(self, rank: int) -> None:
        if self._waiting:
            names = (self.folder / f"rank-{rank:03d}-shard-{number:05d}.parquet" for number in itertools.count())
            write_shard(next(path for path in names if not path.exists()), self._waiting, self.store)
            self._waiting, self._closed_at = [], time.monotonic()
