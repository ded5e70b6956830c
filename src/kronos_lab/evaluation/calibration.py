"""Do sample paths spread as the future does? CRPS, coverage, ranks and probabilities of an ensemble.

S forecasts, P paths. Values and truths in any unit; what has no truth is NaN and stays NaN.
"""

import numpy as np
import pandas as pd
from scipy.stats import norm

CENTRAL_SHARE = 0.8  # of the futures, what the interval aims at; with few paths the widest one holds less
PROBABILITY_BINS = 10  # of equal width


def fair_crps(value_SP: np.ndarray, truth_S: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of each forecast in the unit of the values, lower is better: float64 [S].

    mean |x − y| − Σ_i<j |x_i − x_j| / (P (P − 1)): the estimator whose expectation does not depend on the number of
    paths (Ferro, 2014, "Fair scores for ensemble forecasts"). NaN for a single path, whose spread is unknown.
    """
    paths = value_SP.shape[1]
    if paths == 1:
        return np.full(len(value_SP), np.nan)
    ascending_SP = np.sort(value_SP.astype(np.float64), axis=1)
    distance_S = np.abs(ascending_SP - truth_S[:, None]).mean(axis=1)
    weight_P = 2 * np.arange(1, paths + 1) - paths - 1  # how often x_(i) is the larger of two, minus the smaller
    return distance_S - ascending_SP @ weight_P / (paths * (paths - 1))


def normal_crps(deviation_S: np.ndarray, truth_S: np.ndarray) -> np.ndarray:
    """CRPS of normal distributions around 0, in closed form (Gneiting and Raftery, 2007): float64 [S].

    A deviation of 0 is a point forecast, whose score is its error.
    """
    known_S = deviation_S > 0
    z_S = truth_S / np.where(known_S, deviation_S, 1.0)
    score_S = deviation_S * (z_S * (2 * norm.cdf(z_S) - 1) + 2 * norm.pdf(z_S) - 1 / np.sqrt(np.pi))
    return np.where(known_S, score_S, np.abs(truth_S))


def interval_rank(paths: int, share: float = CENTRAL_SHARE) -> int | None:
    """The k of the central interval, from k-th lowest to k-th highest path; None where there are too few paths."""
    return max(1, int((paths + 1) * (1 - share) / 2 + 1e-9)) if paths >= 2 else None


def ideal_coverage(paths: int, share: float = CENTRAL_SHARE) -> float:
    """How often the interval holds the truth where truth and paths come from one distribution.

    The truth is then equally likely to fall into any of the P + 1 gaps between the paths.
    """
    k = interval_rank(paths, share)
    return float("nan") if k is None else (paths + 1 - 2 * k) / (paths + 1)


def covered(value_SP: np.ndarray, truth_S: np.ndarray, share: float = CENTRAL_SHARE) -> np.ndarray:
    """Whether the central interval between two order statistics holds the truth: 1.0, 0.0, or NaN, [S]."""
    k = interval_rank(value_SP.shape[1], share)
    if k is None:
        return np.full(len(value_SP), np.nan)
    ascending_SP = np.sort(value_SP, axis=1)
    inside_S = (ascending_SP[:, k - 1] <= truth_S) & (truth_S <= ascending_SP[:, -k])
    return np.where(np.isfinite(truth_S), inside_S.astype(np.float64), np.nan)


def normal_covered(deviation_S: np.ndarray, truth_S: np.ndarray, share: float) -> np.ndarray:
    """Whether the central interval of a normal distribution around 0 holds the truth: 1.0, 0.0, or NaN, [S]."""
    inside_S = np.abs(truth_S) <= norm.ppf((1 + share) / 2) * deviation_S
    return np.where(np.isfinite(truth_S) & np.isfinite(deviation_S), inside_S.astype(np.float64), np.nan)


def pit(value_SP: np.ndarray, truth_S: np.ndarray, seed: int) -> np.ndarray:
    """Probability integral transform of each truth, from its rank among the paths: float64 [S].

    (paths below + v (paths equal + 1)) / (P + 1) with v ~ U(0, 1): the rank alone takes P + 1 values, which no number
    of equal bins divides. Uniform on (0, 1) where truth and paths come from one distribution; more at both ends where
    paths spread too little.

    Args:
        value_SP: sampled values.
        truth_S: what came; NaN has no rank.
        seed: of v.
    """
    below_S = (value_SP < truth_S[:, None]).sum(axis=1)
    equal_S = (value_SP == truth_S[:, None]).sum(axis=1)
    within_S = np.random.default_rng(seed).random(len(truth_S))
    rank_S = (below_S + within_S * (equal_S + 1)) / (value_SP.shape[1] + 1)
    return np.where(np.isfinite(truth_S), rank_S, np.nan)


def fair_brier(event_SP: np.ndarray, happened_S: np.ndarray) -> np.ndarray:
    """Brier score of the share of paths on which an event happens, lower is better: float64 [S].

    (p − y)² − p (1 − p) / (P − 1): as with `fair_crps`, what few paths add by chance is taken off (Ferro, 2014). NaN
    for a single path.

    Args:
        event_SP: bool, whether the event happens on the path.
        happened_S: 1.0 where it did happen, 0.0 where not, NaN where nobody knows.
    """
    paths = event_SP.shape[1]
    if paths == 1:
        return np.full(len(event_SP), np.nan)
    probability_S = event_SP.mean(axis=1)
    return (probability_S - happened_S) ** 2 - probability_S * (1 - probability_S) / (paths - 1)


def reliability(probability_S: np.ndarray, happened_S: np.ndarray) -> pd.DataFrame:
    """How often it happened where that probability was forecast, in bins of equal width over [0, 1].

    Args:
        probability_S: forecast probabilities.
        happened_S: 1.0, 0.0, or NaN where nobody knows.

    Returns:
        A row for each bin that has forecasts: forecast (their mean), observed (share that happened), count.
    """
    known_S = np.isfinite(probability_S) & np.isfinite(happened_S)
    bin_S = np.minimum((probability_S[known_S] * PROBABILITY_BINS).astype(int), PROBABILITY_BINS - 1)
    pairs = pd.DataFrame({"forecast": probability_S[known_S], "observed": happened_S[known_S]}).groupby(bin_S)
    return pairs.mean().assign(count=pairs.size())
