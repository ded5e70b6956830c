"""Forecasts are not made twice: those of a finished run are found again, an interrupted run is gone on with."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TINY = Path(__file__).parents[2] / "data" / "golden" / "tiny"


def run(
    market: Any, outputs: Path, name: str, *, die_after: int | None = None, devices: int = 1, **changes: Any
) -> int:
    """Forecast 16 sessions of the small market in batches of 20 series; how many batches were forecast here."""
    from functools import partial

    from lightning.pytorch import Trainer

    from kronos_lab import Kronos, KronosTokenizer
    from kronos_lab.backtesting.forecasts.universe_forecast import forecast_universe, universe_windows
    from kronos_lab.forecasting.forecaster import Forecaster
    from kronos_lab.forecasting.token_sampling import Sampling
    from kronos_lab.runs.provenance import WindowSettings

    window = WindowSettings(lookback=24, horizon=4, max_gap=20, clip=5.0, rescale=False)
    start, weights = changes.pop("start", "2024-12-20"), changes.pop("weights", "tiny")
    temperature = changes.pop("temperature", 0.6)
    decoded = {name: changes.pop(name) for name in ("anchor", "clip") if name in changes}
    windows, _ = universe_windows(market, "csi300", window, start, None)
    forecaster = Forecaster(
        KronosTokenizer.from_pretrained(TINY / "tokenizer"), Kronos.from_pretrained(TINY / "predictor"), **decoded
    )
    working, calls = forecaster.paths, 0

    def counted(*inputs: Any, **options: Any) -> Any:
        nonlocal calls
        if calls == die_after:
            os.kill(os.getpid(), signal.SIGTERM)
        calls += 1
        return working(*inputs, **options)

    forecaster.paths = counted
    settings = {"horizon": 4, "paths": 3, "batch_size": 60, "seed": 7, "store": "bars", "earlier": outputs} | changes
    forecast_universe(
        outputs / "backtest" / name / "forecasts",
        partial(Trainer, accelerator="cpu", devices=devices),
        market,
        windows,
        forecaster,
        Sampling(temperature=temperature, top_p=0.9, top_k=0),
        origin={"weights": weights, "market": market.fingerprint},
        **settings,
    )
    return calls


def paths(outputs: Path, name: str) -> dict[tuple[str, Any], np.ndarray]:
    from kronos_lab.backtesting.forecasts.forecast_shards import read_forecasts

    return {
        (symbol, date): shard.paths["close"][n]
        for shard in read_forecasts(outputs / "backtest" / name / "forecasts")
        for n, (symbol, date) in enumerate(zip(shard.symbol_B, shard.date_B, strict=True))
    }


def same(one: dict[Any, np.ndarray], other: dict[Any, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[series], other[series]) for series in one)


@pytest.fixture(scope="module")
def finished(small_market, tmp_path_factory) -> tuple[Path, int]:
    """Folder of all runs with one that finished, `first`, and its batches."""
    outputs = tmp_path_factory.mktemp("outputs")
    return outputs, run(small_market, outputs, "first")


def test_forecasts_of_a_finished_run_cost_nothing(finished, small_market, caplog):
    outputs, batches = finished
    assert batches > 8
    with caplog.at_level("INFO"):
        assert run(small_market, outputs, "again") == 0
    assert f"{batches} batches were made by {outputs / 'backtest' / 'first'}" in caplog.text
    expected = paths(outputs, "first")
    shutil.move(outputs / "backtest" / "first", outputs.parent / "elsewhere")
    try:
        assert same(paths(outputs, "again"), expected)
    finally:
        shutil.move(outputs.parent / "elsewhere", outputs / "backtest" / "first")


OTHER = [
    {"seed": 8}, {"batch_size": 30}, {"paths": 2}, {"start": "2024-12-23"}, {"weights": "others"}, {"temperature": 0.7},
    {"anchor": True}, {"clip": 4.0},
]  # fmt: skip


@pytest.mark.parametrize("change", OTHER)
def test_other_forecasts_are_not_taken(finished, small_market, change):
    outputs, _ = finished
    assert run(small_market, outputs, f"other-{change}", **change) > 0


def test_forecasts_are_made_anew_where_that_is_asked_for(finished, small_market):
    outputs, batches = finished
    assert run(small_market, outputs, "anew", earlier=None) == batches


def test_an_interrupted_run_is_gone_on_with_and_ends_the_same(finished, small_market, tmp_path):
    first, batches = finished
    with pytest.raises(SystemExit):
        run(small_market, tmp_path, "killed", die_after=5)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning leaves it ignored
    assert run(small_market, tmp_path, "next") == batches - 5
    assert same(paths(tmp_path, "next"), paths(first, "first"))


def test_every_setting_counts():
    from kronos_lab.backtesting.forecasts.earlier_forecasts import forecasts_fingerprint
    from kronos_lab.backtesting.forecasts.forecast_batches import BatchPlan

    plan, rows = BatchPlan(10, 2, 3, 24, 4, seed=7), np.arange(10)
    settings = {"weights": {"predictor": "a"}, "sampling": {"temperature": 0.6, "top_p": 0.9}, "code": "b"}
    own = forecasts_fingerprint(settings, plan, rows)
    assert own == forecasts_fingerprint(dict(reversed(settings.items())), plan, rows.copy())
    others = [settings | {"code": "c"}, settings | {"weights": {"predictor": "b"}}, settings | {"new": 1}]
    others += [settings | {"sampling": {"temperature": 0.6, "top_p": 0.8}}]
    assert own not in {forecasts_fingerprint(other, plan, rows) for other in others}
    assert own != forecasts_fingerprint(settings, plan, rows + 1)


def test_the_manifest_names_all_that_made_the_forecasts_and_where_they_come_from(finished, small_market):
    from kronos_lab.backtesting.forecasts.forecast_shards import read_manifest

    outputs, batches = finished
    run(small_market, outputs, "told")
    first, told = (read_manifest(outputs / "backtest" / name / "forecasts") for name in ("first", "told"))
    assert {"weights", "market", "sampling", "window", "precision", "anchor", "clip", "rescale", "code", "torch",
            "device"} < told.keys()  # fmt: skip
    assert first["taken_over"] == {} and list(told["taken_over"].values()) == [batches]


@pytest.mark.parametrize("reuse", [True, False])
def test_a_second_attempt_in_the_same_folder_goes_on(finished, small_market, tmp_path, reuse):
    """As a requeued Slurm job does."""
    first, batches = finished
    with pytest.raises(SystemExit):
        run(small_market, tmp_path, "job", die_after=5)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert run(small_market, tmp_path, "job", earlier=tmp_path if reuse else None) == batches - 5
    assert same(paths(tmp_path, "job"), paths(first, "first"))
    assert run(small_market, tmp_path, "job", seed=8) == batches  # another run: nothing of the first is left
    assert not same(paths(tmp_path, "job"), paths(first, "first"))


def test_files_that_cannot_be_linked_are_copied_and_those_that_vanish_are_made_again(
    finished, small_market, tmp_path, monkeypatch
):
    first, batches = finished

    def no_links(*_):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    shutil.copytree(first / "backtest" / "first", tmp_path / "backtest" / "first")
    assert run(small_market, tmp_path, "copied") == 0
    assert same(paths(tmp_path, "copied"), paths(first, "first"))
    monkeypatch.setattr(shutil, "copyfile", no_links)
    assert run(small_market, tmp_path, "made") == batches


def test_a_shard_that_cannot_be_read_is_made_again(finished, small_market, tmp_path, caplog):
    first, batches = finished
    shutil.copytree(first / "backtest" / "first", tmp_path / "backtest" / "torn")
    for shard in (tmp_path / "backtest" / "torn" / "forecasts").glob("*.parquet"):
        shard.write_bytes(shard.read_bytes()[:100])
    assert run(small_market, tmp_path, "next") == batches
    assert "cannot be taken over: its forecasts are made again" in caplog.text
    assert same(paths(tmp_path, "next"), paths(first, "first"))


def finish(outputs: Path, name: str, comet: bool, upload: bool = True) -> None:
    """What a run leaves at its end, tracked at Comet or not."""
    record = {"comet": {"experiment": "key", "url": None, "archive": "key.zip"}} if comet else {}
    summary = {"kind": "backtest", **record, "config": {"logger": {"upload_artifacts": upload}}}
    (outputs / "backtest" / name / "summary.json").write_text(json.dumps(summary))


def test_comet_is_sent_every_forecast_once(small_market, tmp_path):
    """Whoever made them: a run that was killed, or not tracked, has sent nothing."""
    from kronos_lab.backtesting.forecasts.earlier_forecasts import files_to_send

    def sent(name: str) -> list[str]:
        run(small_market, tmp_path, name)
        return files_to_send(tmp_path / "backtest" / name, "forecasts")

    everything, manifest = ["forecasts"], ["forecasts/manifest.json"]
    assert sent("killed after its forecasts") == everything
    assert sent("not tracked") == everything
    finish(tmp_path, "not tracked", comet=False)
    assert sent("keeps its files") == everything
    finish(tmp_path, "keeps its files", comet=True, upload=False)
    assert sent("tracked") == everything
    finish(tmp_path, "tracked", comet=True)
    assert sent("tracked again") == manifest
    assert sent("killed") == manifest
    assert sent("after it") == manifest  # it took them from the killed one, which took them from the tracked ones
    shutil.rmtree(tmp_path / "backtest" / "tracked again")
    for name in ("tracked", "killed"):
        shutil.rmtree(tmp_path / "backtest" / name)
    assert files_to_send(tmp_path / "backtest" / "after it", "forecasts") == everything


@pytest.mark.slow
def test_ranks_go_on_with_less_than_a_batch_for_each(finished, small_market, tmp_path):
    """One batch is missing, and two ranks are there to make it."""
    first, batches = finished
    with pytest.raises(SystemExit):
        run(small_market, tmp_path, "killed", die_after=batches - 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    job = tmp_path / "job.py"
    job.write_text(
        textwrap.dedent(f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from kronos_lab.data.market import Market
        from test_earlier_forecasts import run

        made = run(Market(Path({str(small_market.store)!r})), Path({str(tmp_path)!r}), "next", devices=2)
        print("MADE", made)
        """)
    )
    done = subprocess.run([sys.executable, job], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    made = re.findall(r"MADE (\d+)", done.stdout)  # the rank without a batch may be ended before it says so
    assert sum(map(int, made)) == 1
    assert same(paths(tmp_path, "next"), paths(first, "first"))
