"""Dead letters on a real broker: the operator's rights, and what deleting leaves."""

import pytest
from confluent_kafka import KafkaError

from connectors.errors import DependencyError
from connectors.kafka.dead_letters import delete_letters, letter_topics, read_letters, write_back
from connectors.kafka.records import Record, dead_letter
from connectors.kafka.sink import Writer
from connectors.kafka.source import fetch_all
from connectors.settings import DeploySettings, Settings
from deploy.plan.access import Access
from deploy.plan.running import apply, exit_code
from deploy.plan.steps import Context
from deploy.plan.topics import Topics
from functions.letters import purge
from functions.topics import COMMANDS, MARKET_TICKS, ORDERS_FILLED
from tests.platform.test_access import error_of

pytestmark = [pytest.mark.platform, pytest.mark.timeout(180)]

TICKS, DEAD = MARKET_TICKS.name, MARKET_TICKS.dead_letters.name


@pytest.fixture(scope="module")
def operator(platform):
    """Enters as the operator of a deployment with six dead letters: of offsets 0 to 5, every other one a bad price."""
    settings = Settings(kafka=platform.kafka, deploy=DeploySettings(secret=platform.deploy_secret))
    results = apply([Topics(Context(settings)), Access(Context(settings))])
    assert exit_code(results) == 0, results
    writer = Writer(platform.kafka)
    writer.write(
        dead_letter(Record(TICKS, 3, n, b"k", b"{%d" % n), "gate", ("bad_price", "unknown_instrument")[n % 2], "why")
        for n in range(6)
    )
    writer.flush()
    return platform.kafka_as("operator")


def test_an_operator_reads_every_topic_of_dead_letters(operator):
    found = read_letters(operator, list(letter_topics(("paper",)).values()))

    assert [(x.id, x.original, x.value) for x in found] == [
        (f"{DEAD}:0:{n}", f"{TICKS}:3:{n}", b"{%d" % n) for n in range(6)
    ]
    assert all(x.time_ms > 1_500_000_000_000 for x in found)


def test_he_puts_a_record_back_and_another_flows_user_may_not_read_letters(operator, platform):
    write_back(operator, [read_letters(operator, [DEAD])[1]])

    [back] = list(fetch_all(platform.kafka, [TICKS]))
    assert (back.key, back.value) == (b"k", b"{1")
    assert back.headers == [("replayed", b"1"), ("original", b"market.ticks:3:1")]
    with pytest.raises(DependencyError, match="has no topic"):
        read_letters(platform.kafka_as("api"), [DEAD])


@pytest.mark.parametrize("topic", [ORDERS_FILLED.of("paper"), MARKET_TICKS.dead_letters], ids=lambda topic: topic.name)
def test_he_writes_no_decision_and_no_letter(operator, topic):
    assert error_of(operator, topic.name) == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_he_may_give_commands_as_he_may_put_them_back(operator):
    assert error_of(operator, COMMANDS.of("paper").name) is None


def test_deleting_takes_the_letters_before_an_offset_and_leaves_the_others_their_names(operator):
    chosen = purge(read_letters(operator, [DEAD]), lambda each: each.offset <= 3)

    delete_letters(operator, chosen)

    assert [x.id for x in read_letters(operator, [DEAD])] == [f"{DEAD}:0:4", f"{DEAD}:0:5"]


def test_only_an_operator_deletes(platform, operator):
    chosen = purge(read_letters(operator, [DEAD]), lambda each: True)

    with pytest.raises(Exception, match=r"not let cache delete records|did not delete records"):
        delete_letters(platform.kafka_as("cache"), chosen)
    assert len(read_letters(operator, [DEAD])) == 2
