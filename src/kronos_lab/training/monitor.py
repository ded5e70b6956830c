"""Which validation metrics there are, whether less or more of one is better, and which one picks the checkpoint."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from kronos_lab.errors import InputError


@dataclass(frozen=True)
class ValidationMetric:
    """A number of every validation, logged as `<stage>/<name>`.

    Attributes:
        name: without the stage's name.
        higher_is_better: of two checkpoints, whether the one with the higher value is the better one.
    """

    name: str
    higher_is_better: bool = False

    @property
    def mode(self) -> Literal["min", "max"]:
        """What Lightning's callbacks call the direction."""
        return "max" if self.higher_is_better else "min"


@runtime_checkable
class AddsMetrics(Protocol):
    """A callback whose metrics may pick the checkpoint too.

    It gives each of them to `StageModule.log_validation` in its `on_validation_epoch_end`, on every rank and after
    every validation: one that is missing there picks nothing.
    """

    def validation_metrics(self, stage: str) -> Sequence[ValidationMetric]:
        """The metrics added to those of the stage; none for a stage it has nothing to say about."""


def choose_monitor(
    monitor: str | Mapping[str, str], stage: str, metrics: Iterable[ValidationMetric], callbacks: Iterable[object]
) -> ValidationMetric:
    """The metric by which checkpoints of a stage are compared.

    Args:
        monitor: name of a metric, or one for each stage.
        stage: whose checkpoints.
        metrics: of the stage itself.
        callbacks: of its training; those that are `AddsMetrics` add theirs.

    Raises:
        InputError: there is no such metric.
    """
    known = known_metrics(stage, metrics, callbacks)
    name = monitored(monitor, stage)
    if name is None or name not in known:
        key = f"monitor.{stage}" if isinstance(monitor, Mapping) else "monitor"
        raise InputError(f"{key}={name} is no metric of the {stage} stage; it has {', '.join(known)}")
    return known[name]


def known_metrics(
    stage: str, metrics: Iterable[ValidationMetric], callbacks: Iterable[object]
) -> dict[str, ValidationMetric]:
    """All validation metrics of a stage by name, those of its callbacks included; see `choose_monitor`."""
    known = {metric.name: metric for metric in metrics}
    for callback in callbacks:
        if isinstance(callback, AddsMetrics):
            known |= {metric.name: metric for metric in callback.validation_metrics(stage)}
    return known


def monitored(monitor: str | Mapping[str, str], stage: str) -> str | None:
    """What the setting `monitor` names for a stage; None where it names nothing."""
    return monitor.get(stage) if isinstance(monitor, Mapping) else monitor
