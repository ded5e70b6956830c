"""The end of a training run: what is on disk, in `summary.json` and on the screen."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from kronos_lab.data.market import Market
from kronos_lab.data.split import DateSplit
from kronos_lab.models.hub import weights_fingerprint
from kronos_lab.runs.ancestry import describe_origin, seen_until
from kronos_lab.runs.ranks import rank
from kronos_lab.runs.summary import write_summary
from kronos_lab.training.monitor import monitored

log = logging.getLogger(__name__)


def finish_training(
    folder: Path,
    settings: Mapping[str, Any],
    market: Market,
    split: DateSplit,
    starting_weights: Sequence[str],
    models: Mapping[str, nn.Module],
    outcome: Mapping[str, float],
    started: float,
) -> None:
    """Write `summary.json` and say what came out; on rank 0 only.

    Args:
        folder: the run folder.
        settings: the resolved configuration.
        market: what was trained on.
        split: the days trained and validated on.
        starting_weights: what `load_starting_weights` loaded.
        models: the networks by the name of their folder; those exported are summarised.
        outcome: validation metrics of the exported weights.
        started: `time.time()` when the run began.
    """
    if rank() != 0:
        return
    exported = {name: model for name, model in models.items() if (folder / name).is_dir()}
    write_summary(
        folder,
        kind="train",
        name=str(settings["name"]),
        config=settings,
        seed=settings["seed"],
        market=market.name,
        market_fingerprint=market.fingerprint,
        weights={name: weights_fingerprint(model) for name, model in exported.items()},
        started=started,
        headline=outcome,
        further={
            "seen_until": seen_until(starting_weights, trained_until=split.val_end),
            "started_from": describe_origin(starting_weights),
        },
    )
    for name, value in outcome.items():
        stage, metric = name.split("/")
        if metric in {"val_loss", monitored(settings["monitor"], stage)}:  # the others are in the summary
            log.info("%-27s %.4f", name, value)
    for name in exported:
        log.info("%-27s %s", name, folder / name)
