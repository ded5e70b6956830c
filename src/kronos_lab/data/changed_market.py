"""A market as it would be had everything after some day come otherwise: what is known on the day must not change."""

import zlib
from collections.abc import Collection

import numpy as np
import pandas as pd

from kronos_lab.data.market import Market

CHANGE = 0.05


class ChangedMarket(Market):
    """Another future of a market, read from the same store.

    Args:
        market: as it is.
        day: the last day that stays as it is.
        bars: whether every later value of the store goes up or down by 5 %, by lot: in step, neither the order of names
            nor a return between two later days would change.
        leavers: symbols that are no members of any universe after the day.
    """

    def __init__(self, market: Market, day: pd.Timestamp, *, bars: bool, leavers: Collection[str]) -> None:
        super().__init__(market.store, market.name, market.freq, cache=None if bars else market.cache)
        self.fingerprint = market.fingerprint  # of the store, which is the same
        self._day, self._bars_change, self._leavers = day, bars, set(leavers)

    def spans(self, universe: str) -> pd.DataFrame:
        """Dated memberships, those of leavers up to the day."""
        spans = super().spans(universe)
        leaves = spans["symbol"].isin(self._leavers) & (spans["end"] > self._day)
        spans["end"] = spans["end"].mask(leaves, self._day)
        return spans[spans["start"] <= spans["end"]].reset_index(drop=True)

    def _read(self, symbol: str, field: str, first: int, count: int) -> np.ndarray:
        values = super()._read(symbol, field, first, count)
        if self._bars_change:
            lot_L = np.random.default_rng([zlib.crc32(name.encode()) for name in (symbol, field)])
            up_L = lot_L.random(len(self.calendar)) < 0.5
            factor_L = np.where(self.calendar <= self._day, 1.0, np.where(up_L, 1 + CHANGE, 1 - CHANGE))
            values *= factor_L[first : first + count].astype(np.float32)
        return values
