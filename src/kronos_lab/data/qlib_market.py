"""An existing folder in qlib's format as a market: never written to; the fields it lacks are derived beside it.

The derived files lie in an *overlay* in the cache, a store whose other files are links into the folder. qlib reads the
overlay like any store, so that its exchange finds the limits, and every other field of the folder is there too.
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from kronos_lab.data.adjustment import TWO_FLOAT32_ROUNDINGS, store_frame, to_raw
from kronos_lab.data.bars import FIELDS, amount_from_volume
from kronos_lab.data.limits import board_of
from kronos_lab.data.market import Market
from kronos_lab.data.store import (
    MARKET_JSON,
    calendar_content,
    feature_content,
    feature_folder,
    store_fingerprint,
    store_lock,
)
from kronos_lab.data.trading_calendar import extend_calendar, future_stamps_from_grid
from kronos_lab.errors import InputError

OVERLAY_VERSION = 1  # of what is derived and how
FUTURE_SESSIONS = 120
LIMITS = ("limit_up", "limit_down")
DERIVED = ("amount", "change", *LIMITS)

log = logging.getLogger(__name__)


def open_qlib_market(
    store: Path | str, name: str | None = None, freq: str = "day", cache: Path | str | None = None
) -> Market:
    """Open a folder in qlib's format, with amount, change, limits and future stamps derived where it lacks them.

    Amount is volume · mean of the four prices; change is that of the adjusted close; limits follow board, date and
    raw close (see `limits`) and need a factor. What cannot be derived is said in the log.

    Args:
        store: the folder; its files are only read.
        name: of the market; the folder's own name if None.
        freq: qlib's name of the frequency.
        cache: folder for the overlay and for memory-mapped bars; without it nothing is derived.

    Raises:
        InputError: the folder is no store, has no bars of this frequency, or lacks one of the fields of a bar.
    """
    folder = Path(store).expanduser()
    original = Market(folder, name, freq)
    for field in FIELDS[:5]:
        if not original.has_field(field):
            raise InputError(f"{folder}: no field {field}; a market needs {', '.join(FIELDS[:5])}")
    if cache is None:
        log.warning("market.cache=null: nothing that %s lacks can be derived", folder)
        return original
    made_from: dict[str, str | int] = {
        "folder": str(folder.resolve()),
        "state": _state(folder),
        "version": OVERLAY_VERSION,
    }
    overlay = Path(cache) / f"qlib-{freq}-{hashlib.blake2b(str(folder.resolve()).encode(), digest_size=8).hexdigest()}"
    if not _is_made_from(overlay, made_from):
        with store_lock(overlay):
            if not _is_made_from(overlay, made_from):
                _make_overlay(overlay, original, made_from)
    market = Market(overlay, name or original.name, freq, cache)
    for note in market.description["notes"]:
        log.warning("%s: %s", folder, note)
    return market


def _state(folder: Path) -> str:
    """Hash of names, sizes and times of change: another state of the folder needs another overlay."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    status = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.blake2b(json.dumps(status).encode(), digest_size=16).hexdigest()


def _is_made_from(overlay: Path, made_from: dict[str, str | int]) -> bool:
    described = overlay / MARKET_JSON
    return described.is_file() and json.loads(described.read_text())["made_from"] == made_from


def _make_overlay(overlay: Path, market: Market, made_from: dict[str, str | int]) -> None:
    from rich.progress import Progress

    symbols = sorted({symbol for universe in market.universes() for symbol in market.symbols(universe)})
    fields, notes = _derivable(market, symbols)
    partial = overlay.with_name(overlay.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    _link(market.store.resolve(), partial)
    if market.future.empty:
        future = _future(market)
        content = calendar_content(market.calendar.union(future), market.freq)
        (partial / "calendars" / f"{market.freq}_future.txt").write_bytes(content)
    with Progress(transient=True, disable=not fields) as progress:
        for symbol in progress.track(symbols, description="deriving fields"):
            derived = _derive(market, symbol, fields)
            position_T = market.calendar.get_indexer(derived.index)
            for field in fields if len(derived) else ():
                path = partial / "features" / feature_folder(symbol) / f"{field}.{market.freq}.bin"
                path.write_bytes(feature_content(position_T, derived[field].to_numpy()))
    description = {
        "name": market.name,
        "freq": market.freq,
        "fields": sorted({*market.fields, *fields}),
        "derived": fields,
        "indices": market.indices,
        "notes": notes,
        "made_from": made_from,
        "fingerprint": store_fingerprint(partial),
    }
    (partial / MARKET_JSON).write_text(json.dumps(description, indent=2) + "\n")
    shutil.rmtree(overlay, ignore_errors=True)
    partial.replace(overlay)


def _link(folder: Path, partial: Path) -> None:
    """Links to every file of a store's three folders."""
    for name in ("calendars", "instruments", "features"):
        for path in (folder / name).rglob("*"):
            link = partial / path.relative_to(folder)
            if path.is_file():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)


def _future(market: Market) -> pd.DatetimeIndex:
    if market.freq == "day":
        return extend_calendar(market.calendar, FUTURE_SESSIONS)
    per_session = int(np.bincount(market.session_L).max())
    return future_stamps_from_grid(market.calendar, FUTURE_SESSIONS * per_session)


def _derivable(market: Market, symbols: list[str]) -> tuple[list[str], list[str]]:
    """Fields to derive, and a line on every one that is missing and cannot be."""
    missing = [field for field in DERIVED if not market.has_field(field)]
    if not set(missing) & set(LIMITS):
        return missing, []
    if not market.has_field("factor"):
        reason = "it has no factor, so the raw prices that limits are rounded in are not known"
    elif not any(board_of(symbol) for symbol in symbols):
        reason = "none of its symbols is an A-share"
    else:
        return missing, []
    return [field for field in missing if field not in LIMITS], [f"no price limits: {reason}"]


def _derive(market: Market, symbol: str, fields: list[str]) -> pd.DataFrame:
    """The derived fields of one symbol, one row a traded bar."""
    stored = [field for field in (*FIELDS, "factor") if market.has_field(field)]
    tables = market.wide(stored, [symbol])
    bars = pd.DataFrame({field: table[symbol] for field, table in tables.items()})
    bars = bars[bars["close"].notna()]
    listed = len(bars) > 0 and bars.index[0] > market.calendar[0]
    raw = to_raw(bars.rename_axis("stamp").reset_index(), adjusted=True, shares_per_unit=1)
    frame = store_frame(symbol, raw, bool(listed), with_limits=set(LIMITS) <= set(fields))
    if "amount" in fields:
        frame["amount"] = amount_from_volume(*(bars[field].to_numpy() for field in FIELDS[:5]))
    if "limit_up" in fields:
        # The folder's prices and factors were rounded to float32 before the limits were derived from them: a hair
        # inside, far less than a tick, so that a price at its limit is still found there.
        frame["limit_up"] *= 1 - TWO_FLOAT32_ROUNDINGS
        frame["limit_down"] *= 1 + TWO_FLOAT32_ROUNDINGS
    return frame[fields]
