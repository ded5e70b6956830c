"""Checkpoints to resume from and to choose the best by; what others use is exported, see `export`."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from kronos_lab.errors import InputError


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
    """Keeps `<folder>/<stage>-best.ckpt`, the checkpoint with the lowest `<stage>/<monitor>`."""

    def __init__(self, folder: Path, stage: str, monitor: str) -> None:
        super().__init__(
            dirpath=folder,
            filename=f"{stage}-best",
            monitor=f"{stage}/{monitor}",
            mode="min",
            save_top_k=1,
            enable_version_counter=False,
        )


class LastCheckpoint(Callback):
    """Keeps `<folder>/<stage>-last.ckpt`, where an interrupted run goes on: every N steps and after every epoch."""

    def __init__(self, folder: Path, stage: str, every_n_steps: int) -> None:
        self.path = last_checkpoint(folder, stage)
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where the optimiser has just completed a multiple of N steps."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and trainer.global_step % self.every_n_steps == 0:
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of the epoch, its validation included."""
        trainer.save_checkpoint(self.path)


def last_checkpoint(folder: Path, stage: str) -> Path:
    """Where `LastCheckpoint` writes."""
    return folder / f"{stage}-last.ckpt"


def best_checkpoint(folder: Path, stage: str) -> dict[str, Any]:
    """The best checkpoint of a stage, on the CPU; InputError where nothing was ever validated."""
    path = folder / f"{stage}-best.ckpt"
    if not path.is_file():
        raise InputError(f"{path} does not exist: the {stage} was never validated; leave trainer.limit_val_batches > 0")
    return torch.load(path, map_location="cpu", weights_only=True)
