"""A pipeline as its own process, on an embedded broker or on real Kafka, configured with the benchmarks' desk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr

from benchmarks.workload import desk
from connectors.kafka.admin import Administrator
from connectors.kafka.embedded import start_embedded
from connectors.kafka.sink import Writer
from connectors.kafka.topics import create_topics
from connectors.settings import DeploySettings, KafkaSettings, Settings
from deploy.flows.declared import environment_of
from functions.topics import all_topics
from tests.e2e.processes import pipeline_process, stop
from tests.platform_services import started
from tests.recorded import config_events


class Place:
    """Where a pipeline is to run: a folder and settings, as an administrator."""

    def __init__(self, folder: Path, kafka: KafkaSettings) -> None:
        self.directory = folder
        self.settings = Settings(data_dir=folder, kafka=kafka, deploy=DeploySettings(secret=SecretStr("of nobody")))

    def environment(self, flow: str) -> dict[str, str]:
        kafka = self.settings.kafka
        entered = {"PANDA_KAFKA__USERNAME": kafka.username, "PANDA_KAFKA__PASSWORD": kafka.password.get_secret_value()}
        return environment_of(self.settings, flow, kafka.username) | entered


@contextmanager
def embedded() -> Iterator[Place]:
    """The embedded broker."""
    with TemporaryDirectory() as folder, start_embedded(Path(folder)) as broker:
        yield Place(Path(folder), broker.settings)


@contextmanager
def real_kafka() -> Iterator[Place]:
    """A broker with users and rights, started for this; needs Java, and Maven for its jars."""
    with TemporaryDirectory() as folder, started("kafka") as platform:
        create_topics(Administrator(platform.kafka, timeout_s=30), all_topics(("paper",)))
        yield Place(Path(folder), platform.kafka)


@contextmanager
def at_work(place: Place, *command: str) -> Iterator["Popen[Any]"]:
    """The process, from the moment it is live; it must end cleanly."""
    with pipeline_process(place, *command) as process:
        yield process
        stop(process)


def configure(kafka: KafkaSettings) -> None:
    made = desk()
    writer = Writer(kafka)
    writer.write(config_events(made.instruments, made.accounts, made.strategies))
    writer.flush()


@contextmanager
def live_pipeline() -> Iterator[tuple[KafkaSettings, "Popen[Any]"]]:
    """(where its broker is, the process), on the embedded broker."""
    with embedded() as place:
        configure(place.settings.kafka)
        with at_work(place) as process:
            yield place.settings.kafka, process
