"""What an error means, and whether what we depend on counts as away: decided here, for all dependencies.

    transient   waiting may help: tried again with longer and longer pauses, then the dependency counts as away
    poison      the record is at fault: it becomes a dead letter, whole, with the reason
    fatal       neither: the process ends, with the exit code of the error

    closed ── ATTEMPTS failures in a row ──► open ── a pause ──► half-open ──► closed: it answers; else open again

A flow waits for what is away, a question is refused at once. Both are told once when it goes and once when it is back.
Moments are monotonic: a wall clock that jumps opens and closes nothing.
"""

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar
from weakref import WeakSet

import stamina

from connectors.errors import PipelineError, RetryableError
from connectors.heartbeat import Waiting, beat, tell
from connectors.logging import logger

Kind = Literal["transient", "poison", "fatal"]
State = Literal["closed", "open", "half-open"]

ATTEMPTS: Final = 4  # failures in a row after which a dependency counts as away
FIRST_S: Final = 0.05  # before the second attempt; doubled each time, with up to JITTER_S more
LONGEST_S: Final = 1.0
JITTER_S: Final = 0.05

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE)  # what room or time may put right
_REDIS_BUSY: Final = ("LOADING", "BUSY", "OOM", "MISCONF", "READONLY", "MASTERDOWN", "TRYAGAIN", "NOREPLICAS")
_HTTP_BUSY: Final = frozenset({409, 429, 502, 503, 504})  # 409: Kafka Connect shares out its tasks

T = TypeVar("T")

stamina.instrumentation.set_on_retry_hooks(())  # they print every attempt; a circuit tells the two that matter


# --- what an error means ----------------------------------------------------------------------------------------------


def kind_of(error: object) -> Kind:
    """Whether waiting may help, the record is at fault, or the process has to end.

    >>> kind_of(ConnectionRefusedError()), kind_of(OSError(errno.ENOSPC, "full")), kind_of(ZeroDivisionError())
    ('transient', 'transient', 'fatal')
    """
    if isinstance(error, PipelineError):  # SQL errors come as these: `connectors.database.failures`
        return "transient" if isinstance(error, RetryableError) else "fatal"
    if isinstance(error, (UnicodeDecodeError, *_loaded("msgspec", "MsgspecError"))):
        return "poison"
    if any(rule(error) for rule in (_system, _redis, _http, _kafka)):
        return "transient"
    return "fatal"


def transient(error: BaseException) -> bool:
    """Whether waiting may help."""
    return kind_of(error) == "transient"


def busy(status: int) -> bool:
    """Whether an HTTP status says that the same request may succeed later."""
    return status in _HTTP_BUSY


def _loaded(library: str, *names: str) -> tuple[type, ...]:
    """Classes of a library; none where nobody has loaded it, as no error can be of it then."""
    module = sys.modules.get(library)
    return tuple(getattr(module, name) for name in names) if module is not None else ()


def _system(error: object) -> bool:
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    if isinstance(error, OSError):
        return error.errno in FULL
    return isinstance(error, _loaded("duckdb", "Error")) and any(os.strerror(number) in str(error) for number in FULL)


def _redis(error: object) -> bool:
    """No connection, no answer in time, a server that loads, is full or fails over."""
    if isinstance(error, _loaded("redis.exceptions", "AuthenticationError", "NoPermissionError")):
        return False
    if isinstance(error, _loaded("redis.exceptions", "ConnectionError", "TimeoutError")):
        return True
    return isinstance(error, _loaded("redis.exceptions", "ResponseError")) and str(error).startswith(_REDIS_BUSY)


def _http(error: object) -> bool:
    return isinstance(error, _loaded("httpx2", "TransportError"))


def _kafka(error: object) -> bool:
    if isinstance(error, _loaded("confluent_kafka", "KafkaException")):
        error = error.args[0]  # type: ignore[attr-defined]
    if not isinstance(error, _loaded("confluent_kafka", "KafkaError")):
        return False
    said: Any = error
    unreachable = (said._TRANSPORT, said._TIMED_OUT, said._ALL_BROKERS_DOWN, said._RESOLVE)
    return not said.fatal() and (said.retriable() or said.code() in unreachable)


# --- whether it is away -----------------------------------------------------------------------------------------------


class Stopped(Exception):
    """The process was asked to stop while it waited; the cause is what the dependency said last."""


@dataclass(eq=False)
class Circuit:
    """One dependency as this process sees it. Threads may share it.

    `lost` and `found` are the log events that tell of it; `facts` stand in both.
    """

    name: str
    lost: str
    found: str
    facts: dict[str, Any] = field(default_factory=dict)
    now: Callable[[], float] = time.monotonic
    reason: str = ""
    _failures: int = 0
    _opened_at: float | None = None
    _asked_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        _all.add(self)

    @property
    def state(self) -> State:
        if self._opened_at is None:
            return "closed"
        return "open" if self.now() - self._asked_at < LONGEST_S else "half-open"

    @property
    def troubled(self) -> bool:
        """Whether the last that it said was a failure, be it away already or not."""
        return self._failures > 0 or self._opened_at is not None

    @property
    def away_s(self) -> float:
        """For how long it has been away; 0 where it is not."""
        return 0.0 if self._opened_at is None else self.now() - self._opened_at

    def failed(self, error: object, **facts: object) -> None:
        """It has failed once more; opens after `ATTEMPTS` in a row."""
        with self._lock:
            self._failures += 1
            self._asked_at = self.now()
            self.reason = _first_line(error)
            opens = self._failures >= ATTEMPTS
        if opens:
            self.open(self.reason, **facts)

    def open(self, reason: str, **facts: object) -> None:
        """It is away: for clients that try again by themselves, and say so."""
        with self._lock:
            first = self._opened_at is None
            self.reason = reason
            if first:
                self._opened_at = self._asked_at = self.now()
        if first:
            logger().warning(self.lost, **self.facts, **facts, reason=reason)

    def answered(self) -> None:
        """It has answered."""
        away_s = self.leave()
        if away_s is not None:
            logger().info(self.found, **self.facts, away_s=round(away_s, 3))

    def leave(self) -> float | None:
        """Nobody needs it any more, away or not; returns for how long it was away, None where it was not."""
        with self._lock:
            away_s = None if self._opened_at is None else self.away_s
            self._failures, self._opened_at, self.reason = 0, None, ""
        return away_s

    def wait(self, attempt: Callable[[], T], *, stop: Callable[[], bool], **facts: object) -> T:
        """What `attempt` answers, however long that takes: for flows. Raises: `Stopped`; what is not transient."""
        return self._tried(attempt, None, stop, facts)

    def ask(self, attempt: Callable[[], T], **facts: object) -> T:
        """What `attempt` answers within `ATTEMPTS`; one that is away is asked once a second, else refused at once.

        Raises: `RetryableError` where it is refused; what `attempt` has raised last.
        """
        self.admit()
        return self._tried(attempt, ATTEMPTS if self._opened_at is None else 1, lambda: False, facts)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """A block that talks to it by itself: refused while it is away. Raises: `RetryableError`."""
        self.admit()
        try:
            yield
        except Exception as error:
            if transient(error):
                self.failed(error)
            raise
        self.answered()

    def admit(self) -> None:
        """Lets a question pass, of a thing that is away one a second. Raises: `RetryableError`."""
        with self._lock:
            if self.state == "open":
                raise RetryableError(
                    f"{self.name} has been away for {self.away_s:.0f} s: {self.reason}",
                    remedy="it is asked again every second; docs/runbook.md says what to do",
                )
            self._asked_at = self.now()

    def _tried(
        self, attempt: Callable[[], T], attempts: int | None, stop: Callable[[], bool], facts: dict[str, object]
    ) -> T:
        answer: Any = None
        for retry in stamina.retry_context(
            on=transient,
            attempts=attempts,
            timeout=None,
            wait_initial=FIRST_S,
            wait_max=LONGEST_S,
            wait_jitter=JITTER_S,
        ):
            with retry:
                beat()
                try:
                    answer = attempt()
                except Exception as error:
                    if transient(error):
                        self.failed(error, **facts)
                        if stop():
                            raise Stopped from error
                    raise
        self.answered()
        return answer


def _first_line(error: object) -> str:
    if isinstance(error, PipelineError):
        return error.message
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_named: Final[dict[str, Circuit]] = {}
_all: Final[WeakSet[Circuit]] = WeakSet()


def circuit(name: str, *, lost: str = "", found: str = "") -> Circuit:
    """The circuit of this name in this process, made when it is first asked for."""
    if name not in _named:
        _named[name] = Circuit(name, lost or f"{name}.unreachable", found or f"{name}.reachable")
    return _named[name]


def away() -> list[Circuit]:
    """What counts as away just now, by name."""
    return sorted((found for found in list(_all) if found.state != "closed"), key=lambda found: found.name)


def troubled() -> list[Circuit]:
    """What failed when it was last asked, by name."""
    return sorted((found for found in list(_all) if found.troubled), key=lambda found: found.name)


def forget() -> None:
    """This process depends on nothing any more, as at its start: for tests, which share one."""
    _named.clear()
    _all.clear()


tell(lambda: [Waiting(found.name, found.now() - found.away_s, found.reason) for found in away()])
