"""Run the commands of the README beside this file, and keep in `results/` what they found.

python experiments/minute5/record.py

Runs that have finished are not run again; a run that was interrupted begins anew.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recorded_run import SHARED, Run, keep_results, need_shared_data

ONE_STOCK = [
    "experiment=minute5", "model=tiny", f"market.bars={SHARED}/XSHG_5min_600977.csv", "logger=csv",
    "evaluation.test.days=null", "forecast.paths=16",
]  # fmt: skip
RUNS = [Run("train", "minute5_tiny", ["train.py", *ONE_STOCK, "name=minute5_tiny"])]
KEPT = {"train": ("evaluation.csv",)}


if __name__ == "__main__":
    need_shared_data()
    keep_results(RUNS, Path(__file__).parent, KEPT)
