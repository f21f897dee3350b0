"""The config store restored from a dump into an empty Postgres, by the commands of docs/runbook.md."""

import os
import shutil
import subprocess

import msgspec
import psycopg
import pytest
from pydantic import SecretStr

from connectors.connect import Connect
from connectors.database.seed import demo_seed
from connectors.database.store import ConfigStore
from connectors.kafka.source import fetch_all
from connectors.settings import ConnectSettings, DatabaseSettings, DeploySettings, Settings
from deploy.plan import STEPS, Context
from deploy.services.postgres import binaries
from functions.codec import decode
from functions.topics import CONFIG_ACCOUNTS
from tests.waiting import until

pytestmark = [pytest.mark.platform, pytest.mark.timeout(400)]

replace = msgspec.structs.replace


@pytest.fixture
def settings(platform):
    return Settings(
        kafka=platform.kafka,
        database=DatabaseSettings(url=SecretStr(platform.postgres_url)),
        connect=ConnectSettings(url=platform.connect_url),
        deploy=DeploySettings(secret=platform.deploy_secret),
    )


def deploy(settings):
    """What `panda deploy apply` does, but the flows."""
    for make in STEPS:
        step = make(Context(settings))
        step.apply([change for change in step.plan() if change.kind != "note"])


def postgres(platform, program, *arguments):
    """A program of Postgres as the owner of the store; its password is in no argument."""
    where = ["-h", "127.0.0.1", "-p", str(platform.native.ports.postgres), "-U", "panda"]
    password = platform.native.site.password("POSTGRES_PANDA_PASSWORD")
    subprocess.run(
        [binaries() / program, *where, *arguments], check=True, env=os.environ | {"PGPASSWORD": password}, timeout=60
    )


def capitals(platform):
    """What the log says of each account, newest last."""
    records = fetch_all(platform.kafka, [CONFIG_ACCOUNTS.name])
    return [(record.key.decode(), decode(record.value).data.capital) for record in records]


def test_a_dump_brings_back_configuration_and_rights_and_later_changes_reach_the_log(platform, settings, tmp_path):
    native, dump = platform.native, tmp_path / "panda.dump"
    deploy(settings)
    with ConfigStore(platform.postgres_url) as store:
        store.seed(*demo_seed())
        (account,) = store.accounts()
        postgres(platform, "pg_dump", "-Fc", "-f", str(dump), "panda")
        store.put_account(replace(account, capital="5"))
        until(lambda: (account.account, "5") in capitals(platform))

    native.down(["connect", "postgres"])
    shutil.rmtree(native.places.data / "postgres")
    native.up(["postgres"])
    postgres(platform, "pg_restore", "-d", "panda", "--clean", "--if-exists", "--single-transaction", str(dump))
    native.up()
    deploy(settings)

    with ConfigStore(platform.postgres_url) as store:
        assert store.accounts() == [account]
        until(lambda: capitals(platform)[-1] == (account.account, account.capital))
        store.put_account(replace(account, capital="7"))
        until(lambda: capitals(platform)[-1] == (account.account, "7"))

    with psycopg.connect(platform.database_url("paper").replace("+psycopg", ""), autocommit=True) as connection:
        assert connection.execute("select count(*) from paper.fill_report").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from public.accounts")
    with Connect(platform.connect_url) as connect:
        for name in connect.connectors():
            connect.delete(name)
