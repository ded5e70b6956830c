"""Ctrl-C ends training between two steps, with a checkpoint of where it was."""

import logging
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from kronos_lab.training.checkpointing import may_save

log = logging.getLogger(__name__)


class StopBetweenSteps(Callback):
    """Answers the first Ctrl-C at the end of the step; a second one ends the run at once.

    Python drops a KeyboardInterrupt that falls into the wrong moment (a weak reference dying) and makes another error
    of one that falls into the writing of a checkpoint. So the signal is only noted, and raised where it is safe. One
    process saves first; several go on from the last regular checkpoint, because saving would need all of them.

    Args:
        checkpoint: where to save.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._asked = False
        self._before: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over Ctrl-C (other ranks leave it to rank 0)."""
        if trainer.is_global_zero and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop here if asked to."""
        if self._asked and may_save(trainer, batch_idx):
            if trainer.world_size == 1:
                trainer.save_checkpoint(self.checkpoint)
            raise KeyboardInterrupt

    def on_validation_batch_end(self, *_: Any) -> None:
        """Stop here if asked to; what was trained since the last checkpoint is trained again."""
        if self._asked:
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give Ctrl-C back; where it fell into the last step of an epoch without validation, answer it now."""
        self._restore()
        if self._asked:
            raise KeyboardInterrupt

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give Ctrl-C back."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        log.info("stopping after this step; Ctrl-C again stops at once")

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
