"""Codec: events from and to their JSON bytes."""

from typing import Any, Final

import msgspec

from functions.events import PAYLOADS, TYPE_NAMES, VERSION, EventEnvelope, Head, P
from functions.timestamps import timestamp

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what msgspec raises on bytes of others

decode_head = msgspec.json.Decoder(Head).decode
_decode_data = {name: msgspec.json.Decoder(payload).decode for name, payload in PAYLOADS.items()}
encode = msgspec.json.Encoder().encode


def decode(raw: bytes) -> EventEnvelope[Any]:
    """An event of any type from its JSON bytes.

    Raises: `msgspec.DecodeError` (with the path of the fault) for anything that is not a known event of a known version.
    """
    try:
        return _decoded(raw)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(f"{type(error).__name__}: {error}") from error


def _decoded(raw: bytes) -> EventEnvelope[Any]:
    head = decode_head(raw)
    if head.type not in _decode_data:
        raise msgspec.ValidationError(f"unknown event type {head.type[:40]!r} - at `$.type`")
    if head.version != VERSION:
        raise msgspec.ValidationError(
            f"version {head.version} of {head.type}, this code reads {VERSION} - at `$.version`"
        )
    data = _decode_data[head.type](head.data)
    return EventEnvelope(
        head.id, head.type, head.timestamp, head.correlation_id, head.causation_id,
        head.source, head.version, head.broker, data,
    )  # fmt: skip


def envelope(
    data: P,
    *,
    id: str,
    time_ns: int,
    source: str,
    broker: str,
    correlation: str | None = None,
    cause: str | None = None,
) -> EventEnvelope[P]:
    """The envelope around a payload; the first cause of a chain correlates with itself."""
    return EventEnvelope(
        id, TYPE_NAMES[type(data)], timestamp(time_ns), correlation or id, cause, source, VERSION, broker, data
    )
