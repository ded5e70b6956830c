"""CRPS and coverage: by hand, and what a perfect forecaster gets."""

import numpy as np
import pytest

from kronos_lab.evaluation.calibration import covered, fair_crps, ideal_coverage, interval_rank

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
