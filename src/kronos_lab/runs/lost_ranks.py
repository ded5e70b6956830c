"""A rank that dies ends the run: with one line that says which, on the screen of the run, and without a hang.

Rank 0 watches the processes it started, they watch it. Both notice within a second. Usually the broken connection is
noticed even earlier, as an error of a collective; `explain_lost_connection` then says what was behind it.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from kronos_lab.errors import InputError

POLL_SECONDS = 0.5
GRACE_SECONDS = 15.0  # for the main thread to notice by itself and to close what is open
LOST_CONNECTION = re.compile("connection (was )?(closed|reset|refused)|broken pipe|socket|timed out|gloo", re.I)

_children: list[subprocess.Popen[bytes]] = []
_advice: str | None = None  # None: nothing to lose
_explained = threading.Event()


def advise(advice: str | None) -> None:
    """What to tell the user beside which rank was lost, from now on; None where a lost rank does not matter."""
    global _advice  # noqa: PLW0603  (of this process, as its children are)
    _advice = advice


def watch_children(children: list[subprocess.Popen[bytes]]) -> None:
    """End the run when one of these ranks (numbers 1, 2, ... of this node) ends badly. Takes Lightning's place."""
    _children[:] = children
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while any(child.poll() is None for child in _children) and not lost_child():
        time.sleep(POLL_SECONDS)
    line = lost_child()
    if line and not _explained.wait(GRACE_SECONDS):
        print(f"error: {line}", file=sys.stderr, flush=True)
        end_children()
        os._exit(1)


def lost_child() -> str | None:
    """What happened to the first rank of this node that ended badly, and what to do; None where all are well."""
    for number, child in enumerate(_children, start=1):
        code = child.poll()
        if code:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            return f"rank {number} {how}{'; ' + _advice if _advice else ''}"
    return None


def end_children() -> None:
    """End the ranks this process started, at once: they may be waiting for it."""
    for child in _children:
        if child.poll() is None:
            child.kill()


def end_with_parent(rank: int) -> None:
    """End this rank when the process that started it has ended: it would wait for the others, holding its GPU."""
    threading.Thread(target=_end_with, args=(rank, os.getppid()), daemon=True).start()


def _end_with(rank: int, parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    if _advice and rank == 1:
        print(f"[rank 1] error: the process that started it has ended; {_advice}", file=sys.stderr, flush=True)
    os._exit(1)


def explain_lost_connection(error: BaseException, rank: int, wait: Callable[[float], None] = time.sleep) -> None:
    """Raise, instead of an error about a lost connection, the one line that says who was lost.

    A rank that did not start the others says nothing and waits to be ended, if somebody is there who will.

    Raises:
        InputError: a rank has ended.
    """
    if not _is_lost_connection(error):
        return
    for _ in range(10):
        if lost_child():
            _explained.set()
            end_children()
            raise InputError(lost_child()) from error
        wait(POLL_SECONDS)
    if not _children and rank > 0:
        sys.exit(1)
    first_line = str(error).strip().splitlines()[0]
    raise InputError(
        f"the connection to another rank is lost ({first_line[:120]}){'; ' + _advice if _advice else ''}"
    ) from error


def _is_lost_connection(error: BaseException) -> bool:
    import torch

    if isinstance(error, torch.distributed.DistError):
        return True
    return type(error) is RuntimeError and LOST_CONNECTION.search(str(error)) is not None
