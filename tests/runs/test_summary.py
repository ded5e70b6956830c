import json
import time

import numpy as np
import pytest

from kronos_lab.runs.summary import find_finished_training_runs, read_summary, write_json, write_summary


def finish(folder, kind="train", market="demo", headline=None, name=None):
    folder.mkdir(parents=True)
    write_summary(
        folder,
        kind=kind,
        name=name or folder.name,
        config={"seed": 1, "path": folder},
        seed=1,
        market=market,
        market_fingerprint="abc",
        weights={"predictor": "f00"},
        started=time.time() - 2,
        headline=headline or {},
    )


def test_summary_says_what_the_run_was(tmp_path):
    finish(tmp_path / "run", headline={"loss": np.float32(1.5), "ic": float("nan")})
    summary = read_summary(tmp_path / "run")
    assert summary["headline"] == {"loss": 1.5, "ic": None}
    assert summary["duration_seconds"] >= 2
    assert summary["versions"]["torch"] and "revision" in summary["git"]
    assert summary["config"]["path"] == str(tmp_path / "run")


def test_a_run_whose_name_was_taken_is_told_from_the_first(tmp_path):
    finish(tmp_path / "trial-2", name="trial")
    finish(tmp_path / "sweep" / "0", name="trial")
    assert read_summary(tmp_path / "trial-2")["name"] == "trial-2"
    assert read_summary(tmp_path / "sweep" / "0")["name"] == "trial"


def test_finished_runs_of_the_market_come_newest_first(tmp_path):
    finish(tmp_path / "train" / "old")
    finish(tmp_path / "train" / "sweep" / "0")
    finish(tmp_path / "train" / "elsewhere", market="files")
    finish(tmp_path / "backtest" / "other")
    finish(tmp_path / "train" / "new")
    (tmp_path / "train" / "unfinished").mkdir()
    (tmp_path / "train" / "unfinished" / "config.yaml").write_text("seed: 1")
    runs = find_finished_training_runs(tmp_path, "demo")
    assert [run.name for run in runs] == ["new", "0", "old"]
    assert runs[0].weights == {"predictor": "f00"}
    assert find_finished_training_runs(tmp_path / "nowhere", "demo") == []


def test_a_failed_write_leaves_the_previous_file(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
