"""The embedded broker as a process: it is there when its port file is, and gone when its starter is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from connectors.errors import ConfigError, DependencyError
from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.kafka.source import end_offsets, fetch_all
from connectors.kafka.topics import ensure_topics, topic_configuration
from connectors.settings import KafkaSettings
from functions.topics import CONFIG_ACCOUNTS, MARKET_TICKS, ORDERS_FILLED, PIPELINE_SNAPSHOTS, Topic, all_topics
from tests.waiting import runs, within

pytestmark = pytest.mark.kafka

PROJECT = Path(__file__).resolve().parents[2]


def command(port_file: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "connectors.kafka.embedded", "--port-file", str(port_file), *more]


def test_it_has_every_declared_topic_with_its_partitions(broker):
    parts = end_offsets(broker, [topic.name for topic in all_topics(("paper", "zerodha"))])

    assert len(parts) == sum(topic.partitions for topic in all_topics(("paper", "zerodha")))
    assert sum(name == MARKET_TICKS.name for name, _ in parts) == 12


def test_sigterm_ends_it_with_code_zero_and_takes_its_port_file_away(tmp_path):
    broker = start_embedded(tmp_path)
    assert (tmp_path / "kafka.port").read_text() == f"{broker.bootstrap}\n"

    os.kill(broker.pid, signal.SIGTERM)

    assert within(lambda: not runs(broker.pid), 60)
    assert broker.stop() == 0
    assert not (tmp_path / "kafka.port").exists()


def test_it_can_be_stopped_while_it_is_paused(tmp_path):
    broker = start_embedded(tmp_path)
    os.kill(broker.pid, signal.SIGSTOP)

    assert broker.stop() == 0


def test_its_port_file_is_never_seen_half_written(tmp_path):
    port_file = tmp_path / "port"
    process = subprocess.Popen(command(port_file), cwd=PROJECT)
    while not port_file.exists():
        assert process.poll() is None
    address = port_file.read_text()  # the very moment it exists
    process.terminate()

    assert process.wait(60) == 0
    assert address.startswith("127.0.0.1:")
    assert address.endswith("\n")


def test_it_dies_with_its_starter_even_when_that_is_killed(tmp_path):
    starter = subprocess.Popen(
        [sys.executable, "-c",
         "import sys, time, pathlib; from connectors.kafka.embedded import start_embedded;"
         "print(start_embedded(pathlib.Path(sys.argv[1])).pid, flush=True); time.sleep(60)", str(tmp_path)],
        cwd=PROJECT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert starter.stdout is not None
    with starter.stdout as output:
        broker = int(output.readline())
    assert psutil.pid_exists(broker)

    starter.kill()
    starter.wait()

    assert within(lambda: not runs(broker), 60)


def test_it_refuses_a_port_file_in_a_directory_that_does_not_exist(tmp_path):
    refused = subprocess.run(command(tmp_path / "absent" / "port"), cwd=PROJECT, capture_output=True, text=True)

    assert refused.returncode == 2
    assert "cannot write the address of the embedded broker" in refused.stderr
    assert "name a file in a directory that exists" in refused.stderr


def test_it_refuses_a_broker_that_nobody_knows(tmp_path):
    refused = subprocess.run(
        command(tmp_path / "port", "--brokers", "paper,nobody"), cwd=PROJECT, capture_output=True, text=True
    )

    assert refused.returncode == 2
    assert "no broker nobody" in refused.stderr


def test_two_of_them_side_by_side_know_nothing_of_each_other(tmp_path):
    with start_embedded(tmp_path / "one") as one, start_embedded(tmp_path / "two") as two:
        writer = Writer(one.settings)
        writer.write([Outgoing("market.clock", b"clock", b"1")])
        writer.flush()

        assert one.bootstrap != two.bootstrap
        assert [record.value for record in fetch_all(one.settings, ["market.clock"])] == [b"1"]
        assert list(fetch_all(two.settings, ["market.clock"])) == []


# --- topics on a broker -----------------------------------------------------------------------------------------------


def test_nothing_is_created_where_every_topic_is_there(broker):
    assert ensure_topics(broker, all_topics(("paper", "zerodha")), timeout_s=30) == []


def test_the_embedded_broker_is_not_asked_to_create_what_it_lacks(broker):
    strange = Topic("market.strange", (), "k", 1, 1000, (), ())

    with pytest.raises(DependencyError, match=r"the embedded broker has no topic market\.strange"):
        ensure_topics(broker, [MARKET_TICKS, strange], timeout_s=30)


def test_a_topic_with_another_number_of_partitions_is_refused_because_keys_would_move(broker):
    wider = Topic(MARKET_TICKS.name, (), "k", 24, 1000, (), ())

    with pytest.raises(ConfigError, match=r"topic market\.ticks has 12 partitions, declared are 24"):
        ensure_topics(broker, [wider], timeout_s=30)


def test_a_broker_that_does_not_answer_is_named():
    nowhere = KafkaSettings(bootstrap="127.0.0.1:9")

    with pytest.raises(DependencyError, match=r"Kafka at 127\.0\.0\.1:9 did not answer for 0\.3 s"):
        ensure_topics(nowhere, [MARKET_TICKS], timeout_s=0.3)


def test_what_is_declared_is_said_in_kafka_s_words():
    assert topic_configuration(ORDERS_FILLED.of("paper")) == {
        "cleanup.policy": "delete", "retention.ms": "315532800000", "max.message.bytes": "8388608",
    }  # fmt: skip
    assert topic_configuration(CONFIG_ACCOUNTS) == {
        "cleanup.policy": "compact", "min.compaction.lag.ms": "604800000", "max.message.bytes": "8388608",
    }  # fmt: skip
    assert topic_configuration(PIPELINE_SNAPSHOTS) == {
        "cleanup.policy": "compact", "segment.bytes": "16777216", "segment.ms": "600000",
        "min.cleanable.dirty.ratio": "0.1", "max.message.bytes": "8388608",
    }  # fmt: skip
