"""Records: what the log holds, and what is on its way to it.

A value of `None` is a deletion (a tombstone); an empty value is not.
"""

from typing import NamedTuple

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


def dead_letter(record: Record, step: str, error: str, message: str, attempts: int = 1) -> Outgoing:
    """A record nobody can decide on, on its way to `<topic>.dlq`: its bytes untouched, where and why in headers.

    >>> letter = dead_letter(Record("market.ticks", 3, 41, b"k", b"{"), "gate", "DecodeError", "truncated")
    >>> letter.topic, letter.value, dict(letter.headers)["offset"]
    ('market.ticks.dlq', b'{', b'41')
    """
    facts = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "step": step,
        "error": error,
        "message": message,
        "attempts": attempts,
    }
    headers = [(name, str(fact).encode(errors="backslashreplace")) for name, fact in facts.items()]
    return Outgoing(f"{record.topic}.dlq", record.key, record.value, headers)
