"""Forecast as many series at once as memory holds."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from kronos_lab.data.settings import whole_number
from kronos_lab.errors import InputError

log = logging.getLogger(__name__)


class WithinMemory:
    """Cuts batches so that they fit: halves what is forecast at once when memory runs out, and stays there.

    Args:
        rows_at_once: upper bound on series × paths.
    """

    def __init__(self, rows_at_once: int) -> None:
        self.rows_at_once = whole_number("batch_size", rows_at_once, 1)

    def run(self, forecast: Callable[[slice, int], Tensor], series: int, paths: int) -> tuple[Tensor, list[int]]:
        """Call `forecast(part of the series, rows at once)` until all are done.

        Returns:
            What it returned, joined along the first axis, and the number of series of each part.

        Raises:
            InputError: not even one path of one series fits.
        """
        done: list[Tensor] = []
        parts: list[int] = []
        while sum(parts) < series:
            begin = sum(parts)
            size = min(series - begin, max(1, self.rows_at_once // paths))
            try:
                done.append(forecast(slice(begin, begin + size), self.rows_at_once))
                parts.append(size)
                continue
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
            self._halve(size * paths)  # here, where the error no longer holds what the attempt had allocated
        return torch.cat(done), parts

    def _halve(self, rows: int) -> None:
        tried = min(rows, self.rows_at_once)
        if tried == 1:
            raise InputError("one path of one series does not fit into memory: shorten the lookback or the horizon")
        self.rows_at_once = tried // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning("out of memory with %d series × paths at once: going on with %d", tried, self.rows_at_once)


def _out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """CUDA and numpy have an error of their own for it; others only a message."""
    own = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return own or any(words in str(error) for words in ("can't allocate memory", "out of memory", "ALLOC_FAILED"))
