"""Shards: two workers on one log decide what one worker with all the accounts decides."""

from datetime import timedelta

import msgspec
import pytest
from bytewax.testing import run_main

from connectors.errors import ConfigError
from connectors.kafka.embedded import start_embedded
from connectors.kafka.source import fetch_all
from connectors.settings import Settings
from dataflows import pipeline
from functions.assignment import Seat
from functions.events import PaperVenue, decode
from functions.topics import outputs
from tests.desk import account, lax
from tests.integration.test_pipeline import INSTRUMENTS, STRATEGIES, TOKENS, write
from tests.market import walk
from tests.recorded import config_events, tick_events

pytestmark = pytest.mark.kafka

TIGHT = lax(max_position=30, max_orders_per_second=9, max_daily_loss="200")
ACCOUNTS = [
    account("paper-1", limits=TIGHT, venue=PaperVenue(slippage_bps="1")),
    account("paper-2", limits=lax(max_position=12), venue=PaperVenue()),
    msgspec.structs.replace(account("paper-3", limits=TIGHT, venue=PaperVenue()), shard=2),
]
EVERYBODY = [account.account for account in ACCOUNTS]
FOLLOWED = [msgspec.structs.replace(s, accounts=EVERYBODY) for s in STRATEGIES]
EVENTS = tick_events(walk(6_000, len(TOKENS), 0.0006, 5, step_ns=20_000_000), TOKENS)


@pytest.fixture
def log(tmp_path_factory):
    """Makes brokers that hold the configuration and the market."""
    brokers = []

    def made():
        broker = start_embedded(tmp_path_factory.mktemp("broker"))
        brokers.append(broker)
        settings = Settings(kafka={"bootstrap": broker.bootstrap, "embedded": True})
        write(settings, config_events(INSTRUMENTS, ACCOUNTS, FOLLOWED))
        write(settings, EVENTS)
        return settings

    yield made
    for broker in brokers:
        broker.stop()


def run(settings, *seats):
    for seat in seats:
        run_main(pipeline.live(settings, seat=seat, until_end=True), epoch_interval=timedelta(seconds=0.1))


def decided(settings):
    """Every event of a broker's topics, by topic and id; a signal that two shards tell is told twice, with one content."""
    found: dict[tuple[str, str], bytes] = {}
    for topic in (*outputs("paper"),):
        for record in fetch_all(settings.kafka, [topic.name]):
            id = decode(record.value).id
            assert found.setdefault((topic.name, id), record.value) == record.value, "one id, two contents"
    return found


def test_two_shards_decide_what_one_worker_with_all_accounts_decides(log):
    alone, together = log(), log()

    run(alone, Seat())
    run(together, Seat(1, 2), Seat(2, 2))

    wanted = decided(alone)
    assert decided(together) == wanted
    assert {decode(v).data.account for (t, _), v in wanted.items() if t == "paper.orders.filled"} == set(EVERYBODY)


def test_an_account_that_no_shard_would_hold_is_refused_at_the_start(log):
    settings = log()
    lost = msgspec.structs.replace(ACCOUNTS[0], shard=7)
    write(settings, config_events([], [lost], []))

    with pytest.raises(ConfigError, match="account paper-1 is assigned to shard 7, there are 2"):
        run(settings, Seat(2, 2))
