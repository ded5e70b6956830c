"""What needs no model: scores made of past prices, on the very rows that were forecast and traded in the same way.

L signal days, N symbols. A model that does not beat these has learned what anybody can compute.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import pandas as pd

from kronos_lab.backtesting.performance import performance, performance_errors
from kronos_lab.backtesting.score_quality import NEXT_SESSION, sure_figures
from kronos_lab.backtesting.trading.exchange import ExchangeSettings
from kronos_lab.backtesting.trading.portfolio import Ledger, quoted_exchange, simulate
from kronos_lab.backtesting.trading.strategies import Strategy
from kronos_lab.data.market import Market
from kronos_lab.evaluation.ranking import daily_correlation, open_to_open_return

OURS = "this signal"  # the row of the scores in question
LIGHTGBM = "Alpha158 + LightGBM"  # what qlib's own benchmark learns on the days before, see `Rival`
PARENT = "its parent"  # the same signal, of forecasts by the weights that ours were finetuned from
VOLATILITY_SESSIONS, LEAST_RETURNS = 60, 20


class Traded(NamedTuple):
    """Scores and what trading them did.

    Attributes:
        score_LN: signal days × symbols.
        ledger: of the portfolio.
    """

    score_LN: pd.DataFrame
    ledger: Ledger


def past_return(close_LN: pd.DataFrame, sessions: int) -> pd.DataFrame:
    """Return from the close `sessions` before to this one; a suspended name keeps its last close."""
    return close_LN.ffill().pct_change(sessions, fill_method=None)


def past_volatility(close_LN: pd.DataFrame) -> pd.DataFrame:
    """Standard deviation of the returns to the days traded among the last 60 sessions; NaN with fewer than 20."""
    daily_LN = close_LN.ffill().pct_change(fill_method=None).where(close_LN.notna())
    return daily_LN.rolling(VOLATILITY_SESSIONS, min_periods=LEAST_RETURNS).std()


RULES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "reversal, 5 sessions": lambda close_LN: -past_return(close_LN, 5),
    "reversal, 20 sessions": lambda close_LN: -past_return(close_LN, 20),
    "momentum, 5 sessions": lambda close_LN: past_return(close_LN, 5),
    "momentum, 20 sessions": lambda close_LN: past_return(close_LN, 20),
    "low volatility": lambda close_LN: -past_volatility(close_LN),
}


def baseline_scores(market: Market, score_LN: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Scores of every rule on the rows of `score_LN`, from adjusted closes up to each signal day.

    Where a rule has no opinion (too few bars) it has the median one of the day, so that all rank the same names.
    """
    close_LN = market.wide(["close"], list(score_LN.columns))["close"]
    return {name: on_rows_of(score_LN, rule(close_LN)) for name, rule in RULES.items()}


def on_rows_of(score_LN: pd.DataFrame, other_LN: pd.DataFrame) -> pd.DataFrame:
    """Other scores on exactly the rows of these; where they have none, the median of their day."""
    rows_LN = score_LN.notna()
    other_LN = other_LN.reindex(index=score_LN.index, columns=score_LN.columns).where(rows_LN)
    median_L = other_LN.median(axis=1).fillna(0.0)
    return other_LN.apply(lambda column: column.fillna(median_L)).where(rows_LN)


def trade_each(
    market: Market,
    scores: Mapping[str, pd.DataFrame],
    strategy: Strategy,
    exchange: ExchangeSettings,
    account: float,
) -> dict[str, Traded]:
    """Each score traded by itself, as `simulate` does; the quotes are read once."""
    quoted = quoted_exchange(market, list(scores.values()), exchange)
    return {
        name: Traded(one_LN, simulate(market, one_LN, strategy, exchange, account, quoted))
        for name, one_LN in scores.items()
    }


def against_baselines(
    market: Market,
    traded: Mapping[str, Traded],
    equal_weight: pd.Series,
    horizon: int,
    per_year: float,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Rank IC and excess of the scores and of all that stands beside them, and the paired differences from ours.

    Args:
        market: where the prices are.
        traded: the scores in question (`OURS`) and others, see `trade_each`.
        equal_weight: daily return of the members in equal parts.
        horizon: sessions that were forecast.
        per_year: sessions per year.
        seed: of the bootstrap.

    Returns:
        By name, the scores themselves as `OURS`: `rank_ic` by sessions (see `sure_figures`), `excess` over equal
        weight with cost (see `Performance` and `performance_errors`), `turnover`; of the others also `rank_ic_less`,
        and `return_less`: ours less theirs, day by day.
    """
    ours = traded[OURS]
    others = [name for name in traded if name != OURS]
    open_LN = market.wide(["open"], list(ours.score_LN.columns))["open"]
    labels = {sessions: open_to_open_return(open_LN, sessions) for sessions in sorted({NEXT_SESSION, horizon})}
    table: dict[str, dict[str, Any]] = {}
    for name, one in traded.items():
        excess = (one.ledger.daily["net_return"] - equal_weight).reindex(one.ledger.daily.index).dropna()
        table[name] = {
            "rank_ic": {},
            "excess": asdict(performance(excess, per_year)) | performance_errors(excess, per_year, seed),
            "turnover": float(one.ledger.daily["turnover"].mean()),
        }
        if name in others:
            less = (ours.ledger.daily["net_return"] - one.ledger.daily["net_return"]).dropna()
            table[name]["rank_ic_less"] = {}
            table[name]["return_less"] = asdict(performance(less, per_year)) | performance_errors(less, per_year, seed)
    for sessions, label_LN in labels.items():
        daily_LK = pd.DataFrame(
            {name: daily_correlation(one.score_LN, label_LN, "rank") for name, one in traded.items()}
        )
        less_LK = daily_LK[others].mul(-1).add(daily_LK[OURS], axis=0).add_suffix(" less")
        of_all = sure_figures(daily_LK.join(less_LK), sessions, seed)
        for name, row in table.items():
            row["rank_ic"][str(sessions)] = of_all[name]
            if name in others:
                row["rank_ic_less"][str(sessions)] = of_all[f"{name} less"]
    return table
