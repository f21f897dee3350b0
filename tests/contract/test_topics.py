"""The topic table is the only place that knows a topic's name."""

import re
from pathlib import Path

import pytest

from functions.topics import COMMANDS, PER_BROKER, SHARED, all_topics

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("functions", "strategies", "dataflows", "connectors", "api", "analytics", "deploy", "cli")


NAMES = [t.name.replace("{b}.", "") for t in SHARED + PER_BROKER if t is not COMMANDS]  # "commands" is also a word
SPELLED = re.compile(r"""["'](?:\w+\.|\{\w+\}\.)?(?:""" + "|".join(map(re.escape, NAMES)) + r""")(?:\.dlq)?["']""")


def spells_a_topic(line: str) -> bool:
    """Examples in documentation may."""
    return (
        bool(SPELLED.search(line)) and "examples=" not in line and not line.lstrip().startswith((">>>", "'", "[", "("))
    )


def test_no_code_outside_the_table_spells_a_topics_name():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if path.name != "topics.py" or path.parent.name != "functions"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if spells_a_topic(line)
    ]

    assert found == []


def test_a_topic_that_is_spelled_out_would_be_found():
    for line in (
        'KafkaSource(kafka, ["market.ticks"])',
        'topic = f"{broker}.orders.filled"',
        'return Outgoing("zerodha.orders.submitted", key, value)',
        'letters = "system.alerts.dlq"',
    ):
        assert spells_a_topic(line), line
    assert not spells_a_topic('log.info("kafka.topic_created")')


def told(*names: str, of: str) -> dict[str, tuple[str, str]]:
    """Writers and readers of these topics, `writers > readers`."""
    writers, readers = of.split(" > ")
    return dict.fromkeys(names, (writers, readers))


OF_ALL = (
    told("market.ticks", "market.clock", of="feed > pipeline archive") | told("market.quality", of="feed > cache archive")
    | told("system.alerts", of="feed pipeline orders connectors cache > notify cache archive")
    | told("config.strategies", "config.accounts", of="config > config pipeline archive")
    | told("config.instruments", of="config > config feed pipeline archive")
    | told("pipeline.journal", of="pipeline > pipeline archive") | told("pipeline.snapshots", of="pipeline > pipeline")
)  # fmt: skip
PAPER = (
    told("commands", of="api > pipeline archive")
    | told("signals.raw", "signals.validated", "signals.rejected", of="pipeline > cache archive")
    | told("orders.submitted", "orders.ack", "orders.placed", "orders.failed", of="pipeline > cache archive")
    | told("orders.filled", "pnl.snapshots", of="pipeline > cache archive connect")
)  # fmt: skip
ZERODHA = PAPER | (
    told("commands", of="api > pipeline archive orders")
    | told("orders.submitted", of="pipeline > cache archive orders")
    | told("orders.ack", "orders.placed", "orders.failed", of="orders > cache archive pipeline")
    | told("orders.filled", of="orders > cache archive connect pipeline")
)  # fmt: skip


@pytest.mark.parametrize(("broker", "own"), [("paper", PAPER), ("zerodha", ZERODHA)])
def test_every_topic_is_written_and_read_by_these_and_says_what_it_is(broker: str, own: dict[str, tuple[str, str]]):
    events = {topic.name: topic for topic in all_topics((broker,)) if not topic.of_dead_letters}

    assert {name: (" ".join(topic.writers), " ".join(topic.readers)) for name, topic in events.items()} == {
        **OF_ALL, **{f"{broker}.{name}": who for name, who in own.items()},
    }  # fmt: skip
    for topic in all_topics((broker,)):
        assert len(topic.summary.split()) > 0
        if topic.of_dead_letters:
            of = events[topic.name.removesuffix(".dlq")]
            assert (topic.writers, topic.readers) == (of.readers + of.writers, ("notify", "archive"))


def test_paper_and_zerodha_share_no_topic_but_the_market_and_configuration():
    paper = {t.name for t in all_topics(("paper",))}
    zerodha = {t.name for t in all_topics(("zerodha",))}

    assert {name.split(".")[0] for name in paper & zerodha} == {"market", "system", "config", "pipeline"}
    assert {name.split(".")[0] for name in paper - zerodha} == {"paper"}
    assert {name.split(".")[0] for name in zerodha - paper} == {"zerodha"}
    assert {name.removesuffix(".dlq") for name in paper & zerodha} == {
        "market.ticks", "market.clock", "market.quality", "system.alerts", "config.strategies", "config.accounts",
        "config.instruments", "pipeline.journal", "pipeline.snapshots",
    }  # fmt: skip
    apart = {name.partition(".")[2] for name in paper - zerodha}
    assert apart == {name.partition(".")[2] for name in zerodha - paper}
    assert {name.removesuffix(".dlq") for name in apart} == {
        "commands", "signals.raw", "signals.validated", "signals.rejected", "orders.submitted", "orders.ack",
        "orders.placed", "orders.filled", "orders.failed", "pnl.snapshots",
    }  # fmt: skip


def test_audited_topics_are_kept_for_ten_years():
    kept = {t.name: t.retention_ms // 86_400_000 for t in all_topics(("paper",)) if "orders" in t.name}

    assert {days for name, days in kept.items() if not name.endswith(".dlq")} == {3_652}
