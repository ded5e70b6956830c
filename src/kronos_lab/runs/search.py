"""A search for good settings: Optuna asks, jobs of a sweep answer, and a journal in the search's folder remembers.

The journal is all that a search knows. A search that was killed goes on with what is written there.
"""

import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kronos_lab.data.settings import whole_number
from kronos_lab.errors import InputError
from kronos_lab.runs.search_files import BEST_FILE, TRIALS_FILE, best_trial, state_of, to_type, write_search_files
from kronos_lab.runs.search_space import SearchSpace
from kronos_lab.runs.search_trial import ERROR, PRUNER, end_trial, error_line, open_study, told

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from optuna import Study
    from optuna.trial import FrozenTrial

    Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]

log = logging.getLogger(__name__)

JOURNAL_FILE = "journal.log"
DEFINITION, INSTEAD_OF = "definition", "instead_of"  # attributes of the study, and of a trial that is asked again
DIRECTIONS = ("minimize", "maximize")
MISFORTUNES = 3  # so many trials that all fail, and nothing else so far, are no misfortune


@dataclass(frozen=True)
class SearchSettings:
    """`hydra.sweeper`, but for its parameters.

    Attributes:
        n_trials: complete or pruned ones the search ends with, over all the processes it takes.
        n_jobs: trials asked for at once; the launcher is given them together.
        direction: "minimize" or "maximize".
        sampler: configuration of Optuna's sampler; where it has a `seed`, each batch is drawn with one of its own.
        pruner: configuration of Optuna's pruner; None prunes nothing.

    Raises:
        InputError: one of them makes no sense.
    """

    n_trials: int
    n_jobs: int
    direction: str
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any] | None

    def __post_init__(self) -> None:
        whole_number("hydra.sweeper.n_trials", self.n_trials, least=1)
        whole_number("hydra.sweeper.n_jobs", self.n_jobs, least=1)
        if self.direction not in DIRECTIONS:
            raise InputError(f"hydra.sweeper.direction={self.direction}: choose one of {', '.join(DIRECTIONS)}")
        for key in ("sampler", "pruner"):
            given = getattr(self, key)
            if not (isinstance(given, Mapping) and "_target_" in given) and not (key == "pruner" and given is None):
                raise InputError(f"hydra.sweeper.{key}={given} names no class: give hydra.sweeper.{key}._target_")


class Search:
    """One process of a search; the lock of its sweep keeps others out, which would take running trials for killed.

    Args:
        folder: of the search, where its journal is; trials get folders of their number in it.
        space: what is searched.
        settings: how.
        objective: what jobs return, where the configuration says so; another one makes another search.
    """

    def __init__(self, folder: Path, space: SearchSpace, settings: SearchSettings, objective: str | None) -> None:
        self.folder, self.space, self.settings = folder.absolute(), space, settings
        self.definition = json.loads(
            json.dumps({"direction": settings.direction, "objective": objective, **space.describe()})
        )
        self._failed_here = 0

    def run(self, launch: "Launch") -> None:
        """Ask for trials until there are enough.

        Args:
            launch: Hydra's launcher: overrides of each job and the number of the first, to what they return.

        Raises:
            InputError: the folder belongs to another search, or nothing but failures came.
        """
        from hydra.utils import instantiate
        from optuna.exceptions import ExperimentalWarning

        from kronos_lab.runs.grid import EveryCombination

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # parts of the samplers
            sampler, _ = self._sampler(0), instantiate(self.settings.pruner)  # refused here, where nothing is begun
            grid = list(self.space.combinations()) if isinstance(sampler, EveryCombination) else None
            self._search(grid, launch)

    def _search(self, grid: list[dict[str, Any]] | None, launch: "Launch") -> None:
        from kronos_lab.runs.grid import EveryCombination

        study, n_trials = self._open(), self.settings.n_trials
        if grid is not None:
            EveryCombination.queue(study, grid)
            if (all_of_them := len(grid)) > n_trials:
                log.warning(
                    "%d of %d combinations: hydra.sweeper.n_trials=%d tries all", n_trials, all_of_them, all_of_them
                )
            n_trials = min(n_trials, all_of_them)
        self._describe(study, n_trials)
        while (left := n_trials - len(_ended(study)) - self._failed_here) > 0:
            self._run_batch(study, min(left, self.settings.n_jobs), n_trials, launch)
        self._conclude(study)

    def _open(self) -> "Study":
        journal = self.folder / JOURNAL_FILE
        _mend(journal)
        study = open_study(journal, direction=self.settings.direction)
        known = study.user_attrs.get(DEFINITION)
        if known is None:
            study.set_user_attr(DEFINITION, self.definition)
        elif known != self.definition:
            raise InputError(
                f"{self.folder} holds another search ({_difference(known, self.definition)}): choose another name="
            )
        study.set_user_attr(PRUNER, self.settings.pruner)
        self._ask_again(study)
        return study

    def _ask_again(self, study: "Study") -> None:
        """Have what was running when the search was killed, and what has failed, wait to be asked first."""
        from optuna.trial import TrialState

        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            end_trial(study, trial.number, "interrupted")
        trials = study.get_trials(deepcopy=False)
        replaced = {trial.user_attrs.get(INSTEAD_OF) for trial in trials}
        for trial in trials:
            if trial.state == TrialState.FAIL and trial.number not in replaced and _parameters(trial):
                study.enqueue_trial(_parameters(trial), user_attrs={INSTEAD_OF: trial.number})

    def _sampler(self, n_trials: int) -> Any:
        """The sampler of a batch, after so many trials.

        Its seed moves on with the trials there are: the same one again in a process that goes on would draw what was
        drawn before, and this way what is asked depends on the trials alone, not on how often the search was killed.
        """
        from hydra.utils import instantiate

        seed = self.settings.sampler.get("seed")
        moved = {} if seed is None else {"seed": seed + n_trials}
        return instantiate(self.settings.sampler, **moved)

    def _describe(self, study: "Study", n_trials: int) -> None:
        ended = len(_ended(study))
        begins = f"goes on, {ended} of {n_trials} trials are done" if ended else f"{n_trials} trials"
        log.info("search %s: %s; %s", self.folder, begins, f"{self.settings.n_jobs} at a time")

    def _run_batch(self, study: "Study", size: int, n_trials: int, launch: "Launch") -> None:
        study.sampler = self._sampler(len(study.get_trials(deepcopy=False)))
        asked = [study.ask(self.space.free) for _ in range(size)]
        write_search_files(self.folder, study, self.space)
        journal = self.folder / JOURNAL_FILE
        jobs = [[*self.space.overrides(one.params), *told(one.number, journal)] for one in asked]
        returned = launch(jobs, asked[0].number)
        for trial, job in zip(asked, returned, strict=True):
            end_trial(study, trial.number, _result(job))  # of a job that ended without writing it down
        write_search_files(self.folder, study, self.space)
        trials = study.get_trials(deepcopy=False)
        for one in asked:
            self._tell(trials[one.number], study, n_trials)
        lines = [trials[one.number].user_attrs[ERROR] for one in asked if state_of(trials[one.number]) == "failed"]
        self._failed_here += len(lines)
        if self._failed_here >= MISFORTUNES and not _ended(study):
            raise InputError(
                f"all {self._failed_here} trials have failed, the last with: {lines[-1]} "
                f"(see {self.folder / TRIALS_FILE})"
            )

    def _tell(self, trial: "FrozenTrial", study: "Study", n_trials: int) -> None:
        """A line about a trial that has ended."""
        state, best = state_of(trial), best_trial(study)
        outcome = f"{state}: {trial.user_attrs[ERROR]}" if state == "failed" else f"{state}, {_figure(trial.value)}"
        so_far = "" if best is None else f"; best {_figure(best.value)} (trial {best.number})"
        log.info("trial %d: %s; %d of %d done%s", trial.number, outcome, len(_ended(study)), n_trials, so_far)

    def _conclude(self, study: "Study") -> None:
        best = best_trial(study)
        write_search_files(self.folder, study, self.space)
        if best is None:
            raise InputError(f"no trial of {self.folder} came to its end, see {TRIALS_FILE} there")
        log.info("best: trial %d, %s, with", best.number, _figure(best.value))
        log.info("  %s", " ".join(to_type(self.space.overrides(best.params))))
        log.info("%s and %s are in %s", TRIALS_FILE, BEST_FILE, self.folder)


def _ended(study: "Study") -> "list[FrozenTrial]":
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def tried_again(folder: Path) -> set[int]:
    """Failed trials of the search in a folder that another one has been asked instead of, and that one has ended."""
    from optuna.trial import TrialState

    found: set[int] = set()
    for trial in reversed(open_study(folder / JOURNAL_FILE).get_trials(deepcopy=False)):  # one asked twice: last first
        if trial.state in {TrialState.COMPLETE, TrialState.PRUNED} or trial.number in found:
            found.add(trial.user_attrs.get(INSTEAD_OF, -1))
    return found - {-1}


def _parameters(trial: "FrozenTrial") -> dict[str, Any]:
    """What a trial was asked for, also where it was killed before it drew."""
    return dict(trial.system_attrs.get("fixed_params", trial.params))


def _result(job: "JobReturn") -> Any:
    try:
        return job.return_value
    except Exception as error:  # whatever the job has raised
        return error_line(error)


def _figure(value: float | None) -> str:
    return "without a value" if value is None else f"{value:.6g}"


def _difference(known: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """What distinguishes two definitions, in words."""
    for key in ("direction", "objective"):
        if known[key] != asked[key]:
            return f"its {key} is {known[key]}, not {asked[key]}"
    free, now = known["free"], asked["free"]
    different = [key for key in {**free, **now} if free.get(key) != now.get(key)]
    if different:
        return f"another choice of {', '.join(different)}"
    return "with " + ", ".join(sorted(set(known["fixed"]) ^ set(asked["fixed"]))) + " in one of them"


def _mend(journal: Path) -> None:
    """Cut off a line that a killed process has not written to its end: what is appended would be glued to it."""
    if not journal.is_file():
        return
    with journal.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
