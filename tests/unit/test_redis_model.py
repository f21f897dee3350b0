"""Which Redis writes an event calls for, without Redis."""

import itertools

import msgspec

from functions.blotter import needs
from tests.blotted import KEYS, Tables
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

    assert together.kept() == apart.kept()
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


def test_of_fills_at_one_instant_the_youngest_is_the_one_behind_which_none_begins():
    fills = [
        filled("o1", quantity=10, position=10, at=5.0), filled("o2", quantity=5, position=15, at=5.0),
        filled("o3", quantity=20, side="SELL", position=-5, at=5.0), filled("o4", quantity=5, position=0, at=5.0),
        filled("o5", quantity=7, position=7, at=5.0),
    ]  # fmt: skip

    for read in itertools.permutations(fills):
        assert Tables().one_by_one(*read).position()["quantity"] == 7
    for read in itertools.permutations(fills[:3]):
        assert Tables().one_by_one(*read).position()["quantity"] == -5


def test_fills_at_one_instant_that_end_where_they_began_come_to_the_same_row_however_they_are_read():
    there_and_back = [filled("o1", position=10, at=5.0), filled("o2", side="SELL", position=0, at=5.0)]

    first, second = (Tables().one_by_one(*read) for read in (there_and_back, there_and_back[::-1]))

    assert first.kept() == second.kept()


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


def test_an_older_snapshot_of_the_same_batch_does_not_overwrite_an_account():
    tables = Tables().take(snapshot(2.0, cash="2.00"), snapshot(1.0, cash="1.00"))

    assert tables.hashes[KEYS.account("a")]["cash"] == "2.00"


def test_a_position_closed_before_a_snapshot_that_is_read_first_is_flat_as_of_its_last_fill():
    opened, closed = filled(position=10, at=0.3), filled("o2", side="SELL", position=0, average="0.00", at=0.8)

    for read in itertools.permutations([opened, snapshot(1.0, positions=()), closed]):
        position = Tables().one_by_one(*read).position()

        assert (position["quantity"], position["timestamp"]) == (0, "2026-05-06T04:30:00.800000Z")


def test_a_fill_older_than_a_snapshot_that_does_not_list_it_opens_no_position():
    for read in itertools.permutations([filled(position=10, at=0.3), snapshot(1.0), snapshot(2.0)]):
        if read.index(snapshot(1.0)) < read.index(snapshot(2.0)):  # they lie in one partition
            position = Tables().one_by_one(*read).position()

            assert (position["quantity"], position["timestamp"]) == (0, "2026-05-06T04:30:02.000000Z")


def test_a_venues_name_of_an_order_is_the_last_one_it_gave():
    named = [ack("o1"), placed("o1")]
    named[0] = msgspec.structs.replace(named[0], data=msgspec.structs.replace(named[0].data, broker_order_id="P0"))

    assert [Tables().one_by_one(*read).order()["broker_order_id"] for read in (named, named[::-1])] == ["P1", "P1"]


def test_lists_hold_the_whole_events_by_their_ids_and_the_channel_tells_each_as_it_came():
    tables = Tables().take(
        signal(at=9.0), signal(at=8.0), validated(), rejected(), submitted(), filled(at=0.3), snapshot(1.0), alert(),
        clock(1.0),
    )  # fmt: skip

    assert {key: [event["type"] for event in tables.list(key)] for key in tables.sorted if "orders" not in key} == {
        "paper:signals:-": ["trading_signal"] * 2, "paper:signals:a": ["signal_validated"],
        "paper:rejections:a": ["signal_rejected"], "paper:fills:a": ["order_filled"], "paper:pnl:a": ["pnl_snapshot"],
        "paper:alerts": ["system_alert"],
    }  # fmt: skip
    assert [event["timestamp"][17:19] for event in tables.list("paper:signals:-")] == ["08", "09"]
    assert [(event["type"], event["timestamp"][17:19]) for event in tables.published[:2]] == [
        ("trading_signal", "09"), ("trading_signal", "08"),
    ]  # fmt: skip
    assert [event["type"] for event in tables.published[2:]] == [
        "signal_validated", "signal_rejected", "order_submitted", "order_filled", "pnl_snapshot", "system_alert",
    ]  # fmt: skip


def test_a_list_keeps_the_newest_events_whichever_came_first(monkeypatch):
    monkeypatch.setattr("functions.blotter.KEPT", 3)
    signals = [signal(f"g{n}", at=n) for n in range(7)]

    for read in (signals, signals[::-1], signals[3:] + signals[:3]):
        for tables in (Tables().take(*read), Tables().one_by_one(*read)):
            assert [event["data"]["signal_id"] for event in tables.list("paper:signals:-")] == ["g4", "g5", "g6"]


def test_what_must_be_known_before_is_the_rows_that_the_events_touch():
    wanted = needs(
        event.data for event, _ in pairs(submitted("o1"), filled("o2"), snapshot(1.0, account="b"), clock(1.0))
    )

    assert wanted == ({"a": {"o1", "o2"}}, {"a", "b"}, {"momentum"})
