"""The config flow on a real store and the embedded broker: every change reaches its topic, crashes included."""

import gc
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta

import msgspec
import pytest
from bytewax.testing import run_main

from connectors.database import schema
from connectors.database.outbox import AcknowledgingSink, Outbox, OutboxSource
from connectors.database.seed import demo_seed
from connectors.database.store import TOPICS, ConfigStore
from connectors.errors import ConfigError, FatalError
from connectors.kafka.embedded import start_embedded
from connectors.kafka.sink import KafkaSink
from connectors.kafka.source import end_offsets, fetch_all
from connectors.settings import DatabaseSettings, KafkaSettings, Settings
from dataflows import config, process
from functions.codec import decode
from functions.events import AccountConfig
from tests.waiting import until

pytestmark = pytest.mark.kafka

replace = msgspec.structs.replace
PAPER = AccountConfig("paper-1", "paper")


class Log:
    """The configuration topics of a broker, from now on."""

    def __init__(self, kafka):
        self.kafka = kafka
        self.topics = [topic.name for topic in TOPICS]
        self.begin = end_offsets(kafka, self.topics)

    def records(self):
        """Everything that came, each topic in its order."""
        return list(fetch_all(self.kafka, self.topics, self.begin))

    def payloads(self):
        return [(r.topic, r.key, None if r.value is None else decode(r.value).data) for r in self.records()]


@pytest.fixture
def log(broker):
    return Log(broker)


@pytest.fixture
def empty(tmp_path):
    """The log of a broker with nothing in it."""
    with start_embedded(tmp_path / "broker") as broker:
        yield Log(broker.settings)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/panda.sqlite"


@pytest.fixture
def store(url):
    with ConfigStore(url) as store:
        store.upgrade()
        yield store


@pytest.fixture
def run():
    """`process.run`, which is made for a process of its own: what it leaves behind is put back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield process.run
    for number, handler in handlers.items():
        signal.signal(number, handler)
    gc.unfreeze()


def publish(log, url):
    """One run of the flow, to the moment at which it is live."""
    live = []
    settings = Settings(kafka=log.kafka, database=DatabaseSettings(url=url))
    flow = config.live(settings, stop=lambda: bool(live), on_live=lambda: live.append(True))
    run_main(flow, epoch_interval=timedelta(milliseconds=50))
    assert live == [True]


def test_the_demo_configuration_reaches_its_topics_and_leaves_the_outbox(log, url, store):
    instruments, accounts, strategies = demo_seed()
    store.seed(instruments, accounts, strategies)

    publish(log, url)

    found = log.payloads()
    assert [p for topic, _, p in found if topic == "config.instruments"] == instruments
    assert [p for topic, _, p in found if topic == "config.accounts"] == accounts
    assert [p for topic, _, p in found if topic == "config.strategies"] == strategies
    assert [key for topic, key, _ in found if topic == "config.strategies"] == [s.strategy.encode() for s in strategies]
    assert store.pending_outbox() == []


def test_a_second_start_publishes_nothing_again(log, url, store):
    store.seed(*demo_seed())
    publish(log, url)
    publish(log, url)
    assert len(log.records()) == 12


def test_changes_of_one_account_arrive_in_the_order_they_were_made_its_deletion_last(log, url, store):
    store.put_account(PAPER)
    store.put_account(replace(PAPER, killed=True))
    store.put_account(replace(PAPER, capital="5"))
    store.delete_account("paper-1")

    publish(log, url)

    assert log.payloads() == [
        ("config.accounts", b"paper-1", PAPER),
        ("config.accounts", b"paper-1", replace(PAPER, killed=True)),
        ("config.accounts", b"paper-1", replace(PAPER, capital="5")),
        ("config.accounts", b"paper-1", None),
    ]


def test_more_changes_than_one_look_takes_all_arrive_in_order(log, url, store):
    for n in range(1, 621):
        store.put_account(replace(PAPER, capital=str(n)))
    publish(log, url)
    assert [data.capital for _, _, data in log.payloads()] == [str(n) for n in range(1, 621)]


def test_killed_between_publishing_and_marking_it_sends_the_same_bytes_under_the_same_id_again(log, url, store):
    store.put_account(PAPER)
    store.put_account(replace(PAPER, killed=True))
    killed_at_the_mark = f"""
import os
from datetime import timedelta
from bytewax.testing import run_main
from connectors.database.store import ConfigStore
from connectors.settings import DatabaseSettings, KafkaSettings, Settings
from dataflows import config

mark = ConfigStore.mark_published
ConfigStore.mark_published = lambda store, ids: os._exit(9) if ids else mark(store, ids)
settings = Settings(
    kafka=KafkaSettings(bootstrap={log.kafka.bootstrap!r}, embedded=True), database=DatabaseSettings(url={url!r})
)
run_main(config.live(settings, stop=lambda: False), epoch_interval=timedelta(milliseconds=50))
"""
    killed = subprocess.run([sys.executable, "-c", killed_at_the_mark], timeout=60)
    assert killed.returncode == 9
    first = [record.value for record in log.records()]
    assert len(first) == 2
    assert len(store.pending_outbox()) == 2

    publish(log, url)

    assert [record.value for record in log.records()] == first + first
    assert store.pending_outbox() == []


def test_a_broker_that_forgot_everything_is_told_the_newest_of_every_key_again(log, empty, url, store):
    store.put_account(replace(PAPER, capital="5"))
    store.put_account(PAPER)
    store.put_account(AccountConfig("gone", "paper"))
    store.delete_account("gone")
    publish(log, url)

    publish(empty, url)

    assert [(record.key, record.value) for record in empty.records()] == [(b"paper-1", log.records()[1].value)]


def test_a_change_that_the_broker_does_not_take_stops_the_flow_and_stays_pending(store, run):
    store.put_account(PAPER)
    nobody_listens = KafkaSettings(bootstrap="127.0.0.1:1", embedded=True)
    outbox = Outbox(store)
    flow = config.build(
        OutboxSource(outbox), AcknowledgingSink(KafkaSink(nobody_listens, delivery_timeout_s=1), outbox)
    )

    with pytest.raises(FatalError, match=r"paper-1.*config\.accounts"):
        run(flow)

    assert len(store.pending_outbox()) == 1


def test_changes_made_while_a_locked_store_could_not_be_marked_are_not_sent_twice(url, store, monkeypatch):
    store.put_account(PAPER)
    outbox = Outbox(store)
    changes = outbox.take()
    assert outbox.take() == []  # under way

    store.close()
    monkeypatch.setattr(schema, "WAIT_S", 0.05)
    quick = ConfigStore(url)
    outbox._store = quick
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outbox.acknowledge(changes)
    assert not outbox.empty
    other.execute("ROLLBACK")
    other.close()

    assert outbox.take() == []
    assert outbox.empty
    assert quick.pending_outbox() == []
    quick.close()


def test_a_process_says_when_it_is_live_publishes_changes_as_they_come_and_stops_cleanly(empty, url, store, tmp_path):
    store.put_account(PAPER)
    ready = tmp_path / "ready"
    environment = {
        **os.environ,
        "PANDA_KAFKA__BOOTSTRAP": empty.kafka.bootstrap,
        "PANDA_KAFKA__EMBEDDED": "true",
        "PANDA_DATABASE__URL": url,
        "PANDA_READY_FILE": str(ready),
    }
    code = (
        "from connectors.settings import load; from dataflows import config, process; process.run(config.live(load()))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        until(ready.exists)
        assert [key for _, key, _ in empty.payloads()] == [b"paper-1"]
        store.put_account(AccountConfig("paper-2", "paper"))
        until(lambda: store.pending_outbox() == [])
        assert [key for _, key, _ in empty.payloads()] == [b"paper-1", b"paper-2"]
        child.send_signal(signal.SIGTERM)
        said = child.communicate(timeout=60)[1]
    finally:
        child.kill()
    assert (child.returncode, said) == (0, "")


def test_the_flow_does_not_start_on_a_store_that_was_never_set_up(log, tmp_path, run):
    settings = Settings(kafka=log.kafka, database=DatabaseSettings(url=f"sqlite:///{tmp_path}/none.sqlite"))
    with pytest.raises(ConfigError, match="is not set up"):
        run(config.live(settings))
