"""`trainer.max_steps`: training ends there, validated, and can be resumed exactly."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class StepLimit(Callback):
    """Ends training after a number of optimiser steps, wherever in an epoch that is, with a validation.

    Lightning's own `max_steps` ends without one, so that a short run would leave no weights; and a run that has it
    skips an epoch when it is resumed at the end of one.

    Args:
        max_steps: steps of the stage; -1 for no limit.
    """

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End at once where a finished stage is resumed."""
        self._end_if_reached(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Asked to stop, Lightning validates first."""
        self._end_if_reached(trainer)

    def _end_if_reached(self, trainer: Trainer) -> None:
        if 0 <= self.max_steps <= trainer.global_step:
            trainer.should_stop = True
