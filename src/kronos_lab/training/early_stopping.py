"""A stage ends where its validation no longer becomes better."""

import logging
from typing import Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from kronos_lab.data.settings import sound_number, whole_number

log = logging.getLogger(__name__)


class StopEarly(EarlyStopping):
    """Lightning's early stopping, counted in validations, that a resumed run keeps to and that says what it did.

    Args:
        monitor: full name of the metric.
        mode: "min" where less of it is better.
        patience: validations in a row without a better value after which training ends.
        min_delta: a value better by no more than this does not count as better.

    Raises:
        InputError: patience or min_delta is no such number.
    """

    def __init__(self, monitor: str, mode: Literal["min", "max"], patience: int, min_delta: float) -> None:
        where = "callbacks.early_stopping"
        super().__init__(
            monitor=monitor,
            mode=mode,
            patience=whole_number(f"{where}.patience", patience, least=1),
            min_delta=sound_number(f"{where}.min_delta", min_delta, lambda delta: delta >= 0, "must be at least 0"),
            check_on_train_epoch_end=False,  # after validations, however many an epoch has
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End at once where a stage that has stopped is resumed: that it should stop is in no checkpoint."""
        if self._has_stopped:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say why training is over."""
        if self._has_stopped:
            log.info(
                "stopped early, after %d steps: %s no better than %.4f in %d validations",
                trainer.global_step,
                self.monitor,
                self.best_score,
                self.patience,
            )

    @property
    def _has_stopped(self) -> bool:
        return self.stopping_reason != EarlyStoppingReason.NOT_STOPPED
