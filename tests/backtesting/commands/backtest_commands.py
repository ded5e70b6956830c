"""What is typed after `python backtest.py`, on the small market with the tiny golden model, and what it leaves."""

import json
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
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
    "no exposures": (
        [*SMALL, "cross_section.exposures=nowhere.csv"],
        "cross_section.exposures=nowhere.csv does not exist: give a CSV or Parquet file",
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
    "no rival": ([*SMALL, "objective=lightgbm.trees"], "no figure of this backtest: it needs backtest.lightgbm=true"),
    "no index to beat": (
        [*SMALL, "universe=all", "objective=excess_index_with_cost"],
        "no figure of this backtest: it needs a universe with an index, universe.benchmark",
    ),
    "other sessions": ([*SMALL, "objective=rank_ic_10d_t"], "its labels are of 1d or 4d"),
    "no figure": (
        [*SMALL, "seed=1,2", "objective=information_ratio", "-m"],
        "objective=information_ratio is no figure of such a run; it has information_ratio_percentile, ",
    ),
}


def finished(runs: dict[str, Any], name: str) -> Path:
    assert runs[name]["code"] == 0, runs[name]["err"]
    return runs["folder"] / "backtest" / name


def messages_of(folder: Path) -> str:
    """What the Comet archive of a run would tell the server."""
    (archive,) = (folder / "comet").glob("*.zip")
    with zipfile.ZipFile(archive) as files:
        return files.read("messages.json").decode()


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def summary_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())
