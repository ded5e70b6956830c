"""The checkpoint from which an interrupted run goes on, exactly as if nothing had happened."""

import logging
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from kronos_lab.errors import InputError
from kronos_lab.training.attempts import Attempts

log = logging.getLogger(__name__)

UNREADABLE = (RuntimeError, EOFError, OSError, KeyError, ValueError)  # what torch.load makes of a torn file


class LastCheckpoint(Checkpoint):
    """Keeps that checkpoint: saved every N steps, before every validation and after every epoch.

    What is saved before a validation says that the validation has begun. Lightning's loops, restored from it, begin
    with that validation; where a limit of training was reached there, `validate_if_owed` does it.

    Where the step is one that `may_save` excludes, the next one is saved. A validation between the batches of one
    step (a `trainer.val_check_interval` that is no multiple of `trainer.accumulate_grad_batches`) has no checkpoint
    before it: gradients still being accumulated are not in a checkpoint.

    Placed after `BestCheckpoint` in the list of callbacks, and a `Checkpoint` like it, it runs after it: what it saves
    knows the best of the epoch that has just ended.

    Args:
        path: `<run>/checkpoints/<stage>-last.ckpt`.
        every_n_steps: N.
        attempts: counts the time.
    """

    def __init__(self, path: Path, every_n_steps: int, attempts: Attempts) -> None:
        self.path, self.every_n_steps, self.attempts = path, every_n_steps, attempts
        self.run = path.parent.parent
        self.saved_at = 0  # step of the last checkpoint
        self.saved_before_validation = False  # and whether it is the one before the validation now going on
        self._owes_validation = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the folder: from here on the run is one to keep, see `remove_refused_run`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.saved_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where the optimiser has completed a multiple of N steps since the last, or a validation is now done."""
        n_completed = trainer.global_step // self.every_n_steps > self.saved_at // self.every_n_steps
        due = n_completed or self.saved_before_validation
        if due and may_save(trainer, batch_idx):
            self.save(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Have the metrics of the step that has just been saved on disk too: they were logged after it."""
        if self.saved_at == trainer.global_step:
            _flush(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the validation, unless it is the one a checkpoint owed."""
        if trainer.sanity_checking or not trainer.fit_loop.epoch_loop.batch_progress.total.ready:
            return
        trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset_on_restart()  # an owed validation begins anew
        self.saved_before_validation = not trainer.fit_loop.epoch_loop._should_accumulate()
        if self.saved_before_validation and self.saved_at != trainer.global_step:
            self._owes_validation = True
            self.save(trainer)
            self._owes_validation = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of the epoch, its validation included."""
        self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save where training ended with a validation that was owed, and with no epoch."""
        if self.saved_before_validation:
            self.save(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Count a batch of the validation as begun and not completed, where one is owed."""
        if self._owes_validation:
            begun = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]["total"]
            begun["ready"] = begun["started"] = begun["completed"] + 1

    def save(self, trainer: Trainer) -> None:
        """Save now; on all ranks together."""
        _flush(trainer)
        trainer.save_checkpoint(self.path)
        self.saved_at = trainer.global_step
        self.saved_before_validation = self._owes_validation
        if trainer.is_global_zero:
            self.attempts.note()


def may_save(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a checkpoint made at the end of this batch is one to go on from.

    Gradients still being accumulated are not in a checkpoint. A validation that follows this batch would be left out
    by a run that goes on from here: the one of the epoch's end, of `trainer.val_check_interval`, or the last one where
    `trainer.max_steps` or `trainer.max_time` end training; it is saved when it begins. The end of an epoch is saved
    when all is done.
    """
    batches, loop = batch_idx + 1, trainer.fit_loop
    if batches == trainer.num_training_batches or (trainer.should_stop and loop._can_stop_early):
        return False
    assert loop._data_fetcher is not None
    if loop.epoch_loop._should_check_val_fx(loop._data_fetcher):  # Lightning's own answer: counted in several ways
        return False
    return batches % trainer.accumulate_grad_batches == 0


def validate_if_owed(trainer: Trainer) -> None:
    """Make up for the validation that the restored checkpoint owed, where no step will follow."""
    loop = trainer.fit_loop.epoch_loop.val_loop
    if loop.batch_progress.total.ready > loop.batch_progress.total.completed:
        trainer.validating = True
        loop.run()
        trainer.training = True


def checkpoint_to_resume(last: Path, best: Path) -> Path | None:
    """The checkpoint to go on from: the last, or the best where the last is damaged; None for a stage to begin.

    Raises:
        InputError: neither can be read.
    """
    if not last.is_file():
        return None
    problem = _problem(last)
    if problem is None:
        return last
    if best.is_file() and _problem(best) is None:
        log.warning("%s is damaged (%s): going on from %s", last, problem, best.name)
        return best
    raise InputError(f"{last} is damaged ({problem}), and there is no other: delete it to begin this stage anew")


def _problem(path: Path) -> str | None:
    """Why a checkpoint cannot be read; mapped, not read, as the list of its contents is at its end."""
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UNREADABLE as error:
        return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return None


def _flush(trainer: Trainer) -> None:
    for logger in trainer.loggers:
        logger.save()
