"""Bars of a market as memory-mapped arrays on disk, shared by every process that opens them."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kronos_lab.data.bars import Bars

_ARRAYS = ("values_MF", "position_M", "offsets")


@dataclass(frozen=True)
class MappedBars(Bars):
    """Bars whose arrays are maps of files.

    Handed to another process (a worker of a data loader that is spawned, not forked) they are mapped again there, not
    copied.

    Attributes:
        folder: where the files are.
    """

    folder: Path

    def __reduce__(self) -> "tuple[Callable[..., MappedBars], tuple]":
        return _open, (self.folder, self.symbols, self.calendar, self.session_L)


def load_bars(
    cache: Path, fingerprint: str, freq: str, symbols: list[str], calendar: pd.DatetimeIndex, session_L: np.ndarray
) -> Bars | None:
    """Bars cached for this content, frequency and these symbols, mapped read-only; None if there are none."""
    folder = _folder(cache, fingerprint, freq, symbols)
    if not folder.is_dir():
        return None
    return _open(folder, symbols, calendar, session_L)


def save_bars(cache: Path, fingerprint: str, freq: str, bars: Bars) -> None:
    """Write bars so that `load_bars` finds all of them or none."""
    folder = _folder(cache, fingerprint, freq, bars.symbols)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in _ARRAYS:
        np.save(partial / f"{name}.npy", getattr(bars, name))
    partial.replace(folder)


def _open(folder: Path, symbols: list[str], calendar: pd.DatetimeIndex, session_L: np.ndarray) -> MappedBars:
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    return MappedBars(symbols=symbols, calendar=calendar, session_L=session_L, folder=folder, **arrays)


def _folder(cache: Path, fingerprint: str, freq: str, symbols: list[str]) -> Path:
    # A store may hold several frequencies; its fingerprint is that of all of them.
    key = hashlib.blake2b(json.dumps([fingerprint, freq, symbols]).encode(), digest_size=12).hexdigest()
    return cache / f"bars-{key}"
