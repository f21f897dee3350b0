"""The configuration that a pipeline starts with: what of the topics counts."""

import pytest

from connectors.errors import ConfigError
from connectors.kafka.configuration import Configured
from connectors.kafka.records import Record
from dataflows import steps
from dataflows.acceptance import accepted
from dataflows.desk import Configuration, configuration
from functions.topics import (
    CONFIG_ACCOUNTS,
    CONFIG_STRATEGIES,
)  # fmt: skip
from tests.desk import account, instrument, strategy
from tests.flow.script import KEY, desk


def configured(*payloads, broker="paper"):
    topics = {"InstrumentConfig": "config.instruments", "AccountConfig": CONFIG_ACCOUNTS.name}
    events = []
    for payload in payloads:
        topic = topics.get(type(payload).__name__, CONFIG_STRATEGIES.name)
        name = getattr(payload, payload.__struct_fields__[0])
        events.append((topic, str(name).encode(), payload))
    return configuration(events, broker)


def test_the_newest_configuration_of_each_key_counts():
    kept = configured(account("a", "1"), instrument(2), instrument(1), strategy("s"), account("a", "2"))

    assert [(a.account, a.capital) for a in kept.accounts] == [("a", "2")]
    assert [i.instrument_token for i in kept.instruments] == [1, 2]
    assert [s.strategy for s in kept.strategies] == ["s"]


def test_deleted_disabled_and_other_brokers_configuration_is_left_out():
    events = [
        (CONFIG_ACCOUNTS.name, b"a", account("a")),
        (CONFIG_ACCOUNTS.name, b"a", None),
        (CONFIG_ACCOUNTS.name, b"b", account("b", enabled=False)),
        (CONFIG_ACCOUNTS.name, b"c", account("c")),
        (CONFIG_STRATEGIES.name, b"s", strategy("s", accounts=["a", "c"])),
        (CONFIG_STRATEGIES.name, b"t", strategy("t", accounts=["b"])),
        (CONFIG_STRATEGIES.name, b"u", strategy("u", accounts=["c"], enabled=False)),
    ]

    paper, real = configuration(events, "paper"), configuration(events, "zerodha")

    assert [a.account for a in paper.accounts] == ["c"]
    assert [(s.strategy, s.accounts) for s in paper.strategies] == [("s", ["c"])]
    assert (real.accounts, real.strategies) == ([], [])


def test_a_configuration_that_cannot_run_says_what_is_wrong():
    wrong = strategy("s", implementation="no_such_idea")

    with pytest.raises(ConfigError, match="configuration cannot run: strategy s: unknown strategy 'no_such_idea'"):
        desk(strategies=[wrong])
    with pytest.raises(ConfigError, match="no enabled paper account is configured"):
        steps.parts(Configuration([instrument(1)], [], []), "paper", KEY)


# --- what of it can run -----------------------------------------------------------------------------------------------


def begun(*strategies, before=None):
    """(what runs, what was refused) of records of strategies, `(key, payload)` in log order."""
    events = [
        (CONFIG_ACCOUNTS.name, b"a", account("a")), ("config.instruments", b"1", instrument(1)),
        *((CONFIG_STRATEGIES.name, key, payload) for key, payload in strategies),
    ]  # fmt: skip
    found = [Configured(Record(topic, 0, n, key, b""), payload, 0) for n, (topic, key, payload) in enumerate(events)]
    made_of, refusals = accepted(configuration(events, "paper"), found, "paper", before=before)
    return [(s.strategy, s.parameters) for s in made_of.strategies], [(r.name, r.reason) for r in refusals]


GOOD, SLOW, BAD = ({"window": 20}, {"window": 50}, {"window": -3})


def s(parameters, **more):
    return strategy("s", parameters=parameters, **more)


def test_of_a_strategy_that_cannot_run_the_last_record_that_could_counts():
    running, [(name, reason)] = begun((b"s", s(SLOW)), (b"s", s(GOOD)), (b"s", s(BAD)))

    assert (running, name) == ([("s", GOOD)], "s")
    assert "window" in reason


def test_what_was_in_force_counts_before_anything_on_the_log():
    before = {(CONFIG_STRATEGIES.name, b"s"): s(SLOW)}

    assert begun((b"s", s(GOOD)), (b"s", s(BAD)), before=before)[0] == [("s", SLOW)]
    assert begun((b"s", s(GOOD)), (b"s", s(BAD)), before={})[0] == []


def test_a_strategy_that_is_not_enabled_or_has_no_account_here_is_nobody_s_to_refuse():
    assert begun((b"s", s(GOOD)), (b"s", s(BAD, enabled=False))) == ([], [])
    assert begun((b"s", s(BAD, accounts=["elsewhere"]))) == ([], [])


def test_the_older_of_two_records_that_name_one_strategy_keeps_the_name():
    running, refused = begun((b"s", s(GOOD)), (b"t", s(SLOW)))

    assert (running, refused) == ([("s", GOOD)], [("t", "another record names strategy s already")])
