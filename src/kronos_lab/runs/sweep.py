"""A sweep (`-m`) as a whole: how it begins, how it is stopped and gone on with, and what it says at its end.

Hydra's sweeper says which jobs there are, its launcher where they run, `sweep_jobs` how.
"""

import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from kronos_lab.errors import InputError, Interrupted
from kronos_lab.runs.folder import (
    AT_WORK_FILE,
    CONFIG_FILE,
    LOCK_FILE,
    SUMMARY_FILE,
    SWEEP_FILE,
    find_folder,
    project_root,
    quoted,
)
from kronos_lab.runs.folder_lock import lock_folder, unlock_folder
from kronos_lab.runs.objective import check_objective
from kronos_lab.runs.sweep_folder import (
    FINISHED,
    INTERRUPTED,
    RUNNING,
    TABLE_FILE,
    Stop,
    SweepCommand,
    SweepFolder,
    differing_settings,
)
from kronos_lab.runs.sweep_inputs import differing_data, settle_weights
from kronos_lab.runs.sweep_jobs import SWEEP_PROCESS_VARIABLE

MULTIRUN = {"-m", "--multirun"}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# What may be typed beside resume=: how the sweep is run, not what.
BESIDE_RESUME = ("objective=", "debug=", "paths.outputs=", "hydra/launcher=", "hydra.launcher.")


class Sweep:
    """The sweep of this process, from `SweepCallback.on_multirun_start` to `end_of_sweep`.

    Args:
        folder: where it is noted.
        lock: held on it.
        command: what was typed.
    """

    def __init__(self, folder: SweepFolder, lock: FileLock, command: SweepCommand) -> None:
        self.folder, self._lock, self._command = folder, lock, command
        self._noted = False
        os.environ[SWEEP_PROCESS_VARIABLE] = str(os.getpid())
        self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}

    def settle(self, overrides: list[str]) -> None:
        """Keep these with what was typed."""
        self._command = replace(self._command, settled=overrides)

    def note(self) -> None:
        """Keep what was typed, from the first job on."""
        if not self._noted:
            self.folder.write_command(self._command)
            self._noted = True

    def close(self) -> None:
        """Give the signals back, and the folder to whoever wants to go on with it; one with nothing in it goes."""
        os.environ.pop(SWEEP_PROCESS_VARIABLE, None)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if {path.name for path in self.folder.path.glob("*")} <= {LOCK_FILE, AT_WORK_FILE}:
            shutil.rmtree(self.folder.path, ignore_errors=True)
        unlock_folder(self._lock)

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Ask the jobs to stop, at a signal; at the second one leave.

        Nothing is raised at the first: launchers kill all their processes then, before any has saved anything.
        """
        if not self._noted:
            raise Interrupted(number, "interrupted before the first job")
        asked = self.folder.asked_to_stop()
        line = f"go on with  {self.folder.resume_command()}"
        if asked is not None and asked.signal:
            raise Interrupted(number, f"interrupted twice; {line}")
        name = signal.Signals(number).name
        self.folder.ask_to_stop(Stop(number, f"the sweep was interrupted by {name}; {line}"))
        print("stopping the jobs of this sweep; once more stops at once", flush=True)


_sweep: Sweep | None = None


class SweepCallback(Callback):
    """Begins and ends a sweep; Hydra calls it in the process of the sweep. A single run is none of its business.

    Args:
        figures: what `objective` may name, see `check_objective`, and what it is; None where that is not known before.
        listed: where people find them.
    """

    def __init__(self, figures: Mapping[str, str] | None = None, listed: str | None = None) -> None:
        self.figures, self.listed = figures, listed

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Note the sweep in its folder, and refuse what can be refused before there is a job."""
        _ends_hydra(lambda: self._begin(config))

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Say what has become of the jobs; exit code 1 where one has failed."""
        _ends_hydra(lambda: _finish(_is_search(config)))

    def _begin(self, config: DictConfig) -> None:
        check_objective(config.get("objective"), self.figures, self.listed or "")
        _begin(config)


def _ends_hydra(do: Callable[[], None]) -> None:
    """Have an error end the sweep: Hydra makes a warning of every exception of a callback that is an `Exception`."""
    try:
        do()
    except Exception as error:  # all that Hydra would make a warning of
        raise SystemExit(1) from error


def _begin(config: DictConfig) -> None:
    global _sweep  # noqa: PLW0603  (of this process, until `end_of_sweep`)
    launcher = config.hydra.launcher
    for key in ("tasks_per_node", "nodes"):
        if launcher.get(key, 1) != 1:
            raise InputError(
                f"hydra.launcher.{key}={launcher[key]}: a job of a sweep is one process, which starts others"
            )
    path = Path(config.hydra.sweep.dir).absolute()
    if any((path / file).is_file() for file in (CONFIG_FILE, SUMMARY_FILE)):
        raise InputError(f"{path} is the folder of a run: choose another name=")
    path.mkdir(parents=True, exist_ok=True)
    folder = SweepFolder(path)
    lock = lock_folder(path)
    # Jobs compose their configuration anew, where the folder's usual name may have become another: of two universes.
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.sweep.dir = str(path)
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(path)}")
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("hydra.sweep.dir=")]
    earlier = folder.read_command() if (path / SWEEP_FILE).is_file() else None
    typed_in = earlier.typed_in if earlier else str(Path.cwd())
    folder.begin_again()
    _sweep = Sweep(folder, lock, SweepCommand(str(Path(sys.argv[0]).resolve()), arguments, typed_in))
    settled = settle_weights(config, earlier.settled if earlier else None)
    with read_write(config.hydra):
        config.hydra.overrides.task.extend(settled)  # which the sweeper is given next
    _sweep.settle(settled)
    if not _is_search(config):  # which may be refused yet by what its folder holds, and notes itself
        note_command()
    print(f"sweep       {path}", flush=True)


def _is_search(config: DictConfig) -> bool:
    from kronos_lab.runs.search_trial import GROUP

    return config.get(GROUP) is not None


def _finish(is_search: bool) -> None:
    """Say which jobs failed. A search that has come to its end has not: its journal counts trials, failed ones too."""
    from kronos_lab.runs.search import tried_again

    check_stopped()
    assert _sweep is not None
    folder = _sweep.folder
    folder.write_table()
    jobs = folder.jobs()
    differing = differing_settings(jobs)
    if different := differing_data(folder, jobs):
        print(f"warning: {different}", file=sys.stderr, flush=True)
    failed = [job for job in jobs if job.status != FINISHED]
    another_ended = tried_again(folder.path) if is_search else set()
    print(f"sweep       {len(jobs) - len(failed)} of {len(jobs)} jobs finished, {folder.path / TABLE_FILE}", flush=True)
    for job in failed:
        if job.number not in another_ended:
            print(f"{job.status}: {job.describe(differing)}: {job.error}", file=sys.stderr, flush=True)
    if failed and not is_search:
        print(f"to try again what failed:  {folder.resume_command()}", file=sys.stderr, flush=True)
        sys.exit(1)


def note_command() -> None:
    """Keep what was typed in the folder of this process's sweep: what resume= goes on with."""
    if _sweep is not None:
        _sweep.note()


def check_stopped() -> None:
    """End the sweep of this process, if it was asked to stop.

    Raises:
        Interrupted: by a signal.
        SystemExit: no job can give what is wanted.
    """
    stop = None if _sweep is None else _sweep.folder.asked_to_stop()
    if stop is None:
        return
    raise stop.error()


def end_of_sweep() -> None:
    """Leave a table that is true, and give back what the sweep of this process has taken; of none, nothing."""
    global _sweep
    if _sweep is None:
        return
    sweep, _sweep = _sweep, None
    for job in sweep.folder.jobs():
        if job.status == RUNNING and job.host == socket.gethostname() and not job.is_at_work():
            sweep.folder.write_job(replace(job, status=INTERRUPTED, error="its process was ended"))
    sweep.close()


def resume_sweep() -> None:
    """Replace `-m resume=<sweep>` on the command line by what that sweep was started with.

    Raises:
        InputError: there is no such sweep, it is of another command, or more is typed than how to run it.
    """
    arguments = sys.argv[1:]
    resume = [argument for argument in arguments if argument.startswith("resume=")]
    if not resume or not MULTIRUN & set(arguments):
        return
    beside = [argument for argument in arguments if argument not in MULTIRUN and argument not in resume]
    asked = [argument for argument in beside if not argument.startswith(BESIDE_RESUME)]
    if asked:
        raise InputError(f"resume= goes on with what the sweep was started with: leave out {', '.join(asked)}")
    given = next((argument for argument in beside if argument.startswith("paths.outputs=")), None)
    outputs = (
        OmegaConf.load(project_root() / "conf" / "paths" / "default.yaml").outputs if given is None else _value(given)
    )
    script = Path(sys.argv[0]).resolve()
    folder = SweepFolder(_find_sweep(_value(resume[-1]), Path(str(outputs)), script))
    command = folder.read_command()
    if Path(command.script).name != script.name:
        raise InputError(f"{folder.path} is a sweep of {command.script}: go on with it with that")
    options, overrides = _parse(command.arguments)
    sys.argv[1:] = ["-m", *options, *_without(overrides, beside), *beside, f"hydra.sweep.dir={quoted(folder.path)}"]


def _parse(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options but for -m, and overrides: nothing can be appended to overrides that an option follows."""
    from hydra._internal.utils import get_args_parser

    overrides = get_args_parser().parse_args(arguments).overrides
    return [one for one in arguments if one not in overrides and one not in MULTIRUN], overrides


def _value(argument: str) -> str:
    """What is behind the `=` of an argument, as Hydra reads it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return str(OverridesParser.create().parse_override(argument).value())


def _find_sweep(given: str, outputs: Path, script: Path) -> Path:
    """Folder of a sweep that is given by its path, or by its name among those of the script."""
    folder = find_folder(given, outputs, SWEEP_FILE)
    if folder is not None:
        return folder.absolute()
    named = [path.parent.absolute() for path in outputs.glob(f"*/{given}/{SWEEP_FILE}")]
    own = [path for path in named if Path(SweepFolder(path).read_command().script).name == script.name]
    if not own:
        path = Path(given).expanduser().absolute()
        raise InputError(f"resume={given}: {path} is not the folder of a sweep, it has no {SWEEP_FILE}")
    return own[0]


def _without(arguments: list[str], replaced: list[str]) -> list[str]:
    """Arguments of a sweep, without those that others now stand for."""
    keys = {argument.partition("=")[0] for argument in replaced}
    other_launcher = "hydra/launcher" in keys
    return [
        argument
        for argument in arguments
        if argument.lstrip("+").partition("=")[0] not in keys
        and not (other_launcher and argument.lstrip("+").startswith("hydra.launcher."))
    ]
