"""Where the native services live, and which ports they take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
