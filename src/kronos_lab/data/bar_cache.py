"""Bars of a market as memory-mapped arrays on disk, shared by every process that opens them."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from kronos_lab.data.bars import Bars

_ARRAYS = ("values_MF", "position_M", "offsets")


def load_bars(
    cache: Path, fingerprint: str, freq: str, symbols: list[str], calendar: pd.DatetimeIndex, session_L: np.ndarray
) -> Bars | None:
    """Bars cached for this content, frequency and these symbols, mapped read-only; None if there are none."""
    folder = _folder(cache, fingerprint, freq, symbols)
    if not folder.is_dir():
        return None
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    return Bars(symbols=symbols, calendar=calendar, session_L=session_L, **arrays)


def save_bars(cache: Path, fingerprint: str, freq: str, bars: Bars) -> None:
    """Write bars so that `load_bars` finds all of them or none."""
    folder = _folder(cache, fingerprint, freq, bars.symbols)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in _ARRAYS:
        np.save(partial / f"{name}.npy", getattr(bars, name))
    partial.replace(folder)


def _folder(cache: Path, fingerprint: str, freq: str, symbols: list[str]) -> Path:
    # A store may hold several frequencies; its fingerprint is that of all of them.
    key = hashlib.blake2b(json.dumps([fingerprint, freq, symbols]).encode(), digest_size=12).hexdigest()
    return cache / f"bars-{key}"
