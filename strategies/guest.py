"""A strategy as a guest: how it is asked, and what is left when it misbehaves.

It is somebody else's code. Whatever it raises costs the tick on which it was raised and nothing more. The three forms of a
strategy are in `compiled`, `plain` and `batches`; to the roster they are all a `Guest`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol

from functions.events import InstrumentConfig
from functions.signals import NO_SIGNALS
from functions.ticks import Rows
from strategies.answers import words_of
from strategies.parameters import StrategyError

EVERYTHING: Final = 1 << 62  # ticks that may be shown at once


class Lost(NamedTuple):
    """A tick that a strategy has lost: its row, and what was raised there, in words."""

    row: int
    error: str
    message: str
    interrupt: BaseException | None = None  # it may have been the user's Ctrl-C: whoever watches knows

    @classmethod
    def of(cls, row: int, error: BaseException) -> "Lost":
        interrupt = error if issubclass(type(error), KeyboardInterrupt) else None
        return cls(row, *words_of(error), interrupt)


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

    def start(self, instruments: Sequence[InstrumentConfig]) -> Any:
        """The state before the first tick; `instruments` are the strategy's own, in the order of their index.

        Raises: `StrategyError` naming what is wrong.
        """

    def ask(self, state: Any, ticks: Rows) -> Answered:
        """What it wants on TICK rows whose `instrument` counts its own instruments; at least one of them is then shown.

        Raises nothing of the strategy's own.
        """


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
