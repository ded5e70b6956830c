"""The end of a walk-forward: what each fold's weights were worth on their own days, and all of them together."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from kronos_lab.backtesting.finished_backtest import read_metrics, read_scores
from kronos_lab.backtesting.headline_on_screen import print_headline
from kronos_lab.backtesting.report.wording import chance, number, span
from kronos_lab.backtesting.score_quality import NEXT_SESSION, sure_figures
from kronos_lab.data.market import Market
from kronos_lab.evaluation.ranking import daily_correlation, open_to_open_return
from kronos_lab.runs.console import screen
from kronos_lab.runs.folder import METRICS_FILE
from kronos_lab.runs.summary import write_json

log = logging.getLogger(__name__)


def fold_figures(market: Market, score_LN: pd.DataFrame, folds: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Rank IC over the next session (open to open) of the days of each fold.

    Args:
        market: where the prices are.
        score_LN: of the joined backtest, signal days × symbols.
        folds: see `folds_table`.
        seed: of the bootstrap.

    Returns:
        For each fold its row, and `rank_ic` as `sure_figures` has it.
    """
    open_LN = market.wide(["open"], list(score_LN.columns))["open"]
    daily_L = daily_correlation(score_LN, open_to_open_return(open_LN, NEXT_SESSION), "rank")
    found = []
    for row in folds.to_dict("records"):
        own = daily_L.loc[row["test_start"] : row["test_end"]]
        found.append(
            {
                **{str(key): value for key, value in row.items()},
                "rank_ic": sure_figures(own.to_frame("rank_ic"), NEXT_SESSION, seed)["rank_ic"],
            }
        )
    return found


def finish_walk_forward(folder: Path, market: Market, backtest: Path, folds: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Write `metrics.json` and print the table of folds and the headline of the joined backtest.

    Args:
        folder: of the walk-forward.
        market: what was traded.
        backtest: folder of the joined backtest, which has finished.
        folds: see `folds_table`, with the number of training windows.
        seed: of the bootstrap.

    Returns:
        What `metrics.json` holds: `folds`, see `fold_figures`.
    """
    figures = {"folds": fold_figures(market, read_scores(backtest), folds, seed)}
    write_json(folder / METRICS_FILE, figures)
    console = screen()
    console.print(_folds_table(figures["folds"]))
    print_headline(console, read_metrics(backtest))
    log.info("report      %s", backtest / "report.html")
    return figures


def _folds_table(folds: list[dict[str, Any]]) -> Table:
    table = Table(box=None, title="Folds, each forecast by its own weights", title_justify="left")
    for column in ("fold", "forecast days", "days", "trained until", "windows", "rank IC", "95 %", "p"):
        table.add_column(column, justify="left" if column in {"fold", "forecast days", "95 %"} else "right")
    for fold in folds:
        figures = fold["rank_ic"]
        table.add_row(
            str(fold["fold"]),
            f"{fold['test_start']} to {fold['test_end']}",
            str(fold["test_days"]),
            fold["train_end"],
            f"{fold['train_windows']:,}",
            number(figures["mean"], 4),
            figures["reason"] or span(figures, "mean", number, 4),
            chance(figures["p"]),
        )
    return table
