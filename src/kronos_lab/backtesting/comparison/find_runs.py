"""Which backtests are compared: names, folders, patterns and the folders of sweeps."""

import glob
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import CONFIG_FILE, SUMMARY_FILE, project_root
from kronos_lab.runs.summary import read_summary

PATTERN = re.compile(r"[*?\[]")
HOW = {  # runs of another kind, and what makes a backtest of them
    "train": "a training run: backtest it with python backtest.py checkpoint=<run>",
    "evaluate": "an evaluation of forecasts: backtest its checkpoint with python backtest.py checkpoint=<run>",
}

log = logging.getLogger(__name__)


def find_runs(given: Any, outputs: Path, skip_unfinished: bool = False) -> list[Path]:
    """Folders of finished backtests, each once, in the order given; those of a sweep by the number of their job.

    Args:
        given: `runs=`: one or a list of names under `outputs/backtest`, folders, patterns of either, folders of sweeps.
        outputs: folder of all runs.
        skip_unfinished: whether jobs of sweeps and patterns that did not finish are left out, with a line for each.

    Raises:
        InputError: nothing is given or found, or something found is no finished backtest.
    """
    named = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if not named or any(not isinstance(one, str | int) or isinstance(one, bool) or one == "" for one in named):
        raise InputError(f"runs={'null' if given is None else given}: give finished backtests, runs=[first,second,...]")
    found: dict[Path, None] = {}
    for one in named:
        folders = _named(str(one), outputs)
        several = len(folders) > 1 or bool(PATTERN.search(str(one)))
        for folder in folders:
            jobs = [] if is_backtest(folder) else _jobs(folder)
            for run in jobs or [folder]:
                if skip_unfinished and (jobs or several) and not (run / SUMMARY_FILE).is_file():
                    log.warning("left out    %s, which did not finish", run)
                    continue
                _check(run, str(one))
                found[run.resolve()] = None
    if not found:
        raise InputError(f"runs={given}: none of them has finished")
    return list(found)


def is_backtest(folder: Path) -> bool:
    """Whether a folder is that of a finished backtest."""
    return (read_summary(folder) or {}).get("kind") == "backtest"


def _named(given: str, outputs: Path) -> list[Path]:
    """What a name, folder or pattern stands for: from here, else among backtests, or all runs, or from the project."""
    path = Path(given).expanduser()
    for place in (path, outputs / "backtest" / path, outputs / path, project_root() / path):
        if place.is_dir():
            return [place]
        if PATTERN.search(given):
            matches = [Path(match) for match in glob.glob(str(place))]  # noqa: PTH207  (Path.glob takes no absolute ones)
            if folders := sorted((match for match in matches if match.is_dir()), key=_counted):
                return folders
    raise InputError(f"runs: {given} is no finished backtest: there is no {outputs / 'backtest' / path}")


def _jobs(folder: Path) -> list[Path]:
    """Run folders of the jobs of a sweep."""
    folders = [path for path in folder.iterdir() if path.is_dir()]
    jobs = [path for path in folders if path.name.isdigit() or (path / CONFIG_FILE).is_file()]
    return sorted(jobs, key=_counted)


def _counted(path: Path) -> list[tuple[bool, int, str]]:
    """Job 10 comes after job 9."""
    parts = re.split(r"(\d+)", str(path))
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _check(run: Path, given: str) -> None:
    summary = read_summary(run)
    if summary is None:
        further = "" if given == str(run) else f" (of runs={given}; skip_unfinished=true leaves such jobs out)"
        raise InputError(f"{run} is no finished backtest: it has no {SUMMARY_FILE}{further}")
    kind = summary.get("kind")
    if kind != "backtest":
        what = HOW.get(str(kind), f"a run of kind {kind!r}: finished backtests are compared")
        raise InputError(f"{run} is {what}")
