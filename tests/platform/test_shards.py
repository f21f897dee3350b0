"""Shards on a real broker: two workers at once decide what one worker with all the accounts decides."""

from contextlib import ExitStack

import pytest

from connectors.kafka.sink import Writer
from dataflows.resharding import reshard, seats
from tests.e2e.processes import pipeline_process, stop, wait_until_read
from tests.ground import PLACES
from tests.shards import ACCOUNTS, CONFIGURATION, EVENTS, decided, everybody_traded

pytestmark = pytest.mark.timeout(900)

ON_REAL_KAFKA = pytest.mark.parametrize("new_ground", PLACES[1:], indirect=True)


def write(ground, records):
    writer = Writer(ground.kafka)
    writer.write(records)
    writer.flush()


def trade(ground, events, shards):
    """So many workers at once, each a process, over these events; they end when all have read them."""
    workers = [seat for seat in seats(shards) if any(seat.holds(account) for account in ACCOUNTS)]
    with ExitStack() as running:
        processes = [
            running.enter_context(pipeline_process(ground, "-m", "cli", "run", "pipeline", "--shard", str(seat)))
            for seat in workers
        ]
        write(ground, events)
        for seat in workers:
            wait_until_read(ground.kafka, f"pipeline-{seat.key('paper')}")
        for process in processes:
            stop(process)


@pytest.fixture
def configured(new_ground):
    """Makes grounds whose log holds the configuration."""

    def made():
        ground = new_ground()
        write(ground, CONFIGURATION)
        return ground

    return made


@pytest.fixture
def wanted(configured):
    """What one worker that holds all the accounts decides."""
    ground = configured()
    trade(ground, EVENTS, 1)
    return decided(ground.kafka)


@ON_REAL_KAFKA
def test_two_workers_on_one_broker_decide_what_one_worker_with_all_accounts_decides(wanted, configured):
    ground = configured()
    trade(ground, EVENTS, 2)

    assert decided(ground.kafka) == wanted
    assert everybody_traded(wanted)


@ON_REAL_KAFKA
def test_accounts_that_move_from_one_worker_to_two_and_on_to_three_trade_as_with_one(wanted, configured):
    ground = configured()
    third = len(EVENTS) // 3
    trade(ground, EVENTS[:third], 1)
    for before, events in ((1, EVENTS[third : 2 * third]), (2, EVENTS[2 * third :])):
        reshard(ground.settings, "paper", before, before + 1)
        trade(ground, events, before + 1)

    assert decided(ground.kafka) == wanted
