"""Writes a market in qlib's store format: one folder with calendars, features and dated universes.

Layout (qlib 0.9): `calendars/<freq>.txt` and `<freq>_future.txt` (the same stamps and at least one more, which qlib's
backtest needs on the last day), `features/<symbol in lower case>/<field>.<freq>.bin` (float32, little-endian; the
first value is the position of the first bar in the calendar) and `instruments/<universe>.txt`.
`market.json` beside them says what the store is and how it was made; its fingerprint is a hash of all contents.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd

from kronos_lab.errors import InputError

STORE_FIELDS = (
    "open", "high", "low", "close",  # currency per share, adjusted: raw price · factor
    "volume",  # shares, adjusted: raw volume / factor
    "amount",  # currency
    "factor",  # adjusted price / raw price
    "change",  # close / reference close − 1
    "limit_up", "limit_down",  # adjusted like the prices
)  # fmt: skip
DESCRIPTION_FILE = "market.json"
UNIVERSE_OF_ALL = "all"


class StoreWriter:
    """Builds a store beside its final place and moves it there when it is complete.

    Use as a context manager and call `finish` at the end. Whatever happens before leaves an earlier store as it was.

    Args:
        folder: where the store will be; an earlier store there is replaced.
        calendar: stamps of all sessions (or bars, for minutes), sorted and unique.
        future: stamps that follow, at least one.
        freq: qlib's name of the bar length: "day", "5min", ...
    """

    def __init__(self, folder: Path, calendar: pd.DatetimeIndex, future: pd.DatetimeIndex, freq: str = "day") -> None:
        stamps = calendar.append(future)
        if not len(calendar) or not len(future) or not stamps.is_monotonic_increasing or not stamps.is_unique:
            raise ValueError("calendar and future must follow each other, sorted and unique, neither of them empty")
        self.folder, self.calendar, self.freq = folder, calendar, freq
        self._partial = folder.with_name(folder.name + ".partial")
        self._digests: dict[str, str] = {}
        self._first_and_last: dict[str, tuple[pd.Timestamp, pd.Timestamp]] = {}
        self._future = future

    def __enter__(self) -> Self:
        try:
            shutil.rmtree(self._partial, ignore_errors=True)
            for name in ("calendars", "features", "instruments"):
                (self._partial / name).mkdir(parents=True)
        except OSError as error:
            raise InputError(f"{self.folder.parent} cannot be written to: {error.strerror}") from error
        self._write(f"calendars/{self.freq}.txt", self._lines(self.calendar))
        self._write(f"calendars/{self.freq}_future.txt", self._lines(self.calendar.union(self._future)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)

    def add(self, symbol: str, frame: pd.DataFrame) -> None:
        """Write the fields of one symbol.

        Args:
            symbol: as in `instruments/*.txt`.
            frame: indexed by stamps of the calendar, columns among `STORE_FIELDS`; sessions without a row, between
                the first and the last, are suspended and become NaN.
        """
        unknown = [column for column in frame.columns if column not in STORE_FIELDS]
        positions = self.calendar.get_indexer(frame.index)
        if unknown or not len(frame) or (positions < 0).any() or (np.diff(positions) <= 0).any():
            raise ValueError(
                f"{symbol}: fields {unknown} are not of the store, or stamps are not the calendar's in order"
            )
        first, last = int(positions[0]), int(positions[-1])
        folder = f"features/{symbol.lower()}"
        (self._partial / folder).mkdir()
        for field in frame.columns:
            values = np.full(last - first + 2, np.nan, dtype="<f4")
            values[0] = first
            values[1 + positions - first] = frame[field].to_numpy(dtype=np.float64)
            self._write(f"{folder}/{field}.{self.freq}.bin", values.tobytes())
        self._first_and_last[symbol] = (self.calendar[first], self.calendar[last])

    def add_spans(self, universe: str, spans: pd.DataFrame) -> None:
        """Write a universe: columns symbol, start, end (both inclusive)."""
        rows = spans.sort_values(["symbol", "start"])
        starts, ends = (self._text(pd.DatetimeIndex(rows[column])) for column in ("start", "end"))
        lines = (f"{s}\t{a}\t{b}\n" for s, a, b in zip(rows["symbol"], starts, ends, strict=True))
        self._write(f"instruments/{universe}.txt", "".join(lines).encode())

    def finish(self, description: Mapping[str, Any], outside: tuple[str, ...] = ()) -> Path:
        """Write `all` (unless given) and `market.json`, and move the store to its place.

        Args:
            description: what the store is and how it was made, as plain JSON.
            outside: symbols that belong to no universe: indices.
        """
        if f"instruments/{UNIVERSE_OF_ALL}.txt" not in self._digests:
            rows = [(s, *span) for s, span in self._first_and_last.items() if s not in outside]
            self.add_spans(UNIVERSE_OF_ALL, pd.DataFrame(rows, columns=["symbol", "start", "end"]))
        everything = "".join(f"{path} {digest}\n" for path, digest in sorted(self._digests.items()))
        fingerprint = hashlib.sha256(everything.encode()).hexdigest()[:16]
        content = {**description, "freq": self.freq, "indices": sorted(outside), "fingerprint": fingerprint}
        self._write(DESCRIPTION_FILE, json.dumps(content, indent=2, default=str).encode())
        replaced = self.folder.with_name(self.folder.name + ".replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if self.folder.exists():
            self.folder.replace(replaced)
        self._partial.replace(self.folder)
        shutil.rmtree(replaced, ignore_errors=True)
        return self.folder

    def _write(self, path: str, content: bytes) -> None:
        (self._partial / path).write_bytes(content)
        self._digests[path] = hashlib.sha256(content).hexdigest()

    def _text(self, stamps: pd.DatetimeIndex) -> pd.Index:
        return stamps.strftime("%Y-%m-%d" if self.freq == "day" else "%Y-%m-%d %H:%M:%S")

    def _lines(self, stamps: pd.DatetimeIndex) -> bytes:
        return "".join(f"{text}\n" for text in self._text(stamps)).encode()


def read_description(store: Path) -> dict[str, Any] | None:
    """Content of `market.json`; None for a store that Kronos Lab did not write, or that is not there."""
    path = store / DESCRIPTION_FILE
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise InputError(f"{path} is broken ({error}): delete the folder {store} to make the store again") from error
