"""The work of a walk-forward: a training for each fold, then one backtest of what all of them forecast."""

import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

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
from kronos_lab.runs.walk_forward.folder import finished_fold, go_on_or_begin, is_finished, save_checkpoints
from kronos_lab.runs.walk_forward.plan import Fold

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
    ) -> None:
        self.name, self.folder, self.folds = name, folder, folds
        self.runs = [outputs / "train" / fold_name(name, fold.number) for fold in folds]
        self.backtest_run = outputs / "backtest" / str(name)
        self.lock_file = folder.with_name(f".{folder.name}.lock")
        self._in_order = start_from == "previous"
        self._overrides = [
            [
                *training_overrides(name, fold, shared, train),
                *(from_previous(outputs, name, fold) if self._in_order and fold.number > 1 else []),
            ]
            for fold in folds
        ]
        self._backtest = ["backtest.py", *backtest_overrides(name, folds, folder, shared, backtest)]

    def save_commands(self) -> None:
        """`commands.txt`: all commands as they are typed, the trainings first."""
        commands = [["train.py", *overrides] for overrides in self._overrides]
        lines = [as_typed(arguments) for arguments in [*commands, self._backtest]]
        (self.folder / COMMANDS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def train(self, at_once: int, lock: TextIO) -> None:
        """Train the folds that have not been trained, and say which weights forecast which days.

        Raises:
            InputError: a fold failed; the others are trained all the same, unless they start from it.
            Interrupted: a signal asked to stop.
        """
        jobs: list[Job] = []
        began, trained, failed = time.monotonic(), 0, []
        for fold, run, overrides in zip(self.folds, self.runs, self._overrides, strict=True):
            if finished_fold(run, fold):
                log.info("fold %-6d was trained by %s", fold.number, run)
                continue
            log_file = self.folder / f"fold_{fold.number}.log"
            jobs.append(Job(f"fold {fold.number}", go_on_or_begin(run, overrides), log_file))

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

        run_jobs(jobs, at_once, lock, done)
        if failed:
            raise InputError(
                f"{'; '.join(failed)}; no backtest is made of part of the folds, the same command goes on with the rest"
            )
        save_checkpoints(self.folder, self.folds, self.runs)

    def backtest(self, lock: TextIO) -> None:
        """Backtest all days, each with the weights of its fold, unless that is done.

        Raises:
            InputError: it failed.
            Interrupted: a signal asked to stop.
        """
        if is_finished(self.backtest_run):
            log.info("backtest    was made by %s", self.backtest_run)
            return
        environment = {RUN_DIR_VARIABLE: str(self.backtest_run.absolute())}  # of an earlier attempt, if there was one
        job = Job("backtest", self._backtest, self.folder / "backtest.log", environment)
        codes: list[int] = []

        def done(_: Job, code: int) -> bool:
            codes.append(code)
            return True

        run_jobs([job], 1, lock, done)
        if codes[0]:
            raise InputError(
                f"the backtest failed ({_ending(codes[0])}: {job.last_line}), see {job.log}; the same command goes on"
            )


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
