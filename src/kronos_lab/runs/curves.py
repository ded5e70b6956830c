"""The curves of a run that logged to CSV, put together over the processes it has taken."""

from pathlib import Path

import pandas as pd

from kronos_lab.errors import InputError


def read_curves(run: Path) -> pd.DataFrame:
    """Metrics of a run by step, one column each, as one uninterrupted process would have logged them.

    Every process of a run writes `<run>/csv/version_<n>/metrics.csv` of its own, from the step on at which it went on.
    A step that was trained twice, because it came after the last checkpoint, counts as it was trained last.

    Args:
        run: the run folder.

    Returns:
        A table indexed by step; NaN where a metric was not logged in a step.

    Raises:
        InputError: the run has logged nothing to CSV.
    """
    files = sorted(run.glob("csv/version_*/metrics.csv"), key=lambda file: int(file.parent.name.split("_")[1]))
    if not files:
        raise InputError(f"{run} has no csv/version_*/metrics.csv: it did not run with logger=csv")
    # The last line of a process that was killed may be cut short; the next process has logged that step again.
    parts = [pd.read_csv(file, on_bad_lines="skip") for file in files]
    return pd.concat(parts).groupby("step").last()
