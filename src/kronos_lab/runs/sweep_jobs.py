"""A job of a sweep (`-m`): a process of its own, whatever launcher Hydra runs it with.

Hydra calls the job function of a script for each job: in the process of the sweep one after the other
(`hydra/launcher=basic`), in several processes (`joblib`), or on a cluster (`submitit_slurm`). There the job function
starts the plain command and waits for it. So each job has a memory, seeds and signals of its own, may use several
devices, and what kills one job leaves the others alone.
"""

import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import SUMMARY_FILE, quoted
from kronos_lab.runs.job_process import ERROR_FILE_VARIABLE, PARENT_VARIABLE, SWEEP_VARIABLE
from kronos_lab.runs.objective import UnknownFigureError, read_objective
from kronos_lab.runs.ranks import job_arguments
from kronos_lab.runs.shared_folder import RUN_DIR_VARIABLE
from kronos_lab.runs.summary import PRUNED, read_summary
from kronos_lab.runs.sweep_folder import FAILED, FINISHED, INTERRUPTED, RUNNING, Job, Stop, SweepFolder

SWEEP_PROCESS_VARIABLE = "KRONOS_LAB_SWEEP_PROCESS"  # of the sweep, known to the processes it starts
OUTPUT_FILE = "output.log"  # screen of a job that runs beside others
BASIC_LAUNCHER, JOBLIB_LAUNCHER = "BasicLauncher", "JoblibLauncher"
POLL_SECONDS = 0.3
SECONDS_TO_SAVE = 60.0  # for a job that nobody waits for any more
SECONDS_TO_END = 15.0  # after a second signal
ORPHANED = Stop(signal.SIGTERM, "the process of the sweep has ended")
SAME_RUN = {"objective", "debug"}  # settings that a sweep may go on with another value of


class JobFailedError(InputError):
    """A job of a sweep failed; the message is the line it ended with."""


class SweepStoppedError(RuntimeError):
    """A job did not end because the sweep was asked to stop; the arguments are those of `Stop`."""


def own_process_in_sweeps(main: Callable[[DictConfig], None]) -> Callable[[DictConfig], float | None]:
    """Decorate a job function, below `hydra.main`: in a sweep it starts its command in a process and waits for it.

    It then returns the figure that `objective` in the configuration names, None where it names none.
    """

    @functools.wraps(main)
    def job(cfg: DictConfig) -> float | None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        if HydraConfig.get().mode != RunMode.MULTIRUN:
            main(cfg)
            return None
        return run_job(cfg.get("objective"))

    return job


def one_run_only(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a `hydra.main` function of a script that has nothing to sweep: -m is refused before Hydra starts."""

    @functools.wraps(main)
    def run() -> None:
        if {"-m", "--multirun"} & set(sys.argv[1:]):
            raise InputError(f"{Path(sys.argv[0]).name} makes no sweeps: leave out -m, and type it once for each")
        main()

    return run


def run_job(objective: str | None) -> float | None:
    """Run the Hydra job that this process has been given, unless it finished in an earlier attempt.

    Args:
        objective: name of a figure, see `objective.read_objective`.

    Raises:
        JobFailedError: the job failed, or has no such figure.
        SweepStoppedError: the sweep was asked to stop, or no job will have such a figure; in the sweep's own process
            what `Stop.error` says.
    """
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    sweep, folder = SweepFolder(Path(hydra.sweep.dir).absolute()), Path(hydra.runtime.output_dir)
    launcher = str(hydra.launcher._target_).rpartition(".")[2]
    _check_going_on(sweep, watch_sweep=launcher == JOBLIB_LAUNCHER)
    job = _job(sweep, hydra.job.num, list(hydra.overrides.task), folder)
    if job.status != FINISHED and not (folder / SUMMARY_FILE).is_file():
        _wait_for_earlier_process(job)
        job = _run(sweep, job, folder, launcher)
    job = replace(job, status=FINISHED, error=None)
    if (read_summary(folder) or {}).get("status") == PRUNED:
        objective = None  # its search has given it up: it has not all the figures of a run, and none to be judged by
    try:
        job = replace(job, objective=None if objective is None else read_objective(folder, objective))
    except InputError as error:
        job = replace(job, status=FAILED, objective=None, error=str(error))
        no_job_has_it = isinstance(error, UnknownFigureError)
    sweep.write_job(job)
    if job.error is None:
        _say(job, f"finished, {job.seconds:.0f} s" + ("" if objective is None else f", {objective} {job.objective}"))
        return job.objective
    _say(job, f"finished, {job.seconds:.0f} s, but {job.error}")
    if no_job_has_it:
        stop = Stop(0, f"{job.error}; go on with  {sweep.resume_command()} objective=<another>")
        sweep.ask_to_stop(stop)
        raise _stopped(stop)
    raise JobFailedError(job.error)


def _job(sweep: SweepFolder, number: int, overrides: list[str], folder: Path) -> Job:
    """What is known of the job from an earlier attempt; a new one where nothing is."""
    job = Job(number, os.path.relpath(folder, sweep.path), overrides)
    earlier = sweep.read_job(number)
    if earlier is None:
        return job
    before, now = ({k: v for k, v in one.settings().items() if k not in SAME_RUN} for one in (earlier, job))
    if before != now:
        raise JobFailedError(f"job {number} of {sweep.path} has run with other settings: {' '.join(earlier.overrides)}")
    return replace(earlier, overrides=overrides)


def _run(sweep: SweepFolder, job: Job, folder: Path, launcher: str) -> Job:
    """Start the command of a job and wait for its end; the job as it stands then, which has been noted if it failed."""
    command, error_file, started = sweep.read_command(), sweep.error_file(job.number), time.monotonic()
    arguments = [sys.executable, command.script, *job_arguments(), f"name={quoted(f'{sweep.name}/{job.number}')}"]
    error_file.unlink(missing_ok=True)
    job = replace(job, status=RUNNING, error=None, objective=None, host=socket.gethostname())
    _say(job, f"begins in {folder}")
    with ExitStack() as files:
        # Side by side they would write over each other on the screen.
        screen = None if launcher == BASIC_LAUNCHER else files.enter_context((folder / OUTPUT_FILE).open("ab"))
        process = subprocess.Popen(
            arguments,
            cwd=command.typed_in,
            env=_environment(sweep, folder, error_file),
            stdout=screen,
            stderr=screen,
            start_new_session=True,  # a terminal's Ctrl-C reaches the job through the sweep alone: twice would be more
        )
    try:
        sweep.write_job(job := replace(job, process=process.pid))
        stop = _wait(process, sweep, watch_sweep=launcher == JOBLIB_LAUNCHER)
    except BaseException:  # a second signal, or whatever ends this process: a job nobody waits for must end too
        _end(process, SECONDS_TO_END)
        job = replace(job, seconds=_seconds(job, started), status=INTERRUPTED, error="stopped at once")
        sweep.write_job(job)
        raise
    job = replace(job, seconds=_seconds(job, started))
    if process.returncode == 0:
        return job
    line = _last_line(error_file, process.returncode)
    job = replace(job, status=FAILED if stop is None else INTERRUPTED, error=line)
    sweep.write_job(job)
    _say(job, f"{job.status}, {job.seconds:.0f} s: {line}")
    if stop is None:
        raise JobFailedError(line)
    raise _stopped(stop)


def _environment(sweep: SweepFolder, folder: Path, error_file: Path) -> dict[str, str]:
    # The job is no task of Slurm's, which knows of one process here: it starts its ranks itself.
    own = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return own | {
        RUN_DIR_VARIABLE: str(folder),
        SWEEP_VARIABLE: sweep.name,
        ERROR_FILE_VARIABLE: str(error_file),
        PARENT_VARIABLE: str(os.getpid()),
    }


def _wait(process: "subprocess.Popen[bytes]", sweep: SweepFolder, watch_sweep: bool) -> Stop | None:
    """Wait for the end of a job; the request to stop that it was told of, if there was one."""
    told = None
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
            return told
        stop = sweep.asked_to_stop() or (ORPHANED if watch_sweep and _is_orphan() else None)
        if stop is not None and stop.signal and told is None:
            told = stop
            with suppress(ProcessLookupError):
                process.send_signal(stop.signal)


def _end(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """End a job and everything it has started."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _check_going_on(sweep: SweepFolder, watch_sweep: bool) -> None:
    """Begin nothing where the sweep was asked to stop, or its process has ended with jobs still waiting."""
    if not _is_sweep() and threading.current_thread() is threading.main_thread():
        # Ctrl-C reaches all processes of a terminal: the sweep's own answers for them.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = sweep.asked_to_stop() or (ORPHANED if watch_sweep and _is_orphan() else None)
    if stop is not None:
        raise _stopped(stop)


def _stopped(stop: Stop) -> BaseException:
    """What ends the sweep in its own process; elsewhere an error that its launcher hands back to it."""
    return stop.error() if _is_sweep() else SweepStoppedError(stop.signal, stop.line)


def _is_sweep() -> bool:
    return os.environ.get(SWEEP_PROCESS_VARIABLE) == str(os.getpid())


def _is_orphan() -> bool:
    """Whether this process worked for that of a sweep, and is alone now; one that is the sweep's own never is."""
    return not _is_sweep() and os.getppid() != int(os.environ.get(SWEEP_PROCESS_VARIABLE) or os.getppid())


def _wait_for_earlier_process(job: Job) -> None:
    """Let a process of an earlier attempt end that may be writing its last checkpoint.

    Raises:
        JobFailedError: it does not.
    """
    if job.process is None or job.status == FAILED or job.host != socket.gethostname():
        return
    until = time.monotonic() + SECONDS_TO_SAVE
    while job.is_at_work():
        if time.monotonic() > until:
            raise JobFailedError(f"process {job.process} still works on it: wait for it, or end it")
        time.sleep(POLL_SECONDS)


def _last_line(error_file: Path, code: int) -> str:
    """Why a job ended with this exit code."""
    if error_file.is_file() and (line := error_file.read_text(encoding="utf-8").strip()):
        return line
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _seconds(job: Job, started: float) -> float:
    return round(job.seconds + time.monotonic() - started, 1)


def _say(job: Job, what: str) -> None:
    print(f"job {job.number}: {what}", flush=True)
