"""The errors of Alpha Panda, and the exit code of each.

PipelineError                  1  failed
├── ConfigError                2  wrong use or configuration: what, the value, what to do
├── DependencyError            3  something we need is down or does not answer
│   └── RetryableError         3  the same call may succeed later: back off
├── DataError                  1  a file or record cannot be used: where, the value
└── FatalError                 4  unsafe to continue: the state is in doubt, stop and page
"""

import sys
from collections.abc import Callable
from typing import ClassVar


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

    Standard error takes it. What is no error of ours passes, and so does `SystemExit`, which has a code of its own.
    """
    try:
        command()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - what a user reads
        return error.exit_code
    return 0
