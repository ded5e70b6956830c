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
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kronos_lab.backtesting.forecasts.forecast_batches import BatchPlan
from kronos_lab.backtesting.forecasts.forecast_shards import MANIFEST_FILE, batches_of
from kronos_lab.runs.summary import read_summary

log = logging.getLogger(__name__)


def forecasts_fingerprint(settings: Mapping[str, Any], plan: BatchPlan, rows: np.ndarray) -> str:
    """Of everything that makes forecasts what they are.

    Args:
        settings: weights, data, sampling, window, code and device, as the manifest holds them.
        plan: the batches.
        rows: the series, as rows of the market's bars.
    """
    content = json.dumps({**settings, "plan": plan.describe()}, sort_keys=True, default=str)
    return hashlib.blake2b(content.encode() + rows.tobytes(), digest_size=16).hexdigest()


def files_to_send(run_folder: Path, name: str) -> list[str]:
    """What of a run's forecasts a tracker is sent: all, or the manifest alone where runs before it have sent every one.

    Args:
        run_folder: of the run.
        name: folder of the forecasts in it.
    """
    sent = _others_have_sent(run_folder / name, depth=len(Path(name).parts), asked=frozenset())
    return [f"{name}/{MANIFEST_FILE}" if sent else name]


def _others_have_sent(folder: Path, depth: int, asked: Set[Path]) -> bool:
    """Whether all forecasts of a folder were taken over, and are at Comet already.

    Args:
        folder: of the forecasts.
        depth: of such folders within the run folder.
        asked: folders whose answer hangs on this one's: runs at the same time take over from one another.
    """
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        taken = {Path(run): batches for run, batches in manifest["taken_over"].items() if Path(run) != folder}
        if sum(taken.values()) != manifest["batch_plan"]["batches"]:
            return False
    except (OSError, ValueError, KeyError):  # removed meanwhile, or of another version
        return False
    asked = {*asked, folder}
    return all(_sent(run, depth) or (run not in asked and _others_have_sent(run, depth, asked)) for run in taken)


def _sent(folder: Path, depth: int) -> bool:
    """Whether the run of these forecasts came to its end and sent them, or knew that others had."""
    summary = read_summary(folder.parents[depth - 1])
    return bool(summary and summary.get("comet") and summary["config"]["logger"].get("upload_artifacts", True))


def code_fingerprint() -> str:
    """Of the source that turns bars into forecasts: a change there means that they are made anew."""
    package = Path(__file__).parents[2]
    files = [*(package / "models").glob("*.py"), *(package / "forecasting").glob("*.py")]
    files += [package / "data" / f"{name}.py" for name in ("normaliser", "time_features", "windows", "bars")]
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class EarlierForecasts:
    """Where forecasts may lie, and which are wanted.

    Attributes:
        outputs: folder of all runs; None: only what an earlier attempt of this very run has left is taken.
        fingerprint: of the forecasts, see `forecasts_fingerprint`.
    """

    outputs: Path | None
    fingerprint: str

    def take_over(self, folder: Path) -> dict[int, Path]:
        """Have the whole shards of earlier runs in `folder` too; batches by number, with the folder that made them.

        A folder that holds other forecasts already is emptied. Shards of a run that is still at work are whole too.
        """
        folder.mkdir(parents=True, exist_ok=True)
        taken: dict[int, Path] = {}
        if _fingerprint(folder / MANIFEST_FILE) != self.fingerprint:
            for shard in folder.glob("*.parquet"):
                shard.unlink()
        for earlier in (folder, *self._others(folder)):
            before = len(taken)
            for shard in sorted(earlier.glob("*.parquet")):
                taken |= dict.fromkeys(_take(shard, folder, taken.keys()), earlier)
            if len(taken) > before:
                log.info("forecasts   %d batches were made by %s", len(taken) - before, earlier.parent)
        return taken

    def _others(self, own: Path) -> Iterator[Path]:
        """Folders of such forecasts but this one, the newest first."""
        found = []
        for manifest in (self.outputs / "backtest").rglob(MANIFEST_FILE) if self.outputs else ():
            if _fingerprint(manifest) == self.fingerprint and manifest.parent.resolve() != own.resolve():
                with contextlib.suppress(OSError):  # removed meanwhile
                    found.append((manifest.stat().st_mtime, manifest.parent))
        return (folder for _, folder in sorted(found, reverse=True))


def _fingerprint(manifest: Path) -> str | None:
    """That of the forecasts beside a manifest; None where it tells none."""
    try:
        return json.loads(manifest.read_text(encoding="utf-8")).get("fingerprint")
    except (OSError, ValueError, AttributeError):
        return None


def _take(shard: Path, folder: Path, taken: Set[int]) -> set[int]:
    """Have a shard in the folder, unless one of its batches is there; the numbers of its batches.

    What cannot be read or copied is left out: its forecasts are made again.
    """
    try:
        batches = set(batches_of(shard))
        if not batches or batches & taken:
            if shard.parent == folder:
                shard.unlink()
            return set()
        if shard.parent != folder:
            _same_file(shard, folder / f"earlier-{min(batches):07d}.parquet")
    except (OSError, ValueError, pa.ArrowException):
        log.warning("%s cannot be taken over: its forecasts are made again", shard)
        if shard.parent == folder:
            shard.unlink(missing_ok=True)
        return set()
    return batches


def _same_file(source: Path, target: Path) -> None:
    """A second name of the file; a copy, under a temporary name first, where the disk has none of that."""
    try:
        target.hardlink_to(source)
    except OSError:
        partial = target.with_name(f"{target.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)
