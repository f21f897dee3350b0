"""The real platform for tests: Kafka with SCRAM, Connect, Postgres and Redis, started once, gone at the end.

Each file of tests finds it empty, whatever the one before has left.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from connectors.kafka.client import client_config
from connectors.settings import KafkaSettings, principal_password
from deploy.services.kafka import admin_settings, settings_of
from deploy.services.native import Native
from deploy.services.places import PROJECT, Ports
from deploy.services.processes import port_is_free
from tests.emptied import empty, rest


@dataclass(frozen=True)
class Platform:
    """Where everything is, and how to enter. `native` stops and starts a service: `platform.native.down(["kafka"])`."""

    native: Native

    @property
    def bootstrap(self) -> str:
        return self.kafka.bootstrap

    @property
    def kafka(self) -> KafkaSettings:
        """As the super user `admin`."""
        return admin_settings(self.native.site)

    @property
    def deploy_secret(self) -> SecretStr:
        return self.native.site.credentials["DEPLOY_SECRET"]

    @property
    def connect_url(self) -> str:
        return f"http://127.0.0.1:{self.native.ports.connect}"

    @property
    def postgres_url(self) -> str:
        """As `panda`, who owns the database and its migrations."""
        return self.database_url("panda")

    @property
    def redis_url(self) -> str:
        """As the cache, which writes."""
        return self.redis_url_of("cache")

    @property
    def env(self) -> dict[str, str]:
        """PANDA_* for processes of our own."""
        return self.native.environment()

    def kafka_as(self, principal: str) -> KafkaSettings:
        """As a flow's user, with the password that the deploy secret gives it; who makes the user is the test."""
        return settings_of(self.native.site, principal, principal_password(self.deploy_secret, principal))

    def database_url(self, role: str) -> str:
        """As panda, paper, zerodha or debezium."""
        return self.native.database_url(role).get_secret_value()

    def redis_url_of(self, user: str) -> str:
        """As default (everything allowed), cache or api."""
        secret = {"default": "REDIS_ADMIN_PASSWORD"}.get(user, f"REDIS_{user.upper()}_PASSWORD")
        return f"redis://{user}:{self.native.site.password(secret)}@127.0.0.1:{self.native.ports.redis}/0"

    def client(self) -> dict[str, object]:
        """What a confluent-kafka client of the super user is made with."""
        return client_config(self.kafka)


def free_ports() -> Ports:
    """Ports that nobody listens on, below those the system gives to outgoing connections."""
    free: list[int] = []
    while len(free) < 5:
        port = random.randint(20_000, 28_000)
        if port not in free and port_is_free(port):
            free.append(port)
    return Ports(*free)


def sweep() -> None:
    """Stops what test runs have left that were killed: their folder names their process, which is gone."""
    for root in Path(tempfile.gettempdir()).glob("panda-platform-*-*"):
        owner = root.name.split("-")[2]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            Native(root).down()
            shutil.rmtree(root)


@contextmanager
def started(*names: str) -> Iterator[Platform]:
    """These services, or all, with data of their own, in a folder that Postgres's user can pass; gone at the end."""
    sweep()
    root = Path(tempfile.mkdtemp(prefix=f"panda-platform-{os.getpid()}-"))
    native = Native(root, free_ports(), jars=PROJECT / ".services" / "kafka")
    try:
        native.up(names)
        yield Platform(native)
    finally:
        native.down()
        shutil.rmtree(root)


@pytest.fixture(scope="session")
def services() -> Iterator[Platform]:
    """All services, for all tests of a run."""
    with started() as services:
        yield services


@pytest.fixture(scope="module")
def platform(services: Platform) -> Iterator[Platform]:
    """All services, empty at the beginning of each file of tests."""
    empty(services.native)
    yield services
    rest(services.native)
