"""Rights on a real broker: each flow's user does what its flow does, and is kept from the rest."""

import pytest
from confluent_kafka import KafkaError, Producer
from pydantic import SecretStr

from connectors.errors import ConfigError, DependencyError, FatalError
from connectors.kafka.access import Grant, create_grants, delete_grants, found_grants, grants
from connectors.kafka.admin import Administrator
from connectors.kafka.client import producer_config
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.kafka.source import Reader, committed, end_offsets, fetch_all
from connectors.kafka.topics import ensure_topics
from connectors.kafka.users import found_users, refused_users, set_passwords
from connectors.settings import DeploySettings, Settings, principal_password
from deploy.flows.voice import Voice
from deploy.plan.access import Access
from deploy.plan.running import apply, exit_code, made
from deploy.plan.steps import Context
from deploy.plan.topics import Topics
from functions.codec import decode
from functions.events import SystemAlert
from functions.topics import (
    COMMANDS,
    MARKET_TICKS,
    ORDERS_FILLED,
    ORDERS_SUBMITTED,
    PIPELINE_JOURNAL,
    PIPELINE_SNAPSHOTS,
    SYSTEM_ALERTS,
    all_topics,
)  # fmt: skip
from tests.kept import STAYS, flow
from tests.waiting import until

pytestmark = pytest.mark.platform

BOTH = ("paper", "zerodha")


def step(platform, *, brokers=BOTH, secret=None):
    settings = Settings(
        kafka=platform.kafka, active_brokers=brokers,
        deploy=DeploySettings(secret=platform.deploy_secret if secret is None else secret),
    )  # fmt: skip
    return Access(Context(settings))


def lines(platform, **how):
    return [change.line for change in step(platform, **how).plan() if change.kind != "note"]


def error_of(kafka, topic):
    """What the broker says to a producer of this user, in Kafka's own word; None where it takes the record."""
    told = []
    producer = Producer(  # one record, after which nothing follows that a refusal would have to hold back
        producer_config(kafka, linger_ms=0, delivery_timeout_s=10)
        | {"delivery.report.only.error": False, "enable.gapless.guarantee": False}
    )
    producer.produce(topic, b"{}", b"k", on_delivery=lambda error, message: told.append(error and error.code()))
    assert producer.flush(15) == 0
    return told[0]


@pytest.fixture(scope="module")
def deployed(platform):
    """Topics, users and rights of both brokers."""
    settings = Settings(kafka=platform.kafka, active_brokers=BOTH, deploy=DeploySettings(secret=platform.deploy_secret))
    results = apply([Topics(Context(settings)), Access(Context(settings))])
    assert exit_code(results) == 0, results
    return platform


def test_a_second_plan_is_empty(deployed):
    assert lines(deployed) == []
    assert [result.outcome for result in apply([step(deployed)])] == ["nothing to do"]


def test_every_flow_enters_with_the_password_that_the_secret_gives(deployed):
    assert {
        "feed", "pipeline-paper", "pipeline-zerodha", "orders-zerodha", "cache", "archive", "config", "api", "connect",
        "notify",
    } <= found_users(Administrator(deployed.kafka))  # fmt: skip


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("pipeline-paper", ORDERS_SUBMITTED.of("zerodha")),
        ("pipeline-zerodha", ORDERS_SUBMITTED.of("paper")),
        ("pipeline-zerodha", ORDERS_FILLED.of("zerodha")),
        ("orders-zerodha", ORDERS_SUBMITTED.of("paper")),
        ("orders-zerodha", ORDERS_FILLED.of("paper")),
        ("orders-zerodha", ORDERS_SUBMITTED.of("zerodha")),
        ("api", ORDERS_SUBMITTED.of("paper")),
        ("api", MARKET_TICKS),
        ("cache", ORDERS_FILLED.of("paper")),
        ("archive", MARKET_TICKS),
        ("config", COMMANDS.of("paper")),
        ("notify", MARKET_TICKS),
        ("connect", ORDERS_FILLED.of("paper")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_flow_may_not_write_what_is_not_its_own(deployed, user, topic):
    assert error_of(deployed.kafka_as(user), topic.name) == KafkaError.TOPIC_AUTHORIZATION_FAILED


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("pipeline-paper", ORDERS_SUBMITTED.of("paper")),
        ("pipeline-paper", ORDERS_FILLED.of("paper")),
        ("pipeline-paper", PIPELINE_SNAPSHOTS),
        ("pipeline-paper", PIPELINE_JOURNAL),
        ("pipeline-zerodha", ORDERS_SUBMITTED.of("zerodha")),
        ("orders-zerodha", ORDERS_FILLED.of("zerodha")),
        ("api", COMMANDS.of("paper")),
        ("api", COMMANDS.of("zerodha")),
        ("feed", MARKET_TICKS),
        ("cache", ORDERS_FILLED.of("paper").dead_letters),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_flow_writes_its_own_topics_idempotently(deployed, user, topic):
    assert error_of(deployed.kafka_as(user), topic.name) is None


def test_a_sink_without_the_right_stops_and_says_which_topic(deployed):
    writer = Writer(deployed.kafka_as("pipeline-paper"))

    writer.write([Outgoing(ORDERS_SUBMITTED.of("zerodha").name, b"k", b"{}")])

    with pytest.raises(FatalError, match=r"zerodha\.orders\.submitted: .*authorization failed"):
        writer.flush()


def test_a_flow_reads_its_topics_as_a_whole_and_mirrors_its_group(deployed):
    Writer(deployed.kafka).write([Outgoing(ORDERS_FILLED.of("paper").name, b"k", b"{}")])
    cache, name = deployed.kafka_as("cache"), ORDERS_FILLED.of("paper").name
    assert list(fetch_all(cache, [name]))

    reader = Reader(cache, [name], "cache-paper", {})
    reader.mirror({(name, 0): 0})
    reader.close()
    assert committed(cache, "cache-paper", [name]) == {(name, 0): 0}


def test_the_feed_may_ask_how_far_a_pipeline_is_and_the_api_where_topics_end(deployed):
    assert committed(deployed.kafka_as("feed"), "pipeline-paper-0", [MARKET_TICKS.name]) == {}
    assert end_offsets(deployed.kafka_as("api"), [ORDERS_FILLED.of("paper").name])


def test_a_flow_may_not_read_what_is_not_its_own(deployed):
    with pytest.raises(DependencyError, match=r"has no topic zerodha\.orders\.filled"):
        list(fetch_all(deployed.kafka_as("pipeline-paper"), [ORDERS_FILLED.of("zerodha").name]))


def test_every_flow_finds_the_topics_that_it_needs_and_makes_none(deployed):
    for user in ("feed", "pipeline-paper", "pipeline-zerodha", "cache", "archive", "config", "api", "notify"):
        assert ensure_topics(deployed.kafka_as(user), all_topics(BOTH), timeout_s=10) == []


def test_a_flows_user_may_not_deploy(deployed):
    settings = Settings(kafka=deployed.kafka_as("api"), deploy=DeploySettings(secret=deployed.deploy_secret))

    for made_step in (Topics(Context(settings)), Access(Context(settings))):
        with pytest.raises(ConfigError, match="does not let api administer the cluster"):
            made_step.plan()


def test_a_right_given_or_taken_by_hand_is_found_and_repaired_and_anothers_is_left(deployed):
    admin = Administrator(deployed.kafka)
    ours = Grant("pipeline-paper", "write", "topic", "zerodha.", prefixed=True)
    others = Grant("auditor", "read", "topic", MARKET_TICKS.name)
    create_grants(admin, frozenset({ours, others}))

    assert lines(deployed) == ["- right of pipeline-paper: write topic zerodha.…"]
    assert [result.outcome for result in apply([step(deployed)])] == ["applied"]

    assert lines(deployed) == []
    assert others in (found_grants(admin) or ())
    assert grants(BOTH) <= (found_grants(admin) or frozenset())
    delete_grants(admin, frozenset({others}))


def test_a_password_that_was_changed_by_hand_is_found_and_set_again(deployed):
    admin = Administrator(deployed.kafka)
    set_passwords(admin, {"notify": SecretStr("another")})

    assert lines(deployed) == ["~ user notify: password, which is not the one that PANDA_DEPLOY__SECRET gives"]
    step(deployed).apply(made(step(deployed).plan()))

    assert refused_users(admin, {"notify": principal_password(deployed.deploy_secret, "notify")}) == frozenset()
    assert lines(deployed) == []


def test_a_broker_that_is_no_longer_active_loses_its_users_and_rights_until_it_is_again(deployed):
    admin = Administrator(deployed.kafka)
    assert [result.outcome for result in apply([step(deployed, brokers=("paper",))])] == ["applied"]
    assert not {"pipeline-zerodha", "orders-zerodha"} & found_users(admin)
    assert not [grant for grant in found_grants(admin) or () if grant.name.startswith("zerodha")]

    assert [result.outcome for result in apply([step(deployed)])] == ["applied"]
    assert lines(deployed) == []


def test_without_a_secret_no_passwords_are_guessed(deployed):
    (result,) = apply([step(deployed, secret=SecretStr(""))])

    assert isinstance(result.error, ConfigError)
    assert "PANDA_DEPLOY__SECRET is empty" in result.error.message


def test_a_flow_with_a_wrong_password_is_told_what_is_wrong(deployed):
    wrong = deployed.kafka_as("feed").model_copy(update={"password": SecretStr("wrong")})

    with pytest.raises(ConfigError, match="refuses user 'feed' or its password") as refused:
        ensure_topics(wrong, [MARKET_TICKS])
    assert "panda deploy apply" in refused.value.remedy


# --- the supervisor's voice ---------------------------------------------------------------------------------------------


def flow_of(kafka, name):
    """A flow that enters Kafka so, as the supervisor knows it."""
    told = {
        "PANDA_KAFKA__BOOTSTRAP": kafka.bootstrap, "PANDA_KAFKA__SECURITY_PROTOCOL": kafka.security_protocol,
        "PANDA_KAFKA__USERNAME": kafka.username, "PANDA_KAFKA__PASSWORD": kafka.password.get_secret_value(),
    }  # fmt: skip
    return flow(name, STAYS, **told)


def alerts_written(deployed):
    return [decode(record.value).data.subject for record in fetch_all(deployed.kafka, [SYSTEM_ALERTS.name])]


def test_the_supervisor_s_alerts_are_written_in_their_order_by_the_first_user_whom_kafka_lets_in_and_lets_write(
    deployed,
):
    unknown = deployed.kafka_as("nobody")
    without_the_right = deployed.kafka_as("archive")
    voice = Voice()
    voice.lend(
        [
            flow_of(unknown, "pipeline-gone"), flow_of(without_the_right, "pipeline-other"),
            flow_of(deployed.kafka_as("connectors"), "connectors"),
        ]
    )  # fmt: skip
    subjects = [f"voice-{n}" for n in range(3)]
    for subject in subjects:
        voice.say(SystemAlert("warning", "flow.died", "said", subject))

    def written():
        voice.breathe()
        return alerts_written(deployed)[-3:] == subjects

    until(written, what="the alerts")
    assert voice._at == 2
    voice.say(SystemAlert("warning", "flow.died", "said", "voice-3"))
    voice.close()
    assert [subject for subject in alerts_written(deployed) if subject.startswith("voice")] == [*subjects, "voice-3"]


def test_alerts_that_no_user_may_write_are_kept_until_one_may(deployed):
    ahead = 0.0
    voice = Voice(lambda: ahead)
    refused = flow_of(deployed.kafka_as("archive"), "pipeline-paper")
    voice.lend([refused])
    voice.say(SystemAlert("warning", "flow.died", "said", "kept-1"))
    until(lambda: voice.breathe() or voice._refused == 1, what="the refusal")
    voice.say(SystemAlert("warning", "flow.died", "said", "kept-2"))
    until(lambda: voice.breathe() or voice._refused == 2, what="the second refusal")
    voice.breathe()
    assert voice._alerts is None, "it is tried again after a pause"

    ahead = 61.0
    until(lambda: voice.breathe() or voice._refused == 3, what="the refusal after a pause")
    voice.lend([refused, flow_of(deployed.kafka_as("connectors"), "connectors")])
    until(lambda: voice.breathe() or alerts_written(deployed)[-2:] == ["kept-1", "kept-2"], what="the alerts")
    voice.close()
