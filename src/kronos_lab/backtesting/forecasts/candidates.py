"""Whose forecasts a backtest trades, and whose stand beside them: one checkpoint or an ensemble, and the parent."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from kronos_lab.errors import InputError
from kronos_lab.models.hub import weights_fingerprint
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.checkpoint import Checkpoint, find_checkpoint
from kronos_lab.runs.provenance import (
    WindowSettings,
    knowledge_warnings,
    training_config,
    window_settings,
    window_warnings,
)
from kronos_lab.runs.summary import read_summary

log = logging.getLogger(__name__)

PARENT_SUFFIX = "_parent"


@dataclass(frozen=True)
class Candidate:
    """Weights to forecast with.

    Attributes:
        checkpoint: where they are.
        trained: configuration of the run that made them, if there is one.
        suffix: of names in the run folder and its summary; empty for the only ones that are traded.
        number: counts an ensemble, from 0 on. It is added to the seed, so that paths that are pooled are drawn apart;
            a parent draws as its finetune does, so that the two differ by their weights alone.
    """

    checkpoint: Checkpoint
    trained: DictConfig | None
    suffix: str
    number: int = 0

    @property
    def folder(self) -> str:
        """Name of the folder of their forecasts, within the run folder."""
        return f"forecasts{self.suffix}"

    @property
    def calibration_folder(self) -> str:
        """Name of the folder of those with many paths."""
        return f"calibration{self.suffix}"


@dataclass(frozen=True)
class Candidates:
    """All weights of one backtest.

    Attributes:
        own: what is traded: one, or several whose paths are pooled.
        parent: what the only one of them was finetuned from; None where there is none, or it is not wanted.
    """

    own: Sequence[Candidate]
    parent: Candidate | None

    @property
    def all(self) -> list[Candidate]:
        """The traded ones first."""
        return [*self.own, *([self.parent] if self.parent else [])]

    @property
    def title(self) -> str:
        """What is traded, in one line."""
        titles = [candidate.checkpoint.title for candidate in self.own]
        return titles[0] if len(titles) == 1 else f"ensemble of {len(titles)}: {'; '.join(titles)}"

    def load(self) -> tuple[list[tuple[KronosTokenizer, Kronos]], dict[str, str]]:
        """The models in the order of `all`, and the fingerprints of all of them by name.

        Raises:
            InputError: two of an ensemble are the same.
        """
        models = [candidate.checkpoint.load() for candidate in self.all]
        own = [tuple(fingerprints(*pair).values()) for pair in models[: len(self.own)]]
        for number, one in enumerate(own):
            if one in own[:number]:
                first, second = (self.own[n].checkpoint.title for n in (own.index(one), number))
                raise InputError(f"an ensemble of the same weights: {second} has those of {first}; name each once")
        found = {
            f"{name}{candidate.suffix}": fingerprint
            for candidate, pair in zip(self.all, models, strict=True)
            for name, fingerprint in fingerprints(*pair).items()
        }
        return models, found

    @property
    def facts(self) -> dict[str, str]:
        """What is traded, and the training runs behind it with their page or experiment at Comet."""
        found = {"checkpoint": self.title}
        for candidate in self.own:
            if candidate.checkpoint.run is None:
                continue
            folder = candidate.checkpoint.run.folder
            found[f"training_run{candidate.suffix}"] = str(folder)
            record = (read_summary(folder) or {}).get("comet")
            if record:
                found[f"training_experiment{candidate.suffix}"] = record["url"] or record["experiment"]
        return found

    def window(self, given: Mapping[str, Any], without_run: Mapping[str, Any]) -> WindowSettings:
        """The settings all of them forecast with, see `window_settings`.

        Raises:
            InputError: the checkpoints of an ensemble were trained on different ones, and nothing else is asked for.
        """
        windows = [window_settings(given, candidate.trained, without_run) for candidate in self.own]
        for other in windows[1:]:
            for name, value in asdict(windows[0]).items():
                if getattr(other, name) != value:
                    raise InputError(
                        f"the checkpoints of an ensemble see the same bars, but were trained with data.{name}={value} "
                        f"and {getattr(other, name)}: give data.{name}="
                    )
        return windows[0]

    @property
    def choice_warnings(self) -> list[str]:
        """What to know of how they were chosen."""
        return [warning for candidate in self.own for warning in candidate.checkpoint.warnings]

    def warnings(self, window: WindowSettings, first_day: pd.Timestamp) -> list[str]:
        """What to know of the weights before their forecasts are believed."""
        found = []
        for candidate in self.own:
            name = f"{candidate.checkpoint.title}: " if len(self.own) > 1 else ""
            known = candidate.checkpoint.warnings
            known += tuple(knowledge_warnings(candidate.checkpoint, candidate.trained, first_day))
            found += [f"{name}{warning}" for warning in known]
        if self.parent:
            known = tuple(knowledge_warnings(self.parent.checkpoint, self.parent.trained, first_day))
            known += tuple(window_warnings(window, self.parent.trained))
            found += [f"parent: {warning}" for warning in known]
        return found


def own_weights(weights: Mapping[str, str]) -> dict[str, str]:
    """Of the fingerprints of a backtest, as `Candidates.load` names them, those of what is traded."""
    return {name: fingerprint for name, fingerprint in weights.items() if not name.endswith(PARENT_SUFFIX)}


def fingerprints(tokenizer: KronosTokenizer, predictor: Kronos) -> dict[str, str]:
    """Of the weights, by name."""
    return {"predictor": weights_fingerprint(predictor), "tokenizer": weights_fingerprint(tokenizer)}


def find_candidates(
    checkpoint: str | int | Sequence[str | int] | None,
    tokenizer: str | int | None,
    outputs: Path,
    market: str,
    market_fingerprint: str,
    with_parent: bool,
) -> Candidates:
    """Find what `checkpoint=` means, see `find_checkpoint`; a list is an ensemble.

    Raises:
        InputError: one of them, or the parent, is not found.
    """
    named = list(checkpoint) if isinstance(checkpoint, Sequence) and not isinstance(checkpoint, str) else [checkpoint]
    if not all(isinstance(one, str | int | None) and not isinstance(one, bool) for one in named):
        raise InputError(f"checkpoint={checkpoint} is no run, folder or Hub id: quote it, checkpoint='\"{named[0]}\"'")
    if not named or len(set(named)) < len(named) or (None in named and len(named) > 1):
        raise InputError(f"checkpoint={named} is no list of different checkpoints: give one, or [first, second, ...]")
    own = []
    for number, one in enumerate(named, start=1):
        found = find_checkpoint(one, tokenizer, outputs, market, market_fingerprint)
        log.info("checkpoint  %s", found.title)
        suffix = "" if len(named) == 1 else f"_{number}"
        own.append(Candidate(found, training_config(found), suffix, number - 1))
    return Candidates(own, _parent(own[0], outputs) if with_parent and len(own) == 1 else None)


def _parent(candidate: Candidate, outputs: Path) -> Candidate | None:
    model = candidate.trained.model if candidate.trained is not None else None
    if model is None or model.pretrained is None:
        return None
    try:
        found = find_checkpoint(model.pretrained, model.pretrained_tokenizer, outputs, market=None)
    except InputError as error:
        raise InputError(f"its parent is not found ({error}): backtest.parent=false leaves it out") from error
    log.info("parent      %s", found.title)
    return Candidate(found, training_config(found), PARENT_SUFFIX)
