"""What experiments recorded is of the commands that record it, and READMEs quote it as it is."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from experiment_folders import EXPERIMENTS, assert_quoted, record_of, tables_of

SEARCH, WALK = EXPERIMENTS / "demo_search", EXPERIMENTS / "walk_forward"
TRIAL_FIGURES = {
    "learning rate": "optim.predictor.optimizer.lr", "trained blocks": "tuning.blocks", "validation loss": "value",
}  # fmt: skip
COMPARED_FIGURES = {
    "rank IC": ["rank_ic_1"],
    "excess a year": ["excess"],
    "net return a year, less the parent's": ["return_less", "return_less_low", "return_less_high"],
    "rank IC, 10 sessions": ["rank_ic_10"],
    "less the parent's": ["rank_ic_10_less", "rank_ic_10_less_low", "rank_ic_10_less_high"],
    "p": ["rank_ic_10_less_p"],
}


@pytest.mark.parametrize("name", ["demo", "minute5", "walk_forward"])
def test_results_are_of_the_commands_that_record_them(name: str) -> None:
    runs, results = record_of(EXPERIMENTS / name).RUNS, EXPERIMENTS / name / "results"
    assert (results / "commands.txt").read_text().splitlines() == [run.as_typed for run in runs]
    for run in runs:
        summary = json.loads((results / f"{run.kind}_{run.name}_summary.json").read_text())
        assert summary["command"][1:] == run.typed


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    return pd.read_csv(SEARCH / "results" / "trials.csv")


def test_results_of_the_search_are_of_its_commands(trials: pd.DataFrame) -> None:
    record = record_of(SEARCH)
    parent, search, backtests, compare = record.commands(trials)
    typed = [record.as_typed(one) for one in (parent, search, backtests, compare)]
    assert (SEARCH / "results" / "commands.txt").read_text().splitlines() == typed
    for file, command in {"train_search_parent_summary.json": parent, "summary.json": compare}.items():
        assert json.loads((SEARCH / "results" / file).read_text())["command"][1:] == command
    assert trials["state"].isin(["complete", "pruned"]).sum() == record.TRIALS
    interrupted = trials[trials["error"] == "interrupted"]
    assert len(interrupted) and interrupted["trial"].min() >= record.HALF  # it was killed, and when


def test_tables_of_the_search_are_quoted_as_they_are(trials: pd.DataFrame) -> None:
    by_number = trials.set_index("trial")
    compared = pd.read_csv(SEARCH / "results" / "comparison.csv", index_col="row")
    backtests = record_of(SEARCH).commands(trials)[2]
    (checkpoints,) = (one for one in backtests if one.startswith("checkpoint="))
    names = [one.replace("search_parent", "parent").replace("demo_search/", "trial ") for one in checkpoints.split(",")]
    names[0] = names[0].removeprefix("checkpoint=")
    row_of = {name: compared.loc[f"search_backtests/{job}"] for job, name in enumerate(names)}
    searched, *traded = tables_of(SEARCH)
    for number, *cells in searched[1:]:
        trial = by_number.loc[int(number.partition(",")[0])]
        for title, cell in zip(searched[0][1:], cells, strict=True):
            assert_quoted(cell, trial[TRIAL_FIGURES[title]])
    assert traded
    for heading, *rows in traded:
        for name, *cells in rows:
            for title, cell in zip(heading[1:], cells, strict=True):
                figures = row_of[name][COMPARED_FIGURES[title]]
                if figures.isna().all():  # the parent, less itself
                    assert not cell
                else:
                    assert_quoted(cell, *figures)


def test_tables_of_the_walk_forward_are_quoted_as_they_are() -> None:
    summary = json.loads((WALK / "results" / "walk_forward_walk_forward_summary.json").read_text())
    planned = pd.read_csv(WALK / "results" / "folds.csv").set_index("fold")
    ((_, *rows, every),) = tables_of(WALK)
    for (number, days, rank_ic), fold in zip(rows, summary["folds"], strict=True):
        assert int(number) == fold["fold"]
        assert days == "{test_start} to {test_end}".format(**planned.loc[fold["fold"]])
        assert_quoted(rank_ic, *(fold["rank_ic"][figure] for figure in ("mean", "low", "high", "p")))
    headline = summary["headline"]
    assert every[0] == "all"
    assert_quoted(every[2], headline["rank_ic_1d"], headline["rank_ic_1d_p"])


@pytest.fixture
def recorded_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """In a checkout of its own, as committed."""
    record_of(SEARCH)
    import recorded_run

    monkeypatch.setattr(recorded_run, "PROJECT", tmp_path)
    monkeypatch.setattr(recorded_run, "git_state", lambda: {"dirty": False})
    return recorded_run


def write_summary(folder: Path, dirty: bool = False, **further: Any) -> None:
    folder.mkdir(parents=True)
    git = {"revision": "a" * 40, "dirty": dirty}
    (folder / "summary.json").write_text(json.dumps({"git": git, **further}))


def test_runs_are_not_taken_for_others(recorded_run: ModuleType, tmp_path: Path, monkeypatch) -> None:
    """A finished run is not run again, an interrupted one is, and one of another command is refused."""
    ran = []

    def finish(command, **_):
        ran.append(command[1:])
        write_summary(folder, command=["python", *command[1:]])
        return real(["true"])

    real = recorded_run.subprocess.Popen
    monkeypatch.setattr(recorded_run.subprocess, "Popen", finish)
    folder, run = tmp_path / "outputs" / "train" / "a", recorded_run.Run("train", "a", ["train.py"])
    folder.mkdir(parents=True)
    (folder / "half").touch()
    for _ in range(2):
        assert run.summary()["command"] == ["python", "train.py"]
    assert ran == [["train.py"]] and not (folder / "half").exists()
    with pytest.raises(SystemExit, match="is of another command"):
        run._replace(typed=["train.py", "seed=2"]).summary()


def test_nothing_is_recorded_of_code_that_is_not_committed(recorded_run: ModuleType, tmp_path: Path, monkeypatch):
    """Neither run in such a checkout, nor taken from a run of one; a folder that is no repository has no revision."""
    outputs = tmp_path / "outputs" / "train"
    write_summary(outputs / "dirty", dirty=True, command=["python", "train.py"])
    with pytest.raises(SystemExit, match="dirty was run with uncommitted changes: move it away"):
        recorded_run.Run("train", "dirty", ["train.py"]).summary()
    (outputs / "half").mkdir()
    for dirty in (True, None):
        monkeypatch.setattr(recorded_run, "git_state", lambda dirty=dirty: {"dirty": dirty})
        for refused in (recorded_run.Run("train", "half", ["no.py"]).summary, lambda: recorded_run.start(["no.py"])):
            with pytest.raises(SystemExit, match=r"commit or stash what git status lists, and try again$"):
                refused()
    assert (outputs / "half").is_dir()


def test_a_sweep_in_short_is_what_its_finished_jobs_say(recorded_run: ModuleType, tmp_path: Path) -> None:
    """Job 1 was interrupted; the others overlap, and end after a minute and a half."""
    ends = {"0": ("00:01:00", 50.0), "2": ("00:00:45", 45.0), "10": ("00:01:30", 20.5)}
    for job, (end, seconds) in ends.items():
        write_summary(tmp_path / "s" / job, finished=f"2026-01-01T{end}+00:00", duration_seconds=seconds)
    (tmp_path / "s" / "1").mkdir()
    assert recorded_run.sweep_summary(tmp_path / "s") == {
        "name": "s", "seconds": 90.0, "jobs": {"0": 50.0, "2": 45.0, "10": 20.5},
        "git": {"revision": "a" * 40, "dirty": False},
    }  # fmt: skip
    write_summary(tmp_path / "s" / "3", dirty=True)
    with pytest.raises(SystemExit, match="uncommitted"):
        recorded_run.sweep_summary(tmp_path / "s")
