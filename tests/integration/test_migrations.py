"""Migrations of the config store: up, down, at once, and the same tables as the models."""

import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from connectors.database import schema
from connectors.database.models import Table
from connectors.database.store import ConfigStore
from tests.store import MOMENTUM, PAPER, configured


def test_the_migrations_make_exactly_the_tables_of_the_models(store, url):
    engine = create_engine(url)
    with engine.connect() as connection:
        differences = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True}), Table.metadata
        )
    engine.dispose()
    assert differences == []


def test_the_code_knows_exactly_the_revisions_of_the_migrations():
    script = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert tuple(reversed([r.revision for r in script.walk_revisions()])) == schema.REVISIONS


def test_an_upgrade_may_be_undone_and_done_again(store, url):
    configured(store)
    schema.migrate(url, "base")
    engine = create_engine(url)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    store.upgrade()
    assert store.accounts() == []


def test_going_back_a_revision_and_forth_keeps_what_strategies_refer_to(store, url):
    configured(store)
    schema.migrate(url, "0002")
    store.upgrade()
    assert store.strategies() == [MOMENTUM]
    assert store.accounts() == [PAPER]


def test_an_upgrade_of_what_is_up_to_date_keeps_everything(store):
    configured(store)
    store.upgrade()
    assert store.strategies() == [MOMENTUM]


def test_processes_that_make_the_store_at_once_wait_for_each_other(url):
    making = f"from connectors.database import schema; schema.WAIT_S = 120.0; schema.migrate({url!r})"
    command = [sys.executable, "-c", making]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[1] for process in started] == ["", "", ""]
    assert [process.returncode for process in started] == [0, 0, 0]
    with ConfigStore(url) as store:
        assert store.accounts() == []


def test_the_same_tables_are_good_for_postgres():
    dialect = postgresql.dialect()
    statements = [str(CreateTable(table).compile(dialect=dialect)) for table in Table.metadata.sorted_tables]
    statements += [
        str(CreateIndex(i).compile(dialect=dialect)) for t in Table.metadata.sorted_tables for i in t.indexes
    ]
    outbox = next(s for s in statements if "CREATE TABLE outbox" in s)
    assert "id BIGSERIAL NOT NULL" in outbox
    assert "published_at TIMESTAMP WITH TIME ZONE" in outbox
