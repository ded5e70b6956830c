"""Scores by hand, in return units, and their way into a frame and back."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.scores.signals import (
    CloseScale,
    ExpectedReturn,
    OriginalZ,
    PathQuantile,
    ReturnOverVolatility,
    RiseProbability,
    check_signal,
    long_format,
    score_frame,
)
from kronos_lab.errors import InputError

LAST_CLOSE = np.array([10.0, 4.0], dtype=np.float32)
CLOSE_BPH = np.array([[[10.5, 11.0], [9.0, 9.0], [10.0, 13.0]], [[4.0, 4.0], [4.0, 2.0], [4.0, 8.0]]], dtype=np.float32)


def test_expected_return_is_the_mean_over_paths():
    np.testing.assert_allclose(ExpectedReturn(horizon=2)(CLOSE_BPH, LAST_CLOSE), [0.1, 1 / 6])
    np.testing.assert_allclose(ExpectedReturn(horizon=1)(CLOSE_BPH, LAST_CLOSE), [-0.05 / 3, 0.0], atol=1e-15)


def test_path_quantile_and_probability_of_a_rise():
    np.testing.assert_allclose(PathQuantile(2, 0.5)(CLOSE_BPH, LAST_CLOSE), [0.1, 0.0])
    np.testing.assert_allclose(PathQuantile(2, 0.0)(CLOSE_BPH, LAST_CLOSE), [-0.1, -0.5])
    np.testing.assert_allclose(RiseProbability(2)(CLOSE_BPH, LAST_CLOSE), [2 / 3, 1 / 3])


def test_return_over_volatility_is_in_units_of_the_paths_own_deviation():
    # Returns 0.1, −0.1, 0.3: mean 0.1, sample deviation 0.2; and 0, −0.5, 1: mean 1/6, deviation √(7/12).
    expected = [0.5, (1 / 6) / (7 / 12) ** 0.5]
    np.testing.assert_allclose(ReturnOverVolatility(2)(CLOSE_BPH, LAST_CLOSE), expected)


@pytest.mark.filterwarnings("error")
def test_paths_that_end_alike_have_no_opinion():
    alike = np.full((2, 3, 1), 1.1) * LAST_CLOSE[:, None, None]  # three times 0.1 has a rounded mean
    assert np.isnan(ReturnOverVolatility(1)(alike, LAST_CLOSE)).all()
    check_signal(ReturnOverVolatility(1), paths=2, horizon=1)


def test_one_path_has_no_volatility_and_is_refused_before_the_forecasts():
    with pytest.raises(InputError, match=r"forecast\.paths=1: signal=return_over_volatility needs 2 or more"):
        check_signal(ReturnOverVolatility(2), paths=1, horizon=2)


def test_original_scores_by_hand():
    """Closes averaged over the paths: 9.8333, 11 and 4, 4.6667; lookbacks of mean 9, 5 and deviation 2, 0.5."""
    scale = CloseScale(np.array([9.0, 5.0]), np.array([2.0, 0.5]))
    expected = {
        "last": [0.5, 4 / 3],
        "mean": [(59 / 6 + 11) / 4 - 5, 2 / 3],
        "max": [0.5, 4 / 3],
        "min": [-1 / 12, 0.0],
    }
    for which, scores in expected.items():
        found = OriginalZ(2, which, clip=5.0)(CLOSE_BPH, LAST_CLOSE, scale)
        np.testing.assert_allclose(found, scores, atol=1e-12, err_msg=which)
    np.testing.assert_allclose(OriginalZ(1, "last", 5.0)(CLOSE_BPH, LAST_CLOSE, scale), [-1 / 12, 0.0], atol=1e-12)


@pytest.mark.parametrize("which", ["last", "mean", "max", "min"])
def test_original_scores_are_those_in_the_normalised_space_of_the_model(which):
    """As the original has them: its predictions never leave that space, where the last close is clipped."""
    rng = np.random.default_rng(3)
    lookback_BC = 20 + rng.normal(size=(4, 90)).cumsum(axis=1)
    lookback_BC[0, :-1], lookback_BC[0, -1] = 20 + rng.normal(size=89) * 0.01, 30  # 9 deviations
    mean_B, deviation_B = lookback_BC.mean(axis=1), lookback_BC.std(axis=1) + 1e-5
    z_BPH = rng.normal(size=(4, 5, 10))
    last_z_B = ((lookback_BC[:, -1] - mean_B) / deviation_B).clip(-5, 5)
    mean_z_BH = z_BPH.mean(axis=1)
    expected = (mean_z_BH[:, -1] if which == "last" else getattr(mean_z_BH, which)(axis=1)) - last_z_B
    close_BPH = z_BPH * deviation_B[:, None, None] + mean_B[:, None, None]
    found = OriginalZ(10, which, clip=5.0)(close_BPH, lookback_BC[:, -1], CloseScale(mean_B, deviation_B))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert last_z_B[0] == 5


def test_an_original_score_there_is_none_of_is_refused():
    with pytest.raises(InputError, match=r"signal\.which=median: choose one of last, mean, max, min"):
        OriginalZ(2, "median", 5.0)
    with pytest.raises(InputError, match=r"signal\.clip=0 must be a number above 0"):
        OriginalZ(2, "last", 0)
    with pytest.raises(InputError, match=r"signal\.horizon=3 is not within the 2 forecast bars"):
        check_signal(OriginalZ(3, "last", 5.0), paths=1, horizon=2)


@pytest.mark.parametrize(
    "signal", [ExpectedReturn(2), PathQuantile(2, 0.3), RiseProbability(2), ReturnOverVolatility(2)]
)
def test_scores_do_not_depend_on_the_price_level(signal):
    scaled = signal(CLOSE_BPH * 8, LAST_CLOSE * 8)
    np.testing.assert_array_equal(scaled, signal(CLOSE_BPH, LAST_CLOSE))


def test_a_horizon_outside_the_paths_is_refused_before_and_after_the_forecasts():
    with pytest.raises(InputError, match=r"signal\.horizon=3 is not within the 2 forecast bars"):
        ExpectedReturn(3)(CLOSE_BPH, LAST_CLOSE)
    with pytest.raises(InputError, match=r"signal\.horizon=3 is not within the 2 forecast bars"):
        check_signal(ExpectedReturn(3), paths=5, horizon=2)
    check_signal(PathQuantile(2, 0.5), paths=5, horizon=2)


@pytest.mark.parametrize("horizon", [0, 1.5, "2", None])
def test_a_horizon_that_counts_nothing_is_refused(horizon):
    for make in (
        ExpectedReturn,
        RiseProbability,
        ReturnOverVolatility,
        lambda horizon: PathQuantile(horizon, 0.5),
        lambda horizon: OriginalZ(horizon, "last", 5.0),
    ):
        with pytest.raises(InputError, match=r"signal\.horizon=.* must be a whole number, at least 1"):
            make(horizon)


@pytest.mark.parametrize("quantile", [5, "half", float("nan")])
def test_a_quantile_outside_0_to_1_is_refused(quantile):
    with pytest.raises(InputError, match=rf"signal\.quantile={quantile} is not between 0 and 1"):
        PathQuantile(1, quantile)


def test_scores_become_a_sorted_frame_and_a_sorted_table():
    dates = np.array(["2024-07-02", "2024-07-01", "2024-07-01"], dtype="datetime64[ns]")
    frame = score_frame(dates, np.array(["B", "B", "A"]), np.array([0.3, 0.2, 0.1]))
    assert frame.columns.to_list() == ["A", "B"]
    assert frame.loc["2024-07-01"].to_list() == [0.1, 0.2]
    assert np.isnan(frame.loc["2024-07-02", "A"])
    table = long_format(frame)
    assert table.columns.to_list() == ["date", "symbol", "score"]
    assert table["symbol"].to_list() == ["A", "B", "B"]
    pd.testing.assert_frame_equal(score_frame(table["date"], table["symbol"], table["score"]), frame)


def test_a_series_scored_twice_is_an_error():
    day = np.array(["2024-07-01", "2024-07-01"], dtype="datetime64[ns]")
    with pytest.raises(InputError, match="A on 2024-07-01"):
        score_frame(day, np.array(["A", "A"]), np.array([1.0, 2.0]))
