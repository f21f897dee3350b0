"""Versions: what an event looked like before, and how it is brought up to what it is now.

Each event type has a version of its own, from 1. Writers write the newest, readers (`functions.codec`) take every one: a
payload of an earlier version is read as what it was and goes through the upgrades behind it. A field that is new and
optional is no new version. How a version is raised: `docs/adr/0019-a-version-for-each-event-type.md`.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from functions.events import PAYLOADS, Payload


class Former(NamedTuple):
    """A payload as an earlier version wrote it, and what makes one of the version after it of it, purely."""

    payload: type[Payload]  # named after today's with its number behind it: `OrderFilledV1`
    upgrade: Callable[[Any], Payload]


# Event type → its versions 1, 2, … up to the one before today's.
FORMER: Final[dict[str, tuple[Former, ...]]] = {}


def version_of(name: str) -> int:
    """The version of an event type that is written now.

    >>> version_of("order_filled")
    1
    """
    return len(FORMER.get(name, ())) + 1


def payloads_of(name: str) -> list[type[Payload]]:
    """What every version of an event type holds, version 1 first, today's last."""
    return [*(former.payload for former in FORMER.get(name, ())), PAYLOADS[name]]


def brought_up(name: str, version: int, data: Payload) -> Payload:
    """A payload of some version as one of today's."""
    for former in FORMER.get(name, ())[version - 1 :]:
        data = former.upgrade(data)
    return data
