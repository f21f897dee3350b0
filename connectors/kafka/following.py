"""Following: whether a reader of what we write is too far behind, by the offsets that its group has committed."""

import time
from collections.abc import Callable
from typing import Final

from connectors.errors import DependencyError
from connectors.kafka.source import Offsets
from connectors.logging import logger

READER_WAIT_S: Final = 5.0  # how long to wait for a reader that has not yet shown itself


class Following:
    """Whether a reader of our records is too far behind. Its group's offsets are asked for once in a while only.

    A group that has read nothing within `wait_s` is taken as not being there, and nothing is held any more.
    """

    def __init__(
        self, offsets: Offsets, group: str, max_lag: int, *, now: Callable[[], float] = time.monotonic,
        wait_s: float = READER_WAIT_S,
    ) -> None:  # fmt: skip
        self._offsets = offsets
        self._group = group
        self._max_lag = max_lag
        self._now = now
        self._wait_s = wait_s
        self._base = offsets.ends()
        self._asked_at = 0  # records written when it was asked last, and was near enough
        self._held_since: float | None = None
        self._told = False
        self._absent = False

    def holds(self, written: int) -> bool:
        """Whether to wait now that so many records have been written."""
        if self._absent or written - self._asked_at < self._max_lag // 4:
            return False
        held_since = self._held_since if self._held_since is not None else self._now()
        try:
            committed = self._offsets.committed()
        except DependencyError:  # the sink says it
            self._held_since = held_since
            return True
        behind = written + sum(base - committed.get(at, base) for at, base in self._base.items())
        if behind <= self._max_lag:
            self._asked_at, self._held_since, self._told = written, None, False
            return False
        self._held_since = held_since
        waited = self._now() - held_since
        if not committed and waited >= self._wait_s:
            logger().warning("feed.reader_not_found", group=self._group, waited_s=round(waited, 1))
            self._absent = True
            return False
        if committed and waited >= self._wait_s and not self._told:
            logger().warning("feed.waits_for_reader", group=self._group, behind_records=behind, max_lag=self._max_lag)
            self._told = True
        return True

    def close(self) -> None:
        self._offsets.close()
