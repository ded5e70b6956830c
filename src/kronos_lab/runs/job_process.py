"""What a process knows and does that a sweep has started as one of its jobs; see `sweep_jobs`."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

SWEEP_VARIABLE = "KRONOS_LAB_SWEEP"  # name of the sweep
PARENT_VARIABLE = "KRONOS_LAB_JOB_PARENT"  # process that started the job and waits for it
ERROR_FILE_VARIABLE = "KRONOS_LAB_ERROR_FILE"  # where the job leaves the line it ends with
POLL_SECONDS = 0.5


def sweep_name() -> str | None:
    """Name of the sweep whose job this is; None for a run of its own."""
    return os.environ.get(SWEEP_VARIABLE)


def leave_error_line(line: str) -> None:
    """Tell the sweep why this job ends."""
    told = os.environ.get(ERROR_FILE_VARIABLE)
    if told:
        with suppress(OSError):  # the sweep's folder was removed
            Path(told).write_text(f"{line}\n", encoding="utf-8")


def end_with_sweep() -> None:
    """Have a job end, as by SIGTERM, when the process that waits for it has ended without a word (killed, no memory).

    A training then saves a checkpoint, where a sweep that goes on finds it.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent and int(parent) == os.getppid():  # the ranks of a job have another parent, and end with that
        threading.Thread(target=_end_without, args=(int(parent),), daemon=True).start()


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
