"""What a stock is exposed to besides its own story: the market (beta) and how much of it is traded (liquidity).

Every frame is [L, N], stamps of the market's calendar × symbols. A row uses bars up to and including its own stamp, so
an exposure belongs to the signal of the same day. NaN where fewer than half of the window's sessions tell anything.
"""

import numpy as np
import pandas as pd

from kronos_lab.backtesting.performance import equal_weight_return
from kronos_lab.data.bars import FIELDS, Bars

EXPOSURES = ("beta", "liquidity")


def wide(bars: Bars, field: str) -> pd.DataFrame:
    """One field of the bars as a table [L, N], float64, in its own unit; NaN where there is no bar."""
    values_LN = np.full((len(bars.calendar), len(bars.symbols)), np.nan)
    symbol_M = np.repeat(np.arange(len(bars.symbols)), np.diff(bars.offsets))
    values_LN[bars.position_M, symbol_M] = bars.values_MF[:, FIELDS.index(field)]
    return pd.DataFrame(values_LN, index=bars.calendar, columns=bars.symbols)


def market_beta(close_LN: pd.DataFrame, market_return_L: pd.Series, sessions: int) -> pd.DataFrame:
    """Slope of daily returns on the market's over the last `sessions` sessions (least squares with intercept).

    A suspended session and the first one afterwards have no return of one day, and are left out.

    Args:
        close_LN: adjusted closes, NaN on suspension; rows are successive sessions.
        market_return_L: daily returns of the market, as fractions.
        sessions: length of the window, at least 2.
    """
    return_LN = close_LN.pct_change(fill_method=None)
    market_LN = pd.DataFrame(0.0, index=return_LN.index, columns=return_LN.columns).add(market_return_L, axis=0)
    market_LN = market_LN.where(return_LN.notna())
    return_LN = return_LN.where(market_LN.notna())

    def mean(values_LN: pd.DataFrame) -> pd.DataFrame:
        return values_LN.rolling(sessions, min_periods=_enough(sessions)).mean()

    mean_market_LN = mean(market_LN)
    covariance_LN = mean(return_LN * market_LN) - mean(return_LN) * mean_market_LN
    variance_LN = mean(market_LN**2) - mean_market_LN**2
    return covariance_LN / variance_LN.where(variance_LN > 0)


def log_liquidity(amount_LN: pd.DataFrame, sessions: int) -> pd.DataFrame:
    """Logarithm of the mean traded value (currency) per session traded, over the last `sessions` sessions."""
    mean_LN = amount_LN.rolling(sessions, min_periods=_enough(sessions)).mean()
    return mean_LN.where(mean_LN > 0).apply(np.log)


def exposures(
    bars: Bars, member_LN: np.ndarray, beta_sessions: int, liquidity_sessions: int
) -> dict[str, pd.DataFrame]:
    """Each of `EXPOSURES` by name.

    Args:
        bars: daily bars of a universe's symbols; history from before they joined counts.
        member_LN: membership, bool [L, N], rows and columns as in the bars: each day's members in equal parts are the
            market that betas are measured against.
        beta_sessions: see `market_beta`.
        liquidity_sessions: see `log_liquidity`.
    """
    close_LN = wide(bars, "close")
    return {
        "beta": market_beta(close_LN, equal_weight_return(close_LN, member_LN), beta_sessions),
        "liquidity": log_liquidity(wide(bars, "amount"), liquidity_sessions),
    }


def _enough(sessions: int) -> int:
    """Sessions of a window that must be known: half of it, and two for a slope."""
    return max(2, -(-sessions // 2))
