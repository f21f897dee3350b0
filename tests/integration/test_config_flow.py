"""The config flow on a real store and the embedded broker: every change reaches its topic, crashes included."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from bytewax.testing import run_main
from connectors.kafka.embedded import start_embedded
from connectors.kafka.sink import KafkaSink
from connectors.kafka.source import fetch_all

from connectors.database import schema
from connectors.database.outbox import AcknowledgingSink, Outbox, OutboxSource
from connectors.database.seed import demo_seed
from connectors.database.store import TOPICS, ConfigStore
from connectors.errors import FatalError
from connectors.settings import DatabaseSettings, KafkaSettings, Settings
from dataflows import config
from functions.events import AccountConfig, decode

pytestmark = pytest.mark.kafka

replace = msgspec.structs.replace
PAPER = AccountConfig("paper-1", "paper")


@pytest.fixture
def kafka(tmp_path):
    """An embedded broker with nothing in it."""
    (tmp_path / "broker").mkdir()
    with start_embedded(tmp_path / "broker") as broker:
        yield KafkaSettings(bootstrap=broker.bootstrap, embedded=True)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/panda.sqlite"


@pytest.fixture
def store(url):
    with ConfigStore(url) as store:
        store.upgrade()
        yield store


def publish(kafka, url):
    """One run of the flow, to the moment at which it is live."""
    live = []
    settings = Settings(kafka=kafka, database=DatabaseSettings(url=url))
    flow = config.live(settings, stop=lambda: bool(live), on_live=lambda: live.append(True))
    run_main(flow, epoch_interval=timedelta(milliseconds=50))
    assert live == [True]


def log(kafka):
    """Everything in the configuration topics, each topic in its order."""
    return list(fetch_all(kafka, [topic.name for topic in TOPICS]))


def payloads(kafka):
    return [(r.topic, r.key, None if r.value is None else decode(r.value).data) for r in log(kafka)]


def test_the_demo_configuration_reaches_its_topics_and_leaves_the_outbox(kafka, url, store):
    instruments, accounts, strategies = demo_seed()
    store.seed(instruments, accounts, strategies)

    publish(kafka, url)

    found = payloads(kafka)
    assert [p for topic, _, p in found if topic == "config.instruments"] == instruments
    assert [p for topic, _, p in found if topic == "config.accounts"] == accounts
    assert [p for topic, _, p in found if topic == "config.strategies"] == strategies
    assert [key for topic, key, _ in found if topic == "config.strategies"] == [s.strategy.encode() for s in strategies]
    assert store.pending_outbox() == []


def test_a_second_start_publishes_nothing_again(kafka, url, store):
    store.seed(*demo_seed())
    publish(kafka, url)
    publish(kafka, url)
    assert len(log(kafka)) == 12


def test_changes_of_one_account_arrive_in_the_order_they_were_made_its_deletion_last(kafka, url, store):
    store.put_account(PAPER)
    store.put_account(replace(PAPER, killed=True))
    store.put_account(replace(PAPER, capital="5"))
    store.delete_account("paper-1")

    publish(kafka, url)

    assert payloads(kafka) == [
        ("config.accounts", b"paper-1", PAPER),
        ("config.accounts", b"paper-1", replace(PAPER, killed=True)),
        ("config.accounts", b"paper-1", replace(PAPER, capital="5")),
        ("config.accounts", b"paper-1", None),
    ]


def test_more_changes_than_one_look_takes_all_arrive_in_order(kafka, url, store):
    for n in range(1, 621):
        store.put_account(replace(PAPER, capital=str(n)))
    publish(kafka, url)
    assert [data.capital for _, _, data in payloads(kafka)] == [str(n) for n in range(1, 621)]


def test_killed_between_publishing_and_marking_it_sends_the_same_bytes_under_the_same_id_again(kafka, url, store):
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
    kafka=KafkaSettings(bootstrap={kafka.bootstrap!r}, embedded=True), database=DatabaseSettings(url={url!r})
)
run_main(config.live(settings, stop=lambda: False), epoch_interval=timedelta(milliseconds=50))
"""
    killed = subprocess.run([sys.executable, "-c", killed_at_the_mark], timeout=60)
    assert killed.returncode == 9
    first = [record.value for record in log(kafka)]
    assert len(first) == 2
    assert len(store.pending_outbox()) == 2

    publish(kafka, url)

    assert [record.value for record in log(kafka)] == first + first
    assert store.pending_outbox() == []


def test_a_broker_that_forgot_everything_is_told_the_newest_of_every_key_again(kafka, url, store, tmp_path):
    store.put_account(replace(PAPER, capital="5"))
    store.put_account(PAPER)
    store.put_account(AccountConfig("gone", "paper"))
    store.delete_account("gone")
    publish(kafka, url)

    (tmp_path / "another").mkdir()
    with start_embedded(tmp_path / "another") as broker:
        empty = KafkaSettings(bootstrap=broker.bootstrap, embedded=True)
        publish(empty, url)
        again = log(empty)

    assert [(record.key, record.value) for record in again] == [(b"paper-1", log(kafka)[1].value)]


def test_a_change_that_the_broker_does_not_take_stops_the_flow_and_stays_pending(url, store, tmp_path):
    store.put_account(PAPER)
    with start_embedded(tmp_path) as broker:
        kafka = KafkaSettings(bootstrap=broker.bootstrap, embedded=True)
    outbox = Outbox(store)
    flow = config.build(OutboxSource(outbox), AcknowledgingSink(KafkaSink(kafka, delivery_timeout_s=1), outbox))

    with pytest.raises(Exception) as caught:  # noqa: PT011 - Bytewax wraps what a step raises
        run_main(flow)

    causes = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert any(isinstance(cause, FatalError) for cause in causes)
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


def test_a_process_says_when_it_is_live_publishes_changes_as_they_come_and_stops_cleanly(kafka, url, store, tmp_path):
    store.put_account(PAPER)
    ready = tmp_path / "ready"
    environment = {
        **os.environ,
        "PANDA_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "PANDA_KAFKA__EMBEDDED": "true",
        "PANDA_DATABASE__URL": url,
        "PANDA_READY_FILE": str(ready),
    }
    code = (
        "from connectors.settings import load; from dataflows import config, process; process.run(config.live(load()))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(ready.exists)
        assert [key for _, key, _ in payloads(kafka)] == [b"paper-1"]
        store.put_account(AccountConfig("paper-2", "paper"))
        wait_for(lambda: store.pending_outbox() == [])
        assert [key for _, key, _ in payloads(kafka)] == [b"paper-1", b"paper-2"]
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=20)[1]
    finally:
        process.kill()
    assert (process.returncode, said) == (0, "")


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_the_flow_does_not_start_on_a_store_that_was_never_set_up(kafka, tmp_path):
    settings = Settings(kafka=kafka, database=DatabaseSettings(url=f"sqlite:///{tmp_path}/none.sqlite"))
    with pytest.raises(Exception, match="is not set up") as caught:
        run_main(config.live(settings, stop=lambda: False))
    assert caught.value is not None
    assert Path(tmp_path / "none.sqlite").stat().st_size == 0
