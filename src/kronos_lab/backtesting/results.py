"""Everything a backtest has to say, in figures: ranking, portfolio, benchmarks, coverage."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from kronos_lab.backtesting.baselines import OURS, Traded, against_baselines
from kronos_lab.backtesting.conventions import calibration_conventions, conventions, lightgbm_convention
from kronos_lab.backtesting.luck import beside_random, beside_strongest
from kronos_lab.backtesting.performance import (
    equal_weight_return,
    performance,
    performance_errors,
    price_return,
    sessions_per_year,
)
from kronos_lab.backtesting.score_quality import ScoreQuality, score_quality
from kronos_lab.backtesting.styles import portfolio_styles, style_percentiles, thirds
from kronos_lab.backtesting.trading.portfolio import Ledger
from kronos_lab.backtesting.trading.random_portfolios import RandomPortfolios
from kronos_lab.data.market import Market

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
        traded: the scores (`OURS`), rules that need no model, and what trading each of them did.
        against: benchmarks by name, see `benchmarks`.
        quality: what the scores are worth as an order, see `score_quality`.
        coverage: per signal day, see `daily_coverage`.
        metrics: all figures, see `measure`; besides them `baselines`, see `against_baselines`, `superiority`, see
            `beside_strongest`, `random_portfolios`, see `beside_random`, `calibration`, see
            `CalibrationSample.measure`, and `lightgbm`, see `Rival.score`.
        warnings: what to know before reading them.
        styles: what the portfolio leans on, see `portfolio_styles`.
        random: portfolios of names drawn by lot; None where there are none.
    """

    traded: Mapping[str, Traded]
    against: dict[str, Benchmark]
    quality: ScoreQuality
    coverage: pd.DataFrame
    metrics: dict[str, Any]
    warnings: list[str]
    styles: pd.DataFrame
    random: RandomPortfolios | None = None

    @property
    def score_LN(self) -> pd.DataFrame:
        """Scores, signal days × symbols."""
        return self.traded[OURS].score_LN

    @property
    def ledger(self) -> Ledger:
        """What the portfolio did."""
        return self.traded[OURS].ledger

    @property
    def daily(self) -> pd.DataFrame:
        """What a comparison of runs needs of each day, beside the ledger.

        Open-to-open rank IC of each signal day, `rank_ic_<sessions>`, for the next session and the horizon, and the
        return of each benchmark on each session traded, by its name.
        """
        main = self.metrics["ranking"]["open_to_open"]
        columns = {
            f"rank_ic_{which.horizon}": values
            for which, values in self.quality.daily.items()
            if which.kind == "rank_ic" and which.label == "open_to_open" and str(which.horizon) in main
        }
        sessions = self.ledger.daily.index
        columns |= {name: benchmark.returns.reindex(sessions) for name, benchmark in self.against.items()}
        return pd.DataFrame(columns).rename_axis("date")


def evaluate(
    market: Market,
    traded: Mapping[str, Traded],
    against: dict[str, Benchmark],
    coverage: pd.DataFrame,
    horizon: int,
    warnings: list[str],
    seed: int,
    random: RandomPortfolios | None = None,
    calibration: Mapping[str, Any] | None = None,
    lightgbm: Mapping[str, Any] | None = None,
) -> Results:
    """Everything there is to say about scores and what trading them did.

    Args:
        market: what was traded.
        traded: see `Results`.
        against: see `Results`.
        coverage: see `Results`.
        horizon: sessions that were forecast.
        warnings: those that are known already.
        seed: of the bootstrap.
        random: see `Results`.
        calibration: see `CalibrationSample.measure`; None where none was asked for.
        lightgbm: what its scores, among those traded, were made of, see `Rival.score`; None where there are none.
    """
    score_LN, ledger = traded[OURS]
    equal, per_year = against["equal_weight"].returns, sessions_per_year(market.calendar)
    percentiles = style_percentiles(market, score_LN, equal)
    quality = score_quality(market, score_LN, horizon, seed, parts=thirds(percentiles["liquidity"]))
    metrics = measure(market, quality, ledger, against, coverage, seed)
    styles = portfolio_styles(ledger.holdings, percentiles)
    metrics["styles"] = {name: float(styles[name].mean()) for name in styles}
    metrics["baselines"] = against_baselines(market, traded, equal, horizon, per_year, seed)
    if strongest := beside_strongest(traded, equal, horizon, per_year, seed):
        metrics["superiority"] = strongest
    if random is not None:
        returns = {name: benchmark.returns for name, benchmark in against.items()}
        metrics["random_portfolios"] = beside_random(ledger.daily["net_return"], random, returns, per_year)
    if calibration is not None:
        metrics["calibration"] = calibration
        metrics["conventions"] |= calibration_conventions()
    if lightgbm is not None:
        metrics["lightgbm"] = lightgbm
        metrics["conventions"]["lightgbm"] = lightgbm_convention(lightgbm)
    found = [benchmark.gap(ledger.daily.index) for benchmark in against.values()]
    found += [_short(ledger), _idle(ledger), _frozen(market, ledger)]
    warnings = warnings + [warning for warning in found if warning]
    return Results(traded, against, quality, coverage, metrics, warnings, styles, random)


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
    daily, participation = ledger.daily, ledger.trades["participation"]
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
        "sessions_per_year": per_year,
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
            "cost_per_value": _ratio(daily["cost"].mean(), daily["turnover"].mean()),
            "break_even_cost_per_value": _ratio(
                (daily["gross_return"] - against["equal_weight"].returns).reindex(daily.index).mean(),
                daily["turnover"].mean(),
            ),
            "sessions_with_trades": int((daily["turnover"] > 0).sum()),
            "fills": len(ledger.trades),
            "mean_participation": participation.mean(),
            "participation_quantile_95": participation.quantile(0.95),
            "largest_participation": participation.max(),
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


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


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
        f"{', ...' if len(frozen) > 5 else ''} ({share:.1%} of the account); with topk_dropout each uses up one of "
        "strategy.n_drop replacements every day, as it ranks last and cannot be sold: strategy.only_tradable=true "
        "passes it over"
    )


def _days(index: pd.Index) -> dict[str, Any]:
    days = pd.DatetimeIndex(index)
    return {"first": f"{days[0]:%Y-%m-%d}", "last": f"{days[-1]:%Y-%m-%d}", "count": len(days)}
