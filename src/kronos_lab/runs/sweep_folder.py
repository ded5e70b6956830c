"""What a sweep knows of itself, on disk: what was typed, and how each of its jobs stands.

    sweep.json       script, arguments and folder, as typed, and what was settled beside
    jobs/<n>.json    one job, see `Job`; written by the process that runs it
    jobs/<n>.error   the line that the job's process ended with
    jobs/stop        why the jobs have been asked to stop, see `Stop`
    sweep.csv        all jobs, a row each, made of the above whenever one begins or ends

Jobs may run in other processes and on other machines: the folder is all they share.
"""

import csv
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from kronos_lab.errors import InputError, Interrupted
from kronos_lab.runs.folder import LOCK_FILE, SWEEP_FILE, typed
from kronos_lab.runs.shared_folder import RUN_DIR_VARIABLE
from kronos_lab.runs.summary import write_json

TABLE_FILE = "sweep.csv"
JOBS_FOLDER = "jobs"
STOP_FILE = "stop"

RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"
NOT_IN_THE_TABLE = {"objective", "debug", "name"}  # the same for all jobs; the first is also what a column is called


@dataclass(frozen=True)
class SweepCommand:
    """A sweep as it was typed.

    Attributes:
        script: the root script, an absolute path.
        arguments: what came behind it.
        typed_in: the folder that relative paths among them start from.
        settled: overrides that all jobs have beside, see `settle_weights`.
    """

    script: str
    arguments: list[str]
    typed_in: str
    settled: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """How a job of a sweep stands.

    Attributes:
        number: in the sweep, from 0.
        folder: of its run, within that of the sweep.
        overrides: its settings, `key=value` each.
        status: running, finished, failed or interrupted.
        objective: the figure that `objective=` names; None where there is none.
        seconds: that it has worked, over all attempts.
        error: one line, of a job that failed or was interrupted.
        process: id of the process that works on it, or did last.
        host: the machine it is on.
    """

    number: int
    folder: str
    overrides: list[str]
    status: str = RUNNING
    objective: float | None = None
    seconds: float = 0.0
    error: str | None = None
    process: int | None = None
    host: str | None = None

    def settings(self) -> dict[str, str]:
        """The overrides by key, `+` and the like before a key left out."""
        parts = (override.partition("=") for override in self.overrides)
        return {key.lstrip("+~"): value for key, _, value in parts}

    def is_at_work(self) -> bool:
        """Whether its process, on this machine, still lives."""
        import psutil

        if self.process is None:
            return False
        try:
            process = psutil.Process(self.process)
            folder = process.environ().get(RUN_DIR_VARIABLE, "")  # another process may have got the number since
        except psutil.Error:
            return False
        return process.status() != psutil.STATUS_ZOMBIE and Path(folder).name == Path(self.folder).name

    def describe(self, keys: Collection[str]) -> str:
        """Number and those of its settings, for a line on the screen."""
        return " ".join([f"job {self.number}", *(f"{k}={v}" for k, v in self.settings().items() if k in keys)])


@dataclass(frozen=True)
class Stop:
    """A request to all jobs of a sweep.

    Attributes:
        signal: number of the signal that each is sent; 0: those at work go on, no other begins.
        line: why, for people.
    """

    signal: int
    line: str

    def error(self) -> BaseException:
        """What ends the sweep in its own process: no `Exception`, which Hydra or a sweeper would take for a job's."""
        if self.signal:
            return Interrupted(self.signal, self.line)
        end = SystemExit(1)
        end.__cause__ = InputError(self.line)
        return end


def differing_settings(jobs: Sequence[Job]) -> list[str]:
    """Keys of the settings that jobs have been given different values of; of a single job all."""
    settings = [job.settings() for job in jobs]
    keys = dict.fromkeys(key for one in settings for key in one if key not in NOT_IN_THE_TABLE)
    return [key for key in keys if len(jobs) == 1 or len({one.get(key) for one in settings}) > 1]


class SweepFolder:
    """The files of a sweep.

    Args:
        path: its folder, in which each job has one of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.jobs_folder = path, path / JOBS_FOLDER

    @property
    def name(self) -> str:
        """As jobs are told apart by: `<name>/<number>`."""
        return self.path.name

    def write_command(self, command: SweepCommand) -> None:
        """Keep what was typed; with that a folder is a sweep."""
        write_json(self.path / SWEEP_FILE, asdict(command))

    def read_command(self) -> SweepCommand:
        """What was typed.

        Raises:
            InputError: the folder is no sweep.
        """
        try:
            return SweepCommand(**json.loads((self.path / SWEEP_FILE).read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise InputError(f"{self.path} is not the folder of a sweep: {SWEEP_FILE} is missing or damaged") from error

    def error_file(self, number: int) -> Path:
        """Where the process of a job leaves the line it ends with."""
        return self.jobs_folder / f"{number}.error"

    def read_job(self, number: int) -> Job | None:
        """How a job stands; None where it has not begun."""
        return _read(self.jobs_folder / f"{number}.json")

    def jobs(self) -> list[Job]:
        """All jobs that have begun, by number."""
        found = (_read(path) for path in self.jobs_folder.glob("*.json"))
        return sorted((job for job in found if job is not None), key=lambda job: job.number)

    def write_job(self, job: Job) -> None:
        """Note how a job stands, and bring the table up to date."""
        self.jobs_folder.mkdir(exist_ok=True)
        write_json(self.jobs_folder / f"{job.number}.json", asdict(job))
        self.write_table()

    def write_table(self) -> None:
        """Make `sweep.csv` of what is noted about the jobs."""
        with FileLock(self.jobs_folder / LOCK_FILE):
            jobs = self.jobs()
            keys = differing_settings(jobs)
            partial = self.path / f"{TABLE_FILE}.partial"
            with partial.open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(["job", *keys, "status", "objective", "seconds", "folder", "error"])
                for job in jobs:
                    settings = job.settings()
                    figures = [job.status, job.objective, job.seconds, job.folder, job.error]
                    table.writerow([job.number, *(settings.get(key, "") for key in keys), *figures])
            partial.replace(self.path / TABLE_FILE)

    def ask_to_stop(self, stop: Stop) -> None:
        """Have every job stop, wherever it runs, and none begin."""
        self.jobs_folder.mkdir(exist_ok=True)
        write_json(self.jobs_folder / STOP_FILE, asdict(stop))

    def asked_to_stop(self) -> Stop | None:
        """The request to stop, if there is one."""
        try:
            return Stop(**json.loads((self.jobs_folder / STOP_FILE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def begin_again(self) -> None:
        """Forget an earlier request to stop."""
        (self.jobs_folder / STOP_FILE).unlink(missing_ok=True)

    def resume_command(self) -> str:
        """What to type to go on with it."""
        return f"python {Path(self.read_command().script).name} -m {typed('resume', self.path)}"


def _read(path: Path) -> Job | None:
    try:
        noted: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return Job(**{field.name: noted[field.name] for field in fields(Job) if field.name in noted})
