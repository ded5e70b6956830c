"""How far a forecast of many series is: series done, series per second, time left."""

import time
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
