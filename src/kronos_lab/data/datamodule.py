"""Windows of a market as batches for training, validation and test.

Shapes: B windows of a batch, T = lookback + horizon + 1 bars, F = 6 fields.
"""

import logging
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from kronos_lab.data.date_jitter import DateJitter
from kronos_lab.data.market import Market
from kronos_lab.data.normaliser import Scale, fit_scale, normalise, warn_of_small_prices
from kronos_lab.data.sampler import TrainingSampler, ValidationSampler
from kronos_lab.data.settings import positive_number, switch, whole_number
from kronos_lab.data.split import DateSplit, Part
from kronos_lab.data.windows import WindowIndex
from kronos_lab.errors import InputError

log = logging.getLogger(__name__)


class WindowBatch(NamedTuple):
    """A batch of windows.

    Attributes:
        bars_BTF: float32, normalised by the lookback's statistics and clipped.
        stamp_BT5: int16, calendar features of each bar.
        mean_B1F, deviation_B1F: the lookback's statistics, by which errors are turned into units of the bars.
    """

    bars_BTF: Tensor
    stamp_BT5: Tensor
    mean_B1F: Tensor
    deviation_B1F: Tensor

    @property
    def scale(self) -> Scale:
        """The statistics as `denormalise` takes them."""
        return Scale(self.mean_B1F, self.deviation_B1F)


class WindowDataset(Dataset[WindowBatch]):
    """Windows by number, gathered and normalised a whole batch at a time.

    Args:
        index: the windows.
        clip: bound on normalised values.
        rescale: measure the normaliser's epsilon in units of the price, see `fit_scale`.
        date_jitter: moves the windows' dates; None for the true ones.
    """

    def __init__(self, index: WindowIndex, clip: float, rescale: bool, date_jitter: DateJitter | None = None) -> None:
        self.index, self.clip, self.rescale, self.date_jitter = index, clip, rescale, date_jitter

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, windows: np.ndarray) -> WindowBatch:
        """The batch of these windows."""
        rows = self.index.signal_rows(windows)
        batch = self.of_rows(rows)
        if self.date_jitter is None:
            return batch
        moved_BT5 = self.date_jitter.move(batch.stamp_BT5.numpy(), self.index.gather_positions(rows), windows)
        return batch._replace(stamp_BT5=torch.from_numpy(moved_BT5))

    def of_rows(self, rows: np.ndarray) -> WindowBatch:
        """The batch of the windows with these signal rows, on their true dates."""
        bars_BTF = torch.from_numpy(self.index.gather_bars(rows))
        scale = fit_scale(bars_BTF[:, : self.index.lookback], self.rescale)
        if not self.rescale:
            warn_of_small_prices(scale)
        stamp_BT5 = torch.from_numpy(self.index.gather_stamps(rows))
        return WindowBatch(normalise(bars_BTF, scale, self.clip), stamp_BT5, *scale)


class KLineDataModule(LightningDataModule):
    """Training, validation and test windows of one universe of a market, split by signal date.

    One sample is `lookback + horizon + 1` bars of one stock: the model sees the lookback, validation looks at how it
    predicts the horizon. Needs `Trainer(use_distributed_sampler=False)`: the samplers share windows among ranks.

    Args:
        market: where bars, memberships and calendar come from.
        universe: whose members are trained on, on the days they were members.
        split: signal days of the three parts.
        lookback: bars of the past.
        horizon: bars of the future.
        batch_size: windows per device and step.
        windows_per_epoch: training windows of an epoch over all devices, an upper bound; a pass over all windows
            takes as many epochs as it needs.
        val_windows: validation and test windows, evenly spread; None for all.
        max_gap: sessions that may be missing between neighbouring bars of a window.
        clip: bound on normalised values.
        rescale: measure the normaliser's epsilon in units of the price (assets priced far below 1).
        date_jitter: weeks by which a training window's dates are moved at most, up to 26, see `DateJitter`; 0 for
            true dates.
        num_workers: processes that gather batches; gathering is fast enough that 0 feeds a CPU and most GPUs.
        seed: of the order of windows, and of the moves of their dates.

    Raises:
        InputError: a length or number makes no sense.
    """

    def __init__(
        self,
        market: Market,
        universe: str,
        split: DateSplit,
        lookback: int,
        horizon: int,
        batch_size: int,
        windows_per_epoch: int,
        val_windows: int | None,
        max_gap: int,
        clip: float,
        rescale: bool,
        date_jitter: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("lookback", lookback, 2),
            ("horizon", horizon, 1),
            ("batch_size", batch_size, 1),
            ("windows_per_epoch", windows_per_epoch, 1),
            ("val_windows", 1 if val_windows is None else val_windows, 1),
            ("max_gap", max_gap, 0),
            ("num_workers", num_workers, 0),
        ):
            whole_number(f"data.{name}", value, least)
        whole_number("data.date_jitter", date_jitter, least=0, most=26)  # of half a year: more is less
        positive_number("data.clip", clip)
        switch("data.rescale", rescale)
        self.market, self.universe, self.split = market, universe, split
        self.lookback, self.horizon = lookback, horizon
        self.batch_size, self.windows_per_epoch, self.val_windows = batch_size, windows_per_epoch, val_windows
        self.max_gap, self.clip, self.rescale = max_gap, clip, rescale
        self.date_jitter, self.num_workers, self.seed = date_jitter, num_workers, seed
        self._windows: dict[Part, WindowIndex] = {}
        self._resume_at = (0, 0)

    @property
    def windows_per_step(self) -> int:
        """The effective batch: windows of an optimiser step over all devices and accumulated batches, at most."""
        return self.batch_size * self._world_size * self._accumulated

    def windows(self, part: Part) -> WindowIndex:
        """The windows of a part; InputError where there are none."""
        if part not in self._windows:
            start, end = self.split.days(part)
            index = WindowIndex(
                self.market.bars(self.universe),
                self.market.spans(self.universe),
                lookback=self.lookback,
                future=self.horizon + 1,
                start=start,
                end=end,
                max_gap=self.max_gap,
                label_end=end,
            )
            if not len(index):
                calendar = self.market.calendar
                raise InputError(
                    f"no {part} window of {self.lookback} + {self.horizon} + 1 bars with signal days "
                    f"{start or 'from the first'} to {end or 'the last'} in universe {self.universe}: market "
                    f"{self.market.name} has bars from {calendar[0].date()} to {calendar[-1].date()}; choose other "
                    "days (split=ratio divides those there are), or a shorter data.lookback or data.horizon"
                )
            log.info("%s: %s windows of %s", part, f"{len(index):,}", self.universe)
            self._windows[part] = index
        return self._windows[part]

    def setup(self, stage: str) -> None:
        """Find the windows now, so that a part without any ends the run before it began."""
        self._resume_at = (0, 0)  # of this fit: a checkpoint, if there is one, is restored afterwards
        for part in ("train", "val") if stage == "fit" else ("val",) if stage == "validate" else ("test",):
            self.windows(part)

    def train_dataloader(self) -> DataLoader[WindowBatch]:
        """Batches of an epoch in its own order; begins in the middle where a checkpoint was restored."""
        index = self.windows("train")
        sampler = TrainingSampler(
            len(index),
            self.windows_per_epoch,
            self.batch_size,
            self.seed,
            self._rank,
            self._world_size,
            self._accumulated,
        )
        epoch, step = self._resume_at
        sampler.set_epoch(epoch)  # Lightning does too, but not before workers fetch their first batches
        sampler.resume_at(epoch, step)
        jitter = DateJitter(index.bars.calendar, self.date_jitter, self.seed) if self.date_jitter else None
        return self._loader("train", sampler, jitter)

    def val_dataloader(self) -> DataLoader[WindowBatch]:
        """Batches of the validation windows, the same ones every time."""
        return self._loader("val", self._evaluation_sampler("val"))

    def test_dataloader(self) -> DataLoader[WindowBatch]:
        """Batches of the test windows, the same ones every time."""
        return self._loader("test", self._evaluation_sampler("test"))

    def state_dict(self) -> dict[str, Any]:
        """Where training stands, and what decides which windows a step sees; a checkpoint holds it."""
        assert self.trainer is not None
        epoch, step = divmod(self.trainer.fit_loop.total_batch_idx + 1, int(self.trainer.num_training_batches))
        return {"epoch": epoch, "step": step, **self._order_of_windows()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at that step; refuse other windows, or another number of devices, than the checkpoint was made with."""
        for name, now in self._order_of_windows().items():
            if state_dict[name] != now:
                raise InputError(f"cannot resume: {name} is {now}, the checkpoint was made with {state_dict[name]}")
        self._resume_at = (state_dict["epoch"], state_dict["step"])

    def _order_of_windows(self) -> dict[str, Any]:
        return {
            "market": self.market.fingerprint,
            "windows": len(self.windows("train")),
            "windows_per_epoch": self.windows_per_epoch,
            "batch_size": self.batch_size,
            "world_size": self._world_size,
            "seed": self.seed,
        }

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer is not None else 0

    @property
    def _accumulated(self) -> int:
        return self.trainer.accumulate_grad_batches if self.trainer is not None else 1

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1

    def _evaluation_sampler(self, part: Part) -> ValidationSampler:
        return ValidationSampler(
            len(self.windows(part)), self.val_windows, self.batch_size, self._rank, self._world_size
        )

    def _loader(
        self, part: Part, sampler: Sampler[np.ndarray], jitter: DateJitter | None = None
    ) -> DataLoader[WindowBatch]:
        return DataLoader(
            WindowDataset(self.windows(part), self.clip, self.rescale, jitter),
            # The sampler gives whole batches and the dataset gathers them whole. (As `batch_sampler` it would not
            # be told its epoch: Lightning looks for `set_epoch` at the sampler alone.)
            sampler=sampler,
            batch_size=None,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
