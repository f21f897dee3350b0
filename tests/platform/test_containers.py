"""What runs inside the containers, run here without an engine: the scripts, with the services' real programs."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from confluent_kafka import KafkaException

from connectors.kafka.access import Grant, found_grants
from connectors.kafka.admin import Administrator
from connectors.settings import KafkaSettings
from deploy.services.connect import worker_rights
from deploy.services.places import PROJECT
from deploy.services.postgres import Postgres, binaries
from deploy.services.processes import Processes
from deploy.services.redis import executable
from deploy.services.service import Site
from tests.platform_services import Platform, free_ports
from tests.waiting import until

pytestmark = pytest.mark.platform


@pytest.fixture
def kafka_container(platform: Platform, tmp_path: Path) -> Iterator[tuple[KafkaSettings, dict[str, str]]]:
    """The broker of deploy/kafka/container.sh, by its listener for the host, and the environment of its scripts."""
    ports = free_ports()
    environment = os.environ | {
        "KAFKA_LIBS": str(platform.native.places.jars / "libs"),
        "PANDA_FILES": str(PROJECT / "deploy" / "kafka"),
        "TMPDIR": str(tmp_path),
        "KAFKA_DATA": str(tmp_path / "log"),
        "KAFKA_BIND": "127.0.0.1",
        "KAFKA_PORT": str(ports.kafka),
        "KAFKA_HOST_ADDRESS": f"127.0.0.1:{ports.kafka}",
        "KAFKA_INSIDE_ADDRESS": f"127.0.0.1:{ports.connect}",
        "KAFKA_CONTROLLER_PORT": str(ports.controller),
        "KAFKA_HEAP": "256m",
        "KAFKA_ADMIN_PASSWORD": "of-the-admin",
        "KAFKA_CONNECT_PASSWORD": "of-connect",
    }
    settings = KafkaSettings.model_validate(
        {
            "bootstrap": f"127.0.0.1:{ports.kafka}",
            "username": "admin",
            "password": "of-the-admin",
            "security_protocol": "SASL_PLAINTEXT",
        }
    )
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            ["sh", str(PROJECT / "deploy" / "kafka" / "container.sh")], env=environment, stdout=output, stderr=output
        )
    try:
        until(lambda: answers(settings) or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "output").read_text()
        yield settings, environment
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143  # the shell has become the broker: a container's stop reaches it


def answers(settings: KafkaSettings) -> bool:
    try:
        return bool(Administrator(settings, timeout_s=1.0).client.list_topics(timeout=1.0).brokers)
    except KafkaException:
        return False


def test_kafka_in_a_container_gives_connect_the_rights_that_its_worker_needs(
    kafka_container: tuple[KafkaSettings, dict[str, str]],
) -> None:
    settings, environment = kafka_container
    done = subprocess.run(
        ["sh", str(PROJECT / "deploy" / "kafka" / "rights.sh")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: frozenset[Grant] = found_grants(Administrator(settings)) or frozenset()
    assert found == worker_rights()

    entering = settings.model_copy(update={"username": "connect", "password": type(settings.password)("of-connect")})
    until(lambda: answers(entering))


def test_postgres_in_a_container_has_the_roles_and_rights_of_the_native_one(platform: Platform, tmp_path: Path) -> None:
    ports = free_ports()
    root = Path(platform.native.places.root) / "container"
    site = Site(
        type(platform.native.places)(root, platform.native.places.jars), ports, platform.native.site.credentials
    )
    site.places.make()
    processes, service = Processes(site.places.run, site.places.logs), Postgres()
    processes.start("postgres", service.prepare(site))
    try:
        until(lambda: service.answers(site, 0))
        password = {name: secret.get_secret_value() for name, secret in site.credentials.items()}
        environment = os.environ | password | {
            "PGPASSWORD": password["POSTGRES_ADMIN_PASSWORD"],
            "PANDA_RIGHTS": str(PROJECT / "deploy" / "postgres" / "rights.sql"),
        }  # fmt: skip
        script = PROJECT / "deploy" / "postgres" / "container.sql"
        psql = [
            str(binaries() / "psql"),
            "-h",
            "127.0.0.1",
            "-p",
            str(ports.postgres),
            "-U",
            "postgres",
            "-f",
            str(script),
        ]
        done = subprocess.run(psql, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        address = f"host=127.0.0.1 port={ports.postgres} dbname=panda user=zerodha"
        with psycopg.connect(address, password=password["POSTGRES_ZERODHA_PASSWORD"]) as connection:
            rights = "select has_schema_privilege('zerodha', 'usage'), has_schema_privilege('paper', 'usage')"
            assert connection.execute(rights).fetchone() == (True, False)
    finally:
        processes.stop("postgres", service.stop_signal, service.stop_s)
        shutil.rmtree(root)


def test_redis_in_a_container_has_the_users_of_the_native_one(platform: Platform, tmp_path: Path) -> None:
    port = free_ports().redis
    password = {name: secret.get_secret_value() for name, secret in platform.native.site.credentials.items()}
    environment = os.environ | password | {
        "PATH": f"{Path(executable()).parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path),
        "PANDA_REDIS_USERS": str(PROJECT / "deploy" / "redis" / "users.acl"), "PANDA_REDIS_PORT": str(port),
        "PANDA_REDIS_DATA": str(tmp_path),
    }  # fmt: skip
    script = ["sh", str(PROJECT / "deploy" / "redis" / "container.sh")]
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(script, env=environment, stdout=output, stderr=output)
    try:
        with redis.Redis(port=port, username="api", password=password["REDIS_API_PASSWORD"]) as api:
            until(lambda: pings(api) or process.poll() is not None)
            assert api.get("paper:probe") is None
            with pytest.raises(redis.exceptions.NoPermissionError):
                api.set("paper:probe", "1")
        with (
            redis.Redis.from_url(platform.redis_url_of("default")) as native,
            redis.Redis(port=port, password=password["REDIS_ADMIN_PASSWORD"]) as contained,
        ):
            ours, theirs = ([sorted(line.split()) for line in each.acl_list()] for each in (native, contained))
            assert theirs == ours
    finally:
        process.terminate()
        process.wait(10)


def pings(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.ConnectionError:
        return False
