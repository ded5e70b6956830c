"""The files a backtest leaves in its run folder, besides the forecasts."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos_lab.backtesting.report.figures import draw_figures
from kronos_lab.backtesting.report.page import write_report
from kronos_lab.backtesting.results import Results
from kronos_lab.backtesting.signals import long_format
from kronos_lab.runs.summary import write_json
from kronos_lab.runs.tracking import log_file, log_image, tracked

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

REPORT_FILE = "report.html"
METRICS_FILE = "metrics.json"
DOTS_PER_INCH = 120


def save_tables(folder: Path, results: Results) -> None:
    """`metrics.json`, `signals.parquet` (date, symbol, score), and the ledger as three tables, see `Ledger`.

    `portfolio.parquet` has a row per session, `holdings.parquet` per session and name, `trades.parquet` per fill.
    """
    write_json(folder / METRICS_FILE, {**results.metrics, "warnings": results.warnings})
    tables = {
        "signals": long_format(results.score_LN),
        "portfolio": results.ledger.daily.reset_index(),
        "holdings": results.ledger.holdings,
        "trades": results.ledger.trades,
    }
    for name, table in tables.items():
        partial = folder / f"{name}.parquet.partial"
        table.to_parquet(partial, index=False)
        partial.replace(folder / f"{name}.parquet")


def save_report(
    folder: Path, results: Results, *, title: str, lead: str, facts: Mapping[str, str], settings: str
) -> list[Path]:
    """`report.html` with its figures inside, and the same figures as `figures/*.png`; returns these. See `write_report`."""
    figures = draw_figures(results)
    (folder / "figures").mkdir(exist_ok=True)
    pictures = [folder / "figures" / f"{name}.png" for name in figures]
    for picture, figure in zip(pictures, figures.values(), strict=True):
        figure.savefig(picture, dpi=DOTS_PER_INCH)
    write_report(
        folder / REPORT_FILE,
        title=title,
        lead=lead,
        metrics=results.metrics,
        figures=figures,
        warnings=results.warnings,
        facts=facts,
        settings=settings,
    )
    return pictures


def describe(settings: object) -> str:
    """A frozen dataclass of settings in words: "ExpectedReturn: horizon 10"."""
    assert is_dataclass(settings)
    values = (f"{field.name.replace('_', ' ')} {getattr(settings, field.name)}" for field in fields(settings))
    return f"{type(settings).__name__}: {', '.join(values)}"


def log_results(
    logger: "Logger", folder: Path, settings: Mapping[str, Any], headline: Mapping[str, float], pictures: list[Path]
) -> None:
    """Send settings, headline figures, pictures and the report to Comet (or whatever the logger is)."""
    with tracked(logger, settings):
        logger.log_metrics({f"backtest/{name}": value for name, value in headline.items()}, step=0)
        for picture in pictures:
            log_image(logger, picture)
        for file in (REPORT_FILE, METRICS_FILE):
            log_file(logger, folder / file)
