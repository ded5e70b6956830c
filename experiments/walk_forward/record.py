"""Run the command of the README beside this file, and keep in `results/` what it found.

python experiments/walk_forward/record.py

A run that has finished is not run again; one that was interrupted begins anew.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recorded_run import Run, keep_results

RUNS = [Run("walk_forward", "walk_forward", ["finetune/walk_forward.py", "experiment=walk_forward"])]
KEPT = {"walk_forward": ("folds.csv", "metrics.json")}


if __name__ == "__main__":
    keep_results(RUNS, Path(__file__).parent, KEPT)
