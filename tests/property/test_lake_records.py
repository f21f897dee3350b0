"""What is archived comes back from the lake to the byte, whoever wrote it."""

import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kafka.records import Record
from connectors.lake.archive import Archive
from connectors.lake.records import LakeRecords
from connectors.lake.rows import EXACT
from functions.codec import encode
from functions.events import Depth
from functions.topics import MARKET_TICKS
from tests.effort import examples
from tests.history import filled, signal, tick

TICKS, FILLED, LETTERS = MARKET_TICKS.name, "paper.orders.filled", "market.ticks.dlq"


def kept_and_taken(records: list[Record], *, joined: bool = False) -> list[Record]:
    """The records of one partition by way of a lake; `joined`: of files of three, made one."""
    parts = [records[n : n + 3] for n in range(0, len(records), 3)] if joined else [records]
    with tempfile.TemporaryDirectory() as directory:
        for part in parts:
            archive = Archive(directory, [TICKS, FILLED, LETTERS])
            archive.open()
            archive.add(part)
            archive.flush()
            if joined:
                for date in {p.name[5:] for p in Path(directory, records[0].topic).glob("date=*")}:
                    archive.compact(records[0].topic, date)
            archive.close()
        lake = LakeRecords(directory)
        try:
            return lake.take(records[0].topic, 0, 0, len(records) - 1)
        finally:
            lake.close()


def laid(topic: str, *values: bytes | None, key: Any = b"738561", headers: Any = None) -> list[Record]:
    return [Record(topic, 0, offset, key, value, headers) for offset, value in enumerate(values)]


OURS = encode(tick(100.05, 1.0, sequence=7))
DEEP = msgspec.structs.replace(
    tick(100.05, 2.0), data=msgspec.structs.replace(tick(100.05, 2.0).data, depth=Depth([(100.0, 1, 2)] * 5, []))
)  # fmt: skip


def otherwise(change: Callable[[dict[str, Any]], Any]) -> bytes:
    event = json.loads(OURS)
    changed = change(event)
    return json.dumps(event if changed is None else changed, separators=(",", ":")).encode()


FOREIGN = {
    "ours": OURS,
    "ours, with depth": encode(DEEP),
    "spaces": json.dumps(json.loads(OURS)).encode(),
    "another order of fields": otherwise(lambda e: dict(reversed(e.items()))),
    "another order in data": otherwise(lambda e: {**e, "data": dict(reversed(e["data"].items()))}),
    "more fields": otherwise(lambda e: e.update(extra={"a": [1, None]})),
    "more fields in data": otherwise(lambda e: e["data"].update(vwap=1.5)),
    "fewer fields": otherwise(lambda e: e["data"].pop("oi")),
    "escapes": OURS.replace(b"feed", b"f\\u0065ed"),
    "a name beyond ASCII": otherwise(lambda e: e.update(source="flux de données")),
    "the same, unescaped": OURS.replace(b'"feed"', '"flux de données 📈"'.encode()),
    "quotes and backslashes": otherwise(lambda e: e.update(source='a"b\\c\n')),
    "an id that is none": otherwise(lambda e: e.update(id="42")),
    "an id with a zero character": otherwise(lambda e: e.update(id="a\x00b")),
    "another correlation": otherwise(lambda e: e.update(correlation_id="x")),
    "a cause": otherwise(lambda e: e.update(causation_id="x")),
    "another time in the envelope": otherwise(lambda e: e.update(timestamp="2026-05-06T10:00:01+05:30")),
    "a time that is none": otherwise(lambda e: e.update(timestamp="soon")),
    "a price as a whole number": otherwise(lambda e: e["data"].update(last_price=100)),
    "a price with zeros": OURS.replace(b"100.05,", b"100.0500,", 1),
    "a price with an exponent": OURS.replace(b"100.05,", b"1.0005e2,", 1),
    "a price beyond all": OURS.replace(b"100.05,", b"1e999,", 1),
    "minus nothing": OURS.replace(b"100.05,", b"-0.0,", 1),
    "a number beyond 64 bits": otherwise(lambda e: e["data"].update(oi=2**70)),
    "a price of null": otherwise(lambda e: e["data"].update(last_price=None)),
    "depth that is none": otherwise(lambda e: e["data"].update(depth="deep")),
    "depth of null, twice": OURS.replace(b'"depth":null', b'"depth":{},"depth":null'),
    "an id twice": OURS.replace(b'{"id"', b'{"id":"x","id"'),
    "another version": otherwise(lambda e: e.update(version=99)),
    "another type": otherwise(lambda e: e.update(type="market_clock")),
    "a broker of null": otherwise(lambda e: e.update(broker=None)),
    "a list": b"[]", "nothing": b"", "no value": None, "half": OURS[:40], "two": OURS + OURS,
    "a space behind": OURS + b" ", "bytes": b"\xff\xfe\x00{", "a byte within": OURS.replace(b"feed", b"f\xffed"),
    "half a pair": OURS.replace(b"feed", b"\\ud83d"), "a zero character": OURS.replace(b"feed", b"\\u0000"),
    "deep": b'{"a":' * 3_000, "deep within": OURS[:-1] + b',"a":' + b"[" * 3_000,
    "with a mark": b"\xef\xbb\xbf" + OURS, "in UTF-16": OURS.decode().encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize(("topic", "joined"), [(TICKS, False), (TICKS, True), (LETTERS, False)])
def test_every_tick_comes_back_as_it_was_written(topic: str, joined: bool):
    records = laid(topic, *FOREIGN.values())

    taken = kept_and_taken(records, joined=joined)

    assert {name: record.value for name, record in zip(FOREIGN, taken, strict=True)} == FOREIGN
    assert taken == records


SOURCES = ["pipeline", "données", 'a"b', "a\\b", "\\xFF", "\x00", "a\nb", "📈", "\u2028", "a\x7fb"]


def test_every_event_comes_back_as_it_was_written():
    events = [encode(msgspec.structs.replace(filled(), source=source)) for source in SOURCES]
    escaped = [json.dumps(json.loads(event)).encode() for event in events]

    records = laid(FILLED, *events, *escaped, b"\xff", None, b"", encode(signal()))

    assert kept_and_taken(records) == records


PLAIN = [("topic", b"market.ticks"), ("step", b"gate")]
KEYS = [None, b"", b"738561", "schlüssel".encode(), b"\xff\x00", b"\\xff", b"a\nb"]
HEADERS: list[Any] = [
    None, PLAIN, [("step", b"\xff")], [("step", b"a"), ("step", b"b")], [("step", None)], [("step", b"")], [("", b"")],
    [("step", b"\\xff")], [(EXACT, b"mine")], [(EXACT, b"mine"), ("ü", "ö".encode())], PLAIN[::-1],
]  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "value"), [(TICKS, OURS), (TICKS, b"{"), (LETTERS, OURS), (FILLED, encode(filled()))]
)
def test_key_and_headers_come_back_as_they_were(topic: str, value: bytes):
    records = [
        Record(topic, 0, n, key, value, headers) for n, (key, headers) in enumerate(itertools.product(KEYS, HEADERS))
    ]

    assert kept_and_taken(records) == records


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(
    topic=st.sampled_from([TICKS, FILLED, LETTERS]),
    changes=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(list(json.loads(OURS))), _json),
            st.tuples(st.sampled_from(list(json.loads(OURS)["data"])), _json),
            st.integers(0, len(OURS) - 1).flatmap(lambda at: st.tuples(st.just(at), st.binary(max_size=3))),
        ),
        min_size=1, max_size=6,
    ),
    key=st.none() | st.binary(max_size=8),
    headers=st.none() | st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), min_size=1, max_size=3),
)  # fmt: skip
@settings(deadline=None, max_examples=examples(25))
def test_whatever_is_written_comes_back(topic: str, changes: list[tuple[Any, Any]], key: bytes | None, headers: Any):
    values: list[bytes] = []
    for where, what in changes:
        if isinstance(where, int):
            values.append(OURS[:where] + what + OURS[where + len(what) :])
        else:
            event = json.loads(OURS)
            (event if where in event else event["data"])[where] = what
            values.append(json.dumps(event, ensure_ascii=bool(len(values) % 2)).encode(errors="surrogatepass"))

    records = laid(topic, *values, key=key, headers=headers)

    assert kept_and_taken(records) == records
