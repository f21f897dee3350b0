"""Waiting for what comes true in its own time."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psutil

Found = TypeVar("Found")


def until(condition: Callable[[], Found], seconds: float = 120.0, what: str = "it", pause: float = 0.05) -> Found:
    """What the condition finds in the end; fails with `what` when that has not happened in time."""
    found = _found(condition, seconds, pause)
    assert found, f"{what} did not happen within {seconds:g} s"
    return found


def within(condition: Callable[[], object], seconds: float) -> bool:
    """Whether it has become true before so many seconds have passed."""
    return bool(_found(condition, seconds, 0.05))


def _found(condition: Callable[[], Found], seconds: float, pause: float) -> Found:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(pause)
    return found


def runs(pid: int) -> bool:
    """Whether there is such a process; one that has ended and nobody has asked about does not run."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
