"""The read side on the real platform: each flow with its own users, and its lag as tools for Kafka see it."""

from datetime import timedelta
from pathlib import Path

import pytest
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from confluent_kafka import ConsumerGroupTopicPartitions
from pydantic import SecretStr

from analytics.queries import Queries
from api.desk import Desk
from connectors.errors import ConfigError
from connectors.kafka.admin import Administrator
from connectors.kafka.sink import Writer
from connectors.kafka.source import end_offsets, mirror_ended
from connectors.redis import Desk as Writing
from connectors.redis import connect
from connectors.settings import DeploySettings, KafkaSettings, LakeSettings, RedisSettings, Settings
from dataflows import archive, cache
from dataflows.process import READY_FILE
from deploy.plan.access import Access
from deploy.plan.running import apply, exit_code
from deploy.plan.steps import Context
from deploy.plan.topics import Topics
from tests.history import ack, filled, outgoing, signal, snapshot, submitted, validated

pytestmark = pytest.mark.platform

DAY = [
    signal("g1"), validated("g1"), submitted("o1"), ack("o1"), filled("o1", 10, left=0, position=10), snapshot(1.0),
]  # fmt: skip


@pytest.fixture(scope="module")
def day(platform):
    """A deployed platform with a day on its log."""
    settings = Settings(kafka=platform.kafka, deploy=DeploySettings(secret=platform.deploy_secret))
    results = apply([Topics(Context(settings)), Access(Context(settings))])
    assert exit_code(results) == 0, results
    writer = Writer(platform.kafka)
    writer.write([outgoing(event) for event in DAY])
    writer.flush()
    return platform


@pytest.fixture
def drained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a flow until it has read all that was there, and ends it as `panda run` does."""
    monkeypatch.setenv(READY_FILE, str(tmp_path / "ready"))
    monkeypatch.setattr("connectors.kafka.source._ended", [])

    def run(made) -> None:
        flow: Dataflow = made((tmp_path / "ready").exists)
        cli_main(flow, epoch_interval=timedelta(seconds=0.25))
        mirror_ended()

    return run


def lag(kafka: KafkaSettings, group: str, topics: list[str]) -> dict[tuple[str, int], int]:
    """What a tool shows: of each partition that has records, how many the group has not read."""
    admin = Administrator(kafka)  # kept until it has answered
    [future] = admin.client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
    answer = admin.result(future, f"tell how far {group} has read")
    read = {(p.topic, p.partition): p.offset for p in answer.topic_partitions}
    return {at: end - read.get(at, 0) for at, end in end_offsets(kafka, topics).items() if end}


def settings_as(day, principal: str, lake: Path) -> Settings:
    return Settings(
        kafka=day.kafka_as(principal), redis=RedisSettings(url=SecretStr(day.redis_url_of("cache"))),
        lake=LakeSettings(path=str(lake)),
    )  # fmt: skip


def test_the_cache_enters_with_its_own_users_the_api_reads_what_it_wrote_and_no_lag_is_left(day, drained, tmp_path):
    settings = settings_as(day, "cache", tmp_path)

    drained(lambda stop: cache.live(settings, stop=stop))

    behind = lag(day.kafka, "cache-paper", [topic.name for topic in cache.input_topics("paper")])
    assert behind
    assert set(behind.values()) == {0}
    with connect(RedisSettings(url=SecretStr(day.redis_url_of("api")))) as reader:
        assert "a" in [account.account for account in Desk(reader, "paper").accounts().items]
        with pytest.raises(ConfigError, match="Redis user 'api' lacks a right"):
            Writing(reader, "paper").beat()


def test_the_archive_enters_with_its_own_user_and_leaves_no_lag(day, drained, tmp_path):
    settings = settings_as(day, "archive", tmp_path / "lake")

    drained(lambda stop: archive.live(settings, stop=stop))

    behind = lag(day.kafka, "archive", archive.archived(("paper",)))
    assert behind
    assert set(behind.values()) == {0}
    queries = Queries(settings.lake)
    assert "o1" in [fill.order_id for fill in queries.fills("paper")]
    queries.close()
