"""The figure that `objective=` names: what a job of a sweep is judged by."""

import difflib
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from kronos_lab.errors import InputError
from kronos_lab.runs.folder import METRICS_FILE, SUMMARY_FILE

HEADLINE = "headline"
MOST_SUGGESTIONS = 8
# In the name of a family of figures, `rank_ic_<sessions>d` or `trading.<figure>`: what a word in brackets stands for.
PLACEHOLDER = re.compile(r"<(\w+)>")
STANDS_FOR = {"sessions": r"\d+", "keys": r".+"}
ANY_KEY = r"[^./]+"


class UnknownFigureError(InputError):
    """No figure of a run has the name: no other job of the sweep will have one either."""


def check_objective(objective: object, figures: Collection[str] | None = None, listed: str = "") -> None:
    """Refuse what cannot name a figure, before anything is computed.

    Args:
        objective: as configured; None for no objective.
        figures: names that figures of the runs in question may have, or of families of them: `<sessions>` in one
            stands for a number, `<keys>` for keys with dots between, any other word in brackets for one key. None
            where they are not known.
        listed: where a user finds all of them.

    Raises:
        InputError: it is no name, or none of these.
    """
    if objective is None:
        return
    if not isinstance(objective, str) or not objective.strip():
        raise InputError(f"objective={objective!r} names no figure: give one, such as objective=predictor/val_loss")
    if figures is not None and not any(is_one_of(objective, one) for one in figures):
        raise InputError(f"objective={objective} is no figure of such a run; {_instead(objective, figures, listed)}")


def is_one_of(figure: str, family: str) -> bool:
    """Whether a figure has the name, or one of the family's; see `check_objective`."""
    text_and_words = PLACEHOLDER.split(family)  # in turns
    pattern = "".join(
        STANDS_FOR.get(part, ANY_KEY) if number % 2 else re.escape(part) for number, part in enumerate(text_and_words)
    )
    return re.fullmatch(pattern, figure) is not None


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
        listed = " and ".join(path.name for path in _files(folder))
        line = f"objective={objective} is no figure of {folder}; {_instead(objective, figures, listed)}"
        raise UnknownFigureError(line)
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


def _instead(objective: str, names: Collection[str], listed: str) -> str:
    """The names that are most like it; where none is, the first ones."""
    last = objective.rpartition("/")[2].rpartition(".")[2]
    without_words = {PLACEHOLDER.sub("", name): name for name in names}
    alike = difflib.get_close_matches(objective, without_words, MOST_SUGGESTIONS, cutoff=0.5)
    near = [without_words[one] for one in alike]
    near += [name for name in names if name not in near and name.endswith(last)]
    told = (near or list(names))[:MOST_SUGGESTIONS]
    all_of_them = f"; all {len(names)} are in {listed}" if listed and len(names) > len(told) else ""
    return f"it has {', '.join(told)}{all_of_them}"
