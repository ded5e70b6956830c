"""A finished backtest, read back from its folder."""

from pathlib import Path
from typing import Any

import pandas as pd

from kronos_lab.backtesting.scores.signals import score_frame
from kronos_lab.errors import InputError
from kronos_lab.runs.folder import SUMMARY_FILE
from kronos_lab.runs.summary import read_summary

SIGNALS_FILE = "signals.parquet"


def find_backtest(run: str | int | None, outputs: Path) -> Path:
    """Folder of a finished backtest.

    Args:
        run: its folder, or its name under `outputs/backtest`; None for the newest.
        outputs: folder of all runs.

    Raises:
        InputError: there is none.
    """
    backtests = outputs / "backtest"
    if run is not None:
        given = Path(str(run)).expanduser()
        folder = given if given.is_dir() else backtests / str(run)
        if _finished(folder) is None:
            raise InputError(f"run={run} is no finished backtest: {folder} has no {SUMMARY_FILE} of one")
        return folder
    finished = {path.parent: _finished(path.parent) for path in backtests.rglob(SUMMARY_FILE)}
    found = {folder: summary["finished"] for folder, summary in finished.items() if summary is not None}
    if not found:
        raise InputError(f"no finished backtest in {backtests}: run backtest.py first, or give run=")
    return max(found, key=lambda folder: found[folder])


def read_scores(folder: Path) -> pd.DataFrame:
    """Scores that were traded, [L, N]: signal days × symbols."""
    scores = pd.read_parquet(folder / SIGNALS_FILE)
    return score_frame(scores["date"].to_numpy(), scores["symbol"].to_numpy(), scores["score"].to_numpy())


def _finished(folder: Path) -> dict[str, Any] | None:
    summary = read_summary(folder)
    return summary if summary and summary.get("kind") == "backtest" else None
