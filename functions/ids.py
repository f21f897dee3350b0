"""Ids of events: made of what an event is, so that a replay makes the same ones (kernels: `functions.identity`)."""

from typing import Final

import xxhash

ID_LENGTH: Final = 36
ID_PATTERN: Final = (
    r"\A[0-9A-Za-z-]{36}\Z"  # ours are UUIDs; a decision is named after its cause, so all have one shape
)

_hash = xxhash.xxh3_128_hexdigest


def id_prefix(time_ns: int) -> str:
    """The first half of an event's id: its time."""
    milliseconds = time_ns // 1_000_000
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7"


def id_under(prefix: str, cause: str, step: str) -> str:
    """An event's id from its prefix, where many share one."""
    digest = _hash((cause + step).encode())
    return f"{prefix}{digest[:3]}-a{digest[3:6]}-{digest[6:18]}"


def event_id(time_ns: int, cause: str, step: str) -> str:
    """A UUID shaped as version 7 whose random part is a hash: the same inputs give the same id.

    48 bits of event time in milliseconds, then 74 bits of xxh3-128 over the cause's id and the step's name and ordinal.
    Layout: RFC 9562 §5.7.

    >>> event_id(1_763_697_600_123_000_000, "3f1c", "risk:0")
    '019aa491-a67b-7395-a705-2869c58e69c6'
    """
    return id_under(id_prefix(time_ns), cause, step)


def tick_id(instrument_token: int, time_ns: int, ordinal: int) -> str:
    """A tick's id, from what it is and not from how it came: `ordinal` counts ticks of this instrument at this instant."""
    return event_id(time_ns, f"{instrument_token}:{time_ns}", f"tick:{ordinal}")
