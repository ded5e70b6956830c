"""A comparison on the screen, in the log and on disk."""

import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kronos_lab.evaluation.comparison import Comparison

TABLE_FILE, DAILY_FILE = "evaluation.csv", "evaluation_by_day.parquet"
UNKNOWN = "–"
WIDTH = 100  # of the printed tables, characters

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Column:
    """How a figure is printed: `aside` is a second figure beside it, its interval stands below."""

    title: str
    show: Callable[[float], str]
    aside: tuple[str, str] | None = None


def publish_comparison(folder: Path, comparison: Comparison) -> None:
    """Write the table and its daily figures to a run folder, and the table with its verdict to the log."""
    comparison.table.to_csv(folder / TABLE_FILE, index_label="row")
    daily = comparison.daily.stack(level=0, future_stack=True)
    daily.rename_axis(index=["date", "row"]).reset_index().to_parquet(folder / DAILY_FILE, index=False)
    log.info("%s", comparison_text(comparison))
    for line in comparison.lines:
        log.info("%s", line)


def read_daily(folder: Path) -> pd.DataFrame:
    """Daily figures of a comparison: columns date, row and every figure."""
    return pd.read_parquet(folder / DAILY_FILE)


def comparison_text(comparison: Comparison) -> str:
    """The table as text: ranks first, then errors; 95 % intervals below the figures."""
    about = comparison.manifest
    horizon = about["horizon"]
    ranks = {
        "rank_ic_1": Column("rank IC, 1 bar", "{:+.3f}".format),
        "rank_ic_h": Column(f"rank IC, {horizon} bars", "{:+.3f}".format, ("rank_ic_h_p", "  p {:.3f}")),
        "best_tenth_excess": Column(f"best tenth − all,\n{horizon} bars", "{:+.2%}".format),
        "best_tenth": Column("best tenth\n(all)", "{:+.2%}".format),
    }
    errors = {
        "crps": Column(f"CRPS, {horizon} bars", "{:.3%}".format),
        "coverage": Column("covered\n(ideal)", "{:.0%}".format, ("coverage_ideal", " ({:.0%})")),
        "error_to_persistence_1": Column("error / persistence,\n1 bar", "{:.3f}".format),
        "error_to_persistence_h": Column(f"error / persistence,\n{horizon} bars", "{:.3f}".format),
    }
    first, last = (about[day][: 10 if about["unit"] == "days" else 16] for day in ("first_day", "last_day"))
    title = (
        f"{about['pairs']:,} forecasts of {about['paths']} paths, {about['unit']}: {about['days']} from {first} to "
        f"{last}, pairs {about['fingerprint']}"
    )
    return "\n".join([title, *(_text(comparison.table, columns) for columns in (ranks, errors))]).rstrip()


def _text(table: pd.DataFrame, columns: Mapping[str, Column]) -> str:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    shown = [name for name in columns if name in table and table[name].notna().any()]
    printed = Table("", box=SIMPLE, pad_edge=False)
    for name in shown:
        printed.add_column(columns[name].title, justify="right")
    for row, values in table.iterrows():
        if values[shown].notna().any():
            printed.add_row(str(row), *(_cell(values, name, columns[name]) for name in shown))
    page = io.StringIO()
    Console(file=page, width=WIDTH, color_system=None, force_terminal=False).print(printed)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines() if line.strip())


def _cell(values: pd.Series, name: str, column: Column) -> str:
    if not np.isfinite(values[name]):
        return UNKNOWN
    cell = column.show(values[name])
    low, high = values.get(f"{name}_low", np.nan), values.get(f"{name}_high", np.nan)
    if column.aside and np.isfinite(values.get(column.aside[0], np.nan)):
        cell += column.aside[1].format(values[column.aside[0]])
    return f"{cell}\n[{column.show(low)}, {column.show(high)}]" if np.isfinite(low) else cell
