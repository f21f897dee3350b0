"""The end of a process: asked for by a signal, and over within `GRACE_S`, whatever it waits for.

    SIGTERM, SIGINT ─► a flag that loops turn into a clean end: last snapshot, flush, exit code 0
                    └► a watch: what waits for a dependency that is away ends with exit code 3, nothing is written after

A loop that turns, or writes, is left alone: it ends by itself. A second SIGINT ends at once, with 130. The watch is a thread
that the system itself wakes, so that it hears of a signal also while the main thread waits within a library.

A command that has nothing to finish is `interruptible`: one SIGINT raises `Interrupted`, and ends it whatever it does.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

from connectors.errors import DependencyError
from connectors.heartbeat import last_beat

GRACE_S: Final = 3.5  # from being asked to the end of a process that waits for what is away
STILL_S: Final = 3.0  # a loop that has not turned for so long waits
LOOK_S: Final = 0.25
FORCED: Final = 130  # as shells know a process that was interrupted before it was done

_stopping = False
_watched = False


def stopping() -> bool:
    """Whether this process has been asked to stop."""
    return _stopping


def ask() -> None:
    """Asks this process to stop."""
    global _stopping  # noqa: PLW0603 - one flag a process
    _stopping = True


def _asked(number: int, frame: FrameType | None) -> None:
    ask()


def stop_on_signals(*, watched: bool = True) -> None:
    """From now on SIGTERM and SIGINT ask to stop; for the main thread. `watched`: the end is over within `GRACE_S`."""
    global _watched  # noqa: PLW0603 - one watch a process
    signal.signal(signal.SIGTERM, _asked)
    signal.signal(signal.SIGINT, _asked)
    for clock in (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF):  # a strategy may set one: it would end the process
        signal.signal(clock, signal.SIG_IGN)
    if not _watched:
        _watched = True
        import connectors.dependencies  # noqa: F401 - the watch must not wait for it when the end is near

        heard, spoken = socket.socketpair()
        spoken.setblocking(False)
        signal.set_wakeup_fd(spoken.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(heard, spoken, watched), name="ending", daemon=True).start()


def _watch(heard: socket.socket, spoken: socket.socket, watched: bool) -> None:
    """Waits for signals; from the first on, for the end. `spoken` is held open for the system, which writes there."""
    interrupts, asked_at = 0, 0.0
    while True:
        heard.settimeout(LOOK_S if asked_at else None)
        try:
            numbers = heard.recv(64)
        except TimeoutError:
            numbers = b""
        interrupts += numbers.count(signal.SIGINT)
        if interrupts > 1:
            os._exit(FORCED)
        if not asked_at and (signal.SIGTERM in numbers or interrupts):
            asked_at = time.monotonic()
        if watched and asked_at and time.monotonic() - asked_at > GRACE_S and _waits():
            _leave(time.monotonic() - asked_at)


def _waits() -> bool:
    """Whether the process waits for a dependency, said or not: a broker that stands still is silent for a while."""
    from connectors.dependencies import troubled

    return bool(troubled()) or time.monotonic() - last_beat() > STILL_S


def _leave(waited_s: float) -> None:
    """Ends the process as a crash would: what it had not written is not written, and made again at the next start."""
    from connectors.dependencies import troubled  # with settings and logs a third of a second, which a backtest has not
    from connectors.logging import logger

    found = troubled()
    reason = "; ".join(f"{one.name}: {one.reason}" for one in found) or "no answer to what it does"
    logger().error(
        "process.left_waiting", waited_s=round(waited_s, 1), waits_for=[one.name for one in found], reason=reason
    )
    remedy = "nothing was written after it; start the flow again when the dependency is back"
    sys.stderr.write(f"error: {DependencyError(f'stopped while a dependency is away: {reason}', remedy=remedy)}\n")
    sys.stderr.flush()
    os._exit(DependencyError.exit_code)


# --- a command that has nothing to finish -----------------------------------------------------------------------------

UNHEARD_S: Final = 1.0  # a command that has not ended so long after SIGINT does not hear it


class Interrupted(KeyboardInterrupt):
    """A user's Ctrl-C, told from a KeyboardInterrupt that somebody else's code has raised."""


_interruptible = _interrupted = False


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    global _interrupted  # noqa: PLW0603 - one flag a process
    _interrupted = True
    raise Interrupted


def interrupted() -> bool:
    """Whether the user has asked to end, although nobody may have let it through."""
    return _interrupted


def is_users(error: BaseException) -> bool:
    """Whether an error is the user's Ctrl-C. Where nobody tells them apart every KeyboardInterrupt is."""
    return issubclass(type(error), Interrupted if _interruptible else KeyboardInterrupt)


@contextmanager
def interruptible() -> Iterator[None]:
    """Meanwhile SIGINT raises `Interrupted`; what has not ended `UNHEARD_S` later is ended with 130. For the main thread."""
    global _interruptible, _interrupted  # noqa: PLW0603 - one flag a process
    heard, spoken = socket.socketpair()
    spoken.setblocking(False)
    over = threading.Event()
    handler = signal.signal(signal.SIGINT, _interrupt)
    wakeup = signal.set_wakeup_fd(spoken.fileno(), warn_on_full_buffer=False)
    watch = threading.Thread(target=_end_unheard, args=(heard, over), name="interrupts", daemon=True)
    _interruptible, _interrupted = True, False
    watch.start()
    try:
        yield
    finally:
        _interruptible = False
        over.set()
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGINT, handler)
        spoken.close()  # which the watch hears
        watch.join()
        heard.close()


def _end_unheard(heard: socket.socket, over: threading.Event) -> None:
    """Waits for a SIGINT, and ends the process that does not end by itself."""
    while numbers := heard.recv(64):
        if signal.SIGINT in numbers:
            if not over.wait(UNHEARD_S):
                sys.stderr.write("interrupted\n")
                sys.stderr.flush()
                os._exit(FORCED)
            return
