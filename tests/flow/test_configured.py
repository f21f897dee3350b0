"""The configuration that a pipeline starts with: what of the topics counts."""

import pytest

from connectors.errors import ConfigError
from dataflows import steps
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
