"""The ledger of trials: only appended to, by many at once, and read whatever became of it."""

import json
import logging
import multiprocessing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from kronos_lab.runs.trials import Trial, append_trial, distinct_trials, evaluation_hash, read_trials

TRIAL = Trial(
    time="2024-07-01T00:00:00+00:00",
    run="backtest/one",
    universe="csi300",
    market="small",
    market_fingerprint="abc",
    start="2024-07-01",
    end="2024-12-31",
    evaluated="1",
    sharpe=0.1,
    sessions=120,
    skew=0.0,
    kurtosis=3.0,
)


def test_trials_are_read_back_in_their_order(tmp_path):
    assert read_trials(tmp_path) == []
    trials = [TRIAL, replace(TRIAL, run="backtest/ü", sharpe=None, skew=None, kurtosis=None), replace(TRIAL, sharpe=1)]
    assert [append_trial(tmp_path, trial) for trial in trials] == [None] * 3
    assert read_trials(tmp_path) == trials
    assert len((tmp_path / "trials.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def _append_many(outputs: Path, job: int) -> None:
    for number in range(100):
        append_trial(outputs, replace(TRIAL, run=f"backtest/{job}", evaluated=f"{job}-{number}"))


def test_parallel_jobs_tear_no_line(tmp_path):
    jobs = [multiprocessing.get_context("fork").Process(target=_append_many, args=(tmp_path, job)) for job in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    found = {trial.evaluated for trial in read_trials(tmp_path)}
    assert found == {f"{job}-{number}" for job in range(4) for number in range(100)}


def test_a_torn_line_is_passed_over_and_tears_no_other(tmp_path, caplog):
    ledger = tmp_path / "trials.jsonl"
    append_trial(tmp_path, TRIAL)
    whole = ledger.read_text()
    ledger.write_text(whole + whole[:40])
    append_trial(tmp_path, replace(TRIAL, evaluated="2"))
    with caplog.at_level(logging.WARNING):
        assert [trial.evaluated for trial in read_trials(tmp_path)] == ["1", "2"]
    assert [record.message for record in caplog.records] == [f"{ledger}, line 2 is no trial: passed over"]


@pytest.mark.parametrize(
    "line",
    ["null", "[]", "\xff", json.dumps({"run": "x"}), json.dumps(asdict(TRIAL) | {"sharpe": "0.1"}),
     json.dumps(asdict(TRIAL) | {"end": None})],
)  # fmt: skip
def test_what_is_no_trial_is_passed_over(tmp_path, caplog, line):
    (tmp_path / "trials.jsonl").write_text(f"{line}\n\n", encoding="latin-1")
    append_trial(tmp_path, TRIAL)
    assert read_trials(tmp_path) == [TRIAL]
    assert "line 1 is no trial" in caplog.text


def test_what_a_later_version_adds_is_left_out(tmp_path):
    (tmp_path / "trials.jsonl").write_text(json.dumps(asdict(TRIAL) | {"colour": "blue"}) + "\n")
    assert read_trials(tmp_path) == [TRIAL]


def test_a_ledger_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "trials.jsonl").mkdir()  # a folder of that name: root may write any file
    warning = append_trial(tmp_path, TRIAL)
    assert warning == (
        f"{tmp_path / 'trials.jsonl'} cannot be written (Is a directory): "
        "this evaluation is not counted among the trials"
    )
    assert read_trials(tmp_path) == []


def test_the_same_evaluation_counts_once_and_other_tests_do_not_count():
    others = {
        "again": replace(TRIAL, sharpe=0.2),
        "later": replace(TRIAL, evaluated="later", start="2024-12-31", end="2025-06-30"),
        "touching nothing": replace(TRIAL, evaluated="apart", start="2025-01-01", end="2025-06-30"),
        "other universe": replace(TRIAL, evaluated="universe", universe="csi500"),
        "the same of another universe": replace(TRIAL, universe="csi500"),
        "other market": replace(TRIAL, evaluated="market", market="another"),
        "a day more in the store": replace(TRIAL, evaluated="grown", market_fingerprint="def"),
        "the same from a later day on": replace(TRIAL, start="2024-08-01", sharpe=0.4),
        "other": replace(TRIAL, evaluated="other"),
    }
    own = replace(TRIAL, sharpe=0.3)
    found = distinct_trials([TRIAL, *others.values()], own)
    assert sorted((trial.evaluated, trial.sharpe) for trial in found) == [
        ("1", 0.1), ("1", 0.3), ("1", 0.4), ("grown", 0.1), ("later", 0.1), ("other", 0.1), ("universe", 0.1)
    ]  # fmt: skip
    assert distinct_trials([], own) == [own]


def test_a_hash_is_of_what_was_evaluated():
    weights, settings = ["a"], {"strategy": {"topk": 50, "n_drop": 5}, "seed": 1}
    same = evaluation_hash(weights, {"seed": 1, "strategy": {"n_drop": 5, "topk": 50}})
    assert evaluation_hash(weights, settings) == same
    assert evaluation_hash(["b"], settings) != same
    assert evaluation_hash(weights, settings | {"seed": 2}) != same
