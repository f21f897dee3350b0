"""The topic table is the only place that knows a topic's name."""

import re
from pathlib import Path

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


def test_every_topic_has_a_writer_and_a_reader_and_a_summary():
    for topic in all_topics(("paper", "zerodha")):
        assert topic.writers, topic.name
        assert topic.readers, topic.name
        assert topic.summary, topic.name


def test_paper_and_zerodha_share_no_topic_but_the_market_and_configuration():
    paper = {t.name for t in all_topics(("paper",))}
    zerodha = {t.name for t in all_topics(("zerodha",))}

    assert {name.split(".")[0] for name in paper & zerodha} == {"market", "system", "config", "pipeline"}
    assert {name.split(".")[0] for name in paper - zerodha} == {"paper"}
    assert {name.split(".")[0] for name in zerodha - paper} == {"zerodha"}


def test_audited_topics_are_kept_for_ten_years():
    kept = {t.name: t.retention_ms // 86_400_000 for t in all_topics(("paper",)) if "orders" in t.name}

    assert {days for name, days in kept.items() if not name.endswith(".dlq")} == {3_652}
