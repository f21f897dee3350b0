"""Shards: two workers on one log decide what one worker with all the accounts decides."""

from datetime import timedelta

import msgspec
import pytest
from bytewax.testing import run_main

from connectors import lease
from connectors.errors import ConfigError, FatalError
from connectors.kafka.embedded import start_embedded
from connectors.kafka.source import fetch_all
from connectors.settings import Settings
from dataflows import pipeline
from dataflows.resharding import reshard, seats
from functions.assignment import Seat
from functions.codec import decode
from tests.recorded import config_events
from tests.shards import ACCOUNTS, CONFIGURATION, EVENTS, FOLLOWED, decided, everybody_traded
from tests.traded import write

pytestmark = pytest.mark.kafka


@pytest.fixture
def log(tmp_path_factory):
    """Makes brokers that hold the configuration and the market."""
    brokers = []

    def made(events=EVENTS):
        directory = tmp_path_factory.mktemp("broker")
        broker = start_embedded(directory)
        brokers.append(broker)
        settings = Settings(data_dir=directory, kafka={"bootstrap": broker.bootstrap, "embedded": True})
        write(settings, CONFIGURATION)
        write(settings, events)
        return settings

    yield made
    for broker in brokers:
        broker.stop()


def run(settings, *seats):
    for seat in seats:
        run_main(pipeline.live(settings, seat=seat, until_end=True), epoch_interval=timedelta(seconds=0.1))


def test_two_shards_decide_what_one_worker_with_all_accounts_decides(log):
    alone, together = log(), log()

    run(alone, Seat())
    run(together, Seat(1, 2), Seat(2, 2))

    wanted = decided(alone.kafka)
    assert decided(together.kafka) == wanted
    assert everybody_traded(wanted)


HALF = len(EVENTS) // 2


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3)])
def test_accounts_move_between_shards_with_everything_they_hold(log, before, after):
    alone, moved = log(), log(EVENTS[:HALF])
    run(alone, Seat())

    run(moved, *seats(before))
    reshard(moved, "paper", before, after)
    write(moved, EVENTS[HALF:])
    run(moved, *(seat for seat in seats(after) if any(seat.holds(account) for account in ACCOUNTS)))

    assert decided(moved.kafka) == decided(alone.kafka)


def test_two_shards_that_a_change_reaches_at_different_ticks_give_no_id_two_contents(log):
    """One shard has read further when the strategy changes, and ends flat; `decided` refuses an id with two contents."""
    settings = log(EVENTS[: HALF // 2])
    first, second = seats(2)
    run(settings, first)
    write(settings, EVENTS[HALF // 2 : HALF])
    run(settings, second)
    changed = [msgspec.structs.replace(s, parameters={**s.parameters, "quantity": 7}) for s in FOLLOWED]
    write(settings, config_events([], [], changed))
    run(settings, first, second)
    write(settings, EVENTS[HALF : HALF + HALF // 2])
    run(settings, first, second)
    ended = [msgspec.structs.replace(s, enabled=False, on_disable="flatten") for s in changed]
    write(settings, config_events([], [], ended))
    write(settings, EVENTS[HALF + HALF // 2 :])
    run(settings, first, second)

    assert everybody_traded(decided(settings.kafka))


def test_a_shard_does_not_begin_anew_with_an_account_whose_books_are_elsewhere(log):
    settings = log(EVENTS[:500])
    run(settings, Seat())

    with pytest.raises(
        FatalError, match=r"shard paper-\dof2 would begin anew with .*in the snapshot of paper-0"
    ) as refused:
        run(settings, Seat(2, 2))

    assert "panda shards" in refused.value.remedy


def test_an_account_assigned_to_another_shard_while_workers_run_stays_until_it_is_moved(log):
    settings = log(EVENTS[:HALF])
    run(settings, *seats(2))
    home = next(seat for seat in seats(2) if seat.holds(ACCOUNTS[0]))
    there = Seat(3 - home.number, 2)
    write(settings, config_events([], [msgspec.structs.replace(ACCOUNTS[0], shard=there.number)], []))

    run(settings, *seats(2))
    refusals = [decode(r.value).data for r in fetch_all(settings.kafka, ["system.alerts"])]
    moved = reshard(settings, "paper", 2, 2)
    write(settings, EVENTS[HALF:])
    run(settings, *(seat for seat in seats(2) if any(seat.key("paper") == key for key in moved)))

    assert {a.code for a in refusals} >= {"configuration_refused"}
    assert "paper-1" in moved[there.key("paper")]
    alone = log()
    run(alone, Seat())
    assert decided(settings.kafka) == decided(alone.kafka)


def test_shards_that_have_not_read_equally_far_are_not_put_together(log):
    settings = log(EVENTS[:500])
    run(settings, Seat(1, 2))
    write(settings, EVENTS[500:600])
    run(settings, Seat(2, 2))

    with pytest.raises(FatalError, match="have not read equally far"):
        reshard(settings, "paper", 2, 1)


def test_nothing_moves_while_a_worker_holds_its_lease(log):
    settings = log(EVENTS[:500])
    run(settings, Seat())

    with lease.hold(settings, "paper-0"), pytest.raises(FatalError, match="shard paper-0 is held"):
        reshard(settings, "paper", 1, 2)


def test_an_account_that_no_shard_would_hold_is_refused_at_the_start(log):
    settings = log()
    lost = msgspec.structs.replace(ACCOUNTS[0], shard=7)
    write(settings, config_events([], [lost], []))

    with pytest.raises(ConfigError, match="account paper-1 is assigned to shard 7, there are 2"):
        run(settings, Seat(2, 2))
