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
from deploy.services.places import PROJECT
from deploy.services.processes import plain_environment
from functions.assignment import Seat
from functions.topics import COMMANDS, MARKET_CLOCK, MARKET_QUALITY, MARKET_TICKS, SYSTEM_ALERTS, archived, outputs

_ROOMS: Final = ("functions", "strategies", "dataflows", "connectors", "api", "analytics", "cli", "deploy")
_KEPT: Final = ("PYTHONPATH", "NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")

# Settings by the beginning of their names. No flow is given the deploy secret; those whose values hold passwords go to
# whom they serve: the config store to the flow that publishes its outbox, to the pipeline, which has its lease there, and to
# the watch over the connectors, which looks at their replication slot.
_ALL: Final = ("ACTIVE_BROKERS", "PANDA_DATA_DIR", "PANDA_KAFKA__", "PANDA_LOG__")
_MORE: Final = {
    "pipeline": ("PANDA_DATABASE__", "PANDA_DEAD_LETTERS__"),
    "cache": ("PANDA_REDIS__",),
    "config": ("PANDA_DATABASE__",),
    "connectors": ("PANDA_DATABASE__", "PANDA_CONNECT__"),
    "archive": ("PANDA_LAKE__",),
    "api": ("PANDA_REDIS__", "PANDA_LAKE__", "PANDA_API__"),
}


@dataclass(frozen=True)
class Flow:
    """One process: what to run, where, of which version; `group` and `topics` tell how far behind it is.

    The environment holds a password: it is not shown.
    """

    name: str
    command: list[str]
    environment: dict[str, str] = field(repr=False)
    directory: str
    version: str
    group: str = ""
    topics: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> dict[str, str]:
        """What a running process was made from, each part hashed: where one differs, it has to be started anew."""
        parts = {"command": "\0".join(self.command), "directory": self.directory, "code": self.version}
        return {name: _hashed(value) for name, value in (parts | self.environment).items()}


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def code_version(project: Path = PROJECT) -> str:
    """A hash of all our sources: a process that was started from others runs old code."""
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((project / room).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix in (".py", ".html", ".js", ".css"):
                digest.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


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
        command=[sys.executable, "-m", "cli", "run", flow, "--broker", of, *(["--shard", shard] if shard else [])],
        environment=environment_of(settings, flow, principal_of(flow, of)),
        directory=str(Path.cwd()),
        version=version,
        group=group,
        topics=topics or [],
    )


def environment_of(settings: Settings, flow: str, principal: str) -> dict[str, str]:
    """What a flow's process is told: these settings and no `.env`, with its own Kafka user in place of the deployer's."""
    names = _ALL + _MORE.get(flow, ())
    values = {name: _value(settings, name) for name in FIELDS if name.startswith(names)}
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
    return process_environment() | told | {ENV_FILE: os.devnull}


def _as_less(settings: Settings, flow: str) -> dict[str, str]:
    """Whom a flow enters as in place of the deployer, where it needs less and there is such a user."""
    lease, reader = settings.deploy.lease_url.get_secret_value(), settings.deploy.api_redis_url.get_secret_value()
    if flow in ("pipeline", "connectors") and lease and is_postgres(settings.database.url.get_secret_value()):
        return {"PANDA_DATABASE__URL": lease}
    if flow == "api" and reader:
        return {"PANDA_REDIS__URL": reader}
    return {}


def process_environment() -> dict[str, str]:
    """What any Python process of ours is told: where our sources are, and none of our settings."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return plain_environment(**kept) | {"PYTHONPATH": str(PROJECT)}


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
