"""What is on disk of a walk-forward: its own folder, and the runs of its folds."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.checkpoint import CHECKPOINTS_FILE
from kronos_lab.runs.folder import CONFIG_FILE, SUMMARY_FILE, has_only_begun, load_config, save_config
from kronos_lab.runs.folder_lock import lock_folder, unlock_folder
from kronos_lab.runs.summary import write_json
from kronos_lab.runs.walk_forward.commands import typed_value
from kronos_lab.runs.walk_forward.plan import Fold
from kronos_lab.runs.walk_forward.planned_run import PlannedRun

MAY_CHANGE = {"jobs", "plan_only"}  # from one attempt to the next


def begin_walk_forward(cfg: DictConfig, folder: Path, runs: Sequence[Path]) -> None:
    """Save the configuration of a walk-forward that begins; check it where an earlier attempt goes on.

    Args:
        cfg: resolved as far as it decides what is computed.
        folder: of the walk-forward.
        runs: folders of its training runs and of its backtest.

    Raises:
        InputError: the earlier attempt had other settings, it has finished, or a run of that name is there already.
    """
    if not (folder / CONFIG_FILE).is_file():
        taken = next((run for run in runs if run.exists()), None)
        if taken is not None:
            raise InputError(f"{taken} is there already, and not of this walk-forward: choose another name=")
        save_config(folder, cfg)
        return
    now, before = _decides(cfg), _decides(load_config(folder))
    different = [key for key in {**now, **before} if now.get(key) != before.get(key)]
    if different:
        raise InputError(
            f"{folder} holds a walk-forward with another {', '.join(different)}: go on with the same settings, or "
            "choose another name="
        )


def _decides(cfg: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(content, dict)
    found: dict[str, Any] = {str(key): value for key, value in content.items() if key != "debug"}
    plan = found.pop("walk_forward")
    return found | {f"walk_forward.{key}": value for key, value in plan.items() if key not in MAY_CHANGE}


def go_on_or_begin(planned: PlannedRun) -> list[str]:
    """Arguments that train a fold: from where an earlier attempt was stopped, if there was one.

    Args:
        planned: a training that has not finished.

    Raises:
        InputError: another process is at work there.
    """
    run = planned.folder
    if (run / CONFIG_FILE).is_file() and not has_only_begun(run):
        return ["train.py", f"resume={typed_value(str(run.absolute()))}"]
    if run.is_dir() and has_only_begun(run):
        lock = lock_folder(run)
        shutil.rmtree(run)
        unlock_folder(lock)
    return planned.arguments


def save_checkpoints(folder: Path, folds: Sequence[Fold], runs: Sequence[Path]) -> None:
    """Say which weights forecast from which day on, as `backtest.py checkpoint=<folder>` reads it."""
    dated: Mapping[str, str] = {
        fold.split.test_start: os.path.relpath(run, folder) for fold, run in zip(folds, runs, strict=True)
    }
    write_json(folder / CHECKPOINTS_FILE, dated)


def is_finished(run: Path) -> bool:
    """Whether a run has finished."""
    return (run / SUMMARY_FILE).is_file()
