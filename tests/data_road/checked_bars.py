"""What the checks of the import make of bars."""

import numpy as np
import pandas as pd

from kronos_lab.data.checks import Findings, Thresholds
from kronos_lab.data.ingest import check_bars

DEFAULTS = Thresholds()


def check(rows: pd.DataFrame, thresholds: Thresholds = DEFAULTS) -> tuple[pd.DataFrame, pd.DataFrame]:
    findings = Findings()
    left, _ = check_bars(rows, thresholds, findings)
    return left.reset_index(drop=True), findings.frame()


def adjusted_returns(rows: pd.DataFrame) -> np.ndarray:
    return (rows["close"] * rows["factor"]).pct_change().to_numpy()[1:]


def assert_found(found: pd.DataFrame, check: str, action: str, dates: list[pd.Timestamp]) -> None:
    """Exactly these rows, by exactly this check, and nothing else."""
    assert set(zip(found["check"], found["action"], strict=True)) == {(check, action)}
    assert found["date"].tolist() == dates
    assert found["detail"].str.len().min() > 0
