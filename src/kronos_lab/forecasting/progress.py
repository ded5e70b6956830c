"""How far a forecast of many series is: series done, series per second, time left."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class SeriesProgress:
    """A progress bar over series; a context manager, or `start` and `stop`.

    Args:
        series: how many there are.
        shown: whether anything is drawn.
        transient: whether the bar vanishes at the end.
    """

    def __init__(self, series: int, shown: bool = True, transient: bool = True) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar: Progress = Progress(
            TextColumn("forecasting"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("series"),
            TextColumn("{task.fields[rate]:,.4g} series/s"),
            TimeRemainingColumn(),
            transient=transient,
            disable=not shown,
        )
        self._task = self._bar.add_task("", total=series, rate=0.0)
        self._started = time.perf_counter()

    def __enter__(self) -> "SeriesProgress":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to count and to draw."""
        self._started = time.perf_counter()
        self._bar.start()

    def stop(self) -> None:
        """Give the terminal back."""
        self._bar.stop()

    def update(self, done: float) -> None:
        """Show that `done` series are forecast; fractions count the generated bars of those at work."""
        self._bar.update(self._task, completed=done, rate=done / (time.perf_counter() - self._started))


class BarsDone:
    """Counts the generated bars of a batch as series done; never backwards, also where a part is tried again.

    Args:
        before: series done when the batch begins.
        bars_per_series: over all paths.
        on_progress: called with the number of series done.
    """

    def __init__(self, before: float, bars_per_series: int, on_progress: Callable[[float], None]) -> None:
        self._before, self._bars_per_series, self._on_progress = before, bars_per_series, on_progress
        self._bars = self._most = 0

    def begin(self, series: int) -> None:
        """The part from this series of the batch on begins, perhaps for the second time."""
        self._bars = series * self._bars_per_series

    def add(self, bars: int) -> None:
        """So many bars more are generated."""
        self._bars += bars
        self._most = max(self._most, self._bars)
        self._on_progress(self._before + self._most / self._bars_per_series)
