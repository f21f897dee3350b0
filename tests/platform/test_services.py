"""The native services, for real."""

import subprocess

import psycopg
import pytest
import redis

from tests.platform.conftest import Platform

pytestmark = pytest.mark.platform


def test_all_services_answer_and_a_second_start_changes_nothing(platform: Platform) -> None:
    before = [(row.name, row.pid) for row in platform.native.status()]

    assert platform.native.up() == []
    rows = platform.native.status()
    assert [(row.name, row.pid) for row in rows] == before
    assert [(row.name, row.state, row.healthy) for row in rows] == [
        ("kafka", "up", True),
        ("postgres", "up", True),
        ("redis", "up", True),
        ("connect", "up", True),
    ]


def test_no_password_is_in_an_argument_or_in_a_log(platform: Platform) -> None:
    passwords = [secret.get_secret_value() for secret in platform.native.site.credentials.values()]
    arguments = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    logs = "".join(path.read_text(errors="replace") for path in platform.native.places.logs.iterdir())

    assert [p for p in passwords if p in arguments or p in logs] == []


@pytest.mark.parametrize(("writer", "other"), [("paper", "zerodha"), ("zerodha", "paper")])
def test_the_role_of_one_broker_writes_in_its_own_schema_only(platform: Platform, writer: str, other: str) -> None:
    with psycopg.connect(_plain(platform.postgres_url), autocommit=True) as owner:
        for schema in (writer, other):
            owner.execute(f"create table if not exists {schema}.probe (n int)".encode())
    with psycopg.connect(_plain(platform.database_url(writer)), autocommit=True) as connection:
        connection.execute(f"insert into {writer}.probe values (1)".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"insert into {other}.probe values (1)".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create table public.stray (n int)")


def test_the_api_reads_redis_and_cannot_write_it(platform: Platform) -> None:
    with redis.Redis.from_url(platform.redis_url) as cache, redis.Redis.from_url(platform.redis_url_of("api")) as api:
        cache.set("paper:probe", "1")

        assert api.get("paper:probe") == b"1"
        with pytest.raises(redis.exceptions.NoPermissionError):
            api.set("paper:probe", "2")
        with pytest.raises(redis.exceptions.NoPermissionError):
            cache.set("elsewhere", "1")


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")
