"""Run the commands of the README beside this file, and write what they found into `results/`.

python experiments/demo_effect/record.py

Runs that have finished are not run again; a run that was interrupted begins anew.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recorded_run import PROJECT, REAL_MARKET, SHARED, Run

RESULTS = Path(__file__).parent / "results"

TRAIN = ["train.py", "experiment=demo_effect", "logger=csv"]
TOKENIZER = ["stage=tokenizer", "data.windows_per_epoch=60_000"]
# Bars after the lookback teach without telling what comes: the more of them, the more there is to learn from a window.
PREDICTOR = ["stage=predictor", "data.windows_per_epoch=200_000", "data.horizon=40"]
FORECAST = ["forecast.stratified=true", "forecast.temperature=1", "forecast.top_p=1", "forecast.anchor=true"]
EVALUATE = [
    "finetune/evaluate_forecasts.py", "data.horizon=10", "evaluation.test.days=null", "evaluation.test.names=500",
    "trainer.devices=2", *FORECAST,
]  # fmt: skip
TEST = ["forecast.paths=24", "evaluation.level_neutral=true"]
VALIDATION = ["forecast.paths=16", "start=2024-01-02", "end=2024-06-28"]
EFFECT_ON = ["market.effect=on", "universe=all"]
EFFECT_OFF = ["market.effect=off", "universe=all"]
REAL = [*REAL_MARKET, "universe=csi300"]

MARKETS = {"effect_on": EFFECT_ON, "effect_off": EFFECT_OFF, "real_csi300": REAL}
SEEDS = (1, 2, 3)  # of training and sampling; each market is one
VALIDATED_SEEDS = (1, 3)
FIGURES = [
    "rank_ic_h", "rank_ic_h_low", "rank_ic_h_high", "rank_ic_h_t", "rank_ic_h_p", "rank_ic_1", "best_tenth_excess",
    "level_correlation", "error_to_persistence_h",
]  # fmt: skip


def runs_of(market: str, seed: int) -> list[Run]:
    """Tokenizer, predictor and evaluation."""
    name, shared = f"{market}_{seed}", [*MARKETS[market], f"seed={seed}"]
    tokenizer = f"{name}_tokenizer"
    trained_on = [*shared, f"model.pretrained_tokenizer={tokenizer}"]
    oracle = ["oracle=true"] if market == "effect_on" else []
    return [
        Run("train", tokenizer, [*TRAIN, *TOKENIZER, *shared, f"name={tokenizer}"]),
        Run("train", name, [*TRAIN, *PREDICTOR, *trained_on, f"name={name}"]),
        Run("evaluate", name, [*EVALUATE, *TEST, *shared, *oracle, f"checkpoint={name}", f"name={name}"]),
    ]


def validations() -> list[Run]:
    """What ranks names better on the validation part: forecasts as they are, or neutral."""
    runs = []
    for seed in VALIDATED_SEEDS:
        for neutral in ("false", "true"):
            checkpoint, name = f"effect_on_{seed}", f"validation_{seed}_neutral_{neutral}"
            typed = [*EVALUATE, *VALIDATION, f"evaluation.level_neutral={neutral}", *EFFECT_ON, f"seed={seed}"]
            runs.append(Run("evaluate", name, [*typed, f"checkpoint={checkpoint}", f"name={name}"]))
    return runs


def rows_of(market: str, seed: int) -> list[dict[str, Any]]:
    """Rows of the table: what the finetuned weights do, and the oracle where there is one."""
    summaries = tokenizer, predictor, evaluated = [run.summary() for run in runs_of(market, seed)]
    evaluation = evaluated["evaluation"]
    return [
        {"market": market, "seed": seed, "row": row}
        | {figure: figures[figure] for figure in FIGURES}
        | {part: evaluation[part] for part in ("days", "pairs", "paths", "first_day", "last_day")}
        | {"train_seconds": round(tokenizer["duration_seconds"] + predictor["duration_seconds"])}
        | {"evaluate_seconds": round(evaluated["duration_seconds"])}
        | {"revision": " ".join(sorted({summary["git"]["revision"] for summary in summaries}))}
        | {"changed": any(summary["git"]["dirty"] for summary in summaries)}
        for row, figures in evaluation["rows"].items()
        if row in ("finetuned", "oracle")
    ]


def record() -> None:
    """All markets; the results are written at the end, so that the checkout is as committed while they run."""
    markets = list(MARKETS)
    if not (PROJECT / SHARED).is_dir():
        print(f"left out, as there is no {SHARED}: real_csi300")
        markets.remove("real_csi300")
    rows = [row for market in markets for seed in SEEDS for row in rows_of(market, seed)]
    commands = [run.as_typed for market in markets for seed in SEEDS for run in runs_of(market, seed)]
    validated = {run.name: run.summary()["evaluation"]["rows"]["finetuned"] for run in validations()}
    commands += [run.as_typed for run in validations()]
    RESULTS.mkdir(exist_ok=True)
    validated_figures = pd.DataFrame(validated).T[["rank_ic_h", "level_correlation"]]
    validated_figures.to_csv(RESULTS / "validation.csv", index_label="run", float_format="%.5g")
    pd.DataFrame(rows).to_csv(RESULTS / "figures.csv", index=False, float_format="%.5g")
    (RESULTS / "commands.txt").write_text("\n".join(commands) + "\n")


if __name__ == "__main__":
    record()
