"""What a comparison says after all, in words."""

import math
from collections.abc import Sequence

from kronos_lab.backtesting.comparison.comparison import NET_RETURN, RETURN_LESS, Line, RunComparison
from kronos_lab.backtesting.comparison.rows import EXCESS, Figure
from kronos_lab.backtesting.conclusions import among_trials_sentence
from kronos_lab.backtesting.report.wording import chance, number, percent
from kronos_lab.backtesting.score_quality import NEXT_SESSION
from kronos_lab.evaluation.inference import CONFIDENCE
from kronos_lab.evaluation.selection import BestOfSeveral

BEYOND = 1 - CONFIDENCE


def verdict(compared: RunComparison) -> list[str]:
    """Which run is best, whether it can be told from the one all are held against, and from luck; a sentence each.

    Best by return, and by the rank IC of each label.
    """
    said = _of_returns(compared)
    for sessions in compared.against.labels:
        said += _of_rank_ic(compared, sessions)
    luck = among_trials_sentence(compared.luck)
    if luck:
        said.append(f"{compared.best}: {luck[0].lower()}{luck[1:]}")
    elif compared.luck["reason"]:
        said.append(f"Whether the excess of {compared.best} is luck cannot be said: {compared.luck['reason']}.")
    return said


def told_apart(less: Figure, best: BestOfSeveral | None) -> bool:
    """Whether a row that was picked as the best can be told from the one it is held against.

    All three must say so: the interval of the difference and its p on the paired days, and the SPA test, in which it is
    known that the best of several was picked.
    """
    outside = math.isfinite(less.low) and not less.low <= 0 <= less.high
    return outside and less.p <= BEYOND and best is not None and best.p <= BEYOND


def _of_returns(compared: RunComparison) -> list[str]:
    lines, against = compared.first.lines, compared.against.name
    best = compared.best_line
    excess = f"{percent(best.figures[EXCESS].value)} a year over equal weight after cost"
    if len(lines) < 2:
        return [f"Nothing that can be compared with {against}, whose excess is {excess}."]
    tested = compared.superiority.get(NET_RETURN)
    if best.row is compared.against:
        return [
            f"Of {len(lines)} settings none has a higher excess than {against}, against which all are held: {excess}; "
            f"{_others_less(lines, compared, RETURN_LESS)}."
        ]
    less = best.less.get(RETURN_LESS)
    if less is None or tested is None:
        return [f"Of {len(lines)} settings {best.row.name} has the highest excess, {excess}."]
    apart = "can be told from it" if told_apart(less, tested) else "cannot be told from it"
    return [
        f"Of {len(lines)} settings {best.row.name} has the highest excess, {excess}, which is "
        f"{_written(less, percent, 1)} more than {against}: it {apart} ({_tested(tested)})."
    ]


def _of_rank_ic(compared: RunComparison, sessions: int) -> list[str]:
    lines, against, figure = compared.first.lines, compared.against, f"rank_ic_{sessions}"
    if len(lines) < 2:
        return []
    best = max(lines, key=lambda line: (line.figures[figure].value, line.row is against))
    value = best.figures[figure].value
    if not math.isfinite(value):
        return []
    rank_ic = "rank IC of the next session" if sessions == NEXT_SESSION else f"rank IC over {sessions} sessions"
    if best.row is against:
        return [
            f"None has a higher {rank_ic} than {against.name}, {number(value, 4)}; "
            f"{_others_less(lines, compared, f'{figure}_less')}."
        ]
    less, tested = best.less.get(f"{figure}_less"), compared.superiority.get(figure)
    if less is None or tested is None:
        return []
    apart = "can be told from it" if told_apart(less, tested) else "cannot be told from it"
    return [
        f"The highest {rank_ic} has {best.row.name}, {number(value, 4)}, which is "
        f"{_written(less, number, 4)} more than {against.name}: it {apart} ({_tested(tested)})."
    ]


def _others_less(lines: Sequence[Line], compared: RunComparison, figure: str) -> str:
    """How many of the others are below the run that all are held against, each by itself."""
    others = [line.less.get(figure) for line in lines if line.row is not compared.against]
    below = sum(less is not None and less.high < 0 and less.p <= BEYOND for less in others)
    if below == 0:
        return "no other can be told from it"
    return f"{below} of the {len(others)} others can be told from it, each by itself"


def _written(less: Figure, write: object, digits: int) -> str:
    assert callable(write)
    if not math.isfinite(less.low):
        return f"{write(less.value, digits)} (no interval)"
    return f"{write(less.value, digits)} [{write(less.low, digits)}, {write(less.high, digits)}]"


def _tested(best: BestOfSeveral) -> str:
    if best.reason:
        return f"no p of an SPA test: {best.reason}"
    return f"SPA test, which knows that the best was picked: p {chance(best.p)}"
