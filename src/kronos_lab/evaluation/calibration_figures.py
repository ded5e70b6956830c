"""How well the paths of a forecast are calibrated on a fixed sample of pairs, beside the volatility of the past.

S pairs, P paths, L days. Returns are close to close, as fractions. Means of coverage, CRPS and QLIKE are means of the
days' means, with HAC errors across days: names of one day share its market, and are not so many independent pairs.
Days of a shock are rare, and most samples of 20 days hold too few of them: of perfect paths over 100 names with a
common market (correlation 0.3 to 0.6) 6 to 9 in 100 intervals of 80 % differ at p ≤ 0.05, most of them as too wide.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kronos_lab.evaluation.calibration import (
    covered,
    fair_brier,
    fair_crps,
    ideal_coverage,
    normal_covered,
    normal_crps,
    pit,
    reliability,
)
from kronos_lab.evaluation.close_paths import ClosePaths
from kronos_lab.evaluation.inference import HacMean, days_that_overlap, hac_mean, too_little
from kronos_lab.evaluation.manifest import Manifest
from kronos_lab.evaluation.volatility import qlike, realised_variance, volatility_errors

SHARES = {"50": 0.5, "80": 0.8, "90": 0.9}  # of the central intervals
PIT_BINS = 10


@dataclass(frozen=True)
class CalibrationOutcome:
    """What became of the pairs of a sample, and what forecasts of them are measured by.

    The *historical volatility* is the forecast that needs no model: a normal distribution around no change, its
    variance per bar the mean squared log return of the lookback.

    Attributes:
        manifest: the pairs.
        seed: of what PIT draws between two paths.
    """

    manifest: Manifest
    seed: int

    @property
    def horizons(self) -> list[int]:
        """Bars ahead at which returns are measured: the next one, and the whole horizon."""
        return sorted({1, self.manifest.horizon})

    def of_paths(self, paths: ClosePaths) -> dict[str, Any]:
        """Figures of sampled futures, which must hold every bar of the horizon.

        Returns:
            returns (by bars ahead): coverage (by share: mean, ideal, low, high, error, p, days, reason), crps (mean,
            historical, skill, and error and p of the difference), pit (share of outcomes in bins of equal width),
            rise (brier, base_rate, base_rate_brier, skill, bins); volatility (mae, r2, qlike, and error and p of what
            its QLIKE is less than that of the historical volatility).
        """
        return {
            "returns": {str(bars): self._of_returns(paths, bars) for bars in self.horizons},
            "volatility": self._of_volatility(realised_variance(paths.return_SPK).mean(axis=1)),
        }

    def of_history(self) -> dict[str, Any]:
        """Figures of the historical volatility: coverage and CRPS of returns, and volatility, as of paths."""
        returns = {}
        for bars in self.horizons:
            truth_S, deviation_S = self.manifest.close_to_close_return(bars), self._historical_deviation(bars)
            returns[str(bars)] = {
                "coverage": {
                    name: self._coverage(normal_covered(deviation_S, truth_S, share), share, bars)
                    for name, share in SHARES.items()
                },
                "crps": {"mean": self._mean(normal_crps(deviation_S, truth_S), bars).mean},
            }
        return {"returns": returns, "volatility": volatility_errors(self._historical_variance_S, self._realised_S)}

    def _of_returns(self, paths: ClosePaths, bars: int) -> dict[str, Any]:
        value_SP, truth_S = paths.returns(bars).astype(np.float64), self.manifest.close_to_close_return(bars)
        count = value_SP.shape[1]
        pit_S = pit(value_SP, truth_S, self.seed)
        frequency, _ = np.histogram(pit_S[np.isfinite(pit_S)], bins=PIT_BINS, range=(0, 1))
        return {
            "coverage": {
                name: self._coverage(covered(value_SP, truth_S, share), ideal_coverage(count, share), bars)
                for name, share in SHARES.items()
            },
            "crps": self._crps(fair_crps(value_SP, truth_S), bars),
            "pit": (frequency / max(frequency.sum(), 1)).tolist(),
            "rise": _rise(value_SP > 0, np.where(np.isfinite(truth_S) & (truth_S != 0), truth_S > 0, np.nan)),
        }

    def _coverage(self, covered_S: np.ndarray, ideal: float, bars: int) -> dict[str, Any]:
        apart = self._mean(covered_S - ideal, bars)
        mean = apart.mean + ideal
        low, high = mean - apart.detectable, mean + apart.detectable
        return {"mean": mean, "ideal": ideal, "low": low, "high": high, **_sureness(apart)}

    def _crps(self, crps_S: np.ndarray, bars: int) -> dict[str, Any]:
        truth_S = self.manifest.close_to_close_return(bars)
        historical_S = normal_crps(self._historical_deviation(bars), truth_S)
        both_S = np.isfinite(crps_S) & np.isfinite(historical_S)
        own, historical = (self._mean(np.where(both_S, x, np.nan), bars).mean for x in (crps_S, historical_S))
        less = self._mean(crps_S - historical_S, bars)
        return {"mean": own, "historical": historical, "skill": 1 - own / historical, **_sureness(less)}

    def _of_volatility(self, variance_S: np.ndarray) -> dict[str, Any]:
        realised_S = self._realised_S
        less_S = qlike(variance_S, realised_S) - qlike(self._historical_variance_S, realised_S)
        less = self._mean(less_S, self.manifest.horizon)
        return {**volatility_errors(variance_S, realised_S), "less": less.mean, **_sureness(less)}

    def _historical_deviation(self, bars: int) -> np.ndarray:
        return np.sqrt(bars * self.manifest.historical_variance())

    @cached_property
    def _historical_variance_S(self) -> np.ndarray:
        return self.manifest.horizon * self.manifest.historical_variance()

    @cached_property
    def _realised_S(self) -> np.ndarray:
        return self.manifest.realised_variance(self.manifest.horizon)

    def _mean(self, value_S: np.ndarray, bars: int) -> HacMean:
        """Mean of the days' means of something that is known `bars` ahead."""
        manifest = self.manifest
        daily_L = manifest.mean_by_day(value_S)
        reason = too_little(int(daily_L.count()), bars, manifest.stride, manifest.unit)
        return hac_mean(daily_L, days_that_overlap(bars, manifest.stride), reason)


def _rise(rises_SP: np.ndarray, rose_S: np.ndarray) -> dict[str, Any]:
    """What the probability of a rise is worth, over all pairs; bins as rows of `reliability`."""
    known_S = np.isfinite(rose_S)
    base_rate = float(rose_S[known_S].mean()) if known_S.any() else float("nan")
    brier = float(fair_brier(rises_SP[known_S], rose_S[known_S]).mean()) if known_S.any() else float("nan")
    of_base_rate = base_rate * (1 - base_rate)
    return {
        "brier": brier,
        "base_rate": base_rate,
        "base_rate_brier": of_base_rate,
        "skill": 1 - brier / of_base_rate if of_base_rate > 0 else float("nan"),
        "bins": reliability(rises_SP.mean(axis=1), rose_S).to_dict("records"),
    }


def _sureness(mean: HacMean) -> dict[str, Any]:
    """How far a mean is known, without the mean itself and its t."""
    return {name: value for name, value in asdict(mean).items() if name not in {"mean", "t", "detectable"}}
