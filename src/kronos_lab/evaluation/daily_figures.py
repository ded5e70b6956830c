"""What forecasts or scores are worth on each day of a manifest; every figure of a table is a mean of these.

S pairs, P paths, L days. Returns are fractions. What is not defined is NaN.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from kronos_lab.evaluation.calibration import covered, fair_crps
from kronos_lab.evaluation.close_paths import ClosePaths
from kronos_lab.evaluation.manifest import Manifest
from kronos_lab.evaluation.neutral import neutralised
from kronos_lab.evaluation.ranking import SMALLEST_CROSS_SECTION, daily_correlation

BEST_SHARE = 0.1  # of the names of a day

RANK_FIGURES = ("rank_ic_1", "rank_ic_h")
# Mean of `above` over mean of `below`, of the same days.
RATIOS = {
    "error_to_persistence_1": ("absolute_error_1", "absolute_return_1"),
    "error_to_persistence_h": ("absolute_error_h", "absolute_return_h"),
}


@dataclass(frozen=True)
class Outcome:
    """What became of the pairs of a manifest, and what every row of its table is measured by.

    Attributes:
        manifest: the pairs.
        level_neutral: whether forecasts rank the names without what a day's least squares on `Manifest.level_S`
            explains of them.
    """

    manifest: Manifest
    level_neutral: bool = False

    @property
    def horizon(self) -> int:
        """Bars ahead of the figures called `_h`."""
        return self.manifest.horizon

    @cached_property
    def label_1_S(self) -> np.ndarray:
        """Open-to-open return of the session after the entry."""
        return self.manifest.open_to_open_return(1)

    @cached_property
    def label_h_S(self) -> np.ndarray:
        """Open-to-open return of the whole horizon."""
        return self.manifest.open_to_open_return(self.horizon)

    @cached_property
    def close_return_1_S(self) -> np.ndarray:
        """Close-to-close return of the next session."""
        return self.manifest.close_to_close_return(1)

    @cached_property
    def close_return_h_S(self) -> np.ndarray:
        """Close-to-close return of the whole horizon."""
        return self.manifest.close_to_close_return(self.horizon)

    def of_paths(self, paths: ClosePaths) -> pd.DataFrame:
        """Daily figures of a forecast: its mean return ranks the names, its paths are measured by the closes.

        CRPS and coverage are NaN where the paths are not independent: both would take them to be.
        """
        return_1_SP, return_h_SP = (paths.returns(k).astype(np.float64) for k in (1, self.horizon))
        unknown_S = np.full(len(self.manifest), np.nan)
        mean_1_S, mean_h_S = return_1_SP.mean(axis=1), return_h_SP.mean(axis=1)
        figures = self._of_scores(self._score_LN(mean_1_S), self._score_LN(mean_h_S)) | {
            "level_correlation": daily_correlation(
                self.manifest.frame(mean_h_S), self.manifest.frame(self.manifest.level_S), "rank"
            ),
            "crps": fair_crps(return_h_SP, self.close_return_h_S) if paths.independent else unknown_S,
            "coverage": covered(return_h_SP, self.close_return_h_S) if paths.independent else unknown_S,
            **self._errors(mean_1_S, mean_h_S),
        }
        return self._by_day(figures)

    def of_scores(self, score_S: np.ndarray) -> pd.DataFrame:
        """Daily figures of scores without a unit, as they are: ranks alone."""
        score_LN = self.manifest.frame(score_S)
        return self._by_day(self._of_scores(score_LN, score_LN))

    def of_persistence(self) -> pd.DataFrame:
        """Daily figures of the forecast that nothing moves; it ranks nobody, and the CRPS of a point is its error."""
        zero_S = np.zeros(len(self.manifest))
        errors = self._errors(zero_S, zero_S)
        return self._by_day({"crps": errors["absolute_error_h"], **errors})

    def of_equal_weight(self) -> pd.DataFrame:
        """Daily label of all names in equal parts."""
        return self._by_day({"best_tenth": self.label_h_S})

    def _score_LN(self, forecast_S: np.ndarray) -> pd.DataFrame:
        score_LN = self.manifest.frame(forecast_S)
        return neutralised(score_LN, [self.manifest.frame(self.manifest.level_S)]) if self.level_neutral else score_LN

    def _of_scores(self, score_1_LN: pd.DataFrame, score_h_LN: pd.DataFrame) -> dict[str, np.ndarray | pd.Series]:
        label_1_LN, label_h_LN = self.manifest.frame(self.label_1_S), self.manifest.frame(self.label_h_S)
        best_L = best_names_return(score_h_LN, label_h_LN)
        return {
            "rank_ic_1": daily_correlation(score_1_LN, label_1_LN, "rank"),
            "rank_ic_h": daily_correlation(score_h_LN, label_h_LN, "rank"),
            "best_tenth": best_L,
            "best_tenth_excess": best_L - label_h_LN.where(score_h_LN.notna()).mean(axis=1),
        }

    def _errors(self, forecast_1_S: np.ndarray, forecast_h_S: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "absolute_error_1": np.abs(forecast_1_S - self.close_return_1_S),
            "absolute_return_1": np.abs(self.close_return_1_S),
            "absolute_error_h": np.abs(forecast_h_S - self.close_return_h_S),
            "absolute_return_h": np.abs(self.close_return_h_S),
        }

    def _by_day(self, figures: Mapping[str, np.ndarray | pd.Series]) -> pd.DataFrame:
        return pd.DataFrame(
            {
                name: self.manifest.mean_by_day(values) if isinstance(values, np.ndarray) else values
                for name, values in figures.items()
            },
            index=self.manifest.days,
        )


def best_names_return(score_LN: pd.DataFrame, label_LN: pd.DataFrame) -> pd.Series:
    """Mean label of each day's best tenth by score, at least one name; of equal scores those earlier in the alphabet.

    NaN on days with fewer than `SMALLEST_CROSS_SECTION` names that have both, or on which all scores are equal.
    """
    both_LN = score_LN.notna() & label_LN.notna()
    score_LN = score_LN.where(both_LN)
    place_LN = score_LN.rank(axis=1, ascending=False, method="first")
    names_L = both_LN.sum(axis=1)
    chosen_LN = place_LN.le(np.maximum(1, np.round(names_L * BEST_SHARE)), axis=0) & both_LN
    ordered_L = (names_L >= SMALLEST_CROSS_SECTION) & (score_LN.max(axis=1) > score_LN.min(axis=1))
    return label_LN.where(chosen_LN).mean(axis=1).where(ordered_L)


def mean_figures(daily_LK: pd.DataFrame) -> dict[str, float]:
    """Means over the days, and the errors as ratios to those of persistence."""
    return {str(name): float(value.iloc[0]) for name, value in with_ratios(daily_LK.mean().to_frame().T).items()}


def with_ratios(means: pd.DataFrame) -> pd.DataFrame:
    """Means of daily figures, a row each, with the ratios in place of what they are made of."""
    parts = {part for pair in RATIOS.values() for part in pair}
    ratios = {
        name: means[above] / means[below]
        for name, (above, below) in RATIOS.items()
        if above in means and below in means
    }
    return means.drop(columns=list(parts & set(means))).assign(**ratios)
