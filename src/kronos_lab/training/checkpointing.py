"""Checkpoints to resume from and to choose the best by; what others use is exported, see `export`."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from kronos_lab.errors import InputError
from kronos_lab.training.monitor import ValidationMetric


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: a full disk or a kill never harms the previous one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write, flush to the disk, rename."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)


class BestCheckpoint(ModelCheckpoint):
    """Keeps `<folder>/<stage>-best.ckpt`, the checkpoint that a metric of the stage says is best."""

    def __init__(self, folder: Path, stage: str, metric: ValidationMetric) -> None:
        super().__init__(
            dirpath=folder,
            filename=f"{stage}-best",
            monitor=f"{stage}/{metric.name}",
            mode=metric.mode,
            save_top_k=1,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on knowing the best so far, also where the run's folder has been moved or renamed since."""
        assert self.dirpath is not None
        if state_dict["best_model_path"]:
            # Lightning forgets the best score of another folder: the next epoch, however bad, would replace the best.
            best = str(Path(self.dirpath) / Path(state_dict["best_model_path"]).name)
            state_dict = state_dict | {
                "best_model_path": best,
                "kth_best_model_path": best,
                "best_k_models": {best: state_dict["best_model_score"]},
            }
        super().load_state_dict(state_dict | {"dirpath": self.dirpath})


class LastCheckpoint(Checkpoint):
    """Keeps the checkpoint from which an interrupted run goes on: saved every N steps and after every epoch.

    Where the step is one that `may_save` excludes, the next one is saved.

    Placed after `BestCheckpoint` in the list of callbacks, and a `Checkpoint` like it, it runs after it: what it saves
    knows the best of the epoch that has just ended.
    """

    def __init__(self, path: Path, every_n_steps: int) -> None:
        self.path, self.every_n_steps = path, every_n_steps
        self._saved_at = 0  # step of the last checkpoint

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the folder: from here on the run is one to keep, see `remove_refused_run`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._saved_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where the optimiser has completed a multiple of N steps since the last checkpoint."""
        due = trainer.global_step // self.every_n_steps > self._saved_at // self.every_n_steps
        if due and may_save(trainer, batch_idx):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of the epoch, its validation included."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved_at = trainer.global_step


def may_save(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a checkpoint made at the end of this batch is one to go on from.

    Gradients still being accumulated are not in a checkpoint. A validation that follows this batch would be left out
    by a run that goes on from here: the one of the epoch's end, of `trainer.val_check_interval`, or the last one where
    `trainer.max_steps` or `trainer.max_time` end training. The end of an epoch is saved when all is done.
    """
    batches, loop = batch_idx + 1, trainer.fit_loop
    if batches == trainer.num_training_batches or (trainer.should_stop and loop._can_stop_early):
        return False
    assert loop._data_fetcher is not None
    if loop.epoch_loop._should_check_val_fx(loop._data_fetcher):  # Lightning's own answer: counted in several ways
        return False
    return batches % trainer.accumulate_grad_batches == 0


def best_checkpoint(folder: Path, stage: str) -> dict[str, Any]:
    """The best checkpoint of a stage, on the CPU; InputError where nothing was ever validated."""
    path = folder / f"{stage}-best.ckpt"
    if not path.is_file():
        raise InputError(
            f"{path} does not exist: the {stage} was never validated; let it train for a whole epoch, or set "
            "trainer.val_check_interval"
        )
    return torch.load(path, map_location="cpu", weights_only=True)
