"""Events that others read: the committed schemas are what we write, and no change breaks a reader unseen."""

import copy
import json

import pytest
import yaml

from connectors.errors import PipelineError
from deploy import contracts
from functions.events import PAYLOADS
from functions.topics import all_topics
from functions.versions import version_of


@pytest.fixture
def schema():
    return contracts.event_schema("order_filled")


def changed(schema, change):
    new = copy.deepcopy(schema)
    change(new["$defs"]["OrderFilled"])
    return new


def test_the_committed_documents_are_what_the_code_says_today():
    assert contracts.differences() == []


def test_every_version_of_every_event_type_has_a_committed_schema():
    committed = {path.name for path in contracts.SCHEMAS.iterdir()}

    assert committed == {f"{name}.v{n}.json" for name in PAYLOADS for n in range(1, version_of(name) + 1)}


def test_a_schema_does_not_break_itself():
    for name in PAYLOADS:
        schema = contracts.event_schema(name)
        assert contracts.breaks(schema, schema) == []


def test_a_new_optional_field_breaks_nobody(schema):
    new = changed(schema, lambda s: s["properties"].update(venue={"type": "string", "default": ""}))

    assert contracts.breaks(schema, new) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s["properties"].pop("price"), ["$.data.price: removed"]),
        (
            lambda s: (s["properties"].update(venue={"type": "string"}), s["required"].append("venue")),
            ["$.data.venue: required, records on the log lack it"],
        ),
        (
            lambda s: s["properties"].update(quantity={"type": "string"}),
            ["$.data.quantity: type was ['integer'], is ['string']"],
        ),
        (
            lambda s: s["required"].remove("price"),
            ["$.data.price: no longer required, readers count on it"],
        ),
        (
            lambda s: s["properties"]["side"]["enum"].append("SHORT"),
            ["$.data.side: readers do not know ['SHORT']"],
        ),
        (
            lambda s: s["properties"]["side"]["enum"].remove("BUY"),
            ["$.data.side: ['BUY'] is on the log and no longer known"],
        ),
        (
            lambda s: s["properties"]["price"].pop("pattern"),
            [r"$.data.price: pattern was ^-?[0-9]{1,12}(?:\.[0-9]{1,6})?$, is None"],
        ),
        (
            lambda s: s["properties"]["tradingsymbol"].update(pattern="^[A-Z]+$"),
            ["$.data.tradingsymbol: pattern was None, is ^[A-Z]+$"],
        ),
    ],
    ids=[
        "removed",
        "newly required",
        "other type",
        "no longer required",
        "wider enumeration",
        "narrower enumeration",
        "wider pattern",
        "narrower pattern",
    ],
)
def test_an_incompatible_change_is_caught(schema, change, expected):
    assert contracts.breaks(schema, changed(schema, change)) == expected


def test_another_version_under_the_same_file_is_caught(schema):
    new = copy.deepcopy(schema)
    new["properties"]["version"]["const"] = 2

    assert contracts.breaks(schema, new) == ["$.version: const was 1, is 2"]


def test_a_change_inside_a_list_is_caught():
    old = contracts.event_schema("pnl_snapshot")
    new = copy.deepcopy(old)
    new["$defs"]["PositionPnl"]["properties"].pop("last_price")

    assert contracts.breaks(old, new) == ["$.data.strategies[].positions[].last_price: removed"]


@pytest.mark.parametrize(
    ("event", "definition", "change", "expected"),
    [
        ("market_tick", "Depth", lambda p: p.pop("buy"), ["$.data.depth.buy: removed"]),
        (
            "market_tick",
            "Depth",
            lambda p: p["buy"]["items"].update(prefixItems=[{"type": "string"}, {"type": "integer"}]),
            ["$.data.depth.buy[][0]: type was ['number'], is ['string']"],
        ),
        (
            "market_tick",
            "Depth",
            lambda p: p["sell"]["items"]["prefixItems"].append({"type": "integer"}),
            ["$.data.depth.sell[]: had 2 places, has 3"],
        ),
        (
            "strategy_configured",
            "StrategyConfig",
            lambda p: p["parameters"].update(additionalProperties={"type": "string"}),
            ["$.data.parameters{}: type was ['boolean', 'integer', 'number', 'string'], is ['string']"],
        ),
        (
            "strategy_configured",
            "StrategyConfig",
            lambda p: p.update(strategy={"enum": ["momentum"]}),
            ["$.data.strategy: was one of all, is one of ['momentum']"],
        ),
        (
            "market_tick",
            "MarketTick",
            lambda p: p.update(last_price={"type": "integer"}),
            ["$.data.last_price: type was ['number'], is ['integer']"],
        ),
        (
            "quality_report",
            "QualityReport",
            lambda p: p.update(instrument_token={"type": "integer"}),
            ["$.data.instrument_token: type was ['integer', 'null'], is ['integer']"],
        ),
    ],
    ids=[
        "optional object",
        "place of a tuple",
        "longer tuple",
        "values of a map",
        "text to words",
        "narrower",
        "no null",
    ],
)
def test_a_change_anywhere_inside_is_caught(event, definition, change, expected):
    old = contracts.event_schema(event)
    new = copy.deepcopy(old)
    change(new["$defs"][definition]["properties"])

    assert contracts.breaks(old, new) == expected


def test_writing_refuses_to_break_a_reader(tmp_path, monkeypatch, schema):
    monkeypatch.setattr(contracts, "SCHEMAS", tmp_path)
    old = changed(schema, lambda s: (s["properties"].update(venue={"type": "string"}), s["required"].append("venue")))
    (tmp_path / "order_filled.v1.json").write_text(json.dumps(old))

    with pytest.raises(PipelineError, match=r"order_filled.v1.json would break its readers: \$.data.venue: removed"):
        contracts.write()


def test_asyncapi_names_every_topic_with_its_partitions_its_messages_and_its_flows():
    document = yaml.safe_load(contracts.ASYNCAPI.read_text())

    assert document["asyncapi"] == "3.0.0"
    channels = {c["address"]: c for c in document["channels"].values()}
    topics = {t.name: t for t in all_topics(("paper", "zerodha"))}
    assert set(channels) == set(topics)
    for name, topic in topics.items():
        assert channels[name]["bindings"]["kafka"]["partitions"] == topic.partitions
        assert set(channels[name]["messages"]) == set(topic.payloads)
    operations = document["operations"]
    assert operations["pipeline_sends_paper_orders_filled"]["action"] == "send"
    assert operations["orders_sends_zerodha_orders_filled"]["action"] == "send"
    assert "pipeline_sends_zerodha_orders_filled" not in operations
    messages = document["components"]["messages"]
    for message in messages.values():
        for version in message["payload"].get("oneOf", [message["payload"]]):
            assert (contracts.ASYNCAPI.parent / version["$ref"]).exists()
