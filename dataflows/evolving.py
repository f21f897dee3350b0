"""Evolving: books and money from recorded fills, when the rules have changed since and deciding again would differ.

What was published stays as it is; no rule is asked. Strategies begin anew, and orders that still worked are told as failed:
nobody works them any more. The feed's place is that of the journal, so no tick is decided on twice.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import numpy as np

from connectors.errors import FatalError
from connectors.kafka.feed import Inputs
from connectors.kafka.records import Writable
from connectors.kafka.source import Positions, fetch_all
from connectors.settings import KafkaSettings
from dataflows.recovery import Journal, inputs_at, run_reader, unpacked
from dataflows.steps import Parts
from functions.codec import decode, encode, envelope
from functions.events import EventEnvelope, OrderFailed, OrderFilled, OrderSubmitted
from functions.ids import event_id
from functions.journal import MARK, Entry, Opening, Snapshot, Start, named
from functions.money import micro
from functions.orders import PRODUCTS
from functions.portfolio import FILL
from functions.timestamps import nanoseconds
from functions.topics import ORDERS_FAILED, ORDERS_FILLED, ORDERS_SUBMITTED

Event = EventEnvelope[Any]
SOURCE: Final = "rebuild"


def events(kafka: KafkaSettings, topic: str) -> list[tuple[Event, bytes]]:
    """Every event of a topic once, with its mark, in the order in which they were decided."""
    once: dict[str, tuple[Event, bytes]] = {}
    for record in fetch_all(kafka, [topic]):
        event = decode(record.value or b"")
        mark = next((value for name, value in record.headers or () if name == MARK), b"")
        once.setdefault(event.id, (event, mark.rpartition(b"@")[2]))
    return sorted(once.values(), key=lambda each: (each[0].timestamp, each[1]))


def evolve(made: Parts, kafka: KafkaSettings) -> int:
    """Folds the recorded fills of these accounts into fresh steps; returns how many.

    Raises: `FatalError` where a fill does not follow from those before it: one is missing.
    """
    shard = made.desk.shard
    products = {
        event.data.order_id: PRODUCTS.index(event.data.product)
        for event, _ in events(kafka, ORDERS_SUBMITTED.of(made.desk.broker).name)
    }
    places = {names: n for n, names in enumerate(shard.subscription_names)}
    mine: list[Event] = []
    for event, _ in events(kafka, ORDERS_FILLED.of(made.desk.broker).name):
        fill = event.data
        if fill.account not in shard.account_names:
            continue
        if (fill.account, fill.strategy) not in places or fill.instrument_token not in shard.index_of:
            raise FatalError(
                f"fill {event.id} is of {fill.account}/{fill.strategy} and instrument {fill.instrument_token}, which are "
                "not configured", remedy="configure what has traded, disabled if need be, then rebuild",
            )  # fmt: skip
        if fill.order_id not in products:
            raise FatalError(
                f"fill {event.id} is of order {fill.order_id}, which is not on the log: nobody knows its product",
                remedy="restore the topic from the lake, then rebuild",
            )
        mine.append(event)
    rows = np.zeros(len(mine), FILL)
    for row, event in zip(rows, mine, strict=True):
        fill: OrderFilled = event.data
        row["time"], row["price"], row["quantity"] = nanoseconds(event.timestamp), micro(fill.price), fill.quantity
        row["left"], row["charges"], row["side"] = fill.remaining, micro(fill.charges), 1 if fill.side == "BUY" else -1
        row["subscription"] = places[fill.account, fill.strategy]
        row["instrument"] = shard.index_of[fill.instrument_token]
        row["product"] = products[fill.order_id]
    shard.rebuild(rows)
    for row, event in zip(rows, mine, strict=True):
        found = (int(row["position"]), int(row["realised"]))
        if found != (event.data.position, micro(event.data.realised_pnl)):
            raise FatalError(
                f"fill {event.id} leaves position {event.data.position} and realised {event.data.realised_pnl}, those before "
                f"it lead to {found[0]} and {found[1] / 1e6:.6f}",
                remedy="a fill is missing on the log: restore the topic from the lake, then rebuild",
            )
    return len(mine)


def abandoned(made: Parts, kafka: KafkaSettings) -> list[Writable]:
    """`order_failed` for every order of these accounts that works on the log and nowhere else."""
    broker = made.desk.broker
    names = set(made.desk.shard.account_names)
    left: dict[str, tuple[Event, int]] = {}
    for event, _ in events(kafka, ORDERS_SUBMITTED.of(broker).name):
        if event.data.account in names:
            left[event.data.order_id] = (event, event.data.quantity)
    for event, _ in events(kafka, ORDERS_FILLED.of(broker).name):
        if event.data.order_id in left:
            submitted, quantity = left[event.data.order_id]
            left[event.data.order_id] = (submitted, quantity - event.data.quantity)
    ended = {event.data.order_id for event, _ in events(kafka, ORDERS_FAILED.of(broker).name)}
    topic = ORDERS_FAILED.of(broker).name
    return [_failed(topic, *each) for order, each in left.items() if order not in ended and each[1] > 0]


def _failed(topic: str, submitted: Event, remaining: int) -> Writable:
    order: OrderSubmitted = submitted.data
    time = nanoseconds(submitted.timestamp)
    failed = OrderFailed(
        order.order_id, order.account, order.strategy, order.instrument_token, "cancelled", remaining
    )  # fmt: skip
    event = envelope(
        failed, id=event_id(time, order.order_id, "abandoned"), time_ns=time, source=SOURCE, broker=submitted.broker,
        correlation=submitted.correlation_id, cause=submitted.id,
    )  # fmt: skip
    key = f"{order.strategy}:{order.instrument_token}:{time // 1000}".encode()
    return topic, key, encode(event), None


def read_on(journal: Journal, snapshot: Snapshot, made: Parts, end: int, moved: Positions) -> Inputs:
    """Inputs of these steps that have read what the journal says, nothing of it decided."""
    reader = run_reader(journal, snapshot)
    try:
        held = [record for run in snapshot.held for record in reader.take(*run)]
        inputs = inputs_at(snapshot, journal.key, journal.broker, made, held)
        topics: Iterable[str] = snapshot.topics
        for _, line in journal.behind(snapshot, end):
            if isinstance(line, Start):
                topics = line.topics
            elif isinstance(line, Opening):
                inputs = inputs_at(unpacked(line), journal.key, journal.broker, made, inputs.order.waiting)
            elif isinstance(line, Entry):
                for batch in line.batches:
                    records = [record for run in named(batch, list(topics)) for record in reader.take(*run)]
                    inputs.receive(records, partial(bool, batch.given_up))
    finally:
        reader.close()
    inputs.positions |= moved
    return inputs
