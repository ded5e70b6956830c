"""Everything a backtest has to say, in figures: ranking, portfolio, benchmarks, coverage."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kronos_lab.backtesting.performance import (
    equal_weight_return,
    performance,
    price_return,
    sessions_per_year,
)
from kronos_lab.backtesting.portfolio import Ledger
from kronos_lab.data.market import Market
from kronos_lab.evaluation.ranking import (
    close_to_close_return,
    daily_correlation,
    daily_mean,
    open_to_open_return,
)

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


class Correlation(NamedTuple):
    """Which daily correlation: label "open_to_open" or "close_to_close", sessions ahead, kind "rank_ic" or "ic"."""

    label: str
    horizon: int
    kind: str


def rank(market: Market, score_LN: pd.DataFrame, horizons: list[int]) -> dict[Correlation, pd.Series]:
    """IC and rank IC per signal day of the scores, against both labels at each horizon (sessions)."""
    price = market.wide(["open", "close"], list(score_LN.columns))
    daily = {}
    for horizon in horizons:
        labels = {
            "open_to_open": open_to_open_return(price["open"], horizon),
            "close_to_close": close_to_close_return(price["close"], horizon),
        }
        for label, return_LN in labels.items():
            daily[Correlation(label, horizon, "rank_ic")] = daily_correlation(score_LN, return_LN, "rank")
            daily[Correlation(label, horizon, "ic")] = daily_correlation(score_LN, return_LN, "pearson")
    return daily


@dataclass(frozen=True)
class Results:
    """A finished backtest.

    Attributes:
        score_LN: scores, signal days × symbols.
        ledger: what the portfolio did.
        against: benchmarks by name, see `benchmarks`.
        ranking: daily correlations, see `rank`.
        coverage: per signal day, see `daily_coverage`.
        metrics: all figures, see `measure`.
        warnings: what to know before reading them.
    """

    score_LN: pd.DataFrame
    ledger: Ledger
    against: dict[str, Benchmark]
    ranking: dict[Correlation, pd.Series]
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
) -> Results:
    """Everything there is to say about scores and what trading them did; rank IC at 1 and `horizon` sessions."""
    ranking = rank(market, score_LN, sorted({1, horizon}))
    metrics = measure(market, ranking, ledger, against, coverage)
    found = [benchmark.gap(ledger.daily.index) for benchmark in against.values()]
    found += [_short(ledger), _idle(ledger), _frozen(market, ledger)]
    warnings = warnings + [warning for warning in found if warning]
    return Results(score_LN, ledger, against, ranking, coverage, metrics, warnings)


def measure(
    market: Market,
    ranking: dict[Correlation, pd.Series],
    ledger: Ledger,
    against: dict[str, Benchmark],
    coverage: pd.DataFrame,
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
        excess[name] = {kind: asdict(performance(series, per_year)) for kind, series in difference.items()}
    return {
        "signal_days": _days(next(iter(ranking.values())).index),
        "sessions_traded": _days(daily.index),
        "ranking": _ranking_table(ranking),
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
        flat[f"rank_ic_{horizon}d_naive_t"] = kinds["rank_ic"]["t"]
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
        "t": "naive: mean / standard deviation × √days; too large for h > 1, where labels of successive days overlap",
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


def _ranking_table(ranking: dict[Correlation, pd.Series]) -> dict[str, dict[str, dict[str, Any]]]:
    """Label → horizon → kind → mean, std, icir, t, days."""
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for (label, horizon, kind), daily in ranking.items():
        table.setdefault(label, {}).setdefault(str(horizon), {})[kind] = asdict(daily_mean(daily))
    return table


def _days(index: pd.Index) -> dict[str, Any]:
    days = pd.DatetimeIndex(index)
    return {"first": f"{days[0]:%Y-%m-%d}", "last": f"{days[-1]:%Y-%m-%d}", "count": len(days)}
