"""Codec: events from and to their JSON bytes. Events of earlier versions are read as today's (`functions.versions`)."""

from typing import Any, Final

import msgspec

from functions.events import PAYLOADS, TYPE_NAMES, EventEnvelope, Head, P, Payload
from functions.timestamps import timestamp
from functions.versions import brought_up, payloads_of, version_of

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what msgspec raises on bytes of others


class NewerVersion(msgspec.ValidationError):
    """An event that a newer version of this code has written: nothing of it is guessed."""


decode_head = msgspec.json.Decoder(Head).decode
_decode_data = {name: [msgspec.json.Decoder(payload).decode for payload in payloads_of(name)] for name in PAYLOADS}
_VERSIONS: Final = {payload: version_of(name) for payload, name in TYPE_NAMES.items()}
encode = msgspec.json.Encoder().encode


def decode(raw: bytes) -> EventEnvelope[Any]:
    """An event of any type and version from its JSON bytes, as one of today's version.

    Raises: `msgspec.DecodeError` (with the path of the fault) for anything that is no known event; of these `NewerVersion` for
    one that a newer version wrote.
    """
    try:
        return _decoded(raw)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(f"{type(error).__name__}: {error}") from error


def _decoded(raw: bytes) -> EventEnvelope[Any]:
    head = decode_head(raw)
    data = decode_payload(head.type, head.version, head.data)
    return EventEnvelope(
        head.id, head.type, head.timestamp, head.correlation_id, head.causation_id,
        head.source, len(_decode_data[head.type]), head.broker, data,
    )  # fmt: skip


def decode_payload(name: str, version: int, raw: bytes | msgspec.Raw) -> Payload:
    """A payload of some version, as one of today's. Raises: as `decode`."""
    decoders = _decode_data.get(name)
    if decoders is None:
        raise msgspec.ValidationError(f"unknown event type {name[:40]!r} - at `$.type`")
    if version > len(decoders):
        raise NewerVersion(
            f"version {version} of {name} was written by a newer version of this program, which reads up to {len(decoders)} "
            "- at `$.version`"
        )
    if version < 1:
        raise msgspec.ValidationError(f"version {version} of {name}, the first is 1 - at `$.version`")
    data = decoders[version - 1](raw)
    return data if version == len(decoders) else brought_up(name, version, data)


def current(raw: bytes) -> bytes:
    """An event's bytes in today's version: these very ones where they are, or where nobody can tell.

    Raises: as `decode`, where they are of another version and cannot be brought up to it.
    """
    try:
        head = decode_head(raw)
    except UNREADABLE:
        return raw
    decoders = _decode_data.get(head.type, ())
    return raw if head.version == len(decoders) or not decoders else encode(decode(raw))


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
    kind = type(data)
    return EventEnvelope(
        id, TYPE_NAMES[kind], timestamp(time_ns), correlation or id, cause, source, _VERSIONS[kind], broker, data
    )
