"""How every picture of the report looks: colours, panels, titles."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

INK, MUTED, GRID = "#1b2733", "#66757f", "#e3e8ec"
PORTFOLIO, BEFORE_COST = "#1f4e79", "#8fb3d9"
BENCHMARK_COLOURS = ("#d9822b", "#7a8a99")
WIDTH = 9.2  # inches


def date_panels(rows: int, height: float, ratios: tuple[float, ...] | None = None) -> tuple[Figure, list[Axes]]:
    """Panels above each other on one axis of dates: light grid, no frame."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(rows, 1, sharex=True, height_ratios=ratios, squeeze=False)
    for (axes,) in grid:
        bare(axes)
    locator = AutoDateLocator(minticks=4, maxticks=10)
    grid[-1][0].xaxis.set_major_locator(locator)
    grid[-1][0].xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    return figure, [row[0] for row in grid]


def bare(axes: Axes) -> None:
    """Light grid, no frame."""
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)


def line(axes: Axes, values: pd.Series, **style: Any) -> None:
    """A series against its days."""
    axes.plot(values.index, values, **style)


def finish(axes: Axes, title: str, level: float | None = None) -> None:
    """Title at the left, legend at the right above the panel, a line where nothing is gained or lost."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK, fontweight="bold")
    axes.margins(x=0.01)
    if level is not None:
        axes.axhline(level, color=MUTED, linewidth=0.7, zorder=1)
    if axes.get_legend_handles_labels()[0]:
        place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2}
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, ncols=4, **place)
