"""Records: what the log holds, and what is on its way to it.

A value of `None` is a deletion (a tombstone); an empty value is not.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

Headers = list[tuple[str, bytes]]


class Record(NamedTuple):
    """One record as it lies in the log."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


class Outgoing(NamedTuple):
    """One record to be written; its key chooses the partition."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


Writable = tuple[str, bytes | None, bytes | None, Headers | None]  # an Outgoing, or a plain tuple of the same


MAX_MESSAGE: Final = (
    1_000  # characters of a reason, which may quote the record: a dead letter is about as large as that
)

# --- dead letters -----------------------------------------------------------------------------------------------------

REPLAYED: Final = "replayed"  # header of a record that was put back on its topic: how often it had been tried before,
ORIGINAL: Final = "original"  # and what it was at first, as `place` spells it


def place(topic: str, partition: int | str, offset: int | str) -> str:
    """How a record is named: no other ever has this name.

    >>> place("market.ticks", 3, 41)
    'market.ticks:3:41'
    """
    return f"{topic}:{partition}:{offset}"


def replay_of(record: Record) -> tuple[str, int] | None:
    """Of a record that was put back: what it was at first, and how often it had been tried; None for any other.

    >>> replay_of(Record("t", 0, 9, None, b"", [("replayed", b"1"), ("original", b"t:0:4")]))
    ('t:0:4', 1)
    """
    if not record.headers:
        return None
    headers = dict(record.headers)
    attempts = headers.get(REPLAYED, b"")
    if not attempts.isdigit() or ORIGINAL not in headers:
        return None
    return headers[ORIGINAL].decode(errors="backslashreplace"), int(attempts)


def dead_letter(record: Record, step: str, error: str, message: str, attempts: int | None = None) -> Outgoing:
    """A record nobody can decide on, on its way to `<topic>.dlq`: its bytes untouched, where and why in headers.

    `attempts` counts this one; if not given, it is one more than the record says of itself.

    >>> letter = dead_letter(Record("market.ticks", 3, 41, b"k", b"{"), "gate", "DecodeError", "truncated")
    >>> letter.topic, letter.value, dict(letter.headers)["offset"]
    ('market.ticks.dlq', b'{', b'41')
    """
    replay = replay_of(record)
    facts = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "step": step,
        "error": error,
        "message": message[:MAX_MESSAGE],
        "attempts": attempts if attempts is not None else 1 + (replay[1] if replay else 0),
    }
    if replay:
        facts[ORIGINAL] = replay[0]
    headers = [(name, str(fact).encode(errors="backslashreplace")) for name, fact in facts.items()]
    return Outgoing(f"{record.topic}.dlq", record.key, record.value, headers)


def causes(letters: Iterable[Outgoing]) -> dict[str, int]:
    """How many dead letters of each topic have which cause, for logs.

    >>> causes([dead_letter(Record("market.ticks", 3, 41, b"k", b"{"), "gate", "DecodeError", "truncated")])
    {'market.ticks DecodeError': 1}
    """
    found = (f"{letter.topic.removesuffix('.dlq')} {_error(letter)}" for letter in letters)
    return dict(Counter(found))


def _error(letter: Outgoing) -> str:
    return dict(letter.headers or ()).get("error", b"unknown").decode()
