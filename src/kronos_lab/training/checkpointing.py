"""Checkpoints to resume from and to choose the best by; what others use is exported, see `export`."""

import contextlib
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import resume_command
from kronos_lab.training.monitor import ValidationMetric


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: a full disk or a kill never harms the previous one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write, flush to the disk, rename.

        Raises:
            InputError: the disk is full or broken.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        try:
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
            _sync_folder(target.parent)
        except BaseException as error:  # a signal too: half a file is of no use to anybody
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)  # make room
            problem = _of_the_disk(error)
            if problem is None:
                raise
            raise InputError(
                f"{target} cannot be written: {problem.strerror}. The checkpoint before it is kept; then "
                f"{resume_command(target.parent.parent)}"
            ) from error


def _sync_folder(folder: Path) -> None:
    """Have the new name of a file survive a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _of_the_disk(error: BaseException) -> OSError | None:
    """The OSError behind what torch.save makes of it."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, OSError):
        seen = seen.__cause__ or seen.__context__
    return seen


class BestCheckpoint(ModelCheckpoint):
    """Keeps `<folder>/<stage>-best.ckpt`, the checkpoint that a metric of the stage says is best."""

    def __init__(self, folder: Path, stage: str, metric: ValidationMetric) -> None:
        super().__init__(
            dirpath=folder,
            filename=f"{stage}-best",
            monitor=f"{stage}/{metric.name}",
            mode=metric.mode,
            save_top_k=1,
            save_on_train_epoch_end=False,  # but after each validation, also one that a resumed run makes up for
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


def best_checkpoint(folder: Path, stage: str) -> dict[str, Any]:
    """The best checkpoint of a stage, on the CPU; InputError where nothing was ever validated."""
    path = folder / f"{stage}-best.ckpt"
    if not path.is_file():
        raise InputError(
            f"{path} does not exist: the {stage} was never validated; let it train for a whole epoch, or set "
            "trainer.val_check_interval"
        )
    return torch.load(path, map_location="cpu", weights_only=True)
