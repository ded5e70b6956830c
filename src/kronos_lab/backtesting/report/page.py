"""`report.html`: one page with everything inside it, the figures one looks at first on top."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kronos_lab.backtesting.report.calibration_section import calibration_section
from kronos_lab.backtesting.report.html import write_page
from kronos_lab.backtesting.report.luck_part import luck_part
from kronos_lab.backtesting.report.tables import (
    baselines_table,
    coverage_sentence,
    headline_table,
    order_sentence,
    parts_table,
    ranking_table,
    returns_table,
    styles_sentence,
    trading_table,
    years_table,
)


def write_report(
    path: Path,
    *,
    title: str,
    lead: str,
    verdict: Sequence[str],
    metrics: Mapping[str, Any],
    figures: Mapping[str, Figure],
    warnings: Sequence[str],
    facts: Mapping[str, str],
    settings: str,
) -> None:
    """Write the page, under a temporary name first.

    Args:
        path: of the page.
        title: its heading.
        lead: one sentence under it.
        verdict: what is known after all, in sentences.
        metrics: as `results.measure` gives them.
        figures: see `draw_figures`; and "fans", where there are any.
        warnings: what to know before reading on.
        facts: what was run: market, checkpoint, ...
        settings: the resolved configuration as YAML.
    """
    write_page(
        path,
        "page.html.j2",
        figures,
        title=title,
        lead=lead,
        verdict=verdict,
        warnings=warnings,
        headline=headline_table(metrics),
        returns=returns_table(metrics),
        ranking=ranking_table(metrics),
        order=order_sentence(metrics),
        years=years_table(metrics),
        parts=parts_table(metrics),
        baselines=baselines_table(metrics),
        luck=luck_part(metrics),
        trading=trading_table(metrics),
        styles=styles_sentence(metrics),
        coverage=coverage_sentence(metrics),
        calibration=calibration_section(metrics),
        facts=facts,
        conventions={name.replace("_", " "): text for name, text in metrics["conventions"].items()},
        settings=settings,
    )
