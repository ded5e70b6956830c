"""Commands of an experiment, each run once, and what they found kept beside its README.

What has finished is not run again, what was interrupted begins anew. A record is of a revision: nothing is run in a
checkout with uncommitted changes.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from kronos_lab.runs.summary import git_state

PROJECT = Path(__file__).resolve().parents[1]
# One thread a process, on a CPU wherever this runs: small models are faster so, and the figures are the same.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
SHARED = "../shared/data"
# Real bars, which are not part of this project.
REAL_MARKET = [
    "market=files", "market.name=csi800", f"market.bars={SHARED}/cn_csi800_day.parquet",
    f"market.memberships={SHARED}/instruments", f"market.indices={SHARED}/cn_index_day.csv.gz",
]  # fmt: skip


class Run(NamedTuple):
    """One command and the folder of its run."""

    kind: str
    name: str
    typed: list[str]

    @property
    def folder(self) -> Path:
        """Where the run leaves what it has to say."""
        return PROJECT / "outputs" / self.kind / self.name

    @property
    def as_typed(self) -> str:
        """The command as one types it."""
        return as_typed(self.typed)

    def summary(self) -> dict[str, Any]:
        """What the run wrote at its end; runs the command where it has not."""
        if not (self.folder / "summary.json").is_file():
            refuse_changes()
            if self.folder.exists():
                print(f"{self.folder} was interrupted: it begins anew", flush=True)
                shutil.rmtree(self.folder)
            if start(self.typed).wait():
                raise SystemExit(f"no results: this command failed: {self.as_typed}")
        summary = read_summary(self.folder)
        if summary["command"][1:] != self.typed:
            raise SystemExit(f"no results: {self.folder} is of another command: move it away, and try again")
        return summary


def as_typed(typed: Sequence[str]) -> str:
    """A command as one types it."""
    return f"OMP_NUM_THREADS=1 {shlex.join(['python', *typed])}"


def start(typed: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Start a command, and say which."""
    refuse_changes()
    print("$", as_typed(typed), flush=True)
    return subprocess.Popen([sys.executable, *typed], cwd=PROJECT, env=os.environ | ENVIRONMENT)


def refuse_changes() -> None:
    """End with one line where the checkout is not as committed."""
    if git_state()["dirty"] is not False:
        raise SystemExit("no results: they are of a revision: commit or stash what git status lists, and try again")


def read_summary(folder: Path) -> dict[str, Any]:
    """What a run wrote at its end; one of a checkout with uncommitted changes ends with one line."""
    summary = json.loads((folder / "summary.json").read_text())
    if summary["git"]["dirty"] is not False:
        raise SystemExit(f"no results: {folder} was run with uncommitted changes: move it away, and try again")
    return summary


def sweep_summary(folder: Path) -> dict[str, Any]:
    """The jobs of a sweep that have finished, in short.

    Returns:
        `name`, `seconds` (from the beginning of the first job to the end of the last), `jobs` (the seconds of each, by
        its number) and `git` (as in the summary of a run; of several revisions all).
    """
    folders = sorted((path.parent for path in folder.glob("*/summary.json")), key=lambda path: int(path.name))
    jobs = {path.name: read_summary(path) for path in folders}
    ends = {name: datetime.fromisoformat(job["finished"]) for name, job in jobs.items()}
    begun = min(ends[name] - timedelta(seconds=job["duration_seconds"]) for name, job in jobs.items())
    return {
        "name": folder.name,
        "seconds": round((max(ends.values()) - begun).total_seconds(), 1),
        "jobs": {name: job["duration_seconds"] for name, job in jobs.items()},
        "git": {"revision": " ".join(sorted({job["git"]["revision"] for job in jobs.values()})), "dirty": False},
    }


def keep_results(runs: Sequence[Run], experiment: Path, kept: Mapping[str, Sequence[str]]) -> None:
    """Run what has not been run, then write `results/`: commands, summaries without a path of this machine, and files.

    Nothing is written before all runs have finished, so that the checkout is as committed while they run.

    Args:
        runs: in the order in which they are typed.
        experiment: folder of its README.
        kept: names of files in the run folder that are copied, by kind of run.
    """
    summaries, results = [run.summary() for run in runs], experiment / "results"
    results.mkdir(exist_ok=True)
    (results / "commands.txt").write_text("\n".join(run.as_typed for run in runs) + "\n")
    for run, summary in zip(runs, summaries, strict=True):
        text = json.dumps(summary, indent=2) + "\n"
        (results / f"{run.kind}_{run.name}_summary.json").write_text(without_places(text))
        for file in kept.get(run.kind, ()):
            (results / file).write_text(without_places((run.folder / file).read_text()))


def without_places(text: str) -> str:
    """What a run wrote, without the folders of this machine."""
    return text.replace(sys.executable, "python").replace(f"{PROJECT}/", "").replace(str(PROJECT), ".")


def need_shared_data() -> None:
    """End with one line where the real bars are not there."""
    if not (PROJECT / SHARED).is_dir():
        raise SystemExit(f"no results: there is no {SHARED}, which is not part of this project")
