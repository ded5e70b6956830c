"""Shards are whole whenever forecasting ends, and closed after their time."""

import os
import signal
from typing import Any

import pytest
from universe_forecasts import forecast, tiny_module

from kronos_lab.errors import InputError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_whole_shards_and_says_that_it_is_unfinished(small_market, tmp_path, number):
    from kronos_lab.backtesting.forecasts.forecast_shards import read_manifest

    module = tiny_module()
    working = module.forecaster.paths
    calls = iter(range(5))

    def die_after_five(*inputs: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            os.kill(os.getpid(), number)
        return working(*inputs, **options)

    module.forecaster.paths = die_after_five
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left:  # Lightning tidies up and exits
        forecast(tmp_path, small_market, module=module)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning leaves it ignored
    assert signal.getsignal(signal.SIGTERM) == before
    assert isinstance(left.value.__context__, KeyboardInterrupt)
    import pyarrow.parquet as pq

    assert sum(pq.read_metadata(path).num_rows for path in tmp_path.glob("*.parquet")) == 5 * 20
    with pytest.raises(InputError, match="interrupted"):
        read_manifest(tmp_path)


def test_a_signal_that_comes_while_lightning_begins_is_not_lost(small_market, tmp_path, monkeypatch):
    from kronos_lab.backtesting.forecasts.forecast_batches import ForecastDataModule

    loader = ForecastDataModule.predict_dataloader

    def killed(self):
        os.kill(os.getpid(), signal.SIGTERM)
        return loader(self)

    monkeypatch.setattr(ForecastDataModule, "predict_dataloader", killed)
    with pytest.raises(SystemExit):
        forecast(tmp_path, small_market)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_shard_is_closed_after_its_time_too(small_market, tmp_path):
    from kronos_lab.backtesting.forecasts.forecast_shards import read_manifest

    folder = forecast(tmp_path, small_market, writer={"series_per_shard": 10**6, "seconds_per_shard": 0})
    manifest = read_manifest(folder)
    assert [len(shard["batches"]) for shard in manifest["shards"]] == [1] * manifest["batch_plan"]["batches"]
