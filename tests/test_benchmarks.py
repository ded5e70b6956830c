"""The benchmarks run, and what they save can be trusted."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


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
