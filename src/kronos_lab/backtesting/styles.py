"""What a portfolio leans on besides the story of each name: beta, liquidity, volatility, past return.

L days, N symbols. A style is told by percentiles: 0 for the lowest of a day's scored names, 1 for the highest, so a
portfolio drawn by chance has 0.5 of each.
"""

from collections.abc import Mapping

import pandas as pd

from kronos_lab.backtesting.baselines import VOLATILITY_SESSIONS, past_return, past_volatility
from kronos_lab.backtesting.scores.exposures import log_liquidity, market_beta
from kronos_lab.data.market import Market

MONTH = 20  # sessions of liquidity and past return


def style_percentiles(market: Market, score_LN: pd.DataFrame, market_return_L: pd.Series) -> dict[str, pd.DataFrame]:
    """Percentiles [L, N] of each style among the names scored on a day, from bars up to that day.

    Args:
        market: where the bars are.
        score_LN: signal days × symbols; only which are scored counts.
        market_return_L: daily returns that betas are measured against.
    """
    symbols = list(score_LN.columns)
    close_LN = market.wide(["close"], symbols)["close"]
    styles = {
        "beta": market_beta(close_LN, market_return_L, VOLATILITY_SESSIONS),
        "liquidity": log_liquidity(market.amounts(symbols), MONTH),
        "volatility": past_volatility(close_LN),
        "past return": past_return(close_LN, MONTH),
    }
    return {name: _percentile(style_LN.reindex(score_LN.index), score_LN.notna()) for name, style_LN in styles.items()}


def portfolio_styles(holdings: pd.DataFrame, percentiles: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Percentile of what is held at each close, weighted by value: a row per day, a column per style.

    Names without a percentile (no longer a member, too few bars) are left out; days without any are NaN.

    Args:
        holdings: see `Ledger`.
        percentiles: see `style_percentiles`.
    """
    weight_LN = holdings.pivot(index="date", columns="symbol", values="weight")
    found = {}
    for name, percentile_LN in percentiles.items():
        known_LN = percentile_LN.reindex(index=weight_LN.index, columns=weight_LN.columns)
        total_L = weight_LN.where(known_LN.notna()).sum(axis=1)
        found[name] = (weight_LN * known_LN).sum(axis=1) / total_L.where(total_L > 0)
    return pd.DataFrame(found)


def thirds(percentile_LN: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Which names lie in the lowest, middle and highest third of each day, bool [L, N]."""
    low, high = 1 / 3, 2 / 3
    return {
        "lowest third": percentile_LN < low,
        "middle third": (percentile_LN >= low) & (percentile_LN <= high),
        "highest third": percentile_LN > high,
    }


def _percentile(style_LN: pd.DataFrame, among_LN: pd.DataFrame) -> pd.DataFrame:
    rank_LN = style_LN.where(among_LN).rank(axis=1) - 1
    last_L = rank_LN.notna().sum(axis=1) - 1
    return rank_LN.div(last_L.where(last_L > 0), axis=0)
