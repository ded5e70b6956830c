"""Which days train, validate and test: by the date of the signal."""

import math
from dataclasses import dataclass, fields
from typing import Literal

import pandas as pd

from kronos_lab.data.settings import sound_number
from kronos_lab.errors import InputError

Part = Literal["train", "val", "test"]


@dataclass(frozen=True)
class DateSplit:
    """Ranges of signal days (both ends inclusive), in order and without overlap.

    Days may be given as 2024-06-30 or 20240630, the latter as a number too; they are kept as ISO dates.

    Contexts reach back over the beginning of a range; labels never reach over its end, see `WindowIndex`.

    Attributes:
        train_start: None for the first day of the market.
        train_end: last training day.
        val_start: first validation day.
        val_end: last validation day.
        test_start: first test day.
        test_end: None for the last day of the market.
    """

    train_start: str | None
    train_end: str
    val_start: str
    val_end: str
    test_start: str
    test_end: str | None

    def __post_init__(self) -> None:
        """Refuse what is no date, and ranges that overlap."""
        previous: tuple[str, pd.Timestamp] | None = None
        for field in fields(self):
            given = getattr(self, field.name)
            if given is None and field.name in {"train_start", "test_end"}:
                continue
            day = parse_day(f"split.{field.name}", given)
            # A range may be a single day; two ranges may not share one.
            opens_range = field.name.endswith("_start")
            if previous and (day < previous[1] or (opens_range and day == previous[1])):
                raise InputError(f"split.{field.name}={given} must come after split.{previous[0]}={previous[1].date()}")
            previous = (field.name, day)
            object.__setattr__(self, field.name, f"{day:%Y-%m-%d}")

    def days(self, part: Part) -> tuple[str | None, str | None]:
        """First and last signal day of a part; None where the market's own range is the limit."""
        return getattr(self, f"{part}_start"), getattr(self, f"{part}_end")


@dataclass(frozen=True)
class RatioSplit:
    """Shares of a market's own days, in order; once the market is open, a `DateSplit`.

    Attributes:
        train: share of the days, a fraction.
        val: the same, after those.
        test: the rest.

    Raises:
        InputError: a share is no fraction between 0 and 1, or they do not add up to 1.
    """

    train: float
    val: float
    test: float

    def __post_init__(self) -> None:
        """Refuse what is no share, and shares that are not all of it."""
        for field in fields(self):
            sound_number(
                f"split.{field.name}",
                getattr(self, field.name),
                lambda share: 0 < share < 1,
                "must be a share of the days, between 0 and 1",
            )
        total = self.train + self.val + self.test
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise InputError(f"{self} add up to {total:.4g}, not to 1")

    def __str__(self) -> str:
        return f"split.train={self.train}, split.val={self.val} and split.test={self.test}"

    def days_of(self, calendar: pd.DatetimeIndex) -> DateSplit:
        """The split of a market with these stamps: whole days, at least one for each part.

        Raises:
            InputError: there are fewer days than parts.
        """
        days = calendar.normalize().unique()
        train, val = round(len(days) * self.train), round(len(days) * (self.train + self.val))
        if not 0 < train < val < len(days):
            raise InputError(
                f"{self} of {len(days)} days leave a part without any: give more bars, or shares that are more alike"
            )
        train_end, val_start, val_end, test_start = (f"{days[n]:%Y-%m-%d}" for n in (train - 1, train, val - 1, val))
        return DateSplit(None, train_end, val_start, val_end, test_start, None)


def parse_day(key: str, value: object) -> pd.Timestamp:
    """A date of the configuration, as 2024-06-30 or 20240630.

    A bare number must not reach pandas, which takes it for nanoseconds since 1970.

    Args:
        key: for the message.
        value: what was given for it.

    Raises:
        InputError: it is no date, or one with a time zone.
    """
    text = str(value)
    day = pd.to_datetime(text, errors="coerce")
    if value is None or pd.isna(day) or (text.isdigit() and len(text) != len("20240630")):
        given = "null" if value is None else text
        raise InputError(f"{key}={given} is no date: write it as 2024-06-30")
    if day.tzinfo is not None:
        raise InputError(f"{key}={text} has a time zone, bars have the local time of their market: write 2024-06-30")
    return day
