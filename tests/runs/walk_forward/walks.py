"""A walk-forward of three folds whose runs are left without training."""

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from kronos_lab.data.split import DateSplit
from kronos_lab.runs.folder import project_root, register_resolvers, save_config
from kronos_lab.runs.walk_forward.plan import Fold
from kronos_lab.runs.walk_forward.work import WalkForward

FOLDS = [
    Fold(1, DateSplit(None, "2022-12-30", "2023-01-02", "2023-06-15", "2023-07-03", "2023-09-29")),
    Fold(2, DateSplit(None, "2023-03-31", "2023-04-03", "2023-09-14", "2023-10-02", "2023-12-29")),
    Fold(3, DateSplit(None, "2023-06-30", "2023-07-03", "2023-12-14", "2024-01-01", "2024-03-15")),
]
DATA = "the market's data"


@contextmanager
def configurations() -> Iterator[None]:
    register_resolvers()
    with initialize_config_dir(str(project_root() / "conf"), version_base="1.3"):
        yield


def walk_forward(outputs: Path, start_from: str = "parent", train: Sequence[str] = ("model.epochs=2",)) -> WalkForward:
    folder = outputs / "walk_forward" / "walk"
    folder.mkdir(parents=True, exist_ok=True)
    shared = ["market=demo", "universe=csi300", f"paths.outputs='{outputs}'"]
    walk = WalkForward("walk", folder, outputs, FOLDS, start_from, shared, train, ["forecast.paths=2"], DATA)
    walk.save_commands()
    return walk


def typed(walk: WalkForward) -> list[list[str]]:
    """Overrides of every command, as `commands.txt` has them."""
    return [shlex.split(line)[2:] for line in (walk.folder / "commands.txt").read_text().splitlines()]


def settings_of_fold(walk: WalkForward, number: int, *further: str) -> DictConfig:
    return compose("train", [*typed(walk)[number - 1], *further])


def leave_fold(walk: WalkForward, number: int, *further: str, data: str = DATA, to: Path | None = None) -> Path:
    """A finished training as its command leaves it, with further settings."""
    folder = to or walk.runs[number - 1]
    return _leave(folder, settings_of_fold(walk, number, *further), "train", data, {"predictor": f"weights {number}"})


def leave_backtest(walk: WalkForward, *further: str, data: str = DATA, retrained: int | None = None) -> Path:
    """A finished backtest; it has taken from the training runs what it was not given."""
    cfg = compose("backtest", [*typed(walk)[-1], *further])
    training = settings_of_fold(walk, 1).data
    cfg.data = {key: training[key] if one is None else one for key, one in cfg.data.items()}
    weights = {f"predictor_{n}": f"{'older ' if n == retrained else ''}weights {n}" for n in (1, 2, 3)}
    return _leave(walk.backtest_run, cfg, "backtest", data, {**weights, "predictor_parent": "weights 0"})


def _leave(folder: Path, cfg: DictConfig, kind: str, data: str, weights: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    save_config(folder, cfg)
    summary: dict[str, Any] = {"kind": kind, "market": {"name": "demo", "fingerprint": data}, "weights": weights}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder
