"""Everything of ours that reads events, by the types that it reads: what it makes of one record, as values to compare.

Each raises where the record is refused, kept unread or passed over. What holds the record's own bytes is left out.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

import connectors.kafka.configuration as configuration_topics
from analytics.queries import connect, sql
from api.desk import _read as read_by_the_api
from connectors.kafka.feed import Inputs
from connectors.kafka.records import Record
from connectors.lake.archive import Archive
from connectors.lake.records import LakeRecords
from connectors.settings import KafkaSettings
from dataflows import cache, evolving
from dataflows.desk import CONFIG_TOPICS, PAYLOADS_OF
from dataflows.recovery import input_topics
from deploy.connect.declared import REPORTS, columns_of
from deploy.tally import Tally
from functions import blotter
from functions.codec import decode
from functions.events import PAYLOADS
from functions.tape import Tape
from functions.ticks import depth
from functions.topics import CONFIG_INSTRUMENTS, PER_BROKER, SHARED

INDEX_OF: Final = {738561: 0, 1270529: 1}
TOPIC_OF: Final = {payload: topic.of("paper").name for topic in SHARED + PER_BROKER for payload in topic.payloads}
VIEW_OF: Final = {
    "market_tick": "ticks", "market_clock": "clocks", "quality_report": "quality", "trading_signal": "signals",
    "signal_validated": "validated", "signal_rejected": "rejections", "order_filled": "fills", "pnl_snapshot": "strategy_pnl",
    "system_alert": "alerts", "command": "commands",
} | {f"order_{stage}": "orders" for stage in ("submitted", "ack", "placed", "failed")}  # fmt: skip
STREAMED: Final = [
    *(f"signal_{answer}" for answer in ("validated", "rejected")), "trading_signal", "order_filled", "pnl_snapshot",
    "system_alert", "quality_report",
]  # fmt: skip


def record_of(kind: str, raw: bytes) -> Record:
    return Record(TOPIC_OF[kind], 0, 0, b"k", raw)


def by_codec(record: Record) -> Any:
    return msgspec.to_builtins(decode(record.value or b""))


def by_the_pipeline(record: Record) -> Any:
    received = Inputs(input_topics("paper"), INDEX_OF, session=-1).receive([record], lambda: True)
    if received.broken:
        raise ValueError(received.broken[0].message)
    return received.ticks.tolist(), [msgspec.to_builtins(event) for _, event in received.events]


def by_the_paper_venue(record: Record) -> Any:
    found = depth([record.value], 1)
    if not found["bid"].any():
        raise ValueError("no depth")
    return {name: found[name].tolist() for name in found.dtype.names or ()}


def by_the_lake(records: Mapping[str, Record], prepare: str = "") -> dict[str, tuple[Any, Any]]:
    """Of one record of each type, kept in one lake: a row of its view, and what a rebuild gets where the log has it no more.

    `prepare`: SQL that is said before the views are asked.
    """
    with tempfile.TemporaryDirectory() as lake:
        archive = Archive(Path(lake), [record.topic for record in records.values()])
        archive.open()
        archive.add(list(records.values()))
        archive.flush()
        archive.close()
        found = LakeRecords(Path(lake))
        data = {
            kind: decode(found.take(record.topic, 0, 0, 0)[0].value or b"").data for kind, record in records.items()
        }
        found.close()
        with connect(Path(lake)) as connection:
            if prepare:
                connection.execute(prepare)
            rows = {
                kind: sql(connection, f"SELECT * FROM {view} ORDER BY ALL")[1]
                for kind, view in VIEW_OF.items()
                if kind in records
            }
    return {kind: (rows.get(kind), msgspec.to_builtins(data[kind])) for kind in records}


def by_the_cache(record: Record) -> Any:
    batch = cache.Decoder("paper")([record])
    if batch.dead:
        raise ValueError(batch.dead[0])
    events = [(event, raw) for _, event, raw in batch.taken if event is not None]
    writes = blotter.reduce("paper", events, {})
    rows = [
        write for write in writes if not any(isinstance(each, bytes) and b'"data":' in each for each in write.arguments)
    ]
    return rows, [write.command for write in writes]


def by_the_api(record: Record) -> Any:
    return read_by_the_api((record.value or b"").decode())


def by_the_tally(record: Record) -> Any:
    tally = Tally("paper")
    tally.add(record)
    return tally.as_json(), tally.rejections, tally.market_time


def by_a_rebuild_from_fills(record: Record) -> Any:
    there, evolving.fetch_all = evolving.fetch_all, lambda kafka, topics: iter([record])
    try:
        return [msgspec.to_builtins(event) for event, _ in evolving.events(KafkaSettings(), record.topic)]
    finally:
        evolving.fetch_all = there


def by_a_start(record: Record) -> Any:
    there, configuration_topics.fetch_all = configuration_topics.fetch_all, lambda kafka, topics: iter([record])
    try:
        [found] = configuration_topics.read_configuration_topics(KafkaSettings(), PAYLOADS_OF)
    finally:
        configuration_topics.fetch_all = there
    return msgspec.to_builtins(found.payload)


def by_connect(record: Record) -> Any:
    """What a report's sink would miss: fields that its schema requires."""
    event = json.loads(record.value or b"")
    missing = [
        name for name, (_, optional) in columns_of(event["type"]).items() if not optional and name not in event["data"]
    ]
    if missing:
        raise ValueError(f"Connect requires {missing}")
    return "whole"


def by_the_tape(record: Record) -> Any:
    """Only what our feed writes now: earlier versions are msgspec's to read."""
    read = Tape(INDEX_OF).read([record.value or b""])
    if read.count != 1:
        raise ValueError("not the tape's to read")
    return read.rows.tolist()


READERS: Final[dict[Callable[[Record], Any], list[str]]] = {
    by_codec: list(PAYLOADS),
    by_the_pipeline: [
        "market_tick",
        "market_clock",
        "command",
        *(k for k, t in TOPIC_OF.items() if t in CONFIG_TOPICS),
    ],
    by_the_paper_venue: ["market_tick"],
    by_the_cache: [*STREAMED, "order_submitted", "order_ack", "order_placed", "order_failed"],
    by_the_api: STREAMED,
    by_the_tally: [
        "market_clock",
        "trading_signal",
        "signal_rejected",
        "order_submitted",
        "order_filled",
        "pnl_snapshot",
    ],
    by_a_rebuild_from_fills: ["order_submitted", "order_filled", "order_failed"],
    by_a_start: [kind for kind, topic in TOPIC_OF.items() if topic in CONFIG_TOPICS],
    by_connect: [payload for report in REPORTS for payload in report.topic.payloads],
}

assert TOPIC_OF["instrument_configured"] == CONFIG_INSTRUMENTS.name
