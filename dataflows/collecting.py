"""Garbage collection: seldom, where a process makes many objects and hardly any cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

READING: Final = (1_000_000, 20, 50)  # batches make many short-lived tuples
COMPILING: Final = (50_000, 50, 100)  # the compiler makes objects by the million and keeps most: looking took a tenth


@contextmanager
def collecting_seldom(thresholds: tuple[int, int, int] = READING) -> Iterator[None]:
    """Python looks for cycles as seldom as these thresholds say (see `gc.set_threshold`), and then as before."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*thresholds)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()  # else extension modules complain at exit of what was never collected
