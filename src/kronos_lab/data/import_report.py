"""The report of an import: every row touched as CSV, the counts as JSON, both for people as Markdown and a table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from kronos_lab.data.checks import FINDING_COLUMNS
from kronos_lab.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

NAME = "import_report"
MASS_ACTION = "suspended"  # expected in every source, and most of all lines
MOST_EVENTS_SHOWN = 200


def report_files(summary: dict[str, Any], findings: pd.DataFrame) -> dict[str, bytes]:
    """File name → content of the three forms of a report.

    Args:
        summary: plain JSON, made by `ingest`; its `checks` are added here.
        findings: columns `FINDING_COLUMNS`, one line per row touched.
    """
    content = {**summary, "checks": count_findings(findings)}
    return {
        f"{NAME}.csv": findings.to_csv(index=False, columns=list(FINDING_COLUMNS)).encode(),
        f"{NAME}.json": json.dumps(content, indent=2).encode(),
        f"{NAME}.md": _markdown(content, findings).encode(),
    }


def read_report(store: Path) -> dict[str, Any]:
    """The summary (JSON) of the import that made a store."""
    path = store / f"{NAME}.json"
    if not path.is_file():
        raise InputError(f"{store} was not imported: it has no {path.name}")
    return dict(json.loads(path.read_text()))


def count_findings(findings: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows and symbols per check and action."""
    grouped = findings.groupby(["check", "action"], observed=True)["symbol"]
    counts = grouped.agg(rows="size", symbols="nunique").reset_index()
    return [{str(key): value for key, value in row.items()} for row in counts.to_dict("records")]


def condense_findings(findings: pd.DataFrame) -> pd.DataFrame:
    """One line per event: rows of a symbol with the same check, action and detail, as first, last and rows."""
    same = ["symbol", "check", "action", "detail"]
    dates = findings.groupby(same, sort=False, observed=True)["date"]
    events = dates.agg(first="min", last="max", rows="size").reset_index()
    events["first"], events["last"] = events["first"].map(as_text), events["last"].map(as_text)
    return events[["symbol", "first", "last", "rows", "check", "action", "detail"]]


def as_text(stamp: pd.Timestamp) -> str:
    """A stamp for people: without a time of day where it is midnight."""
    return str(stamp).removesuffix(" 00:00:00")


def report_table(summary: dict[str, Any], store: Path) -> "RenderableType":
    """The report as a table for the terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    checks = Table("check", "what was done", "rows", "symbols", title="What the checks found", title_justify="left")
    for line in summary["checks"]:
        checks.add_row(line["check"], line["action"], f"{line['rows']:,}", f"{line['symbols']:,}")
    if not summary["checks"]:
        checks.add_row("all", "nothing to do", "0", "0")
    universes = Table("universe", "symbols", "without bars", title="Memberships", title_justify="left")
    for name, universe in summary["universes"].items():
        universes.add_row(name, f"{universe['symbols']:,}", f"{len(universe['without_bars']):,}")
    lines = [_headline(summary), *summary["notes"], f"every row: {store / NAME}.csv"]
    tables = [checks, universes] if summary["universes"] else [checks]
    return Group(*tables, *(Text(line) for line in lines))


def _headline(summary: dict[str, Any]) -> str:
    return (
        f"{summary['rows_read']:,} rows read, {summary['bars']:,} bars of {summary['symbols']:,} symbols kept, "
        f"{summary['first']} to {summary['last']}, {summary['seconds']:.0f} s"
    )


def _markdown(summary: dict[str, Any], findings: pd.DataFrame) -> str:
    events = condense_findings(findings[findings["action"] != MASS_ACTION])
    shown = events.head(MOST_EVENTS_SHOWN)
    parts = [f"# Import of {summary['source']}", _headline(summary) + "."]
    parts += [_rows(pd.DataFrame(summary["checks"]))] if summary["checks"] else ["The checks found nothing."]
    parts += [f"- {note}" for note in summary["notes"]]
    if summary["universes"]:
        parts += ["## Memberships"]
        parts += [
            f"- {name}: {universe['symbols']} symbols, {len(universe['without_bars'])} without bars"
            + (f": {', '.join(universe['without_bars'])}" if universe["without_bars"] else "")
            for name, universe in summary["universes"].items()
        ]
    if len(events):
        parts += ["## Rejected, repaired, and kept in spite", _rows(shown)]
    if len(events) > len(shown):
        parts += [f"{len(events) - len(shown)} more: see {NAME}.csv"]
    return "\n\n".join(parts) + "\n"


def _rows(table: pd.DataFrame) -> str:
    header = [" | ".join(map(str, table.columns)), " | ".join("---" for _ in table.columns)]
    rows = [" | ".join(str(value).replace("|", "/") for value in row) for row in table.itertuples(index=False)]
    return "\n".join(f"| {line} |" for line in header + rows)
