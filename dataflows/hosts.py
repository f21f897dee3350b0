"""Hosts: what a process does for the strategies that it has as guests, and against those that never come to an end.

    enter ─► a strategy is asked ─► leave      a thread looks on: what takes longer than its limit is overdue
                                                 ├ in a backtest it is interrupted, else the process ends
                                                 └ in a replay the process ends: it came to an end there before

What the strategy changes around itself is put back when it leaves.
"""

import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NamedTuple, NoReturn, Self

from connectors import ending
from connectors.errors import FatalError, PipelineError
from dataflows.surroundings import Surroundings
from strategies.guest import Overdue
from strategies.parameters import StrategyError

LIMIT_S: Final = 5.0  # for a batch of one strategy
UNHEARD_S: Final = 2.0  # a strategy that is interrupted and has not ended so long after cannot be


class Call(NamedTuple):
    """A strategy that is being asked; calls are numbered."""

    name: str
    at: Callable[[], int]
    number: int


class Watch(ABC):
    """Looks on while strategies are asked. `overdue` is called, once every look, with one that takes too long.

    Meanwhile the strategy is held: what it answers is heard when `overdue` has returned.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.place: Callable[[int], str] = "tick {}".format
        self._call: Call | None = None
        self._calls = 0
        self._before: Surroundings | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def enter(self, name: str, at: Callable[[], int], *, is_python: bool) -> None:
        if self._thread is None and self.limit_s > 0:
            self._thread = threading.Thread(target=self._look_on, name="strategies", daemon=True)
            self._thread.start()
        if is_python:
            self._before = Surroundings.now()
        self._calls += 1
        self._call = Call(name, at, self._calls)

    def leave(self) -> None:
        with self._lock:
            self._call = None
        if self._before is not None:
            before, self._before = self._before, None
            before.restore()

    def is_users(self, error: BaseException) -> bool:
        """Where signals only set a flag, as in a flow, none is."""
        return False

    def suspend(self, strategy: str, reason: str) -> NoReturn:
        raise StrategyError(f"strategy {strategy} {reason}")

    @abstractmethod
    def overdue(self, call: Call, took_s: float) -> None:
        """One that takes longer than it may."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Looks on no longer."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def where(self, call: Call) -> str:
        """What it is at, in words."""
        row = call.at()
        return "the state that it keeps" if row < 0 else self.place(row)

    def _look_on(self) -> None:
        """Counts the time between looks. A look that is late tells of a process that was stopped itself: it counts as one."""
        every_s = min(0.25, max(self.limit_s / 10, 0.01))
        number, took_s, looked = 0, 0.0, time.monotonic()
        while not self._over.wait(every_s) and not self.is_over:
            passed_s, looked = min(time.monotonic() - looked, 2 * every_s), time.monotonic()
            with self._lock:
                call = self._call
                if call is None or call.number != number:
                    number, took_s = 0 if call is None else call.number, 0.0
                    continue
                took_s += passed_s
                if took_s > self.limit_s:
                    self.overdue(call, took_s)


class BacktestHost(Watch):
    """For one backtest, in its main thread. A strategy that takes too long is interrupted, and loses more than the tick.

    Compiled code and code that takes every interrupt for an error cannot be: then the process ends, and says so.
    """

    def __enter__(self) -> Self:
        self._handler: Any = None
        self._due = 0  # the call that is to be interrupted
        if self.limit_s > 0:
            self._handler = signal.signal(signal.SIGALRM, self._interrupt)
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if self._handler is not None:
            signal.signal(signal.SIGALRM, self._handler)

    def leave(self) -> None:
        super().leave()
        if ending.interrupted():
            raise ending.Interrupted

    def is_users(self, error: BaseException) -> bool:
        return ending.is_users(error)

    def overdue(self, call: Call, took_s: float) -> None:
        if took_s > self.limit_s + UNHEARD_S:
            end(
                PipelineError(
                    f"strategy {call.name} has not come to an end on {self.where(call)} within {self.limit_s:g} s, and cannot "
                    "be interrupted", remedy="look there for a loop without end; --strategy-limit SECONDS gives it more time",
                )
            )  # fmt: skip
        self._due = call.number
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._call is not None and self._call.number == self._due:  # else a strategy's own alarm clock
            raise Overdue(f"no end of it within {self.limit_s:g} s")


class ReplayHost(Watch):
    """For batches that have been decided before: a strategy that now takes many times as long has become another one."""

    MORE: Final = 10  # times the limit: the machine may be busier now

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s * self.MORE)

    def overdue(self, call: Call, took_s: float) -> None:
        end(
            FatalError(
                f"strategy {call.name} does not come to an end on {self.where(call)}, where it did before",
                remedy="it does not decide by its ticks alone: start the version that it was, or `panda rebuild --recorded`",
            )
        )


def end(error: PipelineError) -> NoReturn:
    """Ends the process from any thread, with what a user reads: its main thread is held by a strategy."""
    sys.stderr.write(f"error: {error}\n")
    sys.stderr.flush()
    os._exit(error.exit_code)
