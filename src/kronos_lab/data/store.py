"""Write a market as a store in qlib's on-disk format: whole, or not at all.

```
<store>/calendars/day.txt             stamps that have bars, one a line
<store>/calendars/day_future.txt      the same, and the known stamps after them
<store>/instruments/<universe>.txt    symbol, first day, last day of membership (tab separated, both inclusive)
<store>/features/<symbol>/<field>.day.bin   float32 little endian: position of the first bar, then one value a stamp
<store>/market.json                   how it was made, and the hash of all of the above
```

Intraday stores say `5min` (or another of qlib's frequencies) where this says `day`.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
from filelock import FileLock

from kronos_lab.errors import InputError

STORE_FIELDS = (
    "open", "high", "low", "close", "volume", "amount", "factor", "change", "limit_up", "limit_down",
    "st",
)  # fmt: skip
MARKET_JSON = "market.json"

# qlib's code_to_fname: names that Windows keeps for devices, some of which are tickers elsewhere.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))}


def feature_folder(symbol: str) -> str:
    """Name of the folder of a symbol under `features/`, as qlib looks for it."""
    return f"_qlib_{symbol}".lower() if symbol.upper() in _DEVICES else symbol.lower()


def feature_content(position_T: np.ndarray, value_T: np.ndarray) -> bytes:
    """A feature file: values at rising calendar positions, NaN between them."""
    first, last = int(position_T[0]), int(position_T[-1])
    content = np.full(1 + last - first + 1, np.nan, dtype="<f4")
    content[0] = first
    content[1 + position_T - first] = value_T
    return content.tobytes()


def calendar_content(stamps: pd.DatetimeIndex, freq: str) -> bytes:
    """A calendar file: one stamp a line, days without the time."""
    return "".join(f"{stamp}\n" for stamp in stamps.strftime(date_format(freq))).encode()


def date_format(freq: str) -> str:
    """How a store writes stamps."""
    return "%Y-%m-%d" if freq == "day" else "%Y-%m-%d %H:%M:%S"


@contextmanager
def store_lock(folder: Path) -> Iterator[None]:
    """Hold the right to write `folder`: of several processes that find it missing, one writes and the others wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", is_singleton=True):  # a singleton may be taken again by whoever holds it
        yield


class StoreWriter:
    """Build a store beside `folder` and put it in place at the end; an exception leaves what was there.

    ```python
    with StoreWriter(folder, calendar, future) as writer:
        writer.add("SH600000", frame)
        writer.add_spans("csi300", spans)
        writer.finish({"name": "mine", "indices": ["SH000300"]})
    ```

    Args:
        folder: the store; an older one is replaced by `finish`.
        calendar: stamps that have bars, sorted.
        future: known stamps after the last of them (qlib needs at least one to trade on the last day).
        freq: qlib's name of the frequency, `day` or for example `5min`.
    """

    def __init__(self, folder: Path, calendar: pd.DatetimeIndex, future: pd.DatetimeIndex, freq: str = "day") -> None:
        _check_calendar(folder, calendar, future)
        self.folder = Path(folder)
        self.calendar = calendar
        self.future = future
        self.freq = freq
        self._partial = self.folder.with_name(self.folder.name + ".partial")
        self._previous = self.folder.with_name(self.folder.name + ".previous")
        self._lock = store_lock(self.folder)
        self._life: dict[str, tuple[pd.Timestamp, pd.Timestamp]] = {}  # symbol: stamps of its first and last bar
        self._folders: set[str] = set()
        self._fields: set[str] = set()
        self._universes: set[str] = set()
        self._digests: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._lock.__enter__()
        if self._previous.exists() and not self.folder.exists():  # killed between the two renames of `finish`
            self._previous.rename(self.folder)
        for leftover in (self._partial, self._previous):
            shutil.rmtree(leftover, ignore_errors=True)
        for name in ("calendars", "instruments", "features"):
            (self._partial / name).mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)  # gone already after `finish`
        self._lock.__exit__(kind, error, trace)

    def add(self, symbol: str, frame: pd.DataFrame) -> None:
        """Write the bars of one symbol.

        Args:
            symbol: in qlib's spelling (`SH600000`) where there is one.
            frame: indexed by stamp (sorted, all in the calendar), columns among `STORE_FIELDS`, `close` among them;
                prices and volume adjusted. A row whose close is NaN, like a stamp without a row, is a suspension.

        Raises:
            InputError: what cannot be stored, naming symbol and column.
        """
        unknown = sorted(set(frame.columns) - set(STORE_FIELDS))
        if unknown or "close" not in frame:
            wrong = f"unknown column {unknown[0]}" if unknown else "no column close"
            raise InputError(f"{symbol}: {wrong}; a store holds {', '.join(STORE_FIELDS)}")
        name = feature_folder(symbol)
        if name in self._folders or Path(name).name != name or name in ("", ".", ".."):
            raise InputError(f"{symbol}: added before, differs by case only, or cannot be a folder's name; rename it")
        traded = frame[frame["close"].notna()]
        if traded.empty:
            raise InputError(f"{symbol}: no bar with a close; leave it out")
        position_T = self.calendar.get_indexer(traded.index)
        if (position_T < 0).any() or (np.diff(position_T) <= 0).any():
            raise InputError(f"{symbol}: stamps must be in the calendar, sorted and without duplicates")
        self._folders.add(name)
        self._life[symbol] = (self.calendar[position_T[0]], self.calendar[position_T[-1]])
        (self._partial / "features" / name).mkdir()
        for field in traded.columns:
            content = feature_content(position_T, traded[field].to_numpy())
            self._write(f"features/{name}/{field}.{self.freq}.bin", content)
        self._fields |= set(traded.columns)

    def add_spans(self, universe: str, spans: pd.DataFrame) -> None:
        """Write one universe: columns symbol, start, end, both days inclusive; members without bars are allowed."""
        if spans.empty or spans[["symbol", "start", "end"]].isna().any(axis=None):
            raise InputError(f"universe {universe}: no members, or a member without symbol, start or end")
        start, end = pd.to_datetime(spans["start"]), pd.to_datetime(spans["end"])
        if (start > end).any():
            symbol = spans["symbol"][start > end].iloc[0]
            raise InputError(f"universe {universe}: a membership of {symbol} ends before it starts")
        lines = pd.DataFrame({"symbol": spans["symbol"], "start": start, "end": end}).sort_values(["symbol", "start"])
        # A membership is dated in days; intraday the last one lasts to midnight, as qlib compares stamps.
        if self.freq != "day":
            lines["end"] = lines["end"].dt.normalize() + pd.Timedelta("23:59:59")
        text = lines.to_csv(
            sep="\t", header=False, index=False, date_format=date_format(self.freq), lineterminator="\n"
        )
        self._write(f"instruments/{universe.lower()}.txt", text.encode())
        self._universes.add(universe.lower())

    def attach(self, name: str, content: bytes) -> None:
        """Put a file about the store beside `market.json`; it is no part of the fingerprint."""
        (self._partial / name).write_bytes(content)

    def finish(self, description: dict[str, Any]) -> Path:
        """Put the store in place.

        Args:
            description: what `market.json` should say besides what is counted here; plain values. `indices` lists
                the instruments that belong to no universe. Universe `all`, where not added, is every other symbol
                from its first to its last bar.

        Returns:
            The folder of the store.
        """
        indices = set(description.get("indices", ()))
        missing = sorted(indices - set(self._life))
        if missing:
            raise InputError(f"{self.folder}: index {missing[0]} is described but was not added")
        stocks = [(symbol, *life) for symbol, life in self._life.items() if symbol not in indices]
        if not stocks:
            raise InputError(f"{self.folder}: no symbol was added; there is nothing to store")
        if "all" not in self._universes:
            self.add_spans("all", pd.DataFrame(stocks, columns=["symbol", "start", "end"]))
        self._write(f"calendars/{self.freq}.txt", calendar_content(self.calendar, self.freq))
        self._write(f"calendars/{self.freq}_future.txt", calendar_content(self.calendar.union(self.future), self.freq))
        counted = {
            "freq": self.freq,
            "first": str(self.calendar[0]),
            "last": str(self.calendar[-1]),
            "stamps": len(self.calendar),
            "symbols": len(stocks),
            "fields": [field for field in STORE_FIELDS if field in self._fields],
            "universes": sorted(self._universes),
            "indices": sorted(indices),
            "fingerprint": _combine(self._digests),
        }
        text = json.dumps(description | counted, indent=2, ensure_ascii=False) + "\n"
        (self._partial / MARKET_JSON).write_text(text, encoding="utf-8")
        if self.folder.exists():  # a folder cannot replace a full one in a single step
            self.folder.rename(self._previous)
        self._partial.replace(self.folder)
        shutil.rmtree(self._previous, ignore_errors=True)
        return self.folder

    def _write(self, path: str, content: bytes) -> None:
        (self._partial / path).write_bytes(content)
        self._digests[path] = _digest(content)


def store_fingerprint(folder: Path) -> str:
    """Content hash of calendars, instruments and features: equal for equal data, whatever made the folder."""
    paths = [path for name in ("calendars", "instruments", "features") for path in (folder / name).rglob("*.*")]
    return _combine({path.relative_to(folder).as_posix(): _digest(path.read_bytes()) for path in paths})


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _combine(digests: dict[str, str]) -> str:
    return _digest("".join(f"{path} {digest}\n" for path, digest in sorted(digests.items())).encode())


def _check_calendar(folder: Path, calendar: pd.DatetimeIndex, future: pd.DatetimeIndex) -> None:
    stamps = calendar.append(future)
    if calendar.empty or not stamps.is_monotonic_increasing or not stamps.is_unique:
        raise InputError(f"{folder}: the calendar must have stamps, sorted and unique, and `future` must follow them")
