"""A strategy as a guest: how it is asked, and what is left when it misbehaves.

It is somebody else's code. Whatever it raises costs the tick on which it was raised and nothing more. The three forms of a
strategy are in `compiled`, `plain` and `batches`; to the roster they are all a `Guest`.
"""

import decimal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from functions.events import InstrumentConfig
from functions.signals import NO_SIGNALS
from functions.ticks import Rows
from strategies.answers import words_of
from strategies.parameters import StrategyError

EVERYTHING: Final = 1 << 62  # ticks that may be shown at once
NO_ROW: Final = -1  # of what a strategy does that is no answer to a tick


class Overdue(BaseException):
    """Raised within a strategy by whoever watches over its time: it gets no more of it."""


class Lost(NamedTuple):
    """A tick that a strategy has lost: its row, and what was raised there, in words."""

    row: int
    error: str
    message: str
    cause: BaseException | None = None  # where that matters: its time was over, or it may have been the user's Ctrl-C

    @classmethod
    def of(cls, row: int, error: BaseException) -> "Lost":
        matters = issubclass(type(error), KeyboardInterrupt | Overdue)
        return cls(row, *words_of(error), error if matters else None)


class Answered(NamedTuple):
    """What a strategy wants on the first `shown` of the ticks that it was asked about; it goes on behind them.

    `signals` are SIGNAL rows sorted by row that have been checked; ticks that are `lost`, in order, have none.
    """

    signals: Rows
    lost: Sequence[Lost]
    shown: int


class Guest(Protocol):
    """A configured strategy. It keeps nothing itself: its memory is the state that `start` makes."""

    most: int  # ticks that it is shown at once
    is_python: bool  # it runs Python, and may change what it shares with the process

    def start(self, instruments: Sequence[InstrumentConfig]) -> Any:
        """The state before the first tick; `instruments` are the strategy's own, in the order of their index.

        Raises: `StrategyError` naming what is wrong.
        """

    def ask(self, state: Any, ticks: Rows) -> Answered:
        """What it wants on TICK rows whose `instrument` counts its own instruments; at least one of them is then shown.

        Raises nothing of the strategy's own.
        """

    def at(self) -> int:
        """While it is asked, by another thread: the row that it is at, as far as that is known."""


class Host(Protocol):
    """Whoever runs strategies in a process, and looks after what they do to it."""

    place: Callable[[int], str]  # what a row of the batch is called

    def enter(self, name: str, at: Callable[[], int], *, is_python: bool) -> None:
        """A strategy is about to be asked; `at` says, in any thread, at which row of the batch it is, or NO_ROW."""

    def leave(self) -> None:
        """It has answered. Raises: the user's Ctrl-C, where the strategy has kept it to itself."""

    def is_users(self, error: BaseException) -> bool:
        """Whether an error came from the user and not from the strategy."""

    def suspend(self, strategy: str, reason: str) -> NoReturn:
        """A strategy cannot go on, for a reason that its ticks do not hold: this process cannot either."""


class NoHost:
    """Nobody looks after anything; a Ctrl-C is the user's."""

    place: Callable[[int], str] = "tick {}".format

    def enter(self, name: str, at: Callable[[], int], *, is_python: bool) -> None:
        pass

    def leave(self) -> None:
        pass

    def is_users(self, error: BaseException) -> bool:
        return issubclass(type(error), KeyboardInterrupt)

    def suspend(self, strategy: str, reason: str) -> NoReturn:
        raise StrategyError(f"strategy {strategy} {reason}")


def own_context() -> Context:
    """For a strategy's code to run in: what it sets of decimals and of NumPy's error handling is its own, and stays."""
    context = copy_context()
    context.run(decimal.setcontext, decimal.getcontext().copy())  # the copy would hold the very same one
    return context


def all_lost(error: BaseException, shown: int) -> Answered:
    """Ticks that were shown at once, and nobody knows on which of them it was raised: the first stands for them."""
    return Answered(NO_SIGNALS, [Lost.of(0, error)], shown)


@contextmanager
def refused_if_it_raises(what: str) -> Iterator[None]:
    """For what a strategy's own code does before its first tick. Raises: `StrategyError` saying what raised, and what."""
    try:
        yield
    except (StrategyError, KeyboardInterrupt):
        raise
    except BaseException as error:  # its module may end the process, too
        raise StrategyError(f"{what} raised {': '.join(filter(None, words_of(error)))}") from error
