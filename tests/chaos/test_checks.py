"""Every check finds what it is there for, planted in a log that is otherwise right."""

from dataclasses import replace

import msgspec
import pytest

from connectors.kafka.embedded import start_embedded
from connectors.settings import Settings
from functions.assignment import Seat
from functions.codec import decode, encode
from functions.events import OrderAck, OrderFilled, SignalValidated
from functions.journal import MARK, Entry, decode_line, decode_snapshot, encode_line, encode_snapshot
from functions.topics import PIPELINE_JOURNAL, PIPELINE_SNAPSHOTS
from tests.chaos import checks, load
from tests.chaos.by_hand import history, market, run_to_the_end, write
from tests.chaos.history import History

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

FILLED, ACK, VALIDATED = "paper.orders.filled", "paper.orders.ack", "paper.signals.validated"


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """The log of a worker that was stopped and started once."""
    with start_embedded(tmp_path_factory.mktemp("broker")) as broker:
        settings = Settings(kafka=broker.settings)
        write(settings, load.configuration(1))
        for part in (market()[:300], market()[300:]):
            write(settings, part)
            run_to_the_end(settings)
        return history(settings)


def found(given):
    return set(checks.faults_of(given))


def with_records(given, topic, change):
    """The same log with another content of this topic."""
    records = {name: list(there) for name, there in given.records.items()}
    records[topic] = change(records[topic])
    return History(records, given.seats)


def with_data(record, **changes):
    event = decode(record.value)
    data = msgspec.structs.replace(event.data, **changes)
    return record._replace(value=encode(msgspec.structs.replace(event, data=data)))


def moved(record, mark):
    """The same under another mark, last of its partition."""
    return record._replace(offset=record.offset + 100_000, headers=[(MARK, mark)])


def test_nothing_is_wrong_with_what_is_right(right):
    assert checks.faults_of(right) == {}
    kinds = {type(one.event.data) for one in right.every_event()}
    assert {OrderFilled, OrderAck, SignalValidated} <= kinds
    assert len(right.records["market.ticks.dlq"]) > 0
    assert len(right.records["system.alerts"]) > 0


def test_a_missing_output(right):
    given = with_records(right, "paper.pnl.snapshots", lambda records: records[:3] + records[4:])
    assert found(given) == {"outputs_are_what_the_journal_says"}


def test_an_output_for_a_second_time_under_a_mark_of_its_own(right):
    given = with_records(
        right, FILLED, lambda records: [*records, moved(records[-1], b"paper-0@0000009999999.0000000")]
    )
    assert {"outputs_are_what_the_journal_says", "one_id_one_content"} <= found(given)


def test_a_second_copy_is_a_fault_only_for_readers_that_do_not_drop_it(right):
    given = with_records(right, FILLED, lambda records: [*records, *records[-2:]])
    assert found(given) == set()
    assert {"outputs_are_what_the_journal_says", "one_id_one_content"} <= found(replace(given, copies_count=True))


def test_a_copy_that_says_something_else(right):
    def contradicted(records):
        return [*records, with_data(records[-1], quantity=77)]

    assert found(with_records(right, FILLED, contradicted)) == {"one_id_one_content"}


def test_an_output_with_another_content(right):
    given = with_records(right, ACK, lambda records: [with_data(records[0], strategy="other"), *records[1:]])
    assert "outputs_are_what_the_journal_says" in found(given)


def test_two_outputs_in_the_wrong_order(right):
    def swapped(records):
        first, second = [n for n, r in enumerate(records) if r.partition == records[0].partition][:2]
        records[first], records[second] = records[second], records[first]
        return records

    assert "outputs_are_what_the_journal_says" in found(with_records(right, FILLED, swapped))


def test_an_output_without_a_mark(right):
    given = with_records(right, ACK, lambda records: [records[0]._replace(headers=None), *records[1:]])
    assert "outputs_are_what_the_journal_says" in found(given)


def test_a_key_in_two_partitions(right):
    def wandered(records):
        return [records[0]._replace(partition=(records[0].partition + 1) % 3), *records]

    assert "a_key_stays_in_its_partition" in found(with_records(right, FILLED, wandered))


def entries(records):
    return [
        n for n, r in enumerate(records) if isinstance(decode_line(r.value), Entry) and decode_line(r.value).batches
    ]


def test_a_lost_entry_of_the_journal(right):
    def lost(records):
        at = entries(records)[2]
        return records[:at] + records[at + 1 :]

    assert {"no_input_lost", "outputs_are_what_the_journal_says"} <= found(
        with_records(right, PIPELINE_JOURNAL.name, lost)
    )


def test_inputs_read_twice(right):
    def doubled(records):
        last = records[entries(records)[-1]]
        return [*records, last._replace(offset=records[-1].offset + 1)]

    assert "no_input_lost" in found(with_records(right, PIPELINE_JOURNAL.name, doubled))


def test_an_entry_that_counts_other_outputs_than_there_are(right):
    def miscounted(records):
        at = entries(records)[2]
        line = msgspec.structs.replace(decode_line(records[at].value), checksum=1)
        return [*records[:at], records[at]._replace(value=encode_line(line)), *records[at + 1 :]]

    assert "state_is_the_fold" in found(with_records(right, PIPELINE_JOURNAL.name, miscounted))


def test_inputs_that_nobody_read(right):
    def longer(records):
        return [*records, records[-1]._replace(offset=records[-1].offset + 1)]

    assert found(with_records(right, "market.clock", longer)) == {"no_input_lost"}


def test_an_input_that_is_gone(right):
    given = with_records(right, "market.clock", lambda records: records[:3] + records[4:])
    assert "state_is_the_fold" in found(given)


def test_a_snapshot_that_is_not_what_the_journal_says(right):
    def other(records):
        snapshot = decode_snapshot(records[-1].value)
        state = snapshot.state | {"account": snapshot.state["account"][:-1] + b"\x07"}
        blob = encode_snapshot(msgspec.structs.replace(snapshot, state=state))
        return [*records[:-1], records[-1]._replace(value=blob)]

    given = with_records(right, PIPELINE_SNAPSHOTS.name, other)
    assert checks.faults_of(given) == {"state_is_the_fold": ["shard 1/1: the newest snapshot differs in account"]}


def test_a_shard_that_never_began(right):
    given = History(right.records, [*right.seats, Seat(1, 2)])
    assert "state_is_the_fold" in found(given)


def test_a_signal_that_was_answered_twice(right):
    def twice(records):
        return [*records, moved(records[0], b"paper-0@0000009999999.0000000")]

    assert "one_decision_a_cause" in found(with_records(right, VALIDATED, twice))


def test_an_order_that_was_never_submitted(right):
    assert {"one_decision_a_cause", "orders_live_legally"} <= found(
        with_records(right, "paper.orders.submitted", lambda records: records[1:])
    )


def test_an_order_that_squares_off_and_that_no_alert_has_announced(right):
    def not_announced(records):
        data = decode(records[0].value).data
        return [
            *records,
            moved(with_data(records[0], order_id="of nobody", origin="square_off"), data.order_id.encode()),
        ]

    assert "one_decision_a_cause" in found(with_records(right, "paper.orders.submitted", not_announced))


def test_an_order_that_was_placed_and_never_acknowledged(right):
    assert "orders_live_legally" in found(with_records(right, ACK, lambda records: records[1:]))


def test_a_fill_of_more_than_was_ordered(right):
    def more(records):
        return [with_data(records[0], quantity=decode(records[0].value).data.quantity + 1), *records[1:]]

    assert {"orders_live_legally", "money_is_conserved"} <= found(with_records(right, FILLED, more))


def test_a_fill_of_less_than_was_ordered_that_leaves_nothing(right):
    def less(records):
        return [with_data(records[0], quantity=decode(records[0].value).data.quantity - 1), *records[1:]]

    given = with_records(right, FILLED, less)
    assert any("0 left to fill, by its fills 1" in fault for fault in checks.orders_live_legally(given))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("value", "1", [" cost 1", ": cash "]),
        ("charges", "1000", [": charges ", ": cash "]),
        ("realised_pnl", "5", [": realised "]),
        ("position", 7, [" holds 7, by its fills "]),
    ],
)
def test_money_from_nowhere(right, field, value, words):
    given = with_records(right, FILLED, lambda records: [with_data(records[0], **{field: value}), *records[1:]])
    faults = checks.money_is_conserved(given)
    assert [each for each in words if not any(each in fault for fault in faults)] == []
