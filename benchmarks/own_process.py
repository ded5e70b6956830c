"""Measurements in processes of their own, whose memory is their own."""

import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def in_own_process(work: Any, *arguments: Any) -> Any:
    """What `work(0, ...)` returns in a fresh process."""
    return in_own_processes(work, 1, *arguments)[0]


def in_own_processes(work: Any, count: int, *arguments: Any) -> list[Any]:
    """What `work(number, ...)` returns in each of some fresh processes that run at the same time."""
    with ProcessPoolExecutor(count, mp_context=mp.get_context("spawn")) as pool:  # ends, too, where one is killed
        return [done.result() for done in [pool.submit(work, number, *arguments) for number in range(count)]]
