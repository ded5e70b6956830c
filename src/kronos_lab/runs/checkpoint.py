"""Which weights a forecast or a backtest uses: a run folder, a model folder, a Hub id, or the newest finished run."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kronos_lab.errors import InputError
from kronos_lab.models.hub import CONFIG_FILE
from kronos_lab.models.pair import check_pair
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.folder import find_folder
from kronos_lab.runs.summary import FinishedRun, find_finished_training_runs, read_run

log = logging.getLogger(__name__)

PREDICTOR_FOLDER, TOKENIZER_FOLDER = "predictor", "tokenizer"
CHECKPOINTS_FILE = "checkpoints.json"  # of a walk-forward: which weights forecast from which day on

TOKENIZER_OF_PUBLISHED = {
    "NeoQuasar/Kronos-mini": "NeoQuasar/Kronos-Tokenizer-2k",
    "NeoQuasar/Kronos-small": "NeoQuasar/Kronos-Tokenizer-base",
    "NeoQuasar/Kronos-base": "NeoQuasar/Kronos-Tokenizer-base",
}
PUBLISHED = TOKENIZER_OF_PUBLISHED.keys() | set(TOKENIZER_OF_PUBLISHED.values())


@dataclass(frozen=True)
class Checkpoint:
    """A predictor and its tokenizer, each a folder or a Hub id with an optional `@revision`.

    Attributes:
        predictor: where the predictor is.
        tokenizer: where its tokenizer is.
        title: one line for people: what was chosen.
        run: the training run it comes from, None for a model folder or the Hub.
        warnings: what to know of the choice.
    """

    predictor: str
    tokenizer: str
    title: str
    run: FinishedRun | None = None
    warnings: tuple[str, ...] = ()

    def load(self) -> tuple[KronosTokenizer, Kronos]:
        """Both models, in evaluation mode, checked to belong together."""
        tokenizer = KronosTokenizer.from_pretrained(*split_revision(self.tokenizer))
        predictor = Kronos.from_pretrained(*split_revision(self.predictor))
        check_pair(predictor, tokenizer)
        return tokenizer, predictor


def find_checkpoint(
    checkpoint: str | int | None,
    tokenizer: str | int | None,
    outputs: Path,
    market: str | None,
    market_fingerprint: str | None = None,
) -> Checkpoint:
    """Find the weights that `checkpoint=` and `tokenizer=` mean.

    Args:
        checkpoint: folder of a training run, folder of a predictor, or a Hub id (`id@revision` pins it). None takes
            the newest finished training run.
        tokenizer: run (folder or name), folder or Hub id of the tokenizer. None takes the run's, the one beside the
            predictor's folder, or the one the published predictor was trained with.
        outputs: folder of all runs.
        market: with no checkpoint, only runs on a market of this name count; None takes any.
        market_fingerprint: content hash of that market: a run found on other content comes with a warning.

    Raises:
        InputError: nothing is found; the line says what to do.
    """
    tokenizer = find_tokenizer(tokenizer, outputs)
    if checkpoint is None:
        finished = find_finished_training_runs(outputs, market)
        runs = [run for run in finished if (run.folder / PREDICTOR_FOLDER).is_dir()]
        if not runs:
            on_market = f" on market {market}" if market else ""
            raise InputError(
                f"no finished training run{on_market} in {outputs / 'train'}: run train.py first, or give checkpoint= "
                "(a run folder, a model folder, or a Hub id such as NeoQuasar/Kronos-small)"
            )
        found = _of_run(runs[0], tokenizer)
        if None in (market_fingerprint, runs[0].market_fingerprint) or market_fingerprint == runs[0].market_fingerprint:
            return found
        warning = (
            f"other data: the newest run on a market called {market}, {runs[0].name}, was trained on other data than "
            "this; give checkpoint= if another run is meant"
        )
        log.warning(warning)
        return replace(found, warnings=(warning,))

    checkpoint = str(checkpoint)  # a run called 20240701 arrives as a number
    folder = find_folder(checkpoint, outputs / "train") or Path(checkpoint).expanduser()
    if (folder / PREDICTOR_FOLDER).is_dir():
        run = read_run(folder)
        if run is not None:
            return _of_run(run, tokenizer)
        return _of_folders(folder / PREDICTOR_FOLDER, tokenizer)
    if (folder / CONFIG_FILE).is_file():
        return _of_folders(folder, tokenizer)
    if folder.is_dir():
        raise InputError(
            f"{folder} holds no model: give a finished run (with {PREDICTOR_FOLDER}/ and {TOKENIZER_FOLDER}/) "
            f"or a model folder (with {CONFIG_FILE})"
        )
    if checkpoint.startswith((".", "~", os.sep)) or checkpoint.count("/") != 1:
        raise InputError(
            f"there is no {checkpoint}: give a run folder, a model folder, or a Hub id such as NeoQuasar/Kronos-small"
        )
    known = tokenizer or TOKENIZER_OF_PUBLISHED.get(split_revision(checkpoint)[0])
    if known is None:
        raise InputError(f"checkpoint {checkpoint} does not say which tokenizer it needs: give tokenizer=")
    return Checkpoint(checkpoint, known, f"{checkpoint} with {known}")


def dated_checkpoints(checkpoint: Any, outputs: Path) -> dict[str, str] | None:
    """Weights by the day from which on they forecast, where `checkpoint=` means several that take turns; else None.

    Args:
        checkpoint: as configured: a mapping from days, or the folder or name of a walk-forward.
        outputs: folder of all runs.

    Raises:
        InputError: the mapping is empty or names no checkpoint, or the walk-forward has no weights yet.
    """
    if isinstance(checkpoint, Mapping):
        for day, named in checkpoint.items():
            if not isinstance(named, str | int) or isinstance(named, bool):
                raise InputError(f"checkpoint={{{day}: {named}}} is no run, folder or Hub id")
        if not checkpoint:
            raise InputError("checkpoint={} names no weights: give {<first day>: <run>, <later day>: <run>}")
        return {str(day): str(named) for day, named in checkpoint.items()}
    if not isinstance(checkpoint, str | int):
        return None
    folder = find_folder(checkpoint, outputs / "walk_forward", CHECKPOINTS_FILE)
    if folder is None:
        return None
    dated = json.loads((folder / CHECKPOINTS_FILE).read_text(encoding="utf-8"))
    return {day: str((folder / run).resolve()) for day, run in dated.items()}


def find_tokenizer(tokenizer: str | int | None, outputs: Path) -> str | None:
    """Folder or Hub id of the tokenizer that `tokenizer=` means: a run, by folder or name, stands for its own."""
    if tokenizer is None:
        return None
    run = find_folder(tokenizer, outputs / "train")
    return str(run / TOKENIZER_FOLDER) if run and (run / TOKENIZER_FOLDER).is_dir() else str(tokenizer)


def _of_run(run: FinishedRun, tokenizer: str | None) -> Checkpoint:
    title = (
        f"run {run.name}, finished {run.finished.astimezone():%Y-%m-%d %H:%M}, "
        f"predictor {run.weights.get(PREDICTOR_FOLDER, 'unknown')}, {run.folder}"
    )
    if not (run.folder / PREDICTOR_FOLDER).is_dir():
        raise InputError(f"run {run.folder} holds no predictor: it trained the tokenizer alone; give checkpoint=")
    return Checkpoint(str(run.folder / PREDICTOR_FOLDER), tokenizer or str(run.folder / TOKENIZER_FOLDER), title, run)


def _of_folders(predictor: Path, tokenizer: str | None) -> Checkpoint:
    beside = predictor.parent / TOKENIZER_FOLDER
    if tokenizer is None and not beside.is_dir():
        raise InputError(f"no tokenizer beside {predictor}: give tokenizer=<folder or Hub id>")
    chosen = tokenizer or str(beside)
    return Checkpoint(str(predictor), chosen, f"{predictor} with {chosen}")


def split_revision(path_or_id: str) -> tuple[str, str | None]:
    """A folder as it is, or the id and the revision of `id@revision`."""
    if Path(path_or_id).expanduser().is_dir():
        return path_or_id, None
    name, _, revision = path_or_id.partition("@")
    return name, revision or None
