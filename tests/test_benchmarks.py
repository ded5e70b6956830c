"""The benchmarks run, and what they save can be trusted."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def module_of(benchmark: str) -> ModuleType:
    """A benchmark whose name something else has too."""
    spec = importlib.util.spec_from_file_location(f"{benchmark}_benchmark", ROOT / "benchmarks" / f"{benchmark}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_forecasts_are_measured_next_to_the_recomputing_decoder(tmp_path: Path) -> None:
    output = tmp_path / "row.json"
    shape = ["--series", "3", "--context", "40", "--horizon", "6", "--paths", "2", "--repeats", "1"]
    printed = run(
        "forecast.py", "--model", "tiny", *shape, "--reference-series", "2", "--devices", "1,2", "--output", str(output)
    )
    assert "tiny, 3 series, 40 → 6, 2 path(s)" in printed
    record = json.loads(output.read_text())
    alone, shared = record["rows"]
    assert alone["same_tokens"] and alone["ratio"] > 0
    assert (alone["devices"], shared["devices"]) == (1, 2)
    assert "ratio" not in shared
    assert record["peaks"]["matrix_flops_per_s"] > alone["achieved_flops_per_s"] > 0


def test_approximations_are_compared_with_the_exact_forecast(tmp_path: Path) -> None:
    output = tmp_path / "approximations.json"
    shape = ["--series", "4", "--context", "28", "--horizon", "8", "--paths", "2", "--max-context", "32"]
    run("approximations.py", "--model", "tiny", *shape, "--hops", "4", "--output", str(output))
    rows = {row["way"]: row for row in json.loads(output.read_text())["rows"]}
    assert rows.keys() == {"exact, other random numbers", "hop 4", "bfloat16"}
    assert rows["hop 4"]["equal_tokens_first_bar"] == 1  # the window still holds the first bars
    assert rows["exact, other random numbers"]["mean_abs_return_difference"] > 0


def test_stratified_draws_are_measured_next_to_independent_ones(tmp_path: Path) -> None:
    output = tmp_path / "stratified_draws.json"
    shape = ["--series", "6", "--context", "28", "--horizon", "4", "--paths", "8", "--repetitions", "12"]
    run("stratified_draws.py", *shape, "--output", str(output))
    rows = json.loads(output.read_text())["rows"]
    assert [row["sampling"] for row in rows] == ["temperature 0.6, top_p 0.9", "temperature 1, top_p 1"]
    assert all(0 < row["variance_ratio_1"] < 1 and 0 < row["share_of_draws"] < 1 for row in rows)


def test_windows_are_measured_next_to_pandas_frames(tmp_path: Path) -> None:
    import dataloader

    written = dataloader.write_market(0, tmp_path, stocks=4, sessions=484)
    assert written == {"fields": 4 * 484 * 24, "time": 4 * 484 * 4, "flags": 0}
    assert dataloader.measure_startup(0, tmp_path)["startup_seconds"] > 0
    found = dataloader.measure_speed(0, tmp_path, [50, 200], windows=400, reference_windows=60, repeats=1)
    assert found["windows"] == 4 * (339 - 89 - 11)  # seven of ten days, whole lookbacks, no label over the border
    for row in found["speed"]:
        assert row["windows_an_epoch"] <= 400 and row["ratio"] > 2, row


@pytest.mark.slow
def test_the_memory_of_the_bars_is_measured(tmp_path: Path) -> None:
    output = tmp_path / "dataloader.json"
    size = ["--stocks", "400", "--years", "5", "--windows", "400", "--reference-windows", "60", "--workers", "2"]
    assert "batches of 50" in run("dataloader.py", *size, "--repeats", "1", "--output", str(output))
    record = json.loads(output.read_text())
    assert record["targets"] is None
    if sys.platform == "linux":
        memory = record["memory"]
        assert 0.5 < memory["ratio"] < 2 < memory["ratio_libraries_included"]


def test_training_steps_are_measured_next_to_the_plain_one(tmp_path: Path) -> None:
    output = tmp_path / "step.json"
    shape = ["--batch", "4", "--bars", "20", "--repeats", "2", "--no-compile", "--no-memory"]
    printed = run("train_step.py", "--model", "tiny", *shape, "--output", str(output))
    assert "plain step" in printed and "this package" in printed
    record = json.loads(output.read_text())
    plain, ours = record["ways"]["reference"], record["ways"]["eager"]
    assert ours["ratio"] > 0 and len(ours["all_seconds"]) == len(plain["all_seconds"]) == 2
    assert record["peaks"]["matrix_flops_per_s"] > plain["flops_per_s"] > 0


def test_a_backtest_is_measured_by_its_own_record(tmp_path: Path) -> None:
    """Forecasting counts once, as later runs take it over; the rest is the middle of all runs."""
    backtest = module_of("backtest")
    stages = dict.fromkeys(backtest.STAGES, 1.0)
    runs = [stages | {"predict": 50.0, "simulation": 9.0}, stages | {"simulation": 5.0}, stages | {"simulation": 6.0}]
    found = backtest.middle(runs)
    assert (found["predict"], found["simulation"], found["simulation and statistics"]) == (50.0, 6.0, 7.0)
    folder = backtest.random_weights(tmp_path / "weights")
    assert {path.name for path in folder.iterdir()} == {"tokenizer", "predictor"}
