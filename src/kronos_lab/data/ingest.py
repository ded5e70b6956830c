"""Imports files of bars, memberships and indices into a store, checking everything on the way.

The sources are only read. The store is made once and opened afterwards, until a source or an option changes. Prices
become adjusted ones (raw · factor, volume / factor) and limits are derived for A-shares; what was rejected, repaired or
left out is written into the store as `import_report.csv`, `.json` and `.md`.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kronos_lab.data.adjustment import store_frame, to_raw
from kronos_lab.data.bars import PRICES
from kronos_lab.data.checks import Findings, Thresholds, check_rows
from kronos_lab.data.code_checks import note_handovers, reject_second_codes
from kronos_lab.data.factor_checks import (
    bridge_jumps,
    reject_lone_sessions,
    settle_factor_steps,
    settle_session_factors,
    undo_factor_slips,
)
from kronos_lab.data.import_report import NAME, as_text, report_files
from kronos_lab.data.limits import board_of
from kronos_lab.data.market import Market
from kronos_lab.data.readers import membership_files, read_bars, read_memberships, source_files
from kronos_lab.data.sessions import Sessions
from kronos_lab.data.sources import Prices, Sources, VolumeUnit
from kronos_lab.data.store import MARKET_JSON, StoreWriter, store_lock
from kronos_lab.data.trading_calendar import future_stamps_from_grid
from kronos_lab.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress

FUTURE_SESSIONS = 120
SHARES_PER_HAND = 100


def files_market(
    store: str | Path,
    bars: str | Path,
    memberships: str | Sequence[str] | None,
    indices: str | Path | None,
    columns: Mapping[str, str | None],
    prices: Prices,
    volume_unit: VolumeUnit,
    renamed: Mapping[str, str] | None,
    checks: Thresholds,
    freq: str,
    name: str | None = None,
    cache: str | Path | None = None,
) -> Market:
    """The market of some files: imported on first use and whenever they or the options change, else opened at once.

    Args:
        store: folder of the store; an earlier import there is replaced when the new one is complete.
        bars: see `Sources`, also for memberships, indices, columns, prices, volume_unit, renamed and freq.
        memberships: one file or folder, or several.
        indices: as there.
        columns: as there; None for a field is the same as none.
        prices: as there.
        volume_unit: as there.
        renamed: as there.
        checks: thresholds of the checks.
        freq: as there.
        name: of the market; default the store's folder.
        cache: folder for arrays derived from the store.

    Raises:
        InputError: a path, a column, a value that cannot be used, in one line.
    """
    several = [memberships] if isinstance(memberships, str) else list(memberships or [])
    sources = Sources(
        bars=Path(bars).expanduser(),
        memberships=tuple(Path(path).expanduser() for path in several),
        indices=Path(indices).expanduser() if indices else None,
        columns={field: column for field, column in columns.items() if column},
        prices=prices,
        volume_unit=volume_unit,
        renamed=dict(renamed or {}),
        freq=freq,
    )
    folder = Path(store).expanduser()
    fingerprint = sources.fingerprint(checks)
    if not _is_made_from(folder, fingerprint):
        with store_lock(folder):  # of several ranks that arrive here together one imports, the others wait
            if not _is_made_from(folder, fingerprint):
                _refuse_foreign(folder)
                import_files(folder, sources, checks)
    return Market(folder, name=name, freq=freq, cache=cache)


def _is_made_from(store: Path, fingerprint: str) -> bool:
    path = store / MARKET_JSON
    return path.is_file() and json.loads(path.read_text()).get("sources_fingerprint") == fingerprint


def _refuse_foreign(folder: Path) -> None:
    """An import replaces its own stores and nothing else."""
    foreign = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if foreign and not (folder / f"{NAME}.json").is_file():
        raise InputError(f"{folder} exists and is no import: choose another folder with market.store=<folder>")


def import_files(store: Path, sources: Sources, thresholds: Thresholds) -> None:
    """Read, check and write a store; the previous one stays as it was until the new one is complete."""
    from rich.progress import Progress

    with Progress(transient=True) as progress:  # unlike rich's `track`, gone at once where an error ends the import
        _import_files(store, sources, thresholds, progress)


def _import_files(store: Path, sources: Sources, thresholds: Thresholds, progress: "Progress") -> None:
    started, findings = time.perf_counter(), Findings()
    fingerprint = sources.fingerprint(thresholds)  # before reading: a file that changes meanwhile is read again
    files = progress.track(source_files(sources.bars), description=f"reading {sources.bars.name}")
    rows = read_bars(files, sources.columns, sources.renamed, with_st=True)
    rows_read, has_amount, has_factor = len(rows), "amount" in rows, "factor" in rows
    shares_per_unit = SHARES_PER_HAND if sources.volume_unit == "hands" else 1
    rows = to_raw(_to_freq(rows, sources), sources.prices == "adjusted", shares_per_unit)
    checking = progress.add_task(f"checking {rows_read:,} rows", total=None)
    rows, listed = check_bars(rows, thresholds, findings)
    progress.remove_task(checking)
    if rows.empty:
        raise InputError(f"{sources.bars}: none of {rows_read} rows is a sound bar with volume; check the columns")

    symbols = [str(symbol) for symbol in rows["symbol"].unique()]
    calendar = pd.DatetimeIndex(np.unique(rows["stamp"].to_numpy()))
    with_limits = (has_factor or sources.prices == "raw") and any(map(board_of, symbols))
    st_bars = int(rows["st"].sum()) if "st" in rows else None
    notes = _notes_on_fields(sources, has_amount, has_factor, with_limits, st_bars)
    indices = _read_indices(sources, calendar, thresholds, findings, notes)
    universes = _read_universes(sources, calendar, set(symbols), findings)

    future = future_stamps_from_grid(calendar, FUTURE_SESSIONS * _bars_per_session(calendar))
    with StoreWriter(store, calendar, future, sources.freq) as writer:
        pieces = rows.groupby("symbol", observed=True, sort=False)
        for symbol, bars in progress.track(pieces, total=len(symbols), description="writing the store"):
            writer.add(str(symbol), store_frame(str(symbol), bars, symbol in listed, with_limits))
        for symbol, index in indices.items():
            writer.add(symbol, index)
        for name, (spans, _) in universes.items():
            writer.add_spans(name, spans)
        summary = {
            "source": str(sources.bars),
            "rows_read": rows_read,
            "bars": len(rows),
            "symbols": len(symbols),
            "first": as_text(calendar[0]),
            "last": as_text(calendar[-1]),
            "indices": sorted(indices),
            "universes": {name: counts for name, (_, counts) in universes.items()},
            "notes": notes,
            "seconds": round(time.perf_counter() - started, 1),
        }
        for name, content in report_files(summary, findings.frame()).items():
            writer.attach(name, content)
        made_from = {"source": str(sources.bars), **sources.options(), "checks": asdict(thresholds)}
        description = {"made_from": made_from, "sources_fingerprint": fingerprint, "indices": list(indices)}
        writer.finish(description)


def check_bars(rows: pd.DataFrame, thresholds: Thresholds, findings: Findings) -> tuple[pd.DataFrame, set[str]]:
    """All checks, in the order in which one's repairs serve the next.

    Args:
        rows: raw prices, volume in shares, factor; sorted by symbol and stamp.
        thresholds: see there.
        findings: receives one line per row touched.

    Returns:
        The sound, traded bars, and the symbols whose first bar is their listing.
    """
    sessions = Sessions(check_rows(rows, thresholds, findings), thresholds)
    settle_session_factors(sessions, thresholds, findings)
    reject_second_codes(sessions, thresholds, findings)
    note_handovers(sessions, thresholds, findings)
    undo_factor_slips(sessions, thresholds, findings)
    settle_factor_steps(sessions, thresholds, findings)
    reject_lone_sessions(sessions, findings)
    bridge_jumps(sessions, findings)
    return sessions.bars_left(), sessions.newly_listed()


def _to_freq(rows: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Daily bars are stamped with their day; bars of another frequency than asked for are refused."""
    days = rows["stamp"].dt.normalize()
    if sources.freq != "day":
        if len(rows) and (days == rows["stamp"]).all():
            raise InputError(f"{sources.bars}: no bar has a time of day, so they are daily: freq=day")
        return rows
    twice = pd.DataFrame({"symbol": rows["symbol"], "day": days}).duplicated()
    if twice.mean() > 0.5 and not rows.duplicated(["symbol", "stamp"]).mean() > 0.5:
        raise InputError(f"{sources.bars}: several bars a day, so they are not daily: freq=5min, or what they are")
    return rows.assign(stamp=days)


def _bars_per_session(calendar: pd.DatetimeIndex) -> int:
    return int(np.ceil(len(calendar) / calendar.normalize().nunique()))


def _notes_on_fields(
    sources: Sources, has_amount: bool, has_factor: bool, with_limits: bool, st_bars: int | None
) -> list[str]:
    """What the store had to do without, in words for the report."""
    notes = []
    if not has_amount:
        notes.append("no amounts in the source: where needed, amount is volume · mean of the four prices")
    if not has_factor and sources.prices == "raw":
        notes.append(
            "raw prices without a factor: dividends are not adjusted for, and splits only where a jump beyond the "
            "limits shows them (unexplained_jump)"
        )
    if not has_factor and sources.prices == "adjusted":
        notes.append("adjusted prices without a factor: raw prices are not known, so no limits were derived")
    elif with_limits and st_bars is not None:
        marked = f"{st_bars:,} bars are marked st, which makes it 5 % on the main boards"
        notes.append(f"limits by board and date; {marked}")
    elif with_limits:
        notes.append("limits by board and date; the narrower ones of stocks under special treatment are not known")
    else:
        notes.append("no A-shares among the symbols: no limits were derived")
    return notes


def _read_indices(
    sources: Sources,
    calendar: pd.DatetimeIndex,
    thresholds: Thresholds,
    findings: Findings,
    notes: list[str],
) -> dict[str, pd.DataFrame]:
    """Index bars on the calendar of the market, by symbol; their prices and volumes are taken as they are."""
    if sources.indices is None:
        return {}
    rows = read_bars(source_files(sources.indices), {}, {}, needs_volume=False)
    rows = rows.assign(stamp=rows["stamp"].dt.normalize()) if sources.freq == "day" else rows
    inside = rows[rows["stamp"].isin(calendar)]
    if inside.empty:
        span = f"{calendar[0]} to {calendar[-1]}"
        raise InputError(f"{sources.indices}: no stamp is one of the market's bars ({span}); is its freq the same?")
    prices = inside[["symbol", "stamp", *PRICES]].assign(volume=1.0, factor=1.0)  # an index may lack volume
    sound = check_rows(prices, thresholds, findings)
    inside = inside.loc[sound.index].assign(**{name: sound[name] for name in PRICES})
    indices = {}
    for symbol, index in inside.groupby("symbol", observed=True):
        fields = [name for name in (*PRICES, "volume", "amount") if name in index]
        frame = index.set_index("stamp")[fields]
        indices[str(symbol)] = frame.assign(change=frame["close"].pct_change())
        if len(frame) < len(calendar):
            notes.append(f"index {symbol} has bars on {len(frame)} of {len(calendar)} stamps")
    return indices


def _read_universes(
    sources: Sources, calendar: pd.DatetimeIndex, with_bars: set[str], findings: Findings
) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
    """Spans per universe, members without bars included, and how many of those there are.

    Counted are the members of any day of the calendar; a span that ends before it begins is rejected.
    """
    universes: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {}
    for file in membership_files(sources.memberships):
        spans = read_memberships(file, sources.renamed)
        inverted = (spans["end"] < spans["start"]).to_numpy()
        text = f"span of {file.name} ends before it begins"
        findings.add(spans.rename(columns={"start": "stamp"}), inverted, "membership_span", "rejected", text)
        spans = spans[~inverted]
        in_time = spans[(spans["end"] >= calendar[0].normalize()) & (spans["start"] <= calendar[-1])]
        members = set(in_time["symbol"])
        name = file.stem.lower()
        if name in universes:
            raise InputError(f"{file}: there are two membership files for universe {name}")
        counts = {"symbols": len(members), "without_bars": sorted(members - with_bars)}
        universes[name] = (spans, counts)
    return universes
