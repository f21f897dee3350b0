"""Every connector of a deployment, with its whole configuration.

`outbox.json` is Debezium's: it publishes the config store's outbox. `report.json` is that of a JDBC sink, used once for
each report of each broker; `{b}` in it is the broker, `{B}` its name in capitals. Topics come from `functions/topics.py`
and the schema of a report's events from `functions/events.py`: nothing about an event is written twice.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from connectors.errors import ConfigError
from functions.events import Payload
from functions.topics import ORDERS_FILLED, PNL_SNAPSHOTS, Topic
from functions.versions import payloads_of

HERE: Final = Path(__file__).parent
PREFIX: Final = "panda-"  # of the names of all connectors that are ours
OUTBOX: Final = f"{PREFIX}outbox"
SLOT: Final = "panda_outbox"

Configuration = dict[str, str]

_KINDS: Final[dict[Any, str]] = {str: "string", int: "int64", float: "double", bool: "boolean"}
_OF_THE_ENVELOPE: Final = ("id", "timestamp")

# Connect's converter makes 0 of text in a plain `int64`, and 10 of 10.5; of this type alone it refuses what is no whole
# number. A transformation of each such field then makes a plain number of the moment that it is taken for.
_CHECKED: Final = {"int64": {"name": "org.apache.kafka.connect.data.Timestamp", "version": 1}}
_UNCHECKED: Final = frozenset({"double", "boolean"})
_AS_NUMBER: Final = {
    "type": "org.apache.kafka.connect.transforms.TimestampConverter$Value", "target.type": "unix",
    "unix.precision": "milliseconds",
}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """One topic as a table: `table` lies in the broker's schema, see the migration that makes it."""

    name: str
    topic: Topic
    table: str


REPORTS: Final = (Report("fills", ORDERS_FILLED, "fills"), Report("pnl", PNL_SNAPSHOTS, "pnl_snapshots"))


def columns(payload: type[Payload]) -> dict[str, tuple[str, bool]]:
    """The fields of an event that a table can hold: name → (Connect's type, optional). Lists and parts stay out.

    >>> from functions.events import SystemAlert
    >>> columns(SystemAlert)["code"]
    ('string', False)
    """
    found = {}
    for name, hint in get_type_hints(payload).items():
        kind, optional = _kind(hint)
        if kind is not None:
            found[name] = (kind, optional)
    return found


def columns_of(event: str) -> dict[str, tuple[str, bool]]:
    """The columns of a report: the fields of every version of its event, so that a record of any of them is written whole.

    What not every version has may be null. Raises: `ConfigError` where a name has two types, or one that Connect misreads.
    """
    versions = [columns(payload) for payload in payloads_of(event)]
    found: dict[str, tuple[str, bool]] = {}
    for name in dict.fromkeys(name for fields in reversed(versions) for name in fields):
        mine = [fields[name] for fields in versions if name in fields]
        kinds = {kind for kind, _ in mine}
        if len(kinds) > 1:
            raise ConfigError(
                f"field {name} of {event} is {' and '.join(sorted(kinds))} in its versions, a report has one column for it",
                remedy="give the field of the newer version another name",
            )
        if kinds & _UNCHECKED:
            raise ConfigError(
                f"field {name} of {event} is {kinds.pop()}, of which Connect makes 0 or false where a record has text",
                remedy="let a report have text and whole numbers alone",
            )
        found[name] = (kinds.pop(), len(mine) < len(versions) or any(optional for _, optional in mine))
    return found


def _kind(hint: Any) -> tuple[str | None, bool]:
    """Connect's type of a field, None where it has no simple one, and whether it may be null."""
    optional = False
    if get_origin(hint) in (Union, UnionType):
        some = [one for one in get_args(hint) if one is not type(None)]
        if len(some) != 1:
            return None, False
        hint, optional = some[0], True
    if get_origin(hint) is Literal:
        hint = type(get_args(hint)[0])
    return _KINDS.get(hint), optional


def schema_content(name: str) -> str:
    """The schema by which Connect reads plain JSON events of this type, of any version; what it does not name is not read."""
    data = [
        {"field": f, "type": kind, "optional": optional} | _CHECKED.get(kind, {})
        for f, (kind, optional) in columns_of(name).items()
    ]
    envelope: list[dict[str, Any]] = [
        {"field": field, "type": "string", "optional": False} for field in _OF_THE_ENVELOPE
    ]
    part = {"field": "data", "type": "struct", "optional": False, "fields": data}
    whole = {"type": "struct", "name": name, "optional": False, "fields": [*envelope, part]}
    return json.dumps(whole, separators=(",", ":"))


def report(of: Report, broker: str) -> Configuration:
    """The sink of one report of one broker."""
    topic = of.topic.of(broker)
    (event,) = topic.payloads
    fixed, numbers = _read("report.json", broker), [f for f, (kind, _) in columns_of(event).items() if kind in _CHECKED]
    return fixed | {
        "transforms": ",".join((fixed["transforms"], *numbers)),
        **{f"transforms.{f}.{name}": value for f in numbers for name, value in (_AS_NUMBER | {"field": f}).items()},
        "topics": topic.name,
        "collection.name.format": f"{broker}.{of.table}",
        "value.converter.schema.content": schema_content(event),
        "transforms.names.renames": ",".join(f"data_{field}:{field}" for field in columns_of(event)),
        "errors.deadletterqueue.topic.name": topic.dead_letters.name,
    }


def declared(brokers: Sequence[str]) -> dict[str, Configuration]:
    """Name → configuration of every connector of a deployment with these brokers.

    >>> list(declared(["paper"]))
    ['panda-outbox', 'panda-paper-fills', 'panda-paper-pnl']
    """
    reports = {f"{PREFIX}{broker}-{of.name}": report(of, broker) for broker in brokers for of in REPORTS}
    return {OUTBOX: _read("outbox.json"), **reports}


def _read(file: str, broker: str = "") -> Configuration:
    text = (HERE / file).read_text(encoding="utf-8")
    try:
        found = json.loads(text.replace("{b}", broker).replace("{B}", broker.upper()))
    except ValueError as error:
        raise ConfigError(f"deploy/connect/{file} is no JSON: {error}", remedy="correct it, or restore it") from error
    return {name: str(value) for name, value in found.items()}
