"""The end of a training run: what is on disk, in `summary.json` and on the screen."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from kronos_lab.data.datamodule import KLineDataModule
from kronos_lab.data.market import Market
from kronos_lab.data.split import DateSplit
from kronos_lab.evaluation.comparison import Comparison
from kronos_lab.models.hub import weights_fingerprint
from kronos_lab.runs.ancestry import describe_origin, seen_until
from kronos_lab.runs.ranks import rank
from kronos_lab.runs.repetition import compared_with
from kronos_lab.runs.summary import PRUNED, write_summary
from kronos_lab.runs.tracking import facts_of_run, log_artifact
from kronos_lab.training.attempts import Attempts
from kronos_lab.training.forecast_figures import ForecastFigures
from kronos_lab.training.monitor import monitored
from kronos_lab.training.pruning import EndWherePruned

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

log = logging.getLogger(__name__)


def facts_of_training(folder: Path, market: Market, starting_weights: Sequence[str]) -> dict[str, Any]:
    """What the tracker is told of a training run beside its settings; see `facts_of_run`."""
    return facts_of_run(folder, market, started_from=describe_origin(starting_weights))


def finish_training(
    folder: Path,
    settings: Mapping[str, Any],
    market: Market,
    split: DateSplit,
    starting_weights: Sequence[str],
    models: Mapping[str, nn.Module],
    outcome: Mapping[str, float],
    attempts: Attempts,
    data: KLineDataModule,
    record: Mapping[str, Any],
    comparison: Comparison | None,
    search: EndWherePruned,
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
        attempts: the processes the run has taken.
        data: its windows.
        record: where the tracker's record is, see `record_of`.
        comparison: of the exported weights with their parent, if there is one.
        search: whether the one that the run is a trial of has given it up.
    """
    if rank() != 0:
        return
    exported = _exported(folder, models)
    weights = {name: weights_fingerprint(model) for name, model in exported.items()}
    write_summary(
        folder,
        kind="train",
        name=str(settings["name"]),
        config=settings,
        seed=settings["seed"],
        market=market.name,
        market_fingerprint=market.fingerprint,
        weights=weights,
        started=attempts.started - attempts.earlier_seconds,
        headline={**outcome, **(comparison.headline if comparison else {})},
        further={
            **({"status": PRUNED} if search.pruned else {}),
            "seen_until": seen_until(starting_weights, trained_until=split.val_end),
            "windows_per_step": data.windows_per_step,
            "attempts": attempts.number,
            "started_from": describe_origin(starting_weights),
            **record,
            **compared_with(settings.get("from_run"), weights),
            "evaluation": comparison.describe() if comparison else None,
        },
    )
    for name, value in outcome.items():
        stage, metric = name.split("/")
        if metric in {"val_loss", monitored(settings["monitor"], stage)}:  # the others are in the summary
            log.info("%-27s %.4f", name, value)
    for name in exported:
        log.info("%-27s %s", name, folder / name)


def track_outcome(
    logger: "Logger", folder: Path, models: Mapping[str, nn.Module], data: KLineDataModule, figures: ForecastFigures
) -> None:
    """Draw forecasts of the finetuned predictor, and send them and the exported networks to the tracker; rank 0 only.

    Args:
        logger: of the run.
        folder: the run folder.
        models: the networks by the name of their folder.
        data: what was trained on.
        figures: what is drawn.
    """
    if rank() != 0:
        return
    exported = _exported(folder, models)
    if "predictor" in exported:
        figures.draw(folder, data, exported["tokenizer"], exported["predictor"], logger)
    fingerprints = {f"weights_{name}": weights_fingerprint(model) for name, model in exported.items()}
    facts = {**fingerprints, "market_fingerprint": data.market.fingerprint}
    log_artifact(logger, folder, "model", list(exported), facts)


def _exported(folder: Path, models: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    return {name: model for name, model in models.items() if (folder / name).is_dir()}
