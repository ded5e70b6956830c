"""What is said of a backtest: the figures one looks at first, a verdict in words, and how each figure is meant."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kronos_lab.backtesting.baselines import PARENT
from kronos_lab.backtesting.score_quality import NEXT_SESSION
from kronos_lab.evaluation.inference import CONFIDENCE, INDEPENDENT_STRETCHES


def headline(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures one looks at first, flat, for `summary.json` and the logger."""
    flat = {}
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
    if metrics.get("superiority"):
        flat["superiority_p"] = metrics["superiority"]["p"]
    if "random_portfolios" in metrics:
        for figure, place in metrics["random_portfolios"]["excess"]["equal_weight"].items():
            flat[f"{figure}_percentile"] = place["percentile"]
    if "trials" in metrics:
        flat["trials"] = float(metrics["trials"]["trials"])
        flat["deflated_sharpe_ratio"] = metrics["trials"]["probability"]
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
    if PARENT in metrics["baselines"]:
        said += _beside_parent(metrics["baselines"][PARENT])
    return said + luck(metrics)


def _beside_parent(parent: Mapping[str, Any]) -> list[str]:
    """What finetuning changed, on the same rows."""
    less = parent["rank_ic_less"][str(NEXT_SESSION)]
    if not np.isfinite(less["p"]):
        return []
    changed = "the two cannot be told apart"
    if less["p"] <= 1 - CONFIDENCE:
        changed = f"finetuning made it {'better' if less['mean'] > 0 else 'worse'}"
    return [
        f"Before finetuning the same weights had a rank IC of {parent['rank_ic'][str(NEXT_SESSION)]['mean']:.4f}: "
        f"{changed} (p {less['p']:.2g})."
    ]


def luck(metrics: Mapping[str, Any]) -> list[str]:
    """What the excess is worth beside rules, beside random portfolios and among trials, a sentence each."""
    found = [_beside_strongest(metrics.get("superiority")), _beside_random(metrics.get("random_portfolios"))]
    return [sentence for sentence in [*found, _among_trials(metrics.get("trials"))] if sentence]


def _beside_strongest(figures: Mapping[str, Any] | None) -> str | None:
    if not figures or not np.isfinite(figures["p"]):
        return None
    apart = "the scores cannot be told from it"
    if figures["p"] <= 1 - CONFIDENCE:
        better = figures["p_better"] < figures["p_worse"]
        apart = "the scores earned more than any" if better else "the scores earned less than the best"
        apart += ", beyond chance"
    return (
        f"Of equal weight and {figures['rules']} rules without a model the strongest was {figures['strongest']}, with "
        f"an excess of {figures['excess_of_strongest']:+.1%} a year: {apart} (SPA test, p {figures['p']:.2g})."
    )


def _beside_random(figures: Mapping[str, Any] | None) -> str | None:
    if not figures or not np.isfinite(figures["excess"]["equal_weight"]["annual_return"]["better"]):
        return None
    place = figures["excess"]["equal_weight"]
    return (
        f"{place['annual_return']['better']} of {figures['portfolios']} random portfolios of the same turnover earned "
        f"more, {place['information_ratio']['better']} had a higher information ratio over equal weight."
    )


def _among_trials(figures: Mapping[str, Any] | None) -> str | None:
    if not figures or not np.isfinite(figures["probability"]):
        return None
    name, trials = "Probabilistic", "the only trial on these sessions that is known of"
    if figures["trials"] > 1:
        name, trials = "Deflated", f"one of at least {figures['trials']} trials on these sessions"
    return (
        f"{name} Sharpe ratio {figures['probability']:.2f}: the confidence that the true excess over equal weight is "
        f"above zero, as {trials}."
    )


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
        "participation": "value of a fill over what the market traded of its name that day; fills of unknown amounts "
        "left out",
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
        "baselines": "on the rows that were forecast, from closes up to the signal day, with the same strategy, "
        "exchange and account; a name a rule knows nothing of has its median score",
        "random_portfolios": "names drawn by lot from the rows that were forecast; on each session about the share of "
        "the holdings is sold that the portfolio sold, and as many names and as much cash are held; same exchange",
        "superiority": "Hansen's test for superior predictive ability (SPA) of net excess, stationary bootstrap with "
        "blocks of at least the horizon; p is twice the smaller of two: that one rule at least (or equal weight) is as "
        "good, and that none is better",
        "deflated_sharpe_ratio": "Bailey and López de Prado (2014), of the net excess over equal weight per session; "
        "trials are the different evaluations of this universe and market on sessions that overlap these, as "
        "outputs/trials.jsonl lists them: what was tried elsewhere is not known; of one trial it is the probabilistic "
        "Sharpe ratio",
        "hit_rate": "share of names whose next session lies on the same side of the day's median as their score",
        "coverage": "members scored / members not suspended that day",
    }
