"""Topics on a real broker: made, repaired, and not shrunk."""

import time
from dataclasses import replace

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from pydantic import SecretStr

from connectors.errors import ConfigError, DependencyError
from connectors.kafka.admin import Administrator
from connectors.kafka.topics import ensure_topics, found_topics
from connectors.settings import Settings
from deploy.plan.running import apply, exit_code, made
from deploy.plan.steps import Context
from deploy.plan.topics import Topics
from functions.topics import MARKET_CLOCK, MARKET_QUALITY, all_topics

pytestmark = pytest.mark.platform

BOTH = ("paper", "zerodha")


def step(kafka, *, allow=False, brokers=BOTH):
    return Topics(Context(Settings(kafka=kafka, active_brokers=brokers), allow))


def lines(kafka, **how):
    return [change.line for change in step(kafka, **how).plan() if change.kind != "note"]


def by_hand(kafka, topic, **values):
    """What an operator does with kafka-configs; dots of keys as underscores."""
    entries = [
        ConfigEntry(key.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for key, value in values.items()
    ]
    admin = Administrator(kafka)
    asked = admin.client.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=entries)]
    )
    for future in asked.values():
        future.result()

    def seen():
        now = found_topics(admin, [topic.name])[topic.name]
        return all(now.values[entry.name] == entry.value for entry in entries)

    admin.until(seen, "what was set by hand")


@pytest.fixture(scope="module")
def kafka(platform):
    """The broker's administrator, every topic deployed."""
    assert exit_code(apply([step(platform.kafka)])) == 0
    return platform.kafka


def test_every_topic_of_the_table_is_there_as_declared_and_a_second_plan_is_empty(kafka):
    there = Administrator(kafka).partitions()

    assert {t.name: there.get(t.name) for t in all_topics(BOTH)} == {t.name: t.partitions for t in all_topics(BOTH)}
    assert lines(kafka) == []


def test_a_second_apply_changes_nothing(kafka):
    results = apply([step(kafka)])

    assert [result.outcome for result in results] == ["nothing to do"]


def test_what_was_set_by_hand_is_found_and_repaired(kafka):
    by_hand(kafka, MARKET_CLOCK, retention_ms="1000", max_message_bytes="1048576", flush_messages="1")

    assert lines(kafka) == [
        "~ topic market.clock: max.message.bytes 1048576 → 8388608",
        "~ topic market.clock: retention.ms 1000 → 604800000",
        "- topic market.clock: flush.messages 1, set by hand, is not declared",
    ]

    step(kafka).apply(made(step(kafka).plan()))
    assert lines(kafka) == []


def test_a_retention_that_was_made_longer_by_hand_is_made_shorter_only_where_loss_is_allowed(kafka):
    by_hand(kafka, MARKET_CLOCK, retention_ms="-1")

    (refused,) = apply([step(kafka)])
    assert refused.outcome == "refused"
    assert found_topics(Administrator(kafka), [MARKET_CLOCK.name])[MARKET_CLOCK.name].values["retention.ms"] == "-1"

    (allowed,) = apply([step(kafka, allow=True)])
    assert allowed.outcome == "applied"
    assert lines(kafka) == []


def test_partitions_grow_only_where_that_is_allowed_and_never_shrink(kafka, monkeypatch):
    admin = Administrator(kafka)
    monkeypatch.setattr("deploy.plan.topics.all_topics", lambda brokers: (replace(MARKET_QUALITY, partitions=2),))
    assert [result.outcome for result in apply([step(kafka)])] == ["refused"]
    assert [result.outcome for result in apply([step(kafka, allow=True)])] == ["applied"]
    assert admin.partitions()[MARKET_QUALITY.name] == 2

    monkeypatch.undo()
    refused = [change for change in step(kafka, allow=True).plan() if change.refusal]
    assert [change.detail for change in refused] == ["partitions 2 → 1"]
    with pytest.raises(ConfigError, match="has 2 partitions, declared are 1"):
        ensure_topics(kafka, [MARKET_QUALITY])

    for future in admin.client.delete_topics([MARKET_QUALITY.name]).values():
        future.result()
    admin.until(lambda: MARKET_QUALITY.name not in admin.partitions(), "the topic gone")
    assert [result.outcome for result in apply([step(kafka)])] == ["applied"]


def test_topics_of_a_broker_that_is_not_active_are_told_and_left_alone(kafka):
    (note,) = step(kafka, brokers=("paper",)).plan()

    assert note.kind == "note"
    assert "zerodha.orders.filled" in note.detail
    assert "zerodha.orders.filled" in Administrator(kafka).partitions()


def test_a_wrong_password_is_told_at_once_and_not_tried_for_ever(kafka):
    began = time.monotonic()
    with pytest.raises(ConfigError, match="refuses user 'admin' or its password") as refused:
        step(kafka.model_copy(update={"password": SecretStr("wrong")})).plan()

    assert "PANDA_KAFKA__PASSWORD" in refused.value.remedy
    assert time.monotonic() - began < 30, "told once, where a client would try for minutes"


def test_a_broker_that_is_down_is_a_dependency_that_is_down(kafka, monkeypatch):
    monkeypatch.setattr("connectors.kafka.admin.START_S", 0.5)
    (result,) = apply([step(kafka.model_copy(update={"bootstrap": "127.0.0.1:1"}))])

    assert isinstance(result.error, DependencyError)
    assert exit_code([result]) == 3
