"""The figure that `objective=` names: what a job of a sweep is judged by."""

import difflib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import SUMMARY_FILE

METRICS_FILE = "metrics.json"  # of a backtest
HEADLINE = "headline"
MOST_SUGGESTIONS = 5


class UnknownFigureError(InputError):
    """No figure of a run has the name: no other job of the sweep will have one either."""


def check_objective(objective: object, metrics: Collection[str] | None = None) -> None:
    """Refuse what cannot name a figure, before anything is computed.

    Args:
        objective: as configured; None for no objective.
        metrics: `<stage>/<name>` of all validation metrics of the training that begins, where that is what begins.

    Raises:
        InputError: it is no name, or it has the form of a validation metric and is none of them.
    """
    if objective is not None and (not isinstance(objective, str) or not objective.strip()):
        raise InputError(f"objective={objective!r} names no figure: give one, such as objective=predictor/val_loss")
    if metrics is not None and isinstance(objective, str) and "/" in objective and objective not in metrics:
        raise InputError(f"objective={objective} is no validation metric of this run; {_instead(objective, metrics)}")


def read_figures(folder: Path) -> dict[str, float | None]:
    """All numbers that a finished run has left, by name; None where a number is not known (NaN).

    Headline figures of `summary.json` go by their own names; those of `metrics.json` by the keys that lead to them,
    with dots between: `portfolio.with_cost.annual_return`.

    Args:
        folder: of the run.

    Raises:
        InputError: it has no summary.
    """
    documents = [json.loads(path.read_text("utf-8")) for path in _files(folder)]
    if not documents:
        raise InputError(f"{folder} has no {SUMMARY_FILE}: it did not finish")
    summary, *metrics = documents
    return {name: value for one in (*metrics, summary.get(HEADLINE, {})) for name, value in _flat(one)}


def read_objective(folder: Path, objective: str) -> float:
    """The figure of a finished run that `objective` names; see `read_figures`.

    Raises:
        UnknownFigureError: there is none of that name; the line says which there are.
        InputError: the figure is not known.
    """
    figures = read_figures(folder)
    if objective not in figures:
        raise UnknownFigureError(f"objective={objective} is no figure of {folder}; {_instead(objective, figures)}")
    value = figures[objective]
    if value is None or not math.isfinite(value):
        raise InputError(f"objective={objective} is not known of {folder}: the figure is null")
    return value


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / SUMMARY_FILE, folder / METRICS_FILE) if path.is_file()]


def _flat(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float | None]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield f"{above}{key}", None if value is None else float(value)


def _instead(objective: str, names: Collection[str]) -> str:
    """The names that are most like it; where none is, as many as fit in a line or so."""
    last = objective.rpartition("/")[2].rpartition(".")[2]
    alike = difflib.get_close_matches(objective, names, MOST_SUGGESTIONS, cutoff=0.5)
    alike += [name for name in names if name not in alike and name.endswith(last)]
    if alike:
        return f"it has {', '.join(alike[:MOST_SUGGESTIONS])} and {len(names)} figures in all"
    return f"it has {', '.join(names)}"
