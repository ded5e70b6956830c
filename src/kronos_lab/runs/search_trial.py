"""A trial of a search, as seen by its job: it is told by overrides, so that any launcher may start it anywhere."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from kronos_lab.errors import InputError
from kronos_lab.runs.explanation import explain
from kronos_lab.runs.folder import quoted

if TYPE_CHECKING:
    from optuna import Study, Trial

log = logging.getLogger(__name__)

GROUP = "hparams_search"  # the configuration group, and the node that tells a job its trial
PRUNING = "callbacks.pruning"  # the setting of a search that gives up trials
STUDY = "search"  # there is one in a journal
# What a trial says beside its state, value and parameters: Optuna's "user attributes", of the trial or of the study.
SECONDS, ERROR, PRUNED, PRUNER = "seconds", "error", "pruned", "pruner"


def refuse_search_of_one_run(cfg: DictConfig) -> None:
    """Refuse a search typed without `-m`, which would be one run with the settings of no trial.

    Raises:
        InputError: the run is no job of a sweep, and a search is configured.
    """
    search = cfg.get(GROUP)
    if search is not None and search.trial is None:
        raise InputError(f"{GROUP}= is a sweep: type -m before it, as in  python train.py -m {GROUP}=<name>")


def told(trial: int, storage: Path) -> list[str]:
    """The overrides that tell a job which trial it is."""
    return [f"{GROUP}.trial={trial}", f"{GROUP}.storage={quoted(storage)}"]


def open_study(storage: str | Path, **settings: Any) -> "Study":
    """The study of a journal, begun where there is none.

    Args:
        storage: path of the journal.
        settings: of `optuna.create_study`; without a sampler parameters are drawn at random.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = JournalFileBackend(str(Path(storage).absolute()))  # its lock is a link to it
    settings = {"sampler": optuna.samplers.RandomSampler(), "pruner": optuna.pruners.NopPruner()} | settings
    return optuna.create_study(storage=JournalStorage(backend), study_name=STUDY, load_if_exists=True, **settings)


def open_trial(storage: str | Path, number: int) -> "Trial | None":
    """The trial of a job, to report to, with the pruner of its search; None where the search has given it up.

    Raises:
        InputError: there is no such journal or trial.
    """
    from hydra.utils import instantiate

    if not Path(storage).is_file():
        raise InputError(f"{GROUP}.storage={storage} is no file: this run was a trial of a search that is gone")
    study = open_study(storage)
    pruner = study.user_attrs.get(PRUNER)
    if pruner is not None:
        study.pruner = instantiate(pruner)
    if number >= len(study.get_trials(deepcopy=False)):
        raise InputError(f"{storage} has no trial {number}")
    return open_running(study, number)


class TrialOfSearch:
    """The job of a sweep, with its result written down where it ends: a killed search loses no trial that has ended.

    Args:
        job: the function that Hydra calls for each job; it returns the objective.
    """

    def __init__(self, job: Callable[[DictConfig], Any]) -> None:
        self.job = job

    def __call__(self, cfg: DictConfig) -> Any:
        """Run the job, and write down what came out."""
        number, storage = OmegaConf.select(cfg, f"{GROUP}.trial"), OmegaConf.select(cfg, f"{GROUP}.storage")
        started = time.time()
        try:
            value = self.job(cfg)
        except Exception as error:  # of any kind: it is written down and goes on
            end_trial(open_study(storage), number, error_line(error), time.time() - started)
            raise
        end_trial(open_study(storage), number, value, time.time() - started)
        return value


def end_trial(study: "Study", number: int, result: Any, seconds: float | None = None) -> None:
    """Write down the end of a trial; one that has ended already, or was given up, stays as it is.

    Args:
        study: whose.
        number: of the trial.
        result: the objective; anything but a number is a failure, and text says why.
        seconds: how long it took.
    """
    from optuna.trial import TrialState

    trial = open_running(study, number)
    if trial is None:
        return
    if seconds is not None:
        trial.set_user_attr(SECONDS, round(seconds, 1))
    value = _number(result)
    if trial.user_attrs.get(PRUNED):
        study.tell(number, state=TrialState.PRUNED)
    elif value is not None:
        study.tell(number, value)
    else:
        why = result if isinstance(result, str) else f"the job returned {result!r}, which is no number"
        trial.set_user_attr(ERROR, why)
        study.tell(number, state=TrialState.FAIL)


def open_running(study: "Study", number: int) -> "Trial | None":
    """A trial of a study; None where it has ended."""
    import optuna

    trial = study.get_trials(deepcopy=False)[number]
    return None if trial.state.is_finished() else optuna.Trial(study, trial._trial_id)


def error_line(error: BaseException) -> str:
    """An error in one line: what the user should change, or else its kind and text."""
    return explain(error) or " ".join(f"{type(error).__name__}: {error}".split())


def _number(result: Any) -> float | None:
    if isinstance(result, str | bool) or result is None:
        return None
    try:
        number = float(result)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
