"""Run the commands of the README beside this file, and keep in `results/` what they found.

python experiments/real_csi500_backtest/record.py

Runs that have finished are not run again; a run that was interrupted begins anew.
"""

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recorded_run import PROJECT, REAL_MARKET, SHARED, Run

RESULTS = Path(__file__).parent / "results"

TRAIN = ["train.py", *REAL_MARKET, "logger=csv", "data.windows_per_epoch=40_000", "trainer.max_epochs=1"]
BACKTEST = [
    "backtest.py", *REAL_MARKET, "logger=csv", "universe=csi500", "forecast.paths=5", "backtest.start=2024-07-01",
    "backtest.end=2025-06-30",
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


def record() -> None:
    """All of them; the results are written at the end, so that the checkout is as committed while they run."""
    if not (PROJECT / SHARED).is_dir():
        raise SystemExit(f"no results: there is no {SHARED}, which is not part of this project")
    summaries = [run.summary() for run in RUNS]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "commands.txt").write_text("\n".join(run.as_typed for run in RUNS) + "\n")
    for run, summary in zip(RUNS, summaries, strict=True):
        text = json.dumps(summary, indent=2).replace(sys.executable, "python")
        text = text.replace(f"{PROJECT}/", "").replace(str(PROJECT), ".")
        (RESULTS / f"{run.kind}_{run.name}_summary.json").write_text(text + "\n")
        for file in KEPT.get(run.kind, ()):
            shutil.copyfile(run.folder / file, RESULTS / file)


if __name__ == "__main__":
    record()
