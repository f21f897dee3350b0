"""Which Redis writes an event calls for, without Redis."""

import itertools
import json
from typing import Any

from functions.blotter import Keys, needs, reduce
from tests.history import (
    TOKEN,
    ack,
    alert,
    clock,
    failed,
    filled,
    pairs,
    placed,
    rejected,
    signal,
    snapshot,
    submitted,
    validated,
)  # fmt: skip

KEYS = Keys("paper")


class Tables:
    """What the writes come to: a dictionary of hashes and lists of stream entries."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[str, str]] = {}
        self.streams: dict[str, list[Any]] = {}
        self.published: list[Any] = []
        self.commands: list[tuple[str, str]] = []

    def take(self, *events: Any, surplus: Any = None) -> "Tables":
        """One batch."""
        for write in reduce("paper", pairs(*events), self.hashes, surplus):
            self.commands.append((write.command, write.key))
            values = [v.decode() if isinstance(v, bytes) else v for v in write.arguments]
            if write.command == "HSET":
                self.hashes.setdefault(write.key, {}).update(zip(values[::2], map(str, values[1::2]), strict=True))
            elif write.command == "XADD":
                self.streams.setdefault(write.key, []).append(json.loads(values[-1]))
            elif write.command == "PUBLISH":
                self.published.append(json.loads(values[0]))
        return self

    def one_by_one(self, *events: Any) -> "Tables":
        for event in events:
            self.take(event)
        return self

    def row(self, key: str, field: str) -> Any:
        return json.loads(self.hashes[key][field])

    def order(self, order: str = "o1") -> Any:
        return self.row(KEYS.orders("a"), order)

    def position(self) -> Any:
        return self.row(KEYS.positions("a"), f"momentum:{TOKEN}")


def test_an_order_is_submitted_acknowledged_placed_partially_filled_and_filled():
    tables, seen = Tables(), []
    for event in (
        submitted(), ack(), placed(), filled(quantity=4, left=6), filled(quantity=6, price="101.00", left=0, at=0.4),
    ):  # fmt: skip
        tables.take(event)
        seen.append(tables.order()["status"])

    assert seen == ["submitted", "acknowledged", "placed", "partially_filled", "filled"]
    assert {
        name: tables.order()[name]
        for name in ("quantity", "filled_quantity", "remaining", "average_price", "charges", "filled_value")
    } == {
        "quantity": 10, "filled_quantity": 10, "remaining": 0, "average_price": "100.60", "charges": "3.00",
        "filled_value": "1006.00",
    }  # fmt: skip


def test_an_order_is_the_same_in_whatever_order_its_five_topics_are_read():
    events = [submitted(), ack(), placed(), filled(quantity=4, left=6), failed(left=6)]
    expected = Tables().one_by_one(*events).order()

    for shuffled in itertools.permutations(events):
        assert Tables().one_by_one(*shuffled).order() == expected
    assert expected["status"] == "failed"
    assert (expected["reason"], expected["filled_quantity"], expected["remaining"]) == ("cancelled", 4, 6)


def test_a_batch_and_its_events_one_by_one_leave_the_same_tables():
    events = [
        signal(), validated(), submitted(), ack(), placed(), filled(quantity=4, left=6, at=0.3),
        filled(quantity=6, left=0, position=10, at=0.4), snapshot(1.0, positions=((TOKEN, 10, "100.00", "101.00"),)),
        signal("g2"), rejected("g2"), alert(),
    ]  # fmt: skip

    together, apart = Tables().take(*events), Tables().one_by_one(*events)

    assert together.hashes == apart.hashes
    assert together.streams == apart.streams
    assert together.published == apart.published


def test_a_row_that_changed_often_in_a_batch_is_written_once():
    tables = Tables().take(submitted(), ack(), placed(), filled(quantity=4, left=6), filled(quantity=6, left=0, at=0.4))

    assert tables.commands.count(("HSET", KEYS.orders("a"))) == 1


def test_counters_count_signals_rejections_orders_and_fills_of_a_strategy():
    tables = Tables().take(signal("g1"), signal("g2"), rejected("g2"), submitted(), filled(quantity=4, left=6))

    row = tables.row(KEYS.strategies, "momentum")

    assert [row[name] for name in ("signals", "rejected", "orders", "fills")] == [2, 1, 1, 1]


def test_a_strategy_is_worth_what_its_accounts_last_snapshots_add_up_to():
    tables = Tables().one_by_one(
        snapshot(1.0, account="a", realised="10.00", charges="1.00"),
        snapshot(1.0, account="b", realised="-4.50", charges="0.25"),
        snapshot(2.0, account="a", realised="12.00", unrealised="3.00", charges="2.00"),
    )

    row = tables.row(KEYS.strategies, "momentum")

    assert [row[name] for name in ("realised", "unrealised", "charges", "net_pnl")] == ["7.50", "3.00", "2.25", "8.25"]


def test_a_fill_says_what_is_held_after_it():
    tables = Tables().take(filled(quantity=10, price="100.00"))

    assert (tables.position()["quantity"], tables.position()["average_price"]) == (10, "100.00")
    assert tables.position()["tradingsymbol"] == "RELIANCE"


def test_an_older_fill_that_is_read_later_does_not_bring_a_position_back():
    tables = Tables().one_by_one(
        filled("o2", side="SELL", position=0, average="0.00", at=5.0), filled("o1", position=10, at=4.0)
    )

    assert tables.position()["quantity"] == 0


def test_of_two_fills_at_one_instant_the_one_that_begins_where_the_other_ends_is_the_younger():
    first = filled("o1", quantity=10, position=10, at=5.0)
    second = filled("o2", quantity=5, position=15, at=5.0)

    assert Tables().one_by_one(first, second).position()["quantity"] == 15
    assert Tables().one_by_one(second, first).position()["quantity"] == 15


def test_a_position_that_a_snapshot_does_not_list_is_flat():
    tables = Tables().one_by_one(filled(at=0.3), snapshot(1.0, positions=()))

    assert (tables.position()["quantity"], tables.position()["unrealised"]) == (0, "0.00")


def test_a_snapshot_marks_a_position_and_keeps_its_symbol():
    tables = Tables().one_by_one(filled(at=0.3), snapshot(1.0, positions=((TOKEN, 10, "100.00", "101.50"),)))

    position = tables.position()

    assert (position["last_price"], position["unrealised"], position["tradingsymbol"]) == (
        "101.50",
        "15.00",
        "RELIANCE",
    )


def test_a_fill_at_the_very_boundary_is_younger_than_the_snapshot_of_that_boundary():
    boundary = snapshot(1.0, positions=())
    fill = filled(quantity=10, at=1.0)

    assert Tables().one_by_one(boundary, fill).position()["quantity"] == 10
    assert Tables().one_by_one(fill, boundary).position()["quantity"] == 10


def test_an_older_snapshot_does_not_overwrite_an_account():
    tables = Tables().one_by_one(snapshot(2.0, cash="2.00"), snapshot(1.0, cash="1.00"))

    assert tables.hashes[KEYS.account("a")]["cash"] == "2.00"
    assert tables.hashes[KEYS.account("a")]["timestamp"] == "2026-05-06T04:30:02.000000Z"


def test_streams_hold_the_whole_events_in_order_and_the_channel_tells_each():
    tables = Tables().take(
        signal(), validated(), rejected(), submitted(), filled(at=0.3), snapshot(1.0), alert(), clock(1.0)
    )

    assert {stream: [event["type"] for event in events] for stream, events in tables.streams.items()} == {
        "paper:signals:-": ["trading_signal"], "paper:signals:a": ["signal_validated"],
        "paper:rejections:a": ["signal_rejected"], "paper:fills:a": ["order_filled"], "paper:pnl:a": ["pnl_snapshot"],
        "paper:alerts": ["system_alert"],
    }  # fmt: skip
    assert [event["type"] for event in tables.published] == [
        "trading_signal", "signal_validated", "signal_rejected", "order_submitted", "order_filled", "pnl_snapshot",
        "system_alert",
    ]  # fmt: skip


def test_closed_orders_beyond_the_limit_leave():
    writes = reduce("paper", pairs(submitted()), {}, {"a": ["old"]})

    assert [w for w in writes if w.command in ("HDEL", "ZREM")] == [
        ("HDEL", KEYS.orders("a"), ("old",)), ("ZREM", KEYS.closed_orders("a"), ("old",)),
    ]  # fmt: skip


def test_what_must_be_known_before_is_the_rows_that_the_events_touch():
    wanted = needs(
        event.data for event, _ in pairs(submitted("o1"), filled("o2"), snapshot(1.0, account="b"), clock(1.0))
    )

    assert wanted == ({"a": {"o1", "o2"}}, {"a", "b"}, {"momentum"})
