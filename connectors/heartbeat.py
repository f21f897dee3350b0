"""The heartbeat of a process: its own loop says that it turns, for what it waits, and what it is at.

A supervisor names a ready file; the heartbeat lies beside it, ending in `.beat`. Who looks after it notes by its own
monotonic clock when it changed, so a wall clock that jumps makes nobody look stuck. A loop that waits for a dependency turns
as well: it beats.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

READY_FILE: Final = "PANDA_READY_FILE"  # the supervisor names a file that a live flow creates
EVERY_S: Final = 1.0


class Waiting(msgspec.Struct, frozen=True):
    """One dependency that is away, since a moment of the monotonic clock."""

    name: str
    since: float
    reason: str


class Heartbeat(msgspec.Struct, frozen=True):
    """What a process said last. `at` is of the machine's monotonic clock, seconds."""

    pid: int
    at: float
    waits_for: list[Waiting] = []
    remarks: list[str] = []  # what it is at that takes long, what of it does not work


_told: Callable[[], list[Waiting]] = list
_remarks: Final[dict[str, Callable[[], str]]] = {}
_last = 0.0


def tell(waits_for: Callable[[], list[Waiting]]) -> None:
    """From now on a heartbeat says what this names, too."""
    global _told  # noqa: PLW0603 - one voice a process
    _told = waits_for


def remark(subject: str, words: Callable[[], str]) -> None:
    """From now on a heartbeat says these words of a subject, too; nothing where they are empty."""
    _remarks[subject] = words


@contextmanager
def busy(subject: str, words: Callable[[], str]) -> Iterator[None]:
    """What takes the loop so long meanwhile: said at once, as it may not turn before it is over."""
    before = _remarks.get(subject)
    _remarks[subject] = words
    _say()
    try:
        yield
    finally:
        del _remarks[subject]
        if before is not None:
            _remarks[subject] = before


@cache
def boot_id() -> str:
    """Which run of the machine's kernel this is: who has the same shares our monotonic clock. Empty where unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def last_beat() -> float:
    """The moment of this process's last beat, monotonic seconds, to within `EVERY_S`; 0 before the first."""
    return _last


def heartbeat_file(ready_file: Path) -> Path:
    """Where the process of a ready file says that it lives."""
    return ready_file.with_suffix(".beat")


def beat() -> None:
    """To be called in every turn of a process's loop: writes at most once a second, and only where a supervisor looks.

    Other threads do not count: a process whose loop is stuck may have lively ones.
    """
    if time.monotonic() - _last >= EVERY_S:
        _say()


def _say() -> None:
    global _last  # noqa: PLW0603 - one heart a process
    if threading.current_thread() is not threading.main_thread():
        return
    _last = time.monotonic()
    path = os.environ.get(READY_FILE)
    if path:
        remarks = [said for words in list(_remarks.values()) if (said := words())]
        _write(heartbeat_file(Path(path)), Heartbeat(os.getpid(), _last, _told(), remarks))


def ready() -> None:
    """Tells the supervisor that this process is live: by a file, in which a full disk need not take a word."""
    beat()
    path = os.environ.get(READY_FILE)
    if path:
        Path(path).touch()
        with suppress(OSError):
            Path(path).write_text(f"{os.getpid()}\n")


def _write(path: Path, said: Heartbeat) -> None:
    """Whole or not at all. On a disk that is full the beat is a new time of the file that is there."""
    part = path.with_suffix(".beat.part")
    try:
        part.write_bytes(msgspec.json.encode(said))
        part.replace(path)
    except OSError:
        with suppress(OSError):
            os.utime(path)


def seen(path: Path) -> tuple[int, int] | None:
    """Another one after every beat; None where there was none yet. When it changed is for the looker's own clock."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def read(path: Path) -> Heartbeat | None:
    """What a process said last; None where it has said nothing that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Heartbeat)
    except (OSError, msgspec.MsgspecError):
        return None
