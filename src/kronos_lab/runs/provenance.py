"""What is known of the weights: the settings they were trained with, and the days they may have seen."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from kronos_lab.data.settings import positive_number, switch, whole_number
from kronos_lab.data.split import parse_day
from kronos_lab.models.pair import untrained_like
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.ancestry import LAST_DAY_OF_PRETRAINING, describe_origin, is_published, run_of, seen_until
from kronos_lab.runs.checkpoint import Checkpoint
from kronos_lab.runs.folder import load_config


@dataclass(frozen=True)
class WindowSettings:
    """What a forecast sees and how it is normalised.

    Attributes:
        lookback: bars seen.
        horizon: bars forecast.
        max_gap: sessions that may be missing between two neighbouring bars of a lookback.
        clip: bound on normalised values.
        rescale: see `fit_scale`.

    Raises:
        InputError: naming the first that makes no sense, `data.<name>`.
    """

    lookback: int
    horizon: int
    max_gap: int
    clip: float
    rescale: bool

    def __post_init__(self) -> None:
        """Refuse what would fail, or mean something else than it says, when forecasts are made."""
        for name, least in {"lookback": 2, "horizon": 1, "max_gap": 0}.items():
            whole_number(f"data.{name}", getattr(self, name), least)
        positive_number("data.clip", self.clip)
        switch("data.rescale", self.rescale)


def training_config(checkpoint: Checkpoint) -> DictConfig | None:
    """Resolved configuration of the training run that left the weights; None for other model folders and the Hub."""
    run = run_of(checkpoint.predictor)
    return load_config(run.folder) if run else None


def window_settings(
    given: Mapping[str, Any], trained: DictConfig | None, without_run: Mapping[str, Any]
) -> WindowSettings:
    """The settings to forecast with: what was asked for, else what training had, else a default.

    Args:
        given: every setting by name, None where nothing is asked for.
        trained: configuration of the training run, if there is one.
        without_run: what to take where there is none.
    """
    fallback = without_run if trained is None else trained.data

    def choose(name: str) -> Any:
        return fallback[name] if given[name] is None else given[name]

    names = WindowSettings.__dataclass_fields__
    return WindowSettings(**{name: choose(name) for name in names})


def window_warnings(window: WindowSettings, trained: DictConfig | None) -> list[str]:
    """Where weights are compared on other windows than those of their training: figures may be about that alone."""
    if trained is None:
        return []
    other = [name for name, value in asdict(window).items() if trained.data[name] != value]
    if not other:
        return []
    seen = ", ".join(f"data.{name}={trained.data[name]}" for name in other)
    return [f"other windows: trained with {seen}, forecast with {', '.join(f'{getattr(window, n)}' for n in other)}"]


def random_start(
    models: tuple[KronosTokenizer, Kronos], trained: DictConfig | None, seed: int
) -> tuple[KronosTokenizer, Kronos]:
    """Such networks before anything was learned: as their training run began, where there is one.

    Args:
        models: tokenizer and predictor.
        trained: configuration of the run; its seed counts. A tokenizer that it was given and did not train stays.
        seed: of the random weights where there is no run.
    """
    began = untrained_like(*models, seed=seed if trained is None else trained.seed)
    if trained is not None and trained.stage == "predictor" and trained.model.pretrained is None:
        return copy.deepcopy(models[0]), began[1]
    return began


def compared_with_training(lookback: int, trained: DictConfig | None) -> str:
    """The bars that a forecast sees, in words, beside those that training showed."""
    if trained is None:
        return f"{lookback} bars"
    seen = trained.data.lookback
    return f"{lookback} bars, {'as' if lookback == seen else seen} in training"


def knowledge_warnings(
    checkpoint: Checkpoint, trained: DictConfig | None, start: pd.Timestamp, what: str = "test"
) -> list[str]:
    """Why the weights may have seen days they are tested on; nothing where they cannot have.

    Args:
        checkpoint: the weights.
        trained: configuration of the training run, if there is one.
        start: first signal day of the test, or first day of a forecast.
        what: starts then, in a word.
    """
    weights = [checkpoint.predictor, checkpoint.tokenizer]
    until, first_day = seen_until(weights), start.normalize()
    began = f"the {what} starts on {start:%Y-%m-%d}, and"
    if until is not None:
        if first_day > pd.Timestamp(until):
            return []
        if all(is_published(one) for one in weights):
            return [f"inside pretraining: {began} the released Kronos weights saw data to {until}"]
        return [f"inside training: {began} these weights ({describe_origin(weights)}) saw days up to {until}"]
    own = None if trained is None else parse_day("split.val_end", trained.split.val_end)
    if own is not None and first_day <= own:
        return [f"inside training: {began} the run was trained and validated on days up to {own:%Y-%m-%d}"]
    if first_day <= pd.Timestamp(LAST_DAY_OF_PRETRAINING):
        return [
            f"inside pretraining: {began} the released Kronos weights saw data to {LAST_DAY_OF_PRETRAINING}, which "
            f"{checkpoint.predictor} may descend from"
        ]
    unknown = next(one for one in weights if seen_until([one]) is None)
    return [
        f"unknown training days: nothing says up to which day {unknown} or its origin was trained; an unchanged copy "
        f"of released Kronos weights (data to {LAST_DAY_OF_PRETRAINING}) cannot have seen the {what}, others may have"
    ]
