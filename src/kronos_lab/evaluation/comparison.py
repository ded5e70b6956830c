"""Did it help? One table on one manifest: parent, finetuned, the difference of the two, and what anybody could do.

L days, S pairs. Intervals are 95 % from a block bootstrap by day, the same resampled days for every row, so the
difference of two forecasts is compared day by day. Of ranks they hold what they promise. Errors and CRPS follow the
volatility, which clusters for longer than a block: where one forecast is better in quiet times and the other in loud
ones, their intervals are too narrow (of GARCH(0.08, 0.90) returns over 270 days they miss 15 times in 100, not 5).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kronos_lab.evaluation.calibration import ideal_coverage
from kronos_lab.evaluation.close_paths import ClosePaths
from kronos_lab.evaluation.daily_figures import RATIOS, Outcome, mean_figures, with_ratios
from kronos_lab.evaluation.inference import (
    CONFIDENCE,
    days_that_overlap,
    hac_mean,
    interval,
    resampled_means,
    too_little,
)
from kronos_lab.evaluation.ranking import SMALLEST_CROSS_SECTION

FINETUNED, PARENT, UNTRAINED = "finetuned", "parent", "untrained"
PERSISTENCE, RANDOM, EQUAL_WEIGHT = "persistence", "random scores", "equal weight"
HEADLINE = ("rank_ic_1", "rank_ic_h", "best_tenth_excess", "crps", "coverage", *RATIOS)
WITH_INTERVAL = ("rank_ic_1", "rank_ic_h", "best_tenth_excess", "crps", *RATIOS)
# What the verdict is about, the first that is defined: its name, how it is written, and whether more of it is better.
VERDICT_FIGURES = {
    "rank_ic_h": ("rank IC", "{:+.4f}".format, True),
    "crps": ("CRPS", "{:+.4%}".format, False),  # of five-minute bars a few millionths
    "error_to_persistence_h": ("error / persistence", "{:+.4f}".format, False),
}

# Of ranks: of forecasts with where prices stand in their lookback. Few finetunes mean to learn as much of it.
NOTEWORTHY_LEVEL_CORRELATION = 0.3
LEVEL_NEUTRAL = (
    "evaluation.level_neutral=true: forecasts rank the names without the part of them that is linear in where the last "
    "close stands in its lookback"
)

STRATIFIED = "forecast.stratified=true: no CRPS and no coverage, which need independent paths"


@dataclass(frozen=True)
class Comparison:
    """The table and what it was made of.

    Attributes:
        table: one row per forecast or score; for each figure its mean, and `<figure>_low`, `<figure>_high`,
            `rank_ic_h_t` and `_p` (HAC with fixed-b critical values, see `hac_mean`: a t of 2 is not yet p = 0.05).
            Returns and CRPS are fractions; NaN is what is not defined.
        daily: columns (row, figure), one row per day.
        manifest: fingerprint, days and what they are called, pairs, paths, horizon, first and last day, market.
        verdict: whether the finetune helped, in one sentence; empty without a parent.
        notes: what to know when reading the table.
    """

    table: pd.DataFrame
    daily: pd.DataFrame
    manifest: dict[str, Any]
    verdict: str
    notes: list[str]

    @property
    def headline(self) -> dict[str, float]:
        """Figures of the finetuned weights, as `test_<figure>`; NaN where one is not defined."""
        return {in_headline(name): float(self.table.at[FINETUNED, name]) for name in HEADLINE}

    @property
    def lines(self) -> list[str]:
        """What is said below the table."""
        return [line for line in (self.verdict, *self.notes) if line]

    def describe(self) -> dict[str, Any]:
        """All but the daily figures, as plain containers."""
        return {
            **self.manifest,
            "rows": {str(row): values.to_dict() for row, values in self.table.iterrows()},
            "columns": list(self.table.columns),
            "verdict": self.verdict,
            "notes": self.notes,
        }


def in_headline(figure: str) -> str:
    """What a figure of the finetuned weights is called in the headline of a run."""
    return f"test_{figure}"


def compare(
    outcome: Outcome,
    finetuned: ClosePaths,
    parent: tuple[str, ClosePaths] | None,
    scores: Mapping[str, np.ndarray],
    seed: int,
) -> Comparison:
    """Compare forecasts of the same pairs with each other and with what needs no model.

    Args:
        outcome: the pairs and what became of them.
        finetuned: forecasts of the weights in question.
        parent: name (`PARENT`, `UNTRAINED`) and forecasts of the weights they started from; None for no such row.
        scores: further rows by name: scores of the pairs [S], for example of an oracle.
        seed: of the random scores and of the bootstrap.
    """
    manifest = outcome.manifest
    rows = {} if parent is None else {parent[0]: outcome.of_paths(parent[1])}
    rows[FINETUNED] = outcome.of_paths(finetuned)
    difference = None
    if parent is not None:
        difference = f"{FINETUNED} − {parent[0]}"
        rows[difference] = rows[FINETUNED] - rows[parent[0]]
    rows |= {name: outcome.of_scores(score_S) for name, score_S in scores.items()}
    rows[PERSISTENCE] = outcome.of_persistence()
    rows[RANDOM] = outcome.of_scores(np.random.default_rng(seed).random(len(manifest)))
    rows[EQUAL_WEIGHT] = outcome.of_equal_weight()

    daily = pd.concat(rows, axis=1)
    overlap = days_that_overlap(outcome.horizon, manifest.stride)

    def unsure(days: int) -> str:
        return too_little(days, outcome.horizon, manifest.stride, manifest.unit)

    means = {name: mean_figures(figures) for name, figures in rows.items()}
    means_of_resamples = resampled_means(daily, overlap, seed)
    resampled = {name: with_ratios(pd.DataFrame(means_of_resamples[name])) for name in rows}
    if difference is not None and parent is not None:
        for ratio in RATIOS:  # of two ratios, not the ratio of two differences
            means[difference][ratio] = means[FINETUNED][ratio] - means[parent[0]][ratio]
            resampled[difference][ratio] = resampled[FINETUNED][ratio] - resampled[parent[0]][ratio]
    ideal = ideal_coverage(finetuned.return_SPK.shape[1]) if finetuned.independent else float("nan")
    table = {}
    for name, figures in means.items():
        row = dict(figures)
        for figure in WITH_INTERVAL:
            if figure in row and name != PERSISTENCE:
                days = _known_days(daily, name, figure)  # what is known of few days is not known as if of all
                nothing = (float("nan"), float("nan"))
                row[f"{figure}_low"], row[f"{figure}_high"] = (
                    nothing if unsure(days) else interval(row[figure], resampled[name][figure], days, overlap)
                )
        if "rank_ic_h" in row:
            rank_ic = daily[name]["rank_ic_h"]
            sure = hac_mean(rank_ic, overlap, unsure(rank_ic.count()))
            row["rank_ic_h_t"], row["rank_ic_h_p"] = float("nan") if np.isnan(sure.p) else sure.t, sure.p
        if name in {FINETUNED, parent[0] if parent else None}:
            row["coverage_ideal"] = ideal
        table[name] = row
    return Comparison(
        table=_ordered(pd.DataFrame(table).T),
        daily=daily,
        manifest={
            "fingerprint": manifest.fingerprint,
            "market": manifest.market.name,
            "days": len(manifest.days),
            "unit": manifest.unit,
            "pairs": len(manifest),
            "paths": finetuned.return_SPK.shape[1],
            "horizon": outcome.horizon,
            "level_neutral": outcome.level_neutral,
            "first_day": str(manifest.days[0]),
            "last_day": str(manifest.days[-1]),
        },
        verdict="" if difference is None or parent is None else _verdict(table[difference], parent[0], outcome.horizon),
        notes=[
            *([] if finetuned.independent else [STRATIFIED]),
            *_notes_on_level(means[FINETUNED]["level_correlation"], outcome),
            *_notes(len(daily), _known_days(daily, FINETUNED, "rank_ic_h"), manifest.unit, unsure),
        ],
    )


def _known_days(daily: pd.DataFrame, row: str, figure: str) -> int:
    """Days that have a value."""
    return int(daily[row, RATIOS[figure][0] if figure in RATIOS else figure].count())


def _notes(days: int, ranked: int, unit: str, unsure: Callable[[int], str]) -> list[str]:
    if unsure(days):
        return [f"no intervals and no p-values: {unsure(days)}"]
    if ranked == days:
        return []
    no_interval = f"; no interval of what is ranked: {unsure(ranked)}" if unsure(ranked) else ""
    notes = [f"{ranked} of {days} {unit} have {SMALLEST_CROSS_SECTION} names or more to rank{no_interval}"]
    if unsure(ranked):
        notes.append("intervals of errors and CRPS are too narrow where volatility stays high or low for long")
    return notes


def _notes_on_level(correlation: float, outcome: Outcome) -> list[str]:
    if outcome.level_neutral:
        return [LEVEL_NEUTRAL + (f" (rank correlation {correlation:+.2f})" if np.isfinite(correlation) else "")]
    if not abs(correlation) >= NOTEWORTHY_LEVEL_CORRELATION:  # which may be no number
        return []
    towards = "a pull to its mean, if no reversal was learned" if correlation < 0 else "a push away from its mean"
    return [
        f"forecasts over {outcome.horizon} bars lean on where the last close stands in its lookback (rank correlation "
        f"{correlation:+.2f}): {towards}; evaluation.level_neutral=true takes a linear part of it out"
    ]


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Columns in the order one reads them, each figure with its interval behind it."""
    ranks = ["rank_ic_1", "rank_ic_h", "best_tenth", "best_tenth_excess", "level_correlation"]
    figures = [*ranks, "crps", "coverage", *RATIOS]
    wanted = [f"{figure}{part}" for figure in figures for part in ("", "_low", "_high", "_t", "_p", "_ideal")]
    return table.reindex(columns=[name for name in wanted if name in table.columns]).astype(np.float64)


def _verdict(difference: Mapping[str, float], parent: str, horizon: int) -> str:
    other = "its parent" if parent == PARENT else f"the {parent} weights"
    for figure, (name, written, more_is_better) in VERDICT_FIGURES.items():
        value = difference.get(figure, float("nan"))
        if not np.isfinite(value):
            continue
        low, high = difference[f"{figure}_low"], difference[f"{figure}_high"]
        what = f"{name} over {horizon} bars {written(value)}"
        if not np.isfinite(low):
            return f"{what}, no interval: cannot be told from {other}"
        what += f" [{written(low)}, {written(high)}]"
        p = difference.get(f"{figure}_p", float("nan"))
        apart = not low <= 0 <= high
        if apart and p > 1 - CONFIDENCE:  # two methods, and at the border one may say yes where the other does not
            what, apart = f"{what}, but p {p:.3f}", False
        if not apart:
            return f"{what}: cannot be told from {other} on this test"
        return f"{what}: {'better' if (low > 0) == more_is_better else 'worse'} than {other} on this test"
    return "nothing could be compared"
