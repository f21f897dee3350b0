"""Where the native services live, and which ports they take."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.errors import ConfigError

PROJECT: Final = Path(__file__).resolve().parents[2]
TEMPLATES: Final = PROJECT / "deploy" / "kafka"


@dataclass(frozen=True)
class Ports:
    """One port a service, all on 127.0.0.1; `controller` is Kafka's own, not for clients."""

    kafka: int = 29094
    controller: int = 29093
    connect: int = 28083
    postgres: int = 25432
    redis: int = 26379


COMPOSE: Final = Ports(kafka=9092, connect=8083, postgres=5432, redis=6379)  # on the host, by docker-compose.yml


def chosen_ports(kept: Path, given: Ports | None) -> Ports:
    """The ports of a root: those it was first started with, else those given, else the usual ones.

    Kafka's controller keeps its own address in its data: a root cannot move to other ports.
    Raises: `ConfigError` where it is asked to.
    """
    if not kept.exists():
        return given or Ports()
    try:
        ports = Ports(**json.loads(kept.read_text()))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{kept} does not hold ports: {error}", remedy=f"remove {kept} and {kept.parent}/data"
        ) from error
    if given is not None and given != ports:
        raise ConfigError(
            f"the data beneath {kept.parent} belongs to ports {ports}, asked for were {given}",
            remedy="leave the ports out, or give another folder",
        )
    return ports


@dataclass(frozen=True)
class Places:
    """The folders beneath one root. `jars` may be shared by several roots."""

    root: Path
    jars: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Process ids, and the configuration files made for each start."""
        return self.root / "run"

    @property
    def credentials(self) -> Path:
        return self.root / "secrets.env"

    def make(self) -> None:
        """Folders, open to traverse: Postgres runs as a user of its own."""
        for folder in (self.root, self.data, self.logs, self.run):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)
