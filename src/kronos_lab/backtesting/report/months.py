"""Return and excess of every month, as a map."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from kronos_lab.backtesting.report.drawing import BENCHMARK_COLOURS, INK, MUTED, PORTFOLIO, WIDTH

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LOSS_TO_GAIN = LinearSegmentedColormap.from_list("loss to gain", (BENCHMARK_COLOURS[0], "#ffffff", PORTFOLIO))
STRONGEST = 0.75  # of the colours: numbers stay readable


def months_figure(returns: Mapping[str, pd.Series]) -> Figure:
    """A row per year, a column per month; months with few sessions look as any other.

    Args:
        returns: daily returns by what they are of; compounded within a month.
    """
    tables = {name: month_table(daily) for name, daily in returns.items()}
    years = len(next(iter(tables.values())))
    figure = Figure(figsize=(WIDTH, len(tables) * (0.65 + 0.36 * years)), layout="constrained")
    panels = figure.subplots(len(tables), 1, squeeze=False)[:, 0]
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        _map(axes, table)
        axes.set_title(f"{name}, month by month", loc="left", fontsize=10.5, color=INK, fontweight="bold")
    return figure


def month_table(daily: pd.Series) -> pd.DataFrame:
    """Compounded return by year and month (1 to 12), NaN where there is no session."""
    days = pd.DatetimeIndex(daily.index)
    growth = (1 + daily).groupby([days.year, days.month]).prod() - 1
    return growth.unstack().reindex(columns=range(1, 13))


def _map(axes: Axes, table: pd.DataFrame) -> None:
    values = table.to_numpy()
    largest = np.nanmax(np.abs(values)) / STRONGEST or 1.0
    axes.imshow(values, cmap=LOSS_TO_GAIN, vmin=-largest, vmax=largest, aspect="auto")
    for row, column in np.argwhere(np.isfinite(values)):
        text = f"{values[row, column]:.1%}".replace("-", "−")
        axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=INK)
    axes.set_xticks(range(12), MONTHS)
    axes.set_yticks(range(len(table)), [str(year) for year in table.index])
    axes.tick_params(colors=MUTED, length=0, labelsize=9)
    axes.spines[:].set_visible(False)
