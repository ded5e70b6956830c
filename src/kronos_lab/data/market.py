"""A market: a store in qlib's format, read through qlib, with its universes, calendars and bars.

qlib holds one store at a time in its globals; `Market` points it at its own store before it reads, so several markets
can be open in one process. Stores are never written to; what is derived is cached elsewhere.
"""

import hashlib
import logging
import os
import shutil
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from kronos_lab.data.bars import FIELDS, PRICES, Bars, amount_from_volume
from kronos_lab.data.store import UNIVERSE_OF_ALL, read_description
from kronos_lab.data.trading_calendar import future_stamps_from_grid
from kronos_lab.errors import InputError

_CACHED_ARRAYS = ("values_MF", "position_M", "offsets")


class Market:
    """One store on disk.

    Args:
        store: folder in qlib's format.
        name: shown to people and recorded with runs; default: the folder's name.
        freq: qlib's name of the bar length: "day", "5min", ...
        cache: folder for arrays derived from the store; None derives them anew each time.

    Raises:
        InputError: the folder is no store.
    """

    def __init__(self, store: Path, name: str | None = None, freq: str = "day", cache: Path | None = None) -> None:
        self.store = Path(store).expanduser().absolute()
        self.name, self.freq = name or self.store.name, freq
        self.cache = Path(cache) if cache is not None else None
        for part in (f"calendars/{freq}.txt", "features", "instruments"):
            if not (self.store / part).exists():
                raise InputError(f"{self.store} is no qlib store of freq={freq}: it has no {part}")

    @cached_property
    def calendar(self) -> pd.DatetimeIndex:
        """Stamps of all bars the market can have had (daily: one per session)."""
        return self._read_stamps(f"{self.freq}.txt")

    @cached_property
    def future(self) -> pd.DatetimeIndex:
        """Stamps after the last of the calendar, as far as the store knows them."""
        if not (self.store / "calendars" / f"{self.freq}_future.txt").is_file():
            return self.calendar[:0]
        stamps = self._read_stamps(f"{self.freq}_future.txt")
        return stamps[stamps > self.calendar[-1]]

    @cached_property
    def session_L(self) -> np.ndarray:
        """int32 [L]: number of the trading day of each stamp of the calendar."""
        return pd.factorize(self.calendar.normalize())[0].astype(np.int32)

    def future_stamps(self, position: int, horizon: int) -> pd.DatetimeIndex:
        """Stamps of the `horizon` bars after calendar position `position`: from calendars alone, never from bars."""
        stamps = self.calendar.union(self.future)
        known = stamps[position + 1 : position + 1 + horizon]
        missing = horizon - len(known)
        if not missing:
            return known
        return known.union(future_stamps_from_grid(stamps, missing))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the store's contents (of names, sizes and times for a store Kronos Lab did not write)."""
        description = read_description(self.store)
        if description is not None:
            return str(description["fingerprint"])
        digest = hashlib.sha256()
        for folder, _, files in sorted(os.walk(self.store)):
            for file in sorted(files):
                status = (Path(folder) / file).stat()
                digest.update(f"{Path(folder).name}/{file} {status.st_size} {status.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]

    def universes(self) -> list[str]:
        """Names of the universes the store knows."""
        return sorted(path.stem for path in (self.store / "instruments").glob("*.txt"))

    def spans(self, universe: str) -> pd.DataFrame:
        """Memberships of a universe: columns symbol, start, end (both inclusive; days are whole days)."""
        path = self.store / "instruments" / f"{universe}.txt"
        if not path.is_file():
            raise InputError(f"market {self.name} has no universe {universe}: it has {', '.join(self.universes())}")
        rows = pd.read_csv(path, sep="\t", header=None, names=["symbol", "start", "end"], dtype={"symbol": str})
        rows["symbol"] = rows["symbol"].str.upper()
        rows["start"], rows["end"] = pd.to_datetime(rows["start"]), pd.to_datetime(rows["end"])
        midnight = rows["end"] == rows["end"].dt.normalize()
        if self.freq != "day":  # a span that ends on a day ends with its last bar
            rows["end"] = rows["end"].where(~midnight, rows["end"] + pd.Timedelta(days=1) - pd.Timedelta(seconds=1))
        return rows

    def symbols(self, universe: str = UNIVERSE_OF_ALL) -> list[str]:
        """Symbols that were ever a member, sorted."""
        return sorted(self.spans(universe)["symbol"].unique())

    def member_LN(self, universe: str, symbols: list[str]) -> np.ndarray:
        """Is the symbol a member at the stamp? Booleans [L, N]."""
        column = {symbol: n for n, symbol in enumerate(symbols)}
        member_LN = np.zeros((len(self.calendar), len(symbols)), dtype=bool)
        for symbol, start, end in self.spans(universe).itertuples(index=False):
            if symbol in column:
                rows = self.calendar.slice_indexer(start, end)
                member_LN[rows, column[symbol]] = True
        return member_LN

    def newest_day(self, universe: str) -> pd.Timestamp:
        """The last stamp with both members and bars of them."""
        bars = self.bars(universe)
        member_LN = self.member_LN(universe, bars.symbols)
        symbol_M = np.repeat(np.arange(len(bars.symbols)), np.diff(bars.offsets))
        traded = bars.position_M[member_LN[bars.position_M, symbol_M]]
        if not len(traded):
            raise InputError(f"market {self.name} has no bar of any member of universe {universe}")
        return self.calendar[int(traded.max())]

    def has_field(self, field: str) -> bool:
        """Does the store hold this field for its first symbol?"""
        symbols = self.symbols()
        return bool(symbols) and self._has_bars_of(symbols[0], field)

    def wide(
        self,
        fields: list[str],
        symbols: list[str],
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> dict[str, pd.DataFrame]:
        """Fields of the store as float64 frames of stamps × symbols, NaN where there is no bar."""
        rows = self._features(fields, symbols, start, end)
        stamps = self.calendar[self.calendar.slice_indexer(start, end)]
        return {
            field: rows[field].unstack("instrument").reindex(index=stamps, columns=symbols).astype(np.float64)
            for field in fields
        }

    def index_close(self, symbol: str) -> pd.Series:
        """Closes of a benchmark index, a price index: dividends are not in it."""
        if not self._has_bars_of(symbol, "close"):
            known = (read_description(self.store) or {}).get("indices") or ["none that market.json names"]
            raise InputError(f"market {self.name} has no index {symbol}: it has {', '.join(known)}")
        return self.wide(["close"], [symbol])["close"][symbol].dropna()

    def bars(self, universe: str = UNIVERSE_OF_ALL) -> Bars:
        """All traded bars of all symbols that were ever in a universe, from their first to their last.

        A suspended session (no close, or no volume) is not a bar. Amounts the store lacks are volume · mean price.
        """
        symbols = [symbol for symbol in self.symbols(universe) if self._has_bars_of(symbol, "close")]
        if not symbols:
            raise InputError(f"market {self.name} has no bars of any member of universe {universe}")
        key = hashlib.sha256("\n".join([self.fingerprint, self.freq, *symbols]).encode()).hexdigest()[:16]
        if self.cache is None:
            arrays = self._gather(symbols)
        else:
            folder = self.cache / f"bars-{key}"
            if not folder.is_dir():
                _save_arrays(folder, self._gather(symbols))
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _CACHED_ARRAYS}
        return Bars(symbols=symbols, calendar=self.calendar, session_L=self.session_L, **arrays)

    def _gather(self, symbols: list[str]) -> dict[str, np.ndarray]:
        present = [field for field in FIELDS if field != "amount" or self.has_field(field)]
        rows = self._features(present, symbols)
        rows = rows[(rows["volume"] > 0) & (rows[list(PRICES)] > 0).all(axis=1)]
        given = rows["amount"] if "amount" in rows else pd.Series(np.nan, index=rows.index)
        derived = amount_from_volume(*(rows[field].to_numpy() for field in (*PRICES, "volume")))
        rows = rows.assign(amount=given.where(given > 0, derived))
        order = pd.CategoricalIndex(rows.index.get_level_values("instrument"), categories=symbols).codes
        position = self.calendar.get_indexer(rows.index.get_level_values("datetime"))
        by_symbol = np.lexsort((position, order))
        return {
            "values_MF": rows[list(FIELDS)].to_numpy(np.float32)[by_symbol],
            "position_M": position[by_symbol].astype(np.int32),
            "offsets": np.concatenate(([0], np.bincount(order, minlength=len(symbols)).cumsum())).astype(np.int64),
        }

    def _features(
        self, fields: list[str], symbols: list[str], start: pd.Timestamp | None = None, end: pd.Timestamp | None = None
    ) -> pd.DataFrame:
        self.use_in_qlib()
        from qlib.data import D

        rows = D.features(symbols, [f"${field}" for field in fields], start, end, freq=self.freq)
        return rows.set_axis(fields, axis=1)

    def use_in_qlib(self) -> None:
        """Point qlib at this store; what reads through qlib's globals calls it first."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import qlib
        from qlib.config import C

        wanted = C.DataPathManager.format_provider_uri(str(self.store))
        if C.registered and C.dpm.provider_uri == wanted:
            return
        # kernels=1: reading is fast and forking under a trainer is not safe; no qlib cache: stores are small
        qlib.init(
            provider_uri=str(self.store),
            region="cn",
            kernels=1,
            logging_level=logging.WARNING,
            expression_cache=None,
            dataset_cache=None,
        )

    def _has_bars_of(self, symbol: str, field: str) -> bool:
        return (self.store / "features" / symbol.lower() / f"{field}.{self.freq}.bin").is_file()

    def _read_stamps(self, file: str) -> pd.DatetimeIndex:
        path = self.store / "calendars" / file
        try:
            stamps = pd.DatetimeIndex(pd.to_datetime(path.read_text().split("\n"), errors="raise")).dropna()
        except ValueError as error:
            raise InputError(f"{path} holds a line that is no stamp: {error}") from error
        if not len(stamps) or not stamps.is_monotonic_increasing or not stamps.is_unique:
            raise InputError(f"{path} must hold stamps, sorted and each once")
        return stamps


def _save_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays of a cache entry so that it is there whole or not at all, whoever else writes it too."""
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array)
        if not folder.is_dir():
            partial.replace(folder)
    except OSError as error:
        if not folder.is_dir():
            raise InputError(f"the cache {folder.parent} cannot be written to: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
