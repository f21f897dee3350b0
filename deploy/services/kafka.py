"""Kafka: one node, broker and controller, that lets nobody in without a SCRAM user."""

import base64
import shutil
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from connectors.errors import DependencyError
from connectors.kafka.client import client_config
from connectors.settings import KafkaSettings
from deploy.services.java import JVM, QUICK, java
from deploy.services.places import TEMPLATES, Ports
from deploy.services.private import write_private
from deploy.services.processes import Launch, plain_environment
from deploy.services.service import Site

ADMIN: Final = "admin"


def settings_of(site: Site, username: str, password: SecretStr) -> KafkaSettings:
    """How a user enters this broker."""
    return KafkaSettings(
        bootstrap=f"127.0.0.1:{site.ports.kafka}",
        username=username,
        password=password,
        security_protocol="SASL_PLAINTEXT",
    )


def admin_settings(site: Site) -> KafkaSettings:
    """How the super user enters."""
    return settings_of(site, ADMIN, site.credentials["KAFKA_ADMIN_PASSWORD"])


def fill(template: Path, **values: object) -> str:
    """A configuration from its template: every @NAME@ replaced."""
    text = template.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def jvm(site: Site, name: str, megabytes: int, *more: str) -> list[str]:
    """The beginning of a JVM's command line: memory, log file, class path."""
    return [
        java(), *JVM, *more, f"-Xmx{megabytes}m", f"-Dpanda.logs={site.places.logs}", f"-Dpanda.name={name}",
        f"-Dlog4j2.configurationFile={TEMPLATES / 'log4j2.properties'}", "-cp", f"{site.places.jars / 'libs'}/*",
    ]  # fmt: skip


def new_cluster_id() -> str:
    """Sixteen random bytes as Kafka writes them; one that begins with a dash would be taken for an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


class Kafka:
    """The log."""

    name = "kafka"
    needs: tuple[str, ...] = ()
    stop_signal = signal.SIGTERM
    stop_s = 20.0

    def ports(self, ports: Ports) -> tuple[int, ...]:
        return ports.kafka, ports.controller

    def check(self, site: Site) -> None:
        java()

    def prepare(self, site: Site) -> Launch:
        data, configuration = site.places.data / "kafka", site.places.run / "kafka.properties"
        if not (data / "meta.properties").exists():
            self._format(site, data)
        write_private(configuration, self._configuration(site, data))
        return Launch([*jvm(site, self.name, 256), "kafka.Kafka", str(configuration)], plain_environment())

    def _configuration(self, site: Site, data: Path) -> str:
        return fill(
            TEMPLATES / "server.properties",
            KAFKA_PORT=site.ports.kafka,
            CONTROLLER_PORT=site.ports.controller,
            ADMIN_PASSWORD=site.password("KAFKA_ADMIN_PASSWORD"),
            DATA=data,
        )

    def _format(self, site: Site, data: Path) -> None:
        """Makes the data folder, whole or not at all, with the one user that must exist before the first start.

        The tool takes that user's password only as an argument, and reads arguments from a file: nobody sees it there.
        """
        part = data.with_name("kafka.part")
        shutil.rmtree(part, ignore_errors=True)
        configuration, arguments = site.places.run / "format.properties", site.places.run / "format.arguments"
        write_private(configuration, self._configuration(site, part))
        user = f"SCRAM-SHA-512=[name={ADMIN},password={site.password('KAFKA_ADMIN_PASSWORD')}]"
        words = ["format", "--standalone", "-t", new_cluster_id(), "-c", str(configuration), "--add-scram", user]
        write_private(arguments, "\n".join(words))
        command = [*jvm(site, "kafka-format", 256, QUICK), "kafka.tools.StorageTool", f"@{arguments}"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=plain_environment(), cwd=site.places.run
            )
        finally:
            configuration.unlink()
            arguments.unlink()
        if done.returncode != 0:  # what the tool says on success holds the user's keys: it is not kept
            last = "\n".join(f"  | {line}" for line in done.stderr.splitlines()[-5:])
            raise DependencyError(f"Kafka's data folder could not be made:\n{last}", remedy=f"look at {part}")
        part.rename(data)

    def answers(self, site: Site, pid: int) -> bool:
        try:
            return bool(AdminClient(client_config(admin_settings(site))).list_topics(timeout=1.0).brokers)
        except KafkaException:
            return False

    def furnish(self, site: Site) -> None:
        """Nothing: topics, users and rights are what `panda deploy` makes."""
