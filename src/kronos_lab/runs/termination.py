"""`kill` ends forecasting as Ctrl-C does; in training see `training.interruption`."""

import signal
import threading
from types import FrameType

from lightning.pytorch import Callback, LightningModule, Trainer

from kronos_lab.errors import Interrupted


class EndOnSigterm(Callback):
    """Answers SIGTERM (kill, docker stop, the end of a Slurm job) at once; Lightning would note it and go on.

    Lightning gives back the handler that was there when forecasting ends.
    """

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signal over from Lightning, and answer one that it noted while it began."""
        if trainer.received_sigterm:
            _interrupt(signal.SIGTERM, None)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number, f"interrupted by {signal.Signals(number).name}")
