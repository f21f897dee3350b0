"""The config store on a real Postgres: the same promises as on SQLite, and every failure says what to do."""

import subprocess
import sys

import msgspec
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from connectors.database import schema
from connectors.database.models import Table
from connectors.database.seed import demo_seed
from connectors.database.store import ConfigStore
from connectors.errors import ConfigError, DependencyError, RetryableError
from deploy.connect.declared import REPORTS, columns_of
from functions.codec import decode
from functions.events import AccountConfig
from tests.store import changed_at_once

pytestmark = pytest.mark.platform

replace = msgspec.structs.replace
PAPER = AccountConfig("paper-1", "paper", capital="1000000.25")


@pytest.fixture
def url(platform):
    """An empty database of its own, owned by `panda`."""
    admin = platform.native.site.password("POSTGRES_ADMIN_PASSWORD")
    ports = platform.native.ports
    with psycopg.connect(
        host="127.0.0.1", port=ports.postgres, user="postgres", password=admin, dbname="postgres", autocommit=True
    ) as server:
        server.execute("drop database if exists store_test with (force)")
        server.execute("create database store_test owner panda")
        url = make_url(platform.postgres_url).set(database="store_test")
        yield url.render_as_string(hide_password=False)
        server.execute("drop database store_test with (force)")


@pytest.fixture
def store(url):
    with ConfigStore(url) as store:
        assert store.upgrade() == []
        yield store


def query(url, sql):
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            answer = connection.execute(text(sql))
            return answer.all() if answer.returns_rows else None
    finally:
        engine.dispose()


def test_the_demo_configuration_enters_once_and_is_read_back(store):
    instruments, accounts, strategies = demo_seed()
    assert store.seed(instruments, accounts, strategies) == 12
    assert store.seed(instruments, accounts, strategies) == 0
    assert store.strategies() == sorted(strategies, key=lambda one: one.strategy)
    assert store.accounts() == accounts
    assert decode(store.pending_outbox()[8].value).data == accounts[0]


def test_the_migrations_make_exactly_the_tables_of_the_models_and_may_be_undone(store, url):
    store.put_account(PAPER)
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    schema.migrate(url, "0001")
    assert not inspect(engine).has_table("fills", schema="paper")
    schema.migrate(url, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    store.upgrade()
    assert store.accounts() == []


def test_every_column_that_a_connector_writes_is_in_its_table_and_no_other(store, url):
    engine = create_engine(url)
    for report in REPORTS:
        (event,) = report.topic.payloads
        for broker in ("paper", "zerodha"):
            there = {column["name"] for column in inspect(engine).get_columns(report.table, schema=broker)}
            assert there == {"id", "timestamp", *columns_of(event)}
    engine.dispose()


def test_money_of_a_report_is_numeric_in_its_view_and_what_is_no_number_is_null(store, url):
    values = "'o', 'a', 's', 'RELIANCE', 'BUY', 1, 10, 0, 10"
    query(
        url,
        "INSERT INTO paper.fills (id, timestamp, order_id, account, strategy, tradingsymbol, side, instrument_token, "
        "quantity, remaining, position, price, value, charges, realised_pnl, average_price, slippage) VALUES "
        f"('1', '2026-11-20T09:15:00.123456Z', {values}, '2501.255000', '9223372036854.775807', '-0.000001', 'abc', '0', "
        "'1e5')",
    )
    ((moment, *amounts),) = query(
        url, "SELECT timestamp, price, value, charges, realised_pnl, average_price, slippage FROM paper.fill_report"
    )
    assert moment.isoformat() == "2026-11-20T09:15:00.123456+00:00"
    assert [None if amount is None else str(amount) for amount in amounts] == [
        "2501.255000", "9223372036854.775807", "-0.000001", None, "0", None,
    ]  # fmt: skip


@pytest.mark.parametrize(("writer", "other"), [("paper", "zerodha"), ("zerodha", "paper")])
def test_a_broker_writes_its_own_reports_and_cannot_even_read_the_others(store, url, platform, writer, other):
    theirs = make_url(platform.database_url(writer)).set(database="store_test").render_as_string(hide_password=False)
    assert query(theirs, f"SELECT * FROM {writer}.pnl_report") == []
    query(theirs, f"UPDATE {writer}.fills SET price = '1'")
    for forbidden in (
        f"UPDATE {other}.fills SET price = '1'", f"SELECT * FROM {other}.fills", "SELECT * FROM public.outbox",
        "SELECT * FROM public.accounts", f"DELETE FROM {writer}.fills", f"CREATE TABLE {writer}.own (id text)",
    ):  # fmt: skip
        with pytest.raises(Exception, match="permission denied"):
            query(theirs, forbidden)


def test_the_reader_of_the_outbox_reads_nothing_else_and_writes_nothing(store, url, platform):
    reader = (
        make_url(platform.database_url("debezium")).set(database="store_test").render_as_string(hide_password=False)
    )
    assert query(reader, "SELECT * FROM public.outbox") == []
    for forbidden in ("SELECT * FROM public.accounts", "DELETE FROM public.outbox", "SELECT * FROM paper.fills"):
        with pytest.raises(Exception, match="permission denied"):
            query(reader, forbidden)


def test_writers_at_once_wait_for_each_other_and_the_outbox_has_the_order_of_their_commits(store):
    changes = changed_at_once(store, PAPER)

    assert len(changes) == 41
    assert decode(changes[-1].value).data == store.accounts()[0]


def test_processes_that_make_the_store_at_once_wait_for_each_other(url):
    making = f"from connectors.database import schema; schema.WAIT_S = 120.0; schema.migrate({url!r})"
    command = [sys.executable, "-c", making]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[1] for process in started] == ["", "", ""]


def test_a_store_that_another_process_keeps_locked_may_be_tried_again(store, url, monkeypatch):
    monkeypatch.setattr(schema, "WAIT_S", 1.0)
    engine = schema.open_engine(url)
    with engine.execution_options(writes=True).begin(), ConfigStore(url) as waiting:
        with pytest.raises(RetryableError, match="is locked by another process"):
            waiting.put_account(PAPER)
        assert waiting.accounts() == []  # readers never wait
    engine.dispose()


# --- what goes wrong --------------------------------------------------------------------------------------------------


def told(url, kind, match):
    with ConfigStore(url) as store, pytest.raises(kind, match=match) as caught:
        store.accounts()
    assert caught.value.remedy
    return caught.value


def changed(url, **parts):
    return make_url(url).set(**parts).render_as_string(hide_password=False)


def test_a_wrong_password_and_a_database_that_is_not_there_do_not_pass_by_themselves(url):
    refused = told(changed(url, password="hunter2"), DependencyError, "refuses the password")
    absent = told(changed(url, database="nowhere"), DependencyError, 'database "nowhere" does not exist')
    for error in (refused, absent):
        assert error.exit_code == 3
        assert not isinstance(error, RetryableError)
        assert "hunter2" not in str(error)


def test_a_server_that_is_gone_may_come_back(url):
    assert told(changed(url, port=1), RetryableError, "does not answer").exit_code == 3


def test_a_connection_that_the_server_ended_is_replaced(store, url):
    assert store.accounts() == []
    query(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = 'store_test' AND pid <> pg_backend_pid()",
    )
    assert store.accounts() == []


def test_a_store_that_was_never_set_up_or_is_of_another_revision_says_so(url):
    told(url, ConfigError, "is not set up")
    schema.migrate(url, "0001")
    told(url, ConfigError, f"has revision 0001, this code reads {schema.REVISIONS[-1]}")
    schema.migrate(url)
    query(url, "UPDATE alembic_version SET version_num = '9999'")
    told(url, ConfigError, f"revision 9999, this code knows up to {schema.REVISIONS[-1]}")


def test_a_column_that_somebody_dropped_is_named(store, url):
    query(url, "ALTER TABLE accounts DROP COLUMN killed")
    told(url, ConfigError, r"lacks a column: column accounts\.killed does not exist")
    with pytest.raises(ConfigError, match=r"has revision \d+ and yet lacks accounts\.killed"):
        store.upgrade()


def test_a_user_without_the_right_is_told_so(store, url, platform):
    paper = make_url(platform.database_url("paper")).set(database="store_test").render_as_string(hide_password=False)
    told(paper, ConfigError, "does not allow its user to do this")
