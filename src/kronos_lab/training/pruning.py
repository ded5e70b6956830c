"""A training that is a trial of a search ends where its validations are worse than those of earlier trials."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer

from kronos_lab.errors import InputError
from kronos_lab.runs.search_trial import PRUNED, open_trial

if TYPE_CHECKING:
    from optuna import Trial

log = logging.getLogger(__name__)


class TrialPruned(Exception):  # noqa: N818  # an end, and no error
    """The search gave up on this training; its weights are not exported.

    Args:
        outcome: the best validation it came to, metrics by full name.
    """

    def __init__(self, outcome: Mapping[str, float]) -> None:
        super().__init__("pruned by its search")
        self.outcome = dict(outcome)


class EndWherePruned:
    """A context that a pruned training ends quietly, with what it came to.

    Args:
        outcome: metrics of the run by full name; in place.

    Attributes:
        pruned: whether it has.
    """

    def __init__(self, outcome: dict[str, float]) -> None:
        self.outcome, self.pruned = outcome, False

    def __enter__(self) -> "EndWherePruned":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, TrialPruned):
            self.outcome |= error.outcome
            self.pruned = True
        return self.pruned


class PruneTrial(Callback):
    """Reports each validation to the search, and ends training when the search's pruner says so.

    Validations are counted, not steps: trials with batches of different size are compared after the same share of
    their training. Rank 0 asks, and all ranks do as it is told. A run that is no trial, or no longer one, goes its way.

    Args:
        monitor: full name of the metric that is reported.
        mode: "min" where less of it is better; a search in the other direction is refused.
        trial: number of the trial; None in a run that is none.
        storage: the search's journal.
        stage: whose validations are reported; those of the other stage are not.
    """

    def __init__(
        self, monitor: str, mode: Literal["min", "max"], trial: int | None, storage: str | None, stage: str
    ) -> None:
        self.monitor, self.mode, self.number, self.storage, self.stage = monitor, mode, trial, storage, stage
        self.validations = 0
        self.pruned = False
        self._trial: Trial | None = None

    @property
    def _reports(self) -> bool:
        return self.number is not None and self.monitor.startswith(f"{self.stage}/")

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {"validations": self.validations, "pruned": self.pruned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.validations, self.pruned = state_dict["validations"], state_dict["pruned"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the trial, before anything is trained; on rank 0."""
        if self._reports:
            self._on_rank_0(trainer, self._open)
        if self.pruned:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, and ask whether to stop."""
        if trainer.sanity_checking or not self._reports or self.pruned:
            return
        value = float(trainer.callback_metrics[self.monitor])
        if self._on_rank_0(trainer, lambda: self._report(value)):
            self.pruned = trainer.should_stop = True
        self.validations += 1

    def _open(self) -> bool:
        assert self.number is not None and self.storage is not None
        self._trial = open_trial(self.storage, self.number)
        if self._trial is None:
            log.info("trial %d of %s has ended already: nothing is reported to it", self.number, self.storage)
            return False
        direction = self._trial.study.direction.name.lower()
        if not direction.startswith(self.mode):
            raise InputError(
                f"hydra.sweeper.direction={direction}, but of {self.monitor} "
                f"{'less' if self.mode == 'min' else 'more'} is better: choose another monitor=, or "
                "callbacks.pruning=null"
            )
        return True

    def _report(self, value: float) -> bool:
        from optuna.exceptions import UpdateFinishedTrialError

        if self._trial is None:
            return False
        try:
            self._trial.report(value, self.validations)  # from 0: a pruner's warm-up counts so
            if not self._trial.should_prune():
                return False
            self._trial.set_user_attr(PRUNED, True)
        except UpdateFinishedTrialError:
            log.info("trial %s was given up by its search: nothing more is reported to it", self.number)
            self._trial = None
            return False
        log.info("pruned: %s is %.4f in validation %d", self.monitor, value, self.validations + 1)
        return True

    @staticmethod
    def _on_rank_0(trainer: Trainer, ask: Any) -> bool:
        """The answer of rank 0 on every rank, or its error: one that failed alone would leave the others waiting."""
        answer: bool | str = False
        if trainer.is_global_zero:
            try:
                answer = bool(ask())
            except (InputError, OSError) as error:
                answer = str(error)
        answer = trainer.strategy.broadcast(answer)
        if isinstance(answer, str):
            raise InputError(answer)
        return answer
