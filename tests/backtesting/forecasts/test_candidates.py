"""Whose forecasts a backtest trades: one checkpoint or an ensemble, and the parent beside it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finetuned_run import GOLDEN, finetuned_run
from kronos_lab.errors import InputError

GIVEN = dict.fromkeys(("lookback", "horizon", "max_gap", "clip", "rescale"))
PREDICTOR = str(GOLDEN / "predictor")


def find(outputs: Path, checkpoint: Any, with_parent: bool = True) -> Any:
    from kronos_lab.backtesting.forecasts.candidates import find_candidates

    return find_candidates(checkpoint, None, outputs, "small", "f", with_parent)


def test_a_finetuned_run_brings_its_parent_unless_it_is_not_wanted(tmp_path):
    finetuned_run(tmp_path, "finetuned")
    found = find(tmp_path, "finetuned")
    assert [candidate.folder for candidate in found.all] == ["forecasts", "forecasts_parent"]
    assert found.parent.checkpoint.predictor == PREDICTOR
    assert find(tmp_path, "finetuned", with_parent=False).parent is None
    assert found.window(GIVEN, {}).lookback == 30


def test_what_was_not_finetuned_has_no_parent(tmp_path):
    finetuned_run(tmp_path, "from_nothing", pretrained=None)
    assert find(tmp_path, "from_nothing").parent is None
    assert find(tmp_path, PREDICTOR).parent is None


def test_a_parent_that_is_gone_is_said_with_a_way_round_it(tmp_path):
    finetuned_run(tmp_path, "orphan", pretrained="./gone")
    with pytest.raises(InputError, match=r"its parent is not found .*backtest\.parent=false leaves it out"):
        find(tmp_path, "orphan")


def test_an_ensemble_sees_one_window(tmp_path):
    finetuned_run(tmp_path, "short"), finetuned_run(tmp_path, "long", lookback=40)
    found = find(tmp_path, ["short", "long"])
    assert [candidate.folder for candidate in found.all] == ["forecasts_1", "forecasts_2"]
    assert re.match("ensemble of 2: run short, .*; run long, ", found.title)
    with pytest.raises(InputError, match=r"data\.lookback=30 and 40: give data\.lookback="):
        found.window(GIVEN, {})
    assert found.window(GIVEN | {"lookback": 35}, {}).lookback == 35
    warned = found.warnings(found.window(GIVEN | {"lookback": 35}, {}), pd.Timestamp("2024-06-03"))
    assert [re.findall(r"^run \w+|inside training", line) for line in warned] == [
        ["run short", "inside training"],
        ["run long", "inside training"],
    ]


def test_weights_that_take_turns_are_warned_of_by_their_own_days(tmp_path):
    """Both were trained until 2024-06-28: that is a matter for the first day of each alone."""
    for name in ("early", "late"):
        finetuned_run(tmp_path, name)
    found = find(tmp_path, {"2024-07-01": "late", "2024-06-03": "early"})
    assert [one.folder for one in found.own] == ["forecasts_1", "forecasts_2"]
    assert [one.number for one in found.own] == [0, 0] and [len(turn) for turn in found.turns] == [1, 1]
    assert found.own[0].before == found.own[1].since == pd.Timestamp("2024-07-01")
    (warned, of_parent) = found.warnings(found.window(GIVEN, {}), pd.Timestamp("2024-06-03"))
    assert re.match("turns of 2: from 2024-06-03 run early, .*; from 2024-07-01 run late, ", found.title)
    assert warned.startswith("run early") and "inside training: the test starts on 2024-06-03" in warned
    assert of_parent.startswith("parent: ")
    assert found.parent.checkpoint.predictor == PREDICTOR and found.parent.since is None
    only = found.during(pd.Timestamp("2024-07-15"), pd.Timestamp("2024-07-15"))
    assert [one.checkpoint.run.name for one in only.own] == ["late"] and only.own[0].folder == "forecasts_2"


def test_the_parent_of_weights_that_take_turns_is_what_all_go_back_to(tmp_path):
    first = finetuned_run(tmp_path, "first")
    finetuned_run(tmp_path, "second", pretrained=str(first))
    finetuned_run(tmp_path, "foreign", pretrained=None)
    chain = find(tmp_path, {"2024-07-01": "first", "2024-10-01": "second"})
    assert chain.parent.checkpoint.predictor == PREDICTOR
    assert find(tmp_path, {"2024-07-01": "first", "2024-10-01": "foreign"}).parent is None
    assert find(tmp_path, {"2024-07-01": "foreign", "2024-10-01": "first"}).parent is None


def test_a_walk_forward_names_the_weights_of_each_day(tmp_path):

    run, walk = finetuned_run(tmp_path, "walk_fold1"), tmp_path / "walk_forward" / "walk"
    walk.mkdir(parents=True)
    (walk / "checkpoints.json").write_text(json.dumps({"2024-07-01": "../../train/walk_fold1"}))
    for named in ("walk", str(walk)):
        (one,) = find(tmp_path, named).own
        assert (one.checkpoint.run.folder, one.since) == (run, pd.Timestamp("2024-07-01"))


@pytest.mark.parametrize("checkpoints", [[], ["a", "a"], [None, "a"]])
def test_a_list_names_different_checkpoints(tmp_path, checkpoints):
    with pytest.raises(InputError, match=re.escape(f"checkpoint={checkpoints} is no list of different checkpoints")):
        find(tmp_path, checkpoints)


def test_pooled_paths_are_those_of_every_forecaster_in_whatever_order_they_were_written(tmp_path):
    """The mean over pooled paths is the mean of the means, whoever forecast which series first."""
    from kronos_lab.backtesting.forecasts.forecast_batches import BatchPlan, Forecast
    from kronos_lab.backtesting.forecasts.forecast_shards import score_forecasts, write_manifest, write_shard
    from kronos_lab.backtesting.scores.signals import CloseScale, ExpectedReturn

    random, plan = np.random.default_rng(0), BatchPlan(6, 2, paths=3, lookback=8, horizon=2, seed=0)
    symbols, day, one = np.array(list("abcdef"), object), np.datetime64("2024-01-02", "ns"), np.ones(2, np.float32)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, order in zip(folders, ([0, 1, 2], [2, 0, 1]), strict=True):
        folder.mkdir()
        for shard, batch in enumerate(order):
            paths = random.uniform(0.9, 1.1, (2, 3, 2, 6)).astype(np.float32)
            made = Forecast(batch, [2], symbols[plan.rows(batch)], np.repeat(day, 2), one, CloseScale(one, one), paths)
            write_shard(folder / f"{shard}.parquet", [made], "closes")
        write_manifest(folder, {}, plan, finished=True)
    signal = ExpectedReturn(2)
    own = [score_forecasts([folder], signal) for folder in folders]
    pd.testing.assert_frame_equal(score_forecasts(folders, signal), (own[0] + own[1]) / 2)

    (tmp_path / "other").mkdir()
    few = BatchPlan(2, 2, paths=3, lookback=8, horizon=2, seed=0)
    write_shard(tmp_path / "other" / "0.parquet", [made._replace(batch=0)], "closes")
    write_manifest(tmp_path / "other", {}, few, finished=True)
    with pytest.raises(InputError, match="holds forecasts of other series"):
        score_forecasts([folders[0], tmp_path / "other"], signal)
