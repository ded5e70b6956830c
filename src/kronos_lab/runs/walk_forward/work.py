"""The work of a walk-forward: a training for each fold, then one backtest of what all of them forecast."""

import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from kronos_lab.errors import InputError
from kronos_lab.runs.processes import Job, run_jobs
from kronos_lab.runs.shared_folder import RUN_DIR_VARIABLE
from kronos_lab.runs.walk_forward.commands import (
    COMMANDS_FILE,
    as_typed,
    backtest_overrides,
    fold_name,
    from_previous,
    training_overrides,
)
from kronos_lab.runs.walk_forward.folder import go_on_or_begin, save_checkpoints
from kronos_lab.runs.walk_forward.plan import Fold
from kronos_lab.runs.walk_forward.planned_run import PlannedRun, check_weights

log = logging.getLogger(__name__)


class WalkForward:
    """The commands of a walk-forward, and running them.

    Args:
        name: of the walk-forward.
        folder: its folder.
        outputs: folder of all runs.
        folds: the plan.
        start_from: "parent" or "previous", see `WalkForwardSettings`.
        shared: overrides of both commands, see `shared_overrides`.
        train: further ones of `train.py`.
        backtest: further ones of `backtest.py`.
        market_fingerprint: content hash of the market that all of them read.

    Attributes:
        runs: folders of the training runs, in the order of the folds.
        backtest_run: folder of the backtest.
        lock_file: held while somebody is at work.
    """

    def __init__(
        self,
        name: str | int,
        folder: Path,
        outputs: Path,
        folds: Sequence[Fold],
        start_from: str,
        shared: Sequence[str],
        train: Sequence[str],
        backtest: Sequence[str],
        market_fingerprint: str,
    ) -> None:
        self.name, self.folder, self.folds = name, folder, folds
        self.runs = [outputs / "train" / fold_name(name, fold.number) for fold in folds]
        self.backtest_run = outputs / "backtest" / str(name)
        self.lock_file = folder.with_name(f".{folder.name}.lock")
        self._in_order = start_from == "previous"
        self._trainings = []
        for fold, run in zip(folds, self.runs, strict=True):
            overrides = training_overrides(name, fold, shared, train)
            if self._in_order and fold.number > 1:
                overrides += from_previous(outputs, name, fold)
            self._trainings.append(PlannedRun(f"fold {fold.number}", "train", run, overrides, market_fingerprint))
        typed = backtest_overrides(name, folds, folder, shared, backtest)
        trained = self._trainings[0].overrides
        self._backtest = PlannedRun("the backtest", "backtest", self.backtest_run, typed, market_fingerprint, trained)

    def save_commands(self) -> None:
        """`commands.txt`: all commands as they are typed, the trainings first."""
        lines = [as_typed(planned.arguments) for planned in [*self._trainings, self._backtest]]
        (self.folder / COMMANDS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def train(self, at_once: int, lock: TextIO) -> None:
        """Train the folds that have not been trained, and say which weights forecast which days.

        Raises:
            InputError: a fold failed; the others are trained all the same, unless they start from it. Or a run that is
                there already is not what is planned.
            Interrupted: a signal asked to stop.
        """
        began, trained, failed = time.monotonic(), 0, []
        jobs = self._jobs()

        def done(job: Job, code: int) -> bool:
            nonlocal trained
            if code:
                failed.append(f"{job.name} failed ({_ending(code)}: {job.last_line}), see {job.log}")
                log.warning(failed[-1])
                return not self._in_order
            trained += 1
            minutes = (time.monotonic() - began) / 60
            log.info("%-11s is trained, %d of %d, after %.1f minutes", job.name, trained, len(jobs), minutes)
            return True

        run_jobs(jobs, 1 if self._in_order else at_once, lock, done)
        if failed:
            waiting = [job.name for job in jobs[trained + 1 :]] if self._in_order else []
            if waiting:
                failed.append(f"{' and '.join(waiting)} wait for the fold before")
            raise InputError(
                f"{'; '.join(failed)}; no backtest is made of part of the folds, the same command goes on with the rest"
            )
        self._trained()
        save_checkpoints(self.folder, self.folds, self.runs)

    def backtest(self, lock: TextIO) -> None:
        """Backtest all days, each with the weights of its fold, unless that is done.

        Raises:
            InputError: it failed, or one that is there already is not what is planned.
            Interrupted: a signal asked to stop.
        """
        if (summary := self._backtest.finished()) is not None:
            check_weights(summary, self.backtest_run, self._trained())
            log.info("backtest    was made by %s", self.backtest_run)
            return
        environment = {RUN_DIR_VARIABLE: str(self.backtest_run.absolute())}  # of an earlier attempt, if there was one
        job = Job("backtest", self._backtest.arguments, self.folder / "backtest.log", environment)
        codes: list[int] = []

        def done(_: Job, code: int) -> bool:
            codes.append(code)
            return True

        run_jobs([job], 1, lock, done)
        if codes[0]:
            raise InputError(
                f"the backtest failed ({_ending(codes[0])}: {job.last_line}), see {job.log}; the same command goes on"
            )
        self._backtest.finished()  # the market may have been refreshed meanwhile

    def _jobs(self) -> list[Job]:
        """Trainings that are left, once all that is there already is known to be what is planned."""
        self._backtest.finished()
        summaries = [planned.finished() for planned in self._trainings]
        jobs: list[Job] = []
        for number, (planned, summary) in enumerate(zip(self._trainings, summaries, strict=True), start=1):
            if summary is None:
                jobs.append(Job(planned.title, go_on_or_begin(planned), self.folder / f"fold_{number}.log"))
            elif self._in_order and jobs:
                raise InputError(
                    f"{planned.folder} started from another training of {jobs[-1].name} than is still to be made: "
                    "choose another name=, or move the run away"
                )
            else:
                log.info("%-11s was trained by %s", planned.title, planned.folder)
        return jobs

    def _trained(self) -> list[dict[str, Any]]:
        """Summaries of all trainings; the market may have been refreshed between two of them."""
        found = []
        for planned in self._trainings:
            summary = planned.finished()
            if summary is None:
                raise InputError(f"{planned.title} left no summary in {planned.folder}: see {self.folder}")
            found.append(summary)
        return found


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
