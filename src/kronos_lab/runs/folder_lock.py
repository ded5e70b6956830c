"""One process at a time in the folder of a run or a sweep: two would write the same checkpoints and tables.

`.lock` is locked by the process that works there, and the system unlocks it when that ends, however it ends. `.at_work`
says which process that is, for whoever is refused; it is left behind by one that was killed, where nothing is locked.
"""

import atexit
import logging
import os
import re
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import AT_WORK_FILE, LOCK_FILE
from kronos_lab.runs.ranks import rank

log = logging.getLogger(__name__)


def lock_folder(folder: Path) -> FileLock:
    """Lock a folder for this process, which may do so again; the lock, for `unlock_folder`.

    Raises:
        InputError: another process is at work there.
    """
    lock = FileLock(folder / LOCK_FILE, is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"{folder} is at work in {_at_work(folder)}: wait for it, or stop it") from error
    (folder / AT_WORK_FILE).write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    return lock


def unlock_folder(lock: FileLock) -> None:
    """Give a folder back that `lock_folder` has locked."""
    Path(lock.lock_file).with_name(AT_WORK_FILE).unlink(missing_ok=True)
    lock.release()


def keep_folder(folder: Path, name: str | None = None) -> None:
    """Keep other processes out of the folder of a run until this one has ended; further ranks work beside rank 0.

    Args:
        folder: of the run.
        name: that it was to have; a line says so where that was taken.

    Raises:
        InputError: another process is at work there.
    """
    if rank() == 0:
        if name is not None and re.fullmatch(rf"{re.escape(str(name))}-\d+", folder.name):
            log.info("name        %s is taken: this run is %s", name, folder.name)
        atexit.register(unlock_folder, lock_folder(folder))


def _at_work(folder: Path) -> str:
    try:
        return (folder / AT_WORK_FILE).read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"
