"""What is forecast, and in which batches: every member with a bar and a full lookback, day after day.

Batches hold numpy arrays on purpose: Lightning casts tensors of a batch to the trainer's precision, and raw prices
in bfloat16 would be off by half a percent.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from kronos_lab.backtesting.scores.signals import CloseScale
from kronos_lab.data.settings import whole_number
from kronos_lab.data.windows import WindowIndex
from kronos_lab.errors import InputError
from kronos_lab.forecasting.window_series import SeriesBatch, WindowSeries

NOTHING = -1  # in place of a batch where a rank has none left


@dataclass(frozen=True)
class BatchPlan:
    """How the series of a backtest are cut into batches; with it, forecasts repeat to the last bit.

    Series are ordered by date, then symbol.

    Attributes:
        series: series to forecast, over all days and ranks.
        series_per_batch: of all batches but the last.
        paths: sample paths per series.
        lookback: bars each forecast sees.
        horizon: bars forecast.
        seed: of the random numbers, see `series_uniforms`.
    """

    series: int
    series_per_batch: int
    paths: int
    lookback: int
    horizon: int
    seed: int

    @property
    def batches(self) -> int:
        """Number of batches over all ranks."""
        return -(-self.series // self.series_per_batch)

    def rows(self, batch: int) -> slice:
        """Series of one batch."""
        return slice(batch * self.series_per_batch, min((batch + 1) * self.series_per_batch, self.series))

    def describe(self) -> dict[str, Any]:
        """The plan as JSON holds it."""
        return {"order": "date, symbol", "batches": self.batches, **asdict(self)}


def series_per_batch(backtest_batch_size: int, paths: int) -> int:
    """Series of a batch under the bound on series × paths; more paths than that wait for one another."""
    bound = whole_number("backtest_batch_size", backtest_batch_size, 1)
    return max(1, bound // whole_number("forecast.paths", paths, 1))


class ForecastBatch(NamedTuple):
    """The input of one batch.

    Attributes:
        batch: its number in the plan.
        series: where its forecasts start.
    """

    batch: int
    series: SeriesBatch


class Forecast(NamedTuple):
    """The output of one batch, numpy.

    Attributes:
        batch: its number in the plan.
        parts: series forecast at once; more than one number where memory ran out on the whole batch.
        symbol_B: strings.
        date_B: datetime64[ns], stamp of the last bar the forecaster saw.
        last_close_B: float32, adjusted close of that bar.
        close_scale: float32, what closes were normalised by.
        paths_BPHF: float32, forecast bars in adjusted units.
    """

    batch: int
    parts: list[int]
    symbol_B: np.ndarray
    date_B: np.ndarray
    last_close_B: np.ndarray
    close_scale: CloseScale
    paths_BPHF: np.ndarray


class ForecastDataset(Dataset[ForecastBatch | None]):
    """The batches of a plan, each gathered when it is asked for.

    Args:
        windows: of `plan.lookback` bars with no future.
        row_S: the series: signal rows of windows, in any order.
        plan: how the series are cut into batches.
        stratified: see `Sampling`.
        future_stamps: stamps of the next H bars after a calendar position, from the calendar, never from bars;
            see `Market.future_stamps`.
    """

    def __init__(
        self,
        windows: WindowIndex,
        row_S: np.ndarray,
        plan: BatchPlan,
        stratified: bool,
        future_stamps: Callable[[int, int], pd.DatetimeIndex],
    ) -> None:
        self.plan = plan
        self.series = WindowSeries(windows, row_S, plan.paths, plan.horizon, plan.seed, stratified, future_stamps)

    def __len__(self) -> int:
        return self.plan.batches

    def __getitem__(self, batch: int) -> ForecastBatch | None:
        return None if batch == NOTHING else ForecastBatch(batch, self.series.gather(self.plan.rows(batch)))


class RankBatches(Sampler[int]):
    """Every `world`-th of the batches, beginning with the one at `rank`: none on two ranks, none left out.

    All ranks have equally many, one at least, as Lightning leaves out a rank that has none; `NOTHING` fills up.
    """

    def __init__(self, batches: Sequence[int], rank: int, world: int) -> None:
        each = max(1, -(-len(batches) // world))
        own = list(batches[rank::world])
        self.numbers = own + [NOTHING] * (each - len(own))

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


class ForecastDataModule(LightningDataModule):
    """Gives each rank its batches. The trainer needs `use_distributed_sampler=False`: the sharding is ours.

    Args:
        dataset: the batches of all ranks.
        take_over: called on rank 0 before anything is forecast; the batches that are there already.

    Attributes:
        missing: numbers of the batches to forecast, in order, over all ranks; known from `setup` on.
    """

    def __init__(self, dataset: ForecastDataset, take_over: Callable[[], Set[int]] = frozenset) -> None:
        super().__init__()
        self.dataset, self._take_over = dataset, take_over
        self.missing: list[int] = []

    def setup(self, stage: str) -> None:
        """Agree with the other ranks on what is left to do."""
        assert self.trainer is not None
        done = self._take_over() if self.trainer.is_global_zero else frozenset()
        missing = [batch for batch in range(len(self.dataset)) if batch not in done]
        self.missing = self.trainer.strategy.broadcast(missing)

    def predict_dataloader(self) -> DataLoader[ForecastBatch | None]:
        """Batches of this rank."""
        assert self.trainer is not None
        if self.trainer.world_size > 1 and self.trainer._accelerator_connector.use_distributed_sampler:
            raise InputError("trainer.use_distributed_sampler must be false: backtests shard their own batches")
        sampler = RankBatches(self.missing, self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(self.dataset, sampler=sampler, batch_size=None, collate_fn=_unchanged)


def _unchanged(batch: Any) -> Any:
    """In place of torch's own collation, which would make tensors of the arrays."""
    return batch
