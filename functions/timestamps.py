"""Timestamps: RFC 3339 text of nanoseconds since the epoch, and back."""

import numpy as np

from functions.calendar import IST_OFFSET

_second = (-1, "")


def timestamp(time_ns: int) -> str:
    """RFC 3339 text in UTC with microseconds; the text of the second is kept, as neighbours share it.

    >>> timestamp(1_763_697_600_123_456_789)
    '2025-11-21T04:00:00.123456Z'
    """
    global _second  # noqa: PLW0603 - a cache of one value: the answer does not depend on it
    second, rest = divmod(time_ns, 1_000_000_000)
    if second != _second[0]:
        _second = (second, str(np.datetime64(second, "s")))
    return f"{_second[1]}.{rest // 1000:06d}Z"


def in_india(time_ns: int) -> str:
    """Date and time of day in India, to the second.

    >>> in_india(1_763_697_600_123_456_789)
    '2025-11-21 09:30:00'
    """
    return str(np.datetime64((time_ns + IST_OFFSET) // 1_000_000_000, "s")).replace("T", " ")


def nanoseconds(text: str) -> int:
    """Of a `timestamp`, since the epoch.

    >>> nanoseconds("2025-11-21T04:00:00.123456Z")
    1763697600123456000
    """
    return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))
