"""Topics: one declaration, of which nobody's copy can differ."""

import re
from collections import Counter

import pytest

from functions.events import PAYLOADS
from functions.topics import (
    COMMANDS,
    MARKET_TICKS,
    ORDERS_FILLED,
    ORDERS_SUBMITTED,
    PER_BROKER,
    PIPELINE_JOURNAL,
    PIPELINE_SNAPSHOTS,
    SHARED,
    SYSTEM_ALERTS,
    all_topics,
    outputs,
)  # fmt: skip

DECLARED = SHARED + PER_BROKER
DAY = 86_400_000


def names(topics):
    return [topic.name for topic in topics]


def test_the_topics_of_a_paper_deployment():
    expected = [
        "market.ticks",
        "market.clock",
        "market.quality",
        "system.alerts",
        "config.strategies",
        "config.accounts",
        "config.instruments",
        "pipeline.journal",
        "pipeline.snapshots",
        "paper.commands",
        "paper.signals.raw",
        "paper.signals.validated",
        "paper.signals.rejected",
        "paper.orders.submitted",
        "paper.orders.ack",
        "paper.orders.placed",
        "paper.orders.filled",
        "paper.orders.failed",
        "paper.pnl.snapshots",
    ]

    assert [name for name in names(all_topics(("paper",))) if not name.endswith(".dlq")] == expected


def test_every_topic_of_events_has_its_dead_letters_and_no_other_has():
    deployed = names(all_topics(("paper", "zerodha")))
    letters = {name.removesuffix(".dlq") for name in deployed if name.endswith(".dlq")}

    assert letters == set(deployed) - {f"{name}.dlq" for name in letters} - {
        PIPELINE_JOURNAL.name,
        PIPELINE_SNAPSHOTS.name,
    }


def test_two_brokers_share_the_market_and_nothing_else():
    paper, real = (set(names(all_topics((broker,)))) for broker in ("paper", "zerodha"))
    shared = paper & real

    assert shared == {name for name in paper if not name.startswith("paper.")}
    assert set(names(all_topics(("paper", "zerodha")))) == paper | real
    assert len(paper | real) == len(all_topics(("paper", "zerodha")))


def test_no_name_keeps_its_placeholder_and_all_are_names_that_kafka_takes():
    for topic in all_topics(("paper", "zerodha")):
        assert re.fullmatch(r"[a-z]+(\.[a-z]+)+", topic.name)


def test_a_broker_topic_of_a_broker_is_no_broker_topic_any_more():
    assert ORDERS_FILLED.per_broker
    assert not ORDERS_FILLED.of("paper").per_broker
    assert not MARKET_TICKS.per_broker
    assert MARKET_TICKS.of("paper") == MARKET_TICKS
    assert ORDERS_FILLED.of("zerodha").name == "zerodha.orders.filled"


def test_answers_of_a_venue_are_written_by_the_pipeline_on_paper_and_by_the_gateway_with_a_real_broker():
    assert ORDERS_FILLED.of("paper").writers == ("pipeline",)
    assert ORDERS_FILLED.of("zerodha").writers == ("orders",)
    assert ORDERS_SUBMITTED.of("zerodha").writers == ("pipeline",)


def test_each_topic_has_one_writing_flow_but_alerts_which_collect_from_all():
    several = {t.name for t in all_topics(("paper", "zerodha")) if len(t.writers) > 1 and not t.name.endswith(".dlq")}

    assert several == {SYSTEM_ALERTS.name}


def test_every_payload_has_exactly_one_topic():
    counted = Counter(payload for topic in DECLARED for payload in topic.payloads)

    assert counted == dict.fromkeys(PAYLOADS, 1)


@pytest.mark.parametrize("topic", DECLARED, ids=lambda topic: topic.name)
def test_a_topic_says_all_that_is_needed_to_make_it(topic):
    assert topic.summary
    assert topic.key
    assert topic.writers
    assert topic.readers
    assert topic.partitions >= 1
    assert topic.retention_ms >= DAY


def test_dead_letters_lie_in_one_partition_and_are_written_by_whoever_touches_the_topic():
    letters = MARKET_TICKS.dead_letters

    assert (letters.name, letters.partitions, letters.payloads) == ("market.ticks.dlq", 1, ())
    assert set(letters.writers) == {"feed", "pipeline", "archive"}
    assert letters.key == "key of the original record (instrument_token)"


def test_orders_are_kept_for_ten_years_and_configuration_for_ever():
    assert ORDERS_FILLED.retention_ms >= 3_650 * DAY
    assert {t.name for t in DECLARED if t.cleanup == "compact"} == {
        "config.strategies", "config.accounts", "config.instruments", "pipeline.snapshots",
    }  # fmt: skip


def test_a_pipeline_decides_on_everything_of_its_broker_but_the_commands():
    decided = names(outputs("zerodha"))

    assert len(decided) == len(PER_BROKER) - 1
    assert COMMANDS.of("zerodha").name not in decided
    assert all(name.startswith("zerodha.") for name in decided)
