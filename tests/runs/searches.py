"""Searches of the small application `searched_app.py`, and what they leave."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from many_commands import ROOT, run_commands

APP = "tests/runs/searched_app.py"
CONFIG = """
defaults:
  - _self_
  - hparams_search: default
paths:
  outputs: null
name: first
seed: 3
x: 0.0
kind_of: a
wait_in: null
fail_in: []
nothing_in: []
nan_in: []
prune_in: []
side_by_side: 1
own_processes: false
debug: false
hydra:
  searchpath: ["file://CONF"]
  output_subdir: null
  callbacks: {sweep: {_target_: kronos_lab.runs.sweep.SweepCallback}}
  run: {dir: "${run_folder:${paths.outputs},train,${name}}"}
  sweep:
    dir: ${sweep_folder:${paths.outputs},train,${name},${oc.select:hparams_search}}
  sweeper:
    n_trials: 5
    params: {x: "interval(0, 1)", kind_of: "choice(a, b)"}
"""


class App:
    """The application of `searched_app.py`, in a folder of its own.

    Args:
        folder: for its configuration and what it leaves.
        own_processes: whether each job is a process of its own, as those of the root scripts are.
    """

    def __init__(self, folder: Path, own_processes: bool = False) -> None:
        (folder / "conf").mkdir(parents=True)
        config = CONFIG.replace("CONF", str(ROOT / "conf"))
        if own_processes:
            config = config.replace("own_processes: false", "own_processes: true\nobjective: value")
        (folder / "conf" / "searched.yaml").write_text(config)
        self.folder, self.outputs = folder, folder / "out puts"
        self.outputs.mkdir()

    def arguments(self, *overrides: str) -> list[str]:
        return ["--config-path", str(self.folder / "conf"), "-m", f"paths.outputs='{self.outputs}'", *overrides]

    def command(self, *overrides: str) -> list[str]:
        return [sys.executable, str(ROOT / APP), *self.arguments(*overrides)]

    def kill_in_job(self, number: int, *overrides: str) -> None:
        process = subprocess.Popen(self.command(*overrides), stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while len(self.jobs()) < number:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def run(self, **commands: list[str]) -> dict[str, dict[str, Any]]:
        """Run commands one after the other, in one process; the exit code of each, and what it said."""
        return run_commands(APP, {name: self.arguments(*command) for name, command in commands.items()}, self.folder)

    def jobs(self) -> list[list[str]]:
        file = self.outputs / "jobs.txt"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def trials(self, name: str = "first") -> list[dict[str, str]]:
        with (self.outputs / "train" / name / "trials.csv").open() as file:
            return list(csv.DictReader(file))


def states(trials):
    return [trial["state"] for trial in trials]


def parameters(trials):
    return [(trial["x"], trial["kind_of"]) for trial in trials]
