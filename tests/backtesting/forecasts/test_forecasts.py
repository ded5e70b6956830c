"""Forecasting a universe: what a score may know, random numbers, memory, what is stored, two ranks."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from universe_forecasts import END, HORIZON, LOOKBACK, PATHS, START, forecast, paths, scores, tiny_module

from kronos_lab.errors import InputError


@pytest.fixture(scope="module")
def forecasts(small_market, tmp_path_factory) -> Path:
    return forecast(tmp_path_factory.mktemp("forecasts"), small_market)


def test_every_member_with_a_bar_is_scored_on_every_day_the_newest_included(forecasts, small_market):
    found = scores(forecasts)
    symbols = small_market.symbols("csi300")
    close = small_market.wide(["close"], symbols, START, END)["close"]
    member = small_market.member_LN("csi300", symbols)[-len(close) :]
    expected = close.where(member).dropna(axis=1, how="all")
    assert found.index[-1] == small_market.calendar[-1]
    pd.testing.assert_frame_equal(found.notna(), expected.notna(), check_freq=False)


def test_scores_are_returns_from_the_last_close_of_the_store(forecasts, small_market):
    from kronos_lab.backtesting.forecasts.forecast_shards import read_forecasts

    shard = next(read_forecasts(forecasts))
    close = small_market.wide(["close"], small_market.symbols("csi300"))["close"]
    stored = [close.loc[day, symbol] for symbol, day in zip(shard.symbol_B, shard.date_B, strict=True)]
    np.testing.assert_array_equal(shard.last_close_B, np.float32(stored))
    assert shard.paths["close"].shape[1:] == (PATHS, HORIZON)


def test_original_scores_are_in_deviations_of_the_bars_that_were_seen(forecasts, small_market, tmp_path):
    """The stored scale is the lookback's own; forecasts written before it was kept say what to do."""
    import pyarrow.parquet as pq

    from kronos_lab.backtesting.forecasts.forecast_shards import read_forecasts, score_forecasts
    from kronos_lab.backtesting.scores.signals import OriginalZ

    shard, bars = next(read_forecasts(forecasts)), small_market.bars("csi300")
    for symbol, day, mean, deviation in zip(shard.symbol_B, shard.date_B, *shard.close_scale, strict=True):
        rows = bars.rows_of(symbol)
        last = rows.start + np.searchsorted(bars.position_M[rows], small_market.calendar.get_loc(day))
        close = bars.values_MF[last + 1 - LOOKBACK : last + 1, 3].astype(np.float64)
        np.testing.assert_allclose([mean, deviation], [close.mean(), close.std() + 1e-5], rtol=1e-6)
    found = score_forecasts([forecasts], OriginalZ(HORIZON, "mean", clip=5.0))
    assert found.notna().equals(scores(forecasts).notna())

    for file in forecasts.iterdir():
        if file.suffix == ".parquet":
            pq.write_table(pq.read_table(file).drop(["close_mean", "close_deviation"]), tmp_path / file.name)
        else:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    pd.testing.assert_frame_equal(scores(tmp_path), scores(forecasts), check_exact=True)
    with pytest.raises(InputError, match="signal=original_z needs close_mean and close_deviation"):
        score_forecasts([tmp_path], OriginalZ(HORIZON, "mean", clip=5.0))


def test_changing_tomorrows_bar_never_changes_todays_score(forecasts, small_market, tmp_path):
    from kronos_lab.data.bars import Bars

    bars = small_market.bars("csi300")
    today = small_market.calendar[-6]
    later = bars.position_M > small_market.calendar.get_loc(today)
    values = np.array(bars.values_MF)
    values[later] *= 1.05
    changed = Bars(bars.symbols, values, bars.position_M, bars.offsets, bars.calendar, bars.session_L)
    before, after = scores(forecasts), scores(forecast(tmp_path, small_market, changed))
    pd.testing.assert_frame_equal(before.loc[:today], after.loc[:today], check_exact=True)
    assert not before.loc[today:].iloc[1:].equals(after.loc[today:].iloc[1:])


def test_a_stock_that_leaves_the_universe_tomorrow_changes_nothing_today(forecasts, small_market, tmp_path):
    spans, today = small_market.spans("csi300"), small_market.calendar[-6]
    leaver = scores(forecasts).loc[today:].dropna(axis=1).columns[0]
    spans.loc[(spans["symbol"] == leaver) & (spans["end"] > today), "end"] = today
    before, after = scores(forecasts), scores(forecast(tmp_path, small_market, spans=spans))
    assert after.loc[today:, leaver].notna().to_list() == [True] + 5 * [False]
    # Other batches, so other sums: equal but for rounding.
    pd.testing.assert_frame_equal(before.loc[:today], after.loc[:today], rtol=1e-4, atol=1e-6)
    others = before.columns.drop(leaver)
    pd.testing.assert_frame_equal(before[others], after[others], rtol=1e-4, atol=1e-6)


def test_scores_up_to_a_day_do_not_depend_on_how_many_days_follow(forecasts, small_market, tmp_path):
    today = small_market.calendar[-6]
    shorter = scores(forecast(tmp_path, small_market, end=f"{today:%Y-%m-%d}"))
    pd.testing.assert_frame_equal(scores(forecasts).loc[:today], shorter, rtol=1e-4, atol=1e-6, check_freq=False)


@pytest.mark.parametrize("batch_size", [PATHS, 7 * PATHS, 1000])
def test_paths_are_equal_across_batch_sizes(forecasts, small_market, tmp_path, batch_size):
    expected, found = paths(forecasts), paths(forecast(tmp_path, small_market, batch_size=batch_size))
    assert expected.keys() == found.keys()
    equal = [np.allclose(expected[series], found[series], rtol=1e-4) for series in expected]
    assert np.mean(equal) >= 0.9999


def test_a_stock_has_the_same_forecast_in_another_universe(forecasts, small_market, tmp_path):
    expected, found = paths(forecasts), paths(forecast(tmp_path, small_market, universe="csi800"))
    assert expected.keys() < found.keys()
    equal = [np.allclose(expected[series], found[series], rtol=1e-4) for series in expected]
    assert np.mean(equal) >= 0.9999


def test_the_same_plan_repeats_to_the_last_bit_and_another_seed_does_not(forecasts, small_market, tmp_path):
    expected = paths(forecasts)
    again = paths(forecast(tmp_path / "again", small_market))
    other = paths(forecast(tmp_path / "other", small_market, seed=8))
    assert all(np.array_equal(expected[series], again[series]) for series in expected)
    assert not any(np.array_equal(expected[series], other[series]) for series in expected)


def test_the_manifest_tells_what_was_done(forecasts):
    manifest = json.loads((forecasts / "manifest.json").read_text())
    plan = manifest["batch_plan"]
    assert manifest["finished"]
    assert manifest["made_by"] == "test"
    assert (plan["series_per_batch"], plan["paths"], plan["seed"]) == (20, PATHS, 7)
    assert sum(shard["series"] for shard in manifest["shards"]) == plan["series"]
    assert len(manifest["shards"]) > 1
    assert not list(forecasts.glob("*.partial"))


class ForgetfulMemory:
    """A forecaster that runs out of memory on more series than it can hold."""

    def __init__(self, forecaster: Any, most: int, error: Exception) -> None:
        self.forecaster, self.most, self.error = forecaster, most, error
        self.tokenizer, self.predictor = forecaster.tokenizer, forecaster.predictor
        self.rescale = forecaster.rescale

    def paths(self, context: Any, *others: Any, **options: Any) -> Any:
        if len(context) > self.most:
            raise self.error
        return self.forecaster.paths(context, *others, **options)


def cuda_error() -> Exception:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory")


def cpu_error() -> Exception:
    return RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")


@pytest.mark.parametrize("error", [cuda_error, cpu_error])
def test_batches_are_halved_when_memory_runs_out_and_nothing_is_lost(forecasts, small_market, tmp_path, error):
    module = tiny_module()
    module.forecaster = ForgetfulMemory(module.forecaster, most=6, error=error())
    folder = forecast(tmp_path, small_market, module=module)
    pd.testing.assert_frame_equal(scores(folder), scores(forecasts), rtol=1e-4, atol=1e-6)
    shards = json.loads((folder / "manifest.json").read_text())["shards"]
    parts = [batch["parts"] for shard in shards for batch in shard["batches"]]
    assert parts[0] == [5, 5, 5, 5]


def test_one_path_that_does_not_fit_is_one_clear_line(small_market, tmp_path):
    module = tiny_module()
    module.forecaster = ForgetfulMemory(module.forecaster, most=0, error=cpu_error())
    with pytest.raises(InputError, match="one path of one series does not fit into memory"):
        forecast(tmp_path, small_market, module=module)


def test_another_runtime_error_is_not_taken_for_lack_of_memory(small_market, tmp_path):
    module = tiny_module()
    module.forecaster = ForgetfulMemory(module.forecaster, most=0, error=RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        forecast(tmp_path, small_market, module=module)


def test_a_broken_checkpoint_is_named(small_market, tmp_path):
    module = tiny_module()
    module.tokenizer.head.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        forecast(tmp_path, small_market, module=module)


def test_closes_alone_give_the_same_scores_and_take_less_room(forecasts, small_market, tmp_path):
    from kronos_lab.backtesting.forecasts.forecast_shards import check_store, read_forecasts

    def size(folder: Path) -> int:
        return sum(file.stat().st_size for file in folder.glob("*.parquet"))

    stores = [check_store(store) for store in ("closes", "closes_float16")]
    closes, halves = (forecast(tmp_path / store, small_market, writer={"store": store}) for store in stores)
    exact = scores(forecasts)
    pd.testing.assert_frame_equal(scores(closes), exact, check_exact=True)
    whole = np.concatenate([shard.paths["close"] for shard in read_forecasts(forecasts, ["close"])])
    half = np.concatenate([shard.paths["close"] for shard in read_forecasts(halves, ["close"])])
    last = np.concatenate([shard.last_close_B for shard in read_forecasts(halves, ["close"])])[:, None, None]
    np.testing.assert_allclose(half / last - 1, whole / last - 1, rtol=2**-11, atol=1e-6)  # float32 rounds too
    assert size(halves) < size(closes) < 0.5 * size(forecasts)
    with pytest.raises(InputError, match=r"holds closes only, no open, high.*: backtest\.store=bars keeps them"):
        next(read_forecasts(halves))
    with pytest.raises(InputError, match=r"backtest\.store=float16: choose one of bars, closes, closes_float16"):
        check_store("float16")


def test_kept_closes_take_as_little_room_as_the_readme_says(tmp_path):
    from kronos_lab.backtesting.forecasts.forecast_batches import Forecast
    from kronos_lab.backtesting.forecasts.forecast_shards import write_shard
    from kronos_lab.backtesting.scores.signals import CloseScale

    random, series = np.random.default_rng(1), 2_000
    close_B = random.uniform(5, 50, series).astype(np.float32)
    paths_BPHF = close_B[:, None, None, None] * np.exp(0.02 * random.standard_normal((series, 5, 10, 6)).cumsum(axis=2))
    forecast = Forecast(
        batch=0,
        parts=[series],
        symbol_B=np.array([f"SH{600000 + number}" for number in range(series)], dtype=object),
        date_B=np.full(series, np.datetime64("2024-07-01", "ns")),
        last_close_B=close_B,
        close_scale=CloseScale(close_B * np.float32(0.99), close_B * np.float32(0.05)),
        paths_BPHF=paths_BPHF.astype(np.float32),
    )
    sizes = {}
    for store in ("bars", "closes", "closes_float16"):
        write_shard(tmp_path / store, [forecast], store)
        sizes[store] = (tmp_path / store).stat().st_size
    assert sizes["closes"] < sizes["bars"] / 5 and sizes["closes_float16"] < sizes["bars"] / 10


def test_low_precision_never_touches_the_prices(forecasts, small_market, tmp_path):
    from kronos_lab.backtesting.forecasts.forecast_shards import read_forecasts

    folder = forecast(tmp_path, small_market, precision="bf16-true")
    for exact, low in zip(read_forecasts(forecasts), read_forecasts(folder), strict=True):
        np.testing.assert_array_equal(low.last_close_B, exact.last_close_B)


def test_more_paths_than_the_bound_are_forecast_one_bundle_after_another(forecasts, small_market, tmp_path):
    module = tiny_module(rows_at_once=2)
    found = paths(forecast(tmp_path, small_market, batch_size=2, end="2024-12-24", module=module))
    expected = paths(forecasts)
    assert found.keys() < expected.keys()
    equal = [np.allclose(expected[series], found[series], rtol=1e-4) for series in found]
    assert np.mean(equal) >= 0.9999


def test_two_ranks_write_each_series_once_and_the_same_as_one(forecasts, small_market, tmp_path):
    job = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from kronos_lab.data.market import Market
        from universe_forecasts import forecast

        market = Market(Path({str(small_market.store)!r}))
        forecast(Path({str(tmp_path)!r}), market, devices=2)
    """
    script = tmp_path / "job.py"
    script.write_text(textwrap.dedent(job))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name[:8] for path in tmp_path.glob("*.parquet")} == {"rank-000", "rank-001"}
    expected, found = paths(forecasts), paths(tmp_path)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[series], found[series]) for series in expected)
