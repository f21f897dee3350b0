"""Ticks as others than our feed write them: other bytes, the same or no values."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from connectors.kafka.records import Outgoing

WAYS: tuple[Callable[[bytes], bytes], ...] = (
    lambda raw: json.dumps(json.loads(raw)).encode(),  # spaces
    lambda raw: _changed(raw, lambda e: {**dict(reversed(e.items())), "data": dict(reversed(e["data"].items()))}),
    lambda raw: _changed(raw, lambda e: {**e, "vendor": {"name": "données"}, "data": {**e["data"], "vwap": 1.5}}),
    lambda raw: raw.replace(b'"feed"', b'"f\\u0065ed"'),
    lambda raw: _changed(raw, lambda e: {**e, "id": "42"}),  # refused: no id
    lambda raw: _changed(raw, lambda e: {**e, "data": {**e["data"], "last_price": -1.0}}),  # refused: no price
    lambda raw: _changed(raw, lambda e: {**e, "data": {**e["data"], "oi": None}}),  # refused: no number
    lambda raw: b"\xff" + raw, lambda raw: b"{}", lambda raw: raw[:-1],
)  # fmt: skip


def _changed(raw: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    return json.dumps(change(json.loads(raw)), separators=(",", ":"), ensure_ascii=False).encode()


def partly_foreign(events: Sequence[Outgoing], topic: str, every: int = 7) -> list[Outgoing]:
    """The same events, of which every so many of a topic are written in another way, one after the other."""
    written, ticks = [], 0
    for event in events:
        ticks += event.topic == topic
        if event.topic == topic and ticks % every == 0:
            event = event._replace(value=WAYS[ticks // every % len(WAYS)](event.value or b""))  # noqa: PLW2901
        written.append(event)
    return written
