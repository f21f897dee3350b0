"""The errors of Alpha Panda, and the exit code of each.

PipelineError                  1  failed
├── ConfigError                2  wrong use or configuration: what, the value, what to do
├── DependencyError            3  something we need is down or does not answer
│   └── RetryableError         3  the same call may succeed later: back off
├── DataError                  1  a file or record cannot be used: where, the value
└── FatalError                 4  unsafe to continue: the state is in doubt, stop and page
"""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, Final

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RIGHT: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


class PipelineError(Exception):
    """Anything that ends a command. `remedy` tells what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.remedy}" if self.remedy else self.message


class ConfigError(PipelineError):
    """Wrong use or configuration."""

    exit_code = 2


class DependencyError(PipelineError):
    """A dependency is down."""

    exit_code = 3


class RetryableError(DependencyError):
    """A dependency failed in a way that may pass."""


class DataError(PipelineError):
    """A file or a record cannot be used."""


class FatalError(PipelineError):
    """Unsafe to continue."""

    exit_code = 4


def exit_code_of(command: Callable[[], object]) -> int:
    """Runs what a process is there for and returns its exit code; an error of ours is told, with its remedy.

    Standard error takes it. What the system does not let us write, a file or standard output, is told like one. What is no
    error of ours passes, and so does `SystemExit`, which has a code of its own.
    """
    failed: PipelineError | None = None
    try:
        command()
    except PipelineError as error:
        failed = error
    except OSError as error:
        failed = _lost_output() or _unwritten(error)
        if failed is None:
            raise
    except SystemExit as stop:
        failed = _lost_output()
        if failed is None or stop.code not in (None, 0):
            raise
    failed = failed or _lost_output()
    return 0 if failed is None else _tell(failed)


def _tell(error: PipelineError) -> int:
    with suppress(OSError):  # a standard error that takes nothing does not change the exit code
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - what a user reads
    return error.exit_code


def _lost_output() -> PipelineError | None:
    """Why standard output does not take what was printed; from then on it goes nowhere, so that the end finds no more."""
    try:
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DependencyError(
            f"the output cannot be written: {error.strerror}", remedy="make room, or send it somewhere else"
        )
    return None


def _unwritten(error: OSError) -> PipelineError | None:
    """An error of the system that its user can put right: no room, or no right to write."""
    what = "the output, or a file," if error.filename is None else error.filename
    if error.errno in _NO_ROOM:
        return DependencyError(f"{what} cannot be written: {error.strerror}", remedy="make room, then start it again")
    if error.errno in _NO_RIGHT and error.filename is not None:
        return ConfigError(
            f"{what} cannot be used: {error.strerror}",
            remedy="give access, or set PANDA_DATA_DIR to a directory that can be written",
        )
    return None
