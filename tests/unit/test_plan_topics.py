"""The plan of topics: what differs between the table and a broker, and what is refused."""

from dataclasses import replace

import pytest

from connectors.kafka.topics import Found, topic_configuration
from deploy.plan.topics import differences, undeclared
from functions.topics import CONFIG_ACCOUNTS, MARKET_CLOCK, MARKET_TICKS, all_topics

DAY = 86_400_000
BOTH = ("paper", "zerodha")


def as_declared(topic, *, partitions=None, **values):
    """A topic on the broker, as the table says but for what is given; dots of keys as underscores."""
    given = {key.replace("_", "."): value for key, value in values.items()}
    configured = topic_configuration(topic) | given
    defaults = {"retention.ms": "604800000", "min.compaction.lag.ms": "0", "retention.bytes": "-1"}
    return Found(partitions or topic.partitions, defaults | configured, frozenset(configured))


def lines(topic, found, *, allow=False):
    return [change.line for change in differences([topic], {topic.name: found}, allow_data_loss=allow)]


def test_an_empty_broker_gets_every_topic_of_the_table_in_its_order():
    changes = differences(all_topics(BOTH), {})

    assert [change.topic for change in changes] == list(all_topics(BOTH))
    assert {change.kind for change in changes} == {"add"}
    assert changes[0].line == (
        "+ topic market.ticks: 12 partitions, cleanup.policy delete, max.message.bytes 8388608, retention.ms 604800000"
    )


def test_a_broker_that_has_what_is_declared_needs_nothing():
    assert differences(all_topics(BOTH), {topic.name: as_declared(topic) for topic in all_topics(BOTH)}) == []


def test_a_longer_retention_than_found_is_set():
    assert lines(MARKET_TICKS, as_declared(MARKET_TICKS, retention_ms=str(DAY))) == [
        "~ topic market.ticks: retention.ms 86400000 → 604800000"
    ]


@pytest.mark.parametrize("found", [str(8 * DAY), "-1"])
def test_a_shorter_retention_than_found_is_refused_unless_it_is_allowed(found):
    there = as_declared(MARKET_TICKS, retention_ms=found)

    assert lines(MARKET_TICKS, there) == [
        f"~ topic market.ticks: retention.ms {found} → 604800000\n"
        "    refused: records older than 7 days would go; to accept it: --allow-data-loss"
    ]
    assert lines(MARKET_TICKS, there, allow=True) == [f"~ topic market.ticks: retention.ms {found} → 604800000"]


def test_the_same_retention_is_no_shorter_one():
    assert lines(MARKET_TICKS, as_declared(MARKET_TICKS, retention_ms=str(7 * DAY))) == []


def test_to_keep_for_ever_is_no_shorter_retention():
    for_ever = replace(MARKET_TICKS, retention_ms=-1)

    (change,) = differences([for_ever], {"market.ticks": as_declared(MARKET_TICKS)})

    assert (change.detail, change.refusal) == ("retention.ms 604800000 → -1", "")


def test_configuration_may_not_be_compacted_sooner_unless_it_is_allowed():
    there = as_declared(CONFIG_ACCOUNTS, min_compaction_lag_ms=str(30 * DAY))

    (refused,) = differences([CONFIG_ACCOUNTS], {CONFIG_ACCOUNTS.name: there})

    assert refused.refusal == "records older than 7 days would go; to accept it: --allow-data-loss"


@pytest.mark.parametrize(("topic", "found"), [(MARKET_TICKS, "compact"), (CONFIG_ACCOUNTS, "delete")])
def test_another_cleanup_policy_is_refused_in_both_directions_unless_it_is_allowed(topic, found):
    there = as_declared(topic, cleanup_policy=found)

    (refused,) = differences([topic], {topic.name: there})
    (allowed,) = differences([topic], {topic.name: there}, allow_data_loss=True)

    assert refused.refusal == (
        f"records would go that {found!r} keeps and {topic.cleanup!r} does not; to accept it: --allow-data-loss"
    )
    assert allowed.refusal == ""


def test_fewer_partitions_are_refused_even_where_loss_is_allowed():
    for allow in (False, True):
        (change,) = differences(
            [MARKET_TICKS], {"market.ticks": as_declared(MARKET_TICKS, partitions=13)}, allow_data_loss=allow
        )

        assert change.detail == "partitions 13 → 12"
        assert change.refusal.startswith("Kafka takes no partition away")


def test_more_partitions_move_keys_and_are_refused_unless_that_is_allowed():
    there = as_declared(MARKET_TICKS, partitions=6)

    (refused,) = differences([MARKET_TICKS], {"market.ticks": there})
    (allowed,) = differences([MARKET_TICKS], {"market.ticks": there}, allow_data_loss=True)

    assert "records of one instrument_token would lie on two partitions" in refused.refusal
    assert (allowed.refusal, allowed.partitions) == ("", 12)


def test_what_was_set_by_hand_and_is_not_declared_is_named_and_removed():
    assert lines(MARKET_CLOCK, as_declared(MARKET_CLOCK, retention_bytes="1000")) == [
        "- topic market.clock: retention.bytes 1000, set by hand, is not declared"
    ]


def test_a_default_of_the_broker_is_no_drift():
    there = as_declared(MARKET_CLOCK)

    assert "retention.bytes" in there.values
    assert lines(MARKET_CLOCK, there) == []


def test_topics_of_a_broker_that_is_not_active_are_told_and_those_of_others_are_nobodys_business():
    known = ["market.ticks", "zerodha.orders.filled", "pipeline.old", "_connect.status", "somebody.elses"]

    assert undeclared(known, ("paper",)) == ["pipeline.old", "zerodha.orders.filled"]
