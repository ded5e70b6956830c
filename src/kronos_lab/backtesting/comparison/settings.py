"""What backtests differ in: their own settings, and those of the training runs behind their weights.

Settings are flat, by dotted name; those of training begin with `train.`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kronos_lab.backtesting.luck import decisive_settings
from kronos_lab.runs.ancestry import run_of
from kronos_lab.runs.flat_settings import NOT_DECISIVE, flat
from kronos_lab.runs.folder import load_config
from kronos_lab.runs.search_trial import PRUNING
from kronos_lab.runs.summary import read_summary

TRAINING = "training_run"  # as `Candidates.facts` names the folders, with a suffix for each of an ensemble
PRETRAINED = ("pretrained", "pretrained_tokenizer")
WEIGHTS = "weights"
Settings = dict[str, Any]


def settings_of(summary: Mapping[str, Any]) -> Settings:
    """What decides, apart from the market, what a backtest held.

    Weights are known by the settings of the training run that left them, where it is still there; else by their
    fingerprints, as `weights`.

    Args:
        summary: of a finished backtest.
    """
    found = flat(decisive_settings(summary["config"]))
    if "turns" in summary:
        found["turns"] = summary["turns"]
    runs = {key.removeprefix(TRAINING): Path(folder) for key, folder in summary.items() if key.startswith(TRAINING)}
    trained = {suffix: _training(folder, _predictor(summary, suffix)) for suffix, folder in runs.items()}
    members = [key for key in summary["weights"] if key.startswith("predictor") and not key.endswith("_parent")]
    if len(trained) < len(members) or None in trained.values():
        found[WEIGHTS] = weights_of(summary)
    if len(members) > 1:
        found["members"] = len(members)
    of_members = [settings or {} for settings in trained.values()]
    keys = dict.fromkeys(key for settings in of_members for key in settings)
    return found | {f"train.{key}": _together(of_members, key) for key in keys}


def _together(of_members: Sequence[Settings], key: str) -> Any:
    """A setting of all trainings behind a backtest: of several where they differ, so that one compares with many."""
    values = [settings.get(key) for settings in of_members]
    return values[0] if len({written(value) for value in values}) == 1 else " + ".join(map(written, values))


def weights_of(summary: Mapping[str, Any]) -> str:
    """Fingerprints of the weights that were traded, in one word."""
    own = {name: value for name, value in summary["weights"].items() if not name.endswith("_parent")}
    return "+".join(own[name] for name in sorted(own))


def without_seeds(settings: Mapping[str, Any]) -> Settings:
    """Settings but for seeds, of sampling and of training."""
    return {key: value for key, value in settings.items() if not is_seed(key)}


def is_seed(key: str) -> bool:
    """Whether a setting is a seed."""
    return key.rpartition(".")[2] == "seed"


def different(all_settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of settings that are not the same for all; a setting that one lacks is another one there."""
    names = dict.fromkeys(key for settings in all_settings for key in settings)
    return sorted(key for key in names if len({written(settings.get(key)) for settings in all_settings}) > 1)


def written(value: Any) -> str:
    """A setting as it is shown, and told from another."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _predictor(summary: Mapping[str, Any], suffix: str) -> str | None:
    return summary["weights"].get(f"predictor{suffix}")


def _training(folder: Path, predictor: str | None) -> Settings | None:
    """What decided what a training run learned, what it started from included; None where that run is not there."""
    summary = read_summary(folder)
    if not summary or summary.get("kind") != "train" or summary["weights"].get("predictor") != predictor:
        return None
    return _learned(folder, summary)


def _learned(folder: Path, summary: Mapping[str, Any]) -> Settings:
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(load_config(folder), resolve=True)
    assert isinstance(config, dict)
    found = flat({str(key): value for key, value in config.items() if key not in NOT_DECISIVE})
    # What gives up a training changes none that finished.
    found = {key: value for key, value in found.items() if not key.startswith(f"{PRUNING}.")}
    # A setting that was made of the run's seed says nothing more.
    found = {key: value for key, value in found.items() if key == "seed" or value != config["seed"] or not is_seed(key)}
    found["market"] = summary["market"].get("fingerprint")
    for key in PRETRAINED:
        start = found.get(f"model.{key}")
        run = run_of(start) if isinstance(start, str) else None
        before = read_summary(run.folder) if run else None
        if run and before:
            del found[f"model.{key}"]
            found |= {f"model.{key}.{name}": value for name, value in _learned(run.folder, before).items()}
    return found
