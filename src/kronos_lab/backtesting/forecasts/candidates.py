"""Whose forecasts a backtest trades: one checkpoint, an ensemble, several that take turns; and the parent."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from kronos_lab.data.split import parse_day
from kronos_lab.data.windows import WindowIndex
from kronos_lab.errors import InputError
from kronos_lab.models.hub import weights_fingerprint
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.checkpoint import Checkpoint, dated_checkpoints, find_checkpoint
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
            a parent draws as its finetune does, so that the two differ by their weights alone. Those that take turns
            count as one: each draws as a backtest of its own days would.
        since: first day they forecast, where several take turns; None for all days.
        before: day from which on the next ones do; None for the last ones.
    """

    checkpoint: Checkpoint
    trained: DictConfig | None
    suffix: str
    number: int = 0
    since: pd.Timestamp | None = None
    before: pd.Timestamp | None = None

    @property
    def folder(self) -> str:
        """Name of the folder of their forecasts, within the run folder."""
        return f"forecasts{self.suffix}"

    @property
    def calibration_folder(self) -> str:
        """Name of the folder of those with many paths."""
        return f"calibration{self.suffix}"

    @property
    def title(self) -> str:
        """Which they are, and from when on where they take turns."""
        return f"from {self.since:%Y-%m-%d} {self.checkpoint.title}" if self.since else self.checkpoint.title

    def rows(self, windows: WindowIndex, row_S: np.ndarray | None = None) -> np.ndarray:
        """Signal rows of the days they forecast, of all windows or of those given."""
        row_S = windows.signal_rows(np.arange(len(windows))) if row_S is None else row_S
        stamp_S = windows.stamps_of(row_S)
        mine_S = np.ones(len(row_S), bool) if self.since is None else np.asarray(stamp_S >= self.since)
        return row_S[mine_S if self.before is None else mine_S & np.asarray(stamp_S < self.before)]


@dataclass(frozen=True)
class Candidates:
    """All weights of one backtest.

    Attributes:
        own: what is traded: one, several whose paths are pooled, or several that take turns, in the order of days.
        parent: what the only one of them, or all that take turns, go back to; None where there is none, or it is not
            wanted.
    """

    own: Sequence[Candidate]
    parent: Candidate | None

    @property
    def all(self) -> list[Candidate]:
        """The traded ones first."""
        return [*self.own, *([self.parent] if self.parent else [])]

    @property
    def turns(self) -> list[list[Candidate]]:
        """Those whose paths are pooled, for each stretch of days."""
        return [list(self.own)] if self.own[0].since is None else [[candidate] for candidate in self.own]

    @property
    def title(self) -> str:
        """What is traded, in one line."""
        titles = [candidate.title for candidate in self.own]
        many = "ensemble" if self.own[0].since is None else "turns"
        return titles[0] if len(titles) == 1 else f"{many} of {len(titles)}: {'; '.join(titles)}"

    def during(self, first: pd.Timestamp, last: pd.Timestamp) -> "Candidates":
        """Those that forecast a day of this range; all where they do not take turns.

        Raises:
            InputError: nobody forecasts the first of these days.
        """
        since = self.own[0].since
        if since is None:
            return self
        if first < since:
            raise InputError(
                f"checkpoint= has no weights for {first:%Y-%m-%d}, the first ones forecast from {since:%Y-%m-%d} on: "
                "begin there"
            )
        own = []
        for one in self.own:
            if (one.before is None or one.before > first) and (one.since is None or one.since <= last):
                own.append(one)
            else:
                log.info("left out    %s: none of its days is asked for", one.title)
        return replace(self, own=own)

    def load(self) -> tuple[list[tuple[KronosTokenizer, Kronos]], dict[str, str]]:
        """The models in the order of `all`, and the fingerprints of all of them by name.

        Raises:
            InputError: two of an ensemble are the same.
        """
        models = [candidate.checkpoint.load() for candidate in self.all]
        own = [tuple(fingerprints(*pair).values()) for pair in models[: len(self.own)]]
        for number, one in enumerate(own):
            if one in own[:number] and self.own[0].since is None:
                first, second = (self.own[n].checkpoint.title for n in (own.index(one), number))
                raise InputError(f"an ensemble of the same weights: {second} has those of {first}; name each once")
        found = {
            name: fingerprint
            for candidate, pair in zip(self.all, models, strict=True)
            for name, fingerprint in zip(_names(candidate), fingerprints(*pair).values(), strict=True)
        }
        return models, found

    def evaluated(self, weights: Mapping[str, str]) -> dict[str, str]:
        """Of the fingerprints by name those of what is traded; of weights that take turns with their first days."""
        since = {name: f" from {one.since:%Y-%m-%d}" for one in self.own if one.since for name in _names(one)}
        return {name: f"{value}{since.get(name, '')}" for name, value in own_weights(weights).items()}

    @property
    def facts(self) -> dict[str, str]:
        """What is traded, and the training runs behind it with their page or experiment at Comet."""
        found = {"checkpoint": self.title}
        if self.own[0].since:
            found["turns"] = ", ".join(f"{one.since:%Y-%m-%d}" for one in self.own)
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
            InputError: the checkpoints were trained on different ones, and nothing else is asked for.
        """
        windows = [window_settings(given, candidate.trained, without_run) for candidate in self.own]
        for other in windows[1:]:
            for name, value in asdict(windows[0]).items():
                if getattr(other, name) != value:
                    raise InputError(
                        f"the checkpoints of a backtest see the same bars, but were trained with data.{name}={value} "
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
            since = first_day if candidate.since is None else max(candidate.since, first_day)
            known += tuple(knowledge_warnings(candidate.checkpoint, candidate.trained, since))
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


def _names(candidate: Candidate) -> list[str]:
    """Of its weights, in the order of `fingerprints`."""
    return [f"{name}{candidate.suffix}" for name in ("predictor", "tokenizer")]


def find_candidates(
    checkpoint: str | int | Sequence[str | int] | Mapping[str | int, str | int] | None,
    tokenizer: str | int | None,
    outputs: Path,
    market: str,
    market_fingerprint: str,
    with_parent: bool,
) -> Candidates:
    """Find what `checkpoint=` means, see `find_checkpoint`; a list is an ensemble, and with days they take turns.

    Raises:
        InputError: one of them, or the parent, is not found.
    """

    def find(one: str | int | None) -> Checkpoint:
        return find_checkpoint(one, tokenizer, outputs, market, market_fingerprint)

    dated = dated_checkpoints(checkpoint, outputs)
    if dated is not None:
        return _in_turn(dated, find, outputs, with_parent)
    assert not isinstance(checkpoint, Mapping)
    named = list(checkpoint) if isinstance(checkpoint, Sequence) and not isinstance(checkpoint, str) else [checkpoint]
    if not all(isinstance(one, str | int | None) and not isinstance(one, bool) for one in named):
        raise InputError(f"checkpoint={checkpoint} is no run, folder or Hub id: quote it, checkpoint='\"{named[0]}\"'")
    if not named or len(set(named)) < len(named) or (None in named and len(named) > 1):
        raise InputError(f"checkpoint={named} is no list of different checkpoints: give one, or [first, second, ...]")
    own = []
    for number, one in enumerate(named, start=1):
        found = find(one)
        log.info("checkpoint  %s", found.title)
        suffix = "" if len(named) == 1 else f"_{number}"
        own.append(Candidate(found, training_config(found), suffix, number - 1))
    return Candidates(own, _parent(own[0], outputs) if with_parent and len(own) == 1 else None)


def _in_turn(
    dated: Mapping[str, str], find: Callable[[str], Checkpoint], outputs: Path, with_parent: bool
) -> Candidates:
    """Weights that forecast from a day on until the next ones do."""
    days = sorted((parse_day("checkpoint", day), named) for day, named in dated.items())
    if len({day for day, _ in days}) < len(days):
        raise InputError(f"checkpoint={dict(dated)} has a day twice: from each day on one checkpoint forecasts")
    own: list[Candidate] = []
    for number, (day, named) in enumerate(days):
        found = find(named)
        suffix = "" if len(days) == 1 else f"_{number + 1}"
        before = days[number + 1][0] if number + 1 < len(days) else None
        own.append(Candidate(found, training_config(found), suffix, since=day, before=before))
        log.info("checkpoint  %s", own[-1].title)
    parent = _parent(own[0], outputs) if with_parent else None
    if parent is not None and not all(_descends(one, [parent, *own[:n]], outputs) for n, one in enumerate(own)):
        log.info("parent      left out: the checkpoints do not go back to one")
        parent = None
    return Candidates(own, parent)


def _descends(candidate: Candidate, earlier: Sequence[Candidate], outputs: Path) -> bool:
    parent = _find_parent(candidate, outputs)
    return parent is not None and parent.predictor in {one.checkpoint.predictor for one in earlier}


def _parent(candidate: Candidate, outputs: Path) -> Candidate | None:
    found = _find_parent(candidate, outputs)
    if found is None:
        return None
    log.info("parent      %s", found.title)
    return Candidate(found, training_config(found), PARENT_SUFFIX)


def _find_parent(candidate: Candidate, outputs: Path) -> Checkpoint | None:
    model = candidate.trained.model if candidate.trained is not None else None
    if model is None or model.pretrained is None:
        return None
    try:
        return find_checkpoint(model.pretrained, model.pretrained_tokenizer, outputs, market=None)
    except InputError as error:
        raise InputError(f"its parent is not found ({error}): backtest.parent=false leaves it out") from error
