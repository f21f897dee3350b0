"""The log through real Bytewax flows: what goes in comes out once, in order, or the flow stops and says why."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, run_main

from connectors.errors import DependencyError, FatalError, PipelineError
from connectors.kafka import client
from connectors.kafka.embedded import Cluster
from connectors.kafka.records import Outgoing, Record
from connectors.kafka.sink import KafkaSink, Writer
from connectors.kafka.source import KafkaSource, Offsets, committed, end_offsets, fetch_all, mirror_ended
from connectors.settings import KafkaSettings
from functions.topics import Topic
from tests.copying import EPOCH, copying, numbered

pytestmark = pytest.mark.kafka

PRODUCE, LIST_OFFSETS = 0, 2  # Kafka's numbers of the requests
NOT_LEADER, TOPIC_AUTHORIZATION_FAILED, INVALID_RECORD = 6, 29, 87  # and of answers


def topic(name: str, partitions: int) -> Topic:
    return Topic(name, (), "k", partitions, 1000, (), ())


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A broker of this test's own, with topics of twelve partitions and of one."""
    cluster = Cluster([topic("wide", 12), topic("copied", 12), topic("narrow", 1), topic("other", 1)])
    yield cluster
    cluster.close()


@pytest.fixture
def kafka(cluster: Cluster) -> KafkaSettings:
    return KafkaSettings(bootstrap=cluster.bootstrap, embedded=True)


def write(kafka: KafkaSettings, *records: Outgoing) -> None:
    writer = Writer(kafka)
    writer.write(list(records))
    writer.flush()


def ours(error: BaseException | None) -> PipelineError:
    """The error of ours that Bytewax has wrapped."""
    while error is not None and not isinstance(error, PipelineError):
        error = error.__cause__
    assert error is not None, "no error of ours"
    return error


def stopped_by(flow: Dataflow) -> PipelineError:
    """The error that ended a flow."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Bytewax chooses the outer class, `ours` looks inside
        run_main(flow, epoch_interval=EPOCH)
    return ours(raised.value)


def values(records: list[Record], partition: int) -> list[bytes | None]:
    return [record.value for record in records if record.partition == partition]


# --- reading and writing ----------------------------------------------------------------------------------------------


def test_every_record_of_twelve_partitions_is_copied_once_and_in_the_order_of_its_partition(kafka):
    write(kafka, *numbered("wide", 20_000))

    run_main(
        copying(KafkaSource(kafka, ["wide"], group="g", until_end=True), KafkaSink(kafka), "copied"),
        epoch_interval=EPOCH,
    )

    before, after = list(fetch_all(kafka, ["wide"])), list(fetch_all(kafka, ["copied"]))
    assert sorted(int(record.value or b"") for record in after) == list(range(20_000))
    assert {record.partition for record in before} == set(range(12))
    for partition in range(12):
        assert values(before, partition) == values(after, partition)


def test_a_key_always_goes_to_the_partition_that_java_clients_choose(kafka):
    # Hashes of Kafka's own UtilsTest.testMurmur2; a partition is the hash without its sign, modulo 12.
    hashes = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}

    write(kafka, *[Outgoing("wide", key, b"") for key in hashes])

    assert {record.key: record.partition for record in fetch_all(kafka, ["wide"])} == {
        b"21": 0, b"foobar": 6, b"a-little-bit-long-string": 8,
    }  # fmt: skip
    assert [(number & 0x7FFFFFFF) % 12 for number in hashes.values()] == [0, 6, 8]


def test_a_deletion_and_an_empty_value_stay_what_they_are_and_headers_keep_their_order(kafka):
    headers = [("q", b"7"), ("step", b"gate"), ("q", b"8")]
    write(kafka, Outgoing("narrow", b"a", None), Outgoing("narrow", b"a", b""), Outgoing("narrow", None, b"v", headers))

    run_main(copying(KafkaSource(kafka, ["narrow"], group="g", until_end=True), KafkaSink(kafka), "other"))

    assert list(fetch_all(kafka, ["other"])) == [
        Record("other", 0, 0, b"a", None),
        Record("other", 0, 1, b"a", b""),
        Record("other", 0, 2, None, b"v", headers),
    ]


def test_a_source_starts_where_it_is_told_and_elsewhere_at_the_beginning(kafka):
    write(kafka, *numbered("narrow", 5), *numbered("other", 2))
    seen: list[Record] = []

    source = KafkaSource(kafka, ["narrow", "other"], group="g", until_end=True, positions=lambda: {("narrow", 0): 3})
    run_main(copying(source, KafkaSink(kafka), "copied", seen.extend))

    assert sorted((record.topic, record.offset) for record in seen) == [
        ("narrow", 3), ("narrow", 4), ("other", 0), ("other", 1),
    ]  # fmt: skip


def test_a_source_is_live_once_and_only_when_it_has_handed_out_what_was_there_at_the_start(kafka):
    write(kafka, *numbered("wide", 500))
    seen: list[Record] = []
    live: list[int] = []

    source = KafkaSource(
        kafka, ["wide"], group="g", batch_size=100, stop=lambda: bool(live), on_live=lambda: live.append(len(seen))
    )
    run_main(copying(source, KafkaSink(kafka), "copied", seen.extend))

    assert live == [500]


def test_an_idle_source_still_hands_out_empty_items_so_that_the_steps_behind_get_their_turn(kafka):
    turns: list[int] = []

    source = KafkaSource(kafka, ["narrow"], group="g", heartbeat_s=0.02, stop=lambda: len(turns) == 3)
    run_main(copying(source, KafkaSink(kafka), "other", lambda records: turns.append(len(records))))

    assert turns == [0, 0, 0]


def test_asked_to_stop_a_flow_writes_what_it_has_read_and_ends(kafka):
    write(kafka, *numbered("wide", 3_000))
    seen: list[Record] = []

    source = KafkaSource(kafka, ["wide"], group="g", batch_size=100, stop=lambda: len(seen) >= 1_000)
    run_main(copying(source, KafkaSink(kafka, linger_ms=500), "copied", seen.extend))

    written = {record.value for record in fetch_all(kafka, ["copied"])}
    assert 1_000 <= len(seen) < 1_200
    assert written == {record.value for record in seen}


def test_the_records_of_a_read_end_where_the_log_ended_when_it_began(kafka):
    write(kafka, *numbered("narrow", 3))

    reading = fetch_all(kafka, ["narrow"])
    first = next(reading)
    write(kafka, *numbered("narrow", 3))

    assert [first.offset, *(record.offset for record in reading)] == [0, 1, 2]
    assert list(fetch_all(kafka, ["narrow"], {("narrow", 0): 6})) == []
    assert end_offsets(kafka, ["narrow", "other"]) == {("narrow", 0): 6, ("other", 0): 0}


# --- the mirror -------------------------------------------------------------------------------------------------------


def test_the_consumer_group_shows_how_far_a_flow_is_never_further_than_what_it_has_written(kafka):
    write(kafka, *numbered("narrow", 40))
    group = Offsets(kafka, "pipeline-paper-0", ["narrow"])
    mirrored: list[tuple[int, int]] = []

    def look(_records: list[Record]) -> None:
        shown = group.committed().get(("narrow", 0), 0)
        mirrored.append((shown, end_offsets(kafka, ["other"])["other", 0]))

    source = KafkaSource(
        kafka, ["narrow"], group="pipeline-paper-0", heartbeat_s=0.005, batch_size=1,
        stop=lambda: bool(mirrored) and mirrored[-1][0] == 40,
    )  # fmt: skip
    run_main(copying(source, KafkaSink(kafka), "other", look), epoch_interval=timedelta(0))
    group.close()

    assert all(shown <= written for shown, written in mirrored)
    assert committed(kafka, "pipeline-paper-0", ["narrow"]) == {("narrow", 0): 40}


def test_after_a_drained_stop_the_group_has_no_lag(kafka, monkeypatch):
    monkeypatch.setattr("connectors.kafka.source._ended", [])
    write(kafka, *numbered("narrow", 40))
    flow = copying(KafkaSource(kafka, ["narrow"], group="drained", until_end=True), KafkaSink(kafka), "other")

    run_main(flow)
    mirror_ended()

    assert committed(kafka, "drained", ["narrow"]) == end_offsets(kafka, ["narrow"]) == {("narrow", 0): 40}


def test_a_group_that_cannot_be_told_is_said_and_does_not_fail_the_flow(kafka, monkeypatch, lines):
    monkeypatch.setattr("connectors.kafka.source.LAST_MIRROR_S", 0.2)
    gone = kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})
    monkeypatch.setattr("connectors.kafka.source._ended", [(gone, "drained", {("narrow", 0): 1})])

    mirror_ended()

    assert [line["group"] for line in lines if line["event"] == "kafka.mirror_failed"] == ["drained"]


def test_a_group_that_never_read_has_no_positions(kafka):
    assert committed(kafka, "nobody", ["narrow"]) == {}


# --- the log no longer fits -------------------------------------------------------------------------------------------


def test_a_flow_does_not_start_behind_what_retention_has_eaten(cluster, kafka):
    write(kafka, *numbered("narrow", 10))
    cluster.forget("narrow", 0, before=4)

    source = KafkaSource(kafka, ["narrow"], group="g", positions=lambda: {("narrow", 0): 2})
    error = stopped_by(copying(source, KafkaSink(kafka), "other"))

    assert isinstance(error, FatalError)
    assert error.message == (
        "narrow [0] cannot be read from offset 2, it holds 4 to 9; "
        "retention has eaten the log: records 2 to 3 are gone"
    )  # fmt: skip


def test_a_flow_does_not_start_beyond_the_end_of_a_log_that_was_made_anew(kafka):
    write(kafka, *numbered("narrow", 3))

    source = KafkaSource(kafka, ["narrow"], group="g", positions=lambda: {("narrow", 0): 5})
    error = stopped_by(copying(source, KafkaSink(kafka), "other"))

    assert isinstance(error, FatalError)
    assert "narrow [0] cannot be read from offset 5, it holds 0 to 2; the log was cut off or made anew" in str(error)


def test_retention_that_overtakes_a_running_flow_stops_it(cluster, kafka):
    live = threading.Event()

    def overtake() -> None:
        live.wait(60)
        write(kafka, *numbered("narrow", 3))
        cluster.forget("narrow", 0, before=3)
        cluster.refuse(1, [1])  # the fetch under way is answered "offset out of range"

    overtaking = threading.Thread(target=overtake)
    overtaking.start()
    slow = KafkaSource(kafka, ["narrow"], group="g", on_live=live.set, poll_s=0.01)
    error = stopped_by(copying(slow, KafkaSink(kafka), "other"))
    overtaking.join()

    assert isinstance(error, FatalError)
    assert "narrow [0] cannot be read from offset" in str(error)


def test_partitions_that_have_no_leader_yet_are_asked_again(cluster, kafka):
    write(kafka, *numbered("narrow", 3))
    cluster.refuse(LIST_OFFSETS, [NOT_LEADER] * 10)

    assert end_offsets(kafka, ["narrow"]) == {("narrow", 0): 3}


def test_a_topic_that_does_not_exist_is_named_and_not_created(kafka):
    with pytest.raises(DependencyError, match="has no topic absent, gone"):
        list(fetch_all(kafka, ["narrow", "absent", "gone"]))
    with pytest.raises(DependencyError, match="has no topic absent"):
        end_offsets(kafka, ["absent"])


# --- failed deliveries ------------------------------------------------------------------------------------------------


def sending(kafka: KafkaSettings, *batches: list[Outgoing]) -> Dataflow:
    flow = Dataflow("sending")
    items = [("shard-0", batch) for batch in batches]
    op.output("out", op.input("in", flow, TestingSource(items)), KafkaSink(kafka))
    return flow


def test_a_record_that_is_too_large_stops_the_flow_with_its_topic_and_key(kafka):
    large = Outgoing("narrow", b"paper-0", bytes(9_000_000))

    error = stopped_by(sending(kafka, numbered("narrow", 3), [large], numbered("narrow", 3)))

    assert isinstance(error, FatalError)
    assert error.message.startswith("a record with key 'paper-0' could not be written to narrow: ")
    assert "Message size too large" in error.message


def test_a_record_that_the_broker_refuses_stops_the_flow_and_nothing_follows_it(cluster, kafka):
    cluster.refuse(PRODUCE, [TOPIC_AUTHORIZATION_FAILED])
    batches = [[record] for record in numbered("narrow", 200)]

    error = stopped_by(sending(kafka, *batches))

    assert isinstance(error, FatalError)
    assert error.message.startswith("a record with key '0' could not be written to narrow: ")
    assert "Topic authorization failed" in error.message
    assert list(fetch_all(kafka, ["narrow"])) == []


def test_a_passing_refusal_is_retried_and_changes_neither_number_nor_order(cluster, kafka):
    cluster.refuse(PRODUCE, [NOT_LEADER, NOT_LEADER])

    run_main(sending(kafka, *[[record] for record in numbered("narrow", 200)]), epoch_interval=EPOCH)

    assert [record.value for record in fetch_all(kafka, ["narrow"])] == [str(n).encode() for n in range(200)]


def test_a_writer_that_has_failed_once_never_writes_again(cluster, kafka):
    writer = Writer(kafka)
    cluster.refuse(PRODUCE, [TOPIC_AUTHORIZATION_FAILED])
    writer.write([Outgoing("narrow", None, b"refused")])
    with pytest.raises(FatalError, match="a record without a key could not be written to narrow"):
        writer.flush()

    for attempt in (lambda: writer.write([Outgoing("narrow", b"k", b"later")]), writer.flush):
        with pytest.raises(FatalError, match="a record without a key could not be written to narrow"):
            attempt()

    assert list(fetch_all(kafka, ["narrow"])) == []


def test_what_a_writer_still_held_when_it_failed_never_arrives(cluster, kafka, monkeypatch):
    config = client.producer_config
    apart = {
        "batch.num.messages": 1, "max.in.flight.requests.per.connection": 1,  # the others wait for the first
        "enable.idempotence": False, "enable.gapless.guarantee": False,  # which would hold them back as well
    }  # fmt: skip
    monkeypatch.setattr("connectors.kafka.sink.producer_config", lambda *a, **k: config(*a, **k) | apart)
    cluster.refuse(PRODUCE, [INVALID_RECORD])
    writer = Writer(kafka)

    def write_all() -> None:
        writer.write(numbered("narrow", 50_000))
        writer.flush()

    with pytest.raises(FatalError, match="a record with key '0' could not be written to narrow"):
        write_all()
    arrived = sum(end_offsets(kafka, ["narrow"]).values())
    writer._producer.flush(20)

    assert len(writer._producer) == 0
    assert sum(end_offsets(kafka, ["narrow"]).values()) <= arrived + 1  # one was on its way


def test_a_writer_waits_while_its_queue_is_full_and_loses_nothing(kafka, monkeypatch):
    config = client.producer_config
    monkeypatch.setattr(
        "connectors.kafka.sink.producer_config", lambda *a, **k: config(*a, **k) | {"queue.buffering.max.messages": 100}
    )

    write(kafka, *numbered("wide", 5_000))

    assert sum(end_offsets(kafka, ["wide"]).values()) == 5_000


def test_a_delivery_that_takes_too_long_stops_the_flow(cluster, kafka):
    cluster.close()

    flow = Dataflow("late")
    items = [("shard-0", [Outgoing("narrow", b"k", b"v")])]
    op.output("out", op.input("in", flow, TestingSource(items)), KafkaSink(kafka, delivery_timeout_s=0.3))
    error = stopped_by(flow)

    assert isinstance(error, FatalError)
    assert error.message.startswith("a record with key 'k' could not be written to narrow: ")


def test_what_was_read_before_a_crash_is_told_to_the_group_though_nothing_more_comes(kafka):
    write(kafka, *numbered("narrow", 5))
    deadline = time.monotonic() + 60
    group = Offsets(kafka, "crashed", ["narrow", "other"])
    source = KafkaSource(
        kafka, ["narrow", "other"], group="crashed", positions=lambda: {("narrow", 0): 5},
        stop=lambda: ("narrow", 0) in group.committed() or time.monotonic() > deadline,
    )  # fmt: skip
    run_main(copying(source, KafkaSink(kafka), "copied"), epoch_interval=EPOCH)
    group.close()

    assert committed(kafka, "crashed", ["narrow", "other"]) == {("narrow", 0): 5}
