"""The ground of a test: an empty log, on the embedded broker or on real Kafka, and settings for those who work on it.

A test that asks for `ground` or `new_ground` runs twice: on the embedded broker, and, marked `platform`, on a broker with
users and rights, with the leases in Postgres; there topics are made anew for each ground.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.cimpl import KafkaError
from pydantic import SecretStr

from connectors.kafka.access import principal_of
from connectors.kafka.admin import Administrator
from connectors.kafka.embedded import Embedded, start_embedded
from connectors.kafka.topics import create_topics
from connectors.settings import DatabaseSettings, DeploySettings, KafkaSettings, Settings
from deploy.flows.declared import environment_of
from deploy.plan.access import Access
from deploy.plan.running import apply, exit_code
from deploy.plan.steps import Context
from deploy.plan.topics import Topics
from functions.topics import all_topics
from tests.platform_services import Platform

BROKERS = ("paper", "zerodha")
PLACES = ["embedded", pytest.param("platform", marks=pytest.mark.platform)]


@dataclass(frozen=True)
class Ground:
    """An empty log with every topic of paper and zerodha. `settings` are an administrator's."""

    settings: Settings

    @property
    def kafka(self) -> KafkaSettings:
        return self.settings.kafka

    @property
    def directory(self) -> Path:
        return self.settings.data_dir

    def environment(self, flow: str, broker: str = "paper") -> dict[str, str]:
        """What a deployment tells the process of a flow: its settings alone, as its own Kafka user where there are users."""
        return environment_of(self.settings, flow, principal_of(flow, broker))


NewGround = Callable[[], Ground]


@pytest.fixture(params=PLACES)
def new_ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewGround]:
    """Makes grounds, each of which ends the one before it."""
    embedded: list[Embedded] = []

    def on_embedded() -> Ground:
        stop()
        directory = tmp_path_factory.mktemp("ground")
        embedded.append(start_embedded(directory, BROKERS))
        return Ground(Settings(data_dir=directory, active_brokers=BROKERS, kafka=embedded[-1].settings))

    def stop() -> None:
        while embedded:
            embedded.pop().stop()

    def on_platform() -> Ground:
        real: Platform = request.getfixturevalue("entered")
        begin_anew(real.kafka)
        return Ground(settings_on(real, tmp_path_factory.mktemp("ground")))

    yield on_platform if request.param == "platform" else on_embedded
    stop()


@pytest.fixture
def ground(new_ground: NewGround) -> Ground:
    """The one ground of a test."""
    return new_ground()


@pytest.fixture(scope="module")
def entered(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The platform with every topic, and with the users and rights of both brokers."""
    context = Context(settings_on(platform, tmp_path_factory.mktemp("deployed")))
    results = apply([Topics(context), Access(context)])
    assert exit_code(results) == 0, results
    return platform


def settings_on(real: Platform, directory: Path) -> Settings:
    """An administrator's settings on these services, with a folder of its own."""
    return Settings(
        data_dir=directory, active_brokers=BROKERS, kafka=real.kafka, deploy=DeploySettings(secret=real.deploy_secret),
        database=DatabaseSettings(url=SecretStr(real.postgres_url)),
    )  # fmt: skip


def begin_anew(kafka: KafkaSettings) -> None:
    """An empty log: every topic of ours made anew, no group that remembers the one before. Nobody may be at work on it."""
    admin = Administrator(kafka, timeout_s=30)
    topics = all_topics(BROKERS)
    there = sorted(admin.partitions().keys() & {topic.name for topic in topics})
    for name, future in admin.client.delete_topics(there, operation_timeout=30).items() if there else ():
        admin.result(future, f"delete topic {name}")
    admin.until(lambda: not admin.partitions().keys() & set(there), "topics deleted")
    _forget_groups(admin)
    create_topics(admin, topics)


def _forget_groups(admin: Administrator) -> None:
    groups = [group.group_id for group in admin.result(admin.client.list_consumer_groups(), "list groups").valid]
    asked = admin.client.delete_consumer_groups(groups) if groups else {}
    for name, future in asked.items():
        error = admin.refusal(future, f"delete group {name}")
        if error is not None and error.code() != KafkaError.GROUP_ID_NOT_FOUND:
            raise admin.meaning(error, f"delete group {name}")
