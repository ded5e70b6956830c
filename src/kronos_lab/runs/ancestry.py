"""Which days weights have seen: their own training, and whatever they were started from."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from kronos_lab.runs.checkpoint import PUBLISHED, split_revision
from kronos_lab.runs.summary import FinishedRun, read_run

LAST_DAY_OF_PRETRAINING = "2024-06-30"  # the released Kronos models saw data to June 2024


def seen_until(weights: Iterable[str], trained_until: str | None = None) -> str | None:
    """Last day that a model made of all these weights may have seen, as an ISO date; None where it is not known.

    Args:
        weights: folders of runs or models, and Hub ids, as given for `model.pretrained` or `checkpoint`.
        trained_until: last day of the model's own training and validation, if it was trained further.
    """
    days = [_seen_until(one) for one in weights] + ([trained_until] if trained_until else [])
    return None if None in days else max(day for day in days if day is not None)


def describe_origin(weights: Sequence[str]) -> str:
    """Where weights come from, back to the beginning, in words."""
    names = dict.fromkeys(_describe(one) for one in weights)
    return " and ".join(names) or "random weights"


def is_published(weights: str) -> bool:
    """Are these weights as their authors released them?"""
    return not Path(weights).expanduser().is_dir() and split_revision(weights)[0] in PUBLISHED


def run_of(weights: str) -> FinishedRun | None:
    """The training run whose folder, or model folder, this is."""
    folder = Path(weights).expanduser()
    return read_run(folder) or read_run(folder.parent)


def _seen_until(weights: str) -> str | None:
    if is_published(weights):
        return LAST_DAY_OF_PRETRAINING
    run = run_of(weights)
    return run.seen_until if run else None


def _describe(weights: str) -> str:
    run = run_of(weights)
    return f"run {run.name}, itself started from {run.started_from}" if run else weights
