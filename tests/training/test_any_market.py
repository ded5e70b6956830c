"""`python train.py`, then `forecast.py`, on markets that are no A-share universe: minutes, coins, US stocks."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kronos_lab.runs.folder import load_config, project_root
from many_commands import assert_refused, run_commands

REAL_FILE = project_root().parent / "shared" / "data" / "XSHG_5min_600977.csv"
SMALL = [
    "market=files", "universe=all", "split=ratio", "data.lookback=20", "data.horizon=4", "data.batch_size=8",
    "model.windows_per_epoch=40", "model.val_windows=11", "model.epochs=1", "trainer.max_steps=2",
    "model.tokenizer.d_model=16", "model.predictor.d_model=16", "trainer.accelerator=cpu", "logger=csv",
]  # fmt: skip
MARKETS = {
    "minutes": ["market.bars=minutes.csv", "market.freq=5min", "market.volume_unit=hands"],
    "coins": ["market.bars=coins.csv", "market.freq=60min", "data.rescale=true", "data.max_gap=0"],
    "us": ["market.bars=us", "market.prices=adjusted"],
    "real": ["market.bars=real.csv", "market.freq=5min", "market.volume_unit=hands"],
}
# What is forecast with the weights of each: a file of bars, and how many.
FORECASTS = {
    "minutes": ["file=minutes.csv", "horizon=60"],
    "coins": ["file=coins.csv", "symbol=PEPE", "horizon=48"],
    "us": ["file='us/BRK.B.csv'", "horizon=10"],
    "real": ["file=real.csv", "horizon=60"],
}
REFUSED = {
    "no such universe": (
        ["market.bars=us", "market.prices=adjusted", "universe=csi300"],
        "market us has no universe 'csi300'; it has all: give universe=all",
    ),
    "other days": (
        ["market.bars=minutes.csv", "market.freq=5min", "split=default", "split.train_end=2020-12-31"],
        "choose other days (split=ratio divides those there are)",
    ),
    "too few days": (
        ["market.bars=two_days.csv", "market.freq=5min"],
        "split.train=0.7, split.val=0.15 and split.test=0.15 of 2 days leave a part without any",
    ),
    "too few bars": (
        ["market.bars=us", "market.prices=adjusted", "data.lookback=400"],
        "no train window of 400 + 4 + 1 bars with signal days from the first to",
    ),
}


def random_walk(stamps: pd.DatetimeIndex, price: float, seed: int, decimals: int) -> pd.DataFrame:
    """Bars of one symbol; moves of about 0.3 % a bar."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(0.003 * rng.standard_normal(len(stamps)).cumsum())
    open_ = np.r_[price, close[:-1]]
    spread = 1 + 0.001 * rng.random(len(stamps))
    high, low = np.maximum(open_, close) * spread, np.minimum(open_, close) / spread
    prices = pd.DataFrame({"open": open_, "high": high, "low": low, "close": close}).round(decimals)
    return prices.assign(timestamps=stamps, volume=rng.integers(100, 900, len(stamps)).astype(float))


def write_markets(folder: Path) -> None:
    """44 days of 5-minute bars with a lunch break, coins round the clock, US stocks in a file each."""
    times = [
        pd.Timedelta(minutes=minute)
        for begin, end in (("09:35", "11:30"), ("13:05", "15:00"))
        for minute in range(int(begin[:2]) * 60 + int(begin[3:]), int(end[:2]) * 60 + int(end[3:]) + 1, 5)
    ]
    minutes = pd.DatetimeIndex([day + time for day in pd.bdate_range("2024-06-18", periods=44) for time in times])
    bars = random_walk(minutes, 11.0, 1, 2)
    bars.to_csv(folder / "minutes.csv", index=False)
    bars.iloc[: 2 * 48].to_csv(folder / "two_days.csv", index=False)
    hours = pd.date_range("2025-01-01", periods=24 * 60, freq="h")
    coins = {"PEPE": (1.2e-5, 12), "BTC/USDT": (5e4, 2), "SOL": (150.0, 4)}
    parts = [
        random_walk(hours, price, seed, decimals).assign(symbol=name)
        for seed, (name, (price, decimals)) in enumerate(coins.items())
    ]
    pd.concat(parts).to_csv(folder / "coins.csv", index=False)
    (folder / "us").mkdir()
    days = pd.bdate_range("2023-01-03", periods=300).difference(pd.DatetimeIndex(["2023-07-04", "2023-11-23"]))
    for seed, symbol in enumerate(("AAPL", "BRK.B", "CON", "NA")):
        bars = random_walk(days, 50.0 * (seed + 1), seed, 2)
        bars.rename(columns={"timestamps": "Date"}).to_csv(folder / "us" / f"{symbol}.csv", index=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All training runs, those refused last."""
    folder = tmp_path_factory.mktemp("any market")
    write_markets(folder)
    markets = MARKETS
    if REAL_FILE.is_file():
        shutil.copy(REAL_FILE, folder / "real.csv")
    else:
        markets = {name: arguments for name, arguments in markets.items() if name != "real"}
    asked = markets | {name: arguments for name, (arguments, _) in REFUSED.items()}
    commands = {
        name: [
            *SMALL, f"name='{name}'", "paths.outputs=out", "paths.cache=cache", "paths.data=data",
            f"market.name={'us' if 'market.bars=us' in arguments else name.replace(' ', '_')}", *arguments,
        ]
        for name, arguments in asked.items()
    }  # fmt: skip
    return {"folder": folder, **run_commands("train.py", commands, folder)}


@pytest.fixture(scope="module")
def forecasts(trained: dict[str, Any]) -> dict[str, Any]:
    common = ["forecast.paths=2", "paths.outputs=out", "device=cpu"]
    commands = {
        name: [*common, f"name={name}", f"checkpoint=out/train/{name}", *arguments]
        for name, arguments in FORECASTS.items()
        if name in trained
    }
    return run_commands("forecast.py", commands, trained["folder"])


@pytest.fixture(scope="module")
def backtests(trained: dict[str, Any]) -> dict[str, Any]:
    """Of the run on US stocks: from its first test day on, and from a day before."""
    common = [
        "market=files", "market.name=us", *MARKETS["us"], "paths.outputs=out", "paths.cache=cache", "paths.data=data",
        "universe=all", "split=ratio", "exchange.limit_threshold=null", "strategy.topk=2", "strategy.n_drop=1",
        "forecast.paths=1", "trainer.accelerator=cpu", "logger=csv",
    ]  # fmt: skip
    commands = {
        "its test days": [*common, "name=test"],
        "validated on": [*common, "name=val", "backtest.start=20231201", "backtest.end=20231205"],
    }
    return run_commands("backtest.py", commands, trained["folder"])


def run_of(trained: dict[str, Any], name: str) -> Path:
    if name not in trained:
        pytest.skip(f"real K-lines are not beside this checkout (../shared/data/{REAL_FILE.name})")
    assert trained[name]["code"] == 0, trained[name]["err"]
    return trained["folder"] / "out" / "train" / name


@pytest.mark.parametrize("name", MARKETS)
def test_a_ratio_becomes_the_days_of_the_market(trained: dict[str, Any], name: str) -> None:
    """The same in the log, in the configuration that later commands read, and in the summary."""
    folder = run_of(trained, name)
    column = "Date" if name == "us" else "timestamps"
    source = trained["folder"] / ("us/AAPL.csv" if name == "us" else f"{name}.csv")
    days = pd.DatetimeIndex(pd.read_csv(source)[column]).normalize().unique().sort_values()
    split = load_config(folder).split
    ends = [days.get_loc(pd.Timestamp(day)) + 1 for day in (split.train_end, split.val_end)]
    assert ends == [round(0.7 * len(days)), round(0.85 * len(days))]
    assert [days.get_loc(pd.Timestamp(day)) for day in (split.val_start, split.test_start)] == ends
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["seen_until"] == split.val_end == summary["config"]["split"]["val_end"]
    undefined = {figure for figure, value in summary["headline"].items() if value is None}
    assert undefined <= {"test_rank_ic_1", "test_rank_ic_h", "test_best_tenth_excess"}  # too few names to rank
    assert np.isfinite([value for figure, value in summary["headline"].items() if figure not in undefined]).all()
    first, last = (f"{days[n]:%Y-%m-%d}" for n in (0, -1))
    line = (
        f"split       training {first} to {split.train_end}, validation {split.val_start} to {split.val_end}, "
        f"test {split.test_start} to {last}"
    )
    assert line in trained[name]["out"]


@pytest.mark.parametrize("name", FORECASTS)
def test_the_weights_forecast_the_bars_they_were_made_for(
    trained: dict[str, Any], forecasts: dict[str, Any], name: str
) -> None:
    run_of(trained, name)
    assert forecasts[name]["code"] == 0, forecasts[name]["err"]
    assert "20 bars, as in training" in forecasts[name]["out"]
    table = pd.read_csv(trained["folder"] / "out" / "forecast" / name / "forecast.csv", parse_dates=["stamp"])
    stamps = pd.DatetimeIndex(table["stamp"])
    if name == "coins":
        assert (np.diff(stamps.to_numpy()) == np.timedelta64(1, "h")).all()
        assert table["close"].between(1e-6, 1e-4).all()  # near 1e-5: not swamped by the epsilon of the normaliser
    else:
        assert (stamps.weekday < 5).all()
    if name in {"minutes", "real"}:
        lunch = (stamps.strftime("%H:%M") > "11:30") & (stamps.strftime("%H:%M") < "13:05")
        assert not lunch.any() and len(stamps) == 60
    assert "inside training" not in forecasts[name]["err"]


def inside_training(folder: Path) -> list[str]:
    warnings = json.loads((folder / "metrics.json").read_text())["warnings"]
    return [warning for warning in warnings if warning.startswith("inside")]


@pytest.mark.slow  # qlib's exchange in another process; which days it takes is tested in tests/runs/test_open_market.py
def test_a_backtest_starts_on_the_first_test_day_and_says_where_one_does_not(
    trained: dict[str, Any], backtests: dict[str, Any]
) -> None:
    split = load_config(run_of(trained, "us")).split
    for name, done in backtests.items():
        assert done["code"] == 0, (name, done["err"])
    folder = trained["folder"] / "out" / "backtest"
    assert load_config(folder / "test").backtest.start == split.test_start
    assert pd.read_parquet(folder / "test" / "signals.parquet")["date"].min() == pd.Timestamp(split.test_start)
    assert not inside_training(folder / "test")
    (warning,) = inside_training(folder / "val")
    assert warning.startswith("inside training: the test starts on 2023-12-01")
    assert warning.endswith(f"saw days up to {split.val_end}")


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_one_line(trained: dict[str, Any], name: str) -> None:
    assert_refused(trained[name], REFUSED[name][1])
    assert not (trained["folder"] / "out" / "train" / name).exists()
