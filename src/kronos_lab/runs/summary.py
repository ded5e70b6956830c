"""`summary.json`: what a finished run was and what came out. A run without one did not finish."""

import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kronos_lab.runs.folder import SUMMARY_FILE, project_root

PACKAGES = (
    "kronos-lab", "torch", "lightning", "torchmetrics", "numpy", "pandas", "pyarrow", "pyqlib", "hydra-core",
    "omegaconf", "safetensors", "huggingface_hub", "comet-ml",
)  # fmt: skip


PRUNED = "pruned"  # the status of a training that its search has given up: it has no weights to use


@dataclass(frozen=True)
class FinishedRun:
    """What others need to know of a finished training run."""

    folder: Path
    name: str
    finished: datetime
    market: str
    market_fingerprint: str | None  # None where its summary does not say
    weights: dict[str, str]
    seen_until: str | None = None  # last day its weights may have seen, see `ancestry`; None where that is unknown
    started_from: str = "unknown weights"


def write_summary(
    folder: Path,
    *,
    kind: str,
    name: str,
    config: Mapping[str, Any],
    seed: int,
    market: str,
    market_fingerprint: str,
    weights: Mapping[str, str],
    started: float,
    headline: Mapping[str, float],
    further: Mapping[str, Any] | None = None,
) -> Path:
    """Write `<folder>/summary.json`, atomically and last: it is the mark that the run finished.

    Args:
        folder: the run folder.
        kind: "train" or "backtest".
        name: as configured; where the folder carries a number behind it, because the name was taken, so does the run.
        config: the resolved configuration as plain containers.
        seed: the run's seed.
        market: name of the market the run read.
        market_fingerprint: content hash of its store.
        weights: content hash per model, e.g. {"tokenizer": ..., "predictor": ...}.
        started: `time.time()` when the run began.
        headline: the figures one looks at first; NaN and infinity are written as null.
        further: what runs of this kind alone have to say.
    """
    now = time.time()
    return write_json(
        folder / SUMMARY_FILE,
        {
            "kind": kind,
            "name": folder.name if folder.name.startswith(f"{name}-") else name,
            "command": sys.orig_argv,
            "finished": datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds"),
            "duration_seconds": round(now - started, 1),
            "seed": seed,
            "market": {"name": market, "fingerprint": market_fingerprint},
            "weights": dict(weights),
            "headline": dict(headline),
            **(further or {}),
            "git": git_state(),
            "versions": package_versions(),
            "config": config,
        },
    )


def read_summary(folder: Path) -> dict[str, Any] | None:
    """Summary of a run, or None where it did not finish."""
    try:
        return json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def read_run(folder: Path) -> FinishedRun | None:
    """A finished training run, or None where the folder is none."""
    summary = read_summary(folder)
    if not summary or summary.get("kind") != "train" or summary.get("status") == PRUNED:
        return None
    finished = datetime.fromisoformat(summary["finished"])
    return FinishedRun(
        folder,
        summary["name"],
        finished,
        summary["market"]["name"],
        summary["market"].get("fingerprint"),
        summary["weights"],
        summary.get("seen_until"),
        summary.get("started_from", FinishedRun.started_from),
    )


def find_finished_training_runs(outputs: Path, market: str | None = None) -> list[FinishedRun]:
    """Finished training runs under `<outputs>/train`, newest first, sweeps included.

    Args:
        outputs: folder of all runs.
        market: only those on the market of that name; None takes all.
    """
    found = (read_run(path.parent) for path in (outputs / "train").rglob(SUMMARY_FILE))
    runs = [run for run in found if run is not None and market in {None, run.market}]
    return sorted(runs, key=lambda run: run.finished, reverse=True)


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write strict JSON (no NaN, no infinity: null) under a temporary name and rename it, so never half a file."""
    partial = path.with_name(f"{path.name}.partial")
    text = json.dumps(_strict(content), indent=2, ensure_ascii=False, allow_nan=False)
    partial.write_text(text + "\n", encoding="utf-8")
    return partial.replace(path)


def git_state() -> dict[str, Any]:
    """Revision of the source tree and whether it had uncommitted changes; nulls outside a repository."""
    try:
        revision = _git("rev-parse", "HEAD").strip()
        dirty = bool(_git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return {"revision": None, "dirty": None}
    return {"revision": revision, "dirty": dirty}


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(project_root()), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _strict(value: Any) -> Any:
    """The value as JSON knows it: paths as text, numpy and torch scalars as numbers, NaN as null."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if hasattr(value, "item") and callable(value.item):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
