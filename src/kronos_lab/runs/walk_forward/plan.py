"""The folds of a walk-forward: what each is trained and validated on, and the days its weights forecast.

No label that a fold's weights were trained or validated on reaches over its `val_end`, and `embargo` whole bars lie
between that day and the first signal day.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos_lab.data.settings import positive_number, switch, whole_number
from kronos_lab.data.split import DateSplit, parse_day
from kronos_lab.errors import InputError
from kronos_lab.runs.console import screen

FOLDS_FILE = "folds.csv"
WINDOWS, STARTS = ("expanding", "rolling"), ("parent", "previous")


@dataclass(frozen=True)
class WalkForwardSettings:
    """What `walk_forward.*` of `conf/walk_forward.yaml` holds.

    Attributes:
        first: first signal day that is forecast.
        last: last one; None for the newest day with bars and members.
        months: months of signal days of a fold.
        window: "expanding" trains from the first day of the market on, "rolling" on the last `years`.
        years: of training signals; of an expanding window what the first fold has at the least. May be a fraction.
        val_months: months of validation after training, the embargo included.
        embargo: bars between the last one a validation label reaches and the first signal day; None for the least
            there may be, horizon + 1.
        start_from: weights each fold starts from: "parent", those `train` names (or random ones), or "previous",
            those of the fold before.
        jobs: trainings at a time.
        plan_only: whether to stop when the plan is made.

    Raises:
        InputError: naming the first that makes no sense.
    """

    first: str
    last: str | None
    months: int
    window: str
    years: float
    val_months: int
    embargo: int | None
    start_from: str
    jobs: int
    plan_only: bool

    def __post_init__(self) -> None:
        """Refuse what is no such setting."""
        parse_day("walk_forward.first", self.first)
        if self.last is not None:
            parse_day("walk_forward.last", self.last)
        for name, choices in {"window": WINDOWS, "start_from": STARTS}.items():
            if getattr(self, name) not in choices:
                raise InputError(f"walk_forward.{name}={getattr(self, name)}: choose one of {', '.join(choices)}")
        for name in ("months", "val_months", "jobs"):
            whole_number(f"walk_forward.{name}", getattr(self, name), least=1)
        if positive_number("walk_forward.years", self.years) * 12 < 1:
            raise InputError(f"walk_forward.years={self.years} is less than a month")
        switch("walk_forward.plan_only", self.plan_only)
        if self.start_from == "previous" and self.jobs > 1:
            raise InputError(
                f"walk_forward.jobs={self.jobs}: with start_from=previous each fold waits for the one before, leave it "
                "out"
            )

    def least_embargo(self, horizon: int) -> int:
        """Bars of embargo for forecasts of so many bars.

        Raises:
            InputError: fewer are asked for than a label spans.
        """
        if self.embargo is None:
            return horizon + 1
        return whole_number("walk_forward.embargo", self.embargo, least=horizon + 1)


@dataclass(frozen=True)
class Fold:
    """One retraining.

    Attributes:
        number: from 1 on.
        split: signal days of training and validation, and as its test part the days that these weights forecast.
    """

    number: int
    split: DateSplit


def plan_folds(
    settings: WalkForwardSettings, calendar: pd.DatetimeIndex, newest: pd.Timestamp, horizon: int
) -> list[Fold]:
    """The folds in order; their test days cover first to last without a gap.

    Days at the end that are too few for a fold of their own belong to the fold before.

    Args:
        settings: what is asked for.
        calendar: stamps of the market's bars.
        newest: newest day with bars and members.
        horizon: bars that are forecast.

    Raises:
        InputError: there are no such days, too few before the first fold, or an embargo that leaves no validation.
    """
    embargo = settings.least_embargo(horizon)
    bars_of_day = calendar.normalize()
    days = bars_of_day.unique()
    first, last = parse_day("walk_forward.first", settings.first), newest
    if settings.last is not None:
        last = min(newest, parse_day("walk_forward.last", settings.last))
    stretches = _stretches(days[(days >= first) & (days <= last)], first, settings.months, horizon + 2, bars_of_day)
    if not stretches:
        until = min(last, first + pd.DateOffset(months=settings.months, days=-1))
        raise InputError(
            f"from walk_forward.first={settings.first} to {until:%Y-%m-%d} there are fewer than the {horizon + 2} bars "
            f"that a fold of horizon {horizon} needs (days with bars: {days[0]:%Y-%m-%d} to {newest:%Y-%m-%d}): choose "
            "another walk_forward.first, or raise walk_forward.months"
        )
    folds = []
    for number, (begin, test_start, test_end) in enumerate(stretches, start=1):
        val_from, train_from = _reach_back(begin, settings)
        if train_from < days[0]:
            raise InputError(
                f"fold {number}, which forecasts from {test_start:%Y-%m-%d} on, needs {settings.years} years of "
                f"training before {settings.val_months} months of validation, and the market begins on "
                f"{days[0]:%Y-%m-%d}: walk_forward.first={_earliest(days[0], settings):%Y-%m-%d} or later, or lower "
                "walk_forward.years"
            )
        val_end = _embargoed(bars_of_day, test_start, embargo)
        val_days = days[(days >= val_from) & (days < test_start)]
        if not len(val_days) or int(((bars_of_day >= val_from) & (bars_of_day <= val_end)).sum()) < horizon + 2:
            raise InputError(
                f"an embargo of {embargo} bars leaves no validation to fold {number} ({settings.val_months} months "
                f"before {test_start:%Y-%m-%d}): raise walk_forward.val_months"
            )
        train_days = days[(days >= train_from) & (days < val_days[0])]
        train_start = None if settings.window == "expanding" else f"{train_days[0]:%Y-%m-%d}"
        rest = (train_days[-1], val_days[0], val_end, test_start, test_end)
        folds.append(Fold(number, DateSplit(train_start, *(f"{day:%Y-%m-%d}" for day in rest))))
    return folds


class _Stretch(NamedTuple):
    """Days that one fold forecasts.

    Attributes:
        begin: day from which validation and training are measured, with bars or not.
        first: first day with bars.
        last: last one.
    """

    begin: pd.Timestamp
    first: pd.Timestamp
    last: pd.Timestamp


def _stretches(
    days: pd.DatetimeIndex, first: pd.Timestamp, months: int, least: int, bars_of_day: pd.DatetimeIndex
) -> list[_Stretch]:
    """Stretches of so many months that have `least` bars; shorter ones join the one before."""
    found: list[_Stretch] = []
    number = 0
    while len(days) and (begin := first + pd.DateOffset(months=months * number)) <= days[-1]:
        number += 1
        own = days[(days >= begin) & (days < first + pd.DateOffset(months=months * number))]
        bars = int(bars_of_day.isin(own).sum())
        if bars >= least:
            found.append(_Stretch(begin, own[0], own[-1]))
        elif found and bars:
            found[-1] = found[-1]._replace(last=own[-1])
        elif bars:
            return []
    return found


def _reach_back(begin: pd.Timestamp, settings: WalkForwardSettings) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First days of validation and of the training that is asked for, of a fold that begins on this day."""
    val_from = begin - pd.DateOffset(months=settings.val_months)
    return val_from, val_from - pd.DateOffset(months=round(settings.years * 12))


def _earliest(market_begins: pd.Timestamp, settings: WalkForwardSettings) -> pd.Timestamp:
    """First day on which a fold may begin."""
    day = market_begins + pd.DateOffset(months=settings.val_months + round(settings.years * 12))
    while _reach_back(day, settings)[1] < market_begins:  # months end on different days
        day += pd.Timedelta(days=1)
    return day


def _embargoed(bars_of_day: pd.DatetimeIndex, test_start: pd.Timestamp, embargo: int) -> pd.Timestamp:
    """The last day that has at least so many bars between its own and the first of `test_start`."""
    last = int(bars_of_day.searchsorted(test_start)) - 1 - embargo
    if last < 0:
        return bars_of_day[0] - pd.Timedelta(days=1)
    whole = last + 1 == len(bars_of_day) or bars_of_day[last + 1] != bars_of_day[last]
    return bars_of_day[last] if whole else bars_of_day[last] - pd.Timedelta(days=1)


def folds_table(folds: Sequence[Fold], calendar: pd.DatetimeIndex) -> pd.DataFrame:
    """A row per fold: first and last day of each part, and how many days are forecast.

    Args:
        folds: the plan.
        calendar: stamps of the market's bars.
    """
    days = calendar.normalize().unique()
    rows = []
    for fold in folds:
        row = {"fold": fold.number, **asdict(fold.split)}
        row["train_start"] = row["train_start"] or f"{days[0]:%Y-%m-%d}"
        own = np.asarray((days >= row["test_start"]) & (days <= row["test_end"]))
        rows.append({**row, "test_days": int(own.sum())})
    return pd.DataFrame(rows)


def as_planned(settings: WalkForwardSettings, folder: Path) -> WalkForwardSettings:
    """The settings with the last day of the plan that an earlier attempt made, whatever bars have come since."""
    if settings.last is not None or not (folder / FOLDS_FILE).is_file():
        return settings
    return replace(settings, last=str(pd.read_csv(folder / FOLDS_FILE)["test_end"].iloc[-1]))


def save_folds(folder: Path, table: pd.DataFrame) -> None:
    """`folds.csv`, under a temporary name first."""
    partial = folder / f"{FOLDS_FILE}.partial"
    table.to_csv(partial, index=False)
    partial.replace(folder / FOLDS_FILE)


def print_folds(table: pd.DataFrame, embargo: int) -> None:
    """The plan on the screen.

    Args:
        table: see `folds_table`, with `train_windows`.
        embargo: bars between validation and the days that are forecast.
    """
    from rich.table import Table

    shown = Table(
        box=None, title=f"Folds, with an embargo of {embargo} bars before what is forecast", title_justify="left"
    )
    for column in ("fold", "training", "windows", "validation", "forecast", "days"):
        shown.add_column(column, justify="right" if column in {"windows", "days"} else "left", no_wrap=True)
    for row in table.to_dict("records"):
        ranges = {part: f"{row[f'{part}_start']} to {row[f'{part}_end']}" for part in ("train", "val", "test")}
        windows, days = f"{row['train_windows']:,}", str(row["test_days"])
        shown.add_row(str(row["fold"]), ranges["train"], windows, ranges["val"], ranges["test"], days)
    screen().print(shown)
