"""What is said of a backtest: the figures one looks at first, and a verdict in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kronos_lab.backtesting.baselines import PARENT
from kronos_lab.backtesting.calibration_sample import MODEL, SAMPLED
from kronos_lab.backtesting.score_quality import NEXT_SESSION
from kronos_lab.evaluation.inference import CONFIDENCE

TOLD = "80"  # the interval that is spoken of, in per cent


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
    if "sample" in metrics.get("calibration", {}):
        for sessions, figures in metrics["calibration"][MODEL]["returns"].items():
            flat[f"covered_{TOLD}_{sessions}d"] = figures["coverage"][TOLD]["mean"]
            flat[f"crps_skill_{sessions}d"] = figures["crps"]["skill"]
    return flat


def verdict(metrics: Mapping[str, Any]) -> list[str]:
    """What is known after all, in words: of the scores over the next session, and of the excess after cost."""
    figures = metrics["ranking"]["open_to_open"][str(NEXT_SESSION)]["rank_ic"]
    if not np.isfinite(figures["p"]):
        said = [f"Whether the scores order the names better than chance cannot be said: {figures['reason']}."]
    else:
        if figures["p"] <= 1 - CONFIDENCE:
            better = "better" if figures["mean"] > 0 else "worse"
            known = f"The scores order the names of the next session {better} than chance (p {figures['p']:.4f})"
        else:
            known = f"The order of the scores cannot be told from chance over the next session (p {figures['p']:.2f})"
        least = f"with {figures['days']} days a rank IC below {figures['detectable']:.3f} cannot be told from zero"
        said = [f"{known}; {least}."]
    excess = metrics["excess"]["equal_weight"]["with_cost"]
    if np.isfinite(excess["p"]):
        apart = "cannot be told from nothing"
        if excess["p"] <= 1 - CONFIDENCE:
            apart = "is more than chance" if excess["annual_return"] > 0 else "is a loss beyond chance"
        said.append(
            f"The excess over equal weight after cost {apart} (p {excess['p']:.2g}); with {excess['sessions']} "
            f"sessions one below {excess['detectable']:.1%} a year cannot be told from zero."
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
    return [sentence for sentence in [*found, among_trials_sentence(metrics.get("trials"))] if sentence]


def rivals(figures: Mapping[str, Any], rules: str = "rules") -> str:
    """What the scores were held against, see `beside_strongest`: "equal weight and 5 rules"."""
    named: list[str] = [f"{figures['rules']} {rules}"] if figures["rules"] else []
    names = ["equal weight", *named, *list(figures["models"])]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _beside_strongest(figures: Mapping[str, Any] | None) -> str | None:
    if not figures or not np.isfinite(figures["p"]):
        return None
    apart = "the scores cannot be told from it"
    if figures["p"] <= 1 - CONFIDENCE:
        better = figures["p_better"] < figures["p_worse"]
        apart = "the scores earned more than any" if better else "the scores earned less than the best"
        apart += ", beyond chance"
    return (
        f"Of {rivals(figures, 'rules without a model')} the strongest was {figures['strongest']}, with "
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


def among_trials_sentence(figures: Mapping[str, Any] | None) -> str | None:
    """What is left of a Sharpe ratio among all trials; None where nothing can be said.

    Args:
        figures: see `luck.among`.
    """
    if not figures or not np.isfinite(figures["probability"]):
        return None
    name, trials = "Probabilistic", "the only trial on these sessions that is known of"
    if figures["trials"] > 1:
        name, trials = "Deflated", f"one of at least {figures['trials']} trials on these sessions"
    return (
        f"{name} Sharpe ratio {figures['probability']:.2f}: the confidence that the true excess over equal weight is "
        f"above zero, as {trials}."
    )


def calibration_sentences(metrics: Mapping[str, Any]) -> list[str]:
    """How well the forecasts spread, in words, for each sampling and number of sessions; or why nobody knows."""
    calibration = metrics.get("calibration")
    if calibration is None:
        return []
    if "left_out" in calibration:
        return [f"Calibration was left out: {calibration['left_out']}."]
    return [
        _spread(words, int(sessions), figures)
        for name, words in SAMPLED.items()
        if name in calibration
        for sessions, figures in calibration[name]["returns"].items()
    ]


def _spread(sampled: str, sessions: int, figures: Mapping[str, Any]) -> str:
    held, crps = figures["coverage"][TOLD], figures["crps"]
    if not np.isfinite(held["p"]):
        judged = f"whether that is chance cannot be said ({held['reason']})"
    elif held["p"] > 1 - CONFIDENCE:
        judged = f"no difference beyond error (p {held['p']:.2f}, it holds {held['low']:.1%} to {held['high']:.1%})"
    elif held["mean"] > held["ideal"]:
        judged = f"too wide (p {held['p']:.2g})"
    else:
        lowest, highest = figures["pit"][0], figures["pit"][-1]
        judged = f"too narrow, or off the centre (p {held['p']:.2g}; "
        judged += f"{lowest:.0%} lie in the lowest tenth of the paths, {highest:.0%} in the highest)"
    better = "lower" if crps["skill"] > 0 else "higher"
    apart = "no p" if not np.isfinite(crps["p"]) else f"p {crps['p']:.2g}"
    return (
        f"Over {sessions} session{'s' * (sessions != 1)} the central {TOLD} % of paths sampled {sampled} holds "
        f"{held['mean']:.1%} of the outcomes, a perfect forecaster's {held['ideal']:.1%}: {judged}. Their CRPS is "
        f"{abs(crps['skill']):.1%} {better} than that of the historical volatility ({apart})."
    )
