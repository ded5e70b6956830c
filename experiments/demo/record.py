"""Run the commands of the README beside this file, and keep in `results/` what they found.

python experiments/demo/record.py

Runs that have finished are not run again; a run that was interrupted begins anew.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recorded_run import Run, keep_results

RUNS = [
    Run("train", "demo_recorded", ["train.py", "experiment=demo", "logger=csv", "name=demo_recorded"]),
    Run(
        "backtest",
        "demo_recorded",
        ["backtest.py", "experiment=demo", "logger=csv", "checkpoint=demo_recorded", "name=demo_recorded"],
    ),
]
KEPT = {"train": ("evaluation.csv",), "backtest": ("metrics.json",)}


if __name__ == "__main__":
    keep_results(RUNS, Path(__file__).parent, KEPT)
