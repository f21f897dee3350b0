"""A shard whose newest strategy record was, or has to be, refused: it starts, as running workers go on, and tells it once."""

import json
from datetime import timedelta

import msgspec
import pytest
from bytewax.testing import run_main

from connectors.errors import ConfigError
from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing
from connectors.kafka.source import fetch_all
from connectors.settings import Settings
from dataflows import pipeline, rebuilding, recovery
from dataflows.resharding import reshard, seats
from functions.assignment import Seat
from functions.codec import decode
from functions.topics import CONFIG_STRATEGIES, SYSTEM_ALERTS
from tests.recorded import config_events
from tests.shards import ACCOUNTS, FOLLOWED, decided, everybody_traded
from tests.shards import EVENTS as WHOLE
from tests.traded import INSTRUMENTS, write

pytestmark = pytest.mark.kafka

FADE, FOLLOW = FOLLOWED
NOWHERE = msgspec.structs.replace(FADE, implementation="nowhere")
NEW = msgspec.structs.replace(FOLLOW, strategy="new", parameters={"speed": 3})
EVENTS = WHOLE[:3_000]
THIRD = len(EVENTS) // 3
WORDS = "config.strategies fade at offset {}: strategy fade: unknown strategy 'nowhere'"


@pytest.fixture
def log(tmp_path_factory):
    """Makes brokers that hold accounts, instruments, and these strategies."""
    brokers = []

    def made(*strategies, events=()):
        directory = tmp_path_factory.mktemp("broker")
        broker = start_embedded(directory)
        brokers.append(broker)
        settings = Settings(data_dir=directory, kafka={"bootstrap": broker.bootstrap, "embedded": True})
        write(settings, config_events(INSTRUMENTS, ACCOUNTS, []))
        for strategy in strategies:
            put(settings, strategy)
        write(settings, events)
        return settings

    yield made
    for broker in brokers:
        broker.stop()


@pytest.fixture
def compacted(monkeypatch):
    """From now on the log has the newest record of each key alone."""
    whole = recovery.read_configuration_topics

    def newest(kafka, payloads):
        return list({(c.record.topic, c.record.key): c for c in whole(kafka, payloads)}.values())

    return lambda: monkeypatch.setattr(recovery, "read_configuration_topics", newest)


def put(settings, strategy):
    write(settings, config_events([], [], [strategy]))


def run(settings, *seats, **more):
    for seat in seats or [Seat()]:
        run_main(pipeline.live(settings, seat=seat, until_end=True, **more), epoch_interval=timedelta(seconds=0.1))


def told(settings):
    """The refusals on the log, each event once, in words."""
    alerts = {(event := decode(r.value)).id: event.data for r in fetch_all(settings.kafka, [SYSTEM_ALERTS.name])}
    return sorted(alert.message for alert in alerts.values() if alert.code == "configuration_refused")


def said_refused(capsys):
    """What a start says of them to whoever started it."""
    lines = [json.loads(line) for line in "".join(capsys.readouterr()).splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "pipeline.configuration_refused"]


def letters(settings):
    return [dict(r.headers)["offset"] for r in fetch_all(settings.kafka, [CONFIG_STRATEGIES.dead_letters.name])]


def test_a_first_start_takes_the_last_record_that_can_run_and_leaves_out_what_never_could(log):
    alone, settings = log(FADE, FOLLOW, events=EVENTS), log(FADE, NOWHERE, FOLLOW, NEW, events=EVENTS)

    run(alone)
    run(settings)

    assert decided(settings.kafka) == decided(alone.kafka)
    assert everybody_traded(decided(settings.kafka))
    fade, new = told(settings)
    assert fade.startswith(WORDS.format(1))
    assert fade.endswith(": what was before goes on")
    assert new.startswith("config.strategies new at offset 3: ")
    assert "speed" in new
    assert new.endswith(": it does not run until a record of it can")
    assert letters(settings) == [b"1", b"3"]


def test_a_first_start_of_which_nothing_can_run_is_live_and_takes_what_comes(log):
    settings = log(NOWHERE, events=EVENTS[:THIRD])
    run(settings)
    assert decided(settings.kafka) == {}
    assert len(told(settings)) == 1

    put(settings, FADE)
    put(settings, FOLLOW)
    write(settings, EVENTS[THIRD:])
    run(settings)

    assert everybody_traded(decided(settings.kafka))
    assert len(told(settings)) == 1, "what is newer than a refusal ends it"


def test_a_strategy_that_was_deleted_does_not_come_back_where_its_newest_record_cannot_run(log):
    settings = log(FADE, FOLLOW)
    write(settings, [Outgoing(CONFIG_STRATEGIES.name, b"fade", None)])
    put(settings, NOWHERE)
    write(settings, EVENTS)

    run(settings)

    strategies = {
        decode(value).data.strategy for (topic, _), value in decided(settings.kafka).items() if "signals" in topic
    }
    assert strategies == {"follow"}
    assert told(settings)[0].endswith("it does not run until a record of it can")


def test_a_first_start_with_a_wrong_account_is_none_even_where_a_strategy_could_be_left_out(log):
    settings = log(NOWHERE)
    write(settings, config_events([], [msgspec.structs.replace(ACCOUNTS[0], capital="-1")], []))

    with pytest.raises(ConfigError, match="account paper-1: capital is more than 0"):
        run(settings)


@pytest.mark.parametrize("gone", [False, True], ids=["whole log", "compacted log"])
def test_a_restart_goes_on_with_what_was_in_force_and_writes_no_second_refusal(log, compacted, capsys, gone):
    alone, settings = log(FADE, FOLLOW, events=EVENTS), log(FADE, FOLLOW, events=EVENTS[:THIRD])
    run(alone)
    run(settings)
    put(settings, NOWHERE)
    run(settings)
    if gone:
        compacted()
    [refused] = told(settings)
    assert refused.startswith(WORDS.format(2))

    for part in (EVENTS[THIRD : 2 * THIRD], EVENTS[2 * THIRD :], ()):
        write(settings, part)
        capsys.readouterr()
        run(settings)
        [said] = said_refused(capsys)
        assert (said["key"], said["offset"]) == ("fade", 2)
        assert "unknown strategy 'nowhere'" in said["reason"]

    assert decided(settings.kafka) == decided(alone.kafka)
    assert told(settings) == [refused], "as it came, and never again"
    assert letters(settings) == [b"2"]


def test_a_restart_says_where_a_refused_record_could_run_now(log, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(tmp_path))
    later = msgspec.structs.replace(FADE, implementation="comes_later:Later", parameters={})
    settings = log(FADE, FOLLOW, events=EVENTS[:THIRD])
    run(settings)
    put(settings, later)
    run(settings)
    assert "comes_later" in told(settings)[0]
    (tmp_path / "comes_later.py").write_text(
        "class Later:\n    fields = ('price',)\n    def on_tick(self, tick): return None\n"
    )

    capsys.readouterr()
    run(settings)

    [said] = said_refused(capsys)
    assert "could run now: change it in the store" in said["reason"]


def test_accounts_move_to_other_shards_under_what_was_in_force(log, compacted):
    alone, settings = log(FADE, FOLLOW, events=EVENTS), log(FADE, FOLLOW, events=EVENTS[:THIRD])
    run(alone)
    run(settings, *seats(2))
    put(settings, NOWHERE)
    run(settings, *seats(2))
    compacted()

    moved = reshard(settings, "paper", 2, 1)
    write(settings, EVENTS[THIRD:])
    run(settings)

    assert list(moved) == ["paper-0"]
    assert decided(settings.kafka) == decided(alone.kafka)


@pytest.mark.parametrize("way", [rebuilding.made_anew, rebuilding.from_fills, None], ids=["journal", "fills", "start"])
def test_a_state_is_made_anew_under_what_was_in_force(log, compacted, way):
    settings = log(FADE, FOLLOW, events=EVENTS[:THIRD])
    run(settings)
    put(settings, NOWHERE)
    run(settings)
    compacted()

    if way is None:
        run(settings, rebuild=True)
    else:
        way(settings, "paper")
    write(settings, EVENTS[THIRD:])
    run(settings)

    signals = [decode(value) for (topic, _), value in decided(settings.kafka).items() if topic == "paper.signals.raw"]
    since = decode(EVENTS[THIRD].value).timestamp
    assert {event.data.strategy for event in signals if event.timestamp > since} == {"fade", "follow"}
    assert rebuilding.verified(settings, "paper").shard == "paper-0"
