"""What the portfolio earned, by itself and against what one could have held without any skill.

Returns are daily fractions. Nothing here annualises by a borrowed number of days: see `sessions_per_year`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos_lab.evaluation.inference import hac_mean, interval, resampled_means, too_little

DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Performance:
    """Figures of one series of daily returns, or of daily differences of returns (excess).

    Attributes:
        annual_return: arithmetic mean per session × sessions per year.
        annual_volatility: sample standard deviation per session × √(sessions per year).
        information_ratio: annual_return / annual_volatility; for a return that is not an excess, the ratio
            against cash at 0 %.
        max_drawdown: deepest fall of the compounded equity from its highest point so far, ≤ 0.
        total_return: compounded over the whole range.
        sessions: number of returns.
    """

    annual_return: float
    annual_volatility: float
    information_ratio: float
    max_drawdown: float
    total_return: float
    sessions: int


def sessions_per_year(calendar: pd.DatetimeIndex) -> float:
    """Sessions per year of the market's own calendar; China has 242-244, not the usual 252 or qlib's 238."""
    days = calendar.normalize().unique()
    return (len(days) - 1) / ((days[-1] - days[0]).days / DAYS_PER_YEAR)


def performance(returns_L: pd.Series, per_year: float, compounded: bool = True) -> Performance:
    """Figures of a series of daily returns.

    With `per_year=238` and `compounded=False` they are those of qlib's `risk_analysis`.

    Args:
        returns_L: daily, as fractions.
        per_year: as `sessions_per_year` gives it.
        compounded: whether the equity of drawdown and total return is reinvested; False: returns are summed.
    """
    mean = float(returns_L.mean()) * per_year
    deviation = float(returns_L.std(ddof=1)) * per_year**0.5
    return Performance(
        annual_return=mean,
        annual_volatility=deviation,
        information_ratio=mean / deviation if deviation > 0 else float("nan"),
        max_drawdown=float((drawdown(returns_L) if compounded else summed_drawdown(returns_L)).min()),
        total_return=float(equity_curve(returns_L).iloc[-1]) - 1 if compounded else float(returns_L.sum()),
        sessions=len(returns_L),
    )


def performance_errors(returns_L: pd.Series, per_year: float, seed: int) -> dict[str, float]:
    """How sure the annual figures of daily differences are.

    Returns:
        `t` and `p` of the mean and `detectable`, the smallest annual return that could be told from 0 (HAC, see
        `hac_mean`), and 95 % block-bootstrap intervals of annual return and information ratio: `annual_return_low`,
        `_high`, `information_ratio_low`, `_high`; NaN where days are too few.
    """
    days = len(returns_L)
    reason = too_little(days, horizon=1, stride=1)
    sure = hac_mean(returns_L, 1, reason)
    ends = dict.fromkeys(
        (f"{figure}_{end}" for figure in ("annual_return", "information_ratio") for end in ("low", "high")),
        float("nan"),
    )
    if not reason:
        moments = resampled_means(pd.DataFrame({"mean": returns_L, "square": returns_L**2}), 1, seed)
        deviation = np.sqrt((moments["square"] - moments["mean"] ** 2).clip(lower=0) * days / (days - 1))
        resampled = {
            "annual_return": moments["mean"] * per_year,
            "information_ratio": moments["mean"] / deviation.where(deviation > 0) * per_year**0.5,
        }
        own = performance(returns_L, per_year)
        for figure, values in resampled.items():
            low, high = interval(getattr(own, figure), values, days, 1)
            ends |= {f"{figure}_low": low, f"{figure}_high": high}
    return {"t": sure.t, "p": sure.p, "detectable": sure.detectable * per_year, **ends}


def equity_curve(returns_L: pd.Series) -> pd.Series:
    """Compounded value of 1 put in before the first return."""
    return (1 + returns_L).cumprod()


def drawdown(returns_L: pd.Series) -> pd.Series:
    """Distance of the compounded equity below its highest point so far (its start included), ≤ 0."""
    equity = equity_curve(returns_L)
    return equity / equity.cummax().clip(lower=1.0) - 1


def summed_drawdown(returns_L: pd.Series) -> pd.Series:
    """Distance of the summed returns below their highest sum so far, ≤ 0; as in qlib the start does not count."""
    total = returns_L.cumsum()
    return total - total.cummax()


def equal_weight_return(close_LN: pd.DataFrame, member_LN: np.ndarray) -> pd.Series:
    """Total return of holding each day's members in equal parts, rebalanced daily and free of cost.

    A suspended member carries 0 until it trades again, when its whole move counts. A member that has not traded
    yet has no return and is left out.

    Args:
        close_LN: adjusted closes (dividends included), NaN on suspension; rows are successive sessions.
        member_LN: whether the symbol belongs to the universe on the day, bool [L, N].
    """
    return_LN = close_LN.ffill().pct_change(fill_method=None)
    return return_LN.where(member_LN).mean(axis=1)


def price_return(close_L: pd.Series) -> pd.Series:
    """Close-to-close return of an index; of a price index, dividends are not in it."""
    return close_L.pct_change(fill_method=None)
