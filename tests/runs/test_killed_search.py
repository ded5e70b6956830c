"""A search of `train.py` that is killed, goes on and ends in a comparison page, as `experiments/demo_search` does."""

import contextlib
import csv
import html
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from finetuned_run import finetuned_run
from many_commands import ROOT, run_commands

TRIALS = 4
RATE = "optim.predictor.optimizer.lr"
OF_PARENT = [
    "model.tokenizer.d_model=32", "model.tokenizer.ff_dim=64", "model.predictor.n_layers=3",
    "model.predictor.d_model=32", "model.predictor.n_heads=2", "model.predictor.ff_dim=64",
]  # fmt: skip
SEARCH = [
    "-m", "hparams_search=lr_blocks", "name=search", "model.pretrained=parent", f"hydra.sweeper.n_trials={TRIALS}",
    "hydra.sweeper.n_jobs=2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "split.train_end=2024-03-29",
    "split.val_start=2024-04-01", "split.val_end=2024-06-28", "data.lookback=20",
    "data.horizon=4", "data.batch_size=8", "data.windows_per_epoch=32", "data.val_windows=11", "trainer.max_epochs=2",
    "trainer.accelerator=cpu", "logger=csv", "evaluation.validation.days=0", "evaluation.test.days=0",
    "figures.pairs=0", *OF_PARENT,
]  # fmt: skip
BACKTEST = [
    "-m", "name=backtests", "logger=csv", "backtest.start=2024-12-02", "strategy.topk=5", "strategy.n_drop=1",
    "strategy.hold_thresh=2", "forecast.paths=2", "backtest.baselines=false", "backtest.random_portfolios=0",
    "calibration.days=0",
]  # fmt: skip


@pytest.fixture
def where(small_market: Any, tmp_path: Path) -> list[str]:
    finetuned_run(tmp_path / "out puts", "parent")
    return [
        "market=qlib", f"market.store='{small_market.store}'", "market.name=small", "universe=csi300",
        f"paths.outputs='{tmp_path / 'out puts'}'", f"paths.cache='{tmp_path / 'cache'}'",
    ]  # fmt: skip


def start(typed: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *typed],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_with_all_it_started(process: subprocess.Popen[str]) -> None:
    """All at once, before one can see another die: also jobs, which have sessions of their own."""
    sweep = psutil.Process(process.pid)
    everything = [sweep, *sweep.children(recursive=True)]
    for one in everything:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.communicate()
    _, alive = psutil.wait_procs(everything, timeout=30)
    assert not alive and len(everything) >= 5  # the sweep, two workers of joblib, two trainings


def rows_of(search: Path) -> list[dict[str, str]]:
    """Of the table of trials, which says the same as the journal."""
    from kronos_lab.runs.search_trial import open_study

    with (search / "trials.csv").open() as table:
        rows = list(csv.DictReader(table))
    noted = [(trial.number, trial.value) for trial in open_study(search / "journal.log").get_trials()]
    assert [(int(row["trial"]), float(row["value"]) if row["value"] else None) for row in rows] == noted
    return rows


def summary_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.slow
def test_a_killed_search_goes_on_and_ends_in_a_comparison(where: list[str], tmp_path: Path) -> None:
    """Killed in its second pair of trials: the first stays, what was hit is asked again, and the two best trade."""
    outputs, typed = tmp_path / "out puts", [*SEARCH, *where]
    search = outputs / "train" / "search"
    first, until = start(typed, tmp_path), time.monotonic() + 300
    while not all((search / trial / "train.log").is_file() for trial in "23"):
        assert first.poll() is None and time.monotonic() < until, first.communicate()
        time.sleep(0.05)
    kill_with_all_it_started(first)
    before = rows_of(search)
    assert [row["state"] for row in before] == ["complete", "complete", "running", "running"]
    kept = {file: file.read_bytes() for trial in "01" for file in (search / trial).rglob("*") if file.is_file()}

    second = start(typed, tmp_path)
    printed, said = second.communicate(timeout=300)
    assert second.returncode == 0, said
    assert f"goes on, 2 of {TRIALS} trials are done" in printed and f"{TRIALS} of 6 jobs finished" in printed
    assert {file: file.read_bytes() for file in kept} == kept  # not run again
    after = rows_of(search)
    assert after[:2] == before[:2] and [row["state"] for row in after[4:]] == ["complete"] * 2
    assert [(row["state"], row["error"]) for row in after[2:4]] == [("failed", "interrupted")] * 2
    drawn = [[row[key] for key in (RATE, "tuning.blocks")] for row in after]
    assert drawn[4:] == drawn[2:4]
    complete = [*after[:2], *after[4:]]
    for row in complete:
        trained = summary_of(search / row["trial"])
        assert trained["headline"]["predictor/val_loss"] == float(row["value"])
        assert trained["config"]["optim"]["predictor"]["optimizer"]["lr"] == float(row[RATE])

    best = sorted(complete, key=lambda row: float(row["value"]))[:2]
    chosen = "checkpoint=" + ",".join(f"search/{row['trial']}" for row in best)
    (traded,) = run_commands("backtest.py", {"backtests": [*BACKTEST, *where, chosen]}, tmp_path).values()
    assert traded["code"] == 0, traded
    compare = ["runs=backtests", "name=search", "logger=csv", f"paths.outputs='{outputs}'"]
    (compared,) = run_commands("backtest/compare_runs.py", {"compare": compare}, tmp_path).values()
    assert compared["code"] == 0, compared
    check_comparison(outputs, best)


def check_comparison(outputs: Path, best: list[dict[str, str]]) -> None:
    """A row for each of the two, the second against the first, on the page too, and how many were tried at least."""
    folder = outputs / "compare" / "search"
    table = pd.read_csv(folder / "comparison.csv", index_col="row")
    names = ["backtests/0", "backtests/1"]
    assert list(table.index) == names and set(table["table"]) == {1}
    assert list(table[f"set.train.{RATE}"]) == pytest.approx([float(row[RATE]) for row in best], rel=1e-5)  # shortened
    earned = [summary_of(outputs / "backtest" / name)["headline"]["excess_equal_weight_with_cost"] for name in names]
    assert list(table["excess"]) == pytest.approx(earned)
    assert list(table["return_less"].isna()) == [True, False]
    page, summary = html.unescape((folder / "comparison.html").read_text()), summary_of(folder)
    assert summary["against"] == "backtests/0" and all(name in page for name in names)
    assert all(sentence in page for sentence in summary["verdict"])
    assert summary["luck"]["trials"] >= 2 and f"at least {summary['luck']['trials']} trials" in page
