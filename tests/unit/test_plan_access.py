"""Users and rights: who may do what, from the topic table, and what a plan changes."""

import pytest

from connectors.errors import ConfigError
from connectors.kafka.access import ALL_BROKERS, Grant, grants, grants_of, principal_of, principals, topics_of
from deploy.plan.access import OURS, grant_differences, user_differences
from functions.topics import all_topics, decided, outputs

BOTH = ("paper", "zerodha")


def may(principal, operation, resource="topic"):
    return {g.name for g in grants(BOTH) if (g.principal, g.operation, g.resource) == (principal, operation, resource)}


def lines(changes):
    return [change.line for change in changes]


def without_letters(names):
    return {name for name in names if not name.endswith(".dlq")}


def test_the_users_of_a_deployment_with_both_brokers():
    assert {principal.name for principal in principals(BOTH)} == {
        "feed", "pipeline-paper", "pipeline-zerodha", "orders-zerodha", "cache", "archive", "config", "api", "connect",
        "connectors", "notify", "operator",
    }  # fmt: skip


def test_a_paper_deployment_has_no_user_of_a_real_broker():
    assert {p.name for p in principals(BOTH)} - {p.name for p in principals(("paper",))} == {
        "pipeline-zerodha", "orders-zerodha",
    }  # fmt: skip
    assert not [g for g in grants(("paper",)) if "zerodha" in g.name]


def test_a_pipeline_writes_its_own_brokers_topics_and_none_of_another():
    assert not [g for g in grants(BOTH) if g.principal == "pipeline-paper" and g.name.startswith("zerodha")]
    assert not [g for g in grants(BOTH) if g.principal == "pipeline-zerodha" and g.name.startswith("paper")]
    assert without_letters(may("pipeline-paper", "write")) == {
        "paper.signals.raw", "paper.signals.validated", "paper.signals.rejected", "paper.orders.submitted",
        "paper.orders.ack", "paper.orders.placed", "paper.orders.filled", "paper.orders.failed", "paper.pnl.snapshots",
        "pipeline.journal", "pipeline.snapshots", "system.alerts",
    }  # fmt: skip


def test_with_a_real_broker_only_the_gateway_answers_orders_and_the_pipeline_reads_the_answers():
    answers = {f"zerodha.orders.{stage}" for stage in ("ack", "placed", "filled", "failed")}

    assert {g.principal for g in grants(BOTH) if g.operation == "write" and g.name in answers} == {"orders-zerodha"}
    assert answers <= may("pipeline-zerodha", "read")
    assert may("orders-zerodha", "read") == {"zerodha.orders.submitted", "zerodha.commands"}
    assert without_letters(may("orders-zerodha", "write")) == answers | {"system.alerts"}


def test_the_api_writes_commands_and_nothing_else_and_reads_no_topic():
    assert may("api", "write") == {"paper.commands", "zerodha.commands"}
    assert may("api", "read") == set()


def test_a_pipeline_reads_back_what_it_has_decided_and_no_other_brokers_decisions():
    assert {t.name for t in decided("paper")} <= may("pipeline-paper", "read")
    assert not {t.name for t in outputs("zerodha")} & may("pipeline-paper", "read")


def test_who_keeps_copies_writes_dead_letters_and_word_of_them_alone():
    assert without_letters(may("archive", "write")) == set()
    assert without_letters(may("cache", "write")) == {"system.alerts"}  # it tells of many letters
    assert may("archive", "read") == {t.name for t in all_topics(BOTH) if "archive" in t.readers}


def test_connect_publishes_configuration_reads_reports_and_keeps_its_own_topics():
    assert without_letters(may("connect", "write")) == {
        "config.strategies", "config.accounts", "config.instruments", "_connect.",
    }  # fmt: skip
    assert may("connect", "read") - {"_connect."} == {
        f"{broker}.{name}" for broker in BOTH for name in ("orders.filled", "pnl.snapshots")
    }  # fmt: skip


def test_an_operator_reads_and_deletes_dead_letters_and_puts_back_inputs_alone():
    letters = {t.name for t in all_topics(BOTH) if t.of_dead_letters}

    assert may("operator", "read") == may("operator", "delete") == letters
    assert may("operator", "write") == {"market.ticks", "market.clock", "paper.commands", "zerodha.commands"}
    assert {g.principal for g in grants(BOTH) if g.operation == "delete"} == {"operator"}
    assert may("operator", "describe", "group") == {"panda-reader"}
    assert may("operator", "read", "group") == set()


def test_the_watch_over_the_connectors_writes_alerts_and_may_do_nothing_else():
    assert [g for g in grants(BOTH) if g.principal == "connectors"] == [
        Grant("connectors", "write", "topic", "system.alerts")
    ]


def test_every_topic_that_a_flow_reads_or_writes_by_the_table_is_one_that_some_user_may():
    for operation, flows in (("read", "readers"), ("write", "writers")):
        for topic in all_topics(BOTH):
            allowed = {g.principal for g in grants(BOTH) if g.operation == operation and g.name == topic.name}
            needed = set(getattr(topic, flows)) - ({"api", "connectors"} if topic.of_dead_letters else set())
            users = {p.name for p in principals(BOTH) if p.flow in needed and topic.name in topics_of(p.name)}
            assert users <= allowed, topic.name


def test_a_flow_joins_groups_that_begin_with_its_users_name():
    assert may("pipeline-paper", "read", "group") == {"pipeline-paper"}
    assert may("cache", "read", "group") == {"cache"}
    assert may("feed", "describe", "group") == {"pipeline-", "panda-reader"}


def test_names_of_topics_are_literal_but_connects_own():
    assert {g.name for g in grants(BOTH) if g.resource == "topic" and g.prefixed} == {"_connect."}


def test_a_user_is_found_by_flow_and_broker():
    assert principal_of("pipeline", "zerodha") == "pipeline-zerodha"
    assert principal_of("orders", "zerodha") == "orders-zerodha"
    assert principal_of("feed", "paper") == "feed"
    with pytest.raises(ConfigError, match="'orders' of broker 'paper'"):
        principal_of("orders", "paper")


def test_an_administrator_sees_all_topics_and_a_flow_its_own():
    assert topics_of("admin") is None
    assert topics_of("config") >= {"config.accounts", "config.accounts.dlq"}
    assert "paper.orders.filled" not in topics_of("config")


def test_missing_users_are_made_those_with_another_password_renewed_and_those_not_wanted_dropped():
    changes = user_differences(
        ["feed", "cache"], frozenset({"cache", "pipeline-zerodha", "admin"}), frozenset({"cache"})
    )

    assert lines(changes) == [
        "+ user feed",
        "~ user cache: password, which is not the one that PANDA_DEPLOY__SECRET gives",
        "- user pipeline-zerodha",
    ]


def test_users_as_wanted_need_nothing():
    assert user_differences(["feed"], frozenset({"feed", "admin"}), frozenset()) == []


def test_rights_as_wanted_need_nothing():
    assert grant_differences(grants(BOTH), grants(BOTH)) == []


def test_a_right_given_by_hand_to_a_user_of_ours_is_taken_and_a_missing_one_given():
    wanted = frozenset(
        {Grant("feed", "write", "topic", "market.ticks"), Grant("feed", "write", "topic", "market.clock")}
    )
    found = frozenset({Grant("feed", "write", "topic", "paper.", prefixed=True)})

    assert lines(grant_differences(wanted, found)) == [
        "- right of feed: write topic paper.…",
        "+ right of feed: write topic market.clock, market.ticks",
    ]


def test_a_denial_of_a_user_of_ours_is_named_as_one():
    denied = Grant("feed", "write", "topic", "market.ticks", denied=True, host="10.0.0.1")

    assert lines(grant_differences(frozenset(), frozenset({denied}))) == [
        "- right of feed: not write topic market.ticks from 10.0.0.1"
    ]


def test_rights_of_others_are_told_and_left_alone():
    foreign = frozenset({Grant("*", "read", "topic", "market.ticks"), Grant("bob", "write", "group", "g")})

    (everyone, bob) = grant_differences(frozenset(), foreign)

    assert everyone.line == "· rights of *, not ours, left alone: read topic market.ticks"
    assert (bob.kind, bob.what) == ("note", "rights of bob, not ours, left alone")


def test_names_of_ours_hold_every_broker_that_there_is():
    assert {p.name for p in principals(ALL_BROKERS)} == OURS
    assert not any(
        grants_of(p, BOTH) & grants_of(q, BOTH) for p in principals(BOTH) for q in principals(BOTH) if p != q
    )
