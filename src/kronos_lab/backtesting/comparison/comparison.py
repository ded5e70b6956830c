"""Backtests beside each other: tables of what can be compared, paired differences, the best of them and luck.

L days, K rows. Excess and differences of returns are after cost; per year as each run annualises.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from kronos_lab.backtesting.comparison.compared_run import ComparedRun, Conditions
from kronos_lab.backtesting.comparison.rows import EXCESS, NAN, Figure, Row, make_rows
from kronos_lab.backtesting.luck import among
from kronos_lab.backtesting.performance import performance, performance_errors
from kronos_lab.backtesting.score_quality import NEXT_SESSION, sure_figures
from kronos_lab.evaluation.selection import BestOfSeveral, best_of_several, sharpe_ratio
from kronos_lab.runs.trials import Trial, distinct_trials

RANK_IC_NEXT = f"rank_ic_{NEXT_SESSION}"
NET_RETURN, RETURN_LESS = "net_return", "return_less"


@dataclass(frozen=True)
class Line:
    """A row with its figures.

    Attributes:
        row: see there.
        figures: see `Row.figures`.
        less: this row less the one all are held against, day by day on the days that both have, by name:
            `rank_ic_<sessions>_less`, `return_less` (net, a year); empty where days or names have nothing in common,
            and for that row itself.
    """

    row: Row
    figures: dict[str, Figure]
    less: dict[str, Figure]


@dataclass(frozen=True)
class ComparedTable:
    """Rows whose figures can be read beside each other.

    Attributes:
        conditions: what they have in common.
        unlike: in what that differs from the first table; empty for that one.
        lines: the row that all are held against first, if it is here; then by excess, highest first.
    """

    conditions: Conditions
    unlike: list[str]
    lines: list[Line]


@dataclass(frozen=True)
class RunComparison:
    """Everything a comparison has to say.

    Attributes:
        against: the row that all are held against.
        tables: the one that holds it first.
        notes: what to know before reading.
        superiority: of the first table, whether its best row can be told from `against` although it was picked
            afterwards, by daily figure: `net_return` (gain per session) and `rank_ic_<sessions>` of each label. Empty
            where there is nothing to pick from.
        best: name of the row with the highest excess of the first table.
        luck: what the best row's Sharpe ratio is worth among all trials, see `luck.among`.
    """

    against: Row
    tables: list[ComparedTable]
    notes: list[str]
    superiority: dict[str, BestOfSeveral]
    best: str
    luck: dict[str, Any]

    @property
    def first(self) -> ComparedTable:
        """The table that holds `against`."""
        return self.tables[0]

    @property
    def best_line(self) -> Line:
        """The line of the row with the highest excess."""
        return next(line for line in self.first.lines if line.row.name == self.best)

    def describe(self) -> dict[str, Any]:
        """As plain containers, for `summary.json`."""
        return {
            "against": self.against.name,
            "best": self.best,
            "notes": self.notes,
            "superiority": {name: asdict(found) for name, found in self.superiority.items()},
            "luck": self.luck,
            "tables": [
                {
                    "conditions": asdict(table.conditions),
                    "unlike": table.unlike,
                    "rows": {
                        line.row.name: {
                            "runs": [str(run.folder) for run in line.row.runs],
                            **{name: asdict(figure) for name, figure in (line.figures | line.less).items()},
                        }
                        for line in table.lines
                    },
                }
                for table in self.tables
            ],
        }


def compare_runs(
    runs: Sequence[ComparedRun], against: ComparedRun, trials: Sequence[Trial], seed: int
) -> RunComparison:
    """Compare finished backtests; their order changes nothing.

    Args:
        runs: all of them, `against` included.
        against: what all are held against; the row that holds it, where it is one of several seeds, and that of the
            run it repeats.
        trials: of the ledger, oldest first.
        seed: of the bootstrap.
    """
    rows, row_of, notes = make_rows(runs)
    reference = row_of[against.folder]
    by_conditions: dict[Conditions, list[Row]] = {}
    for row in rows:
        by_conditions.setdefault(row.conditions, []).append(row)
    conditions = sorted(by_conditions, key=lambda one: (one != reference.conditions, one.title, str(one)))
    tables = [
        ComparedTable(one, one.unlike(reference.conditions), _lines(by_conditions[one], reference, seed))
        for one in conditions
    ]
    lines = tables[0].lines
    best = max(lines, key=lambda line: (line.figures[EXCESS].value, line.row is reference)).row
    return RunComparison(
        against=reference,
        tables=tables,
        notes=notes + [note for table in tables for note in _other_days(table) + _other_names(table, reference)],
        superiority=_superiority([line.row for line in lines], reference, seed),
        best=best.name,
        luck=_luck(best, [*trials, *(run.trial for run in sorted(runs, key=lambda run: run.name))]),
    )


def _lines(rows: Sequence[Row], reference: Row, seed: int) -> list[Line]:
    shared = rows[0].conditions.shares_scores(reference.conditions)
    others = [row for row in rows if row is not reference]
    less = _less(others, reference, seed) if shared and others else {}
    lines = [Line(row, row.figures(seed), less.get(row.name, {})) for row in rows]
    return sorted(lines, key=lambda line: (line.row is not reference, -line.figures[EXCESS].value, line.row.name))


def _less(rows: Sequence[Row], reference: Row, seed: int) -> dict[str, dict[str, Figure]]:
    """Paired differences by row; all rows of a table are resampled on the same days."""
    found: dict[str, dict[str, Figure]] = {row.name: {} for row in rows}
    for sessions in reference.labels:
        base_L = reference.rank_ic(sessions)
        less_LK = pd.DataFrame({row.name: row.rank_ic(sessions) - base_L for row in rows}).dropna(how="all")
        if less_LK.empty:
            continue
        for name, sure in sure_figures(less_LK, sessions, seed).items():
            figure = Figure(sure["mean"], NAN, sure["low"], sure["high"], sure["p"], sure["days"])
            found[name][f"rank_ic_{sessions}_less"] = figure
    per_year = float(reference.runs[0].metrics["sessions_per_year"])
    for row in rows:
        less_L = (row.net_return_L - reference.net_return_L).dropna()
        if less_L.empty:
            continue
        sure = performance_errors(less_L, per_year, seed)
        found[row.name][RETURN_LESS] = Figure(
            performance(less_L, per_year).annual_return,
            NAN,
            sure["annual_return_low"],
            sure["annual_return_high"],
            sure["p"],
            len(less_L),
        )
    return found


def _other_days(table: ComparedTable) -> list[str]:
    """Where rows of a table do not have the same sessions, though they begin and end on the same days."""
    sessions = {line.row.name: line.row.net_return_L.index for line in table.lines}
    all_sessions = set().union(*sessions.values())
    return [
        f"{name} has {len(index)} of the {len(all_sessions)} sessions that the runs beside it have together: "
        "differences are of the days that both have"
        for name, index in sessions.items()
        if len(index) < len(all_sessions)
    ]


def _other_names(table: ComparedTable, reference: Row) -> list[str]:
    """Where rows have scores of other names than the row they are held against, or else the first of their table."""
    base = reference if table.conditions.shares_scores(reference.conditions) else table.lines[0].row
    found = []
    for row in (line.row for line in table.lines if line.row is not base):
        own_L, base_L = row.scored_L.align(base.scored_L, join="inner", axis=0)
        others = int((own_L["names"] != base_L["names"]).sum())
        if others:
            found.append(
                f"{row.name} scores {own_L['count'].mean():.1f} names a day, {base.name} {base_L['count'].mean():.1f}, "
                f"and other names on {others} of the {len(own_L)} days that both have: a difference of their rank ICs "
                "is one of names, too"
            )
    return found


def _superiority(rows: Sequence[Row], reference: Row, seed: int) -> dict[str, BestOfSeveral]:
    others = [row for row in rows if row is not reference]
    found = {}
    daily = {  # with the sessions that what decides a day shares with its neighbours
        NET_RETURN: (
            {row.name: row.net_return_L - reference.net_return_L for row in others},
            reference.conditions.horizon,
        ),
    }
    for label in reference.labels:
        base_L = reference.rank_ic(label)
        daily[f"rank_ic_{label}"] = ({row.name: row.rank_ic(label) - base_L for row in others}, label)
    for name, (gains, sessions) in daily.items():
        gain_LK = pd.DataFrame(gains).dropna()
        if len(gain_LK):
            found[name] = best_of_several(gain_LK, sessions, seed)
    return found


def _luck(best: Row, trials: Sequence[Trial]) -> dict[str, Any]:
    """Of the mean over its seeds, which is no trial by itself, among the trials that they are."""
    own = best.runs[0].trial
    return among(sharpe_ratio(best.excess_L), distinct_trials(list(trials), own))
