"""`python backtest.py` as people type it, on the small market with the tiny golden model."""

import html
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finetuned_run import finetuned_run
from kronos_lab.errors import InputError
from many_commands import run_commands

ROOT = Path(__file__).parents[2]
PREDICTOR = ROOT / "tests" / "data" / "golden" / "tiny" / "predictor"
SMALL = ["strategy.topk=5", "strategy.n_drop=1", "strategy.hold_thresh=2", "data.lookback=30", "data.horizon=4"]
COMMANDS: dict[str, list[str]] = {
    "csi300": [*SMALL, "name=csi300", "backtest.end=null"],
    "cheaper": [*SMALL, "name=cheaper", "logger=csv", "backtest.end=null", "exchange.open_cost=0"],  # same forecasts
    "all": [
        *SMALL,
        "universe=all",
        "name=all",
        "logger=csv",
        "backtest.start=2024-12-25",
        "backtest.random_portfolios=0",
        "exchange.limit_threshold=null",
        "signal=original_z",
        "signal.which=mean",
        "calibration.days=0",
        "cross_section.winsorise=0.1",
        "cross_section.neutralise=[beta,liquidity]",
        "cross_section.rank=true",
    ],
    "finetuned": [*SMALL, "name=finetuned", "checkpoint=finetuned", "backtest.baselines=false"],
    "ensemble": [
        *SMALL,
        "name=ensemble",
        "logger=csv",
        f"checkpoint=['{PREDICTOR}',finetuned]",
        "backtest.baselines=false",
        "backtest.store=closes_float16",
    ],
    "before": [  # dates as YAML reads them without dashes: numbers
        *SMALL,
        "name=before",
        "logger=csv",
        "backtest.start=20240620",
        "trainer.precision=32",  # what it is anyway
        "backtest.end=20240625",
    ],
    "turns": [
        *SMALL,
        "name=turns",
        "logger=csv",
        f"checkpoint={{2024-12-02: '{PREDICTOR}', 20241216: finetuned, 2025-03-03: later}}",
        "backtest.baselines=false",
    ],
}
# What is refused, and words of the line that says so.
REFUSED: dict[str, tuple[list[str], str]] = {
    "topk": (["data.lookback=30"], "strategy.topk=50 is more than the names scored on any day (13)"),
    "no name": ([*SMALL, "strategy.topk=0"], "strategy.topk=0 must be a whole number, at least 1"),
    "many drops": ([*SMALL, "strategy.n_drop=6"], "strategy.n_drop=6 is more than strategy.topk=5"),
    "wrong key": (["strategy.tpk=5"], "strategy.tpk"),
    "unknown option": ([*SMALL, "+exchange.delay_execution=true"], "delay_execution"),
    "paid to buy": ([*SMALL, "exchange.open_cost=-1"], "exchange.open_cost=-1 is not a fraction"),
    "limits": ([*SMALL, "exchange.limit_threshold=['$open >','$open < 0']"], "qlib cannot read '$open >'"),
    "no cash": ([*SMALL, "backtest.account=0"], "backtest.account=0 must be a number above 0"),
    "half a portfolio": (
        [*SMALL, "backtest.random_portfolios=0.5"],
        "backtest.random_portfolios=0.5 must be a whole number, at least 0",
    ),
    "no start": ([*SMALL, "backtest.start=foo"], "backtest.start=foo is no date: write it as 2024-06-30"),
    "no end": ([*SMALL, "backtest.end=20241399"], "backtest.end=20241399 is no date: write it as 2024-06-30"),
    "backwards": ([*SMALL, "backtest.start=2024-12-10", "backtest.end=2024-12-02"], "backtest.end=2024-12-02"),
    "too late": (
        [*SMALL, "backtest.start=2030-01-01"],
        "the newest day of market small with bars and members of csi300 is 2025-01-10",
    ),
    "no universe": ([*SMALL, "universe=foo"], "universe=foo: choose one of all, csi1000, csi300"),
    "no members": ([*SMALL, "universe.name=foo"], "market small has no universe 'foo'; it has all, csi1000, csi300"),
    "no index": ([*SMALL, "universe.benchmark=SH999999"], "no index 'SH999999'"),
    "no store": ([*SMALL, "market.store=/no/where"], "/no/where does not exist: give market.store="),
    "unreadable store": ([*SMALL, f"market.store=/{'x' * 300}"], "File name too long"),
    "long lookback": ([*SMALL, "data.lookback=399"], "universe.allow_partial=true"),
    "no horizon": ([*SMALL, "data.horizon=0"], "data.horizon=0 must be a whole number, at least 1"),
    "signal": ([*SMALL, "signal.horizon=9"], "signal.horizon=9 is not within the 4 forecast bars"),
    "no volatility": (
        [*SMALL, "signal=return_over_volatility", "forecast.paths=1"],
        "forecast.paths=1: signal=return_over_volatility needs 2 or more",
    ),
    "no score": ([*SMALL, "signal=original_z", "signal.which=median"], "signal.which=median: choose one of last, mean"),
    "all cut off": (
        [*SMALL, "cross_section.winsorise=0.5"],
        "cross_section.winsorise=0.5 is no share of a day's names",
    ),
    "no exposure": (
        [*SMALL, "cross_section.neutralise=[beta,size]"],
        "cross_section.neutralise: size is no exposure that bars tell: choose any of [beta, liquidity]",
    ),
    "no paths": ([*SMALL, "forecast.paths=0"], "forecast.paths=0 must be a whole number, at least 1"),
    "cold": ([*SMALL, "forecast.temperature=0"], "temperature"),
    "no batch": ([*SMALL, "backtest_batch_size=0"], "backtest_batch_size=0 must be a whole number, at least 1"),
    "few batches": ([*SMALL, "trainer.limit_predict_batches=1"], "trainer.limit_predict_batches=1"),
    "quick": ([*SMALL, "+trainer.fast_dev_run=true"], "fast_dev_run"),
    "bfloat16": (
        [*SMALL, "trainer.precision=bf16-true"],
        "trainer.precision=bf16-true: the precision of a backtest is forecast.precision",
    ),
    "few futures": ([*SMALL, "calibration.paths=1"], "calibration.paths=1 must be a whole number, at least 2"),
    "few names": ([*SMALL, "calibration.names=4"], "calibration.names=4 must be a whole number, at least 5"),
    "rich": ([*SMALL, "backtest.account=rich"], "backtest.account=rich must be a number above 0"),
    "any paths": ([*SMALL, "forecast.paths=null"], "forecast.paths=null must be a whole number, at least 1"),
    "part of a batch": ([*SMALL, "backtest_batch_size=1e3"], "backtest_batch_size=1000.0 must be a whole number"),
    "perhaps": ([*SMALL, "universe.allow_partial=perhaps"], "universe.allow_partial=perhaps must be true or false"),
    "no weights yet": (
        [*SMALL, "checkpoint={2024-12-03: finetuned}"],
        "checkpoint= has no weights for 2024-12-02, the first ones forecast from 2024-12-03 on: begin there",
    ),
    "one day twice": ([*SMALL, "checkpoint={2024-12-03: a, 20241203: b}"], "has a day twice"),
    "no day": ([*SMALL, "checkpoint={soon: finetuned}"], "checkpoint=soon is no date: write it as 2024-06-30"),
    "no turns": ([*SMALL, "checkpoint={}"], "checkpoint={} names no weights"),
    "twice": ([*SMALL, "checkpoint=[a,a]"], "checkpoint=['a', 'a'] is no list of different checkpoints"),
    "a number": ([*SMALL, "checkpoint=1.5"], "checkpoint=1.5 is no run, folder or Hub id"),
    "itself": (
        [*SMALL, f"checkpoint=['{PREDICTOR}','{PREDICTOR.parent}/./predictor']"],
        "an ensemble of the same weights",
    ),
    "no room": ([*SMALL, "backtest.store=float16"], "backtest.store=float16: choose one of bars, closes"),
    "no run": ([*SMALL, "checkpoint=null"], "no finished training run on market small"),
    "no figure": (
        [*SMALL, "seed=1,2", "objective=information_ratio", "-m"],
        "objective=information_ratio is no figure of such a run; it has information_ratio_percentile, ",
    ),
}


@pytest.fixture(scope="module")
def runs(small_market, tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("backtests")
    finetuned_run(folder, "finetuned")
    finetuned_run(folder, "later")
    common = [
        "market=qlib",
        f"market.store='{small_market.store}'",
        "market.name=small",
        f"paths.outputs='{folder}'",
        f"paths.cache='{folder / 'cache'}'",
        f"checkpoint='{PREDICTOR}'",
        "universe=csi300",
        "backtest.start=2024-12-02",
        "forecast.paths=2",
        "calibration.days=4",
        "calibration.names=5",
        "calibration.paths=10",
    ]
    refused = {name: [f"name='{name}'", *arguments] for name, (arguments, _) in REFUSED.items()}
    commands = {name: [*common, *arguments] for name, arguments in (COMMANDS | refused).items()}
    return {"folder": folder, **run_commands("backtest.py", commands, ROOT)}


def finished(runs: dict[str, Any], name: str) -> Path:
    assert runs[name]["code"] == 0, runs[name]["err"]
    return runs["folder"] / "backtest" / name


def messages_of(folder: Path) -> str:
    """What the Comet archive of a run would tell the server."""
    (archive,) = (folder / "comet").glob("*.zip")
    with zipfile.ZipFile(archive) as files:
        return files.read("messages.json").decode()


def test_a_run_leaves_everything_in_its_folder(runs, small_market):
    folder = finished(runs, "csi300")
    names = {path.name for path in folder.iterdir()}
    assert {"forecasts", "signals.parquet", "portfolio.parquet", "metrics.json", "report.html", "figures"} <= names
    signals = pd.read_parquet(folder / "signals.parquet")
    assert signals["date"].max() == small_market.newest_day("csi300")
    portfolio = pd.read_parquet(folder / "portfolio.parquet")
    assert portfolio["date"].iloc[0] == pd.Timestamp("2024-12-03")  # the day after the first signal
    assert portfolio["date"].iloc[-1] == small_market.calendar[-1]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["kind"] == "backtest"
    assert summary["market"]["fingerprint"] == small_market.fingerprint
    assert set(summary["weights"]) == {"predictor", "tokenizer"}
    assert summary["weights"]["predictor"] in (folder / "report.html").read_text()
    assert "Single forecasts" in (folder / "report.html").read_text() and (folder / "figures" / "fans.png").is_file()
    assert summary["config"]["data"]["lookback"] == 30
    assert list(summary["seconds"]) == [
        "load", "predict", "predict for calibration", "signals", "simulation", "statistics", "report"
    ]  # fmt: skip
    assert 0 < sum(summary["seconds"].values()) <= summary["duration_seconds"] + 0.1
    manifest = json.loads((folder / "forecasts" / "manifest.json").read_text())
    assert manifest["finished"]
    assert manifest["weights"] == summary["weights"]


def test_another_cost_costs_no_forecasts(runs):
    folder, first = finished(runs, "cheaper"), finished(runs, "csi300")
    assert f"batches were made by {first}\n" in runs["cheaper"]["out"]
    assert pd.read_parquet(folder / "signals.parquet").equals(pd.read_parquet(first / "signals.parquet"))
    costs = [pd.read_parquet(run / "portfolio.parquet")["cost"].sum() for run in (folder, first)]
    assert costs[0] < costs[1]


def test_each_evaluation_is_a_trial_and_those_of_the_same_days_count(runs):
    """In the order they ran: the same days at another cost, another universe, other weights, summer, turns."""
    lines = [json.loads(line) for line in (runs["folder"] / "trials.jsonl").read_text().splitlines()]
    assert [line["run"] for line in lines] == [f"backtest/{name}" for name in COMMANDS]  # none of what was refused
    counted = {}
    for name, line in zip(COMMANDS, lines, strict=True):
        trials = json.loads((finished(runs, name) / "metrics.json").read_text())["trials"]
        counted[name] = trials["trials"]
        assert line["sharpe"] == trials["sharpe_ratio"]
    assert counted == {"csi300": 1, "cheaper": 2, "all": 1, "finetuned": 3, "ensemble": 4, "before": 1, "turns": 5}
    said = {name: " ".join(runs[name]["out"].split()) for name in COMMANDS}  # lines are broken at 120 letters
    assert "Probabilistic Sharpe ratio" in said["csi300"] and "one of at least 2 trials" in said["cheaper"]
    assert "Deflated Sharpe ratio" in (finished(runs, "cheaper") / "report.html").read_text()
    headline = json.loads((finished(runs, "cheaper") / "summary.json").read_text())["headline"]
    assert headline["trials"] == 2 and 0 <= headline["annual_return_percentile"] <= 100


def test_every_figure_of_a_run_may_be_an_objective(runs):
    """What `objective` is held against before a sweep begins is what its jobs will have."""
    from omegaconf import OmegaConf

    from kronos_lab.runs.objective import check_objective, is_one_of, read_figures

    families = list(OmegaConf.load(ROOT / "conf/hydra/callbacks/sweep_of_backtests.yaml").sweep.figures)
    figures = {name for run in ("csi300", "finetuned") for name in read_figures(finished(runs, run))}
    for figure in figures:
        check_objective(figure, families)
    of_none = {family for family in families if not any(is_one_of(figure, family) for figure in figures)}
    assert of_none == {"lightgbm.<keys>"}  # of backtest.lightgbm=true


def test_random_portfolios_are_a_hundred_or_none(runs):
    assert pd.read_parquet(finished(runs, "csi300") / "random_portfolios.parquet").shape[1] == 1 + 100
    assert "of 100 random portfolios of the same turnover" in " ".join(runs["csi300"]["out"].split())
    assert not (finished(runs, "all") / "random_portfolios.parquet").exists()
    assert "random portfolios" not in runs["all"]["out"]


def test_the_screen_says_what_was_used_and_what_came_out(runs):
    out = runs["csi300"]["out"]
    assert f"checkpoint  {PREDICTOR}" in out
    assert "Rank IC, 1-session label" in out
    assert "categorical units" not in out  # matplotlib, of names that look like numbers
    assert str(finished(runs, "csi300") / "report.html") in out
    assert runs["csi300"]["err"] == ""


def test_the_comet_archive_holds_the_figures_and_the_report(runs):
    messages = messages_of(finished(runs, "csi300"))
    metrics = json.loads((finished(runs, "csi300") / "metrics.json").read_text())
    assert "backtest/rank_ic_1d" in messages
    assert str(metrics["excess"]["index"]["with_cost"]["annual_return"])[:12] in messages
    shards = [f"{made}/rank-000-shard-00000.parquet" for made in ("forecasts", "calibration/model")]
    for file in ("report.html", "metrics.json", "equity", "signals.parquet", *shards):
        assert file in messages
    summary = json.loads((finished(runs, "csi300") / "summary.json").read_text())
    assert (finished(runs, "csi300") / "comet" / summary["comet"]["archive"]).is_file()
    for fact in (summary["git"]["revision"], summary["market"]["fingerprint"], summary["weights"]["predictor"]):
        assert f'"value":"{fact}"' in messages


def test_all_is_compared_with_equal_weight_alone(runs):
    metrics = json.loads((finished(runs, "all") / "metrics.json").read_text())
    assert list(metrics["excess"]) == ["equal_weight"]
    assert "excess over the price index" not in (finished(runs, "all") / "report.html").read_text()
    assert "excess over the price index" in (finished(runs, "csi300") / "report.html").read_text()
    assert "rank_ic_1d" in next((finished(runs, "all") / "csv").rglob("metrics.csv")).read_text()


def test_a_test_inside_pretraining_says_so_at_the_top(runs):
    page = (finished(runs, "before") / "report.html").read_text()
    assert page.index("inside pretraining") < page.index("Rank IC")
    assert "inside pretraining" in runs["before"]["out"]
    assert "inside pretraining" not in runs["csi300"]["out"]
    days = pd.read_parquet(finished(runs, "before") / "signals.parquet")["date"]
    assert (days.min(), days.max()) == (pd.Timestamp("2024-06-20"), pd.Timestamp("2024-06-25"))


def test_scores_are_traded_as_they_were_treated(runs):
    signals = pd.read_parquet(finished(runs, "all") / "signals.parquet")
    days = signals.groupby("date")["score"]
    assert (days.min() == -0.5).all() and (days.max() == 0.5).all()
    summary = json.loads((finished(runs, "all") / "summary.json").read_text())
    assert summary["config"]["signal"]["which"] == "mean"
    assert "neutralise ('beta', 'liquidity')" in html.unescape((finished(runs, "all") / "report.html").read_text())


def test_what_was_finetuned_stands_beside_its_parent(runs):
    """The parent's row is what a backtest of the parent itself says."""
    folder = finished(runs, "finetuned")
    baselines = json.loads((folder / "metrics.json").read_text())["baselines"]
    assert list(baselines) == ["this signal", "its parent"]
    parent = json.loads((finished(runs, "csi300") / "metrics.json").read_text())["baselines"]["this signal"]
    assert baselines["its parent"]["excess"] == parent["excess"]
    assert baselines["its parent"]["rank_ic"] == parent["rank_ic"] != baselines["this signal"]["rank_ic"]
    assert set(json.loads((folder / "summary.json").read_text())["weights"]) == {
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
    calibration = json.loads((folder / "metrics.json").read_text())["calibration"]
    assert min(pairs) > 0 and sum(pairs) == calibration["sample"]["pairs"] == 20
    of_first, of_second = (
        json.loads((finished(runs, name) / "metrics.json").read_text())["calibration"][TRADING]["returns"]["4"]["crps"]
        for name in ("csi300", "finetuned")
    )
    mixed = calibration[TRADING]["returns"]["4"]["crps"]["mean"]
    assert mixed not in (of_first["mean"], of_second["mean"])
    assert "turns of 2" in (folder / "report.html").read_text() and (folder / "figures" / "fans.png").is_file()
    assert "from 2025-03-03 run later" in runs["turns"]["out"] and "left out    from 2025-03-03" in runs["turns"]["out"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_one_line_before_any_forecast(runs, name):
    assert runs[name]["code"] == 1
    assert runs[name]["err"].count("\n") == 1, runs[name]["err"]
    assert runs[name]["err"].startswith("error: ")
    assert REFUSED[name][1] in runs[name]["err"]
    assert not (runs["folder"] / "backtest" / name / "forecasts").exists()


def test_calibration_is_of_a_sample_of_what_is_traded_as_learned_and_as_traded(runs, small_market):
    from kronos_lab.backtesting.calibration_sample import read_close_paths
    from kronos_lab.backtesting.forecasts.forecast_shards import read_forecasts
    from kronos_lab.evaluation.calibration_figures import CalibrationOutcome
    from kronos_lab.evaluation.manifest import Manifest, ManifestSize
    from kronos_lab.runs.provenance import WindowSettings

    folder = finished(runs, "csi300")
    window = WindowSettings(lookback=30, horizon=4, max_gap=20, clip=5.0, rescale=False)
    sample = Manifest(small_market, "csi300", window, "2024-12-02", None, ManifestSize(4, 5))
    signals = pd.read_parquet(folder / "signals.parquet")[["date", "symbol"]]
    pairs = list(zip(sample.stamp_S, sample.symbol_S, strict=True))
    assert len(pairs) == 20 and set(pairs) < set(signals.itertuples(index=False, name=None))
    calibration = json.loads((folder / "metrics.json").read_text())["calibration"]
    assert calibration["sample"]["fingerprint"] == sample.fingerprint
    assert calibration["model"]["sampling"] == {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "stratified": False}
    assert calibration["trading"]["sampling"] == {"temperature": 0.6, "top_p": 0.9, "top_k": 0, "stratified": False}
    for name in ("model", "trading"):
        paths = read_close_paths([[folder / "calibration" / name]], sample)
        for shard in read_forecasts(folder / "calibration" / name, ("close",)):
            for symbol, date, last, close_PH in zip(
                shard.symbol_B, shard.date_B, shard.last_close_B, shard.paths["close"], strict=True
            ):
                of_pair_PK = paths.return_SPK[pairs.index((pd.Timestamp(date), symbol))]
                assert of_pair_PK == pytest.approx(close_PH / last - 1, abs=1e-6) and of_pair_PK.shape == (10, 4)
        crps = CalibrationOutcome(sample, 100).of_paths(paths)["returns"]["4"]["crps"]["mean"]
        assert calibration[name]["returns"]["4"]["crps"]["mean"] == pytest.approx(crps)
    page = (folder / "report.html").read_text()
    assert page.index("<h2>Calibration</h2>") < page.index("Over 4 sessions the central 80 %")
    assert "As traded (temperature 0.6, top_p 0.9), 4-session" in page
    assert (folder / "figures" / "calibration.png").exists()
    assert "calibration 20 × 10 paths, sampled as traded" in runs["csi300"]["out"]


def test_the_sample_is_forecast_once_and_not_where_none_is_asked_for(runs):
    first, again = (
        json.loads((finished(runs, name) / "metrics.json").read_text())["calibration"] for name in ("csi300", "cheaper")
    )
    assert f"batches were made by {finished(runs, 'csi300') / 'calibration'}\n" in runs["cheaper"]["out"]
    assert first == again
    without = finished(runs, "all")
    assert "calibration" not in json.loads((without / "metrics.json").read_text())
    assert not (without / "calibration").exists() and not (without / "figures" / "calibration.png").exists()
    assert "<h2>Calibration</h2>" not in (without / "report.html").read_text()


@pytest.fixture(scope="module")
def placebos(runs, small_market) -> dict[str, Any]:
    paths = [f"paths.outputs={runs['folder']}"]
    commands = {
        "newest": [*paths, "name=newest", "shuffles=2"],
        "named": [*paths, "name=named", "run=csi300", "shuffles=0"],
        "nothing": [*paths, "run=nothing"],
        "half": [*paths, "shuffles=0.5"],
    }
    return run_commands("backtest/run_placebos.py", commands, runs["folder"])


def test_placebos_see_what_is_there(runs, placebos):
    for name, shuffled in {"newest": ["shuffled 1", "shuffled 2"], "named": []}.items():
        assert placebos[name]["code"] == 0, placebos[name]["err"]
        table = pd.read_csv(runs["folder"] / "placebos" / name / "placebos.csv", index_col="scores")
        assert list(table.index) == ["this signal", "tomorrow's return", "a session later", *shuffled]
        assert table.loc["tomorrow's return", "rank_ic"] == pytest.approx(1)
        assert "the machinery sees what is there" in placebos[name]["out"]
        assert ("shuffled within the day, 2 times: mean rank IC" in placebos[name]["out"]) == bool(shuffled)
    own = pd.read_csv(runs["folder"] / "placebos" / "named" / "placebos.csv", index_col="scores").loc["this signal"]
    headline = json.loads((runs["folder"] / "backtest" / "csi300" / "summary.json").read_text())["headline"]
    assert own["excess"] == pytest.approx(headline["excess_equal_weight_with_cost"], rel=1e-5)


def test_placebos_of_nothing_are_refused(runs, placebos):
    for name, words in {"nothing": "run=nothing is no finished backtest", "half": "shuffles=0.5 must be"}.items():
        assert placebos[name]["code"] == 1 and words in placebos[name]["err"]
        assert placebos[name]["err"].count("\n") == 1
    assert {path.name for path in (runs["folder"] / "placebos").iterdir()} == {"newest", "named"}


def test_a_backtest_of_code_that_has_moved_is_refused(runs, tmp_path):
    from kronos_lab.backtesting.finished_backtest import load_rule

    folder = finished(runs, "csi300")
    assert load_rule(folder).strategy.topk == 5
    config = (folder / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(config.replace("trading.strategies.TopkDropout", "portfolio.TopkDropout"))
    with pytest.raises(
        InputError, match=r"which had kronos_lab\.backtesting\.portfolio\.TopkDropout: run the backtest"
    ):
        load_rule(tmp_path)


# What `todays_orders.py` refuses, and words of the line that says so.
NO_ORDERS: dict[str, tuple[list[str], str]] = {
    "no backtest": (["run=nothing"], "run=nothing is no finished backtest"),
    "another rule": (["run=csi300", "strategy.topk=3"], "leave out strategy.topk=3"),
    "end": (["backtest.end=2024-12-16"], "backtest.end=2024-12-16 is for backtest.py: this is one day, which day= "),
    "tomorrow": (["run=csi300", "day=2025-01-13"], "day=2025-01-13: the newest day of market small with bars and "),
    "a Sunday": (["run=csi300", "day=2024-12-15"], "day=2024-12-15 is no session of market small: the last one before"),
    "no day": (["run=csi300", "day=soon"], "day=soon is no date: write it as 2024-06-30"),
    "no file": (["run=csi300", "holdings=nowhere.csv"], "holdings=nowhere.csv does not exist"),
    "unknown": (["run=csi300", "holdings=wrong.csv"], "wrong.csv, line 2: market small has no symbol 'SH1'"),
    "another store": (["run=csi300", "paths.cache=elsewhere"], "leave out paths.cache=elsewhere"),
    "nothing": (["run=csi300", "cash=0"], "neither cash nor a holding"),
    "too many": (["run=csi300", "holdings=many.csv"], "13 names are held, more than strategy.topk=5 and"),
    "debts": (["run=csi300", "cash=-1"], "cash=-1 is no amount of money"),
    "many": (["run=csi300", "checkpoint=null", "cash=1", "run=all", "day=2020-01-01"], "day=2020-01-01 is no session"),
}


@pytest.fixture(scope="module")
def orders(runs, small_market, tmp_path_factory) -> dict[str, Any]:
    """Commands typed in a folder with what the backtest held on an evening, as a broker would show it."""
    here = tmp_path_factory.mktemp("broker")
    (here / "wrong.csv").write_text("symbol,shares\nSH1,100\n")
    many = "".join(f"{symbol},100\n" for symbol in small_market.symbols("csi300")[:13])
    (here / "many.csv").write_text(f"symbol,shares\n{many}")
    trades = pd.read_parquet(finished(runs, "csi300") / "trades.parquet")
    sides_L = trades.groupby("date")["side"].nunique()
    morning = sides_L.index[sides_L == 2][-1]
    evening = small_market.calendar[small_market.calendar.get_loc(morning) - 1]
    ledger = pd.read_parquet(finished(runs, "csi300") / "holdings.parquet")
    held = ledger[ledger["date"] == evening].set_index("symbol")
    factor = small_market.wide(["factor"], list(held.index), end=evening)["factor"].ffill().iloc[-1]
    shown = held.assign(shares=held["shares"] * factor)[["shares", "sessions_held"]]
    shown.to_csv(here / "holdings.csv", float_format="%.17g")
    portfolio = pd.read_parquet(finished(runs, "csi300") / "portfolio.parquet").set_index("date")
    cash = portfolio.loc[evening, "cash"]
    paths = [f"paths.outputs='{runs['folder']}'"]
    explicit = [
        *paths, *SMALL, "market=qlib", f"market.store='{small_market.store}'", "market.name=small", "universe=csi300",
        f"paths.cache='{runs['folder'] / 'cache'}'", f"checkpoint='{PREDICTOR}'", "forecast.paths=2",
    ]  # fmt: skip
    commands = {
        "evening": [
            *paths,
            "run=csi300",
            f"day={evening:%Y-%m-%d}",
            "holdings=holdings.csv",
            f"cash={cash}",
            "name=evening",
        ],
        "newest": [*explicit, "name=newest", "holdings=holdings.csv"],
        **{name: [*paths, *arguments, f"name='{name}'"] for name, (arguments, _) in NO_ORDERS.items()},
    }
    facts = {"cash": cash, "held": shown, "days": (evening, morning)}
    return {**facts, **run_commands("backtest/todays_orders.py", commands, here)}


def test_orders_of_an_evening_are_what_the_backtest_did_the_next_morning(runs, orders):
    assert orders["evening"]["code"] == 0, orders["evening"]["err"]
    folder = runs["folder"] / "orders" / "evening"
    evening, morning = orders["days"]
    given = pd.read_csv(folder / "orders.csv").query("side != 'none'").reset_index(drop=True)
    trades = pd.read_parquet(finished(runs, "csi300") / "trades.parquet")
    fills = trades[trades["date"] == morning].reset_index(drop=True)
    assert given[["symbol", "side"]].equals(fills[["symbol", "side"]]) and set(fills["side"]) == {"buy", "sell"}
    sold = given[given["side"] == "sell"].set_index("symbol")["shares"]
    assert sold.to_dict() == pytest.approx(orders["held"].loc[sold.index, "shares"].to_dict())
    content = json.loads((folder / "orders.json").read_text())
    assert (content["day"], content["next_session"]) == (f"{evening:%Y-%m-%d}", f"{morning:%Y-%m-%d}")
    assert content["cash"]["before"] == pytest.approx(orders["cash"])
    assert content["settings"]["strategy"]["topk"] == 5
    # Another number of series in a batch moves the last bits of a forecast.
    signals = pd.read_parquet(finished(runs, "csi300") / "signals.parquet").query("date == @evening")
    scores = {name["symbol"]: name["score"] for name in content["target"] if name["score"] is not None}
    assert scores == pytest.approx(signals.set_index("symbol")["score"][list(scores)].to_dict(), abs=1e-6)
    assert json.loads((folder / "summary.json").read_text())["kind"] == "orders"
    out = orders["evening"]["out"]
    assert str(folder / "orders.csv") in out and f"for {morning:%Y-%m-%d}" in out and "is over" not in out


def test_without_a_backtest_and_a_day_it_is_the_newest_of_what_is_typed(runs, small_market, orders):
    assert orders["newest"]["code"] == 0 and not orders["newest"]["err"], orders["newest"]["err"]
    content = json.loads((runs["folder"] / "orders" / "newest" / "orders.json").read_text())
    assert content["day"] == f"{small_market.newest_day('csi300'):%Y-%m-%d}"
    assert content["next_session"] == f"{small_market.future[0]:%Y-%m-%d}"
    assert content["cash"]["before"] == 0
    said = " ".join(content["warnings"])
    assert "cash=null: none beside the holdings" in said and f"{content['next_session']}, is over" in said
    assert "cash=null" in orders["newest"]["out"]


@pytest.mark.parametrize("name", NO_ORDERS)
def test_orders_that_cannot_be_given_are_one_line(runs, orders, name):
    assert orders[name]["code"] == 1
    assert orders[name]["err"].count("\n") == 1 and orders[name]["err"].startswith("error: ")
    assert NO_ORDERS[name][1] in orders[name]["err"]
    assert not (runs["folder"] / "orders" / name).exists()


# What `compare_runs.py` refuses, and words of the line that says so.
INCOMPARABLE: dict[str, tuple[list[str], str]] = {
    "nothing given": ([], "runs=null: give finished backtests, runs=[first,second,...]"),
    "nowhere": (["runs=[csi300,nowhere]"], "runs: nowhere is no finished backtest: there is no "),
    "training": (["runs=[train/finetuned]"], "is a training run: backtest it with python backtest.py checkpoint=<run>"),
    "placebos": (["runs=[placebos/named]"], "is a run of kind 'placebos': finished backtests are compared"),
    "killed": (["runs=[csi300,killed]"], "killed is no finished backtest: it has no summary.json"),
    "half a sweep": (
        ["runs=sweep"],
        "is no finished backtest: it has no summary.json (of runs=sweep; skip_unfinished=true",
    ),
    "older": (
        ["runs=[csi300,older]"],
        "older was made by an earlier version of this code, which left no daily.parquet",
    ),
    "torn": (["runs=[csi300,torn]"], "torn cannot be read ("),
    "many": (["runs=csi300", "against=[csi300,cheaper]"], "against=['csi300', 'cheaper'] stands for 2 runs: name one"),
    "perhaps": (["runs=csi300", "skip_unfinished=perhaps"], "skip_unfinished=perhaps must be true or false"),
}


@pytest.fixture(scope="module")
def compared(runs, placebos) -> dict[str, Any]:
    backtests = runs["folder"] / "backtest"
    for name in ("killed", "sweep/1"):
        (backtests / name).mkdir(parents=True)
        shutil.copy(backtests / "csi300" / "config.yaml", backtests / name)
    for name in ("older", "torn", "sweep/0"):
        (backtests / name).mkdir(parents=True)
        for file in ("config.yaml", "summary.json", "metrics.json", "portfolio.parquet", "daily.parquet"):
            shutil.copy(backtests / "csi300" / file, backtests / name)
    (backtests / "older" / "daily.parquet").unlink()
    (backtests / "torn" / "daily.parquet").write_bytes(b"PAR1")
    paths = [f"paths.outputs='{runs['folder']}'"]
    commands = {
        "all": [*paths, "runs=[csi300,cheaper,finetuned,ensemble,before]", "name=all"],
        "against": [*paths, "runs=[ensemble,cheaper,'fine*']", "against=csi300", "name=against", "logger=csv"],
        "sweep": [*paths, "runs=sweep", "skip_unfinished=true", "name=sweep", "~logger"],
        **{name: [*paths, *arguments, f"name='{name}'"] for name, (arguments, _) in INCOMPARABLE.items()},
    }
    return run_commands("backtest/compare_runs.py", commands, runs["folder"])


def test_backtests_stand_beside_each_other(runs, compared):
    """The same figures as in their own reports; the ensemble and the finetune share days and costs with the first."""
    assert compared["all"]["code"] == 0 and not compared["all"]["err"], compared["all"]["err"]
    folder = runs["folder"] / "compare" / "all"
    table = pd.read_csv(folder / "comparison.csv", index_col="row")
    assert table["table"].to_dict() | {"csi300": 1, "finetuned": 1, "ensemble": 1} == table["table"].to_dict()
    assert len(set(table["table"])) == 3 and "exchange.open_cost 0" in table.loc["cheaper", "unlike_table_1"]
    assert "other days, 2024-06-20 to 2024-06-25" in table.loc["before", "unlike_table_1"]
    for name in table.index:
        metrics = json.loads((finished(runs, name) / "metrics.json").read_text())
        of_report = metrics["ranking"]["open_to_open"]["1"]["rank_ic"]
        excess = metrics["excess"]["equal_weight"]["with_cost"]
        assert table.loc[name, "rank_ic_1"] == pytest.approx(of_report["mean"])
        assert table.loc[name, "excess"] == pytest.approx(excess["annual_return"])
        if excess["annual_return_low"] is not None:
            assert table.loc[name, "excess_low"] == pytest.approx(excess["annual_return_low"])
            assert table.loc[name, "rank_ic_1_p"] == pytest.approx(of_report["p"])
    net = {
        name: pd.read_parquet(finished(runs, name) / "portfolio.parquet").set_index("date")["net_return"]
        for name in ("csi300", "cheaper")
    }
    per_year = json.loads((finished(runs, "csi300") / "metrics.json").read_text())["sessions_per_year"]
    assert table.loc["cheaper", "return_less"] == pytest.approx((net["cheaper"] - net["csi300"]).mean() * per_year)
    assert table.loc["cheaper", "rank_ic_1_less"] == 0  # the same forecasts
    page = (folder / "comparison.html").read_text()
    outside_pictures = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(r"https?://|<script|<link", outside_pictures) and "nan" not in outside_pictures.lower()
    assert page.count("data:image/svg+xml;base64,") == 2 and (folder / "equity.png").exists()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["kind"] == "compare" and summary["luck"]["trials"] >= 4  # csi300, cheaper, finetuned, ensemble
    assert summary["verdict"][0] in html.unescape(page)
    said = messages_of(folder)
    assert "compare/csi300/rank_ic_1" in said and "comparison.html" in said and "comparison.csv" in said


def test_runs_are_found_by_pattern_and_by_sweep(runs, compared):
    for name in ("against", "sweep"):
        assert compared[name]["code"] == 0 and not compared[name]["err"], compared[name]["err"]
    summary = json.loads((runs["folder"] / "compare" / "against" / "summary.json").read_text())
    assert summary["against"] == "csi300"
    assert list(summary["weights"]) == ["ensemble", "cheaper", "finetuned", "csi300"]
    assert list((runs["folder"] / "compare" / "against" / "csv").rglob("metrics.csv"))
    table = pd.read_csv(runs["folder"] / "compare" / "sweep" / "comparison.csv")
    assert list(table["row"]) == ["sweep/0"] and "1, which did not finish" in compared["sweep"]["out"]


@pytest.mark.parametrize("name", INCOMPARABLE)
def test_what_cannot_be_compared_is_one_line(runs, compared, name):
    assert compared[name]["code"] == 1
    assert compared[name]["err"].count("\n") == 1 and compared[name]["err"].startswith("error: ")
    assert INCOMPARABLE[name][1] in compared[name]["err"]
    assert not (runs["folder"] / "compare" / name).exists()
