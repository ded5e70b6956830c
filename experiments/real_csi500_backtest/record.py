"""Run the commands of the README beside this file, and keep in `results/` what they found.

python experiments/real_csi500_backtest/record.py

Runs that have finished are not run again; a run that was interrupted begins anew.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recorded_run import REAL_MARKET, Run, keep_results, need_shared_data

TRAIN = ["train.py", *REAL_MARKET, "logger=csv", "data.windows_per_epoch=40_000", "trainer.max_epochs=1"]
BACKTEST = [
    "backtest.py", *REAL_MARKET, "logger=csv", "universe=csi500", "forecast.paths=5", "backtest.start=2024-07-01",
    "backtest.end=2025-06-30", "backtest.lightgbm=true",
]  # fmt: skip
RUNS = [
    Run("train", "real_csi300_tiny", [*TRAIN, "universe=csi300", "name=real_csi300_tiny"]),
    Run(
        "train",
        "real_csi500_tuned",
        [*TRAIN, "universe=csi500", "stage=predictor", "model.pretrained=real_csi300_tiny",
         "optim.predictor.optimizer.lr=1e-4", "name=real_csi500_tuned"],
    ),
    Run("backtest", "real_csi500", [*BACKTEST, "checkpoint=real_csi500_tuned", "name=real_csi500"]),
    Run("placebos", "real_csi500", ["backtest/run_placebos.py", "run=real_csi500", "name=real_csi500"]),
    Run("orders", "real_csi500", ["backtest/todays_orders.py", "run=real_csi500", "cash=1000000", "name=real_csi500"]),
]  # fmt: skip
KEPT = {"backtest": ("metrics.json",), "placebos": ("placebos.csv",), "orders": ("orders.csv",)}

if __name__ == "__main__":
    need_shared_data()
    keep_results(RUNS, Path(__file__).parent, KEPT)
