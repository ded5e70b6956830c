"""Searches whose jobs are processes of a sweep, as those of train.py and backtest.py are: what users type."""

import csv
import json
import re
import subprocess

import pytest
from searches import App, states

THREE = "hydra.sweeper.n_trials=3"


@pytest.fixture
def app(tmp_path):
    return App(tmp_path, own_processes=True)


def statuses(app, name="first"):
    return [json.loads(path.read_text())["status"] for path in sorted(jobs_of(app, name).glob("*.json"))]


def jobs_of(app, name):
    return app.outputs / "train" / name / "jobs"


def test_a_search_that_has_its_trials_has_not_failed(app):
    """Killed in its second trial, and its third fails: that is told, and the exit code is 0."""
    typed = ["wait_in=1", "fail_in=[3]", THREE]
    app.kill_in_job(2, *typed)
    done = app.run(on=typed)["on"]
    assert states(app.trials()) == ["complete", "failed", "complete", "failed"]
    assert statuses(app) == ["finished", "interrupted", "finished", "failed"]
    assert done["code"] == 0
    assert done["err"].count("\n") == 1 and done["err"].startswith("failed: job 3 ")  # job 2 has stood in for job 1
    assert "2 of 4 jobs finished" in done["out"]


def test_a_pruned_trial_has_no_objective_and_ends_nothing(app):
    done = app.run(pruned=["prune_in=[1]", THREE])["pruned"]
    assert states(app.trials()) == ["complete", "pruned", "complete"]
    assert statuses(app) == ["finished"] * 3
    assert (done["code"], done["err"]) == (0, "")


@pytest.mark.slow
def test_trials_run_side_by_side(app):
    """Two at a time, by `hydra/launcher=joblib`; of each pair none goes on before the other has begun."""
    from kronos_lab.runs.search_trial import open_study

    command = app.command(
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=4",
        "side_by_side=2",
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    folder = app.outputs / "train" / "first"
    jobs = sorted(app.jobs())
    assert [trial for trial, *_ in jobs] == ["0", "1", "2", "3"]
    processes = [json.loads((folder / "jobs" / f"{trial}.json").read_text())["process"] for trial in range(4)]
    assert [int(process) for *_, process in jobs] == processes and len(set(processes)) == 4

    trials = open_study(folder / "journal.log").get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    expected = [(float(x) - 0.3) ** 2 + {"'a'": 0, "'b'": 1}[kind] for _, x, kind, _ in jobs]
    assert [trial.value for trial in trials] == pytest.approx(expected) and len(set(expected)) == 4
    with (folder / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    numbers = [str(number) for number in range(4)]
    assert [(row["job"], row["folder"], row["status"]) for row in rows] == [(n, n, "finished") for n in numbers]
    assert [float(row["objective"]) for row in rows] == [trial.value for trial in trials]
    assert [row["x"] for row in rows] == [trial["x"] for trial in app.trials()]
    best = min(range(4), key=lambda trial: expected[trial])
    assert re.search(rf"best: trial {best}, {expected[best]:.6g}, with", done.stdout), done.stdout


def test_a_refused_search_changes_nothing(app):
    one = "hydra.sweeper.n_trials=1"
    assert app.run(first=[one])["first"]["code"] == 0
    trained = app.outputs / "train" / "trained"
    trained.mkdir()
    (trained / "summary.json").write_text("{}")
    before = everything(app)
    refused = app.run(
        other_space=["hydra.sweeper.n_trials=2", "x=interval(0,2)"],
        run=[one, "name=trained"],
        unknown_key=[one, "name=none", "y=interval(0,1)"],
        no_grid=[one, "name=none", "hydra/sweeper/sampler=grid"],
        no_objective=[one, "name=none", "objective=null"],
    )
    assert [said["code"] for said in refused.values()] == [1] * 5
    assert "is the folder of a run: choose another name=" in refused["run"]["err"]
    assert everything(app) == before


def everything(app):
    """But for the journal, which notes that somebody has read it."""
    paths = [path for path in app.outputs.rglob("*") if path.name != "journal.log"]
    return {path: path.read_text() if path.is_file() else None for path in paths}
