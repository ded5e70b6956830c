"""The orders of an evening are those of a backtest the morning after, save for what nobody knew the evening before."""

import json
import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest
from traded_noise import NAMES, STRATEGIES, Traded, exchange_settings, quotes_of, trade_noise

from kronos_lab.errors import InputError
from small_market_store import DELISTED, LIMIT_UP_OPEN, SUSPENDED

# Signal days, by position: before a split, and before, during and after what the small market has of limits,
# suspensions and delistings.
EVENINGS = [259, 299, 300, 329, 331, 332, 349]
# What an evening's list and the fills of the next session differ by: only in the list, only among the fills.
DIFFERENCES: dict[str, dict[int, tuple[set[str], set[str]]]] = {
    "topk_dropout": {
        299: ({f"buy {LIMIT_UP_OPEN}"}, set()),  # opens at its upper limit
        329: ({f"sell {SUSPENDED}"}, set()),  # suspended from 330 on
        332: (set(), {f"sell {SUSPENDED}"}),  # trades again from 333 on
        349: ({f"sell {DELISTED}"}, set()),  # 349 was its last session
    },
    "softtopk": {
        299: ({f"buy {LIMIT_UP_OPEN}"}, set()),
        329: ({f"sell {SUSPENDED}"}, set()),
        332: (set(), {f"sell {SUSPENDED}"}),
        349: ({f"sell {DELISTED}"}, set()),
    },
}


@pytest.fixture(scope="module", params=STRATEGIES)
def traded(request: pytest.FixtureRequest, small_market: Any) -> Traded:
    return trade_noise(small_market, request.param)


@pytest.fixture(scope="module")
def plans(traded: Traded) -> dict[int, Any]:
    """The order list of each evening, by position."""
    from kronos_lab.backtesting.trading.orders import plan_orders

    return {position: plan_orders(**traded.evening(position)) for position in EVENINGS}


def names_of(orders: pd.DataFrame) -> set[str]:
    return {f"{side} {symbol}" for side, symbol in zip(orders["side"], orders["symbol"], strict=True) if side != "none"}


def test_the_list_names_what_the_backtest_trades_next_but_for_what_the_open_forbids(traded, plans):
    kind = "softtopk" if "max_sold_weight" in vars(traded.strategy) else "topk_dropout"
    differences = {}
    for position, plan in plans.items():
        listed, filled = names_of(plan.orders), names_of(traded.morning(position))
        if listed != filled:
            differences[position] = (listed - filled, filled - listed)
    assert differences == DIFFERENCES[kind]
    assert sum(len(traded.morning(position)) for position in EVENINGS) > 12


def test_at_the_true_open_it_is_the_backtests_next_session_to_the_share(traded):
    from kronos_lab.backtesting.trading.orders import plan_orders

    split = False
    for position in EVENINGS[:2] + EVENINGS[-2:]:
        evening, fills = traded.evening(position), traded.morning(position)
        day, session = evening["session"].day, evening["session"].stamp
        plan = plan_orders(**evening, quotes=quotes_of(traded.market, session))
        given = plan.orders[plan.orders["side"] != "none"].reset_index(drop=True)
        assert given[["symbol", "side"]].equals(fills[["symbol", "side"]])
        factor_N = traded.factor_LN.loc[day, given["symbol"]].to_numpy()
        split |= (traded.factor_LN.loc[session, given["symbol"]].to_numpy() / factor_N > 1.9).any()
        np.testing.assert_allclose(given["shares"] / factor_N, fills["shares"], rtol=1e-9)
        np.testing.assert_allclose(given["cost"], fills["cost"], rtol=1e-9)
        assert plan.cash_after == pytest.approx(traded.ledger.daily.loc[session, "cash"], rel=1e-9)
        after = traded.ledger.holdings[traded.ledger.holdings["date"] == session].set_index("symbol")
        assert plan.target.set_index("symbol")["weight"].to_dict() == pytest.approx(after["weight"].to_dict())
    assert split  # a name that splits that morning is among them


def test_orders_are_round_lots_of_shares_as_the_market_counts_them(traded, plans):
    close_LN = traded.market.wide(["close"], NAMES)["close"]
    bought = 0
    for position, plan in plans.items():
        day = traded.market.calendar[position]
        buys = plan.orders[plan.orders["side"] == "buy"]
        assert (buys["shares"] % 100 == 0).all() and (buys["shares"] > 0).all()
        given = plan.orders[plan.orders["side"] != "none"]
        raw = close_LN.loc[day, given["symbol"]] / traded.factor_LN.loc[day, given["symbol"]]
        np.testing.assert_allclose(given["reference_price"], raw, rtol=1e-6)
        np.testing.assert_allclose(given["reference_price"] * 100, (given["reference_price"] * 100).round(), atol=1e-9)
        np.testing.assert_allclose(given["shares"] * given["reference_price"], given["value"], rtol=1e-6)
        sells = given["side"] == "sell"
        cost = np.maximum(0.001 * given["value"], 5.0) + sells * 0.0005 * given["value"]
        np.testing.assert_allclose(given["cost"], cost, rtol=1e-9)
        flow = np.where(sells, given["value"], -given["value"]).sum() - given["cost"].sum()
        assert plan.cash_after == pytest.approx(plan.cash_before + flow)
        assert plan.target["weight"].sum() + plan.cash_after / (plan.account - given["cost"].sum()) == pytest.approx(1)
        bought += len(buys)
    assert bought > 5


def test_limits_are_those_of_the_next_session(traded, plans):
    checked = 0
    for position, plan in plans.items():
        session = traded.market.calendar[position + 1]
        limits = traded.market.wide(["limit_up", "limit_down", "factor"], NAMES, session, session)
        for order in plan.orders.itertuples():
            factor = limits["factor"].loc[session, order.symbol]
            if factor != traded.factor_LN.loc[plan.session.day, order.symbol]:
                continue  # suspended, or ex-rights that nobody knows the evening before
            for column in ("limit_up", "limit_down"):
                stored = limits[column].loc[session, order.symbol] / factor
                assert getattr(order, column) == pytest.approx(stored, rel=1e-6)
            checked += 1
    assert checked > 15


def reasons(plan: Any) -> dict[str, str]:
    return {order.symbol: f"{order.side}: {order.reason}" for order in plan.orders.itertuples()}


def test_every_order_says_why(traded, plans):
    day = f"{traded.market.calendar[331]:%Y-%m-%d}"
    for position, plan in plans.items():
        score_N = traded.score_LN.loc[plan.session.day].dropna()
        for order in plan.orders.itertuples():
            if order.symbol in score_N:
                rank = int((score_N > score_N[order.symbol]).sum()) + 1
                assert order.reason.startswith(f"rank {rank} of {len(score_N)}: "), position
            else:
                assert order.reason.startswith(f"no score on {plan.session.day:%Y-%m-%d}: ")
    wanted = f"none: no score on {day}: no longer among the best, but suspended on {day}: not sold"
    assert reasons(plans[331])[SUSPENDED] == wanted


def test_what_was_bought_lately_is_listed_as_held(traded):
    from kronos_lab.backtesting.trading.orders import plan_orders

    evening = traded.evening(329)
    assert reasons(plan_orders(**evening))[SUSPENDED].startswith("sell: rank 12 of 12: no longer among the best")
    evening["held"].loc[SUSPENDED, "sessions_held"] = 1
    found = reasons(plan_orders(**evening))
    if "max_sold_weight" in vars(traded.strategy):  # knows no such rule
        assert found[SUSPENDED].startswith("sell: ")
    else:
        assert found[SUSPENDED] == (
            "none: rank 12 of 12: no longer among the best, but held for 1 session: sold no earlier than 2 sessions "
            "after purchase"
        )


def test_the_rule_of_weights_buys_nothing_that_was_not_for_sale_at_the_open(traded, plans):
    bought = reasons(plans[300])[LIMIT_UP_OPEN]
    if "max_sold_weight" in vars(traded.strategy):
        day = f"{traded.market.calendar[300]:%Y-%m-%d}"
        assert bought == f"none: rank 1 of 12: among the best, but not for sale at the open of {day}: not bought"
    else:
        assert bought.startswith("buy: rank 1 of 12: among the best")


def test_a_store_without_future_days_gives_the_same_orders_and_says_so(traded, plans, tmp_path):
    from kronos_lab.backtesting.trading.next_session import next_session, session_warnings
    from kronos_lab.backtesting.trading.orders import plan_orders
    from kronos_lab.data.market import Market

    # The store ends on the evening of a signal day: there are no later bars to look at, nor days.
    end = 300
    whole = traded.market
    shutil.copytree(whole.store, tmp_path / "store")
    (tmp_path / "store" / "market.json").unlink(missing_ok=True)
    calendars = tmp_path / "store" / "calendars"
    (calendars / "day_future.txt").unlink()
    (calendars / "day.txt").write_text("\n".join(f"{day:%Y-%m-%d}" for day in whole.calendar[: end + 1]) + "\n")
    short = Market(tmp_path / "store", name="short")
    assert short.calendar[-1] == whole.calendar[end] and not len(short.future)
    session = next_session(short, short.calendar[-1])
    assert session.stamp == whole.calendar[end + 1] and not session.known
    plan = plan_orders(**traded.evening(end) | {"market": short, "session": session})
    pd.testing.assert_frame_equal(plan.orders, plans[end].orders)
    (line,) = session_warnings(session, session.day)
    assert "no calendar of future days" in line and f"{session.stamp:%Y-%m-%d}" in line
    whole.serve_qlib()


def test_orders_that_come_too_late_are_said_to(small_market):
    from kronos_lab.backtesting.trading.next_session import next_session, session_warnings

    session = next_session(small_market, small_market.calendar[-1])  # a Friday
    for days, late in ((0, False), (3, False), (4, True)):
        found = session_warnings(session, session.day + pd.Timedelta(days=days))
        assert [f"the session of these orders, {session.stamp:%Y-%m-%d}, is over" in line for line in found] == [
            True
        ] * late


def test_all_cash_buys_the_best_and_little_cash_says_what_it_does_not_buy(traded):
    from kronos_lab.backtesting.trading.holdings import no_holdings
    from kronos_lab.backtesting.trading.orders import plan_orders

    evening = traded.evening(320) | {"held": no_holdings(), "cash": 100_000.0}
    plan = plan_orders(**evening)
    best = traded.score_LN.loc[plan.session.day].nlargest(5).index
    assert set(plan.target["symbol"]) == set(best) == set(plan.orders["symbol"])
    assert plan.target.set_index("symbol")["rank"].to_dict() == {name: n + 1 for n, name in enumerate(best)}
    assert plan.account == plan.cash_before == 100_000.0
    poor = plan_orders(**evening | {"cash": 2_000.0})
    assert len(poor.target) < 5
    if "max_sold_weight" not in vars(traded.strategy):  # the other gives no order of less than a lot
        left = poor.orders[poor.orders["side"] == "none"]
        assert set(left["symbol"]) == set(best) - set(poor.target["symbol"])
        assert left["reason"].str.endswith("buys no lot of 100 shares").all()
    if traded.strategy.topk == 5 and "n_drop" in vars(traded.strategy):  # qlib would buy nearly every name
        many = pd.DataFrame({"shares": 100.0, "sessions_held": 9.0}, index=traded.score_LN.columns[:12])
        with pytest.raises(InputError, match=r"12 names are held, more than strategy\.topk=5 and strategy\.n_drop="):
            plan_orders(**evening | {"held": many})
    with pytest.raises(InputError, match=r"exchange\.stamp_duty begins on 2030-01-01"):
        plan_orders(**evening | {"exchange": exchange_settings(stamp_duty={"2030-01-01": 0.001})})


def test_files_hold_what_the_list_says(plans, tmp_path, capsys):
    from kronos_lab.backtesting.trading.order_files import print_orders, save_orders

    plan = plans[331]
    save_orders(tmp_path, plan, ["mind [this]"], {"universe": "all"})
    assert {file.name for file in tmp_path.iterdir()} == {"orders.csv", "orders.json", "target.csv"}
    orders, target = pd.read_csv(tmp_path / "orders.csv"), pd.read_csv(tmp_path / "target.csv")
    assert list(target) == ["symbol", "weight", "shares", "value", "score", "rank"]
    pd.testing.assert_frame_equal(orders, plan.orders, check_dtype=False, atol=0.005)
    pd.testing.assert_frame_equal(target, plan.target.astype({"rank": float}), check_dtype=False, atol=0.005)
    content = json.loads((tmp_path / "orders.json").read_text())
    assert content["day"] == f"{plan.session.day:%Y-%m-%d}"
    assert content["next_session"] == f"{plan.session.stamp:%Y-%m-%d}"
    assert content["cash"] == {"before": plan.cash_before, "after": plan.cash_after}
    assert content["warnings"] == ["mind [this]"] and content["universe"] == "all"
    assert [order["symbol"] for order in content["orders"]] == list(plan.orders["symbol"])
    assert {name["symbol"]: name["rank"] for name in content["target"]}[SUSPENDED] is None
    print_orders(plan, ["mind [this]"])
    out = capsys.readouterr().out
    assert "mind [this]" in out and SUSPENDED in out and f"for {plan.session.stamp:%Y-%m-%d}" in out
