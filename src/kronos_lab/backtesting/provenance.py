"""What is known of the weights: the settings they were trained with, and the days they may have seen."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from kronos_lab.runs.checkpoint import Checkpoint
from kronos_lab.runs.folder import load_config

FIRST_DAY_AFTER_PRETRAINING = pd.Timestamp("2024-07-01")  # the released models saw data to June 2024


@dataclass(frozen=True)
class WindowSettings:
    """What a forecast sees and how it is normalised.

    Attributes:
        lookback: bars seen.
        horizon: bars forecast.
        max_gap: sessions that may be missing between two neighbouring bars of a lookback.
        clip: bound on normalised values.
        rescale: see `fit_scale`.
    """

    lookback: int
    horizon: int
    max_gap: int
    clip: float
    rescale: bool


def training_config(checkpoint: Checkpoint) -> DictConfig | None:
    """Resolved configuration of the training run behind the weights; None for a model folder or the Hub."""
    return load_config(checkpoint.run.folder) if checkpoint.run else None


def window_settings(given: DictConfig, trained: DictConfig | None, without_run: DictConfig) -> WindowSettings:
    """The settings to forecast with: what was asked for, else what training had, else the defaults of training.

    Args:
        given: `data` of the backtest, null where nothing is asked for.
        trained: configuration of the training run, if there is one.
        without_run: `data` as a training run would have it by default.
    """
    fallback = without_run if trained is None else trained.data

    def choose(name: str) -> Any:
        return fallback[name] if given[name] is None else given[name]

    names = WindowSettings.__dataclass_fields__
    return WindowSettings(**{name: choose(name) for name in names})


def knowledge_warnings(checkpoint: Checkpoint, trained: DictConfig | None, start: pd.Timestamp) -> list[str]:
    """Why the weights may have seen days they are tested on; nothing where they cannot have.

    Args:
        checkpoint: the weights.
        trained: configuration of the training run, if there is one.
        start: first signal day of the test.
    """
    warnings = []
    if start < FIRST_DAY_AFTER_PRETRAINING:
        released = "the released Kronos weights saw data to June 2024"
        began = f"inside pretraining: the test starts on {start:%Y-%m-%d}, and"
        if checkpoint.published:
            warnings.append(f"{began} {released}")
        elif trained is None:
            warnings.append(f"{began} {released}, which {checkpoint.predictor} may descend from")
        elif trained.model.pretrained:
            warnings.append(f"{began} {released}, which this run began from ({trained.model.pretrained})")
    if trained is not None and start <= pd.Timestamp(trained.split.val_end):
        warnings.append(
            f"inside training: the test starts on {start:%Y-%m-%d}, and the run was trained and validated on days up "
            f"to {pd.Timestamp(trained.split.val_end):%Y-%m-%d}"
        )
    return warnings
