"""What is sampled for calibration, and what is said of it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

LEARNED, TRADED = (1.0, 1.0, 0), (0.6, 0.9, 0)


def sample(market: Any, first: str, last: str, days: int | None = 5, traded: tuple[Any, ...] = TRADED) -> Any:
    from kronos_lab.backtesting.calibration_sample import CalibrationSettings
    from kronos_lab.forecasting.token_sampling import Sampling
    from kronos_lab.runs.provenance import WindowSettings

    window = WindowSettings(lookback=24, horizon=4, max_gap=20, clip=5.0, rescale=False)
    signal_days = market.calendar[(market.calendar >= first) & (market.calendar <= last)]
    settings = CalibrationSettings(days=days, names=6, paths=10)
    return settings.sample(market, "csi300", window, signal_days, Sampling(*traded))


def test_the_sample_is_of_what_is_forecast_and_its_future_is_known(small_market):
    from kronos_lab.backtesting.forecasts.universe_forecast import universe_windows
    from kronos_lab.runs.provenance import WindowSettings

    window = WindowSettings(lookback=24, horizon=4, max_gap=20, clip=5.0, rescale=False)
    windows, _ = universe_windows(small_market, "csi300", window, "2024-10-01", "2024-12-31")
    manifest = sample(small_market, "2024-10-01", "2024-12-31").manifest
    assert set(manifest.row_S) < set(windows.signal_rows(np.arange(len(windows))))
    assert len(manifest.days) == 5 and len(manifest) == 30
    # A backtest whose days are all before the last horizon has its last days in the sample; one up to the end has not.
    every = sample(small_market, "2024-12-02", "2024-12-06", days=None).manifest
    assert every.days[-1] == pd.Timestamp("2024-12-06") and np.isfinite(every.close_to_close_return(4)).all()
    newest = sample(small_market, "2024-12-02", "2025-01-10", days=None).manifest
    assert newest.days[-1] == small_market.calendar[-6]


def test_the_sample_is_fixed_whatever_is_traded(small_market):
    one = sample(small_market, "2024-10-01", "2024-12-31")
    other = sample(small_market, "2024-10-01", "2024-12-31", traded=(0.8, 1.0, 5))
    assert one.manifest.fingerprint == other.manifest.fingerprint
    assert list(one.samplings) == ["model", "trading"] and one.samplings["model"] == other.samplings["model"]
    assert other.samplings["trading"].top_k == 5
    assert list(sample(small_market, "2024-10-01", "2024-12-31", traded=LEARNED).samplings) == ["model"]
    # Spread can only be measured on independent paths.
    stratified = sample(small_market, "2024-10-01", "2024-12-31", traded=(0.8, 1.0, 5, True))
    assert stratified.samplings == other.samplings


def test_without_a_complete_horizon_it_is_left_out_and_says_why(small_market, tmp_path, caplog):
    from kronos_lab.backtesting.report.calibration_section import calibration_section

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("forecast")

    left_out = sample(small_market, "2025-01-06", "2025-01-10")
    with caplog.at_level("INFO"):
        left_out.forecast(tmp_path, never)
    why = "no signal day from 2025-01-06 to 2025-01-10 is 4 + 1 bars before the end of market small"
    assert f"calibration left out: {why}" in caplog.text
    assert left_out.measure([[tmp_path]], 1) == {"left_out": why}
    section = calibration_section({"calibration": {"left_out": why}})
    assert section is not None and not section.tables
    assert section.sentences == [f"Calibration was left out: {why}."]

    none = sample(small_market, "2024-10-01", "2024-12-31", days=0)
    none.forecast(tmp_path, never)
    assert none.measure([[tmp_path]], 1) is None and calibration_section({}) is None


def figures(mean: float, p: float, skill: float = -0.1) -> dict[str, Any]:
    held = {"mean": mean, "ideal": 0.8, "low": mean - 0.05, "high": mean + 0.05, "p": p, "reason": "9 days are few"}
    crps = {"mean": 0.02, "skill": skill, "p": p}
    rise = {"brier": 0.26, "base_rate": 0.5, "base_rate_brier": 0.25, "bins": []}
    pit = [0.3, *[0.05] * 8, 0.3]
    return {"coverage": dict.fromkeys(("50", "80", "90"), held), "crps": crps, "rise": rise, "pit": pit}


@pytest.mark.parametrize(
    ("of_returns", "words"),
    [
        (
            figures(0.6, 0.003),
            "60.0% of the outcomes, a perfect forecaster's 80.0%: too narrow, or off the centre",
        ),
        (figures(0.6, 0.003), "(p 0.003; 30% lie in the lowest tenth of the paths, 30% in the highest). Their CRPS"),
        (figures(0.95, 0.01, skill=0.2), "too wide (p 0.01). Their CRPS is 20.0% lower than that of the historical"),
        (figures(0.78, 0.4), "no difference beyond error (p 0.40, it holds 73.0% to 83.0%)"),
        (figures(0.6, float("nan")), "whether that is chance cannot be said (9 days are few)"),
    ],
)
def test_the_sentence_says_what_the_figures_do(of_returns, words):
    from kronos_lab.backtesting.conclusions import calibration_sentences

    (said,) = calibration_sentences({"calibration": {"model": {"returns": {"4": of_returns}}, "sample": {}}})
    assert said.startswith("Over 4 sessions the central 80 % of paths sampled as the model learned holds")
    assert words in said
