"""The outbox as a Bytewax source, and the sink that tells it what the broker has.

Promise: every change reaches its topic at least once, changes of one key in the order in which they were made. A change
counts as published when the broker has acknowledged it; after a crash in between it is sent again, the same bytes under
the same id.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.database.store import ConfigStore, Pending
from connectors.dependencies import circuit
from connectors.errors import RetryableError
from connectors.heartbeat import beat
from connectors.kafka.records import Outgoing
from connectors.logging import logger

PART: Final = "outbox"
BATCH: Final = 500
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
NAP_S: Final = 0.05  # how soon a stop is noticed

Published = Mapping[tuple[str, bytes], bytes | None]
Change = tuple[str, list[Pending]]


class Outbox:
    """One store's changes between being read and being marked. The source and the sink of a flow share it."""

    def __init__(self, store: ConfigStore) -> None:
        self._store = store
        self._under_way: set[int] = set()
        self._acknowledged: list[int] = []

    def recover(self, published: Published) -> None:
        """Send again what the log does not have, see `ConfigStore.publish_again`."""
        strangers = self._store.publish_again(published)
        if strangers:
            keys = [f"{topic}:{key.decode(errors='backslashreplace')}" for topic, key in strangers]
            logger().warning(
                "config.unknown_keys_found", keys=keys, meaning="the log has them, the config store never had"
            )

    def take(self) -> list[Pending]:
        """Changes that nobody has taken yet, oldest first."""
        self._mark()
        pending = self._store.pending_outbox(BATCH)
        fresh = [change for change in pending if change.id not in self._under_way]
        self._under_way = {change.id for change in pending}
        return fresh

    @property
    def empty(self) -> bool:
        """Whether all that the last look found has been published since."""
        return not self._under_way

    def acknowledge(self, changes: list[Pending]) -> None:
        """The broker has these. A store that is locked just now is told later: nothing is sent again for that."""
        self._acknowledged += [change.id for change in changes]
        try:
            self._mark()
        except RetryableError as error:
            logger().warning("config.not_marked_yet", changes=len(self._acknowledged), reason=error.message)

    def _mark(self) -> None:
        self._store.mark_published(self._acknowledged)
        self._under_way.difference_update(self._acknowledged)
        self._acknowledged = []


class _Changes(StatefulSourcePartition[Change, None]):
    """Looks into the outbox every `every`; a store that does not answer is waited for, and said so once."""

    def __init__(
        self, outbox: Outbox, every: timedelta, stop: Callable[[], bool], on_live: Callable[[], None] | None
    ) -> None:
        self._outbox = outbox
        self._every = every
        self._stop = stop
        self._on_live = on_live
        self._circuit = circuit("config_store")
        self._due = 0.0  # when to look again, monotonic

    def next_batch(self) -> list[Change]:
        beat()
        if self._stop():
            raise StopIteration
        wait_s = self._due - time.monotonic()
        if wait_s > 0:  # slept here: Bytewax's own pause goes by the wall clock, and lasts as long as one is set back
            time.sleep(min(wait_s, NAP_S))
            return []
        changes = self._look()
        self._due = 0.0 if len(changes) == BATCH else time.monotonic() + self._every.total_seconds()
        return [(PART, changes)] if changes else []

    def _look(self) -> list[Pending]:
        try:
            changes = self._outbox.take()
        except RetryableError as error:
            self._circuit.failed(error)
            return []
        self._circuit.answered()
        if self._on_live is not None and self._outbox.empty:
            self._on_live, live = None, self._on_live
            live()
        return changes

    def next_awake(self) -> datetime:
        return LONG_AGO

    def snapshot(self) -> None:
        """The outbox itself is the state."""
        return


class OutboxSource(FixedPartitionedSource[Change, None]):
    """The changes of an outbox, in lists under one key.

    `published` says what the log has at the start (the last value of each topic and key); what it lacks is sent again.
    `on_live` is called once, when everything that was pending at the start is published. `stop` ends the source.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        every: timedelta = timedelta(milliseconds=200),
        published: Callable[[], Published] | None = None,
        stop: Callable[[], bool] = lambda: False,
        on_live: Callable[[], None] | None = None,
    ) -> None:
        self._outbox = outbox
        self._every = every
        self._published = published
        self._stop = stop
        self._on_live = on_live

    def list_parts(self) -> list[str]:
        return [PART]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Changes:
        if self._published is not None:
            self._outbox.recover(self._published())
        return _Changes(self._outbox, self._every, self._stop, self._on_live)


class _Acknowledging(StatefulSinkPartition[list[Pending], Any]):
    def __init__(self, records: StatefulSinkPartition[list[Outgoing], Any], outbox: Outbox) -> None:
        self._records = records
        self._outbox = outbox

    def write_batch(self, values: list[list[Pending]]) -> None:
        changes = [change for batch in values for change in batch]
        self._records.write_batch([[Outgoing(change.topic, change.key, change.value) for change in changes]])
        self._records.snapshot()  # returns when the broker has them all, raises when it has not
        self._outbox.acknowledge(changes)

    def snapshot(self) -> Any:
        return self._records.snapshot()

    def close(self) -> None:
        self._records.close()


class AcknowledgingSink(FixedPartitionedSink[list[Pending], Any]):
    """Writes changes to a sink of records whose `snapshot` waits for the broker, then marks them published.

    At least once: a crash between the two sends the same bytes again.
    """

    def __init__(self, records: FixedPartitionedSink[list[Outgoing], Any], outbox: Outbox) -> None:
        self._records = records
        self._outbox = outbox

    def list_parts(self) -> list[str]:
        return self._records.list_parts()

    def part_fn(self, item_key: str) -> int:
        return self._records.part_fn(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _Acknowledging:
        return _Acknowledging(self._records.build_part(step_id, for_part, resume_state), self._outbox)
