"""Other commands as processes of one command: so many at a time, each with a log, and signals handed on to all."""

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TextIO

from kronos_lab.errors import InputError, Interrupted
from kronos_lab.runs.folder import project_root

POLL_SECONDS = 0.2
SECONDS_BETWEEN_SIGNS_OF_LIFE = 60.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Job:
    """A root script to be run.

    Attributes:
        name: for people.
        arguments: the script, relative to the project's folder, and its overrides.
        log: what it prints is added to this file.
        environment: variables beside those of this process.
    """

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        """As a process."""
        script, *overrides = self.arguments
        return [sys.executable, str(project_root() / script), *overrides]

    @property
    def last_line(self) -> str:
        """The last thing it said."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 10_000))
            lines = file.read().decode(errors="replace").replace("\r", "\n").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


@contextlib.contextmanager
def only_one_at_work(file: Path) -> Iterator[TextIO]:
    """Hold a lock that jobs hold too: it is free again when this process and everything it started has ended.

    Raises:
        InputError: somebody holds it.
    """
    with file.open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{file} is held: another process works there, or one that an earlier attempt started still does; wait "
                "for it or end it"
            ) from error
        yield lock


def run_jobs(jobs: Sequence[Job], at_once: int, lock: TextIO, done: Callable[[Job, int], bool]) -> None:
    """Run all jobs; the first signal to stop is handed on to those at work, which are waited for, as is any further.

    Args:
        jobs: in order.
        at_once: how many at a time, at most.
        lock: of `only_one_at_work`.
        done: told of each job that has ended and its exit code; whether to begin others.

    Raises:
        Interrupted: a signal was handed on.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    waiting, at_work, go_on = list(jobs), dict[Job, subprocess.Popen[bytes]](), True
    handed_on, said = 0, time.monotonic()
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        while at_work or (waiting and go_on and not asked):
            while waiting and go_on and not asked and len(at_work) < at_once:
                job = waiting.pop(0)
                log.info("%-11s begins, log %s", job.name, job.log)
                at_work[job] = _start(job, at_once, lock)
            for number in asked[handed_on:]:
                for process in at_work.values():
                    process.send_signal(number)
            handed_on = len(asked)
            for job, process in list(at_work.items()):
                if (code := process.poll()) is not None:
                    del at_work[job]
                    go_on = done(job, code) and go_on
            if at_work and time.monotonic() - said > SECONDS_BETWEEN_SIGNS_OF_LIFE:
                said = time.monotonic()
                for job in at_work:
                    log.info("%-11s %s", job.name, job.last_line)
            time.sleep(POLL_SECONDS if at_work else 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise Interrupted(asked[0], f"interrupted by {signal.Signals(asked[0]).name}: the same command goes on")


def _start(job: Job, at_once: int, lock: TextIO) -> subprocess.Popen[bytes]:
    environment = dict(os.environ) | dict(job.environment)
    if at_once > 1:  # or each would take all cores
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // at_once)))
    with job.log.open("ab") as output:
        # A session of its own: a terminal's Ctrl-C would reach it beside ours, and the second stops a training at once.
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
