"""The ledger of trials, `outputs/trials.jsonl`: whoever looks at many backtests of the same days will see a good one.

A line per evaluation, only ever appended: what was evaluated (a hash), on which days, and its Sharpe ratio.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

TRIALS_FILE = "trials.jsonl"
FIGURES = ("sharpe", "skew", "kurtosis")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One evaluation of a backtest.

    Attributes:
        time: when, ISO 8601 in UTC.
        run: its folder, relative to that of all runs.
        universe: whose members were traded.
        market: name of the market.
        market_fingerprint: content hash of its store.
        start: first session traded, ISO date.
        end: last session traded.
        evaluated: hash of what was evaluated, see `evaluation_hash`.
        sharpe: Sharpe ratio per session of the excess over equal weight, after cost; None where there is none.
        sessions: number of them.
        skew: of that excess; None where there is none.
        kurtosis: of that excess, 3 for a normal one; None where there is none.
    """

    time: str
    run: str
    universe: str
    market: str
    market_fingerprint: str
    start: str
    end: str
    evaluated: str
    sharpe: float | None
    sessions: int
    skew: float | None
    kurtosis: float | None

    @property
    def identity(self) -> tuple[str, str, str, str, str]:
        """What makes it another trial: what was evaluated, and on whose members and which sessions."""
        return self.market, self.universe, self.evaluated, self.start, self.end

    def same_test(self, other: "Trial") -> bool:
        """Whether both were evaluated on the same market, of whichever universe, on ranges that overlap.

        Universes can be tried one after the other too, and the best of them kept. By the name of the market: a day
        more in its store makes no other market of it.
        """
        return self.market == other.market and self.start <= other.end and other.start <= self.end


def evaluation_hash(weights: Sequence[str], settings: Mapping[str, Any]) -> str:
    """Hash of what is evaluated: the same for the same command, whenever, wherever and under whatever name it runs.

    Args:
        weights: content hash of each model.
        settings: everything else that decides what is held.
    """
    content = json.dumps([list(weights), settings], sort_keys=True, default=str)
    return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


def now() -> str:
    """The time as trials have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append_trial(outputs: Path, trial: Trial) -> str | None:
    """Add a trial to the ledger, as one line in one write: jobs of a sweep may do so at the same moment.

    Args:
        outputs: folder of all runs.
        trial: to be added.

    Returns:
        A warning where the ledger cannot be written, which is no reason to lose a backtest; else None.
    """
    path = outputs / TRIALS_FILE
    line = json.dumps(asdict(trial), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    try:
        ledger = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(ledger).st_size
            if size and os.pread(ledger, 1, size - 1) != b"\n":  # a line that was torn off must not tear this one
                line = b"\n" + line
            written = os.write(ledger, line)
        finally:
            os.close(ledger)
    except OSError as error:
        return f"{path} cannot be written ({error.strerror}): this evaluation is not counted among the trials"
    if written < len(line):
        return f"{path} was not written to its end (is the disk full?): this evaluation is not counted among the trials"
    return None


def read_trials(outputs: Path) -> list[Trial]:
    """All trials, oldest first; a line that is none (torn off, or edited by hand) is passed over with a warning."""
    path = outputs / TRIALS_FILE
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("%s cannot be read (%s): earlier trials are not counted", path, error.strerror)
        return []
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(_trial(json.loads(line)))
            except (ValueError, TypeError, KeyError):
                log.warning("%s, line %d is no trial: passed over", path, number)
    return found


def _trial(values: Any) -> Trial:
    """A line of the ledger; what a later version has written beside these fields is left out."""
    known = {field.name: values[field.name] for field in fields(Trial)}
    for name, value in known.items():
        kinds = {"sessions": (int,), **dict.fromkeys(FIGURES, (int, float, type(None)))}.get(name, (str,))
        if not isinstance(value, kinds):
            raise TypeError(f"{name}={value}")
    return Trial(**known)


def distinct_trials(trials: list[Trial], own: Trial) -> list[Trial]:
    """Trials of the same test as `own`, the newest of each identity; `own` is among them, and stands for its own.

    The same rule over other days counts as another trial: days can be chosen too.

    Args:
        trials: of the ledger, oldest first.
        own: the one that is looked at.
    """
    newest = {trial.identity: trial for trial in trials if trial.same_test(own)}
    return list((newest | {own.identity: own}).values())
