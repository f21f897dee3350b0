"""A desk's day over several accounts and partitions, and other orders in which a reader may meet it."""

import random
from collections.abc import Iterator
from typing import Any
from zlib import crc32

from connectors.kafka.records import Record
from functions.codec import encode
from tests.history import (
    TOKEN,
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
    topic_of,
    validated,
)  # fmt: skip

Event = Any


def day(seed: int, orders: int = 30) -> list[Event]:
    """In the order in which it happened. Several fills of one book share an instant, and their orders' partitions do not."""
    chance = random.Random(seed)
    events: list[Event] = []
    held = {"a": 0, "b": 0}
    second = 0.0
    for n in range(orders):
        name, account = f"o{n}", chance.choice("ab")
        side, quantity = chance.choice(["BUY", "SELL"]), chance.randrange(2, 20)
        at = second + chance.choice([0.0, 0.25, 0.5])
        events += [signal(f"g{n}", at=at), signal(f"h{n}", at=at + 0.001), rejected(f"h{n}", account, at=at)]
        events += [validated(f"g{n}", account, at=at), submitted(name, quantity, at=at, account=account, side=side)]
        events += [ack(name, at=at, account=account), placed(name, quantity, at=at, account=account)]
        part = chance.randrange(1, quantity + 1)
        for filling, left in ((part, quantity - part), (quantity - part, 0))[: chance.choice([0, 1, 2])]:
            if filling:
                held[account] += filling if side == "BUY" else -filling
                events.append(
                    filled(
                        name, filling, f"10{chance.randrange(10)}.00", left=left, position=held[account], average="100.00",
                        at=at, account=account, side=side,
                    )
                )  # fmt: skip
        if chance.random() < 0.3:
            events.append(failed(name, left=1, at=at, account=account))
        if chance.random() < 0.5:
            second += 1.0
            for each, position in held.items():
                open_ = ((TOKEN, position, "100.00", f"10{n % 10}.00"),) if position else ()
                events.append(snapshot(second, account=each, charges=f"{n}.00", positions=open_))
    return [*events, alert(at=second), quality(at=second)]


def partition_of(event: Event) -> int:
    """As the log's producers choose: by order, by account, else one."""
    data = event.data
    return crc32(getattr(data, "order_id", getattr(data, "account", "")).encode()) % 3


def records(events: list[Event]) -> list[Record]:
    """The events as they lie on the log, in the order in which they were written."""
    ends: dict[tuple[str, int], int] = {}
    made = []
    for event in events:
        at = (topic_of(event), partition_of(event))
        made.append(Record(*at, ends.get(at, 0), b"k", encode(event)))
        ends[at] = ends.get(at, 0) + 1
    return made


def read_otherwise(items: list[Any], place: Any, chance: random.Random) -> Iterator[list[Any]]:
    """The same items in batches of another reading: each partition in its order, the partitions in any."""
    waiting: dict[Any, list[Any]] = {}
    for item in items:
        waiting.setdefault(place(item), []).append(item)
    batch: list[Any] = []
    while waiting:
        at = chance.choice(sorted(waiting))
        run = chance.choice([1, 1, 2, 50])
        batch += waiting[at][:run]
        del waiting[at][:run]
        if not waiting[at]:
            del waiting[at]
        if chance.random() < 0.2:
            yield batch
            batch = []
    if batch:
        yield batch
