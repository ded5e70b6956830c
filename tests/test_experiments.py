"""What stands under `experiments/` is of the commands that are there."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

DEMO_EFFECT = Path(__file__).parents[1] / "experiments" / "demo_effect"


@pytest.fixture(scope="module")
def record() -> ModuleType:
    spec = importlib.util.spec_from_file_location("record", DEMO_EFFECT / "record.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
