"""What stands under `experiments/` is of the commands that are there."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiment_folders import CONFIGURED, EXPERIMENTS, record_of
from many_commands import run_commands

CLAIM = ("**Question.**", "**Command", "**Expectation", "**Results", "**Verdict.**")
DEMO_EFFECT, REAL_CSI500 = EXPERIMENTS / "demo_effect", EXPERIMENTS / "real_csi500_backtest"


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in EXPERIMENTS.glob("*/README.md")))
def test_an_experiment_says_what_it_asks_expects_and_found(folder: str) -> None:
    text = (EXPERIMENTS / folder / "README.md").read_text()
    places = [text.find(part) for part in CLAIM]
    assert min(places) > 0 and places == sorted(places), dict(zip(CLAIM, places, strict=True))


@pytest.fixture(scope="module")
def record() -> ModuleType:
    return record_of(DEMO_EFFECT)


def test_results_of_the_real_backtest_are_of_its_commands_and_quoted_as_they_are() -> None:
    results = REAL_CSI500 / "results"
    runs = record_of(REAL_CSI500).RUNS
    assert (results / "commands.txt").read_text().splitlines() == [run.as_typed for run in runs]
    for run in runs:
        summary = json.loads((results / f"{run.kind}_{run.name}_summary.json").read_text())
        assert summary["command"][1:] == run.typed and summary["git"]["dirty"] is False
    rows = json.loads((results / "metrics.json").read_text())["baselines"]
    quoted = (REAL_CSI500 / "README.md").read_text()
    for name in [row for row in rows if "momentum" not in row]:  # that is reversal turned round
        title = name.replace("this signal", "finetuned")
        line = next(line for line in quoted.splitlines() if line.startswith(f"| {title} |"))
        earned, turnover = rows[name]["excess"]["annual_return"], rows[name]["turnover"]
        assert f"{rows[name]['rank_ic']['1']['mean']:.4f}" in line
        assert f"{earned:.1%}".replace("-", "−").replace("%", " %") in line and f"{turnover:.1%}"[:-1] in line


def test_results_of_the_demo_effect_are_of_its_commands(record: ModuleType) -> None:
    seeds = [(market, seed) for market in record.MARKETS for seed in record.SEEDS]
    runs = [run for market, seed in seeds for run in record.runs_of(market, seed)]
    written = (DEMO_EFFECT / "results" / "commands.txt").read_text().splitlines()
    assert written == [run.as_typed for run in [*runs, *record.validations()]]
    validated = pd.read_csv(DEMO_EFFECT / "results" / "validation.csv")
    assert list(validated.run) == [run.name for run in record.validations()]
    figures = pd.read_csv(DEMO_EFFECT / "results" / "figures.csv")
    shown = figures[figures.row == "finetuned"]
    assert list(zip(shown.market, shown.seed, strict=True)) == seeds
    assert not figures.changed.any() and figures.revision.str.fullmatch("[0-9a-f]{40}( [0-9a-f]{40})*").all()


def test_results_of_the_demo_effect_are_quoted_as_they_are() -> None:
    figures = pd.read_csv(DEMO_EFFECT / "results" / "figures.csv")
    confirmation = pd.read_csv(DEMO_EFFECT / "results" / "confirmation.csv")
    assert not confirmation.changed.any() and confirmation.revision.str.fullmatch("[0-9a-f]{40}").all()
    figures = pd.concat([figures, confirmation.assign(market="unseen")]).set_index("row").loc["finetuned"]
    titles = {"effect_on": "effect on", "effect_off": "effect off", "real_csi300": "real CSI 300", "unseen": "unseen"}
    assert set(figures.market) == set(titles)
    lines = (DEMO_EFFECT / "README.md").read_text().replace("−", "-").splitlines()
    for market, of_seeds in figures.groupby("market"):
        title = titles[market]
        line = next(line for line in lines if line.startswith(f"| {title} |"))
        quoted = [cell.strip() for cell in line.split("|")[2:-1]]
        for cell, (_, seed) in zip(quoted, of_seeds.iterrows(), strict=True):
            interval = f"[{seed.rank_ic_h_low:.4f}, {seed.rank_ic_h_high:.4f}]"
            assert cell.startswith(f"{seed.rank_ic_h:.4f} {interval}, t {seed.rank_ic_h_t:.1f}, p "), cell
            assert float(cell.rpartition("p ")[2]) == pytest.approx(seed.rank_ic_h_p, abs=0.006)


ONE_STEP = [
    "model=tiny", "model.pretrained=null", "data.batch_size=2", "data.windows_per_epoch=4", "data.val_windows=4",
    "trainer.max_epochs=1", "trainer.devices=1", "trainer.accelerator=cpu", "evaluation.validation.days=0",
    "evaluation.test.days=2", "evaluation.test.names=5", "figures.pairs=0", "forecast.paths=1", "logger=csv",
]  # fmt: skip
TRAINED = [name for name in CONFIGURED if "train.py" in (EXPERIMENTS / name / "README.md").read_text()]


@pytest.mark.slow
def test_every_configuration_trains_one_batch_deep(small_market: Any, tmp_path: Path) -> None:
    """As configured, but for a tiny model, a small market and its days."""
    write_minutes(tmp_path / "minutes.csv")
    daily = [
        "market=qlib", f"market.store={small_market.store}", "split.train_start=null", "split.train_end=2024-04-30",
        "split.val_start=2024-05-01", "split.val_end=2024-08-30", "split.test_start=2024-09-02", "split.test_end=null",
        "data.lookback=30",
    ]  # fmt: skip
    minutes = [f"market.bars={tmp_path / 'minutes.csv'}"]
    commands = {
        name: [
            f"experiment={name}", *(minutes if name == "minute5" else daily), *ONE_STEP, f"paths.outputs={tmp_path}",
            f"paths.cache={tmp_path / 'cache'}", f"paths.data={tmp_path / 'data'}", f"name={name}",
        ]
        for name in TRAINED
    }  # fmt: skip
    for name, done in run_commands("train.py", commands, tmp_path).items():
        assert done["code"] == 0, (name, done["err"])
        summary = json.loads((tmp_path / "train" / name / "summary.json").read_text())
        assert summary["config"]["data"]["horizon"] == {"minute5": 48}.get(name, 10)
        assert (tmp_path / "train" / name / "predictor" / "model.safetensors").is_file()


def write_minutes(file: Path) -> None:
    """60 days of five-minute bars of two stocks."""
    rng = np.random.default_rng(0)
    times = pd.timedelta_range("9h35min", "11h30min", freq="5min").append(
        pd.timedelta_range("13h5min", "15h", freq="5min")
    )
    stamps = [day + time for day in pd.bdate_range("2024-01-02", periods=60) for time in times]
    parts = []
    for symbol in ("SH600000", "SZ000001"):
        close = (10 * np.exp(rng.normal(0, 1e-3, len(stamps)).cumsum())).round(2)
        prices = {"open": close, "high": close + 0.01, "low": close - 0.01, "close": close}
        volume = rng.integers(100, 900, len(stamps))
        parts.append(pd.DataFrame({"symbol": symbol, "stamp": stamps, **prices, "volume": volume}))
    pd.concat(parts).to_csv(file, index=False)
