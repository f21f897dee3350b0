"""A process in which every event type has just been raised to its next version; exits with 1 where a reader is blind.

The version before had another name for the first field of the payload. Nothing else of ours is imported before that.
"""

import json
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from functions import versions
from functions.events import PAYLOADS, Payload

EVENTS = Path(__file__).resolve().parents[1] / "events"


def plant(kind: str) -> str:
    """Raises a type; returns the field that was called otherwise."""
    now = PAYLOADS[kind]
    hints = get_type_hints(now, include_extras=True)
    first, *others = now.__struct_fields__
    defaults = dict(zip(now.__struct_fields__[::-1], now.__struct_defaults__[::-1], strict=False))
    fields: list[Any] = [(f"was_{first}", hints[first])]
    fields += [(name, hints[name], defaults[name]) if name in defaults else (name, hints[name]) for name in others]
    name, about = f"{now.__name__}V{versions.version_of(kind)}", {"__doc__": now.__doc__}
    former: Any = msgspec.defstruct(name, fields, bases=(Payload,), namespace=about, frozen=True)

    def upgrade(old: Any) -> Payload:
        return now(getattr(old, f"was_{first}"), **{name: getattr(old, name) for name in others})

    versions.FORMER[kind] = (*versions.FORMER.get(kind, ()), versions.Former(former, upgrade))
    return first


FIRST: dict[str, str] = {}


def records(kind: str) -> tuple[bytes, bytes]:
    """The same event as the version before wrote it, and as it is written now."""
    newest = versions.version_of(kind)
    event = json.loads((EVENTS / f"{kind}.v{newest - 1}.json").read_bytes())
    new = msgspec.json.encode(event | {"version": newest})
    data = {f"was_{name}" if name == FIRST[kind] else name: value for name, value in event["data"].items()}
    return msgspec.json.encode(event | {"data": data}), new


def readings() -> int:
    from tests.readers import READERS, VIEW_OF, by_the_lake, record_of

    both = {kind: [record_of(kind, raw) for raw in records(kind)] for kind in PAYLOADS}
    prepare = (
        "CREATE OR REPLACE MACRO brought_up(type, version, data) AS "
        r"""regexp_replace(data, '^\{"was_([a-z_]+)":', '{"\1":')"""
    )
    archived = [by_the_lake({kind: pair[n] for kind, pair in both.items()}, prepare) for n in (0, 1)]
    assert all(archived[1][kind][0] for kind in VIEW_OF)
    for kind in PAYLOADS:
        assert archived[0][kind] == archived[1][kind], (
            f"the lake of {kind}: {archived[0][kind]} is not {archived[1][kind]}"
        )
    count = 0
    for reader, kinds in READERS.items():
        for kind in kinds:
            old, new = map(reader, both[kind])
            assert old == new, f"{reader.__name__} of {kind}: {old} is not {new}"
            assert old, f"{reader.__name__} of {kind} read nothing"
            count += 1
    return count


def writers() -> None:
    """Everything that writes events writes them in the new version; the tape reads that one."""
    from functions.codec import decode_head
    from functions.numbering import Numbering
    from functions.publication import Publisher
    from functions.stretches import replayed, with_clock
    from tests.desk import Desk, signal_rows, tick, tick_name, tick_rows
    from tests.readers import by_the_tape, record_of
    from tests.tables import CALENDAR

    ticks = [tick(100.0).buy(1), tick(101.0, 0.5).buy(10**9), tick(101.0, 1.1), tick(101.0, 2.2)]
    rows, signals = tick_rows(ticks), signal_rows(ticks)
    shard = Desk().shard
    publisher = Publisher(shard, "paper")
    written = [event[2] for event in publisher.publish(rows, signals, shard.run(rows, signals), tick_name)]
    written.append(publisher.alert(0, "s", "info", "c", "m", "s")[2])
    numbering = Numbering([1], 1)
    fed = [
        event[2] for stretch in with_clock(replayed(rows, rows[:0]), CALENDAR) for event in numbering.events(stretch)
    ]
    heads = [decode_head(raw) for raw in written + fed]
    assert {head.version for head in heads} == {2}, {(head.type, head.version) for head in heads}
    assert {head.type for head in heads} >= {
        "trading_signal", "signal_validated", "signal_rejected", "order_submitted", "order_ack", "order_placed",
        "order_filled", "pnl_snapshot", "system_alert", "market_tick", "market_clock",
    }, {head.type for head in heads}  # fmt: skip
    assert [by_the_tape(record_of("market_tick", raw)) for raw in fed if decode_head(raw).type == "market_tick"]


def states() -> None:
    """A pipeline's state holds configuration: one that the version before left is gone on from."""
    from dataflows import desk as desks
    from dataflows.desk import Configuration, Desk, accounts_of, restored
    from tests.desk import account, instrument, strategy

    now = Desk(Configuration([instrument(1)], [account("a")], [strategy("s")]), "paper")
    state = now.state()
    kept = desks._decode_described(state["desk"])
    assert kept.versions == dict.fromkeys(("instrument_configured", "account_configured", "strategy_configured"), 2)

    def before(kind: str, raw: bytes) -> bytes:
        return raw.replace(f'{{"{FIRST[kind]}":'.encode(), f'{{"was_{FIRST[kind]}":'.encode())

    kinds = {payload: kind for kind, payload in PAYLOADS.items()}
    old = msgspec.structs.replace(
        kept, versions=msgspec.UNSET, instruments=before("instrument_configured", kept.instruments),
        accounts=before("account_configured", kept.accounts), strategies=before("strategy_configured", kept.strategies),
        known=[(topic, key, before(kinds[desks.PAYLOADS_OF[topic]], raw)) for topic, key, raw in kept.known],
    )  # fmt: skip
    assert old != kept
    again = state | {"desk": msgspec.msgpack.encode(old)}
    assert accounts_of(again) == ["a"]
    assert restored(again, "paper").state() == state


def documents() -> None:
    from deploy import contracts

    made = contracts.schema_files()
    assert len(made) == 2 * len(PAYLOADS)
    for kind, first in FIRST.items():
        v1, v2 = (json.loads(made[f"{kind}.v{version}.json"]) for version in (1, 2))
        name = v2["properties"]["data"].get("$ref", "").rpartition("/")[2]
        assert v1["properties"]["data"] == v2["properties"]["data"], "under the name that it had"
        assert (v1["properties"]["version"], v2["properties"]["version"]) == ({"const": 1}, {"const": 2})
        assert f"was_{first}" in v1["$defs"][name]["properties"]
    assert contracts.asyncapi()["components"]["messages"]["command"]["payload"] == {
        "oneOf": [{"$ref": "schemas/command.v2.json"}, {"$ref": "schemas/command.v1.json"}]
    }
    missing = [line for line in contracts.differences() if line.endswith("is missing")]
    assert len(missing) == len(PAYLOADS), "a raised version asks for its schema"


if __name__ == "__main__":
    FIRST.update((kind, plant(kind)) for kind in PAYLOADS)
    writers()
    states()
    documents()
    print(f"{len(FIRST)} types, {readings()} readings")
