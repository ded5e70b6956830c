"""Sweeps of a small script that does what real jobs do: finish, fail, die, save when told to stop, go on."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kronos_lab.runs.folder import project_root
from kronos_lab.runs.sweep_folder import Job, differing_settings

SCRIPT = """
import hydra
from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers
from kronos_lab.runs.sweep_jobs import own_process_in_sweeps

register_resolvers()

@one_line_errors
@hydra.main(version_base="1.3", config_path="conf", config_name="job")
@own_process_in_sweeps
def main(cfg):
    import json, os, pathlib, signal, sys, time
    from kronos_lab.errors import InputError, Interrupted
    from kronos_lab.runs.folder import this_run_folder

    folder = this_run_folder()
    with (folder / "attempts").open("a") as attempts:
        keys = ("OMP_NUM_THREADS", "KRONOS_LAB_SWEEP", "SLURM_NTASKS")
        attempts.write(json.dumps({"name": cfg.name, **{key: os.environ.get(key) for key in keys}}) + "\\n")
    repaired = pathlib.Path("repaired").exists()
    if cfg.x == "refused" and not repaired:
        raise InputError("x=refused cannot be")
    if cfg.x == "bug" and not repaired:
        raise RuntimeError("a bug")
    if cfg.x == "killed" and not repaired:
        os.kill(os.getpid(), signal.SIGKILL)
    if cfg.x == "slow" and not repaired:
        def stop(number, frame):
            (folder / "saved").touch()
            raise Interrupted(number, "saved")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        (folder / "ready").touch()
        time.sleep(60)
    headline = {"figure": cfg.seed * 1.5 if cfg.x != "unknown" else None}
    (folder / "summary.json").write_text(json.dumps({"headline": headline}))

if __name__ == "__main__":
    main()
"""
CONFIG = """
defaults: [_self_]
hydra:
  run: {dir: "${run_folder:out,job,${name}}"}
  sweep: {dir: "${run_folder:out,job,${name}}", subdir: "${hydra.job.num}"}
  output_subdir: null
  callbacks: {sweep: {_target_: kronos_lab.runs.sweep.SweepCallback}}
  job_logging: {root: {handlers: [console]}, handlers: {console: {class: logging.StreamHandler}}, version: 1}
name: sweep_of_${x}
x: fine
seed: 2
objective: null
debug: false
"""


class Command:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "conf").mkdir()
        (folder / "conf" / "job.yaml").write_text(CONFIG)
        (folder / "job.py").write_text(SCRIPT)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        return subprocess.Popen(
            [sys.executable, "job.py", *arguments], cwd=self.folder, env=inherited | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments, **environment)
        stdout, stderr = process.communicate(timeout=100)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def sweep(self, name: str) -> Path:
        return self.folder / "out" / "job" / name

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.sweep(name) / "sweep.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def column(self, name: str, key: str) -> list[str]:
        return [row[key] for row in self.table(name)]

    def attempts(self, name: str, number: int) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.sweep(name) / str(number) / "attempts").read_text().splitlines()]

    def wait_for(self, process: "subprocess.Popen[str]", *files: Path) -> None:
        until = time.monotonic() + 60
        while not all(file.exists() for file in files):
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            time.sleep(0.05)


@pytest.fixture
def command(tmp_path):
    (folder := tmp_path / "a folder").mkdir()
    return Command(folder)


def test_a_job_that_fails_does_not_end_the_sweep_and_is_tried_again(command):
    # One job at a time for Hydra, which asks for the results before it launches the next.
    done = command(
        "-m", "x=refused,bug,killed,fine", "name=s", "objective=figure", "hydra.sweeper.max_batch_size=1",
        SLURM_NTASKS="1",
    )  # fmt: skip
    assert done.returncode == 1
    lines = done.stderr.splitlines()[-4:]
    assert lines[:3] == [
        "failed: job 0 x=refused: x=refused cannot be",
        "failed: job 1 x=bug: RuntimeError: a bug",
        "failed: job 2 x=killed: killed by SIGKILL",
    ]
    assert lines[3].endswith(f"python job.py -m \"resume='{command.sweep('s')}'\"")
    assert command.column("s", "status") == ["failed", "failed", "failed", "finished"]
    assert command.column("s", "objective") == ["", "", "", "3.0"]
    assert list(command.table("s")[0]) == ["job", "x", "status", "objective", "seconds", "folder", "error"]
    alone = {"name": "s/3", "OMP_NUM_THREADS": None, "KRONOS_LAB_SWEEP": "s", "SLURM_NTASKS": None}
    assert command.attempts("s", 3) == [alone]

    (command.folder / "repaired").touch()
    again = command("-m", f"resume='{command.sweep('s')}'", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert again.returncode == 0, again.stderr
    assert command.column("s", "status") == ["finished"] * 4
    assert command.column("s", "objective") == ["3.0"] * 4
    assert [len(command.attempts("s", number)) for number in range(4)] == [2, 2, 2, 1]
    every = [attempt for number in range(4) for attempt in command.attempts("s", number)]
    assert {attempt["KRONOS_LAB_SWEEP"] for attempt in every} == {"s"}  # side by side too: their tag in Comet
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    assert command.attempts("s", 0)[1]["OMP_NUM_THREADS"] == str(threads)  # of two jobs side by side
    assert "x=fine" not in again.stderr and not list(command.sweep("s").rglob("*.partial"))


def test_one_process_of_joblib_is_the_sweeps_own(command):
    """As `n_jobs=-1` means on one core: nobody waits for that process but the shell."""
    done = command("-m", "seed=1", "name=s", "objective=figure", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1")
    assert done.returncode == 0, done.stderr
    assert command.column("s", "objective") == ["1.5"]


@pytest.mark.slow
def test_a_signal_reaches_all_jobs_and_the_sweep_goes_on_afterwards(command):
    options = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "name=s", "x=slow")
    process = command.start("-m", "seed=1,2,3", *options, OMP_NUM_THREADS="1")
    command.wait_for(process, *(command.sweep("s") / str(number) / "ready" for number in range(2)))
    at_work = command("-m", f"resume='{command.sweep('s')}'")
    assert at_work.returncode == 1 and f"is at work in process {process.pid} on " in at_work.stderr
    assert at_work.stderr.count("\n") == 1
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 143, stderr
    assert (
        stderr.startswith("the sweep was interrupted by SIGTERM; go on with  python job.py -m")
        and "once more" in stdout
    )
    assert stderr.count("\n") == 1, stderr
    for number in range(2):
        assert (command.sweep("s") / str(number) / "saved").exists()
    assert command.column("s", "status") == ["interrupted"] * 2
    assert command.column("s", "error") == ["saved"] * 2
    assert command.attempts("s", 0)[0]["OMP_NUM_THREADS"] == "1"  # as the user had it
    assert not (command.sweep("s") / "2" / "attempts").exists()

    (command.folder / "repaired").touch()
    done = command("-m", f"resume='{command.sweep('s')}'", "hydra/launcher=basic", "objective=figure")
    assert done.returncode == 0, done.stderr
    assert command.column("s", "objective") == ["1.5", "3.0", "4.5"]


@pytest.mark.slow
def test_a_job_does_not_outlive_a_sweep_that_was_killed(command):
    process = command.start("-m", "seed=1,2", "name=s", "x=slow")
    command.wait_for(process, command.sweep("s") / "0" / "ready")
    (row,) = command.table("s")  # up to date before anything has ended
    assert (row["status"], row["seed"]) == ("running", "1")
    job = psutil.Process(json.loads((command.sweep("s") / "jobs" / "0.json").read_text())["process"])
    process.kill()
    job.wait(30)
    assert (command.sweep("s") / "0" / "saved").exists()
    process.communicate()
    (command.folder / "repaired").touch()
    assert command("-m", f"resume='{command.sweep('s')}'").returncode == 0
    assert command.column("s", "status") == ["finished"] * 2


@pytest.mark.slow
def test_ctrl_c_twice_ends_at_once(command):
    process = command.start("-m", "x=slow", "name=s")
    command.wait_for(process, command.sweep("s") / "0" / "ready")
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert command.column("s", "status") == ["interrupted"]


def test_an_objective_that_no_run_has_ends_the_sweep_and_costs_nothing(command):
    (command.folder / "other_conf").mkdir()
    done = command("seed=1,2", "x=fine", "name=s", "objective=figur", "--config-dir", "other_conf", "-m")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: objective=figur is no figure of "), (
        done.stderr
    )
    assert "it has figure" in done.stderr and done.stderr.endswith(" objective=<another>\n")
    assert command.column("s", "status") == ["failed"]
    on = command(f"resume='{command.sweep('s')}'", "objective=figure", "-m")  # -m may be typed last
    assert on.returncode == 0, on.stderr
    assert command.column("s", "objective") == ["1.5", "3.0"]
    assert len(command.attempts("s", 0)) == 1


def test_sweeps_at_the_same_moment_share_no_folder_and_one_sweep_has_one(command):
    """Of several values of x, which the usual name is made of, too; a figure that is null fails its job alone."""
    same = [command.start("-m", "x=fine,unknown", "objective=figure") for _ in range(2)]
    for process in same:
        _, stderr = process.communicate(timeout=100)
        assert process.returncode == 1
        assert "failed: job 1 x=unknown: objective=figure is not known of" in stderr, stderr
    sweeps = sorted(path.name for path in (command.folder / "out" / "job").iterdir())
    assert sweeps == ["sweep_of_fine", "sweep_of_fine-2"]
    for name in sweeps:
        assert command.column(name, "status") == ["finished", "failed"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "resume=nowhere"], "resume=nowhere: "),
        (["-m", "resume=other", "seed=1,2"], "leave out seed=1,2"),
        (["-m", "resume=other"], "is a sweep of "),
        (["-m", "seed=1,2", "objective=5"], "objective=5 names no figure"),
        (["-m", "x=a,b", "hydra/launcher=submitit_local", "hydra.launcher.nodes=2"], "a job of a sweep is one"),
        (["-m", "sead=1,2"], "no setting or group 'sead'"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_one_line_and_leaves_no_folder(command, arguments, words):
    (command.folder / "other").mkdir()
    (command.folder / "other" / "sweep.json").write_text(
        '{"script": "/train.py", "arguments": ["-m"], "typed_in": "/"}'
    )
    done = command(*arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ") and words in done.stderr, done.stderr
    assert not list((command.folder / "out").rglob("*.*")) and not list((command.folder / "out" / "job").glob("*"))


def test_settings_that_differ_are_those_a_table_has():
    jobs = [Job(n, str(n), [f"seed={n}", "x=1", "objective=a", *["+y=2"] * n]) for n in range(2)]
    assert differing_settings(jobs) == ["seed", "y"]
    assert differing_settings(jobs[:1]) == ["seed", "x"]
    assert jobs[1].describe(["y"]) == "job 1 y=2"


ONE_RUN_ONLY = (
    "backtest/run_placebos.py", "backtest/todays_orders.py", "backtest/compare_runs.py", "finetune/walk_forward.py",
    "finetune/prepare_market.py",
)  # fmt: skip


@pytest.mark.parametrize("script", ONE_RUN_ONLY)
def test_what_has_nothing_to_sweep_says_so(script, tmp_path):
    command = [sys.executable, str(project_root() / script), "-m", "debug=true,false", f"paths.outputs='{tmp_path}'"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    words = f"error: {Path(script).name} makes no sweeps: leave out -m, and type it once for each\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", words)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_submitit_runs_jobs_as_it_would_on_a_cluster(command):
    """With its local executor: the objective comes back, a job that fails is a row, and its line is told."""
    launcher = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=2")
    done = command("-m", "x=fine,refused", "seed=3", "objective=figure", "name=s", *launcher)
    assert done.returncode == 1 and "x=refused cannot be" in done.stderr, done.stderr
    assert command.column("s", "status") == ["finished", "failed"]
    assert float(command.column("s", "objective")[0]) == 4.5
    (command.folder / "repaired").touch()
    again = command("-m", f"resume='{command.sweep('s')}'", *launcher)
    assert again.returncode == 0, again.stderr
    assert command.column("s", "status") == ["finished", "finished"] and len(command.attempts("s", 0)) == 1
