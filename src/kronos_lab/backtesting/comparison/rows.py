"""Rows of a comparison: a run, or the runs of one setting that differ in nothing but their seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos_lab.backtesting.comparison.compared_run import EQUAL_WEIGHT, ComparedRun, Conditions, excess
from kronos_lab.backtesting.comparison.settings import WEIGHTS, is_seed, without_seeds, written
from kronos_lab.backtesting.performance import performance, performance_errors
from kronos_lab.backtesting.score_quality import NEXT_SESSION, sure_figures

NAN = float("nan")
# Figures of one run alone, and where `metrics.json` has them.
OF_METRICS = {
    "annual_return": ("portfolio", "with_cost", "annual_return"),
    "sharpe_ratio": ("portfolio", "with_cost", "information_ratio"),
    "max_drawdown": ("portfolio", "with_cost", "max_drawdown"),
    "turnover": ("trading", "turnover_per_session"),
    "annual_cost": ("trading", "annual_cost"),
}
EXCESS, RATIO = "excess", "information_ratio"


@dataclass(frozen=True)
class Figure:
    """A figure of a row.

    Attributes:
        value: of its run, or mean over its seeds.
        deviation: sample standard deviation over the seeds; NaN for one run.
        low: lower end of the 95 % interval, for the days; NaN where there is none.
        high: its upper end.
        p: NaN where there is none.
        days: it is a mean of; 0 where that is not said.
    """

    value: float
    deviation: float = NAN
    low: float = NAN
    high: float = NAN
    p: float = NAN
    days: int = 0


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        runs: with one setting, by their seeds.
    """

    runs: tuple[ComparedRun, ...]

    @property
    def name(self) -> str:
        """Of its run, or of the first of them and how many there are more."""
        more = len(self.runs) - 1
        return self.runs[0].name + (f" and {more} more seed{'s' * (more > 1)}" if more else "")

    @property
    def conditions(self) -> Conditions:
        """The same for all its runs."""
        return self.runs[0].conditions

    @cached_property
    def net_return_L(self) -> pd.Series:
        """Mean over the runs, on the sessions all have: that of the account divided among them in equal parts daily."""
        return _mean([run.net_return_L for run in self.runs])

    @cached_property
    def excess_L(self) -> pd.Series:
        """Of that over equal weight."""
        return excess(self.net_return_L, self.runs[0].daily[EQUAL_WEIGHT])

    def rank_ic(self, sessions: int) -> pd.Series:
        """Mean over the runs, on the signal days all have."""
        return _mean([run.rank_ic(sessions) for run in self.runs])

    @property
    def scored_L(self) -> pd.DataFrame:
        """See `ComparedRun`: seeds change none of it."""
        return self.runs[0].scored_L

    @property
    def labels(self) -> list[int]:
        """Sessions of the labels: the next one, and the horizon."""
        return sorted({NEXT_SESSION, self.conditions.horizon})

    def setting(self, key: str) -> str:
        """As it is shown; of seeds all."""
        return ", ".join(dict.fromkeys(written(run.settings.get(key)) for run in self.runs))

    def figures(self, seed: int) -> dict[str, Figure]:
        """Figures by name.

        Args:
            seed: of the bootstrap.

        Returns:
            `rank_ic_<sessions>`, `excess` (a year, after cost, over equal weight), its `information_ratio`, and those
            of `OF_METRICS`.
        """
        per_year = float(self.runs[0].metrics["sessions_per_year"])
        found = {}
        for sessions in self.labels:
            sure = sure_figures(pd.DataFrame({0: self.rank_ic(sessions)}), sessions, seed)[0]
            of_runs = [float(run.rank_ic(sessions).mean()) for run in self.runs]
            found[f"rank_ic_{sessions}"] = Figure(
                sure["mean"], _deviation(of_runs), sure["low"], sure["high"], sure["p"], sure["days"]
            )
        of_each = [performance(run.excess_L, per_year) for run in self.runs]
        sure = performance_errors(self.excess_L, per_year, seed)
        own = performance(self.excess_L, per_year)
        found[EXCESS] = Figure(
            own.annual_return,
            _deviation([one.annual_return for one in of_each]),
            sure["annual_return_low"],
            sure["annual_return_high"],
            sure["p"],
            own.sessions,
        )
        ratios = [one.information_ratio for one in of_each]
        alone = len(self.runs) == 1  # the ratio of a mean over seeds is not the mean of their ratios
        ends = (sure["information_ratio_low"], sure["information_ratio_high"]) if alone else (NAN, NAN)
        found[RATIO] = Figure(float(np.mean(ratios)), _deviation(ratios), *ends)
        for name, path in OF_METRICS.items():
            values = [_at(run.metrics, path) for run in self.runs]
            found[name] = Figure(float(np.mean(values)), _deviation(values))
        return found


def _mean(series: Sequence[pd.Series]) -> pd.Series:
    if len(series) == 1:
        return series[0]
    return pd.concat(series, axis=1).dropna().mean(axis=1)


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else NAN


def _at(metrics: Any, path: Sequence[str]) -> float:
    for key in path:
        metrics = metrics[key]
    return NAN if metrics is None else float(metrics)


def make_rows(runs: Sequence[ComparedRun]) -> tuple[list[Row], dict[Path, Row], list[str]]:
    """Group runs that differ in nothing but their seeds, and leave out those that differ in nothing at all.

    Runs of the same settings and seeds whose weights are not the same stay apart: something else differs.

    Returns:
        Rows by the name of their first run; the row of each run by its folder, of a run that repeats another that of
        the other; and what to know of them.
    """
    notes: list[str] = []
    once: list[ComparedRun] = []
    counted: dict[Path, ComparedRun] = {}
    for run in sorted(runs, key=lambda one: one.name):
        twin = next((other for other in once if _key(other, with_seeds=True) == _key(run, with_seeds=True)), None)
        counted[run.folder] = twin or run
        if twin is None:
            once.append(run)
            continue
        notes.append(f"{run.name} repeats {twin.name} (settings, seeds and weights are the same): counted once")
        if not run.net_return_L.equals(twin.net_return_L):
            revisions = f"{twin.revision} and {run.revision}" if run.revision != twin.revision else "the same revision"
            notes.append(f"{run.name} repeats {twin.name} with other figures (code of {revisions}): not reproduced")
    groups: dict[Any, list[ComparedRun]] = {}
    for run in once:
        groups.setdefault(_key(run, with_seeds=False), []).append(run)
    rows = []
    for group in groups.values():
        seeds = [tuple(sorted(_seeds(run).items())) for run in group]
        if len(set(seeds)) == len(seeds):
            rows.append(Row(tuple(run for _, run in sorted(zip(seeds, group, strict=True), key=lambda pair: pair[0]))))
        else:
            rows += [Row((run,)) for run in group]
            names = ", ".join(run.name for run in group)
            notes.append(f"{names}: the same settings and seeds, but other weights; not taken for seeds of one setting")
    row_of = {run.folder: row for row in rows for run in row.runs}
    return (
        sorted(rows, key=lambda row: row.runs[0].name),
        {folder: row_of[run.folder] for folder, run in counted.items()},
        notes,
    )


def shown_settings(row: Row) -> dict[str, str]:
    """Settings of a row as they are shown, and its weights, which settings may not tell."""
    keys = dict.fromkeys(key for run in row.runs for key in run.settings)
    return {key: row.setting(key) for key in keys} | {
        WEIGHTS: ", ".join(dict.fromkeys(run.weights for run in row.runs))
    }


def _key(run: ComparedRun, with_seeds: bool) -> tuple[Any, ...]:
    settings = run.settings if with_seeds else without_seeds(run.settings)
    known = tuple(sorted((key, written(value)) for key, value in settings.items()))
    return (run.conditions, known, (run.weights, run.trial.evaluated) if with_seeds else None)


def _seeds(run: ComparedRun) -> dict[str, str]:
    return {key: written(value) for key, value in run.settings.items() if is_seed(key)}
