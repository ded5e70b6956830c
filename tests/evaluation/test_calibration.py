"""CRPS, coverage, ranks and probabilities: by hand, and what a perfect forecaster gets."""

import numpy as np
import pytest

from kronos_lab.evaluation.calibration import (
    covered,
    fair_brier,
    fair_crps,
    ideal_coverage,
    interval_rank,
    normal_covered,
    normal_crps,
    pit,
    reliability,
)

PATHS = (2, 5, 9, 30)


def perfect(paths: int, forecasts: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Paths and truth from the same distribution, another one for each forecast."""
    random = np.random.default_rng(paths)
    centre, width = random.normal(size=(forecasts, 1)), random.uniform(0.5, 2, (forecasts, 1))
    drawn = centre + width * random.normal(size=(forecasts, paths + 1))
    return drawn[:, :-1], drawn[:, -1]


def test_crps_of_two_paths_by_hand():
    """|1 − 2| and |4 − 2| are 1.5 on average; half the distance of two paths, which is 3, comes off."""
    assert fair_crps(np.array([[4.0, 1.0]]), np.array([2.0])) == pytest.approx([1.5 - 3 / 2])


def test_crps_of_three_paths_by_its_definition():
    value, truth = np.array([[0.3, -0.1, 0.2]]), np.array([0.05])
    pairs = np.abs(value.T - value).sum() / 2
    assert fair_crps(value, truth) == pytest.approx([np.abs(value - truth).mean() - pairs / (3 * 2)])


def test_crps_of_a_perfect_forecaster_does_not_depend_on_the_number_of_paths():
    """Two normal draws of deviation w are 2w / √π apart on average, and the score is half of that: w ~ U(0.5, 2)."""
    scores = [fair_crps(*perfect(paths)).mean() for paths in PATHS]
    assert scores == pytest.approx([1.25 / np.sqrt(np.pi)] * len(PATHS), rel=0.03)


@pytest.mark.parametrize("paths", PATHS)
def test_a_perfect_forecaster_covers_the_ideal(paths):
    assert covered(*perfect(paths)).mean() == pytest.approx(ideal_coverage(paths), abs=0.01)


def test_the_interval_is_the_central_four_fifths_where_there_are_enough_paths():
    assert [interval_rank(paths) for paths in (2, 5, 9, 19, 30, 99)] == [1, 1, 1, 2, 3, 10]
    assert ideal_coverage(5) == pytest.approx(4 / 6)
    assert ideal_coverage(9) == ideal_coverage(19) == ideal_coverage(99) == pytest.approx(0.8)


def test_a_single_path_and_a_missing_truth_say_nothing():
    one = np.array([[0.1]])
    assert np.isnan([*fair_crps(one, np.array([0.2])), *covered(one, np.array([0.2])), ideal_coverage(1)]).all()
    two, missing = np.array([[0.1, 0.3]]), np.array([np.nan])
    assert np.isnan([*fair_crps(two, missing), *covered(two, missing)]).all()


def test_crps_of_a_normal_distribution_is_the_integral_that_defines_it():
    """∫ (F(x) − 1{x ≥ y})² dx, summed over a fine grid."""
    from scipy.stats import norm

    deviation, truth = np.array([0.02, 0.5, 1.0, 3.0]), np.array([0.05, -0.3, 0.0, 2.0])
    grid = np.linspace(-30, 30, 600_001)
    by_hand = [((norm.cdf(grid / d) - (grid >= y)) ** 2).sum() * 1e-4 for d, y in zip(deviation, truth, strict=True)]
    assert normal_crps(deviation, truth) == pytest.approx(by_hand, abs=1e-4)
    assert normal_crps(np.zeros(2), np.array([-0.2, np.nan])) == pytest.approx([0.2, np.nan], nan_ok=True)


def test_intervals_of_other_shares():
    assert [ideal_coverage(100, share) for share in (0.5, 0.8, 0.9)] == pytest.approx([51 / 101, 81 / 101, 91 / 101])
    assert ideal_coverage(5, 0.5) == pytest.approx(4 / 6)  # no narrower one
    value, truth = perfect(30)
    for share in (0.5, 0.8, 0.9):
        assert covered(value, truth, share).mean() == pytest.approx(ideal_coverage(30, share), abs=0.01)
        normal = np.random.default_rng(1).normal(size=40_000)
        assert normal_covered(np.ones(40_000), normal, share).mean() == pytest.approx(share, abs=0.01)
    assert np.isnan(normal_covered(np.array([1.0, np.nan]), np.array([np.nan, 1.0]), 0.5)).all()


@pytest.mark.parametrize("paths", PATHS)
def test_ranks_are_uniform_of_a_perfect_forecaster_alone(paths):
    value, truth = perfect(paths)
    shares = np.histogram(pit(value, truth, seed=1), 10, (0, 1))[0] / len(truth)
    assert shares == pytest.approx([0.1] * 10, abs=0.01)
    centre = value.mean(axis=1, keepdims=True)
    narrow = np.histogram(pit(centre + 0.3 * (value - centre), truth, seed=1), 10, (0, 1))[0] / len(truth)
    assert min(narrow[0], narrow[-1]) > 0.12 and narrow[4:6].max() < 0.1
    np.testing.assert_array_equal(pit(value, truth, seed=1), pit(value, truth, seed=1))


def test_a_rank_lies_between_its_neighbours_and_ties_share_theirs():
    value = np.array([[1.0, 3.0, 2.0]])
    for truth, low, high in ((0.5, 0, 0.25), (1.5, 0.25, 0.5), (2.0, 0.25, 0.75), (9.0, 0.75, 1)):
        ranks = np.array([pit(value, np.array([truth]), seed)[0] for seed in range(60)])
        assert low < ranks.min() and ranks.max() < high
        assert ranks.max() - ranks.min() > 0.8 * (high - low)
    assert np.isnan(pit(value, np.array([np.nan]), 1)).all()


def test_brier_score_by_hand_and_free_of_the_number_of_paths():
    rises = np.array([[True, True, True, False]])
    assert fair_brier(rises, np.array([1.0])) == pytest.approx([1 / 16 - 3 / 16 / 3])
    scores = []
    for paths in PATHS:
        value, truth = perfect(paths)
        scores.append(fair_brier(value > 0, (truth > 0).astype(float)).mean())
    assert scores == pytest.approx([scores[-1]] * len(PATHS), abs=0.005)
    assert np.isnan([*fair_brier(rises[:, :1], np.ones(1)), *fair_brier(rises, np.array([np.nan]))]).all()


def test_reliability_by_hand():
    table = reliability(np.array([0.0, 0.04, 0.55, 1.0, 1.0, 0.5]), np.array([0.0, 1.0, 1.0, 1.0, 0.0, np.nan]))
    assert table.to_dict("list") == {
        "forecast": pytest.approx([0.02, 0.55, 1.0]), "observed": [0.5, 1.0, 0.5], "count": [2, 1, 2],
    }  # fmt: skip
