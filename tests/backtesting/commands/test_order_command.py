"""`python backtest/todays_orders.py` as people type it."""

import json
from typing import Any

import pandas as pd
import pytest
from backtest_commands import PREDICTOR, SMALL, finished, summary_of

from many_commands import assert_refused, run_commands

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
    assert summary_of(folder)["kind"] == "orders"
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
    assert_refused(orders[name], NO_ORDERS[name][1])
    assert not (runs["folder"] / "orders" / name).exists()
