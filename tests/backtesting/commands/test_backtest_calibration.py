"""A backtest's calibration: of a sample of what is traded, forecast once."""

import pandas as pd
import pytest
from backtest_commands import finished, metrics_of


def test_calibration_is_of_a_sample_of_what_is_traded_as_learned_and_as_traded(runs, small_market):
    from kronos_lab.backtesting.calibration_sample import read_close_paths
    from kronos_lab.backtesting.forecasts.forecast_shards import read_forecasts
    from kronos_lab.evaluation.calibration_figures import CalibrationOutcome
    from kronos_lab.evaluation.manifest import Manifest, ManifestSize
    from kronos_lab.runs.provenance import WindowSettings

    folder = finished(runs, "csi300")
    window = WindowSettings(lookback=30, horizon=4, max_gap=20, clip=5.0, rescale=False)
    sample = Manifest(small_market, "csi300", window, "2024-12-02", None, ManifestSize(4, 5))
    signals = pd.read_parquet(folder / "signals.parquet")[["date", "symbol"]]
    pairs = list(zip(sample.stamp_S, sample.symbol_S, strict=True))
    assert len(pairs) == 20 and set(pairs) < set(signals.itertuples(index=False, name=None))
    calibration = metrics_of(folder)["calibration"]
    assert calibration["sample"]["fingerprint"] == sample.fingerprint
    assert calibration["model"]["sampling"] == {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "stratified": False}
    assert calibration["trading"]["sampling"] == {"temperature": 0.6, "top_p": 0.9, "top_k": 0, "stratified": False}
    for name in ("model", "trading"):
        paths = read_close_paths([[folder / "calibration" / name]], sample)
        for shard in read_forecasts(folder / "calibration" / name, ("close",)):
            for symbol, date, last, close_PH in zip(
                shard.symbol_B, shard.date_B, shard.last_close_B, shard.paths["close"], strict=True
            ):
                of_pair_PK = paths.return_SPK[pairs.index((pd.Timestamp(date), symbol))]
                assert of_pair_PK == pytest.approx(close_PH / last - 1, abs=1e-6) and of_pair_PK.shape == (10, 4)
        crps = CalibrationOutcome(sample, 100).of_paths(paths)["returns"]["4"]["crps"]["mean"]
        assert calibration[name]["returns"]["4"]["crps"]["mean"] == pytest.approx(crps)
    page = (folder / "report.html").read_text()
    assert page.index("<h2>Calibration</h2>") < page.index("Over 4 sessions the central 80 %")
    assert "As traded (temperature 0.6, top_p 0.9), 4-session" in page
    assert (folder / "figures" / "calibration.png").exists()
    assert "calibration 20 × 10 paths, sampled as traded" in runs["csi300"]["out"]


def test_the_sample_is_forecast_once_and_not_where_none_is_asked_for(runs):
    first, again = (metrics_of(finished(runs, name))["calibration"] for name in ("csi300", "cheaper"))
    assert f"batches were made by {finished(runs, 'csi300') / 'calibration'}\n" in runs["cheaper"]["out"]
    assert first == again
    without = finished(runs, "all")
    assert "calibration" not in metrics_of(without)
    assert not (without / "calibration").exists() and not (without / "figures" / "calibration.png").exists()
    assert "<h2>Calibration</h2>" not in (without / "report.html").read_text()
