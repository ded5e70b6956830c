"""Whose forecasts a backtest trades: a finetune beside its parent, an ensemble, weights that take turns."""

import pandas as pd
from backtest_commands import finished, messages_of, metrics_of, summary_of


def test_what_was_finetuned_stands_beside_its_parent(runs):
    """The parent's row is what a backtest of the parent itself says."""
    folder = finished(runs, "finetuned")
    baselines = metrics_of(folder)["baselines"]
    assert list(baselines) == ["this signal", "its parent"]
    parent = metrics_of(finished(runs, "csi300"))["baselines"]["this signal"]
    assert baselines["its parent"]["excess"] == parent["excess"]
    assert baselines["its parent"]["rank_ic"] == parent["rank_ic"] != baselines["this signal"]["rank_ic"]
    assert set(summary_of(folder)["weights"]) == {
        "predictor", "tokenizer", "predictor_parent", "tokenizer_parent"
    }  # fmt: skip
    assert "batches were made by" in runs["finetuned"]["out"]  # the parent's: other runs traded it
    messages = messages_of(folder)
    assert str(runs["folder"] / "train" / "finetuned") in messages  # where the weights come from, and what they became
    assert '"value":"https://www.comet.com/their/page"' in messages
    assert "forecasts/rank-000-shard-00000.parquet" in messages
    assert "forecasts_parent/manifest.json" in messages and "forecasts_parent/earlier" not in messages  # others' own
    assert "Its parent" in (folder / "report.html").read_text()


def test_an_ensemble_pools_the_paths_of_its_checkpoints(runs):
    """With the same number of paths each, its expected return is the mean of theirs, drawn apart."""
    from kronos_lab.backtesting.finished_backtest import read_scores
    from kronos_lab.backtesting.forecasts.forecast_shards import read_manifest, score_forecasts
    from kronos_lab.backtesting.scores.signals import ExpectedReturn

    folder = finished(runs, "ensemble")
    first, second = (score_forecasts([folder / f"forecasts_{n}"], ExpectedReturn(4)) for n in (1, 2))
    pd.testing.assert_frame_equal(read_scores(folder), (first + second) / 2, check_freq=False)
    alone = read_scores(finished(runs, "csi300"))
    pd.testing.assert_frame_equal(first, alone, rtol=1e-3, atol=2e-5, check_freq=False)  # half precision
    seeds = [read_manifest(folder / f"forecasts_{n}")["batch_plan"]["seed"] for n in (1, 2)]
    assert seeds == [100, 101]
    assert {path.name for path in finished(runs, "ensemble").glob("forecasts*")} == {"forecasts_1", "forecasts_2"}
    assert "ensemble of 2" in (finished(runs, "ensemble") / "report.html").read_text()


def test_weights_that_take_turns_forecast_their_own_days(runs):
    """Up to the turn the scores are those of the first weights, from then on those of the second."""
    from kronos_lab.backtesting.calibration_sample import TRADING
    from kronos_lab.backtesting.finished_backtest import read_scores
    from kronos_lab.backtesting.forecasts.forecast_shards import read_manifest

    folder, turn = finished(runs, "turns"), pd.Timestamp("2024-12-16")
    scores, first, second = (read_scores(finished(runs, name)) for name in ("turns", "csi300", "finetuned"))
    expected = pd.concat([first[first.index < turn], second[second.index >= turn]])
    pd.testing.assert_frame_equal(scores, expected, atol=1e-6, check_freq=False)
    assert {path.name for path in folder.glob("forecasts*")} == {"forecasts_1", "forecasts_2"}  # none of 2025-03
    assert [read_manifest(folder / f"forecasts_{n}")["batch_plan"]["seed"] for n in (1, 2)] == [100, 100]
    pairs = [read_manifest(folder / f"calibration_{n}" / TRADING)["batch_plan"]["series"] for n in (1, 2)]
    calibration = metrics_of(folder)["calibration"]
    assert min(pairs) > 0 and sum(pairs) == calibration["sample"]["pairs"] == 20
    of_first, of_second = (
        metrics_of(finished(runs, name))["calibration"][TRADING]["returns"]["4"]["crps"]
        for name in ("csi300", "finetuned")
    )
    mixed = calibration[TRADING]["returns"]["4"]["crps"]["mean"]
    assert mixed not in (of_first["mean"], of_second["mean"])
    assert "turns of 2" in (folder / "report.html").read_text() and (folder / "figures" / "fans.png").is_file()
    assert "from 2025-03-03 run later" in runs["turns"]["out"] and "left out    from 2025-03-03" in runs["turns"]["out"]
