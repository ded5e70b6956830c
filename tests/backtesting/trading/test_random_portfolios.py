"""Random portfolios: their books are qlib's, they trade as much as ours and under the same rules."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from traded_noise import exchange_settings

from kronos_lab.backtesting.trading.accounts import Accounts
from kronos_lab.backtesting.trading.lots import Lot
from kronos_lab.backtesting.trading.quotes import Quotes, read_quotes
from kronos_lab.backtesting.trading.random_portfolios import random_portfolios
from kronos_lab.backtesting.trading.strategies import SoftTopk, TopkDropout

HALVED_DUTY = {"2020-01-01": 0.001, "2024-10-08": 0.0005}
TOPK = TopkDropout(
    topk=8, n_drop=2, hold_thresh=1, risk_degree=0.95, only_tradable=False, forbid_all_trade_at_limit=False
)
SOFT = SoftTopk(topk=8, max_sold_weight=0.05, risk_degree=0.95)


@pytest.fixture(scope="module")
def noise(small_market) -> pd.DataFrame:
    """Scores without skill that last some days, over suspensions, a limit, a delisting, splits and dividends."""
    symbols = small_market.symbols("all")
    traded = small_market.wide(["close"], symbols)["close"].notna()
    values = np.random.default_rng(3).normal(size=traded.shape)
    scores = pd.DataFrame(values, traded.index, traded.columns).rolling(4).mean()
    return scores.where(traded).iloc[290:-1]


def simulated(market: Any, scores: pd.DataFrame, strategy: Any, account: float, **changes: Any) -> Any:
    from kronos_lab.backtesting.trading.portfolio import simulate

    return simulate(market, scores, strategy, exchange_settings(**{"stamp_duty": HALVED_DUTY} | changes), account)


@pytest.mark.parametrize(
    ("account", "changes"),
    [(60_000.0, {}), (1e7, {"trade_unit": None}), (1e6, {"limit_threshold": None, "stamp_duty": None})],
)
def test_the_books_are_those_of_qlib(small_market, noise, monkeypatch, account, changes):
    hold_against_qlib(small_market, noise, monkeypatch, account, **changes)


def test_the_books_are_those_of_qlib_where_lots_depend_on_the_board(boards_walk, monkeypatch):
    """With little money, much of which buys less than the 200 shares that STAR asks for."""
    market, scores = boards_walk
    hold_against_qlib(market, scores, monkeypatch, 14_000.0, trade_unit="by_board")


def hold_against_qlib(market: Any, scores: pd.DataFrame, monkeypatch: Any, account: float, **changes: Any) -> None:
    """The orders of one run of qlib's strategy, refused ones too, booked by both: smallest fees, lots, duty, limits."""
    from qlib.backtest.decision import OrderDir
    from qlib.contrib.strategy import TopkDropoutStrategy

    orders: list[tuple[Any, str, bool, float]] = []
    decide = TopkDropoutStrategy.generate_trade_decision

    def recorded(self, result=None):
        decision = decide(self, result)
        for order in decision.get_decision():
            orders.append((order.start_time, order.stock_id, order.direction == OrderDir.BUY, order.amount))
        return decision

    monkeypatch.setattr(TopkDropoutStrategy, "generate_trade_decision", recorded)
    ledger = simulated(market, scores, TOPK, account, **changes)
    sessions, symbols = ledger.daily.index, list(scores.columns)
    quotes = read_quotes(exchange_settings(**{"stamp_duty": HALVED_DUTY} | changes), symbols, sessions)
    accounts = Accounts(quotes, 2, account)  # the second one rests
    for number, session in enumerate(sessions):
        today = [order for order in orders if order[0] == session]
        sold, spent = np.zeros((2, len(symbols)), bool), np.zeros((2, len(symbols)))
        for _, symbol, buys, amount in today:
            column = symbols.index(symbol)
            if buys:
                spent[0, column] = amount * quotes.deal_LN[number, column]
            else:
                sold[0, column] = True
        accounts.sell(number, sold)
        accounts.buy(number, spent)
        accounts.close(number)
    assert len(ledger.trades) > 150
    np.testing.assert_allclose(accounts.value_LR[:, 0], ledger.daily["account"], rtol=1e-12)
    np.testing.assert_allclose(accounts.cash_R, [ledger.daily["cash"].iloc[-1], account], rtol=1e-9)
    before = ledger.daily["account"].shift(1, fill_value=account)
    np.testing.assert_allclose(accounts.turnover_LR[:, 0] / before, ledger.daily["turnover"], rtol=1e-9, atol=1e-12)
    assert (accounts.value_LR[:, 1] == account).all()


def two_sessions() -> Quotes:
    """A can be traded; B opens at its upper limit at first; C at its lower one, and is suspended then."""
    nan = float("nan")
    return Quotes(
        sessions=pd.bdate_range("2024-07-01", periods=2),
        deal_LN=np.array([[10.0, 20.0, 5.0], [11.0, 21.0, nan]]),
        close_LN=np.array([[10.5, 20.0, 5.5], [12.0, 22.0, 5.5]]),
        factor_LN=np.array([[1.0, 2.0, 1.0], [1.0, 2.0, nan]]),
        lot_N=[Lot(100, 100)] * 3,
        buyable_LN=np.array([[True, False, True], [True, True, False]]),
        sellable_LN=np.array([[True, True, False], [True, True, False]]),
        duty_L=np.array([0.001, 0.0005]),
        open_cost=0.001,
        close_cost=0.002,
        min_cost=5.0,
    )


def test_two_sessions_by_hand():
    accounts = Accounts(two_sessions(), 1, 100_000.0)
    accounts.buy(0, np.array([[12_345.0, 10_000.0, 1_600.0]]))
    assert accounts.shares_RN.tolist() == [[1200, 0, 300]]  # whole lots; B is at its limit
    assert accounts.cash_R[0] == 100_000 - 12_000 - 12 - 1_500 - 5  # the smallest fee for C
    accounts.sell(0, np.array([[False, True, True]]))
    assert accounts.shares_RN.tolist() == [[1200, 0, 300]]  # C cannot be sold, of B there is nothing
    accounts.close(0)
    assert accounts.value_LR[0, 0] == pytest.approx(86_483 + 1200 * 10.5 + 300 * 5.5)
    assert accounts.turnover_LR[0, 0] == 13_500
    assert accounts.worth(1)[0] == pytest.approx(86_483 + 1200 * 11 + 300 * 5.5)
    accounts.sell(1, np.array([[True, True, True]]))
    assert accounts.cash_R[0] == pytest.approx(86_483 + 13_200 - 26.4 - 6.6)  # fee, and duty in addition
    accounts.buy(1, np.array([[0.0, 5_000.0, 5_000.0]]))
    assert accounts.shares_RN.tolist() == [[0, 200, 300]]  # 2 lots of 100 real shares are 100 adjusted ones
    accounts.close(1)
    assert accounts.value_LR[1, 0] == pytest.approx(86_483 + 13_200 - 33 - 4_200 - 5 + 200 * 22 + 300 * 5.5)


@pytest.mark.parametrize("strategy", [TOPK, SOFT], ids=["topk_dropout", "softtopk"])
def test_they_trade_as_much_and_hold_as_many_as_ours(small_market, noise, monkeypatch, strategy):
    ledger = simulated(small_market, noise, strategy, 1e7)
    kept: list[Accounts] = []
    made = Accounts.__init__
    monkeypatch.setattr(Accounts, "__init__", lambda self, *given: (kept.append(self), made(self, *given))[1])
    held: list[np.ndarray] = []
    monkeypatch.setattr(Accounts, "close", _watching(Accounts.close, held))
    found = random_portfolios(small_market, noise, ledger, exchange_settings(stamp_duty=HALVED_DUTY), 1e7, 20, seed=1)
    assert found is not None
    ours, theirs = ledger.daily["turnover"], found.turnover_LR
    assert theirs.index.equals(ledger.daily.index)
    assert theirs.mean(axis=1).iloc[1:].mean() == pytest.approx(ours.iloc[1:].mean(), rel=0.05)
    assert theirs.iloc[0].mean() == pytest.approx(ours.iloc[0], rel=0.1)
    names_LR = np.stack([(shares > 0).sum(axis=1) for shares, _ in held])
    assert np.abs(names_LR.mean(axis=1) - ledger.daily["names"]).mean() < 0.5
    cash_LR = np.stack([cash for _, cash in held]) / kept[0].value_LR
    assert np.abs(cash_LR.mean(axis=1) - ledger.daily["cash"] / ledger.daily["account"]).mean() < 0.02
    assert cash_LR.min() >= 0
    growth = (1 + found.net_return_LR).prod() * 1e7
    np.testing.assert_allclose(growth, kept[0].value_LR[-1], rtol=1e-12)


def _watching(close: Any, held: list[Any]) -> Any:
    def closed(self: Accounts, session: int) -> None:
        close(self, session)
        held.append((self.shares_RN.copy(), self.cash_R.copy()))

    return closed


def test_only_what_was_scored_and_can_be_traded_changes_hands(small_market, noise, monkeypatch):
    ledger = simulated(small_market, noise, TOPK, 1e7)
    held: list[Any] = []
    monkeypatch.setattr(Accounts, "close", _watching(Accounts.close, held))
    among = noise.where(np.random.default_rng(0).random(noise.shape) < 0.5)  # ours may hold others
    random_portfolios(small_market, among, ledger, exchange_settings(stamp_duty=HALVED_DUTY), 1e7, 30, seed=1)
    shares_LRN = np.stack([shares for shares, _ in held])
    price = small_market.wide(["open", "limit_up", "limit_down"], list(among.columns))
    days = ledger.daily.index
    open_LN, up_LN, down_LN = (price[field].loc[days].to_numpy() for field in ("open", "limit_up", "limit_down"))
    before_LRN = np.concatenate([np.zeros_like(shares_LRN[:1]), shares_LRN[:-1]])
    bought_LN, sold_LN = (shares_LRN > before_LRN).any(axis=1), (shares_LRN < before_LRN).any(axis=1)
    assert bought_LN.sum() > 300 and (bought_LN & (open_LN >= up_LN)).sum() == 0
    assert (sold_LN & (open_LN <= down_LN)).sum() == 0
    assert not np.isnan(open_LN[bought_LN | sold_LN]).any()
    assert not (bought_LN & among.isna().to_numpy()[: len(days)]).any()  # row t is the signal of session t
    untradable = (open_LN >= up_LN) | (open_LN <= down_LN) | np.isnan(open_LN)
    assert untradable.sum() > 10


def test_lots_hang_on_the_seed_alone_and_none_are_drawn_for_none(small_market, noise):
    scores = noise.iloc[:40]
    ledger = simulated(small_market, scores, TOPK, 1e7)
    exchange = exchange_settings(stamp_duty=HALVED_DUTY)
    first, again, other = (
        random_portfolios(small_market, scores, ledger, exchange, 1e7, 3, seed).net_return_LR for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other) and not first[0].equals(first[1])
    assert random_portfolios(small_market, scores, ledger, exchange, 1e7, 0, 1) is None
