"""The commands of a walk-forward: what is typed for each fold and for the backtest of all of them."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.walk_forward.plan import Fold

COMMANDS_FILE = "commands.txt"
GROUPS = ("market", "universe", "paths")  # settings of a walk-forward that both commands take
# What a walk-forward gives itself, and where it is said instead.
GIVEN = {
    "name": "name=",
    "resume": "the same command with the same name=, which goes on",
    "split": "walk_forward.*",
    "checkpoint": "walk_forward.*",
    "backtest.start": "walk_forward.first=",
    "backtest.end": "walk_forward.last=",
    **{group: f"{group}= without this list around it" for group in GROUPS},
}
NEEDS_NO_QUOTES = re.compile(r"[\w./:@+-]+")


def check_overrides(key: str, overrides: Any) -> list[str]:
    """The overrides of a list of the configuration, `train` or `backtest`.

    Raises:
        InputError: it is no list of overrides, or one of them is what a walk-forward gives itself.
    """
    listed = OmegaConf.to_container(overrides) if OmegaConf.is_list(overrides) else None
    if not isinstance(listed, list) or not all(isinstance(one, str) and "=" in one for one in listed):
        raise InputError(
            f"{key}={overrides} is no list of overrides: write \"{key}=['model=kronos_small','tuning=lora']\""
        )
    for one in listed:
        named = one.lstrip("+~").split("=")[0].split("@")[0]
        for given, instead in GIVEN.items():
            if named == given or named.startswith(f"{given}."):
                raise InputError(f"{key}: {one} is for the walk-forward to say: leave it out, and give {instead}")
    return [str(one) for one in listed]


def shared_overrides(cfg: DictConfig, choices: Mapping[str, str], plain: DictConfig) -> list[str]:
    """Overrides by which another command has the market, universe and paths of this one.

    Args:
        cfg: configuration of the walk-forward.
        choices: which option of each group it has.
        plain: configuration of another command with these choices and nothing else.
    """
    found = [f"{group}={choices[group]}" for group in ("market", "universe")]
    for group in GROUPS:
        here, there = (OmegaConf.to_container(one[group], resolve=True) for one in (cfg, plain))
        found += _different(group, cast(dict[str, Any], here), cast(dict[str, Any], there))
    return found


def _different(key: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    for name, value in here.items():
        path = f"{key}.{name}"
        if name in there and isinstance(value, dict) and isinstance(there[name], dict):
            yield from _different(path, value, there[name])
        elif name not in there or there[name] != value:
            yield f"{'' if name in there else '+'}{path}={typed_value(value)}"


def typed_value(value: Any) -> str:
    """A value of the configuration as Hydra reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{name}:{typed_value(one)}' for name, one in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(typed_value(one) for one in value)}]"
    text = str(value)
    if not isinstance(value, str) or (NEEDS_NO_QUOTES.fullmatch(text) and not text[0].isdigit()):
        return text
    # A backslash is itself but before a quote, the closing one included.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def fold_name(name: str | int, number: int) -> str:
    """Name of the training run of a fold."""
    return f"{name}_fold{number}"


def training_overrides(name: str | int, fold: Fold, shared: Sequence[str], train: Sequence[str]) -> list[str]:
    """Overrides of `train.py` for a fold that starts from what `train` names.

    Args:
        name: of the walk-forward.
        fold: which one.
        shared: see `shared_overrides`.
        train: what was asked for.
    """
    split = [f"split.{part}={day}" for part, day in asdict(fold.split).items() if day is not None]
    run = f"name={typed_value(fold_name(name, fold.number))}"
    return [*shared, *train, "split=default", *split, run]


def from_previous(outputs: Path, name: str | int, fold: Fold) -> list[str]:
    """Overrides by which a fold starts from the weights of the one before, its tokenizer too."""
    before = outputs.absolute() / "train" / fold_name(name, fold.number - 1)
    return [f"model.pretrained={typed_value(str(before))}", "model.pretrained_tokenizer=null"]


def backtest_overrides(
    name: str | int, folds: Sequence[Fold], folder: Path, shared: Sequence[str], backtest: Sequence[str]
) -> list[str]:
    """Overrides of `backtest.py` for the days of all folds.

    Args:
        name: of the walk-forward.
        folds: the plan.
        folder: of the walk-forward.
        shared: see `shared_overrides`.
        backtest: what was asked for.
    """
    return [
        *shared,
        *backtest,
        f"checkpoint={typed_value(str(folder.absolute()))}",
        f"backtest.start={folds[0].split.test_start}",
        f"backtest.end={folds[-1].split.test_end}",
        f"name={typed_value(str(name))}",
    ]


def as_typed(arguments: Sequence[str]) -> str:
    """A command as it is typed in the project's folder."""
    return shlex.join(["python", *arguments])
