"""The end of a comparison that is a run of its own: files, `summary.json`, the screen."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from kronos_lab.data.market import Market
from kronos_lab.evaluation.comparison import Comparison
from kronos_lab.evaluation.comparison_files import publish_comparison
from kronos_lab.models.hub import weights_fingerprint
from kronos_lab.runs.summary import write_summary

log = logging.getLogger(__name__)


def finish_evaluation(
    folder: Path,
    comparison: Comparison,
    settings: Mapping[str, Any],
    market: Market,
    models: Sequence[nn.Module],
    titles: Mapping[str, str | None],
    warnings: Sequence[str],
    started: float,
) -> None:
    """Write what came out; on rank 0 only.

    Args:
        folder: the run folder.
        comparison: the table.
        settings: the resolved configuration.
        market: what was forecast.
        models: tokenizer and predictor of the checkpoint.
        titles: what was compared, in words: "checkpoint" and "parent".
        warnings: what to know of the weights.
        started: `time.time()` when the run began.
    """
    publish_comparison(folder, comparison)
    write_summary(
        folder,
        kind="evaluate",
        name=str(settings["name"]),
        config=settings,
        seed=settings["seed"],
        market=market.name,
        market_fingerprint=market.fingerprint,
        weights=dict(zip(("tokenizer", "predictor"), map(weights_fingerprint, models), strict=True)),
        started=started,
        headline=comparison.headline,
        further={**titles, "warnings": list(warnings), "evaluation": comparison.describe()},
    )
    for warning in warnings:
        log.warning("%s", warning)
    log.info("%s", folder)
