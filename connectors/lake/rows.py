"""Rows: what a record of the log is in the lake, by column.

A tick has the columns of a tick, any other record those of an event. A record that is no event is kept as its bytes, and so
is a tick that is not to the byte what our feed makes of those columns: what was archived can be given back as it was.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np

from connectors.kafka.records import Headers, Record
from functions.codec import UNREADABLE, current, decode_head
from functions.events import Quote
from functions.timestamps import timestamp
from functions.topics import MARKET_TICKS
from functions.versions import version_of

DEAD_LETTERS: Final = ".dlq"

_INDIA_US: Final = 19_800_000_000
_DAY_US: Final = 86_400_000_000
_EARLIEST, _LATEST = 946_684_800_000_000, 4_102_444_800_000_000  # 2000 and 2100: beyond them a time is none
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND: Final = timedelta(microseconds=1)

_WHERE: Final = {"topic": "VARCHAR", "partition": "INTEGER", "offset": "BIGINT", "key": "VARCHAR"}
EVENT_COLUMNS: Final = {
    **_WHERE, "id": "VARCHAR", "type": "VARCHAR", "timestamp": "TIMESTAMP", "correlation_id": "VARCHAR",
    "causation_id": "VARCHAR", "source": "VARCHAR", "version": "INTEGER", "broker": "VARCHAR", "event": "VARCHAR",
    "data": "VARCHAR", "raw": "BLOB", "headers": "VARCHAR",
}  # fmt: skip
TICK_COLUMNS: Final = {
    **_WHERE, "id": "VARCHAR", "timestamp": "TIMESTAMP", "source": "VARCHAR", "broker": "VARCHAR",
    "instrument_token": "BIGINT", "last_price": "DOUBLE", "volume_traded": "BIGINT", "oi": "BIGINT", "bid": "DOUBLE",
    "ask": "DOUBLE", "bid_quantity": "BIGINT", "ask_quantity": "BIGINT", "session": "BIGINT", "sequence": "BIGINT",
    "depth": "VARCHAR", "raw": "BLOB", "headers": "VARCHAR",
}  # fmt: skip
_NUMPY: Final = {"INTEGER": "i8", "BIGINT": "i8", "DOUBLE": "f8", "TIMESTAMP": "datetime64[us]"}
_NOTHING: Final[dict[str, Any]] = {"VARCHAR": "", "BLOB": b""}


EXACT: Final = "panda.exact"  # in `headers`: key and headers as they were, where text and a name each cannot hold them

_TICK_VERSION: Final = version_of("market_tick")
_OF_COLUMNS: Final = 1  # the version of a tick without `raw`, now and later: newer ones are kept as their bytes as well


class _TickData(Quote, frozen=True):
    depth: msgspec.Raw = msgspec.Raw(b"null")
    bar: msgspec.Raw = msgspec.Raw(b"null")


class _Tick(msgspec.Struct, gc=False):
    id: str
    type: str
    source: str
    broker: str
    version: Annotated[int, msgspec.Meta(ge=_TICK_VERSION, le=_TICK_VERSION)]
    data: _TickData


_NO_DEPTH: Final = msgspec.Raw(b"null")


class _TickOfColumns(Quote, frozen=True):
    depth: msgspec.Raw = _NO_DEPTH


_decode_tick = msgspec.json.Decoder(_Tick).decode
_encode = msgspec.json.Encoder().encode


class Row(NamedTuple):
    """A record and the columns beyond where it lies; `time` is None for what is no event."""

    record: Record
    time: int | None  # microseconds since the epoch
    values: tuple[Any, ...]


def columns_of(topic: str) -> dict[str, str]:
    """Column names and SQL types of a topic's files."""
    return TICK_COLUMNS if topic == MARKET_TICKS.name else EVENT_COLUMNS


def _microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND


def _checked(time: int) -> int:
    if not _EARLIEST <= time < _LATEST:
        raise ValueError(f"{time} µs is no time of an event")
    return time


def _int64(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit 64 bits")
    return value


# --- as they were -----------------------------------------------------------------------------------------------------


def as_our_feed_writes(id: str, source: str, broker: str, depth: str | None, quote: Sequence[Any]) -> bytes:
    """A tick's record as our feed makes it; `quote` are the fields of a `Quote` in their order.

    Strings go in as they are: where JSON would write them otherwise, this is not what was read.
    """
    data = _encode(_TickOfColumns(*quote, depth=_NO_DEPTH if depth is None else msgspec.Raw(depth.encode())))
    head = (
        f'{{"id":"{id}","type":"market_tick","timestamp":"{timestamp(quote[2] * 1000)}","correlation_id":"{id}",'
        f'"causation_id":null,"source":"{source}","version":{_OF_COLUMNS},"broker":"{broker}","data":'
    )
    return head.encode(errors="replace") + data + b"}"


def _headers(record: Record) -> str | None:
    """As an object of texts; what that cannot hold of key and headers stands beside it as bytes."""
    if not record.headers and (record.key is None or record.key.isascii()):
        return None
    headers = record.headers or []
    told = {name: (value or b"").decode(errors="backslashreplace") for name, value in headers}
    if EXACT in told or (record.key, list(headers)) != _of_text(_key(record), told):
        kept = msgspec.msgpack.encode((record.key, [(name, value) for name, value in headers]))
        told[EXACT] = base64.b64encode(kept).decode()
    return json.dumps(told) if told else None


def _key(record: Record) -> str | None:
    return None if record.key is None else record.key.decode(errors="backslashreplace")


def _of_text(key: str | None, told: Mapping[str, str]) -> tuple[bytes | None, Headers]:
    return None if key is None else key.encode(), [(name, text.encode()) for name, text in told.items()]


_decode_exact: Callable[[bytes], Any] = msgspec.msgpack.Decoder(
    tuple[bytes | None, list[tuple[str, bytes | None]]]  # a header may lack its value
).decode


def key_and_headers(key: str | None, headers: str | None) -> tuple[bytes | None, Headers | None]:
    """Of a record, from their columns."""
    told: dict[str, str] = {} if headers is None else json.loads(headers)
    found, named = _decode_exact(base64.b64decode(told[EXACT])) if EXACT in told else _of_text(key, told)
    return found, named or None


# --- rows -------------------------------------------------------------------------------------------------------------


def _event_row(record: Record) -> Row:
    """An event's columns. Of a dead letter the bytes are kept whatever they are."""
    raw = record.value
    dead = record.topic.endswith(DEAD_LETTERS)
    if raw is not None:
        with suppress(*UNREADABLE, ValueError, TypeError, OverflowError):
            head = decode_head(raw)
            time = _checked(_microseconds(head.timestamp))
            text, data = (None, None) if dead else (raw.decode(), bytes(head.data).decode())
            values = (
                head.id, head.type, time, head.correlation_id, head.causation_id, head.source, _int64(head.version),
                head.broker, text, data, raw if dead else None, _headers(record),
            )  # fmt: skip
            return Row(record, time, values)
    return Row(record, None, (*[None] * 10, raw, _headers(record)))


def _read_tick(raw: bytes) -> _Tick:
    """A tick of any version. Raises: `msgspec.DecodeError` for what is none, or was written by a newer version."""
    try:
        return _decode_tick(raw)
    except msgspec.ValidationError:
        return _decode_tick(current(raw))


def _tick_row(record: Record) -> Row:
    raw = record.value
    with suppress(*UNREADABLE, ValueError):
        event = _read_tick(raw or b"")
        t = event.data
        time = _checked(t.exchange_timestamp)
        numbers = [_int64(n) for n in (t.volume_traded, t.oi, t.bid_quantity, t.ask_quantity, t.session, t.sequence)]
        volume, interest, bid_quantity, ask_quantity, session, sequence = numbers
        depth = None if bytes(t.depth) == b"null" else bytes(t.depth).decode()
        rest = (volume, interest, t.bid, t.ask, bid_quantity, ask_quantity, session, sequence)
        quote = (_int64(t.instrument_token), t.last_price, time, *rest)
        ours = raw == as_our_feed_writes(event.id, event.source, event.broker, depth, quote)
        values = (
            event.id, time, event.source, event.broker, *quote[:2], *rest, depth, None if ours else raw, _headers(record),
        )  # fmt: skip
        return Row(record, time, values)
    return Row(record, None, (*[None] * 15, raw, _headers(record)))


def rows_of(records: Sequence[Record]) -> list[Row]:
    """Records of one topic as rows."""
    make = _tick_row if records and records[0].topic == MARKET_TICKS.name else _event_row
    return [make(record) for record in records]


def date_of(time: int) -> str:
    """The date in India of a time in microseconds since the epoch.

    >>> date_of(1_778_005_799_999_999), date_of(1_778_005_800_000_000)
    ('2026-05-05', '2026-05-06')
    """
    return str(np.datetime64((time + _INDIA_US) // _DAY_US, "D"))


def _column(kind: str, values: list[Any]) -> Any:
    """A masked NumPy array: DuckDB looks at a sample of the values for a type, so even a missing text is text."""
    missing = [value is None for value in values]
    nothing = _NOTHING.get(kind, 0)
    filled = [nothing if value is None else value for value in values]
    if kind in _NUMPY:
        return np.ma.array(np.array(filled, _NUMPY[kind]), mask=missing)
    array = np.empty(len(filled), object)
    array[:] = filled
    return np.ma.array(array, mask=missing)


def columns(topic: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The columns of a file; a masked value is NULL."""
    places = [(r.topic, r.partition, r.offset, _key(r)) for r in (row.record for row in rows)]
    table = [(*place, *row.values) for place, row in zip(places, rows, strict=True)]
    kinds = columns_of(topic)
    return {
        name: _column(kind, [line[n] for line in table]) for n, (name, kind) in enumerate(kinds.items())
    }  # fmt: skip
