"""`python finetune/walk_forward.py` as people type it, on the small market."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from many_commands import ROOT, assert_refused, run_commands
from small_market_store import write_small_market

PLAN = ["walk_forward.first=2024-09-04", "walk_forward.months=2", "walk_forward.years=1", "walk_forward.val_months=2"]
TRAIN = [
    "data.lookback=20", "data.horizon=4", "data.batch_size=8", "model.windows_per_epoch=80", "model.val_windows=11",
    "model.epochs=2", "model.tokenizer.d_model=16", "model.predictor.d_model=16", "trainer.accelerator=cpu",
    "logger=csv", "evaluation.test.days=0", "evaluation.validation.days=0", "figures.pairs=0",
    "checkpoint_every_n_steps=1",
]  # fmt: skip
BACKTEST = [
    "strategy.topk=5", "strategy.n_drop=1", "strategy.hold_thresh=2", "logger=csv", "forecast.paths=2",
    "backtest.baselines=false", "backtest.random_portfolios=0", "calibration.days=2", "calibration.names=5",
    "calibration.paths=4",
]  # fmt: skip
REFUSED: dict[str, tuple[list[str], str]] = {
    "too early": (["walk_forward.first=2024-01-02"], "the market begins on 2023-07-03: walk_forward.first=2024-09-0"),
    "embargo": (["walk_forward.embargo=50"], "an embargo of 50 bars leaves no validation to fold 1"),
    "no list": (["train=tiny"], "train=tiny is no list of overrides"),
    "wrong key": (["train=['model.epoch=1']"], "there is no setting or group 'model.epoch'"),
    "wrong model": (["train=['model=huge']"], "model=huge: choose one of kronos_base"),
    "topk": (["backtest=['strategy.topk=50']"], "strategy.topk=50 is more than the names scored on any day"),
    "lightgbm": (
        ["backtest=['backtest.lightgbm=true']"],
        "backtest.lightgbm=true: trained once, it would stand beside",
    ),
    "their name": (["backtest=['name=a']"], "backtest: name=a is for the walk-forward to say"),
    "lookback": (["train=['data.lookback=390']"], "fold 1 has no val window of 390 + 10 + 1 bars"),
    "wrong setting": (["walk_forward.month=3"], "there is no setting or group 'walk_forward.month'"),
}


def listed(overrides: list[str]) -> str:
    return f"[{','.join(repr(one) for one in overrides)}]"


def arguments(store: Path, folder: Path, name: str, *further: str) -> list[str]:
    lists = [f"train={listed(TRAIN)}", f"backtest={listed(BACKTEST)}"]
    market = ["market=qlib", f"market.store='{store}'", "market.name=small", "universe=csi300"]
    paths = [f"paths.outputs='{folder / 'out puts'}'", f"paths.cache='{folder / 'cache'}'"]
    return [*market, *paths, *PLAN, *lists, f"name='{name}'", *further]


@pytest.fixture(scope="module")
def planned(small_market, tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("walk")
    taken = folder / "out puts" / "train" / "taken_fold2"
    taken.mkdir(parents=True)
    only = "walk_forward.plan_only=true"
    commands = {
        "plan": arguments(small_market.store, folder, "plan", only),
        "again": arguments(small_market.store, folder, "plan", only, "walk_forward.jobs=2"),
        "other": arguments(small_market.store, folder, "plan", only, "walk_forward.window=rolling"),
        "taken": arguments(small_market.store, folder, "taken", only),
        **{name: [*arguments(small_market.store, folder, name), *typed] for name, (typed, _) in REFUSED.items()},
    }
    return {"folder": folder / "out puts", **run_commands("finetune/walk_forward.py", commands, folder)}


def test_a_plan_is_shown_and_left_with_its_commands(planned):
    assert planned["plan"]["code"] == 0, planned["plan"]["err"]
    folder = planned["folder"] / "walk_forward" / "plan"
    table = pd.read_csv(folder / "folds.csv")
    assert list(table["test_start"]) == ["2024-09-04", "2024-11-04", "2025-01-06"][: len(table)]
    assert table["val_end"][0] == "2024-08-27" and (table["train_windows"] > 100).all()  # 5 sessions between
    assert (
        "with an embargo of 5 bars" in planned["plan"]["out"] and "2024-09-04 to 2024-11-01" in planned["plan"]["out"]
    )
    commands = (folder / "commands.txt").read_text().splitlines()
    assert [line.split()[1] for line in commands] == ["train.py"] * len(table) + ["backtest.py"]
    assert "name=plan_fold1" in commands[0] and "split.val_end=2024-08-27" in commands[0]
    assert not (planned["folder"] / "backtest").exists()


def test_a_plan_goes_on_with_its_own_settings_alone(planned):
    assert planned["again"]["code"] == 0, planned["again"]["err"]
    assert planned["other"]["code"] == planned["taken"]["code"] == 1
    assert "holds a walk-forward with another walk_forward.window" in planned["other"]["err"]
    assert "taken_fold2 is there already, and not of this walk-forward" in planned["taken"]["err"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(planned, name):
    assert_refused(planned[name], REFUSED[name][1])
    assert not (planned["folder"] / "walk_forward" / name).exists()


def walk(store: Path, folder: Path, *further: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "finetune" / "walk_forward.py"), *arguments(store, folder, "walk", *further)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_walk_forward_is_stopped_goes_on_and_is_what_its_folds_say(tmp_path):
    """Stopped in the first training; then each day is scored as a backtest of the fold alone scores it."""
    from kronos_lab.backtesting.finished_backtest import read_scores
    from kronos_lab.runs.summary import read_run

    store = write_small_market(tmp_path / "market")
    outputs, folder = tmp_path / "out puts", tmp_path / "out puts" / "walk_forward" / "walk"
    checkpoint = outputs / "train" / "walk_fold1" / "checkpoints" / "tokenizer-last.ckpt"
    first = walk(store, tmp_path)
    until = time.monotonic() + 120
    while not checkpoint.is_file():
        assert first.poll() is None and time.monotonic() < until, first.communicate()
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=120)
    assert first.returncode == 128 + signal.SIGTERM and "interrupted by SIGTERM: the same command goes on" in said
    assert not (outputs / "train" / "walk_fold1" / "summary.json").exists()

    second = walk(store, tmp_path)
    printed, said = second.communicate(timeout=600)
    assert second.returncode == 0, said
    assert "resumes" in (folder / "fold_1.log").read_text()
    summary = json.loads((folder / "summary.json").read_text())
    folds = pd.DataFrame(summary["folds"])
    assert "Folds, each forecast by its own weights" in printed and len(folds) >= 2
    runs = [read_run(outputs / "train" / f"walk_fold{n}") for n in folds["fold"]]
    for run, row in zip(runs, folds.itertuples(), strict=True):
        assert run.seen_until == row.val_end < row.test_start

    joined = read_scores(outputs / "backtest" / "walk")
    market = ["market=qlib", f"market.store='{store}'", "market.name=small", "universe=csi300"]
    common = [*market, f"paths.outputs='{outputs}'", f"paths.cache='{tmp_path / 'cache'}'", *BACKTEST]
    own = {
        f"own_{row.fold}": [
            *common, f"name=own_{row.fold}", f"checkpoint=walk_fold{row.fold}", f"backtest.start={row.test_start}",
            f"backtest.end={row.test_end}", "backtest.reuse=false",
        ]
        for row in folds.itertuples()
    }  # fmt: skip
    done = run_commands("backtest.py", own, tmp_path)
    assert all(one["code"] == 0 for one in done.values()), done
    apart = [read_scores(outputs / "backtest" / f"own_{n}") for n in folds["fold"]]
    pd.testing.assert_frame_equal(joined, pd.concat(apart).sort_index(axis=1), check_freq=False, check_exact=True)
    assert summary["folds"][0]["rank_ic"]["days"] == len(apart[0])

    # The placebo: with other bars from its first day on, a fold has the same weights, bit by bit.
    turned = tmp_path / "turned"
    change_bars_from(store, turned, folds["test_start"][0])
    typed = shlex.split((folder / "commands.txt").read_text().splitlines()[0])[2:]
    placebo = [*(one.replace(str(store), str(turned)) for one in typed), "name=placebo"]
    (trained,) = run_commands("train.py", {"placebo": placebo}, tmp_path).values()
    assert trained["code"] == 0, trained
    for model in ("tokenizer", "predictor"):
        was, now = (outputs / "train" / run / model / "model.safetensors" for run in ("walk_fold1", "placebo"))
        assert was.read_bytes() == now.read_bytes()


@pytest.mark.slow
def test_folds_of_a_rolling_window_that_start_from_the_one_before(tmp_path):
    """Two folds; then, its summary lost, the same command takes over all three runs as they are."""
    from kronos_lab.runs.folder import load_config
    from kronos_lab.runs.summary import read_run

    store = write_small_market(tmp_path / "market")
    outputs, folder = tmp_path / "out puts", tmp_path / "out puts" / "walk_forward" / "walk"
    settings = ["walk_forward.start_from=previous", "walk_forward.window=rolling"]
    attempt = walk(store, tmp_path, *settings)
    printed, said = attempt.communicate(timeout=600)
    assert attempt.returncode == 0, printed + said
    folds = pd.read_csv(folder / "folds.csv")
    assert len(folds) == 2 and list(folds["train_start"]) == ["2023-07-04", "2023-09-04"]
    runs = [outputs / "train" / f"walk_fold{n}" for n in folds["fold"]]
    first, second = (read_run(run) for run in runs)
    configs = [load_config(run) for run in runs]
    assert [one.stage for one in configs] == ["both", "predictor"]
    assert [one.split.train_start for one in configs] == list(folds["train_start"])
    assert first.started_from == "random weights" and first.seen_until == folds["val_end"][0]
    assert second.started_from == "run walk_fold1, itself started from random weights"
    assert first.seen_until < second.seen_until == folds["val_end"][1] < folds["test_start"][1]
    assert second.weights["predictor"] != first.weights["predictor"]

    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").unlink()
    again = walk(store, tmp_path, *settings)
    printed, said = again.communicate(timeout=600)
    assert again.returncode == 0 and "backtest    was made by" in printed + said, printed + said
    assert json.loads((folder / "summary.json").read_text())["headline"] == summary["headline"]


def change_bars_from(store: Path, turned: Path, day: str) -> None:
    """A copy of a store with other prices from a day on."""
    shutil.copytree(store, turned)
    (turned / "market.json").unlink()
    calendar = pd.DatetimeIndex((store / "calendars" / "day.txt").read_text().split())
    from_here = int((calendar < pd.Timestamp(day)).sum())
    changed = 0
    for name in ("open", "high", "low", "close"):
        for file in turned.glob(f"features/sh6*/{name}.day.bin"):
            values = np.fromfile(file, "<f4")
            values[1 + max(0, from_here - int(values[0])) :] *= 1.05
            values.tofile(file)
            changed += 1
    assert changed > 100
