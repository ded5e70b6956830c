"""The pictures of a comparison: growth of every row, and how far each is from the one all are held against."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import MaxNLocator, PercentFormatter

from kronos_lab.backtesting.comparison.comparison import RANK_IC_NEXT, RETURN_LESS, ComparedTable, Line, RunComparison
from kronos_lab.backtesting.performance import equity_curve
from kronos_lab.backtesting.report.drawing import GRID, INK, MUTED, PORTFOLIO, WIDTH, bare, date_panels, finish, line
from kronos_lab.backtesting.report.figures import BENCHMARK_NAMES

ROW_COLOURS = (PORTFOLIO, "#d9822b", "#6a9a5b", "#8e5a9b", "#c0504d", "#3d9aa6")
BENCHMARK_STYLES = {"equal_weight": "--", "index": ":"}
MOST_BARS = 30  # rows in the picture of differences; the best ones
LONGEST_NAME = 28  # letters


def equity_figure(compared: RunComparison) -> Picture:
    """Growth of 1 after cost, a panel for each table; benchmarks where they are the same for all its rows."""
    figure, panels = date_panels(rows=len(compared.tables), height=0.6 + 3.0 * len(compared.tables))
    for axes, table in zip(panels, compared.tables, strict=True):
        _growth(axes, table)
    return figure


def _growth(axes: Axes, table: ComparedTable) -> None:
    for place, of in enumerate(table.lines):
        if place < len(ROW_COLOURS):
            style = {"color": ROW_COLOURS[place], "linewidth": 1.6, "label": _short(of.row.name), "zorder": 3}
        else:
            others = f"{len(table.lines) - len(ROW_COLOURS)} more" if place == len(ROW_COLOURS) else None
            style = {"color": MUTED, "linewidth": 0.7, "alpha": 0.5, "label": others}
        line(axes, equity_curve(of.row.net_return_L), **style)
    for name, returns_L in shared_benchmarks(table).items():
        style = {"color": MUTED, "linestyle": BENCHMARK_STYLES[name], "label": BENCHMARK_NAMES[name]}
        line(axes, equity_curve(returns_L.fillna(0.0)), linewidth=1.2, **style)
    finish(axes, "; ".join(table.unlike) or table.conditions.title, level=1)
    if legend := axes.get_legend():
        legend.remove()
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="center left", bbox_to_anchor=(1.0, 0.5))


def shared_benchmarks(table: ComparedTable) -> dict[str, pd.Series]:
    """Daily returns of the benchmarks that all runs of a table have, with the same values."""
    runs = [run for of in table.lines for run in of.row.runs]
    found = {}
    for name in BENCHMARK_STYLES:
        if not all(name in run.daily for run in runs):
            continue
        first, *others = (run.daily[name].reindex(run.net_return_L.index) for run in runs)
        if all(first.index.equals(one.index) and np.allclose(first, one, equal_nan=True) for one in others):
            found[name] = first
    return found


def differences_figure(compared: RunComparison) -> Picture | None:
    """Paired differences of the first table with their intervals; None where there is nothing to compare."""
    lines = [of for of in compared.first.lines if of.less][:MOST_BARS][::-1]
    if not lines:
        return None
    figure = Picture(figsize=(WIDTH, 1.2 + 0.32 * len(lines)), layout="constrained")
    rank_ic, earned = figure.subplots(1, 2, sharey=True)
    _intervals(rank_ic, lines, f"{RANK_IC_NEXT}_less", 1)
    _intervals(earned, lines, RETURN_LESS, 100)
    rank_ic.set_yticks(range(len(lines)), [_short(of.row.name) for of in lines])
    earned.xaxis.set_major_formatter(PercentFormatter())
    for axes, title in ((rank_ic, "Rank IC, next session"), (earned, "Net return a year")):
        axes.set_title(f"{title}: less {_short(compared.against.name)}", loc="left", fontsize=9.5, fontweight="bold")
    return figure


def _intervals(axes: Axes, lines: Sequence[Line], name: str, scale: float) -> None:
    bare(axes)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.axvline(0, color=MUTED, linewidth=0.9)
    for place, of in enumerate(lines):
        figure = of.less.get(name)
        if figure is None:
            continue
        axes.plot(scale * figure.value, place, "o", color=PORTFOLIO, markersize=5)
        axes.plot([scale * figure.low, scale * figure.high], [place, place], color=PORTFOLIO, linewidth=1.6)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"…{name[-LONGEST_NAME + 1 :]}"
