"""The config store on a real SQLite file: what is stored is published, and every failure says what to do."""

import sqlite3
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from connectors.database import schema
from connectors.database.models import Instant
from connectors.database.seed import demo_seed
from connectors.database.store import ConfigStore
from connectors.errors import ConfigError, DataError, DependencyError, RetryableError
from functions.codec import decode
from functions.configuration import validate
from functions.events import RiskLimits
from tests.store import MOMENTUM, PAPER, RELIANCE, TCS, TEN_O_CLOCK, changed_at_once, configured

replace = msgspec.structs.replace


def published(store):
    """What lies in the outbox, as (topic, key, payload or None)."""
    return [(p.topic, p.key, None if p.value is None else decode(p.value).data) for p in store.pending_outbox()]


# --- what is stored is published --------------------------------------------------------------------------------------


def test_what_is_put_is_read_back_and_lies_in_the_outbox_in_the_order_it_was_put(store):
    configured(store)

    assert store.instruments() == [RELIANCE, TCS]
    assert store.accounts() == [PAPER]
    assert store.strategies() == [MOMENTUM]
    assert published(store) == [
        ("config.instruments", b"738561", RELIANCE),
        ("config.instruments", b"2953217", TCS),
        ("config.accounts", b"paper-1", PAPER),
        ("config.strategies", b"momentum", MOMENTUM),
    ]


def test_the_event_of_a_change_carries_its_time_its_broker_and_an_id_that_stays(store):
    store.put_account(PAPER)
    (change,) = store.pending_outbox()
    event = decode(change.value)

    assert (event.type, event.timestamp, event.source) == (
        "account_configured",
        "2026-11-21T04:30:00.123456Z",
        "config",
    )
    assert event.broker == "paper"
    assert event.id == event.correlation_id == "01a1fc5e-49bb-7481-ae5b-fa682b8695a7"
    assert store.pending_outbox() == [change]


def test_putting_the_same_again_changes_nothing_and_publishes_nothing(store):
    assert store.put_account(PAPER) is True
    assert store.put_account(PAPER) is False
    assert len(store.pending_outbox()) == 1


def test_a_change_is_published_under_a_new_id_even_within_the_same_instant(store):
    store.put_account(PAPER)
    store.put_account(replace(PAPER, killed=True))
    store.put_account(PAPER)
    ids = {decode(p.value).id for p in store.pending_outbox()}
    assert len(ids) == 3
    assert store.accounts() == [PAPER]


def test_a_parameter_that_turns_from_one_into_true_is_a_change(store):
    configured(store)
    assert store.put_strategy(replace(MOMENTUM, parameters={"window": 20, "threshold": 0.5, "loud": 1})) is True
    assert store.strategies()[0].parameters["loud"] is not True


def test_a_strategy_may_change_its_instruments_and_their_order(store):
    configured(store)
    turned = replace(MOMENTUM, instruments=[738561, 2953217])
    store.put_strategy(turned)
    assert store.strategies() == [turned]
    fewer = replace(MOMENTUM, instruments=[738561], accounts=[])
    store.put_strategy(fewer)
    assert store.strategies() == [fewer]


def test_a_deletion_is_published_as_a_tombstone(store):
    configured(store)
    store.mark_published([p.id for p in store.pending_outbox()])

    store.delete_strategy("momentum")
    store.delete_account("paper-1")
    store.delete_instrument(2953217)

    assert published(store) == [
        ("config.strategies", b"momentum", None),
        ("config.accounts", b"paper-1", None),
        ("config.instruments", b"2953217", None),
    ]
    assert (store.strategies(), store.accounts(), store.instruments()) == ([], [], [RELIANCE])


def test_a_change_that_fails_leaves_neither_row_nor_event(store):
    configured(store)
    before = store.pending_outbox()
    with pytest.raises(ConfigError):
        store.put_strategy(replace(MOMENTUM, instruments=[999]))
    assert store.strategies() == [MOMENTUM]
    assert store.pending_outbox() == before


def test_published_changes_leave_the_outbox_oldest_first(store):
    configured(store)
    first, second, *_rest = store.pending_outbox(limit=2)
    assert _rest == []
    store.mark_published([first.id, second.id])
    store.mark_published([first.id])
    store.mark_published([])
    assert [p.key for p in store.pending_outbox()] == [b"paper-1", b"momentum"]


def test_a_change_leaves_the_outbox_when_it_is_published_a_month_old_and_no_longer_the_newest_of_its_key(url):
    days = [0]
    with ConfigStore(url, now=lambda: TEN_O_CLOCK + days[0] * 86_400_000_000_000) as store:
        store.upgrade()
        store.put_account(PAPER)
        store.put_instrument(RELIANCE)
        store.mark_published([p.id for p in store.pending_outbox()])
        store.put_account(replace(PAPER, capital="2"))  # never published
        days[0] = 30
        store.put_account(replace(PAPER, capital="3"))
        assert outbox_ids(url) == [1, 2, 3, 4]
        days[0] = 31
        store.put_account(replace(PAPER, capital="4"))
        assert outbox_ids(url) == [2, 3, 4, 5]


def outbox_ids(url):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
        found = [id for (id,) in file.execute("SELECT id FROM outbox ORDER BY id")]
    file.close()
    return found


def test_the_number_of_a_change_is_never_used_twice_even_when_its_row_is_gone(store, url):
    store.put_account(PAPER)
    (change,) = store.pending_outbox()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
        file.execute("DELETE FROM outbox")
    file.close()
    store.put_account(replace(PAPER, killed=True))
    assert store.pending_outbox()[0].id > change.id


def test_writers_at_once_wait_for_each_other_and_every_change_is_published(store):
    changes = changed_at_once(store, PAPER)

    assert len(changes) == 41
    assert decode(changes[-1].value).data == store.accounts()[0]


# --- a log that lost its records --------------------------------------------------------------------------------------


def test_when_the_log_has_everything_nothing_is_published_again(store):
    configured(store)
    log = {(p.topic, p.key): p.value for p in store.pending_outbox()}
    store.mark_published([p.id for p in store.pending_outbox()])
    assert store.publish_again(log) == []
    assert store.pending_outbox() == []


def test_when_the_log_is_empty_the_newest_change_of_each_key_is_published_again_under_its_old_id(store):
    configured(store)
    store.put_account(replace(PAPER, killed=True))
    store.delete_strategy("momentum")
    store.mark_published([p.id for p in store.pending_outbox()])

    store.publish_again({})

    assert published(store) == [
        ("config.instruments", b"738561", RELIANCE),
        ("config.instruments", b"2953217", TCS),
        ("config.accounts", b"paper-1", replace(PAPER, killed=True)),
    ]


def test_a_key_that_the_log_still_has_and_the_store_deleted_is_deleted_there_again(store):
    store.put_account(PAPER)
    (change,) = store.pending_outbox()
    store.delete_account("paper-1")
    store.mark_published([p.id for p in store.pending_outbox()])
    store.publish_again({(change.topic, change.key): change.value})
    assert published(store) == [("config.accounts", b"paper-1", None)]


def test_a_key_that_this_store_never_had_is_named_as_somebody_elses(store):
    stranger = ("config.accounts", b"paper-9")
    assert store.publish_again({stranger: b"{}", ("config.accounts", b"gone"): None}) == [stranger]
    assert store.pending_outbox() == []


# --- what may enter ---------------------------------------------------------------------------------------------------


def refused(call, *arguments):
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    assert caught.value.remedy
    return caught.value.message


def test_what_the_engine_cannot_count_with_does_not_enter(store):
    said = refused(store.put_account, replace(PAPER, capital="0", limits=RiskLimits(max_position=0)))
    assert said == (
        "account paper-1 is refused: capital is more than 0 and at most 100000000000 rupees, was 0\n"
        "  limits.max_position is from 1 to 10000000, was 0"
    )
    assert store.accounts() == []


def test_a_strategy_needs_its_instruments_and_accounts_first(store):
    store.put_instrument(RELIANCE)
    assert refused(store.put_strategy, MOMENTUM) == (
        "strategy momentum is refused: accounts names 'paper-1', which is not configured\n"
        "  instruments names 2953217, which is not configured"
    )


def test_what_a_strategy_uses_cannot_be_deleted(store):
    configured(store)
    assert refused(store.delete_account, "paper-1") == "account 'paper-1' is used by strategy momentum"
    assert refused(store.delete_instrument, 738561) == "instrument 738561 is used by strategy momentum"


def test_what_is_not_there_cannot_be_deleted(store):
    assert refused(store.delete_account, "paper-2") == "no account 'paper-2'"
    assert refused(store.delete_instrument, 1) == "no instrument 1"
    assert refused(store.delete_strategy, "momentum") == "no strategy 'momentum'"


def test_an_instrument_cannot_become_what_its_strategies_cannot_trade(store):
    configured(store)
    store.put_strategy(replace(MOMENTUM, product="CNC"))
    future = replace(RELIANCE, exchange="NFO", kind="FUT", closing_auction=False)
    assert refused(store.put_instrument, future) == (
        "instrument 738561 is refused: strategy momentum could not run: "
        "product CNC is not for RELIANCE, which is kind FUT"
    )
    assert store.instruments() == [RELIANCE, TCS]


def test_one_symbol_of_an_exchange_is_one_instrument(store):
    store.put_instrument(RELIANCE)
    assert refused(store.put_instrument, replace(RELIANCE, instrument_token=1)) == (
        "instrument 1 is refused: NSE:RELIANCE is instrument 738561 already"
    )


def test_an_account_stays_with_its_broker(store):
    store.put_account(PAPER)
    assert refused(store.put_account, replace(PAPER, broker="zerodha", enabled=False)) == (
        "account paper-1 is refused: broker stays paper, was zerodha: open another account"
    )


def test_the_strategy_itself_may_refuse_its_parameters(store):
    configured(store)

    def check(config):
        raise ValueError(f"parameter window is at least 2, was {config.parameters['window']}")

    said = refused(store.put_strategy, replace(MOMENTUM, parameters={"window": 1}), check)
    assert said == "strategy momentum is refused: parameter window is at least 2, was 1"
    assert store.strategies() == [MOMENTUM]


# --- the demo ---------------------------------------------------------------------------------------------------------


def test_the_demo_configuration_may_enter_and_enters_once(store):
    instruments, accounts, strategies = demo_seed()
    assert validate(instruments, accounts, strategies) == []
    assert store.seed(instruments, accounts, strategies) == 12
    assert store.seed(instruments, accounts, strategies) == 0
    assert len(store.pending_outbox()) == 12


def test_seeding_leaves_what_its_owner_has_changed(store):
    store.seed(*demo_seed())
    mine = replace(store.accounts()[0], capital="5000000")
    store.put_account(mine)
    store.delete_strategy("momentum")
    assert store.seed(*demo_seed()) == 1
    assert store.accounts() == [mine]


def test_a_seed_with_one_fault_brings_nothing(store):
    instruments, accounts, strategies = demo_seed()
    refused(store.seed, instruments, [replace(accounts[0], capital="-1")], strategies)
    assert store.instruments() == []
    assert store.pending_outbox() == []


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_writes_ahead_and_keeps_its_references(store, url):
    store.put_account(PAPER)
    engine = schema.open_engine(url)
    with engine.connect() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    engine.dispose()
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 5000}


def test_a_moment_without_a_zone_is_refused_and_one_of_another_zone_is_kept_in_utc():
    instant = Instant()
    dialect = postgresql.dialect()
    with pytest.raises(ValueError, match="without a zone"):
        instant.process_bind_param(datetime(2026, 11, 21, 10, 0), dialect)  # noqa: DTZ001 - the mistake that is refused
    indian = datetime(2026, 11, 21, 10, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert instant.process_bind_param(indian, dialect) == datetime(2026, 11, 21, 4, 30, tzinfo=UTC)
    assert instant.process_result_value(datetime(2026, 11, 21), dialect) == datetime(2026, 11, 21, tzinfo=UTC)  # noqa: DTZ001 - as SQLite gives it


def test_a_store_that_was_never_set_up_says_how_to(url):
    with ConfigStore(url) as store, pytest.raises(ConfigError, match="panda db upgrade"):
        store.accounts()
    Path(url.removeprefix("sqlite:///")).parent.mkdir()
    with ConfigStore(url) as store, pytest.raises(ConfigError, match="is not set up"):
        store.accounts()


def test_a_store_of_a_newer_version_is_left_alone(store, url):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    file.close()
    with ConfigStore(url) as other:
        for call in (other.accounts, other.upgrade):
            with pytest.raises(
                ConfigError, match=rf"revision 9999, this code knows up to {schema.REVISIONS[-1]}"
            ) as caught:
                call()
            assert "newer version" in caught.value.remedy


def test_a_file_that_is_no_database_is_named(tmp_path):
    file = tmp_path / "panda.sqlite"
    file.write_text("capital,limits\n" * 100)
    with ConfigStore(f"sqlite:///{file}") as store:
        for call in (store.accounts, store.upgrade):
            with pytest.raises(ConfigError, match=r"panda\.sqlite is no SQLite database"):
                call()
    assert file.read_text().startswith("capital,limits")


def test_a_damaged_file_is_a_dependency_that_is_down(store, url):
    configured(store)
    store.close()
    file = Path(url.removeprefix("sqlite:///"))
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with ConfigStore(url) as other, pytest.raises(DependencyError, match="is damaged") as caught:
        other.accounts()
    assert "restore a copy" in caught.value.remedy


def test_a_directory_in_place_of_the_file_cannot_be_opened(tmp_path):
    with ConfigStore(f"sqlite:///{tmp_path}") as store, pytest.raises(ConfigError, match="cannot be opened"):
        store.accounts()


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "data").write_text("a file in the way")
    refusal = pytest.raises(ConfigError, match="cannot make the directory of the config store")
    with ConfigStore(f"sqlite:///{tmp_path}/data/panda.sqlite") as store, refusal:
        store.upgrade()


def test_a_store_that_another_process_keeps_locked_may_be_tried_again(store, url, monkeypatch):
    monkeypatch.setattr(schema, "WAIT_S", 0.05)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ConfigStore(url) as waiting:
        with pytest.raises(RetryableError, match=r"is locked by another process"):
            waiting.put_account(PAPER)
        assert waiting.accounts() == []  # readers never wait
        other.execute("ROLLBACK")
        assert waiting.put_account(PAPER) is True
    other.close()


def test_a_column_that_somebody_dropped_is_named(store, url):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
        file.execute("ALTER TABLE accounts DROP COLUMN killed")
    file.close()
    with pytest.raises(ConfigError, match=r"lacks a column: no such column: accounts\.killed"):
        store.accounts()
    with pytest.raises(ConfigError, match=r"has revision \d+ and yet lacks accounts\.killed"):
        store.upgrade()


def test_a_row_written_past_this_program_is_named(store, url):
    store.put_account(PAPER)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
        file.execute("UPDATE accounts SET broker = 'upstox'")
    file.close()
    with pytest.raises(DataError, match=r"account paper-1 cannot be read: Invalid enum value 'upstox'"):
        store.accounts()


def test_a_password_in_the_url_is_never_shown():
    with pytest.raises(ConfigError) as caught:
        ConfigStore("no-url://:hunter2@")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in schema.shown("postgresql://panda:hunter2@db/panda")


def test_a_database_without_a_driver_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match="no driver for") as caught:
        ConfigStore("postgresql://panda:hunter2@127.0.0.1:1/panda")
    assert "psycopg" in caught.value.remedy
    assert "hunter2" not in str(caught.value)
