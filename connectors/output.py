"""Standard output is for the result: whatever else is printed meanwhile goes to standard error."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

_OUT, _ERROR = 1, 2  # as the system counts a process's files


@contextmanager
def kept_for_the_result() -> Iterator[None]:
    """Meanwhile all that is printed goes to standard error, by `print`, by a library, or by a process that is started."""
    streams: list[Any] = [sys.stdout, sys.__stdout__, sys.stderr]
    _flush(streams)
    kept = _put_aside()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _flush(streams)
        if kept is not None:
            os.dup2(kept, _OUT)
            os.close(kept)


def _put_aside() -> int | None:
    """Standard output becomes standard error; returns where it is kept, or `None` where there is no such file."""
    try:
        kept = os.dup(_OUT)
    except OSError:
        return None
    with suppress(OSError):
        os.dup2(_ERROR, _OUT)
    return kept


def _flush(streams: list[Any]) -> None:
    for stream in streams:
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
