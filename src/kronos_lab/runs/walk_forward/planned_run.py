"""A run of a walk-forward as it is planned. One that is there already is taken over only if it is what was planned.

It may have been typed by hand, on a cluster from `commands.txt` or by chance under that name, and the market may have
been refreshed since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.flat_settings import NOT_DECISIVE, flat
from kronos_lab.runs.folder import CONFIG_FILE, has_only_begun, load_config, make_paths_absolute
from kronos_lab.runs.summary import PRUNED, read_summary
from kronos_lab.runs.walk_forward.commands import typed_value

SETTINGS_NAMED = 3  # of those that differ
WHAT_TO_DO = "choose another name=, or move the run away"


@dataclass(frozen=True)
class PlannedRun:
    """A training or the backtest of a walk-forward.

    Attributes:
        title: for people.
        kind: "train" or "backtest": the configuration it is composed from.
        folder: its own.
        overrides: what is typed for it.
        market_fingerprint: content hash of the market that all runs of the walk-forward read.
        trained: of a backtest, overrides of a training whose settings it takes where it is given none.
    """

    title: str
    kind: str
    folder: Path
    overrides: Sequence[str]
    market_fingerprint: str
    trained: Sequence[str] | None = None

    @property
    def arguments(self) -> list[str]:
        """The script and its overrides."""
        return [f"{self.kind}.py", *self.overrides]

    def finished(self) -> dict[str, Any] | None:
        """Its summary, or None where it has not finished. Hydra must know the project's configuration.

        Raises:
            InputError: what is there is another run, whether it has finished or not.
        """
        if has_only_begun(self.folder):
            return None
        if not (self.folder / CONFIG_FILE).is_file():
            raise InputError(f"{self.folder} is there already, and no run (it has no {CONFIG_FILE}): {WHAT_TO_DO}")
        self._check_settings()
        summary = read_summary(self.folder)
        if summary is None:
            return None
        if summary.get("kind") != self.kind or summary.get("status") == PRUNED:
            raise InputError(f"{self.folder} has the summary of another run than {self.title}: {WHAT_TO_DO}")
        fingerprint = summary["market"].get("fingerprint")
        if fingerprint != self.market_fingerprint:
            raise InputError(
                f"{self.folder} was made of other data of market {summary['market']['name']} than there is now "
                f"(fingerprint {fingerprint}, now {self.market_fingerprint}): {WHAT_TO_DO}"
            )
        return summary

    def _check_settings(self) -> None:
        from hydra import compose

        composed = compose(self.kind, list(self.overrides))
        make_paths_absolute(composed)  # as a run saves them
        if self.trained is not None:
            training = compose("train", list(self.trained))
            composed.data = {key: training.data[key] if one is None else one for key, one in composed.data.items()}
        planned, found = _decisive(composed), _decisive(load_config(self.folder))
        same = {key for key in planned.keys() & found.keys() if planned[key] == found[key]}
        different = sorted((planned.keys() | found.keys()) - same)
        if different:
            named = [f"{_said(found, key)} (planned {_said(planned, key)})" for key in different[:SETTINGS_NAMED]]
            more = len(different) - len(named)
            further = f" and {more} more" if more else ""
            raise InputError(f"{self.folder} is not {self.title}: it has {', '.join(named)}{further}: {WHAT_TO_DO}")


def check_weights(backtest: Mapping[str, Any], folder: Path, trainings: Sequence[Mapping[str, Any]]) -> None:
    """Hold a finished backtest to the weights that the trainings have left.

    Args:
        backtest: its summary.
        folder: its own.
        trainings: summaries of all folds, in order.

    Raises:
        InputError: it traded other weights.
    """
    for number, training in enumerate(trainings, start=1):
        name = "predictor" if len(trainings) == 1 else f"predictor_{number}"
        traded, trained = backtest["weights"].get(name), training["weights"]["predictor"]
        if traded != trained:
            raise InputError(
                f"{folder} traded other weights than those of fold {number} (predictor {traded}, now {trained}): "
                f"{WHAT_TO_DO}"
            )


def _decisive(cfg: DictConfig) -> dict[str, Any]:
    settings = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    return flat({key: value for key, value in settings.items() if key not in NOT_DECISIVE})


def _said(settings: Mapping[str, Any], key: str) -> str:
    return f"{key}={typed_value(settings[key])}" if key in settings else f"no {key}"
