"""The end of a comparison: its files, what the tracker gets, and the screen."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from rich.markup import escape
from rich.table import Table

from kronos_lab.backtesting.comparison.comparison import RANK_IC_NEXT, RETURN_LESS, RunComparison
from kronos_lab.backtesting.comparison.rows import EXCESS, RATIO, shown_settings
from kronos_lab.backtesting.comparison.verdict import verdict
from kronos_lab.backtesting.report.comparison_figures import differences_figure, equity_figure
from kronos_lab.backtesting.report.comparison_tables import (
    MOST_COLUMNS,
    different_settings,
    figures_table,
    less_table,
    money_table,
    runs_table,
    settings_table,
    value,
)
from kronos_lab.backtesting.report.html import write_page
from kronos_lab.backtesting.report.wording import number, percent
from kronos_lab.runs.console import screen
from kronos_lab.runs.tracking import log_outcome, log_table

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

TABLE_FILE, PAGE_FILE, DOTS_PER_INCH = "comparison.csv", "comparison.html", 120
FIGURE_PARTS = ("deviation", "low", "high", "p", "days")
SELECTION = {
    "best": "highest excess over equal weight after cost, of the runs of the first table",
    "superiority": "Hansen's test for superior predictive ability (SPA) of the daily differences from the run all are "
    "held against, stationary bootstrap with blocks of at least the sessions of the label (of returns: the horizon): "
    "that none is better, the best having been picked. Of each figure by itself: of several figures one looks better "
    "more easily",
    "paired_differences": "day by day on the days that both have, the same resampled days for all rows",
    "seeds": "runs that differ in nothing but seeds of sampling or training: mean ± standard deviation over them; "
    "their daily series are averaged, and intervals and p are of that average, for the days; the Sharpe ratio that is "
    "deflated is that of the average",
}  # fmt: skip

log = logging.getLogger(__name__)


def comparison_frame(compared: RunComparison) -> pd.DataFrame:
    """One row per setting: its table, runs, what differs (`set.<name>`), figures with interval and p, differences.

    Fractions; per year where `Row.figures` says so. `table` counts from 1; rows of different tables are not comparable.
    """
    keys = different_settings(compared)
    rows = []
    for number_of, table in enumerate(compared.tables, start=1):
        for line in table.lines:
            conditions = asdict(table.conditions)
            del conditions["trading"]
            row: dict[str, Any] = {"table": number_of, "row": line.row.name, **conditions}
            row["unlike_table_1"] = "; ".join(table.unlike)
            row["runs"], row["seeds"] = " ".join(run.name for run in line.row.runs), len(line.row.runs)
            row |= {f"set.{key}": shown_settings(line.row).get(key) for key in keys}
            for name, figure in (line.figures | line.less).items():
                row[name] = figure.value
                row |= {f"{name}_{part}": getattr(figure, part) for part in FIGURE_PARTS if _known(figure, part)}
            rows.append(row)
    table_RK = pd.DataFrame(rows)
    lines = [line for table in compared.tables for line in table.lines]
    figures = dict.fromkeys(name for line in lines for name in line.figures | line.less)
    ordered = [name for figure in figures for name in (figure, *(f"{figure}_{part}" for part in FIGURE_PARTS))]
    known = [name for name in table_RK if name not in ordered]
    return table_RK[known + [name for name in ordered if name in table_RK]]


def _known(figure: Any, part: str) -> bool:
    known = getattr(figure, part)
    return bool(known) and np.isfinite(known)


def save_comparison(folder: Path, compared: RunComparison, settings: Mapping[str, Any]) -> None:
    """Write table, pictures and page, each under a temporary name first.

    Args:
        folder: the run folder.
        compared: what there is to say.
        settings: the resolved configuration.
    """
    partial = folder / f"{TABLE_FILE}.partial"
    comparison_frame(compared).to_csv(partial, index=False)
    partial.replace(folder / TABLE_FILE)
    differences = differences_figure(compared)
    figures = {"equity": equity_figure(compared)} | ({} if differences is None else {"differences": differences})
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=DOTS_PER_INCH)
    parts = [
        {
            "title": table.conditions.title,
            "unlike": table.unlike,
            "settings": settings_table(compared, table) if len(different_settings(compared)) > MOST_COLUMNS else None,
            "figures": figures_table(compared, table),
            "money": money_table(table),
            "less": less_table(compared, table),
        }
        for table in compared.tables
    ]
    runs = sum(len(line.row.runs) for table in compared.tables for line in table.lines)
    conventions = compared.against.runs[0].metrics["conventions"]
    kept = {name: conventions[name] for name in ("excess", "first_session", "deflated_sharpe_ratio")}
    write_page(
        folder / PAGE_FILE,
        "comparison.html.j2",
        figures,
        title=f"{runs} backtests beside each other",
        lead=f"All are held against {compared.against.name}",
        verdict=verdict(compared),
        warnings=compared.notes + [_elsewhere(compared)] * (len(compared.tables) > 1),
        parts=parts,
        against=compared.against.name,
        runs=runs_table(compared),
        conventions={name.replace("_", " "): text for name, text in (SELECTION | kept).items()},
        settings=yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True),
    )


def _elsewhere(compared: RunComparison) -> str:
    names = [line.row.name for table in compared.tables[1:] for line in table.lines]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"{len(compared.tables)} tables, whose figures are not comparable with each other: {shown} stand"
        f"{'s' * (len(names) == 1)} apart, each table says why"
    )


def headline(compared: RunComparison) -> dict[str, float]:
    """The figures one looks at first, flat, for `summary.json` and the logger: of every row, and of the best."""
    flat = {}
    for table in compared.tables:
        for line in table.lines:
            for name in (*(key for key in line.figures if key.startswith("rank_ic")), EXCESS, RATIO):
                flat[f"{line.row.name}/{name}"] = line.figures[name].value
            flat |= {f"{line.row.name}/{name}": figure.value for name, figure in line.less.items()}
    flat |= {f"superiority_p/{name}": found.p for name, found in compared.superiority.items()}
    flat["trials"] = float(compared.luck["trials"])
    flat["deflated_sharpe_ratio"] = compared.luck["probability"]
    return {name: float(number_of) for name, number_of in flat.items()}


def track(logger: "Logger", folder: Path, compared: RunComparison) -> None:
    """Send figures, table, pictures and page to Comet, or what of it another logger takes."""
    log_outcome(logger, "compare", headline(compared), folder, [folder / PAGE_FILE, folder / TABLE_FILE])
    log_table(logger, "comparison", comparison_frame(compared).set_index("row"))


def show(folder: Path, compared: RunComparison) -> None:
    """What to know, a short table for each set of comparable runs and the verdict, on the terminal."""
    console = screen()
    for note in compared.notes:
        console.print(f"[yellow]{escape(note)}[/]")
    for table in compared.tables:
        if table.unlike:
            console.print(
                f"[yellow]not comparable with the above: {escape('; '.join(table.unlike))}[/]", highlight=False
            )
        shown = Table("", "rank IC", "excess", "ratio", "rank IC, less", "net return, less", box=None)
        for line in table.lines:
            less = (line.less.get(f"{RANK_IC_NEXT}_less"), line.less.get(RETURN_LESS))
            shown.add_row(
                escape(line.row.name),
                value(line.figures[RANK_IC_NEXT], number, 4),
                value(line.figures[EXCESS], percent, 1),
                value(line.figures[RATIO], number, 2),
                "" if less[0] is None else value(less[0], number, 4),
                "" if less[1] is None else value(less[1], percent, 1),
            )
        console.print(shown)
    for sentence in verdict(compared):
        console.print(escape(sentence), highlight=False)
    log.info("page        %s", folder / PAGE_FILE)
