"""Kafka Connect between a real Postgres and a real log: nothing lost, nothing invented, and failures are said."""

import json
import uuid

import msgspec
import psycopg
import pytest
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from pydantic import SecretStr

from connectors.connect import Connect
from connectors.database.replication import refuse_lost_slot
from connectors.database.seed import demo_seed
from connectors.database.store import ConfigStore
from connectors.errors import ConfigError, DependencyError, RetryableError
from connectors.settings import ConnectSettings, DatabaseSettings, DeploySettings, Settings
from deploy.connect.declared import OUTBOX, SLOT, declared
from deploy.plan import STEPS, Context
from deploy.plan.connectors import Connectors
from deploy.watchdog import Watchdog
from functions.codec import encode, envelope
from functions.events import OrderFilled
from functions.ids import event_id
from tests.waiting import until

pytestmark = [pytest.mark.platform, pytest.mark.timeout(900)]

replace = msgspec.structs.replace
FILLS = "panda-paper-fills"
BROKERS = ("paper", "zerodha")


@pytest.fixture(autouse=True)
def _log_lines_go_where_this_test_writes():
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


# --- the deployment ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(platform):
    return Settings(
        active_brokers=BROKERS,
        kafka=platform.kafka,
        database=DatabaseSettings(url=SecretStr(platform.postgres_url)),
        connect=ConnectSettings(url=platform.connect_url),
        deploy=DeploySettings(secret=platform.deploy_secret),
    )


@pytest.fixture(scope="module")
def deployed(platform, settings):
    """Everything that `panda deploy apply` makes, and something in the outbox from before there was a connector."""
    steps = [make(Context(settings)) for make in STEPS]
    for step in steps:
        if step.name == "connectors":
            with ConfigStore(platform.postgres_url) as store:
                store.seed(*demo_seed())
        step.apply(step.plan())
    with Connect(platform.connect_url) as connect:
        yield connect


@pytest.fixture
def step(deployed, settings):
    return Connectors(Context(settings))


@pytest.fixture
def store(platform, deployed):
    with ConfigStore(platform.postgres_url) as store:
        yield store


class Log:
    """One partition of a topic from its beginning, as a reader sees it who waits for commits."""

    def __init__(self, platform, topic):
        config = {"group.id": f"test-{uuid.uuid4()}", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self.consumer = Consumer(platform.client() | config)
        self.consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        self.records = []

    def read(self):
        while (message := self.consumer.poll(0.2)) is not None:
            assert message.error() is None
            self.records.append(message)
        return [(message.key(), message.value()) for message in self.records]

    def last(self):
        return self.read()[-1] if self.read() else (None, None)


def log_of(platform, topic):
    log = Log(platform, topic)
    try:
        yield log
    finally:
        log.consumer.close()


@pytest.fixture
def strategies(platform, deployed):
    yield from log_of(platform, "config.strategies")


@pytest.fixture
def dead_letters(platform, deployed):
    yield from log_of(platform, "paper.orders.filled.dlq")


def outbox(admin, topic="config.strategies"):
    rows = admin.execute("select key, payload from outbox where topic = %s order by id", (topic,)).fetchall()
    return [(key.encode(), None if payload is None else payload.encode()) for key, payload in rows]


# --- the outbox -------------------------------------------------------------------------------------------------------


def test_what_was_in_the_outbox_before_and_every_change_since_is_on_the_log_byte_for_byte(store, strategies, admin):
    momentum = next(one for one in store.strategies() if one.strategy == "momentum")
    store.put_strategy(replace(momentum, enabled=not momentum.enabled))
    store.put_strategy(momentum)
    written = outbox(admin)
    until(lambda: len(strategies.read()) == len(written))
    assert strategies.read() == written
    assert strategies.records[-1].headers() is None


def test_a_deletion_is_a_real_tombstone(store, strategies):
    store.put_strategy(replace(store.strategies()[0], strategy="short-lived"))
    store.delete_strategy("short-lived")
    until(lambda: strategies.last() == (b"short-lived", None))


def test_no_change_is_lost_and_none_comes_twice_while_connect_and_postgres_restart(platform, store, strategies, admin):
    native, first = platform.native, store.strategies()[0]

    def change(n):
        store.put_strategy(replace(first, strategy="restarted", parameters={**first.parameters, "window": 10 + n}))

    change(0)
    native.down(["connect"])
    change(1)
    store.close()
    admin.close()
    native.down(["postgres"])
    native.up(["postgres"])
    change(2)
    native.up(["connect"])
    change(3)
    store.close()
    native.down(["postgres"])
    native.up(["postgres"])
    change(4)

    def windows():
        values = [value for key, value in strategies.read() if key == b"restarted"]
        return [json.loads(value)["data"]["parameters"]["window"] for value in values]

    until(lambda: len(windows()) >= 5)
    assert windows() == [10, 11, 12, 13, 14]


def test_a_second_apply_changes_nothing(step):
    assert step.plan() == []
    assert [state for state in step.status() if not state.ok] == []


# --- the slot ---------------------------------------------------------------------------------------------------------


def test_a_slot_that_is_gone_is_named_and_its_connector_publishes_the_whole_outbox_again(
    platform, step, store, strategies, admin, deployed
):
    deployed.stop(OUTBOX)
    until(lambda: _dropped(admin))
    store.put_strategy(replace(store.strategies()[0], strategy="in-the-gap"))
    with pytest.raises(DependencyError, match="no replication slot panda_outbox") as caught:
        refuse_lost_slot(platform.postgres_url, SLOT)
    assert "panda deploy apply" in caught.value.remedy

    step.apply(step.plan())

    written = outbox(admin)
    until(lambda: strategies.read()[-len(written) :] == written)
    until(lambda: refuse_lost_slot(platform.postgres_url, SLOT) is None)


def _dropped(admin):
    try:
        admin.execute("select pg_drop_replication_slot(%s)", (SLOT,))
    except psycopg.errors.ObjectInUse:
        return False
    return True


def test_a_slot_whose_log_was_removed_says_what_a_super_user_has_to_do(
    platform, step, store, strategies, admin, deployed
):
    deployed.stop(OUTBOX)
    until(lambda: not admin.execute("select active from pg_replication_slots").fetchone()[0])
    admin.execute("alter system set max_slot_wal_keep_size = '1MB'")
    admin.execute("select pg_reload_conf()")
    until(lambda: _log_moves_on(admin) == "lost")
    admin.execute("alter system reset max_slot_wal_keep_size")
    admin.execute("select pg_reload_conf()")
    with pytest.raises(DependencyError, match="replication slot panda_outbox is lost") as caught:
        refuse_lost_slot(platform.postgres_url, SLOT)
    statement = caught.value.remedy.partition(": ")[2].partition(";")[0]

    admin.execute(statement)
    step.apply(step.plan())

    store.put_strategy(replace(store.strategies()[0], strategy="after-the-loss"))
    until(lambda: strategies.last()[0] == b"after-the-loss")


def _log_moves_on(admin):
    """Fills a segment of the log and lets Postgres remove those before; how it then calls the slot."""
    admin.execute("select pg_logical_emit_message(false, 'test', 'x')")
    admin.execute("select pg_switch_wal()")
    admin.execute("checkpoint")
    return admin.execute("select wal_status from pg_replication_slots").fetchone()[0]


# --- reports ----------------------------------------------------------------------------------------------------------


def fill(n, **changes):
    filled = OrderFilled(
        order_id=f"o{n}", account="paper-1", strategy="momentum", instrument_token=738561, tradingsymbol="RELIANCE",
        side="BUY", quantity=10, remaining=0, price="2501.255000", value="25012.55", charges="12.34",
        realised_pnl="-0.5", position=10, average_price="2501.255", slippage="0",
    )  # fmt: skip
    time_ns = 1_795_235_400_123_456_000 + n * 1_000
    id = event_id(time_ns, f"fill-{n}", "fill")
    return encode(envelope(replace(filled, **changes), id=id, time_ns=time_ns, source="pipeline", broker="paper"))


def with_quantity(n, quantity):
    """A fill as another program may write it."""
    written = json.loads(fill(n))
    written["data"]["quantity"] = quantity
    return json.dumps(written).encode()


def publish(platform, *values):
    producer = Producer(platform.client())
    for key, value in values:
        producer.produce("paper.orders.filled", value, key=key)
    assert producer.flush(20) == 0


def reported(admin):
    rows = admin.execute("select order_id, quantity, price::text, timestamp from paper.fill_report order by order_id")
    return [(order, quantity, price) for order, quantity, price, _ in rows.fetchall()]


def test_a_fill_sent_twice_is_one_row_and_what_cannot_be_read_is_a_dead_letter_while_the_task_goes_on(
    platform, deployed, admin, dead_letters
):
    no_price = json.loads(fill(3))
    del no_price["data"]["price"]
    broken = [(b"broken", b"{broken"), (b"no-price", json.dumps(no_price).encode())]
    broken += [(b"count", with_quantity(3, wrong)) for wrong in ("1000", "ten", 10.5, True, None)]
    large = fill(4, quantity=2**53 + 1, price="9223372036854.775807")
    publish(
        platform,
        (b"1", fill(1)),
        (b"1", fill(1)),
        *broken,
        (b"gone", None),
        (b"2", fill(2, price="1e9")),
        (b"4", large),
    )

    until(lambda: len(reported(admin)) == 3)
    assert reported(admin) == [
        ("o1", 10, "2501.255000"), ("o2", 10, None), ("o4", 9_007_199_254_740_993, "9223372036854.775807"),
    ]  # fmt: skip
    until(lambda: len(dead_letters.read()) == len(broken))
    assert sorted(dead_letters.read()) == sorted(broken)
    assert deployed.connectors()[FILLS].running


def test_a_failed_connector_is_seen_restarted_and_given_up_only_after_its_limit(platform, deployed, step, admin):
    alerts = []
    watchdog = Watchdog(deployed, [FILLS], alerts.append, limit=1)
    admin.execute("alter table paper.fills add constraint nobody_buys check (side <> 'BUY') not valid")
    publish(platform, (b"5", fill(5)))
    until(lambda: deployed.connectors()[FILLS].failed)
    assert "task 0 failed" in deployed.connectors()[FILLS].told
    assert [state.what for state in step.status() if not state.ok] == [f"connector {FILLS}"]
    with pytest.raises(DependencyError, match=r"panda-paper-fills: task 0 failed: .*nobody_buys"):
        step.apply(step.plan())

    def look():
        watchdog.look()
        return alerts

    until(look)
    assert alerts[0].code == "connect.given_up"

    admin.execute("alter table paper.fills drop constraint nobody_buys")
    (change,) = step.plan()
    assert change.line.startswith(f"~ connector {FILLS}: restart: task 0 failed")
    step.apply([change])
    until(lambda: ("o5", 10, "2501.255000") in reported(admin))


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_configuration_that_connect_refuses_names_the_field_and_changes_nothing(deployed):
    before = deployed.connectors()
    wrong = declared(BROKERS)[FILLS] | {"batch.size": "many"}
    with pytest.raises(ConfigError, match=r"panda-paper-fills is refused by Connect:\n  batch\.size: "):
        deployed.validate(FILLS, wrong)
    with pytest.raises(DependencyError, match=r"has no plugin no\.such\.Sink"):
        deployed.validate(FILLS, wrong | {"connector.class": "no.such.Sink"})
    assert deployed.connectors() == before


def test_drift_is_repaired_and_what_is_no_longer_declared_goes(deployed, step, settings):
    deployed.put(FILLS, declared(BROKERS)[FILLS] | {"batch.size": "7"})
    deployed.put("panda-old", declared(BROKERS)[FILLS] | {"topics": "paper.orders.filled"})
    until(lambda: "panda-old" in deployed.connectors())
    assert [change.line for change in step.plan()] == [
        f"~ connector {FILLS}: batch.size 7 → 500",
        "- connector panda-old",
    ]
    step.apply(step.plan())
    assert step.plan() == []

    paper_only = Connectors(Context(settings.model_copy(update={"active_brokers": ("paper",)})))
    assert [change.line for change in paper_only.plan()] == [
        "- connector panda-zerodha-fills",
        "- connector panda-zerodha-pnl",
    ]


def test_a_connect_that_is_down_is_a_dependency(platform, deployed, step):
    platform.native.down(["connect"])
    try:
        with pytest.raises(RetryableError, match="does not answer") as caught:
            step.plan()
        assert caught.value.exit_code == 3
    finally:
        platform.native.up(["connect"])
