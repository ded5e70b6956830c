"""Run the commands of the README beside this file and write what they found into `results/`; goes on where it stopped.

python experiments/demo_effect/record.py
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

PROJECT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
SO_FAR = PROJECT / "outputs" / "demo_effect"  # until the end, so that the checkout is as committed and summaries say so
SEEDS = (1, 2, 3)
REAL = [
    "market=files", "market.name=csi800", "market.bars=../shared/data/cn_csi800_day.parquet",
    "market.memberships=../shared/data/instruments", "market.indices=../shared/data/cn_index_day.csv.gz",
    "universe=csi300",
]  # fmt: skip
MARKETS = {
    "effect on": ["market.effect=on", "universe=all"],
    "effect off": ["market.effect=off", "universe=all"],
    "real csi300": REAL,
}
TRAIN = ["python", "train.py", "experiment=demo_effect", "logger=csv"]
TOKENIZER = ["stage=tokenizer", "data.windows_per_epoch=60_000"]
# Bars after the lookback teach without telling what comes: the more of them, the more there is to learn from a window.
PREDICTOR = ["stage=predictor", "data.windows_per_epoch=200_000", "data.horizon=40"]
EVALUATE = [
    "python", "finetune/evaluate_forecasts.py", "data.horizon=10", "evaluation.test.days=null",
    "evaluation.test.names=1200", "forecast.paths=16", "forecast.temperature=1", "forecast.top_p=1",
    "forecast.anchor=true", "trainer.devices=2",
]  # fmt: skip
FIGURES = [
    "rank_ic_h", "rank_ic_h_low", "rank_ic_h_high", "rank_ic_h_t", "rank_ic_h_p", "rank_ic_1", "best_tenth_excess",
    "crps", "coverage", "coverage_ideal", "error_to_persistence_h",
]  # fmt: skip


def run(kind: str, command: list[str], name: str) -> dict[str, Any]:
    """One command in the project's folder, unless it has run: its summary, and `typed` and wall-clock `seconds`."""
    folder, typed = PROJECT / "outputs" / kind / name, [*command, f"name={name}"]
    summary, wall_clock = folder / "summary.json", SO_FAR / f"{kind}_{name}.json"
    if not summary.is_file():
        print("$", shlex.join(typed), flush=True)
        started = time.perf_counter()
        # One thread a process: two processes train and forecast side by side.
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, *typed[1:]], cwd=PROJECT, env=environment, check=True)
        wall_clock.write_text(json.dumps({"typed": shlex.join(typed), "seconds": time.perf_counter() - started}))
    return json.loads(summary.read_text()) | json.loads(wall_clock.read_text())


def record() -> None:
    """All runs, a row of the table after each."""
    SO_FAR.mkdir(parents=True, exist_ok=True)
    rows, commands = [], []
    for market, options in MARKETS.items():
        for seed in SEEDS:
            name = f"{market.replace(' ', '_')}_{seed}"
            of_seed = [*options, f"seed={seed}"]
            tokenizer = run("train", [*TRAIN, *TOKENIZER, *of_seed], f"{name}_tokenizer")
            pretrained = f"model.pretrained_tokenizer={name}_tokenizer"
            predictor = run("train", [*TRAIN, *PREDICTOR, *of_seed, pretrained], name)
            oracle = ["oracle=true"] if market == "effect on" else []
            evaluated = run("evaluate", [*EVALUATE, *of_seed, *oracle, f"checkpoint={name}"], name)
            commands += [summary["typed"] for summary in (tokenizer, predictor, evaluated)]
            evaluation = evaluated["evaluation"]
            for row in ("finetuned", *(["oracle"] if oracle else [])):
                figures = evaluation["rows"][row]
                rows.append(
                    {"market": market, "seed": seed, "row": row}
                    | {figure: figures[figure] for figure in FIGURES}
                    | {part: evaluation[part] for part in ("days", "pairs", "paths", "first_day", "last_day")}
                    | {"train_seconds": round(tokenizer["seconds"] + predictor["seconds"])}
                    | {"evaluate_seconds": round(evaluated["seconds"])}
                    | {"revision": predictor["git"]["revision"], "dirty": predictor["git"]["dirty"]}
                )
            pd.DataFrame(rows).to_csv(SO_FAR / "figures.csv", index=False, float_format="%.5g")
            (SO_FAR / "commands.txt").write_text("\n".join(commands) + "\n")
    RESULTS.mkdir(exist_ok=True)
    for name in ("figures.csv", "commands.txt"):
        shutil.copy(SO_FAR / name, RESULTS)


if __name__ == "__main__":
    record()
