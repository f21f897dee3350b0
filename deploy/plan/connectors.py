"""Connectors as `deploy/connect` declares them: made, given their configuration, restarted, and removed with their like.

What is ours is known by its name, which begins with `panda-`. Connectors of others are left alone. Where the config store
is SQLite there are none: the flow `config` publishes its outbox, and the lake has the reports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from connectors.connect import SETTLED_AFTER_FAILURE_S, SETTLED_S, Connect, Connector
from connectors.database.address import is_postgres
from connectors.database.replication import refuse_lost_slot
from connectors.errors import PipelineError
from deploy.connect.declared import OUTBOX, PREFIX, SLOT, Configuration, declared
from deploy.plan.steps import Change, Context, State

Doing = Literal["put", "resume", "restart", "delete"]

_SECRET: Final = "password"  # a key that ends so holds a secret: its value is never told


@dataclass(frozen=True)
class ConnectorChange(Change):
    """One difference of one connector."""

    connector: str = ""
    doing: Doing = "put"


def differences(wanted: Mapping[str, Configuration], found: Mapping[str, Connector]) -> list[ConnectorChange]:
    """What has to change for the connectors found to be those wanted."""
    changes = [
        change for name, config in wanted.items() if (change := _difference(name, config, found.get(name))) is not None
    ]
    gone = [name for name in sorted(found) if name.startswith(PREFIX) and name not in wanted]
    return changes + [ConnectorChange("remove", f"connector {name}", "", "", name, "delete") for name in gone]


def _difference(name: str, wanted: Configuration, found: Connector | None) -> ConnectorChange | None:
    what = f"connector {name}"
    if found is None:
        return ConnectorChange("add", what, wanted["connector.class"].rpartition(".")[2], "", name, "put")
    if dict(found.config) != wanted:
        return ConnectorChange("change", what, _told(wanted, found.config), "", name, "put")
    if found.failed:
        return ConnectorChange("change", what, f"restart: {found.told}", "", name, "restart")
    if found.state in ("PAUSED", "STOPPED"):
        return ConnectorChange("change", what, f"{found.state.lower()} → running", "", name, "resume")
    return None


def _told(wanted: Configuration, found: Mapping[str, str]) -> str:
    """Which keys differ and how; a secret's value is not told, nor one that would fill the screen."""
    told = []
    for key in sorted(wanted.keys() | found.keys()):
        before, after = found.get(key), wanted.get(key)
        if before == after:
            continue
        short = not key.endswith(_SECRET) and all(len(value) <= 60 for value in (before, after) if value is not None)
        told.append(f"{key} {before or 'unset'} → {after or 'unset'}" if short else f"{key} differs")
    return ", ".join(told)


class Connectors:
    """The step that makes Kafka Connect carry what is declared."""

    name = "connectors"

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._url = settings.connect.url
        self._database = settings.database.url.get_secret_value()
        self._wanted = declared(settings.active_brokers) if is_postgres(self._database) else {}

    def plan(self) -> list[Change]:
        if not self._wanted:
            return [Change("note", "connectors", "none: the config store is SQLite, flow config publishes its outbox")]
        with Connect(self._url) as connect:
            return list(differences(self._wanted, connect.connectors()))

    def apply(self, changes: Sequence[Change]) -> None:
        """Raises: `ConfigError` for a configuration that Connect refuses, before anything is changed; `DependencyError`."""
        ours = [change for change in changes if isinstance(change, ConnectorChange)]
        with Connect(self._url) as connect:
            for change in ours:
                if change.doing == "put":
                    connect.validate(change.connector, self._wanted[change.connector])
            for change in ours:
                self._make(connect, change)
            started = [change.connector for change in ours if change.doing != "delete"]
            had_failed = any(change.doing == "restart" for change in ours)
            if started:
                connect.await_running(started, settled_s=SETTLED_AFTER_FAILURE_S if had_failed else SETTLED_S)

    def _make(self, connect: Connect, change: ConnectorChange) -> None:
        match change.doing:
            case "put":
                connect.put(change.connector, self._wanted[change.connector])
                connect.resume(change.connector)  # where somebody had stopped it
            case "resume":
                connect.resume(change.connector)
            case "restart":
                connect.restart_failed(change.connector)
            case "delete":
                connect.delete(change.connector)

    def status(self) -> list[State]:
        if not self._wanted:
            return [State("connectors", True, "none: the config store is SQLite")]
        with Connect(self._url) as connect:
            found = connect.connectors()
        states = [_state(name, found.get(name)) for name in self._wanted]
        return [*states, self._slot()] if OUTBOX in found else states

    def _slot(self) -> State:
        what = f"replication slot {SLOT}"
        try:
            refuse_lost_slot(self._database, SLOT)
        except PipelineError as error:
            return State(what, False, f"{error.message}. {error.remedy}")
        return State(what, True, "read by Debezium")


def _state(name: str, found: Connector | None) -> State:
    if found is None:
        return State(f"connector {name}", False, "not there: panda deploy apply")
    return State(f"connector {name}", found.running, found.told)
