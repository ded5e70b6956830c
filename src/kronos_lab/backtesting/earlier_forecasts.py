"""Forecasts that an earlier run has made already, of the same weights, data and settings: they are not made again.

A new strategy or cost costs no forecasts, and a run that was killed is gone on with by typing its command once more.
What is taken over lies in the folder of the new run too (as a second name of the same file where the disk can do
that), so a run folder is complete whatever becomes of the others.
"""

import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kronos_lab.backtesting.forecast_batches import BatchPlan
from kronos_lab.backtesting.forecast_shards import MANIFEST_FILE, batches_of

log = logging.getLogger(__name__)


def forecasts_fingerprint(settings: Mapping[str, Any], plan: BatchPlan, rows: np.ndarray) -> str:
    """Of everything that makes forecasts what they are.

    Args:
        settings: weights, data, sampling, window, as the manifest holds them.
        plan: the batches.
        rows: the series, as rows of the market's bars.
    """
    content = json.dumps({**settings, "plan": plan.describe()}, sort_keys=True, default=str)
    return hashlib.blake2b(content.encode() + rows.tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class EarlierForecasts:
    """Where forecasts may lie, and which are wanted.

    Attributes:
        outputs: folder of all runs.
        fingerprint: of the forecasts, see `forecasts_fingerprint`.
    """

    outputs: Path
    fingerprint: str

    def take_over(self, folder: Path) -> set[int]:
        """Have the whole shards of earlier runs in `folder` too; the numbers of the batches they hold.

        Shards of a run that is still at work are whole as well.
        """
        taken: set[int] = set()
        for earlier in self._folders(folder):
            before = len(taken)
            for shard in sorted(earlier.glob("*.parquet")):
                try:
                    batches = set(batches_of(shard))
                except (OSError, pa.ArrowException):
                    log.warning("%s cannot be read: its forecasts are made again", shard)
                    continue
                if batches and not batches & taken:
                    _same_file(shard, folder / f"earlier-{min(batches):07d}.parquet")
                    taken |= batches
            if len(taken) > before:
                log.info("forecasts   %d batches were made by %s", len(taken) - before, earlier.parent)
        return taken

    def _folders(self, own: Path) -> Iterator[Path]:
        """Folders of such forecasts but this one, the newest first."""
        found = []
        for manifest in (self.outputs / "backtest").rglob(MANIFEST_FILE):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                content = json.loads(manifest.read_text(encoding="utf-8"))
                if content.get("fingerprint") == self.fingerprint and manifest.parent.resolve() != own.resolve():
                    found.append((manifest.stat().st_mtime, manifest.parent))
        return (folder for _, folder in sorted(found, reverse=True))


def _same_file(source: Path, target: Path) -> None:
    """A second name of the file; a copy, under a temporary name first, where the disk has none of that."""
    try:
        target.hardlink_to(source)
    except OSError:
        partial = target.with_name(f"{target.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)
