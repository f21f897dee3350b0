"""What strategies share with the process that runs them, and what is put back when one of them has changed it.

A strategy may warn, print, set a decimal context or NumPy's error handling: that is its own (each runs in a context of its
own). What has no such place, the process's streams, signals, locale, folder, warning filters, hooks of errors, alarm clock and
recursion limit, is as before when the next one is asked. What a thread of a strategy's does later, nobody puts back.
"""

import locale
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from operator import is_
from threading import current_thread, main_thread
from typing import Any, Final, NamedTuple

_ASKING: Final = (signal.SIGINT, signal.SIGTERM)  # how a user asks a process to end


def _folder() -> str | None:
    try:
        return os.getcwd()  # a moment's work: Path.cwd() takes as long as all the rest here
    except OSError:
        return None


class Surroundings(NamedTuple):
    """What is shared, as it was. Objects are compared by what they are: a strategy's own might say anything of itself."""

    process: int
    recursion: int
    objects: tuple[Any, ...]  # streams, warning filters, hooks of errors and who hears of signals
    filters: tuple[Any, ...]  # what was in the list of filters
    locale: str
    folder: str | None
    deaf_to: frozenset[int]  # signals that this thread does not hear

    @classmethod
    def now(cls) -> "Surroundings":
        hooks = (sys.excepthook, sys.unraisablehook, threading.excepthook)
        objects = (sys.stdin, sys.stdout, sys.stderr, warnings.filters, *hooks, *map(signal.getsignal, _ASKING))
        return cls(
            os.getpid(),
            sys.getrecursionlimit(),
            objects,
            tuple(warnings.filters),
            locale.setlocale(locale.LC_ALL),
            _folder(),
            frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        )

    def restore(self) -> None:
        """Puts back what is otherwise by now. A copy of the process that a strategy has made of it ends here."""
        sys.setrecursionlimit(self.recursion)
        if os.getpid() != self.process:
            os._exit(0)
        if any(signal.getitimer(signal.ITIMER_REAL)):  # nobody else here sets an alarm clock
            signal.setitimer(signal.ITIMER_REAL, 0)
        now = Surroundings.now()
        if not _same(now.objects, self.objects) or not _same(now.filters, self.filters):
            self._put_back()
        if now.deaf_to != self.deaf_to:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.deaf_to)
        if now.locale != self.locale:
            locale.setlocale(locale.LC_ALL, self.locale)
        if now.folder != self.folder and self.folder is not None:
            with suppress(OSError):
                os.chdir(self.folder)

    def _put_back(self) -> None:
        sys.stdin, sys.stdout, sys.stderr, filters, *hooks, interrupted, ended = self.objects
        sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
        filters[:] = self.filters
        warnings.filters = filters
        warnings._filters_mutated()  # type: ignore[attr-defined]
        if current_thread() is main_thread():
            for number, handler in zip(_ASKING, (interrupted, ended), strict=True):
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)


def _same(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> bool:
    return len(ours) == len(theirs) and all(map(is_, ours, theirs))


@contextmanager
def unchanged() -> Iterator[None]:
    """Whatever is done meanwhile leaves the surroundings as they were."""
    before = Surroundings.now()
    try:
        yield
    finally:
        before.restore()
