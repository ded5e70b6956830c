"""Forecasts of the small market's sample whose calibration is known, as their paths are made up."""

from typing import Any

import numpy as np
import pytest

HORIZON, PATHS = 4, 60


def outcome_of(market: Any, width: float = 1.0, days: int | None = 40, known: bool = True) -> tuple[Any, Any]:
    """An outcome, and paths `width` times as wide: both walk with a volatility that the past does not tell."""
    from kronos_lab.evaluation.calibration_figures import CalibrationOutcome
    from kronos_lab.evaluation.close_paths import ClosePaths
    from kronos_lab.evaluation.manifest import Manifest, ManifestSize
    from kronos_lab.evaluation.volatility import realised_variance
    from kronos_lab.runs.provenance import WindowSettings

    window = WindowSettings(20, HORIZON, max_gap=5, clip=5.0, rescale=False)
    manifest = Manifest(market, "csi800", window, "2024-01-02", None, ManifestSize(days, 20))
    random = np.random.default_rng(4)
    deviation_S = random.uniform(0.005, 0.04, len(manifest))
    step_SPK = deviation_S[:, None, None] * random.normal(size=(len(manifest), PATHS + 1, HORIZON))
    return_SPK = np.expm1(np.cumsum(step_SPK, axis=2))
    truth_SK = return_SPK[:, -1] if known else np.full_like(return_SPK[:, -1], np.nan)
    manifest.close_to_close_return = lambda bars: truth_SK[:, bars - 1]
    manifest.realised_variance = lambda bars: realised_variance(truth_SK[:, None])[:, 0]
    manifest.historical_variance = lambda: np.full(len(manifest), (deviation_S**2).mean())
    paths = ClosePaths(tuple(range(1, HORIZON + 1)), (width * return_SPK[:, :-1]).astype(np.float32))
    return CalibrationOutcome(manifest, seed=1), paths


def test_a_perfect_forecaster_is_told_from_nothing_and_beats_the_past(small_market):
    outcome, paths = outcome_of(small_market)
    figures, past = outcome.of_paths(paths), outcome.of_history()
    for bars in ("1", "4"):
        of_returns = figures["returns"][bars]
        for share, aim in (("50", 31 / 61), ("80", 49 / 61), ("90", 55 / 61)):
            held = of_returns["coverage"][share]
            assert held["ideal"] == pytest.approx(aim)
            assert held["low"] < held["ideal"] < held["high"] and held["p"] > 0.05
            assert held["high"] - held["low"] < 0.15 and held["days"] == 40 and not held["reason"]
        assert of_returns["pit"] == pytest.approx([0.1] * 10, abs=0.035) and sum(of_returns["pit"]) == pytest.approx(1)
        crps = of_returns["crps"]
        assert crps["skill"] > 0.02 and crps["p"] < 0.05
        assert crps["historical"] == pytest.approx(past["returns"][bars]["crps"]["mean"])
        assert crps["skill"] == pytest.approx(1 - crps["mean"] / crps["historical"])
        rise = of_returns["rise"]
        assert rise["base_rate_brier"] == pytest.approx(rise["base_rate"] * (1 - rise["base_rate"]))
        assert abs(rise["skill"]) < 0.03  # no path knows which way
        assert sum(row["count"] for row in rise["bins"]) == len(outcome.manifest)
    volatility = figures["volatility"]
    assert volatility["r2"] > 0.4 and past["volatility"]["r2"] == pytest.approx(0, abs=0.1)
    assert volatility["qlike"] < past["volatility"]["qlike"] and volatility["p"] < 0.05
    assert volatility["less"] < 0


@pytest.mark.parametrize(("width", "sign"), [(0.5, -1), (2.0, 1)])
def test_paths_too_narrow_and_too_wide_are_told(small_market, width, sign):
    outcome, paths = outcome_of(small_market, width)
    figures = outcome.of_paths(paths)["returns"]["4"]
    for held in figures["coverage"].values():
        assert sign * (held["mean"] - held["ideal"]) > 0 and held["p"] < 0.05
        assert not held["low"] <= held["ideal"] <= held["high"]
    edges, middle = figures["pit"][0] + figures["pit"][-1], sum(figures["pit"][4:6])
    assert sign * (middle - edges) > 0.1


def test_few_days_and_unknown_outcomes_say_why_there_is_no_p(small_market):
    outcome, paths = outcome_of(small_market, days=6)
    held = outcome.of_paths(paths)["returns"]["4"]["coverage"]["80"]
    assert np.isfinite([held["mean"], held["error"]]).all() and np.isnan([held["p"], held["low"]]).all()
    assert "12 are needed" in held["reason"]
    outcome, paths = outcome_of(small_market, days=6, known=False)
    figures = outcome.of_paths(paths)
    assert np.isnan([figures["returns"]["1"]["crps"]["mean"], figures["volatility"]["mae"]]).all()
    assert figures["returns"]["1"]["rise"]["bins"] == []
