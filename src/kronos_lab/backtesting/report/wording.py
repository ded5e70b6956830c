"""How figures are written on the page: what is unknown is a dash, a minus is a minus."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

SMALLEST_P = 0.001


class Table(NamedTuple):
    """A table whose rows begin with their name."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str


def span(figures: Mapping[str, Any], figure: str, written: Callable[[float | None, int], str], digits: int = 1) -> str:
    """The interval of a figure in brackets; empty where there is none."""
    low, high = (figures[end if figure == "mean" else f"{figure}_{end}"] for end in ("low", "high"))
    return "" if unknown(low) else f"[{written(low, digits)}, {written(high, digits)}]"


def chance(p: float | None) -> str:
    """A p-value; simulated ones say no more than that they are small."""
    return f"< {SMALLEST_P}" if p is not None and p < SMALLEST_P else number(p, 3)


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as per cent; "–" where it is unknown."""
    return "–" if unknown(value) else f"{value:.{digits}%}".replace("-", "−")


def number(value: float | None, digits: int) -> str:
    """A number with that many digits; "–" where it is unknown."""
    return "–" if unknown(value) else f"{value:.{digits}f}".replace("-", "−")


def unknown(value: float | None) -> bool:
    """Whether there is no such figure: null where it was read from a file."""
    return value is None or math.isnan(value)


def capital(text: str) -> str:
    """The text as a sentence begins."""
    return text[:1].upper() + text[1:]
