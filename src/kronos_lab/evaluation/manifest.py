"""A fixed set of (symbol, day) pairs on which forecasts are compared, and what became of them.

S pairs, ordered by day, then symbol; L days; N symbols. A day is a stamp of the market's calendar: of five-minute
bars every bar is one.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from kronos_lab.data.bars import FIELDS, Bars
from kronos_lab.data.market import Market
from kronos_lab.data.settings import whole_number
from kronos_lab.data.windows import WindowIndex
from kronos_lab.errors import InputError
from kronos_lab.evaluation.ranking import SMALLEST_CROSS_SECTION
from kronos_lab.forecasting.window_series import iso_date
from kronos_lab.runs.provenance import WindowSettings


@dataclass(frozen=True)
class ManifestSize:
    """How many pairs are compared.

    Attributes:
        days: evenly spread over the part; 0 for no comparison at all, None for every day.
        names: of each day, chosen by a hash of symbol and day; None for all members.
    """

    days: int | None
    names: int | None

    def check(self, key: str, least_days: int = 0) -> None:
        """Refuse what is no number, and days on which no order of the names can be measured.

        Args:
            key: where in the configuration it stands.
            least_days: 0 where there may be no comparison.

        Raises:
            InputError: naming `<key>.days` or `<key>.names`.
        """
        if self.days is not None:
            whole_number(f"{key}.days", self.days, least_days)
        if self.names is not None:
            whole_number(f"{key}.names", self.names, SMALLEST_CROSS_SECTION)


class Manifest:
    """Pairs, chosen once and the same for every model.

    Whether a stock goes on trading afterwards plays no part in the choice. Labels do not reach over the last day: a
    signal is at least horizon + 1 stamps before it, and a stock that is suspended from its exit to that day has none.

    Args:
        market: where bars and members come from.
        universe: whose members are compared, on the days they were members.
        window: what a forecast sees, and how far it reaches.
        start: first signal day; None for the first of the market.
        end: last day that a label may reach; None for the last of the market.
        size: how many pairs.
        signal_end: last signal day; None for the last whose labels do not reach over `end`.

    Raises:
        InputError: there is no such pair.

    Attributes:
        market: as given.
        windows: windows without a future, of which the pairs are signal rows.
        row_S: rows of the pairs' signals in `windows.bars`.
    """

    def __init__(
        self,
        market: Market,
        universe: str,
        window: WindowSettings,
        start: str | pd.Timestamp | None,
        end: str | pd.Timestamp | None,
        size: ManifestSize,
        signal_end: str | pd.Timestamp | None = None,
    ) -> None:
        self.market, self.horizon = market, window.horizon
        bars = market.bars(universe)
        last = end if signal_end is None else signal_end
        self.windows = WindowIndex(
            bars, market.spans(universe), window.lookback, 0, start, last, max_gap=window.max_gap
        )
        day_after = None if end is None else pd.Timestamp(end).normalize() + pd.Timedelta(days=1)
        calendar = bars.calendar
        self._border = len(calendar) - 1 if day_after is None else int(calendar.searchsorted(day_after)) - 1
        row_S = self.windows.signal_rows(np.arange(len(self.windows)))
        position_S = bars.position_M[row_S]
        kept = position_S <= self._border - (window.horizon + 1)
        row_S, position_S = row_S[kept], position_S[kept]
        kept = np.isin(position_S, _spread(np.unique(position_S), size.days))
        order = np.lexsort((row_S[kept], position_S[kept]))
        self.row_S = row_S[kept][order]
        if size.names is not None:
            self.row_S = self.row_S[self._by_hash(size.names)]
        if not len(self.row_S):
            raise InputError(
                f"nothing to compare: universe {universe} of market {market.name} has no {window.lookback} bars up to "
                f"a day from {start or 'the first'} that is {window.horizon} + 1 bars before {end or 'the last'}"
            )

    def __len__(self) -> int:
        return len(self.row_S)

    @property
    def bars(self) -> Bars:
        """All bars of the universe."""
        return self.windows.bars

    @cached_property
    def stamp_S(self) -> pd.DatetimeIndex:
        """Stamp of each pair's signal."""
        return self.windows.stamps_of(self.row_S)

    @cached_property
    def symbol_S(self) -> np.ndarray:
        """Symbol of each pair, strings."""
        return np.asarray(self.bars.symbols, dtype=object)[self.windows.symbols_of(self.row_S)]

    @cached_property
    def days(self) -> pd.DatetimeIndex:
        """The days [L], in order."""
        return self.stamp_S.unique()

    @property
    def unit(self) -> str:
        """What `days` are to be called: days, or times where a day has several bars."""
        return "days" if (self.days == self.days.normalize()).all() else "times"

    @cached_property
    def names_per_day(self) -> int:
        """Pairs of the fullest day."""
        return int(np.bincount(self._day_S).max())

    @cached_property
    def stride(self) -> float:
        """Mean distance of neighbouring days, in stamps of the calendar."""
        position_L = np.unique(self.bars.position_M[self.row_S])
        return float((position_L[-1] - position_L[0]) / (len(position_L) - 1)) if len(position_L) > 1 else 1.0

    @cached_property
    def fingerprint(self) -> str:
        """Hash of market, pairs and horizon: two tables with the same one are about the same futures."""
        digest = hashlib.blake2b(f"{self.market.fingerprint} {self.horizon} {self._border}".encode(), digest_size=8)
        for day, symbols in self._symbols_by_day():
            digest.update(f"\n{day}\0".encode() + "\0".join(symbols).encode())
        return digest.hexdigest()

    @cached_property
    def last_close_S(self) -> np.ndarray:
        """Adjusted close of the signal day, float64."""
        return self.bars.values_MF[self.row_S, FIELDS.index("close")].astype(np.float64)

    @cached_property
    def level_S(self) -> np.ndarray:
        """Where the last close stands in its lookback, in deviations from the mean: about what a model sees, float64.

        0 where nothing moved.
        """
        lookback = np.arange(1 - self.windows.lookback, 1)
        close_SW = self.bars.values_MF[self.row_S[:, None] + lookback, FIELDS.index("close")].astype(np.float64)
        deviation_S = close_SW.std(axis=1)
        return (close_SW[:, -1] - close_SW.mean(axis=1)) / np.where(deviation_S > 0, deviation_S, 1.0)

    def open_to_open_return(self, horizon: int) -> np.ndarray:
        """The label of the ranking figures, see `ranking.open_to_open_return`: float64 [S], NaN without one."""
        return self._forward_return("open", entry=1, horizon=horizon)

    def close_to_close_return(self, horizon: int) -> np.ndarray:
        """What a forecast of the close is measured by, see `ranking.close_to_close_return`: float64 [S]."""
        return self._forward_return("close", entry=0, horizon=horizon)

    def realised_variance(self, horizon: int) -> np.ndarray:
        """Sum of squared log returns of the bars that `close_to_close_return` goes over: float64 [S], NaN as there."""
        known_S, exit_S = self._exits(entry=0, horizon=horizon)
        ahead_SW = np.minimum(np.arange(horizon + 1), exit_S[known_S][:, None])  # the exit repeats: it returns 0
        result_S = np.full(len(self.row_S), np.nan)
        result_S[known_S] = self._squared_returns(self.row_S[known_S][:, None] + ahead_SW)
        return result_S

    def historical_variance(self) -> np.ndarray:
        """Mean squared log return from close to close within the lookback, per bar: float64 [S]."""
        lookback = self.windows.lookback
        if lookback < 2:
            return np.full(len(self.row_S), np.nan)
        return self._squared_returns(self.row_S[:, None] + np.arange(1 - lookback, 1)) / (lookback - 1)

    def _squared_returns(self, row_SW: np.ndarray) -> np.ndarray:
        """Sum of squared log returns from each close to the next: float64 [S]."""
        close_SW = self.bars.values_MF[row_SW, FIELDS.index("close")].astype(np.float64)
        return (np.diff(np.log(close_SW), axis=1) ** 2).sum(axis=1)

    def _forward_return(self, field: str, entry: int, horizon: int) -> np.ndarray:
        known_S, exit_S = self._exits(entry, horizon)
        price_M = self.bars.values_MF[:, FIELDS.index(field)]
        result_S = np.full(len(self.row_S), np.nan)
        row_S, exit_S = self.row_S[known_S], exit_S[known_S]
        result_S[known_S] = price_M[row_S + exit_S].astype(np.float64) / price_M[row_S + entry].astype(np.float64) - 1
        return result_S

    def _exits(self, entry: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Which pairs have a label, bool [S], and how many rows behind the signal their exit is, [S]."""
        bars, row_S = self.bars, self.row_S
        stop_S1 = bars.offsets[self.windows.symbols_of(row_S) + 1][:, None]
        # A stock has at most one bar a stamp: what comes entry + horizon stamps later is at most so many rows away.
        row_SW = row_S[:, None] + np.arange(entry + horizon + 1)
        is_bar_SW = row_SW < stop_S1
        ahead_SW = bars.position_M[np.minimum(row_SW, len(bars.position_M) - 1)] - bars.position_M[row_S][:, None]
        ahead_SW = np.where(is_bar_SW, ahead_SW, np.iinfo(np.int32).max)
        enters_S = ahead_SW[:, entry] == entry
        exit_S = np.argmax(ahead_SW >= entry + horizon, axis=1)
        within = np.take_along_axis(ahead_SW, exit_S[:, None], 1)[:, 0] <= self._border - bars.position_M[row_S]
        return enters_S & within, exit_S

    def frame(self, value_S: np.ndarray) -> pd.DataFrame:
        """Values of the pairs as a table [L, N], NaN where there is no pair."""
        names = sorted(set(self.symbol_S))
        column = pd.Index(names, dtype=object)
        value_LN = np.full((len(self.days), len(names)), np.nan)
        value_LN[self._day_S, column.get_indexer(pd.Index(self.symbol_S))] = value_S
        return pd.DataFrame(value_LN, index=self.days, columns=column)

    def take(self, table_LN: pd.DataFrame) -> np.ndarray:
        """Values of the pairs from a table of stamps × symbols, float64 [S]; NaN where it has none."""
        day_S = table_LN.index.get_indexer(self.stamp_S)
        name_S = table_LN.columns.get_indexer(pd.Index(self.symbol_S))
        value_S = table_LN.to_numpy(np.float64)[day_S, name_S]
        return np.where((day_S >= 0) & (name_S >= 0), value_S, np.nan)

    def mean_by_day(self, value_S: np.ndarray) -> pd.Series:
        """Mean over each day's pairs that have a value, [L]; NaN on days without any."""
        known = np.isfinite(value_S)
        count_L = np.bincount(self._day_S[known], minlength=len(self.days))
        total_L = np.bincount(self._day_S[known], value_S[known], minlength=len(self.days))
        return pd.Series(np.where(count_L > 0, total_L / count_L.clip(min=1), np.nan), index=self.days)

    @cached_property
    def _day_S(self) -> np.ndarray:
        return self.days.get_indexer(self.stamp_S)

    def _symbols_by_day(self) -> list[tuple[str, np.ndarray]]:
        starts = np.flatnonzero(np.r_[True, self._day_S[1:] != self._day_S[:-1]])
        parts = np.split(self.symbol_S, starts[1:])
        return [(iso_date(day), symbols) for day, symbols in zip(self.days, parts, strict=True)]

    def _by_hash(self, names: int) -> np.ndarray:
        """Numbers of the pairs that are kept."""
        kept, first = [], 0
        for day, symbols in self._symbols_by_day() if len(self.row_S) else []:
            keys = [hashlib.blake2b(f"{symbol}\0{day}".encode(), digest_size=8).digest() for symbol in symbols]
            chosen = sorted(range(len(symbols)), key=keys.__getitem__)[:names]
            kept += [first + place for place in sorted(chosen)]
            first += len(symbols)
        # What was computed from all pairs is computed anew from those that are kept.
        for name in ("stamp_S", "symbol_S", "days", "_day_S"):
            self.__dict__.pop(name, None)
        return np.array(kept, np.int64)


def _spread(position_L: np.ndarray, days: int | None) -> np.ndarray:
    """So many of the positions, evenly spread, each in the middle of its stretch."""
    if days is None or days >= len(position_L):
        return position_L
    return position_L[((np.arange(days) + 0.5) * len(position_L) / max(days, 1)).astype(np.int64)]
