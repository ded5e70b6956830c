"""A finished backtest, read back from its folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.utils import get_object
from omegaconf import DictConfig

from kronos_lab.backtesting.forecasts.candidates import own_weights
from kronos_lab.backtesting.scores.signals import score_frame
from kronos_lab.errors import InputError
from kronos_lab.runs.folder import METRICS_FILE, SUMMARY_FILE, find_folder, load_config
from kronos_lab.runs.summary import find_finished_training_runs, read_summary

SIGNALS_FILE, PORTFOLIO_FILE, DAILY_FILE = "signals.parquet", "portfolio.parquet", "daily.parquet"
# What decides which scores a day has and what is traded on them, apart from the weights.
RULE = (
    "market", "universe", "split", "data", "data_without_run", "forecast", "signal", "cross_section", "strategy",
    "exchange", "seed",
)  # fmt: skip

PARTS = ("market", "signal", "cross_section", "strategy", "exchange")  # which are instantiated


def find_backtest(run: str | int | None, outputs: Path) -> Path:
    """Folder of a finished backtest.

    Args:
        run: its folder, or its name under `outputs/backtest`; None for the newest.
        outputs: folder of all runs.

    Raises:
        InputError: there is none.
    """
    backtests = outputs / "backtest"
    if run is not None:
        folder = find_folder(str(run), backtests) or backtests / str(run)
        if _finished(folder) is None:
            raise InputError(f"run={run} is no finished backtest: {folder} has no {SUMMARY_FILE} of one")
        return folder
    finished = {path.parent: _finished(path.parent) for path in backtests.rglob(SUMMARY_FILE)}
    found = {folder: summary["finished"] for folder, summary in finished.items() if summary is not None}
    if not found:
        raise InputError(f"no finished backtest in {backtests}: run backtest.py first, or give run=")
    return max(found, key=lambda folder: found[folder])


def read_scores(folder: Path) -> pd.DataFrame:
    """Scores that were traded, [L, N]: signal days × symbols."""
    scores = pd.read_parquet(folder / SIGNALS_FILE)
    return score_frame(scores["date"].to_numpy(), scores["symbol"].to_numpy(), scores["score"].to_numpy())


def read_metrics(folder: Path) -> dict[str, Any]:
    """All figures, as `Results.metrics` has them; what is no number is NaN again."""
    return _numbers(json.loads((folder / METRICS_FILE).read_text(encoding="utf-8")))


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(one) for key, one in value.items()}
    return float("nan") if value is None else value


def load_rule(folder: Path) -> DictConfig:
    """The configuration of a finished backtest, whose parts can be made anew.

    Raises:
        InputError: code it names is not there any more.
    """
    was = load_config(folder)
    for part in PARTS:
        try:
            get_object(was[part]._target_)
        except Exception as error:  # whatever importing a name that moved brings about
            raise InputError(
                f"{folder} was made by another version of this code, which had {was[part]._target_}: run the "
                "backtest again"
            ) from error
    return was


def take_over_rule(cfg: DictConfig, folder: Path, overrides: Sequence[str], allowed: Sequence[str]) -> dict[str, str]:
    """Make the settings of a backtest, its weights among them, those of another command; in place.

    Args:
        cfg: configuration of the command, with the keys of `backtest.yaml`. A checkpoint that it names is kept.
        folder: of the finished backtest.
        overrides: what was typed, `key=value`.
        allowed: keys, and groups with a dot behind, that may be.

    Returns:
        Fingerprints of the weights that are expected then, by name; none where a checkpoint was named.

    Raises:
        InputError: another setting was typed, or the training run that left the weights is not there any more.
    """
    may_be = tuple(key if key.endswith(".") else f"{key}=" for key in allowed)
    other = [override for override in overrides if not override.startswith(may_be)]
    if other:
        raise InputError(f"run= takes the settings of {folder}: leave out {', '.join(other)}")
    was = load_rule(folder)
    for key in RULE:
        if key in was:
            cfg[key] = was[key]
    cfg.backtest.account = was.backtest.account
    if cfg.checkpoint is not None:
        return {}
    cfg.checkpoint, expected = checkpoint_of(folder, was, Path(cfg.paths.outputs))
    cfg.tokenizer = was.tokenizer
    return expected


def checkpoint_of(folder: Path, was: DictConfig, outputs: Path) -> tuple[Any, dict[str, str]]:
    """The `checkpoint` that names what a finished backtest traded, and the fingerprints of its weights by name.

    Args:
        folder: of the backtest.
        was: its configuration.
        outputs: folder of all runs.

    Raises:
        InputError: the training run that left the weights is not there any more.
    """
    summary = read_summary(folder)
    assert summary is not None
    return was.checkpoint or _trained(summary["weights"], folder, outputs), own_weights(summary["weights"])


def _trained(weights: Mapping[str, str], backtest: Path, outputs: Path) -> str:
    """Folder of the training run that left the weights of a backtest of "the newest run", which it may not be now."""
    for run in find_finished_training_runs(outputs):
        if run.weights.get("predictor") == weights["predictor"]:
            return str(run.folder)
    raise InputError(
        f"no training run in {outputs / 'train'} has the weights of {backtest} (predictor {weights['predictor']}): "
        "give checkpoint="
    )


def _finished(folder: Path) -> dict[str, Any] | None:
    summary = read_summary(folder)
    return summary if summary and summary.get("kind") == "backtest" else None
