"""How much of a result may be luck: beside random portfolios, beside the strongest rule, among all that was tried.

L sessions, R random portfolios. Excess is the daily difference of returns, after cost.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import percentileofscore

from kronos_lab.backtesting.baselines import LIGHTGBM, OURS, RULES, Traded
from kronos_lab.backtesting.performance import performance
from kronos_lab.backtesting.trading.random_portfolios import RandomPortfolios
from kronos_lab.data.market import Market
from kronos_lab.evaluation.inference import too_little
from kronos_lab.evaluation.selection import (
    SharpeRatio,
    deflated_sharpe_ratio,
    expected_maximum,
    sharpe_ratio,
    superiority,
)
from kronos_lab.runs.trials import Trial, append_trial, distinct_trials, evaluation_hash, now, read_trials

BAND = {"low": 0.05, "median": 0.5, "high": 0.95}  # quantiles over the random portfolios
EQUAL_WEIGHT = "equal weight"
# Settings that decide what is held; where it is written and how it is computed do not.
EVALUATED = ("data", "forecast", "signal", "cross_section", "strategy", "exchange", "seed")


def beside_random(
    net_L: pd.Series, random: RandomPortfolios, against: Mapping[str, pd.Series], per_year: float
) -> dict[str, Any]:
    """Where a portfolio stands among random ones.

    Args:
        net_L: its daily returns after cost.
        random: the others.
        against: daily returns of benchmarks by name.
        per_year: sessions per year.

    Returns:
        `portfolios` (their number), `turnover` (mean per session), and `excess` by benchmark and figure
        (`annual_return`, `information_ratio`): quantiles of theirs (`low`, `median`, `high`, see `BAND`), `percentile`
        of ours among them (0 to 100, equal ones count half), `better` (how many have more).
    """
    table: dict[str, dict[str, Any]] = {}
    for name, benchmark in against.items():
        ours = _figures((net_L - benchmark.reindex(net_L.index)).dropna(), per_year)
        excess_LR = random.net_return_LR.sub(benchmark.reindex(random.net_return_LR.index), axis=0).dropna()
        theirs = pd.DataFrame([_figures(excess_LR[one], per_year) for one in excess_LR])
        table[name] = {figure: _place(value, theirs[figure].dropna()) for figure, value in ours.items()}
    return {
        "portfolios": random.net_return_LR.shape[1],
        "turnover": float(random.turnover_LR.to_numpy().mean()),
        "excess": table,
    }


def _figures(excess_L: pd.Series, per_year: float) -> dict[str, float]:
    figures = performance(excess_L, per_year)
    return {"annual_return": figures.annual_return, "information_ratio": figures.information_ratio}


def _place(ours: float, theirs: pd.Series) -> dict[str, Any]:
    if theirs.empty or not np.isfinite(ours):
        return dict.fromkeys((*BAND, "percentile", "better"), float("nan"))
    quantiles = {name: float(theirs.quantile(share)) for name, share in BAND.items()}
    percentile = float(percentileofscore(theirs, ours, kind="mean"))
    return {**quantiles, "percentile": percentile, "better": int((theirs > ours).sum())}


def growth_band(net_return_LR: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of the growth of 1 over the portfolios on each session, columns as in `BAND`."""
    growth_LR = (1 + net_return_LR).cumprod()
    return pd.DataFrame({name: growth_LR.quantile(share, axis=1) for name, share in BAND.items()})


def beside_strongest(
    traded: Mapping[str, Traded], equal_weight: pd.Series, horizon: int, per_year: float, seed: int
) -> dict[str, Any] | None:
    """Excess beside that of the strongest of equal weight, the rules and LightGBM, see `superiority`.

    Args:
        traded: the scores in question (`OURS`), rules of `RULES` and `LIGHTGBM`; what else is traded is no rival here.
        equal_weight: daily return of the members in equal parts.
        horizon: sessions that were forecast.
        per_year: sessions per year.
        seed: of the bootstrap.

    Returns:
        Fields of `Superiority`, its `p`, `rules` (their number), `models` (names of the other rivals), and per year
        `excess_of_strongest` and `less`; None where none of them was traded.
    """
    excess = {
        name: one.ledger.daily["net_return"] - equal_weight.reindex(one.ledger.daily.index)
        for name, one in traded.items()
        if name in (OURS, LIGHTGBM) or name in RULES
    }
    excess_LK = pd.DataFrame(excess).dropna()
    if len(excess) < 2 or excess_LK.empty:
        return None
    rival_LK = excess_LK.drop(columns=OURS).assign(**{EQUAL_WEIGHT: 0.0})
    found = superiority(excess_LK[OURS], rival_LK, horizon, seed)
    return {
        **asdict(found),
        "p": found.p,
        "rules": sum(name in RULES for name in excess),
        "models": [name for name in excess if name == LIGHTGBM],
        "less": found.less * per_year,
        "excess_of_strongest": float(rival_LK[found.strongest].mean()) * per_year,
    }


def among_trials(
    folder: Path, excess_L: pd.Series, market: Market, settings: Mapping[str, Any], weights: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Write this evaluation into the ledger of trials, and say what it is worth among all of them.

    Args:
        folder: of this run.
        excess_L: over equal weight.
        market: what was traded.
        settings: the resolved configuration.
        weights: content hash per model; the order of an ensemble is no matter.

    Returns:
        Figures of `among`, with `evaluated`, the hash of this evaluation; and warnings.
    """
    own, outputs = sharpe_ratio(excess_L), Path(settings["paths"]["outputs"]).absolute()
    known = np.isfinite(own.value)
    trial = Trial(
        time=now(),
        run=str(folder.relative_to(outputs) if folder.is_relative_to(outputs) else folder),
        universe=settings["universe"]["name"],
        market=market.name,
        market_fingerprint=market.fingerprint,
        start=f"{excess_L.index[0]:%Y-%m-%d}",
        end=f"{excess_L.index[-1]:%Y-%m-%d}",
        evaluated=evaluation_hash(sorted(weights.values()), decisive_settings(settings)),
        sharpe=own.value if known else None,
        sessions=own.sessions,
        skew=own.skew if known else None,
        kurtosis=own.kurtosis if known else None,
    )
    warning = append_trial(outputs, trial)
    figures = among(own, distinct_trials(read_trials(outputs), trial))
    return {**figures, "evaluated": trial.evaluated}, [warning] if warning else []


def among(own: SharpeRatio, trials: Sequence[Trial]) -> dict[str, Any]:
    """What a Sharpe ratio is worth among all that was tried on the same sessions.

    Args:
        own: of the excess that is looked at.
        trials: distinct ones, it or what it is made of among them, see `distinct_trials`.

    Returns:
        `trials` (at least so many), `sharpe_ratio` (per session, with `skew`, `kurtosis`, `sessions`),
        `expected_maximum` (per session) and `probability`, see `deflated_sharpe_ratio`, with the reason where there
        is none.
    """
    # Chance spreads the ratios of few sessions more: of trials of skill-less rules as long as this one so much less.
    ratios = [one.sharpe * math.sqrt(one.sessions / own.sessions) for one in trials if one.sharpe is not None]
    reason = too_little(own.sessions, horizon=1, stride=1, unit="sessions")
    return {
        "trials": len(trials),
        "sharpe_ratio": own.value,
        "sessions": own.sessions,
        "skew": own.skew,
        "kurtosis": own.kurtosis,
        "expected_maximum": expected_maximum(ratios),
        "probability": float("nan") if reason else deflated_sharpe_ratio(own, ratios),
        "reason": reason,
    }


def decisive_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of a resolved configuration what decides, apart from weights and days, what is held."""
    decides = {key: _by_class(settings[key]) for key in EVALUATED}
    return {**decides, "account": float(settings["backtest"]["account"])}


def _by_class(settings: Any) -> Any:
    """Settings with the classes they are for by name alone: where their code lies changes nothing."""
    if not isinstance(settings, Mapping):
        return settings
    return {
        key: str(value).rpartition(".")[2] if key == "_target_" else _by_class(value) for key, value in settings.items()
    }
