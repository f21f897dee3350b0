"""The native services, for real."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from connectors.errors import DependencyError
from deploy.services.native import Native
from deploy.services.places import PROJECT
from deploy.services.processes import port_is_free
from tests.platform_services import Platform, free_ports
from tests.waiting import until

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


def test_services_that_were_killed_come_back_with_their_data(platform: Platform) -> None:
    with redis.Redis.from_url(platform.redis_url_of("default")) as client:
        client.set("paper:kept", "yes")
        client.execute_command("CONFIG", "SET", "appendfsync", "always")
        client.set("paper:kept", "indeed")
    with psycopg.connect(_plain(platform.postgres_url), autocommit=True) as connection:
        connection.execute("create table kept (n int)")
    for row in platform.native.status(["postgres", "redis"]):
        psutil.Process(row.pid).kill()
    wait_until_down(platform, ["postgres", "redis"])

    assert platform.native.up() == ["postgres", "redis"]
    with redis.Redis.from_url(platform.redis_url) as client:
        assert client.get("paper:kept") == b"indeed"
    with psycopg.connect(_plain(platform.postgres_url), autocommit=True) as connection:
        connection.execute("drop table kept")


def test_stopping_kafka_stops_connect_first_and_starting_connect_starts_kafka(platform: Platform) -> None:
    assert platform.native.down(["kafka"]) == ["connect", "kafka"]
    assert [row.state for row in platform.native.status()] == ["down", "up", "up", "down"]
    assert platform.native.up(["connect"]) == ["kafka", "connect"]


def test_a_service_that_ends_at_its_start_is_told_with_its_last_lines_and_starts_once_it_can(tmp_path: Path) -> None:
    native = Native(tmp_path, free_ports())
    spoilt = tmp_path / "data" / "redis" / "appendonly.aof"
    spoilt.parent.mkdir(parents=True)
    spoilt.write_text("no such thing")
    native.places.credentials.write_text("DEPLOY_SECRET=0\n")
    native.places.credentials.chmod(0o600)

    with pytest.raises(DependencyError, match=r"redis has ended; its last lines:\n(.*\n)*.*append only file"):
        native.up(["redis"])

    shutil.rmtree(spoilt.parent)
    assert native.up(["redis"]) == ["redis"]
    assert native.down() == ["redis"]


def test_a_port_of_another_process_is_refused_and_nothing_is_started(tmp_path: Path) -> None:
    ports = free_ports()
    native = Native(tmp_path, ports)
    with socket.create_server(("127.0.0.1", ports.redis)), pytest.raises(DependencyError, match="taken by process"):
        native.up(["redis"])
    assert native.status(["redis"])[0].state == "down"


def test_the_commands_start_write_settings_tell_and_stop(tmp_path: Path) -> None:
    first = free_ports().kafka
    while not all(port_is_free(first + offset) for offset in range(5)):
        first = free_ports().kafka

    started = panda(tmp_path, "up", "redis", "--first-port", str(first), "--json")
    assert started.returncode == 0, started.stderr
    line = json.loads(started.stdout.splitlines()[-1])
    assert (line["started"], line["env_written"], line["env_differs"]) == (["redis"], True, [])
    assert f"PANDA_KAFKA__BOOTSTRAP=127.0.0.1:{first}\n" in (tmp_path / ".env").read_text()
    again = panda(tmp_path, "up", "redis")
    assert again.stdout == "all of them were up\n"
    told = json.loads(panda(tmp_path, "status", "redis", "--json").stdout)
    assert [(row["state"], row["port"]) for row in told["services"]] == [("up", first + 4)]
    assert panda(tmp_path, "down").stdout == "stopped redis\n"
    after = panda(tmp_path, "status", "redis")
    assert after.returncode == 3
    assert after.stdout.startswith("redis     down")


def panda(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cli", "services", *arguments]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=180)


def wait_until_down(platform: Platform, names: list[str]) -> None:
    until(lambda: all(row.state == "down" for row in platform.native.status(names)))


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")
