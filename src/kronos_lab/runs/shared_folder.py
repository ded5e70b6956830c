"""One run folder for ranks that somebody else starts: each composes its configuration on its own and must be told.

torchrun keeps a key-value store that all its ranks reach. Slurm has none; its ranks meet at a file beside the runs,
named after the job and its step. A job that Slurm starts again (preempted, `--requeue`) therefore meets the folder
of its first attempt, and training goes on there.
"""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from kronos_lab.errors import InputError

RUN_DIR_VARIABLE = "KRONOS_LAB_RUN_DIR"
SECONDS_TO_MEET = 120.0


def environment_rank() -> int:
    """Number of this process as its launcher says; 0 for the one that writes, also before there is a Trainer."""
    for variable in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        number = int(os.environ.get(variable) or 0)
        if number:
            return number
        if variable == "RANK" and variable in os.environ:
            return 0
    return int(os.environ.get("NODE_RANK") or 0)


def shared_folder(parent: Path, make: Callable[[], str], finished: Callable[[Path], bool]) -> str:
    """The folder `make` returns on rank 0, on every rank of this run; `make()` where this process is alone.

    Args:
        parent: where runs of this kind are.
        make: makes a new run folder and returns its path.
        finished: whether a folder holds a finished run, with which nobody wants to go on.

    Raises:
        InputError: the ranks have no way to meet.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and int(os.environ["WORLD_SIZE"]) > 1:
        return _through_torchrun(make)
    if int(os.environ.get("SLURM_NTASKS") or 1) > 1 and "SLURM_PROCID" in os.environ:
        step = "-".join(os.environ.get(f"SLURM_{part}") or "0" for part in ("JOB_ID", "STEP_ID"))
        return _through_file(parent / f".slurm-{step}", make, finished)
    ranks = int(os.environ.get("WORLD_SIZE") or 1)
    if (ranks > 1 and "RANK" in os.environ) or int(os.environ.get("NODE_RANK") or 0) > 0:
        raise InputError(f"ranks started one by one need one run folder: set {RUN_DIR_VARIABLE}=<folder> on all")
    return make()


def _through_torchrun(make: Callable[[], str]) -> str:
    from torch.distributed import TCPStore

    place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    store = TCPStore(*place, is_master=False, timeout=timedelta(seconds=SECONDS_TO_MEET))
    if environment_rank() == 0 and not store.check([RUN_DIR_VARIABLE]):
        store.set(RUN_DIR_VARIABLE, make())
    return store.get(RUN_DIR_VARIABLE).decode()


def _through_file(note: Path, make: Callable[[], str], finished: Callable[[Path], bool]) -> str:
    def noted() -> str | None:
        text = note.read_text(encoding="utf-8") if note.is_file() else ""
        return text if text and Path(text).is_dir() and not finished(Path(text)) else None

    if environment_rank() == 0:
        folder = noted() or make()
        partial = note.with_name(f"{note.name}.partial")
        partial.write_text(folder, encoding="utf-8")
        partial.replace(note)
        return folder
    until = time.monotonic() + SECONDS_TO_MEET
    while time.monotonic() < until:
        folder_of_rank_0 = noted()
        if folder_of_rank_0:
            return folder_of_rank_0
        time.sleep(0.2)
    raise InputError(
        f"rank {environment_rank()} does not see the run folder of rank 0: put paths.outputs={note.parent.parent} on a "
        f"file system that all nodes share, or set {RUN_DIR_VARIABLE}=<folder> on all of them"
    )
