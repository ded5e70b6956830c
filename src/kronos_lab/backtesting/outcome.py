"""The end of a backtest: what is on disk, in `summary.json`, at the tracker and on the screen."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.markup import escape

from kronos_lab.backtesting.conclusions import headline, verdict
from kronos_lab.backtesting.forecasts.candidates import Candidates
from kronos_lab.backtesting.forecasts.earlier_forecasts import files_to_send
from kronos_lab.backtesting.headline_on_screen import print_headline
from kronos_lab.backtesting.luck import among_trials
from kronos_lab.backtesting.report.fans import fans_figure
from kronos_lab.backtesting.report.figures import draw_figures
from kronos_lab.backtesting.report.page import write_report
from kronos_lab.backtesting.results import Results
from kronos_lab.backtesting.scores.signals import long_format
from kronos_lab.data.market import Market
from kronos_lab.runs.console import screen
from kronos_lab.runs.folder import METRICS_FILE
from kronos_lab.runs.laps import Laps
from kronos_lab.runs.summary import write_json, write_summary
from kronos_lab.runs.tracking import facts_of_run, log_artifact, log_outcome, record_of, tracked

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger
    from matplotlib.figure import Figure

REPORT_FILE = "report.html"
FIGURES_FOLDER = "figures"
DOTS_PER_INCH = 120

log = logging.getLogger(__name__)


def finish_backtest(
    folder: Path,
    results: Results,
    settings: Mapping[str, Any],
    market: Market,
    weights: Mapping[str, str],
    candidates: Candidates,
    parts: Sequence[Any],
    logger: "Logger",
    started: float,
    lap: Laps,
) -> None:
    """Write tables, report and `summary.json`, track the figures, and say what came out.

    Args:
        folder: the run folder.
        results: the finished backtest.
        settings: the resolved configuration.
        market: what was traded.
        weights: fingerprints of the models by name.
        candidates: the weights, and where they come from.
        parts: frozen dataclasses of settings to list in the report: sampling, signal, strategy, ...
        logger: where figures go besides the folder.
        started: `time.time()` when the run began.
        lap: of the run so far.
    """
    # With its parent beside it, it is no other trial.
    results = _counted(folder, results, market, settings, candidates.evaluated(weights))
    days, figures = results.score_LN.index, headline(results.metrics)
    forecasts = [[folder / candidate.folder for candidate in turn] for turn in candidates.turns]
    fans = fans_figure(market, forecasts, results.score_LN, settings["data"]["horizon"], settings["seed"])
    save_tables(folder, results)
    save_report(
        folder,
        results,
        title=f"Backtest of {settings['universe']['name']}, {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}",
        lead=f"Market {market.name}, {candidates.title}",
        facts={
            "Market": f"{market.name}, fingerprint {market.fingerprint}",
            "Weights": ", ".join(f"{name} {fingerprint}" for name, fingerprint in weights.items()),
            "Paths": f"{settings['forecast']['paths']}, seed {settings['seed']}",
            **{_words(type(part).__name__): _settings(part) for part in parts},
        },
        settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
        further_figures={} if fans is None else {"fans": fans},
    )
    lap("report")
    facts = {f"weights_{name}": fingerprint for name, fingerprint in weights.items()} | candidates.facts
    with tracked(logger, settings, facts_of_run(folder, market, **facts)):
        sent = [folder / REPORT_FILE, folder / METRICS_FILE]
        log_outcome(logger, "backtest", figures, folder / FIGURES_FOLDER, sent)
        made = [file for name in _forecast_folders(folder, candidates) for file in files_to_send(folder, name)]
        log_artifact(logger, folder, "backtest", ["signals.parquet", *made], facts)
    write_summary(
        folder,
        kind="backtest",
        name=settings["name"],
        config=settings,
        seed=settings["seed"],
        market=market.name,
        market_fingerprint=market.fingerprint,
        weights=weights,
        started=started,
        headline=figures,
        further={**candidates.facts, "seconds": lap.seconds, **record_of(logger)},
    )
    _print_headline(folder, results)


def _forecast_folders(folder: Path, candidates: Candidates) -> list[str]:
    """Names of the folders of all forecasts in the run folder: those that are traded, and those of the calibration."""
    calibration = [path for own in candidates.own for path in sorted((folder / own.calibration_folder).glob("*"))]
    return [candidate.folder for candidate in candidates.all] + [str(path.relative_to(folder)) for path in calibration]


def _counted(
    folder: Path, results: Results, market: Market, settings: Mapping[str, Any], weights: Mapping[str, str]
) -> Results:
    """The results with `trials` among their figures, see `among_trials`."""
    net = results.ledger.daily["net_return"]
    excess = (net - results.against["equal_weight"].returns.reindex(net.index)).dropna()
    if excess.empty:
        return results
    figures, warnings = among_trials(folder, excess, market, settings, weights)
    return replace(results, metrics=results.metrics | {"trials": figures}, warnings=[*results.warnings, *warnings])


def save_tables(folder: Path, results: Results) -> None:
    """`metrics.json`, `signals.parquet` (date, symbol, score), and the ledger as three tables, see `Ledger`.

    `daily.parquet` has rank IC and benchmarks of each day, see `Results.daily`. `portfolio.parquet` has a row per
    session, `holdings.parquet` per session and name, `trades.parquet` per fill. Where there are random portfolios,
    `random_portfolios.parquet` has a row per session and a column of returns for each.
    """
    write_json(folder / METRICS_FILE, {**results.metrics, "warnings": results.warnings})
    tables = {
        "signals": long_format(results.score_LN),
        "daily": results.daily.reset_index(),
        "portfolio": results.ledger.daily.reset_index(),
        "holdings": results.ledger.holdings,
        "trades": results.ledger.trades,
    }
    if results.random is not None:
        net_return_LR = results.random.net_return_LR
        tables["random_portfolios"] = net_return_LR.rename(columns=str).rename_axis("date").reset_index()
    for name, table in tables.items():
        partial = folder / f"{name}.parquet.partial"
        table.to_parquet(partial, index=False)
        partial.replace(folder / f"{name}.parquet")


def save_report(
    folder: Path,
    results: Results,
    *,
    title: str,
    lead: str,
    facts: Mapping[str, str],
    settings: str,
    further_figures: Mapping[str, "Figure"],
) -> None:
    """`report.html` with its figures inside, and the same figures as `figures/*.png`.

    Args:
        folder: the run folder.
        results: the finished backtest.
        title: heading of the report.
        lead: the line under it: which weights, which market.
        facts: what was run, by name.
        settings: the resolved configuration as YAML.
        further_figures: those that are made of more than the results, by name: "fans".
    """
    figures = draw_figures(results) | dict(further_figures)
    (folder / FIGURES_FOLDER).mkdir(exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / FIGURES_FOLDER / f"{name}.png", dpi=DOTS_PER_INCH)
    write_report(
        folder / REPORT_FILE,
        title=title,
        lead=lead,
        verdict=verdict(results.metrics),
        metrics=results.metrics,
        figures=figures,
        warnings=results.warnings,
        facts=facts,
        settings=settings,
    )


def _print_headline(folder: Path, results: Results) -> None:
    """Warnings, the figures one looks at first, and where the report is, on the terminal."""
    console = screen()
    for warning in results.warnings:
        console.print(f"[yellow]{escape(warning)}[/]")
    print_headline(console, results.metrics)
    log.info("report      %s", folder / REPORT_FILE)


def _words(class_name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", class_name).capitalize()


def _settings(part: Any) -> str:
    return ", ".join(f"{field.name.replace('_', ' ')} {getattr(part, field.name)}" for field in fields(part))
