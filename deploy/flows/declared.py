"""Which flows a deployment runs, each with its command, its own Kafka user and no setting that it does not need."""

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from connectors.database.address import is_postgres
from connectors.errors import ConfigError
from connectors.kafka.access import principal_of
from connectors.settings import DELIMITER, ENV_FILE, FIELDS, PREFIX, Settings, principal_password
from deploy.flows.environment import declared_environment
from deploy.services.places import PROJECT
from functions.assignment import Seat
from functions.topics import COMMANDS, MARKET_CLOCK, MARKET_QUALITY, MARKET_TICKS, SYSTEM_ALERTS, archived, outputs

_ROOMS: Final = ("functions", "strategies", "dataflows", "connectors", "api", "analytics", "cli", "deploy")
_DEPENDENCIES: Final = "requirements/core.txt"

# Settings by the beginning of their names. No flow is given the deploy secret; those whose values hold passwords go to
# whom they serve: the config store to the flow that publishes its outbox, to the pipeline, which has its lease there, and to
# the watch over the connectors, which looks at their replication slot.
_ALL: Final = ("ACTIVE_BROKERS", "PANDA_DATA_DIR", "PANDA_KAFKA__", "PANDA_LOG__")
_MORE: Final = {
    "pipeline": (
        "PANDA_DATABASE__",
        "PANDA_DEAD_LETTERS__",
        "PANDA_STRATEGIES__",
        "PANDA_CALENDAR",
        "PANDA_CHARGES",
    ),
    "cache": ("PANDA_REDIS__",),
    "config": ("PANDA_DATABASE__",),
    "connectors": ("PANDA_DATABASE__", "PANDA_CONNECT__"),
    "archive": ("PANDA_LAKE__",),
    "api": ("PANDA_REDIS__", "PANDA_LAKE__", "PANDA_API__"),
}

# Settings that name a file which a flow reads at its start and never again: what stands in it is part of the flow.
_NAMING_FILES: Final = ("PANDA_CALENDAR", "PANDA_CHARGES")


@dataclass(frozen=True)
class Flow:
    """One process: what to run, where, of which version; `group` and `topics` tell how far behind it is.

    `environment` is all that the process gets (its supervisor adds where it reports to) and holds a password: it is not
    shown. `files` are hashes of the files that settings name.
    """

    name: str
    command: list[str]
    environment: dict[str, str] = field(repr=False)
    directory: str
    version: str
    group: str = ""
    topics: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> dict[str, str]:
        """What a running process was made from, each part hashed: where one differs, it has to be started anew."""
        parts = {"command": "\0".join(self.command), "directory": self.directory, "code": self.version}
        contents = {f"file of {name}": held for name, held in self.files.items()}
        return {name: _hashed(value) for name, value in (parts | self.environment | contents).items()}


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def code_version(project: Path = PROJECT) -> str:
    """A hash of all our sources, data files among them, of the pinned libraries and of the interpreter's version.

    A process that was started from others runs old code.
    """
    digest = hashlib.sha256(sys.version.encode())
    sources = [path for room in _ROOMS for path in sorted((project / room).rglob("*")) if _is_source(path)]
    for path in [*sources, *filter(Path.is_file, [project / _DEPENDENCIES])]:
        digest.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _is_source(path: Path) -> bool:
    """Neither bytecode nor what an editor leaves beside a file."""
    return path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".") and path.name[-1] != "~"


def interpreter() -> str:
    """The interpreter of this environment by the one name that every environment has, however it was called this time."""
    python = Path(sys.prefix) / "bin" / "python"
    return str(python) if python.exists() else sys.executable


def declared(settings: Settings) -> list[Flow]:
    """The flows of a deployment, in the order of their start: what others wait for comes first.

    Raises: `ConfigError` where the broker wants users, and there is no secret for their passwords.
    """
    version = code_version()
    carrier = "connectors" if is_postgres(settings.database.url.get_secret_value()) else "config"
    flows = [_flow(settings, version, carrier)]
    flows.append(_flow(settings, version, "archive", group="archive", topics=archived(settings.active_brokers)))
    for broker in settings.active_brokers:
        topics = [topic.name for topic in (*outputs(broker), SYSTEM_ALERTS, MARKET_QUALITY)]
        flows.append(_flow(settings, version, "cache", broker, group=f"cache-{broker}", topics=topics))
    flows.append(_flow(settings, version, "api"))
    for broker in settings.active_brokers:
        flows += [_pipeline(settings, version, broker, number) for number in range(1, settings.deploy.shards + 1)]
    return flows


def _pipeline(settings: Settings, version: str, broker: str, number: int) -> Flow:
    """One shard. Its configuration is read before its group counts, so it is not among the topics here."""
    shards = settings.deploy.shards
    topics = [MARKET_TICKS.name, MARKET_CLOCK.name, COMMANDS.of(broker).name]
    seat = Seat(number, shards)
    return _flow(
        settings, version, "pipeline", broker, group=f"pipeline-{seat.key(broker)}", topics=topics,
        shard=str(seat) if shards > 1 else "",
    )  # fmt: skip


def _flow(
    settings: Settings, version: str, flow: str, broker: str = "", *, group: str = "", topics: list[str] | None = None,
    shard: str = "",
) -> Flow:  # fmt: skip
    of = broker or settings.active_brokers[0]
    number = shard.partition("/")[0]
    return Flow(
        name="-".join(part for part in (flow, broker, number) if part),
        command=[interpreter(), "-m", "cli", "run", flow, "--broker", of, *(["--shard", shard] if shard else [])],
        environment=environment_of(settings, flow, principal_of(flow, of)),
        directory=str(Path.cwd()),
        version=version,
        group=group,
        topics=topics or [],
        files=_contents(settings, flow),
    )


def _contents(settings: Settings, flow: str) -> dict[str, str]:
    """Hashes of the files that a flow's settings name. Raises: `ConfigError` for one that cannot be read."""
    found = {}
    for name in _NAMING_FILES:
        path = _value(settings, name) if name in _told(flow) else None
        if not path:
            continue
        try:
            found[name] = hashlib.sha256(Path(str(path)).read_bytes()).hexdigest()
        except OSError as error:
            raise ConfigError(
                f"{name} names {path}, which cannot be read: {error.strerror}",
                remedy="correct the setting, or the file",
            ) from error
    return found


def environment_of(settings: Settings, flow: str, principal: str) -> dict[str, str]:
    """What a flow's process is told: these settings and no `.env`, with its own Kafka user in place of the deployer's."""
    values = {name: _value(settings, name) for name in _told(flow)}
    told = {name: _text(value) for name, value in values.items() if value is not None}
    told |= _as_less(settings, flow)
    if settings.kafka.security_protocol.startswith("SASL"):
        if not settings.deploy.secret.get_secret_value():
            raise ConfigError(
                "PANDA_DEPLOY__SECRET is empty, and from it come the passwords of the flows' Kafka users",
                remedy="set it to a long random text, e.g. of `openssl rand -hex 32`, and keep it",
            )
        password = principal_password(settings.deploy.secret, principal)
        told |= {"PANDA_KAFKA__USERNAME": principal, "PANDA_KAFKA__PASSWORD": password.get_secret_value()}
    return declared_environment() | told | {ENV_FILE: os.devnull}


def _told(flow: str) -> list[str]:
    """The settings that a flow is told."""
    return [name for name in FIELDS if name.startswith(_ALL + _MORE.get(flow, ()))]


def _as_less(settings: Settings, flow: str) -> dict[str, str]:
    """Whom a flow enters as in place of the deployer, where it needs less and there is such a user."""
    lease, reader = settings.deploy.lease_url.get_secret_value(), settings.deploy.api_redis_url.get_secret_value()
    if flow in ("pipeline", "connectors") and lease and is_postgres(settings.database.url.get_secret_value()):
        return {"PANDA_DATABASE__URL": lease}
    if flow == "api" and reader:
        return {"PANDA_REDIS__URL": reader}
    return {}


def _value(settings: Settings, name: str) -> object:
    value: Any = settings
    for part in name.removeprefix(PREFIX).lower().split(DELIMITER):
        value = getattr(value, part)
    return value


def _text(value: object) -> str:
    """A value as an environment holds it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def fingerprint_differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The names of what differs, no values.

    >>> fingerprint_differences({"code": "1", "PANDA_LOG__LEVEL": "2"}, {"code": "3", "PANDA_LOG__LEVEL": "2"})
    ['code']
    """
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
