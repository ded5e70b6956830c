"""What an import is made from: files, how they are to be read, and the fingerprint that tells whether they changed."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from kronos_lab.data.checks import Thresholds
from kronos_lab.data.readers import membership_files, source_files
from kronos_lab.errors import InputError

IMPORT_VERSION = 2  # a higher one makes every store again: raise it when the checks or the schema change

Prices = Literal["raw", "adjusted"]
VolumeUnit = Literal["shares", "hands"]


@dataclass(frozen=True)
class Sources:
    """What is imported, and how it is to be read.

    Attributes:
        bars: file (.csv, .csv.gz, .parquet) or folder of them; without a column of symbols, the file's name is one.
        memberships: files of dated spans (symbol, first day, last day, tab separated), or folders of such *.txt.
        indices: file of index bars, kept outside every universe; None for none.
        columns: field (symbol, stamp, open, high, low, close, volume, amount, factor, st) → column, where not found.
        prices: "raw": adjusted = price · factor, volume / factor. "adjusted": prices and volume are so already; a
            factor then only serves to get back to raw prices, for limits.
        volume_unit: "shares", or "hands" of 100.
        renamed: old code → the code its bars and memberships are taken under.
        freq: "day", or "5min" and the like.
    """

    bars: Path
    memberships: tuple[Path, ...]
    indices: Path | None
    columns: Mapping[str, str]
    prices: Prices
    volume_unit: VolumeUnit
    renamed: Mapping[str, str]
    freq: str

    def __post_init__(self) -> None:
        for key, value, allowed in (
            ("prices", self.prices, get_args(Prices)),
            ("volume_unit", self.volume_unit, get_args(VolumeUnit)),
        ):
            if value not in allowed:
                raise InputError(f"{key}={value} is none of {', '.join(allowed)}")
        if not re.fullmatch(r"day|[1-9]\d*min", self.freq):
            raise InputError(f"freq={self.freq} is no bar length: day, 1min, 5min, 60min, ...")

    def fingerprint(self, thresholds: Thresholds) -> str:
        """Hash of the files' sizes and times of change, and of every option: what a store must be made from anew."""
        files = source_files(self.bars) + membership_files(self.memberships)
        files += source_files(self.indices) if self.indices else []
        status = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        made = [IMPORT_VERSION, status, self.options(), asdict(thresholds)]
        return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]

    def options(self) -> dict[str, Any]:
        """How the files are read, as plain JSON."""
        options = {name: getattr(self, name) for name in ("prices", "volume_unit", "freq")}
        return options | {"columns": dict(self.columns), "renamed": dict(self.renamed)}
