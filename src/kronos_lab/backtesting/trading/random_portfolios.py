"""Portfolios of names drawn by lot that do as much as ours does: what a result looks like without any skill.

R portfolios, L sessions, N symbols.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos_lab.backtesting.trading.accounts import Accounts
from kronos_lab.backtesting.trading.exchange import ExchangeSettings
from kronos_lab.backtesting.trading.portfolio import Ledger, trading_sessions
from kronos_lab.backtesting.trading.quotes import Quotes, read_quotes
from kronos_lab.data.market import Market


@dataclass(frozen=True)
class RandomPortfolios:
    """What came of names drawn by lot.

    Attributes:
        net_return_LR: daily returns after cost, fractions of the account of the day before.
        turnover_LR: bought plus sold value, fractions of that account too.
    """

    net_return_LR: pd.DataFrame
    turnover_LR: pd.DataFrame


def random_portfolios(
    market: Market,
    score_LN: pd.DataFrame,
    ledger: Ledger,
    exchange: ExchangeSettings,
    account: float,
    portfolios: int,
    seed: int,
) -> RandomPortfolios | None:
    """Trade names drawn by lot from the rows that were scored, as much and as often as a ledger did.

    On each session a portfolio sells about the same share of its holdings as the ledger sold (whole names, their
    number rounded up or down by lot), those without a score first, as a strategy does, else any; it buys names that
    it does not hold until it holds as many as the ledger, in equal parts, and keeps as much in cash as the ledger.
    Only what can be sold and bought at that open is drawn.

    Args:
        market: daily market the scores belong to.
        score_LN: scores, rows are signal days: which names could be chosen.
        ledger: whose turnover, number of names and cash are imitated.
        exchange: what can be traded, and at what cost.
        account: cash to begin with, in currency.
        portfolios: how many.
        seed: of the lots.

    Returns:
        None where none are wanted.
    """
    if portfolios == 0:
        return None
    sessions = trading_sessions(market, pd.DatetimeIndex(score_LN.index))
    market.serve_qlib()
    quotes = read_quotes(exchange, list(score_LN.columns), sessions)
    pace = _pace(ledger, sessions)
    # Session t trades the scores of the session before it; one without any signal has no names to choose from.
    signal_days = market.calendar[market.calendar.get_indexer(sessions) - 1]
    scored_LN = score_LN.reindex(signal_days).notna().to_numpy()
    accounts = _trade(quotes, scored_LN, pace, account, portfolios, np.random.default_rng(seed))
    before_LR = np.vstack([np.full(portfolios, account), accounts.value_LR[:-1]])
    return RandomPortfolios(
        pd.DataFrame(accounts.value_LR / before_LR - 1, sessions),
        pd.DataFrame(accounts.turnover_LR / before_LR, sessions),
    )


def _pace(ledger: Ledger, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Per session: names held, share of the holdings sold, cash as a share of the account."""
    daily = ledger.daily.reindex(sessions)
    sales = ledger.trades[ledger.trades["side"] == "sell"]
    sold = sales.groupby("date")["value"].sum().reindex(sessions, fill_value=0.0)
    held_before = daily["holdings"].shift(1)
    return pd.DataFrame(
        {
            "names": daily["names"],
            "sold": (sold / held_before.where(held_before > 0)).fillna(0.0).clip(upper=1.0),
            "cash": (daily["cash"] / daily["account"]).clip(lower=0.0),
        }
    )


def _trade(
    quotes: Quotes,
    scored_LN: np.ndarray,
    pace: pd.DataFrame,
    account: float,
    portfolios: int,
    lots: np.random.Generator,
) -> Accounts:
    """Books of portfolios that draw from the names scored the day before (bool [L, N]) at the pace of `_pace`."""
    accounts = Accounts(quotes, portfolios, account)
    for session, (names, sold, cash) in enumerate(pace[["names", "sold", "cash"]].to_numpy()):
        scored_N = scored_LN[session]
        if scored_N.any():  # a strategy without a signal does nothing
            held_RN = accounts.shares_RN > 0
            wanted_R = np.floor(sold * held_RN.sum(axis=1) + lots.random(portfolios))
            lot_RN = lots.random(held_RN.shape) - ~scored_N  # names without a score come first
            accounts.sell(session, _drawn(lot_RN, held_RN & quotes.sellable_LN[session], wanted_R))
            wanted_R = names - (accounts.shares_RN > 0).sum(axis=1)
            candidate_RN = ~held_RN & (scored_N & quotes.buyable_LN[session])  # nor what has just been sold
            bought_RN = _drawn(lots.random(held_RN.shape), candidate_RN, wanted_R)
            accounts.buy(session, bought_RN * _spent_per_name(accounts, session, bought_RN.sum(axis=1), cash)[:, None])
        accounts.close(session)
    return accounts


def _drawn(lot_RN: np.ndarray, candidate_RN: np.ndarray, wanted_R: np.ndarray) -> np.ndarray:
    """The candidates with the lowest lots, as many as are wanted, bool [R, N]."""
    drawn_RN = np.zeros(candidate_RN.shape, bool)
    most = int(min(wanted_R.max(), candidate_RN.shape[1]))
    if most > 0:  # only the lowest K are put in order: the whole market may be to choose from
        lot_RN = np.where(candidate_RN, lot_RN, np.inf)
        lowest_RK = np.argpartition(lot_RN, most - 1, axis=1)[:, :most]
        order_RK = np.argsort(np.take_along_axis(lot_RN, lowest_RK, axis=1), axis=1)
        lowest_RK = np.take_along_axis(lowest_RK, order_RK, axis=1)
        np.put_along_axis(drawn_RN, lowest_RK, np.arange(most) < wanted_R[:, None], axis=1)
    return drawn_RN & candidate_RN


def _spent_per_name(accounts: Accounts, session: int, names_R: np.ndarray, cash: float) -> np.ndarray:
    """Currency for each name that is bought, [R], so that a share `cash` of the account is left and costs are paid."""
    quotes, cash_R = accounts.quotes, accounts.cash_R
    spare_R = cash_R - cash * accounts.worth(session)
    with_fees_R = np.minimum(cash_R / (1 + quotes.open_cost), cash_R - names_R * quotes.min_cost)
    return np.clip(np.minimum(spare_R, with_fees_R), 0.0, None) / np.maximum(names_R, 1)
