"""The relay: whoever knows it knows no other way to the broker, and it does to connections what it says."""

import pytest

from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.kafka.source import fetch_all
from tests.chaos.relay import Network
from tests.waiting import within

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

TOPIC = "paper.orders.filled"


@pytest.fixture
def way(tmp_path):
    """(the broker as it is, a relay to it, a writer behind the relay that has written once)."""
    with start_embedded(tmp_path) as broker, Network() as network:
        relay = network.relay(int(broker.bootstrap.rpartition(":")[2]))
        writer = Writer(broker.settings.model_copy(update={"bootstrap": relay.bootstrap}))
        writer.write([Outgoing(TOPIC, b"k", b"before")])
        writer.flush()
        yield broker.settings, relay, writer


def there(kafka):
    return [record.value for record in fetch_all(kafka, [TOPIC])]


def test_what_is_held_arrives_when_it_is_delivered(way):
    kafka, relay, writer = way
    relay.hold()
    writer.write([Outgoing(TOPIC, b"k", b"held")])
    assert not within(lambda: b"held" in there(kafka), 0.5)

    assert relay.deliver() > 0

    writer.flush()
    assert there(kafka) == [b"before", b"held"]


def test_the_last_words_of_the_dead_arrive_after_what_others_have_said(way):
    kafka, relay, writer = way
    relay.hold()
    writer.write([Outgoing(TOPIC, b"k", b"last words")])
    assert not within(lambda: b"last words" in there(kafka), 0.5)
    relay.dead()
    successor = Writer(kafka)
    successor.write([Outgoing(TOPIC, b"k", b"successor")])
    successor.flush()

    relay.deliver()

    assert within(lambda: there(kafka) == [b"before", b"successor", b"last words"], 60)


def test_nobody_gets_through_what_is_cut_until_it_is_healed(way):
    kafka, relay, writer = way
    relay.cut()
    writer.write([Outgoing(TOPIC, b"k", b"after")])
    assert not within(lambda: b"after" in there(kafka), 1.0)

    relay.heal()

    writer.flush()
    assert there(kafka) == [b"before", b"after"]
