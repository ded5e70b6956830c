"""The figures of a backtest that one looks at first, on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos_lab.backtesting.conclusions import calibration_sentences, verdict
from kronos_lab.backtesting.report.tables import headline_table

WIDE = 90  # characters: below, what the figures mean would be a column of single words


def print_headline(console: Console, metrics: Mapping[str, Any]) -> None:
    """A table of figures and, in words, what they say."""
    lines = headline_table(metrics)
    table = Table(box=None, show_header=False)
    for column in ("name", "value"):  # only what they mean may be cut short on a narrow terminal
        table.add_column(no_wrap=True, min_width=max(len(getattr(line, column)) for line in lines))
    table.add_column(no_wrap=console.width < WIDE, overflow="ellipsis")
    for line in lines:
        table.add_row(line.name, f"[bold]{line.value}[/]", escape(line.how.split(";")[0]))
    console.print(table)
    for sentence in [*verdict(metrics), *calibration_sentences(metrics)]:
        console.print(escape(sentence), highlight=False)
