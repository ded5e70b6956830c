"""Do sample paths spread as the future does? CRPS and coverage of an ensemble.

S forecasts, P paths. Values and truths in any unit; what has no truth is NaN and stays NaN.
"""

import numpy as np

CENTRAL_SHARE = 0.8  # of the futures, what the interval aims at; with few paths the widest one holds less


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


def interval_rank(paths: int) -> int | None:
    """The k of the central interval, from k-th lowest to k-th highest path; None where there are too few paths."""
    return max(1, int((paths + 1) * (1 - CENTRAL_SHARE) / 2 + 1e-9)) if paths >= 2 else None


def ideal_coverage(paths: int) -> float:
    """How often the interval holds the truth where truth and paths come from one distribution.

    The truth is then equally likely to fall into any of the P + 1 gaps between the paths.
    """
    k = interval_rank(paths)
    return float("nan") if k is None else (paths + 1 - 2 * k) / (paths + 1)


def covered(value_SP: np.ndarray, truth_S: np.ndarray) -> np.ndarray:
    """Whether the interval between two order statistics holds the truth: 1.0, 0.0, or NaN, [S]."""
    k = interval_rank(value_SP.shape[1])
    if k is None:
        return np.full(len(value_SP), np.nan)
    ascending_SP = np.sort(value_SP, axis=1)
    inside_S = (ascending_SP[:, k - 1] <= truth_S) & (truth_S <= ascending_SP[:, -k])
    return np.where(np.isfinite(truth_S), inside_S.astype(np.float64), np.nan)
