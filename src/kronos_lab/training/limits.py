"""`trainer.max_steps` and `trainer.max_time`: training ends there, validated, and can be resumed exactly."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer

from kronos_lab.training.vote import Vote


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
        """End at once where a finished stage is resumed, or one of which only the last validation is left."""
        self._end_if_reached(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Asked to stop, Lightning validates first."""
        self._end_if_reached(trainer)

    def _end_if_reached(self, trainer: Trainer) -> None:
        if 0 <= self.max_steps <= trainer.global_step:
            trainer.should_stop = True


class TimeLimit(Timer):
    """Ends training when it has taken some time, over all attempts, with a validation.

    Of several ranks each looks at its own clock, and all end with the first; Lightning's asks rank 0 in every step, for
    which a GPU would wait.

    Args:
        max_time: as `trainer.max_time`; None for no limit.
    """

    def __init__(self, max_time: str | Mapping[str, int] | None) -> None:
        super().__init__(duration=dict(max_time) if isinstance(max_time, Mapping) else max_time, verbose=False)

    def on_fit_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Nothing yet: Lightning's would end training before a validation that is still owed."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End at once where a finished stage is resumed, or one of which only the last validation is left."""
        super().on_train_start(trainer, pl_module)
        if self._duration is not None:
            self._vote = Vote(trainer.world_size)
            trainer.should_stop = trainer.should_stop or bool(self._vote.now(self._is_over()))

    def _check_time_remaining(self, trainer: Trainer) -> None:
        """Called by Lightning's timer after every step, where there is a limit."""
        trainer.should_stop = trainer.should_stop or bool(self._vote(self._is_over()))

    def _is_over(self) -> int:
        remaining = self.time_remaining()
        return int(remaining is not None and remaining <= 0)
