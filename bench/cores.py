"""
Which core does what: the servers on the first one, whoever asks them on the second.

A child inherits the core of whoever starts it, so servers are started inside `serving` and asked outside of it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_ALL = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
TWO = len(_ALL) > 1
"""Whether there is a core for each; on one core, and where nothing can be pinned, the figures are of both together."""


@contextmanager
def serving() -> Iterator[None]:
    """Start here what serves: it stays on the first core."""
    _stay_on(_ALL[:1])
    try:
        yield
    finally:
        _stay_on(_ALL[1:2])


@contextmanager
def asking() -> Iterator[None]:
    """Ask from here: from the second core."""
    _stay_on(_ALL[1:2])
    try:
        yield
    finally:
        _stay_on(_ALL)


@contextmanager
def anywhere() -> Iterator[None]:
    """Start here what may use every core, as several workers do."""
    before = os.sched_getaffinity(0) if TWO else set()
    _stay_on(_ALL)
    try:
        yield
    finally:
        _stay_on(sorted(before))


def _stay_on(cores: list[int]) -> None:
    if TWO:
        os.sched_setaffinity(0, cores)


def processor_seconds(process_id: int) -> float:
    """Say how much processor time a process and its children have taken."""
    process = psutil.Process(process_id)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def resident_bytes(process_id: int) -> int:
    """Say how much memory is a process's own and its children's, shared pages counted in parts."""
    process = psutil.Process(process_id)
    return sum(each.memory_full_info().pss for each in (process, *process.children(recursive=True)))
