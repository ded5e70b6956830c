"""A market: a qlib store on disk, read as bars, wide tables, memberships and calendars.

Calendars and memberships are text and read as such; prices are read through qlib, which is imported only then, so
a training run whose bars are cached never waits for it.
"""

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos_lab.data.bar_cache import load_bars, save_bars
from kronos_lab.data.bars import FIELDS, Bars, amount_from_volume
from kronos_lab.data.store import MARKET_JSON, feature_folder, store_fingerprint, store_lock
from kronos_lab.data.trading_calendar import future_stamps_from_grid, session_numbers
from kronos_lab.errors import InputError

ALL = "all"  # the universe of everything that is no index

# Foreign stores list indices among the stocks: codes of Shanghai's SH000xxx and Shenzhen's SZ399xxx series.
_INDEX_CODE = re.compile(r"SH000\d{3}|SZ399\d{3}", re.IGNORECASE)


class Market:
    """A store on disk and what one can ask of it.

    Args:
        store: folder in qlib's format.
        name: what the market is called in messages and summaries; the store's own name if None.
        freq: qlib's name of the frequency of the bars, `day` or for example `5min`.
        cache: folder for memory-mapped bars; None keeps them in memory only.

    Attributes:
        calendar: stamps that have bars, DatetimeIndex [L].
        future: known stamps after the last of them.
        session_L: int32 [L], number of the session (day) each stamp belongs to, see `session_numbers`.

    Raises:
        InputError: the folder is no store, or has no bars of this frequency.
    """

    def __init__(
        self, store: Path | str, name: str | None = None, freq: str = "day", cache: Path | str | None = None
    ) -> None:
        self.store = Path(store).expanduser()
        self.freq = freq
        self.cache = None if cache is None else Path(cache)
        if not self.store.is_dir():
            what = "is no folder" if self.store.exists() else "does not exist"
            raise InputError(f"{self.store} {what}: give market.store= a folder in qlib's format")
        calendars = self.store / "calendars"
        if not (calendars / f"{freq}.txt").is_file():
            found = sorted(path.stem for path in calendars.glob("*.txt") if not path.stem.endswith("_future"))
            has = f"it has {', '.join(found)} bars" if found else "it is no store in qlib's format"
            raise InputError(f"{self.store}: no calendars/{freq}.txt; {has}")
        described = self.store / MARKET_JSON
        self.description = _description(described) if described.is_file() else {}
        self.name = name or self.description.get("name", self.store.name)
        self.calendar = _stamps(calendars / f"{freq}.txt")
        future = calendars / f"{freq}_future.txt"
        known = _stamps(future) if future.is_file() else self.calendar[:0]
        self.future = known[known > self.calendar[-1]]
        self.session_L = session_numbers(self.calendar)
        self._spans: dict[str, pd.DataFrame] = {}
        self._bars: dict[str, Bars] = {}

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of the store: what a result was computed from."""
        return self.description.get("fingerprint") or store_fingerprint(self.store)

    @cached_property
    def indices(self) -> list[str]:
        """Symbols of the benchmark indices, sorted."""
        if "indices" in self.description:
            return list(self.description["indices"])
        folders = (path.name.upper() for path in (self.store / "features").glob("*"))
        return sorted(folder for folder in folders if _INDEX_CODE.fullmatch(folder))

    @cached_property
    def fields(self) -> set[str]:
        """Fields the store has of stocks (an index may have fewer)."""
        if "fields" in self.description:
            return set(self.description["fields"])
        for symbol in sorted({symbol for universe in self.universes() for symbol in self.symbols(universe)}):
            folder = self.store / "features" / feature_folder(symbol)
            found = {path.name.split(".")[0] for path in folder.glob(f"*.{self.freq}.bin")}
            if found:
                return found
        return set()

    def universes(self) -> list[str]:
        """Names of the universes, sorted."""
        return sorted(path.stem for path in (self.store / "instruments").glob("*.txt"))

    def spans(self, universe: str) -> pd.DataFrame:
        """Dated memberships: columns symbol, start, end (days, both inclusive), by symbol and start."""
        if universe not in self._spans:
            path = self.store / "instruments" / f"{universe}.txt"
            if not path.is_file():
                has = self.universes()
                choose = f": give universe={has[0]}" if len(has) == 1 else ""
                raise InputError(
                    f"market {self.name} has no universe {universe!r}; it has {', '.join(has) or 'none'}{choose}"
                )
            spans = _spans(path)
            stocks = ~spans["symbol"].isin(self.indices)
            self._spans[universe] = spans[stocks].sort_values(["symbol", "start"], ignore_index=True)
        return self._spans[universe].copy()

    def symbols(self, universe: str) -> list[str]:
        """Symbols that were ever members, sorted."""
        return sorted(self.spans(universe)["symbol"].unique())

    def member_LN(self, universe: str, symbols: list[str]) -> np.ndarray:
        """Whether each symbol is a member on the day of each stamp, bool [L, N]."""
        days = self.calendar.normalize()
        column = {symbol: n for n, symbol in enumerate(symbols)}
        spans = self.spans(universe)
        starts = days.searchsorted(pd.DatetimeIndex(spans["start"]), side="left")
        ends = days.searchsorted(pd.DatetimeIndex(spans["end"]), side="right")
        member_LN = np.zeros((len(days), len(symbols)), dtype=bool)
        for symbol, start, end in zip(spans["symbol"], starts, ends, strict=True):
            if symbol in column:
                member_LN[start:end, column[symbol]] = True
        return member_LN

    def bars(self, universe: str = ALL) -> Bars:
        """All traded bars of every symbol that was ever in the universe, before it joined and after it left too.

        Where the store has no amount it is volume · mean of the four prices. A stamp without close or volume is a
        suspension and no bar. Cached on disk for the content of the store.
        """
        if universe not in self._bars:
            self._bars[universe] = self._load_or_read_bars(self.symbols(universe))
        return self._bars[universe]

    def wide(
        self,
        fields: list[str],
        symbols: list[str],
        start: pd.Timestamp | str | None = None,
        end: pd.Timestamp | str | None = None,
    ) -> dict[str, pd.DataFrame]:
        """Store fields as tables, float64, stamps [start, end] × symbols; NaN on suspension and outside a life."""
        for field in fields:
            if not self.has_field(field):
                has = ", ".join(sorted(self.fields))
                raise InputError(f"market {self.name} has no field {field!r}; it has {has}")
        span = self.calendar.slice_indexer(start, end)
        stamps = self.calendar[span]
        tables = {field: np.full((len(symbols), len(stamps)), np.nan) for field in fields}
        self.serve_qlib()
        for n, symbol in enumerate(symbols):
            for field in fields:
                tables[field][n] = self._read(symbol, field, span.start, len(stamps))
        return {field: pd.DataFrame(table.T, index=stamps, columns=symbols) for field, table in tables.items()}

    def amounts(
        self, symbols: list[str], start: pd.Timestamp | str | None = None, end: pd.Timestamp | str | None = None
    ) -> pd.DataFrame:
        """Traded value, currency, stamps [start, end] × symbols; as in `bars` where the store has none."""
        if self.has_field("amount"):
            return self.wide(["amount"], symbols, start, end)["amount"]
        known = self.wide(list(FIELDS[:5]), symbols, start, end)
        amount_LN = amount_from_volume(*(known[field].to_numpy() for field in FIELDS[:5]))
        return pd.DataFrame(amount_LN, known["close"].index, symbols)

    def index_close(self, symbol: str) -> pd.Series:
        """Close of a benchmark index, float64, indexed by stamp (only stamps that have one)."""
        if symbol not in self.indices:
            has = ", ".join(self.indices) or "none"
            raise InputError(f"market {self.name} has no index {symbol!r}; it has {has}")
        return self.wide(["close"], [symbol])["close"][symbol].dropna().rename(symbol)

    def has_field(self, field: str) -> bool:
        """Whether the store has a field of stocks."""
        return field in self.fields

    def future_stamps(self, position: int, horizon: int) -> pd.DatetimeIndex:
        """Stamps of the `horizon` bars after calendar position `position`: never needs bars there.

        From the calendar, after its end from the known future, after that from the session grid seen last.
        """
        known = self.calendar.union(self.future)
        missing = position + 1 + horizon - len(known)
        if missing > 0:
            known = known.union(future_stamps_from_grid(known, missing))
        return known[position + 1 : position + 1 + horizon]

    def newest_day(self, universe: str) -> pd.Timestamp:
        """The last day on which a member of the universe has a bar."""
        bars = self.bars(universe)
        symbol_M = np.repeat(np.arange(len(bars.symbols)), np.diff(bars.offsets))
        position_of_members = bars.position_M[self.member_LN(universe, bars.symbols)[bars.position_M, symbol_M]]
        if not len(position_of_members):
            raise InputError(f"market {self.name}: no day has both bars and members of {universe}")
        return self.calendar[position_of_members.max()].normalize()

    def serve_qlib(self) -> None:
        """Point qlib's one global data provider (`D`, its exchange) at this store; cheap when it is there already."""
        from kronos_lab.data.qlib_provider import serve

        serve(self.store, self.fingerprint)

    def _read(self, symbol: str, field: str, first: int, count: int) -> np.ndarray:
        """`count` values of one field from calendar position `first`, float32, NaN where the store has nothing."""
        from qlib.data.data import FeatureD

        values = np.full(count, np.nan, dtype=np.float32)
        if count:
            stored = FeatureD.feature(symbol, f"${field}", first, first + count - 1, self.freq)
            values[stored.index.to_numpy() - first] = stored.to_numpy()
        return values

    def _load_or_read_bars(self, symbols: list[str]) -> Bars:
        if self.cache is None:
            return self._read_bars(symbols)
        with store_lock(self.cache / f"bars-{self.freq}"):  # one process of a job reads, the others find it done
            cached = load_bars(self.cache, self.fingerprint, self.freq, symbols, self.calendar, self.session_L)
            if cached is None:
                save_bars(self.cache, self.fingerprint, self.freq, self._read_bars(symbols))
                cached = load_bars(self.cache, self.fingerprint, self.freq, symbols, self.calendar, self.session_L)
        assert cached is not None
        return cached

    def _read_bars(self, symbols: list[str]) -> Bars:
        from rich.progress import Progress

        for field in FIELDS[:5]:
            if not self.has_field(field):
                raise InputError(f"market {self.name}: bars need {', '.join(FIELDS[:5])}; {self.store} has no {field}")
        self.serve_qlib()
        stored = [field for field in FIELDS if self.has_field(field)]
        values: list[np.ndarray] = []
        positions: list[np.ndarray] = []
        with Progress(transient=True) as progress:
            for symbol in progress.track(symbols, description=f"reading {self.name}"):
                columns = {name: self._read(symbol, name, 0, len(self.calendar)) for name in stored}
                if "amount" not in columns:
                    columns["amount"] = amount_from_volume(*(columns[name] for name in FIELDS[:5]))
                values_LF = np.stack([columns[name] for name in FIELDS], axis=-1)
                traded = np.isfinite(values_LF).all(axis=-1) & (values_LF[:, FIELDS.index("volume")] > 0)
                positions.append(np.flatnonzero(traded).astype(np.int32))
                values.append(values_LF[traded])
        if not any(map(len, values)):
            raise InputError(f"market {self.name}: none of {len(symbols)} symbols has a bar in {self.store}")
        offsets = np.cumsum([0, *(len(position) for position in positions)], dtype=np.int64)
        return Bars(symbols, np.concatenate(values), np.concatenate(positions), offsets, self.calendar, self.session_L)


def _description(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} cannot be read ({error}): import the market again") from None


def _stamps(path: Path) -> pd.DatetimeIndex:
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(lines))
    except ValueError as error:
        raise InputError(f"{path}: a line is no date; write one stamp a line ({error})") from None
    if stamps.empty:
        raise InputError(f"{path}: no stamps; write one a line")
    return stamps


def _spans(path: Path) -> pd.DataFrame:
    names = ["symbol", "start", "end"]
    try:  # symbols such as NA are no missing values
        spans = pd.read_csv(
            path, sep="\t", header=None, usecols=[0, 1, 2], names=names, dtype=str, keep_default_na=False
        )
        days = {name: pd.to_datetime(spans[name]).dt.normalize() for name in names[1:]}
    except ValueError as error:
        raise InputError(f"{path}: write symbol, first day, last day a line, tab separated ({error})") from None
    if spans.empty:
        raise InputError(f"{path}: no members; write symbol, first day, last day a line, tab separated")
    return spans.assign(**days)
