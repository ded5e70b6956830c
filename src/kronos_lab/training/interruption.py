"""Ctrl-C and `kill` end training between two steps, with a checkpoint of where it was."""

import logging
import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from kronos_lab.errors import Interrupted
from kronos_lab.runs.folder import resume_command
from kronos_lab.runs.lost_ranks import advise
from kronos_lab.training.last_checkpoint import LastCheckpoint, may_save, validate_if_owed
from kronos_lab.training.vote import Vote

log = logging.getLogger(__name__)

# A terminal's Ctrl-C; kill, docker stop, the end of a Slurm job; what sbatch --signal=USR1@120 sends before that end.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopBetweenSteps(Checkpoint):
    """Answers the first signal to stop at the end of a step, with a checkpoint; a second one ends the run at once.

    Python drops an exception raised by a signal that falls into the wrong moment (a weak reference dying) and makes
    another error of one that falls into the writing of a checkpoint. So the signal is only noted, and answered where
    it is safe. A signal may reach any of several ranks, or all of them, each in another moment; `Vote` makes it one
    step for all. During a validation nothing is saved, because that was done before it, see `LastCheckpoint`.

    Placed last in the list of callbacks.

    Args:
        last: saves.
    """

    def __init__(self, last: LastCheckpoint) -> None:
        self.last = last
        self._asked, self._stopping = 0, 0  # number of the signal noted here; the one all ranks now answer
        self._before: dict[int, Any] = {}
        self._vote = Vote(1)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals, from Lightning too; make up for a last validation."""
        self._vote = Vote(trainer.world_size)
        # Lightning lets the ranks tell each other of SIGTERM too: in every step, waiting for the GPU.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _nothing  # type: ignore[method-assign]
        if threading.current_thread() is threading.main_thread():
            # A terminal sends Ctrl-C to all ranks, of which only rank 0 listens: see `prepare_ranks`.
            numbers = [n for n in SIGNALS if n != signal.SIGINT or trainer.is_global_zero]
            self._before = {number: signal.signal(number, self._note) for number in numbers}
        if trainer.should_stop and trainer.fit_loop._can_stop_early:  # a limit was reached before the interruption
            validate_if_owed(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save here if asked to."""
        if may_save(trainer, batch_idx):
            self._stopping = self._vote(self._asked)
            if self._stopping:
                self.last.save(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop here, where the metrics of the step that was saved have been logged, if asked to."""
        if self._stopping:
            self._stop(self._stopping)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Stop here if asked to; the validation is made up for by the run that goes on."""
        if self.last.saved_before_validation:
            number = self._vote(self._asked)
            if number:
                self._stop(number)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back; where one fell into the last step of an epoch without validation, answer it now."""
        advise(None)
        self._restore()
        number = self._vote.now(self._asked)
        if number:
            self._stop(number)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def _stop(self, number: int) -> None:
        advise(None)
        name, step = signal.Signals(number).name, self.last.saved_at
        raise Interrupted(number, f"interrupted by {name}, saved at step {step}; {resume_command(self.last.run)}")

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise Interrupted(number, f"interrupted twice; from the last checkpoint: {resume_command(self.last.run)}")
        self._asked = number
        log.info("stopping after this step; once more stops at once")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}


def _nothing() -> None:
    pass
