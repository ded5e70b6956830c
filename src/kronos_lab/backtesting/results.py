"""Everything a backtest has to say, in figures: ranking, portfolio, benchmarks, coverage."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from kronos_lab.backtesting.performance import (
    equal_weight_return,
    performance,
    performance_errors,
    price_return,
    sessions_per_year,
)
from kronos_lab.backtesting.portfolio import Ledger
from kronos_lab.backtesting.score_quality import NEXT_SESSION, ScoreQuality, score_quality
from kronos_lab.data.market import Market
from kronos_lab.evaluation.inference import CONFIDENCE, INDEPENDENT_STRETCHES

FEW_SESSIONS = 60  # a quarter: what is earned in less says little about a year
SESSIONS_UNTIL_FROZEN = 20  # a month: most suspensions end within it


@dataclass(frozen=True)
class Benchmark:
    """What the portfolio is held against.

    Attributes:
        label: says what is and is not in it.
        returns: daily, as fractions, on the market's calendar.
    """

    label: str
    returns: pd.Series

    def gap(self, sessions: pd.Index) -> str | None:
        """A warning where the benchmark has no return on some of the sessions; excess leaves those out."""
        missing = int(self.returns.reindex(sessions).isna().sum())
        return (
            f"{self.label}: no return on {missing} of {len(sessions)} sessions, left out of excess" if missing else None
        )


def benchmarks(market: Market, universe: str, index: str | None) -> dict[str, Benchmark]:
    """Equal weight of the universe's own members, and its index where it has one, by name."""
    symbols = market.symbols(universe)
    close_LN = market.wide(["close"], symbols)["close"]
    equal = equal_weight_return(close_LN, market.member_LN(universe, symbols))
    found = {"equal_weight": Benchmark(f"equal weight of {universe}'s members, total return", equal)}
    if index is not None:
        label = f"{index}, price index (dividends excluded)"
        found["index"] = Benchmark(label, price_return(market.index_close(index).reindex(market.calendar)))
    return found


@dataclass(frozen=True)
class Results:
    """A finished backtest.

    Attributes:
        score_LN: scores, signal days × symbols.
        ledger: what the portfolio did.
        against: benchmarks by name, see `benchmarks`.
        quality: what the scores are worth as an order, see `score_quality`.
        coverage: per signal day, see `daily_coverage`.
        metrics: all figures, see `measure`.
        warnings: what to know before reading them.
    """

    score_LN: pd.DataFrame
    ledger: Ledger
    against: dict[str, Benchmark]
    quality: ScoreQuality
    coverage: pd.DataFrame
    metrics: dict[str, Any]
    warnings: list[str]


def evaluate(
    market: Market,
    score_LN: pd.DataFrame,
    ledger: Ledger,
    against: dict[str, Benchmark],
    coverage: pd.DataFrame,
    horizon: int,
    warnings: list[str],
    seed: int,
) -> Results:
    """Everything there is to say about scores and what trading them did; `seed` is that of the bootstrap."""
    quality = score_quality(market, score_LN, horizon, seed)
    metrics = measure(market, quality, ledger, against, coverage, seed)
    found = [benchmark.gap(ledger.daily.index) for benchmark in against.values()]
    found += [_short(ledger), _idle(ledger), _frozen(market, ledger)]
    warnings = warnings + [warning for warning in found if warning]
    return Results(score_LN, ledger, against, quality, coverage, metrics, warnings)


def measure(
    market: Market,
    quality: ScoreQuality,
    ledger: Ledger,
    against: dict[str, Benchmark],
    coverage: pd.DataFrame,
    seed: int,
) -> dict[str, Any]:
    """All figures, nested, as `metrics.json` holds them.

    Excess is the daily difference of returns; with cost it is net of fees, without cost it is before them. The
    benchmarks pay no fees either way.
    """
    per_year = sessions_per_year(market.calendar)
    daily = ledger.daily
    returns = {"with_cost": daily["net_return"], "without_cost": daily["gross_return"]}
    excess = {}
    for name, benchmark in against.items():
        difference = {kind: (own - benchmark.returns).reindex(own.index).dropna() for kind, own in returns.items()}
        excess[name] = {
            kind: asdict(performance(series, per_year)) | performance_errors(series, per_year, seed)
            for kind, series in difference.items()
        }
    return {
        "signal_days": _days(quality.groups_LG.index),
        "sessions_traded": _days(daily.index),
        **quality.figures,
        "portfolio": {kind: asdict(performance(own, per_year)) for kind, own in returns.items()},
        "benchmarks": {
            name: {
                "label": benchmark.label,
                **asdict(performance(benchmark.returns.reindex(daily.index).dropna(), per_year)),
            }
            for name, benchmark in against.items()
        },
        "excess": excess,
        "trading": {
            "final_account": daily["account"].iloc[-1],
            "mean_names_held": daily["names"].mean(),
            "mean_cash_share": (daily["cash"] / daily["account"]).mean(),
            "turnover_per_session": daily["turnover"].mean(),
            "annual_turnover": daily["turnover"].mean() * per_year,
            "annual_cost": daily["cost"].mean() * per_year,
            "sessions_with_trades": int((daily["turnover"] > 0).sum()),
            "fills": len(ledger.trades),
        },
        "coverage": {
            "mean": coverage["coverage"].mean(),
            "worst": coverage["coverage"].min(),
            "worst_day": f"{coverage['coverage'].idxmin():%Y-%m-%d}",
            "mean_members": coverage["members"].mean(),
            "mean_scored": coverage["scored"].mean(),
        },
        "conventions": conventions(per_year),
    }


def headline(results: Results) -> dict[str, float]:
    """The figures one looks at first, flat, for `summary.json` and the logger."""
    metrics, flat = results.metrics, {}
    for horizon, kinds in metrics["ranking"]["open_to_open"].items():
        flat[f"rank_ic_{horizon}d"] = kinds["rank_ic"]["mean"]
        flat[f"rank_ic_{horizon}d_t"] = kinds["rank_ic"]["t"]
        flat[f"rank_ic_{horizon}d_p"] = kinds["rank_ic"]["p"]
        flat[f"ic_{horizon}d"] = kinds["ic"]["mean"]
    flat["annual_return_with_cost"] = metrics["portfolio"]["with_cost"]["annual_return"]
    flat["annual_return_without_cost"] = metrics["portfolio"]["without_cost"]["annual_return"]
    flat["max_drawdown"] = metrics["portfolio"]["with_cost"]["max_drawdown"]
    for name, excess in metrics["excess"].items():
        for kind, figures in excess.items():
            flat[f"excess_{name}_{kind}"] = figures["annual_return"]
        flat[f"information_ratio_{name}_with_cost"] = excess["with_cost"]["information_ratio"]
    flat["turnover_per_session"] = metrics["trading"]["turnover_per_session"]
    flat["coverage_mean"] = metrics["coverage"]["mean"]
    return flat


def verdict(metrics: Mapping[str, Any]) -> list[str]:
    """What is known after all, in words: of the scores over the next session, and of the excess after cost."""
    figures = metrics["ranking"]["open_to_open"][str(NEXT_SESSION)]["rank_ic"]
    if not np.isfinite(figures["p"]):
        said = [f"Whether the scores order the names better than chance cannot be said: {figures['reason']}."]
    elif figures["p"] <= 1 - CONFIDENCE:
        better = "better" if figures["mean"] > 0 else "worse"
        said = [f"The scores order the names of the next session {better} than chance (p {figures['p']:.4f})."]
    else:
        said = [
            f"The order of the scores cannot be told from chance over the next session (p {figures['p']:.2f}): with "
            f"{figures['days']} days a rank IC below {figures['detectable']:.3f} cannot be told from zero."
        ]
    excess = metrics["excess"]["equal_weight"]["with_cost"]
    if np.isfinite(excess["p"]):
        apart = "cannot be told from nothing"
        if excess["p"] <= 1 - CONFIDENCE:
            apart = "is more than chance" if excess["annual_return"] > 0 else "is a loss beyond chance"
        said.append(
            f"The excess over equal weight after cost {apart} (p {excess['p']:.2g} over {excess['sessions']} sessions)."
        )
    return said


def conventions(per_year: float) -> dict[str, str]:
    """How each kind of figure is computed, in words that stand beside it."""
    return {
        "annual_return": f"arithmetic mean per session × {per_year:.1f} sessions per year (the market's own calendar)",
        "annual_volatility": f"standard deviation per session × √{per_year:.1f}",
        "information_ratio": "annual return (or excess) over its annual volatility; cash at 0 % for returns that are "
        "no excess",
        "max_drawdown": "of the compounded equity, from its highest point so far",
        "excess": "daily difference of returns; benchmarks pay no costs; an index is a price index, dividends excluded",
        "equal_weight": "members of each day in equal parts, rebalanced daily, dividends included; suspended names "
        "carry 0 until they trade",
        "first_session": "the portfolio begins with cash at the open after the first signal; benchmarks count from "
        "the close before it",
        "turnover": "bought plus sold value over the account of the day before (two-sided)",
        "open_to_open": "open(t+1+h) / open(t+1) − 1, adjusted; suspended at entry: no label; at exit: first open "
        "afterwards",
        "close_to_close": "close(t+h) / close(t) − 1, adjusted; not tradable, for the signal needs close(t)",
        "t": "mean over its HAC standard error (Newey and West, lag max(h − 1, ⌈1.3 √days⌉)); p and the least rank IC "
        "that could be told from 0 come from the distribution that this t has where nothing is known (fixed-b); "
        "t apart: plain t of every h-th day, mean over all starts",
        "interval": "95 %, stationary block bootstrap by day, stretched to hold a true mean of 0 as often as it says; "
        f"none, and no p, under {INDEPENDENT_STRETCHES} horizons side by side",
        "groups": "names of a day in ten groups by score, open to open over the next session, less the mean of all "
        "names; long-short is a diagnostic: shares cannot be sold short at will, and nothing is paid",
        "hit_rate": "share of names whose next session lies on the same side of the day's median as their score",
        "coverage": "members scored / members not suspended that day",
    }


def _short(ledger: Ledger) -> str | None:
    """A warning where a year is extrapolated from a few days."""
    sessions = len(ledger.daily)
    if sessions >= FEW_SESSIONS:
        return None
    return f"only {sessions} session{'s' * (sessions != 1)}: figures per year mean next to nothing"


def _idle(ledger: Ledger) -> str | None:
    """A warning where all excess is that of cash."""
    if len(ledger.trades):
        return None
    return "nothing was traded: backtest.account buys no lot, or no name could be bought at the open"


def _frozen(market: Market, ledger: Ledger) -> str | None:
    """A warning where names held at the end have no bar any more: delisted, or suspended for long.

    None from the last session on, nor in the market's last month: a suspension that has just begun says nothing.
    """
    last = ledger.daily.index[-1]
    held = ledger.holdings[ledger.holdings["date"] == last].set_index("symbol")
    if held.empty:
        return None
    session_L = market.session_L
    month = market.calendar[np.searchsorted(session_L, session_L[-1] - SESSIONS_UNTIL_FROZEN + 1)]
    bars = market.wide(["close"], list(held.index), start=min(last, month))["close"].notna().any()
    frozen = held.loc[~bars.reindex(held.index)]
    if frozen.empty:
        return None
    share = frozen["value"].sum() / ledger.daily["account"].iloc[-1]
    return (
        f"held to the end without bars, at the last price: {', '.join(frozen.index[:5])}"
        f"{', ...' if len(frozen) > 5 else ''} ({share:.1%} of the account); each uses up one of strategy.n_drop "
        "replacements every day, as it ranks last and cannot be sold: strategy.only_tradable=true passes it over"
    )


def _days(index: pd.Index) -> dict[str, Any]:
    days = pd.DatetimeIndex(index)
    return {"first": f"{days[0]:%Y-%m-%d}", "last": f"{days[-1]:%Y-%m-%d}", "count": len(days)}
