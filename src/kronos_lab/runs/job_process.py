"""What a process knows and does that a sweep has started as one of its jobs; see `sweep_jobs`."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kronos_lab.runs.shared_folder import environment_rank

SWEEP_VARIABLE = "KRONOS_LAB_SWEEP"  # name of the sweep
PARENT_VARIABLE = "KRONOS_LAB_JOB_PARENT"  # process that started the job and waits for it
ERROR_FILE_VARIABLE = "KRONOS_LAB_ERROR_FILE"  # where the job leaves the line it ends with
POLL_SECONDS = 0.5

log = logging.getLogger(__name__)


def sweep_name() -> str | None:
    """Name of the sweep whose job this is; None for a run of its own."""
    return os.environ.get(SWEEP_VARIABLE)


def leave_error_line(line: str) -> None:
    """Tell the sweep why this job ends."""
    told = os.environ.get(ERROR_FILE_VARIABLE)
    if told:
        with suppress(OSError):  # the sweep's folder was removed
            Path(told).write_text(f"{line}\n", encoding="utf-8")


@contextmanager
def one_job_at_a_time(what: str) -> Iterator[None]:
    """Have the jobs of a sweep that would compute the same wait for the first; outside of sweeps nobody waits.

    Where the first one ends without having finished, the next goes on.

    Args:
        what: fingerprint of what is computed.
    """
    told = os.environ.get(ERROR_FILE_VARIABLE)
    if told is None or environment_rank():
        yield
        return
    from filelock import FileLock, Timeout

    lock = FileLock(Path(told).with_name(f"{what}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for another job of this sweep, which does the same")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


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
