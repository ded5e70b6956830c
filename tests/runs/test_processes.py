"""Jobs as processes: so many at a time, with logs, stopped together, and never two that write the same folder."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from kronos_lab.errors import InputError, Interrupted
from kronos_lab.runs.processes import Job, only_one_at_work, run_jobs

SAYS = "import sys, time; print('hello\\rthere'); time.sleep(float(sys.argv[1])); sys.exit(int(sys.argv[2]))"
# Answers the first signal as a training does, in its own time, and says that there was one alone.
WAITS = """
import signal, sys, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
print("waits", flush=True)
while not asked: time.sleep(0.02)
time.sleep(0.3)
print(f"saved after {len(asked)}")
sys.exit(143)
"""


def job(folder: Path, name: str, code: str, *arguments: str) -> Job:
    script = folder / f"{name}.py"
    script.write_text(code)
    return Job(name, [str(script), *arguments], folder / f"{name}.log")


def test_so_many_at_a_time_and_all_where_one_fails(tmp_path):
    jobs = [job(tmp_path, name, SAYS, "0.3", code) for name, code in (("a", "3"), ("b", "0"), ("c", "0"))]
    ended = {}
    with only_one_at_work(tmp_path / "lock") as lock:
        run_jobs(jobs, 2, lock, lambda one, code: ended.setdefault(one.name, (code, time.monotonic())) is not None)
    assert {name: code for name, (code, _) in ended.items()} == {"a": 3, "b": 0, "c": 0}
    assert ended["c"][1] - max(ended["a"][1], ended["b"][1]) > 0.2  # it had to wait
    assert jobs[0].last_line == "there"


def test_none_begins_after_one_that_ends_the_rest(tmp_path):
    jobs = [job(tmp_path, name, SAYS, "0", code) for name, code in (("a", "1"), ("b", "0"))]
    ended: list[int] = []
    with only_one_at_work(tmp_path / "lock") as lock:
        run_jobs(jobs, 1, lock, lambda _, code: bool(ended.append(code)))
    assert ended == [1] and not jobs[1].log.exists()


def test_a_signal_is_handed_on_once_and_waited_for(tmp_path):
    jobs = [job(tmp_path, name, WAITS) for name in ("a", "b", "never")]

    def stop() -> None:
        until = time.monotonic() + 30
        while not all(one.last_line == "waits" for one in jobs[:2]) and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=stop).start()
    with only_one_at_work(tmp_path / "lock") as lock, pytest.raises(Interrupted) as stopped:
        run_jobs(jobs, 2, lock, lambda *_: True)
    assert stopped.value.number == signal.SIGTERM and "the same command goes on" in str(stopped.value)
    assert [one.last_line for one in jobs] == ["saved after 1", "saved after 1", ""]
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_an_attempt_started_keeps_the_next_one_from_beginning(tmp_path):
    """Of an attempt that was killed a job is left, which writes where the next attempt would."""
    orphan = job(tmp_path, "orphan", WAITS)
    code = (
        "from kronos_lab.runs.processes import *; from kronos_lab.runs.processes import _start; import os, sys\n"
        f"held = only_one_at_work(Path({str(tmp_path / 'lock')!r}))\nlock = held.__enter__()\n"
        f"print(_start(Job('orphan', [{orphan.arguments[0]!r}], Path({str(orphan.log)!r})), 1, lock).pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = job(tmp_path, "killed", code)
    with only_one_at_work(tmp_path / "other") as lock:
        run_jobs([killed], 1, lock, lambda _, code: code == -signal.SIGKILL)
    until = time.monotonic() + 30
    while orphan.last_line != "waits":
        assert time.monotonic() < until, killed.log.read_text()
        time.sleep(0.02)
    with pytest.raises(InputError, match="lock is held: another process works there, or one that an earlier"):
        only_one_at_work(tmp_path / "lock").__enter__()
    os.kill(int(killed.last_line), signal.SIGTERM)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            with only_one_at_work(tmp_path / "lock"):
                return
        except InputError:
            time.sleep(0.05)
    pytest.fail("the lock was not freed")
