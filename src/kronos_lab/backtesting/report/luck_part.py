"""What the report says of luck below its table of rules: a row of random portfolios, and lines of tests."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kronos_lab.backtesting.baselines import OURS
from kronos_lab.backtesting.conclusions import rivals
from kronos_lab.backtesting.report.tables import OVER
from kronos_lab.backtesting.report.wording import chance, number, percent


class LuckPart(NamedTuple):
    """What the table of rules has besides them: a row of random portfolios (or none), and lines under it."""

    rows: Sequence[Sequence[str]]
    lines: Sequence[str]


def luck_part(metrics: Mapping[str, Any]) -> LuckPart:
    """The row and the lines; what is not known is left out."""
    random, tested, trials = (metrics.get(key) for key in ("random_portfolios", "superiority", "trials"))
    lines = [f"{_random_line(random)} Their turnover is that of ours: {_turnovers(metrics, random)}."] if random else []
    lines += [_tested_line(tested)] if tested else []
    lines += [_trials_line(trials)] if trials else []
    return LuckPart([_row(metrics, random)] if random else [], lines)


def _row(metrics: Mapping[str, Any], random: Mapping[str, Any]) -> list[str]:
    """In the columns of `baselines_table`."""
    place = random["excess"]["equal_weight"]
    unranked = ["–"] * len(metrics["baselines"][OURS]["rank_ic"])
    excess, ratio = place["annual_return"], place["information_ratio"]
    return [
        f"{random['portfolios']} random portfolios, median",
        *unranked,
        percent(excess["median"]),
        number(ratio["median"], 2),
        percent(random["turnover"]),
        "",
        f"ours: percentile {number(excess['percentile'], 0)}",
    ]


def _random_line(random: Mapping[str, Any]) -> str:
    places = []
    for name, place in random["excess"].items():
        excess, ratio = place["annual_return"], place["information_ratio"]
        places.append(
            f"over {OVER[name]} {percent(excess['low'])} to {percent(excess['high'])} a year, ours is at percentile "
            f"{number(excess['percentile'], 0)}; information ratio {number(ratio['low'], 2)} to "
            f"{number(ratio['high'], 2)}, ours is at percentile {number(ratio['percentile'], 0)}"
        )
    return f"Nine tenths of the random portfolios earned {'; '.join(places)}."


def _turnovers(metrics: Mapping[str, Any], random: Mapping[str, Any]) -> str:
    return f"{percent(random['turnover'], 2)} a session, ours {percent(metrics['trading']['turnover_per_session'], 2)}"


def _tested_line(tested: Mapping[str, Any]) -> str:
    against = f"SPA test against {rivals(tested)}"
    if tested["reason"]:
        return f"{against}: no p, {tested['reason']}."
    return (
        f"{against}: ours less the strongest, {tested['strongest']}, {percent(tested['less'])} a year; p "
        f"{chance(tested['p'])} (that one at least is as good: {chance(tested['p_better'])}; that none is better: "
        f"{chance(tested['p_worse'])}), blocks of {tested['block']} sessions."
    )


def _trials_line(trials: Mapping[str, Any]) -> str:
    one = trials["trials"] < 2
    what = "Probabilistic Sharpe ratio" if one else "Deflated Sharpe ratio"
    if trials["reason"]:
        return f"{what}: none, {trials['reason']}."
    best = "" if one else f"; the best of so many without skill: {number(trials['expected_maximum'], 3)}"
    return (
        f"{what} {number(trials['probability'], 2)}, at least {trials['trials']} trial{'s' * (not one)}: Sharpe ratio "
        f"{number(trials['sharpe_ratio'], 3)} a session over {trials['sessions']} sessions, skewness "
        f"{number(trials['skew'], 2)}, kurtosis {number(trials['kurtosis'], 2)}{best}."
    )
