"""Run the commands of the README beside this file, kill the search half-way, and keep in `results/` what they found.

python experiments/demo_search/record.py

What has finished is not run again.
"""

import contextlib
import json
import sys
import time
from pathlib import Path

import pandas as pd
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recorded_run import PROJECT, Run, as_typed, keep_results, read_summary, start, sweep_summary, without_places

EXPERIMENT = Path(__file__).parent
OUTPUTS = PROJECT / "outputs"
TRIALS, HALF, COMPARED = 12, 6, 3
SHORT = ["logger=csv", "evaluation.test.days=0", "figures.pairs=0"]
PARENT = Run(
    "train", "search_parent",
    ["train.py", "model.epochs=2", "model.windows_per_epoch=7_500", *SHORT, "name=search_parent"],
)  # fmt: skip
SEARCH = [
    "train.py", "-m", "hparams_search=lr_blocks", "name=demo_search", "model.pretrained=search_parent",
    "data.windows_per_epoch=5_000", "trainer.max_epochs=4", *SHORT, f"hydra.sweeper.n_trials={TRIALS}",
    "hydra.sweeper.n_jobs=2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
]  # fmt: skip
BACKTESTS = [
    "backtest.py", "-m", "name=search_backtests", "logger=csv", "forecast.paths=2", "calibration.days=0",
    "backtest.end=2024-12-31",
]  # fmt: skip
COMPARE = ["backtest/compare_runs.py", "name=demo_search", "logger=csv"]


def trials() -> pd.DataFrame:
    """The table of the search as it stands."""
    file = OUTPUTS / "train" / "demo_search" / "trials.csv"
    return pd.read_csv(file) if file.is_file() else pd.DataFrame({"state": []})


def ended() -> int:
    """Trials that the search need not ask for again."""
    return int(trials()["state"].isin(["complete", "pruned"]).sum())


def search() -> None:
    """The search, killed with all its processes when half of the trials have ended, and typed again."""
    if ended() < HALF:
        first = start(SEARCH)
        while ended() < HALF and first.poll() is None:
            time.sleep(0.5)
        sweep = psutil.Process(first.pid)
        for process in [sweep, *sweep.children(recursive=True)]:  # it first, or it may note how its jobs ended
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        first.wait()
        print(f"killed after {ended()} trials", flush=True)
    if start(SEARCH).wait() not in {0, 1}:  # 1 says that a trial was interrupted, which is what happened
        raise SystemExit("no results: the search failed")


def run(typed: list[str], done: Path) -> None:
    """Run a command that leaves a file, unless it has."""
    if not done.is_file() and start(typed).wait():
        raise SystemExit(f"no results: this command failed: {as_typed(typed)}")


def commands(table: pd.DataFrame) -> list[list[str]]:
    """All of them, in order: parent, search, backtests of the parent and of the best trials, and their comparison.

    Args:
        table: of the search, when it has ended.
    """
    complete = table[table["state"] == "complete"].sort_values("value")
    chosen = ["search_parent", *(f"demo_search/{number}" for number in complete["trial"][:COMPARED])]
    compare = [*COMPARE, "runs=outputs/backtest/search_backtests", "against=search_backtests/0"]
    return [PARENT.typed, SEARCH, [*BACKTESTS, f"checkpoint={','.join(chosen)}"], compare]


def record() -> None:
    """All of it."""
    PARENT.summary()
    if ended() < TRIALS:
        search()
    typed = commands(trials())
    found, compared = OUTPUTS / "train" / "demo_search", OUTPUTS / "compare" / "demo_search"
    traded = OUTPUTS / "backtest" / "search_backtests"
    run(typed[2], traded / str(COMPARED) / "summary.json")
    run(typed[3], compared / "summary.json")
    in_short = {"search": sweep_summary(found), "backtests": sweep_summary(traded)}
    read_summary(compared)
    keep_results([PARENT], EXPERIMENT, {})
    results = EXPERIMENT / "results"
    (results / "commands.txt").write_text("\n".join(as_typed(one) for one in typed) + "\n")
    for name, summary in in_short.items():
        (results / f"{name}_summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    for file in (found / "trials.csv", compared / "comparison.csv", compared / "summary.json"):
        (results / file.name).write_text(without_places(file.read_text()))


if __name__ == "__main__":
    record()
