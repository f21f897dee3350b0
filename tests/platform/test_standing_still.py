"""A broker that stood still for longer than its own session, as a machine that sleeps does: its clients find it again."""

import threading
import time

import psutil
import pytest
from confluent_kafka.admin import NewTopic

from connectors.kafka.admin import Administrator
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.kafka.source import Reader

pytestmark = [pytest.mark.platform, pytest.mark.timeout(240)]

STILL_S = 13.0  # the broker's session lasts nine: for a moment after it no partition has a leader
TOPIC = "stood.still"


def records(first):
    return [Outgoing(TOPIC, str(n).encode(), str(n).encode()) for n in range(first, first + 60)]


def test_what_is_written_and_read_while_a_broker_stands_still_arrives_once_when_it_goes_on(platform):
    admin = Administrator(platform.kafka)
    [made] = admin.client.create_topics([NewTopic(TOPIC, 6, 1)]).values()
    admin.result(made, "create a topic")
    admin.until(lambda: TOPIC in admin.partitions(), "the topic")
    writer = Writer(platform.kafka)
    writer.write(records(0))
    writer.flush()
    reader = Reader(platform.kafka, [TOPIC], "stood-still", {})
    broker = psutil.Process(next(row.pid for row in platform.native.status(["kafka"])))

    broker.suspend()
    threading.Timer(STILL_S, broker.resume).start()
    writing = threading.Thread(target=write_on, args=(writer,), daemon=True)
    writing.start()
    seen = []
    deadline = time.monotonic() + STILL_S + 90
    while len(seen) < 300 and time.monotonic() < deadline:
        seen += [record.value for record in reader.read(100, 0.1)]
    writing.join(5)
    reader.close()
    admin.client.delete_topics([TOPIC])[TOPIC].result(30)

    assert sorted(seen, key=int) == [str(n).encode() for n in range(300)]
    assert not writing.is_alive()


def write_on(writer):
    for first in range(60, 300, 60):
        writer.write(records(first))
        writer.flush()
        time.sleep(1)
