"""Realised volatility and how good a forecast of it was, by hand."""

import numpy as np
import pytest

from kronos_lab.evaluation.volatility import qlike, realised_variance, volatility_errors


def test_realised_variance_is_the_sum_of_squared_log_returns():
    """Prices 100, 110, 99, 99 and a path that stands still."""
    return_SPK = np.array([[[0.10, -0.01, -0.01], [0.0, 0.0, 0.0]]], dtype=np.float32)
    by_hand = np.log(1.1) ** 2 + np.log(0.9) ** 2
    assert realised_variance(return_SPK) == pytest.approx(np.array([[by_hand, 0.0]]), rel=1e-5)


def test_qlike_by_hand():
    loss = qlike(np.array([1.0, 2.0, 1.0]), np.array([1.0, 1.0, 2.0]))
    assert loss == pytest.approx([0, 0.5 + np.log(2) - 1, 2 - np.log(2) - 1])
    assert loss[2] > loss[1]  # too low a forecast is worse than one too high
    assert np.isnan(qlike(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, np.nan]))).all()


def test_errors_are_of_volatilities():
    realised = np.array([0.01, 0.04, 0.09, np.nan])
    errors = volatility_errors(np.array([0.04, 0.04, 0.04, 0.04]), realised)
    assert errors["mae"] == pytest.approx((0.1 + 0 + 0.1) / 3)
    assert errors["r2"] == pytest.approx(0)
    assert errors["qlike"] == pytest.approx(np.nanmean(qlike(np.full(4, 0.04), realised)))
    assert volatility_errors(realised, realised) == pytest.approx({"mae": 0, "r2": 1, "qlike": 0})
    assert volatility_errors(4 * realised, realised)["r2"] < 0
    assert np.isnan(list(volatility_errors(realised, np.full(4, np.nan)).values())).all()
