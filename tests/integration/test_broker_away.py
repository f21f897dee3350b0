"""The broker goes away and comes back: it is waited for, said once, and nothing is lost."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from bytewax.testing import run_main
from confluent_kafka import KafkaError, TopicPartition

from connectors.errors import DependencyError
from connectors.kafka import client
from connectors.kafka import source as kafka_source
from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Record
from connectors.kafka.sink import KafkaSink, Writer
from connectors.kafka.source import KafkaSource, Reader, end_offsets, fetch_all
from connectors.settings import KafkaSettings
from tests.copying import EPOCH, copying, numbered
from tests.waiting import until

pytestmark = pytest.mark.kafka


def test_a_paused_broker_is_waited_for_said_once_and_nothing_is_lost(tmp_path: Path, monkeypatch, lines):
    monkeypatch.setattr(client, "SILENCE_S", 0.8)
    with start_embedded(tmp_path) as broker:
        kafka = broker.settings
        seen: list[Record] = []
        empty: list[bool] = []
        quiet = threading.Event()
        writer = Writer(kafka)
        writer.write(numbered("market.ticks", 2_000))
        writer.flush()

        def see(records: list[Record]) -> None:
            seen.extend(records)
            empty.append(not records and len(seen) == 2_000)
            if sum(empty) == 3:
                quiet.set()  # epochs have gone by since the last record: what was read is written

        def pause() -> None:
            assert quiet.wait(60)
            lines.clear()  # a cold producer may take longer than this test's idea of silence
            os.kill(broker.pid, signal.SIGSTOP)
            writer.write(numbered("market.ticks", 1_000))
            flushing.start()
            time.sleep(4 * client.SILENCE_S)  # whoever waits for an answer notices, and tries again and again
            os.kill(broker.pid, signal.SIGCONT)
            flushing.join()
            until(lambda: len(seen) == 3_000)

        flushing = threading.Thread(target=writer.flush)
        pausing = threading.Thread(target=pause)
        pausing.start()
        source = KafkaSource(kafka, ["market.ticks"], group="copying", stop=lambda: not pausing.is_alive())
        run_main(copying(source, KafkaSink(kafka), "market.quality", see), epoch_interval=EPOCH)
        pausing.join()

        gone = [line["client"] for line in lines if line["event"] == "kafka.unreachable"]
        assert "sink" in gone  # it had records that nobody took
        assert len(gone) <= 4, lines  # said when it happens, not once an attempt
        copied = [int(record.value or b"") for record in fetch_all(kafka, ["market.quality"])]
        assert sorted(copied) == sorted([*range(2_000), *range(1_000)])


def test_a_flow_on_an_idle_log_notices_the_broker_s_return(tmp_path: Path, monkeypatch, lines):
    monkeypatch.setattr(client, "SILENCE_S", 0.8)
    with start_embedded(tmp_path) as broker:

        def returned() -> bool:
            told = [line["event"] for line in lines]
            if "kafka.unreachable" in told:
                os.kill(broker.pid, signal.SIGCONT)
            return "kafka.reachable" in told

        source = KafkaSource(
            broker.settings, ["market.clock"], group="g", stop=returned,
            on_live=lambda: os.kill(broker.pid, signal.SIGSTOP),
        )  # fmt: skip
        run_main(copying(source, KafkaSink(broker.settings), "market.quality"), epoch_interval=EPOCH)

        assert lines[0]["event"] == "kafka.unreachable"
        assert "kafka.reachable" in [line["event"] for line in lines]


def test_a_partition_that_stands_still_after_an_outage_is_read_on_by_a_new_client_each_record_once(
    tmp_path: Path, monkeypatch, lines
):
    """As after librdkafka's issue 5430: one partition of twelve is fetched no more, and nobody says so."""
    with start_embedded(tmp_path) as broker:
        read_on(broker.settings, monkeypatch, lines)


def read_on(kafka: KafkaSettings, monkeypatch, lines) -> None:
    writer = Writer(kafka)
    writer.write(numbered("market.ticks", 100))
    writer.flush()
    reader = Reader(kafka, ["market.ticks"], "doubtful", {})
    monkeypatch.setattr(kafka_source, "LOOK_S", 2.0)  # a look itself takes a while, and nothing may be read meanwhile
    seen = []
    until_read(reader, seen, 100)
    forgotten = next(record.partition for record in seen if record.key == b"7")
    reader._consumer.pause([TopicPartition("market.ticks", forgotten)])
    reader._doubted_until = time.monotonic() + 60

    writer.write(numbered("market.ticks", 100))
    writer.flush()
    until_read(reader, seen, 200)
    reader.close()

    assert len({(record.partition, record.offset) for record in seen}) == len(seen) == 200
    assert [line["standing_still"] for line in lines if line["event"] == "kafka.reader_renewed"] == [1]


def until_read(reader: Reader, seen: list[Record], count: int) -> None:
    deadline = time.monotonic() + 30
    while len(seen) < count:
        assert time.monotonic() < deadline, f"{len(seen)} of {count} records were read"
        seen += reader.read(10, 0.05)


def test_a_loss_and_a_return_are_each_said_once_however_often_librdkafka_reports_them(lines):
    reachability = client.Reachability(KafkaSettings(), "source g")
    for _ in range(3):
        reachability.on_error(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
        reachability.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    reachability.answered()
    reachability.answered()

    assert [(line["event"], line["client"], line.get("reason")) for line in lines] == [
        ("kafka.unreachable", "source g", "Connection refused"), ("kafka.reachable", "source g", None),
    ]  # fmt: skip


def test_a_broker_that_is_not_there_is_reported_with_what_to_do(monkeypatch):
    monkeypatch.setattr(client, "START_S", 0.3)
    nowhere = KafkaSettings(bootstrap="127.0.0.1:9", embedded=True)

    with pytest.raises(DependencyError, match=r"Kafka at 127\.0\.0\.1:9 did not answer for 0\.3 s") as raised:
        end_offsets(nowhere, ["narrow"])

    assert "start the broker" in raised.value.remedy
