"""The flow `connectors` as a process, with real Connect: what fails is restarted, and what was done lies on the log."""

import json
import signal
import subprocess
import sys
import time

import psycopg
import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from connectors.connect import Connect
from connectors.errors import ConfigError
from connectors.kafka.access import create_grants, delete_grants, grants_of, principals
from connectors.kafka.admin import Administrator
from connectors.kafka.alerts import Alerts
from connectors.kafka.source import end_offsets, fetch_all
from connectors.settings import ConnectSettings, DatabaseSettings, DeploySettings, Settings
from deploy.connect.declared import OUTBOX, SLOT
from deploy.flows.declared import environment_of
from deploy.plan import STEPS, Context
from deploy.plan.connectors import Connectors
from functions.codec import decode, encode, envelope
from functions.events import OrderFilled, SystemAlert
from functions.ids import event_id
from functions.topics import ORDERS_FILLED, SYSTEM_ALERTS
from tests.waiting import until

pytestmark = [pytest.mark.platform, pytest.mark.timeout(900)]

FILLS = "panda-paper-fills"
TOPICS = [SYSTEM_ALERTS.name]


@pytest.fixture(scope="module")
def settings(platform):
    return Settings(
        kafka=platform.kafka,
        database=DatabaseSettings(url=SecretStr(platform.postgres_url)),
        connect=ConnectSettings(url=platform.connect_url),
        deploy=DeploySettings(secret=platform.deploy_secret, lease_url=SecretStr(platform.database_url("lease"))),
    )


@pytest.fixture(scope="module")
def deployed(platform, settings):
    """Everything that `panda deploy apply` makes but the flows."""
    for make in STEPS:
        step = make(Context(settings))
        step.apply([change for change in step.plan() if change.kind != "note"])
    with Connect(platform.connect_url) as connect:
        yield connect
        for name in connect.connectors():
            connect.delete(name)


@pytest.fixture
def told(platform, deployed):
    """The alerts that have come since the test began: code and subject."""
    since = end_offsets(platform.kafka, TOPICS)

    def read():
        events = [decode(record.value) for record in fetch_all(platform.kafka, TOPICS, since)]
        return [(event.data.code, event.data.subject) for event in events if event.source == "connectors"]

    return read


@pytest.fixture
def watching(settings, deployed, tmp_path):
    """The process as deploy starts it: with its own user of Kafka, and of Postgres the role that may only connect."""
    environment = environment_of(settings, "connectors", "connectors") | {"PANDA_READY_FILE": str(tmp_path / "ready")}
    command = [sys.executable, "-m", "cli", "run", "connectors"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        until((tmp_path / "ready").exists, what="the first look")
        process.log = tmp_path / "log"
        yield process
    finally:
        process.kill()
        process.wait()


def publish_fill(platform, order):
    filled = OrderFilled(
        order_id=order, account="paper-1", strategy="momentum", instrument_token=738561, tradingsymbol="RELIANCE",
        side="BUY", quantity=10, remaining=0, price="2501.255000", value="25012.55", charges="12.34",
        realised_pnl="-0.5", position=10, average_price="2501.255", slippage="0",
    )  # fmt: skip
    at = time.time_ns()
    event = envelope(filled, id=event_id(at, order, "fill"), time_ns=at, source="pipeline", broker="paper")
    producer = Producer(platform.client())
    producer.produce(ORDERS_FILLED.of("paper").name, encode(event), key=order.encode())
    assert producer.flush(20) == 0


def test_a_connector_whose_task_fails_is_restarted_by_the_process_and_the_alert_lies_on_the_topic(
    platform, deployed, admin, told, watching
):
    admin.execute("alter table paper.fills add constraint nobody_watches check (order_id <> 'watched') not valid")
    try:
        publish_fill(platform, "watched")
        until(lambda: ("connect.restarted", FILLS) in told(), what="a restart")
    finally:
        admin.execute("alter table paper.fills drop constraint nobody_watches")

    until(
        lambda: admin.execute("select 1 from paper.fill_report where order_id = 'watched'").fetchone(),
        what="the fill's row",
    )
    until(lambda: deployed.connectors()[FILLS].running, what="a running task")
    assert set(told()) == {("connect.restarted", FILLS)}

    watching.send_signal(signal.SIGTERM)
    assert watching.wait(30) == 0
    said = [json.loads(line) for line in watching.log.read_text().splitlines()]
    assert {line["connector"] for line in said if line["event"] == "connect.restarted"} == {FILLS}
    assert said[-1]["event"] == "connectors.left"


def test_a_lost_slot_and_a_connector_that_is_gone_are_told_and_that_they_are_back(
    deployed, settings, admin, told, watching
):
    def dropped():
        try:
            admin.execute("select pg_drop_replication_slot(%s)", (SLOT,))
        except psycopg.errors.ObjectInUse:
            return False
        return True

    deployed.stop(OUTBOX)
    until(dropped, what="the drop of the slot")
    until(lambda: ("connect.check", "outbox") in told(), what="the alert of the slot")
    deployed.delete(OUTBOX)
    until(lambda: ("connect.missing", OUTBOX) in told(), what="the alert of the connector")

    step = Connectors(Context(settings))
    step.apply(step.plan())

    over = {("connect.check_over", "outbox"), ("connect.missing_over", OUTBOX)}
    until(lambda: over <= set(told()), what="the end of both")


def test_without_the_right_to_alert_nobody_watches_in_silence(platform, deployed):
    (user,) = (one for one in principals(("paper",)) if one.name == "connectors")
    rights = frozenset(grants_of(user, ("paper",)))
    admin = Administrator(platform.kafka)
    delete_grants(admin, rights)
    try:
        with Alerts(platform.kafka_as("connectors"), "connectors") as alerts:
            alerts.write(SystemAlert("info", "test", "x", "x"))
            with pytest.raises(ConfigError, match="'connectors' may not write") as refused:
                until(alerts.check, 20, "a refusal")
        assert refused.value.exit_code == 2
    finally:
        create_grants(admin, rights)
