"""What the scores are worth as an order of the names, before any portfolio: each figure with how sure it is.

L signal days, N symbols, G groups. Returns are fractions, open to open unless a name says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from scipy.stats import spearmanr

from kronos_lab.data.market import Market
from kronos_lab.evaluation.inference import hac_mean, interval, resampled_means, separate_t, too_little
from kronos_lab.evaluation.ranking import (
    SMALLEST_CROSS_SECTION,
    close_to_close_return,
    daily_correlation,
    group_returns,
    hit_rate,
    open_to_open_return,
    rank_autocorrelation,
)

DECAY_SESSIONS = (1, 2, 3, 5, 10, 20)  # and the horizon of the forecasts
GROUPS = 10
NOTHING_TO_RANK = f"on no day {SMALLEST_CROSS_SECTION} names or more have different scores and a label"
NEXT_SESSION = 1  # the label that does not overlap: what is said first is said of it


class Correlation(NamedTuple):
    """Which daily correlation: label "open_to_open" or "close_to_close", sessions ahead, kind "rank_ic" or "ic"."""

    label: str
    horizon: int
    kind: str


@dataclass(frozen=True)
class ScoreQuality:
    """How well scores order the names.

    Attributes:
        daily: IC and rank IC per signal day, at 1 session and at the forecasts' horizon; rank IC open to open at all
            horizons of the decay.
        groups_LG: return over the next session of groups by score less that of all names, see `group_returns`.
        figures: all figures, as `metrics.json` holds them: `ranking` (label → horizon → kind), `decay` (horizon),
            `groups`, `hit_rate`, `rank_autocorrelation` (lag), `by_year`, `by_part`.
    """

    daily: dict[Correlation, pd.Series]
    groups_LG: pd.DataFrame
    figures: dict[str, Any]


def score_quality(
    market: Market, score_LN: pd.DataFrame, horizon: int, seed: int, parts: Mapping[str, pd.DataFrame]
) -> ScoreQuality:
    """Hold scores against what came of the names.

    Args:
        market: where the prices are.
        score_LN: signal days × symbols, higher is better.
        horizon: sessions that were forecast.
        seed: of the bootstrap.
        parts: of the names of each day, bool [L, N] by name: rank ICs within them are figures too.
    """
    price = market.wide(["open", "close"], list(score_LN.columns))
    open_LN, close_LN = price["open"], price["close"]
    main = sorted({NEXT_SESSION, horizon})
    decay = sorted({*DECAY_SESSIONS, *main})
    labels = {("open_to_open", h): open_to_open_return(open_LN, h) for h in decay}
    labels |= {("close_to_close", h): close_to_close_return(close_LN, h) for h in main}
    daily = {}
    for (label, sessions), return_LN in labels.items():
        daily[Correlation(label, sessions, "rank_ic")] = daily_correlation(score_LN, return_LN, "rank")
        if sessions in main:
            daily[Correlation(label, sessions, "ic")] = daily_correlation(score_LN, return_LN, "pearson")

    next_LN = labels["open_to_open", NEXT_SESSION]
    groups_LG = group_returns(score_LN, next_LN, GROUPS)
    hits_L = hit_rate(score_LN, next_LN) - 0.5
    others = groups_LG.rename(columns=str).assign(long_short=groups_LG[GROUPS] - groups_LG[1], hits=hits_L)
    sure = _with_error(daily, seed) | sure_figures(others, NEXT_SESSION, seed)
    next_rank_ic = daily[Correlation("open_to_open", NEXT_SESSION, "rank_ic")]
    return ScoreQuality(
        daily,
        groups_LG,
        {
            "ranking": _nested({which: sure[which] for which in daily if which.horizon in main}),
            "decay": {str(h): sure[Correlation("open_to_open", h, "rank_ic")] for h in decay},
            "groups": {
                "mean": {str(group): sure[str(group)] for group in groups_LG},
                "monotonicity": float(spearmanr(groups_LG.columns, groups_LG.mean()).statistic),
                "long_short": sure["long_short"],
            },
            "hit_rate": sure["hits"] | {end: sure["hits"][end] + 0.5 for end in ("mean", "low", "high")},
            "rank_autocorrelation": {str(lag): float(rank_autocorrelation(score_LN, lag).mean()) for lag in main},
            "by_year": _by_year(next_rank_ic, seed),
            "by_part": _by_part(score_LN, next_LN, parts, seed),
        },
    )


def _with_error(daily: Mapping[Correlation, pd.Series], seed: int) -> dict[Any, dict[str, Any]]:
    """`sure_figures` of all correlations; those of one horizon are resampled together."""
    found: dict[Any, dict[str, Any]] = {}
    for horizon in sorted({which.horizon for which in daily}):
        of_horizon = {which: values for which, values in daily.items() if which.horizon == horizon}
        figures = sure_figures(pd.DataFrame(dict(enumerate(of_horizon.values()))), horizon, seed)
        found |= dict(zip(of_horizon, figures.values(), strict=True))
    return found


def sure_figures(daily_LK: pd.DataFrame, horizon: int, seed: int) -> dict[Any, dict[str, Any]]:
    """Of each column its mean, spread over days, interval, HAC t and p; labels of `horizon` sessions overlap.

    Days on which nothing is known, as the last ones, whose labels are still to come, do not count.
    """
    daily_LK = daily_LK.dropna(how="all")
    resampled = resampled_means(daily_LK, horizon, seed) if len(daily_LK) else daily_LK
    found = {}
    for name, values_L in daily_LK.items():
        days = int(values_L.count())
        reason = too_little(days, horizon, stride=1) if days else NOTHING_TO_RANK
        mean = hac_mean(values_L, horizon, reason)
        nothing = (float("nan"), float("nan"))
        low, high = nothing if reason else interval(mean.mean, resampled[name], days, horizon)
        std = float(values_L.std(ddof=1))
        found[name] = {
            "mean": mean.mean,
            "low": low,
            "high": high,
            "std": std,
            "icir": mean.mean / std if std > 0 else float("nan"),
            "positive_days": float((values_L.dropna() > 0).mean()),
            "t": mean.t,
            "p": mean.p,
            "t_separate": separate_t(values_L, horizon),
            "detectable": mean.detectable,
            "days": days,
            "reason": mean.reason,
        }
    return found


def _nested(sure: Mapping[Correlation, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Label → horizon → kind → figures."""
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for (label, horizon, kind), figures in sure.items():
        table.setdefault(label, {}).setdefault(str(horizon), {})[kind] = figures
    return table


def _by_year(daily_L: pd.Series, seed: int) -> dict[str, dict[str, Any]]:
    years = daily_L.groupby(pd.DatetimeIndex(daily_L.index).year)
    return {
        str(year): sure_figures(values.to_frame("rank_ic"), NEXT_SESSION, seed)["rank_ic"] for year, values in years
    }


def _by_part(
    score_LN: pd.DataFrame, next_LN: pd.DataFrame, parts: Mapping[str, pd.DataFrame], seed: int
) -> dict[str, dict[str, Any]]:
    daily = {name: daily_correlation(score_LN.where(part_LN), next_LN, "rank") for name, part_LN in parts.items()}
    return sure_figures(pd.DataFrame(daily), NEXT_SESSION, seed) if daily else {}
