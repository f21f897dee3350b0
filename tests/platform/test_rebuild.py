"""What is made of the log can be made of it again: Redis, the lake, and a state from the lake when the log is gone."""

import shutil
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from bytewax.run import cli_main
from confluent_kafka import TopicPartition
from pydantic import SecretStr

from connectors.kafka.admin import Administrator
from connectors.kafka.sink import Writer
from connectors.kafka.source import end_offsets, fetch_all, first_offsets
from connectors.lake.records import LakeRecords
from connectors.redis import connect
from connectors.settings import LakeSettings, RedisSettings
from dataflows import archive, cache, pipeline, rebuilding
from dataflows.process import READY_FILE
from functions.topics import MARKET_CLOCK, MARKET_TICKS, PIPELINE_JOURNAL, archived
from tests.foreign import partly_foreign
from tests.ground import Ground, begin_anew, settings_on
from tests.market import walk
from tests.recorded import config_events, tick_events
from tests.traded import ACCOUNT, INSTRUMENTS, STRATEGIES, TOKENS

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

DAY = tick_events(walk(4_000, len(TOKENS), 0.0006, 5, step_ns=20_000_000), TOKENS)
EVENTS = partly_foreign(DAY, MARKET_TICKS.name)  # every seventh tick is written otherwise, or is none
HALF = len(EVENTS) // 2


@pytest.fixture
def traded(entered, tmp_path, monkeypatch):
    """A day that was traded in two sessions, archived and cached."""
    begin_anew(entered.kafka)
    with connect(RedisSettings(url=SecretStr(entered.redis_url_of("default")))) as everything:
        everything.flushall()
    monkeypatch.setenv(READY_FILE, str(tmp_path / "ready"))
    settings = settings_on(entered, tmp_path).model_copy(
        update={
            "redis": RedisSettings(url=SecretStr(entered.redis_url)), "lake": LakeSettings(path=str(tmp_path / "lake")),
            "active_brokers": ("paper",),
        }
    )  # fmt: skip
    write(settings, config_events(INSTRUMENTS, [ACCOUNT], STRATEGIES))
    for part in (EVENTS[:HALF], EVENTS[HALF:]):
        write(settings, part)
        cli_main(pipeline.live(settings, until_end=True), epoch_interval=timedelta(seconds=0.25))
    drained(settings, cache.live)
    drained(settings, archive.live)
    return Ground(settings)


def write(settings, records):
    writer = Writer(settings.kafka)
    writer.write(records)
    writer.flush()


def drained(settings, made):
    """Runs a flow until it has read all that was there."""
    ready = settings.data_dir / "ready"
    ready.unlink(missing_ok=True)
    cli_main(made(settings, stop=ready.exists), epoch_interval=timedelta(seconds=0.25))


def tables(settings):
    """Everything in Redis but the writer's own sign of life."""
    with connect(settings.redis) as client:
        kept = {}
        for key in sorted(client.scan_iter("paper:*")):
            if "heartbeat" not in key:
                kept[key] = client.dump(key) if client.type(key) == "none" else _value(client, key)
        return kept


def _value(client, key):
    match client.type(key):
        case "hash":
            return client.hgetall(key)
        case "zset":
            return client.zrange(key, 0, -1, withscores=True)
        case "set":
            return sorted(client.smembers(key))
        case "list":
            return client.lrange(key, 0, -1)
        case _:
            return client.get(key)


def rows(settings):
    """Every record of the lake, whole, in the order of the log."""
    root = settings.lake.path
    with duckdb.connect() as duck:
        return {
            topic: duck.execute(
                f"SELECT * FROM read_parquet('{root}/{topic}/*/*.parquet', hive_partitioning=false) "
                'ORDER BY topic, partition, "offset"'
            ).fetchall()
            for topic in archived(("paper",))
        }


def test_redis_is_the_same_again_after_it_was_emptied(traded):
    before = tables(traded.settings)
    with connect(traded.settings.redis) as client:
        for key in client.scan_iter("paper:*"):
            client.delete(key)
    assert tables(traded.settings) == {}

    drained(traded.settings, cache.live)

    assert tables(traded.settings) == before
    assert any("positions" in key for key in before)


def test_the_lake_is_the_same_again_after_it_was_deleted(traded):
    before = rows(traded.settings)
    shutil.rmtree(traded.settings.lake.path)

    drained(traded.settings, archive.live)

    assert rows(traded.settings) == before
    assert len(before[MARKET_TICKS.name]) == sum(event.topic == MARKET_TICKS.name for event in EVENTS)


def eaten(settings, topics):
    """What retention does: the log of these topics begins at its end."""
    asked = [TopicPartition(*at, offset) for at, offset in end_offsets(settings.kafka, topics).items() if offset]
    admin = Administrator(settings.kafka)
    for future in admin.client.delete_records(asked).values():
        future.result(30)


def test_a_record_of_the_lake_is_the_one_that_lay_on_the_log_to_the_byte(traded):
    settings = traded.settings
    lake = LakeRecords(settings.lake)
    for topic in (MARKET_TICKS.name, MARKET_CLOCK.name, PIPELINE_JOURNAL.name, "paper.orders.filled"):
        for (name, partition), end in end_offsets(settings.kafka, [topic]).items():
            there = list(fetch_all(settings.kafka, [name], only={(name, partition)}))
            if there:
                assert [(r.key, r.value) for r in lake.take(name, partition, 0, end - 1)] == [
                    (r.key, r.value) for r in there
                ]
    lake.close()


def test_a_pipelines_state_is_proved_from_the_lake_when_the_log_no_longer_has_it(traded):
    settings = traded.settings
    on_the_log = rebuilding.verified(settings, "paper")
    eaten(settings, [MARKET_TICKS.name, MARKET_CLOCK.name, PIPELINE_JOURNAL.name])
    assert all(first > 0 for first in first_offsets(settings.kafka, [MARKET_CLOCK.name]).values())

    from_the_lake = rebuilding.verified(settings, "paper")

    assert (from_the_lake.entries, from_the_lake.records) == (on_the_log.entries, on_the_log.records)
    assert from_the_lake.records == len(EVENTS)


def test_what_is_in_neither_is_said(traded):
    settings = traded.settings
    eaten(settings, [MARKET_TICKS.name, PIPELINE_JOURNAL.name])
    for file in Path(settings.lake.path, PIPELINE_JOURNAL.name).glob("*/*-*-*.parquet"):
        file.unlink()

    with pytest.raises(Exception, match="neither on the log nor in the lake"):
        rebuilding.verified(settings, "paper")
