"""Where the time of a backtest goes: a year of 500 stocks, with every rule, random portfolios and calibration.

    python benchmarks/backtest.py
    python benchmarks/backtest.py --universe csi300 --end 2024-09-30 --repeats 1

Types `backtest.py` on the built-in market with a tiny model of random weights, whose forecasts take as long as those
of a trained one. The first run forecasts; further ones take its forecasts over, and the middle one of the seconds that
each run recorded in its summary counts. Memory is the largest resident set of the first run's process.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmark_commands import RESULTS, save_record
from machine import describe

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("load", "predict", "predict for calibration", "signals", "simulation", "statistics", "report")
FORECASTING = ("predict", "predict for calibration")
TARGETS = {"simulation and statistics": 90.0, "report": 10.0}  # seconds on two cores
LARGEST_RESIDENT_GIB = 4.0


def main() -> None:
    """Measure what the command line asks for; print and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--universe", default="csi500")
    parser.add_argument("--start", default="2024-07-01")
    parser.add_argument("--end", default="2025-06-30")
    parser.add_argument("--paths", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS / "backtest.json")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        weights = random_weights(Path(temporary) / "weights")
        typed = [
            f"universe={options.universe}", f"backtest.start={options.start}", f"backtest.end={options.end}",
            f"forecast.paths={options.paths}", f"checkpoint='{weights}'", f"paths.outputs='{temporary}/outputs'",
            "logger=csv",
        ]  # fmt: skip
        runs = [backtest([*typed, f"name=run_{number}"], Path(temporary)) for number in range(options.repeats)]
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    record = {
        "command": " ".join(["python", "benchmarks/backtest.py", *sys.argv[1:]]),
        **describe(torch.device("cpu"), torch.get_num_threads()),
        **vars(options) | {"output": options.output.name},
        **{name: runs[0][name] for name in ("forecasts", "signal_days", "sessions")},
        "seconds": middle([run["seconds"] for run in runs]),
        "largest_resident_gib": round(memory, 2),
    }
    show(record)
    save_record(record, options.output)
    print(f"\nwritten to {options.output}")


def random_weights(folder: Path) -> Path:
    """A folder of a tiny model that has learned nothing."""
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        model = compose("train", ["model=tiny"]).model
    torch.manual_seed(0)
    for name in ("tokenizer", "predictor"):
        instantiate(model[name]).save_pretrained(folder / name)
    return folder


def backtest(typed: list[str], folder: Path) -> dict[str, Any]:
    """Seconds by stage of one run, and how much it did."""
    command = [sys.executable, str(ROOT / "backtest.py"), *typed]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    run = folder / "outputs" / "backtest" / typed[-1].removeprefix("name=")
    summary, metrics = (json.loads((run / f"{name}.json").read_text()) for name in ("summary", "metrics"))
    manifest = json.loads((run / "forecasts" / "manifest.json").read_text())
    return {
        "seconds": summary["seconds"],
        "forecasts": manifest["batch_plan"]["series"],
        "signal_days": metrics["signal_days"]["count"],
        "sessions": metrics["sessions_traded"]["count"],
    }


def middle(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each stage; of forecasting, which later runs take over, what the first run took."""
    seconds = {
        stage: runs[0][stage] if stage in FORECASTING else statistics.median(run[stage] for run in runs)
        for stage in STAGES
    }
    return seconds | {"simulation and statistics": round(seconds["simulation"] + seconds["statistics"], 2)}


def show(record: dict[str, Any]) -> None:
    """The table on the screen, each target beside its figure."""
    print(f"{record['forecasts']:,} forecasts of {record['signal_days']} days, {record['paths']} paths each")
    for stage, seconds in record["seconds"].items():
        target = f"   at most {TARGETS[stage]:.0f}" if stage in TARGETS else ""
        print(f"{stage:28}{seconds:8.1f} s{target}")
    print(f"{'largest resident set':28}{record['largest_resident_gib']:8.2f} GiB at most {LARGEST_RESIDENT_GIB:.0f}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
