"""What stands under `experiments/` is of the commands that are there."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
DEMO_EFFECT, REAL_CSI500 = EXPERIMENTS / "demo_effect", EXPERIMENTS / "real_csi500_backtest"


def record_of(experiment: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"record_{experiment.name}", experiment / "record.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    assert written == [run.as_typed for run in runs]
    figures = pd.read_csv(DEMO_EFFECT / "results" / "figures.csv")
    shown = figures[figures.row == "finetuned"]
    assert list(zip(shown.market, shown.seed, strict=True)) == seeds
    assert not figures.changed.any() and figures.revision.str.fullmatch("[0-9a-f]{40}").all()


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
