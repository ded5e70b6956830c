"""What a bar is: the six fields of a K-line, and the in-memory table of all bars of a market."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

FIELDS = ("open", "high", "low", "close", "volume", "amount")
PRICES = FIELDS[:4]


@dataclass(frozen=True)
class Bars:
    """All traded bars of a set of symbols, symbol after symbol, in time order.

    A suspended session is not a bar: it has no row. `M` is the number of rows over all symbols, `L` the length of
    the calendar, `N` the number of symbols; the rows of symbol `n` are `offsets[n]:offsets[n + 1]`.

    Attributes:
        symbols: the N symbols, in the order of their rows.
        values_MF: float32 [M, 6], fields in the order of `FIELDS`; adjusted prices (currency per share), adjusted
            volume (shares), amount (currency). May be a read-only memory map.
        position_M: int32 [M], index of the bar's stamp in `calendar`.
        offsets: int64 [N + 1].
        calendar: stamps of all bars the market can have (daily: one per session).
        session_L: int32 [L], number of the trading session (day) each stamp belongs to, see `session_numbers`; for
            daily bars as a rule `arange(L)`. Gaps are measured in sessions.
    """

    symbols: list[str]
    values_MF: np.ndarray
    position_M: np.ndarray
    offsets: np.ndarray
    calendar: pd.DatetimeIndex
    session_L: np.ndarray

    def rows_of(self, symbol: str) -> slice:
        """Rows of one symbol; KeyError if the market has no such symbol."""
        try:
            n = self.symbols.index(symbol)
        except ValueError:
            raise KeyError(symbol) from None
        return slice(int(self.offsets[n]), int(self.offsets[n + 1]))


def amount_from_volume(
    open_: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> np.ndarray:
    """Traded value where only the volume is known: volume · mean of the four prices, as the original fills it."""
    return volume * (open_ + high + low + close) / 4
