"""Poison: how many records of a topic may be unusable before reading on does more harm than stopping.

    dead letter ─┬─► the last records of its topic ─► tripped: told, and the flow stops
                 └─► the minute of event time ──────► growing: told once a minute

Both follow from records and their order alone, so the same log trips at the same record again. A tick that comes late or
twice counts as growth and not as poison: no cure makes it usable, and nothing is lost by dropping it.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

ALREADY_REPLAYED: Final = "already_replayed"
TOO_LATE: Final = frozenset({"duplicate", "time_backwards", "passed_by", ALREADY_REPLAYED})
GROWING, TRIPPED = "dead_letters_growing", "dead_letters_tripped"
_MINUTE: Final = 60_000_000_000
_KEPT: Final = 10_000  # records put back that are remembered

Place = tuple[int, str]  # how many records of its topic had come, and why it is of no use


class Limit(msgspec.Struct, frozen=True, array_like=True):
    """More than `most` poison records among the last `among` of a topic stop the flow; more than `a_minute` dead letters are
    an alert. 0 is never."""

    most: int = 500
    among: int = 1_000
    a_minute: int = 100


NO_LIMIT: Final = Limit(0, 1, 0)


class Notice(NamedTuple):
    """What a human should know: event time in ns, a name that no other has, how bad, what, in words."""

    time: int
    step: str
    severity: str
    code: str
    message: str


def exceeds(places: Sequence[int], at: int, limit: Limit) -> bool:
    """Whether more than `most` of the last `among` records up to number `at` are poison, which have these numbers.

    >>> limit = Limit(most=2, among=5)
    >>> exceeds([6, 9], 10, limit), exceeds([6, 9, 10], 10, limit), exceeds([5, 9, 10], 10, limit)
    (False, True, False)
    """
    return limit.most > 0 and sum(at - limit.among < place <= at for place in places) > limit.most


class _State(msgspec.Struct, array_like=True):
    limit: Limit = Limit()
    time: int = 0  # of the last usable record of the feed
    counts: dict[str, int] = msgspec.field(default_factory=dict)  # records that have come, by topic
    poison: dict[str, list[Place]] = msgspec.field(default_factory=dict)  # among the last of them
    minute: int = -1  # when it began
    causes: dict[str, int] = msgspec.field(default_factory=dict)  # of this minute's letters
    tripped: str = ""  # at which record
    put_back: dict[str, int] = msgspec.field(default_factory=dict)  # record → how often it had been tried


class Watch:
    """Counts a flow's records and its dead letters."""

    def __init__(self, limit: Limit | None = None) -> None:
        self._state = _State(limit if limit is not None else Limit())

    @property
    def _counts(self) -> bool:
        return bool(self._state.limit.most or self._state.limit.a_minute)

    @property
    def limit(self) -> Limit:
        return self._state.limit

    @property
    def tripped(self) -> str:
        """The record at which it tripped, as `topic:partition:offset`; empty where it has not."""
        return self._state.tripped

    def begin(self, limit: Limit) -> None:
        """A session starts, under this limit. Whoever starts a flow that had tripped has decided to read on."""
        state = self._state
        if state.tripped:
            state.tripped, state.poison = "", {}
        state.limit = limit
        if not self._counts:
            self._state = _State(limit, put_back=state.put_back)

    def passed(self, topic: str, count: int, time: int | None = None) -> None:
        """So many records have come, the last usable one with this event time, in ns."""
        if self._counts:
            state = self._state
            state.counts[topic] = state.counts.get(topic, 0) + count
            if time is not None:
                state.time = time

    def letter(self, topic: str, record: str, cause: str, time: int | None = None, *, back: int = 0) -> list[Notice]:
        """A record of this topic is dead-lettered; it came `back` records before the last that has been counted."""
        if not self._counts:
            return []
        state = self._state
        if time is not None:
            state.time = time
        notices = self._grows(f"{record.rsplit(':', 2)[0]} {cause}", record)
        if state.limit.most and cause not in TOO_LATE:
            notices += self._poison(topic, record, (state.counts.get(topic, 0) - back, cause))
        return notices

    def _poison(self, topic: str, record: str, place: Place) -> list[Notice]:
        state = self._state
        first = place[0] - state.limit.among
        kept = [each for each in state.poison.get(topic, []) if each[0] > first][-state.limit.most :]
        state.poison[topic] = kept = [*kept, place]
        if state.tripped or not exceeds([n for n, _ in kept], place[0], state.limit):
            return []
        state.tripped = record
        causes = told(Counter(cause for _, cause in kept))
        message = (
            f"{len(kept)} of the last {min(state.limit.among, place[0])} records of {topic} are of no use, up to {record}: "
            f"{causes}; the limit is {state.limit.most} of {state.limit.among}"
        )
        return [Notice(state.time, f"{TRIPPED}:{record}", "critical", TRIPPED, message)]

    def _grows(self, what: str, record: str) -> list[Notice]:
        state = self._state
        if not state.limit.a_minute:
            return []
        if state.minute < 0 or not -_MINUTE < state.time - state.minute < _MINUTE:
            state.minute, state.causes = state.time, {}
        state.causes[what] = state.causes.get(what, 0) + 1
        total = sum(state.causes.values())
        if total != state.limit.a_minute + 1:
            return []
        message = f"{total} dead letters within a minute of event time, up to {record}: {told(state.causes)}"
        return [Notice(state.time, f"{GROWING}:{record}", "warning", GROWING, message)]

    def is_replayed_again(self, original: str, attempts: int) -> bool:
        """Whether this record, tried so often, has been put back before; remembers it."""
        put_back = self._state.put_back
        if attempts <= put_back.get(original, 0):
            return True
        put_back.pop(original, None)
        put_back[original] = attempts
        if len(put_back) > _KEPT:
            del put_back[next(iter(put_back))]
        return False

    def to_bytes(self) -> bytes:
        return msgspec.msgpack.encode(self._state)

    def load(self, blob: bytes) -> None:
        """Raises: `msgspec.MsgspecError` where these bytes are none of `to_bytes`."""
        self._state = msgspec.msgpack.decode(blob, type=_State)


def told(causes: dict[str, int]) -> str:
    """Causes with their counts, the most frequent first.

    >>> told({"bad_price": 2, "undecodable": 5})
    'undecodable 5, bad_price 2'
    """
    return ", ".join(
        f"{cause} {count}" for cause, count in sorted(causes.items(), key=lambda each: (-each[1], each[0]))
    )
