"""A day of a desk, and the real cache flow that takes it into Redis."""

from typing import Any

from bytewax.testing import TestingSource, run_main

from connectors.kafka.records import Outgoing, Record
from connectors.redis import Desk
from dataflows import cache
from functions.blotter import Keys
from tests.history import (
    ack,
    alert,
    failed,
    filled,
    placed,
    quality,
    rejected,
    signal,
    snapshot,
    submitted,
    validated,
)  # fmt: skip

KEYS = Keys("paper")
DAY = [
    signal("g1"), validated("g1"), submitted("o1"), ack("o1"), placed("o1"), filled("o1", 4, left=6, at=0.3),
    filled("o1", 6, left=0, position=10, at=0.4), snapshot(1.0), signal("g2", at=1.5), rejected("g2", at=1.5),
    submitted("o2", at=2.0), failed("o2", at=2.5), snapshot(3.0), alert(at=3.0), quality(at=3.0),
]  # fmt: skip


class Letters:
    """Takes dead letters; notes how far Redis was when each was flushed."""

    def __init__(self, client: Any = None) -> None:
        self.written: list[Outgoing] = []
        self.offsets_when_flushed: list[Any] = []
        self._client = client

    def write(self, records: list[Outgoing]) -> None:
        self.written += records

    def flush(self) -> None:
        if self._client is not None:
            self.offsets_when_flushed.append(self._client.hgetall(KEYS.offsets))


def fold(client: Any, batches: list[list[Record]], letters: Letters | None = None, alert_above: int = 0) -> Desk:
    """One run of the real flow over these batches."""
    desk = Desk(client, "paper")
    desk.expect({(record.topic, record.partition): record.offset + 1 for batch in batches for record in batch})
    source = TestingSource([("paper", batch) for batch in batches])
    run_main(
        cache.build(source, cache.DeskSink(desk, lambda: letters or Letters()), cache.Decoder("paper", alert_above))
    )
    return desk
