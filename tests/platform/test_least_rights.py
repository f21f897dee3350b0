"""Whom flows enter the config store and Redis as: the role that may only connect, the user who may only read."""

import psycopg
import pytest
import redis
from fastapi.testclient import TestClient
from pydantic import SecretStr

from analytics.queries import Queries
from api.app import create_app
from connectors import lease
from connectors.database.replication import refuse_lost_slot
from connectors.database.schema import migrate
from connectors.errors import DependencyError, FatalError
from connectors.redis import Desk, connect
from connectors.settings import DatabaseSettings, RedisSettings, Settings
from deploy.services.native import Native
from tests.history import (
    TOKEN,
    Log,
    ack,
    alert,
    filled,
    placed,
    rejected,
    signal,
    snapshot,
    submitted,
    validated,
)  # fmt: skip
from tests.platform_services import Platform, free_ports

pytestmark = [pytest.mark.platform, pytest.mark.timeout(180)]


# --- the config store -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(platform):
    assert migrate(platform.postgres_url) == []
    return platform


def as_lease(platform):
    url = platform.database_url("lease").replace("+psycopg", "")
    return psycopg.connect(url, autocommit=True)


@pytest.mark.parametrize(
    "statement",
    [
        "select * from public.accounts", "select * from public.outbox", "select * from paper.fills",
        "insert into public.outbox default values", "create table public.own (n int)", "create temp table own (n int)",
        "create schema own", "create role another", "select pg_read_file('PG_VERSION')",
        "alter system set wal_level = 'minimal'",
        "select pg_drop_replication_slot('panda_outbox')",
    ],
)  # fmt: skip
def test_the_role_of_the_leases_connects_and_may_do_nothing_else(store, statement):
    with as_lease(store) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(statement)
    assert refused.value.sqlstate == "42501", refused.value  # insufficient privilege


def test_it_takes_a_lease_a_second_worker_is_refused_by_name_and_so_is_one_who_enters_otherwise(store):
    def settings(role):
        return Settings(database=DatabaseSettings(url=SecretStr(store.database_url(role))))

    with lease.hold(settings("lease"), "paper-0"):
        with pytest.raises(FatalError, match=r"held by panda pipeline paper-0 \(connection \d+ since "):
            lease.hold(settings("lease"), "paper-0").__enter__()
        with pytest.raises(FatalError, match=r"held by panda pipeline paper-0 \(connection \d+\)"):
            lease.hold(settings("debezium"), "paper-0").__enter__()


def test_it_sees_that_the_replication_slot_is_not_there(store):
    with pytest.raises(DependencyError, match="no replication slot nobodys"):
        refuse_lost_slot(store.database_url("lease"), "nobodys")


# --- redis ------------------------------------------------------------------------------------------------------------

DAY = [
    signal("g1"), validated("g1"), rejected("g2", at=0.5), submitted("o1"), ack("o1"), placed("o1"),
    filled("o1", 10, left=0, position=10), snapshot(1.0, positions=((TOKEN, 10, "100.60", "101.00"),)), alert(at=1.0),
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Redis of its own, with a day in it: the offsets of what others test stay theirs."""
    native = Native(tmp_path_factory.mktemp("redis"), free_ports())
    native.up(["redis"])
    services = Platform(native)
    with connect(RedisSettings(url=SecretStr(services.redis_url))) as writer:
        desk = Desk(writer, "paper")
        desk.open()
        desk.write([(record, event, record.value) for event, record in zip(DAY, Log().append(*DAY), strict=True)])
        desk.beat()
    yield services
    native.down()


@pytest.fixture
def reader(server):
    with connect(RedisSettings(url=SecretStr(server.redis_url_of("api")))) as client:
        yield client


def test_the_api_answers_every_route_as_the_user_who_only_reads(reader, tmp_path):
    queries = Queries(str(tmp_path), awaited=True)
    app = create_app(Settings(), reader, queries)
    with TestClient(app, base_url="http://127.0.0.1:8000") as browser:
        paths = [path for path, methods in browser.get("/openapi.json").json()["paths"].items() if "get" in methods]
        answers = {path: browser.get(path.replace("{order_id}", "o1"), params={"account": "a"}) for path in paths}
    queries.close()

    assert {path: answer.text for path, answer in answers.items() if answer.status_code != 200} == {}
    for table in (
        "accounts",
        "portfolio",
        "positions",
        "orders",
        "fills",
        "signals",
        "rejections",
        "strategies",
        "alerts",
    ):
        assert answers[f"/api/v1/{table}"].json()["items"], table


def test_it_subscribes_and_can_neither_write_nor_see_what_is_not_the_brokers_nor_rule_the_server(reader):
    with reader.pubsub() as subscription:
        subscription.subscribe("paper:events")
        assert subscription.get_message(timeout=60)["type"] == "subscribe"
    for forbidden in (
        ("SET", "paper:x", "1"), ("GET", "other"), ("KEYS", "*"), ("SCAN", "0"), ("FLUSHDB",), ("INFO",),
        ("CONFIG", "GET", "*"), ("CLIENT", "LIST"), ("CLIENT", "KILL", "ID", "1"), ("PUBLISH", "paper:events", "x"),
        ("EVAL", "return 1", "0"), ("ACL", "LIST"), ("MONITOR",),
    ):  # fmt: skip
        with pytest.raises(redis.exceptions.NoPermissionError):
            reader.execute_command(*forbidden)
