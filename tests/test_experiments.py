"""What stands under `experiments/` is of the commands that are there."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from many_commands import run_commands

ROOT = Path(__file__).parents[1]
EXPERIMENTS, CONFIGURATIONS = ROOT / "experiments", ROOT / "conf" / "experiment"
CONFIGURED = sorted(path.stem for path in CONFIGURATIONS.glob("*.yaml"))
CLAIM = ("**Question.**", "**Command", "**Expectation", "**Results", "**Verdict.**")
DEMO_EFFECT, REAL_CSI500 = EXPERIMENTS / "demo_effect", EXPERIMENTS / "real_csi500_backtest"


def record_of(experiment: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"record_{experiment.name}", experiment / "record.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in EXPERIMENTS.glob("*/README.md")))
def test_an_experiment_says_what_it_asks_expects_and_found(folder: str) -> None:
    text = (EXPERIMENTS / folder / "README.md").read_text()
    places = [text.find(part) for part in CLAIM]
    assert min(places) > 0 and places == sorted(places), dict(zip(CLAIM, places, strict=True))


@pytest.mark.parametrize("name", CONFIGURED)
def test_every_configuration_has_its_claim_and_holds_differences_only(name: str) -> None:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from kronos_lab.runs.folder import register_resolvers

    assert f"experiment={name}" in (EXPERIMENTS / name / "README.md").read_text()
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        usual = {script: compose(script) for script in ("train", "backtest")}
    written = OmegaConf.load(CONFIGURATIONS / f"{name}.yaml")
    for key, value in leaves(OmegaConf.to_container(written)):
        if key.startswith("defaults") or key == "name":
            continue
        for cfg in usual.values():
            parent, _, last = key.rpartition(".")
            group = OmegaConf.select(cfg, parent) if parent else cfg
            if group is None or last not in group or OmegaConf.is_interpolation(group, last):
                continue  # what follows from another setting may be another here
            assert group[last] != value, f"{key}: {value} is the default"


def leaves(content: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted keys and values of nested mappings."""
    if not isinstance(content, dict):
        return [(prefix, content)]
    return [leaf for key, value in content.items() for leaf in leaves(value, f"{prefix}.{key}" if prefix else str(key))]


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


def test_runs_of_the_demo_effect_are_not_taken_for_others(record: ModuleType, tmp_path: Path, monkeypatch) -> None:
    """A finished run is not run again, an interrupted one is, and one of another command is refused."""
    import recorded_run

    monkeypatch.setattr(recorded_run, "PROJECT", tmp_path)
    ran = []

    def finish(command, **_):
        ran.append(command[1:])
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(f'{{"command": ["python", "{command[1]}"]}}')
        return recorded_run.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(recorded_run.subprocess, "run", finish)
    folder, run = tmp_path / "outputs" / "train" / "a", record.Run("train", "a", ["train.py"])
    folder.mkdir(parents=True)
    (folder / "half").touch()
    for _ in range(2):
        assert run.summary()["command"] == ["python", "train.py"]
    assert ran == [["train.py"]] and not (folder / "half").exists()
    with pytest.raises(SystemExit, match="is of another command"):
        run._replace(typed=["train.py", "seed=2"]).summary()


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
