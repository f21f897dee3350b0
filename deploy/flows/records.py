"""What the supervisor is asked, and what it answers: two files, each replaced whole, readable by their owner only."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from connectors.errors import ConfigError
from deploy.flows.declared import Flow
from deploy.services.private import write_private

SUPERVISOR: Final = "flows"  # the name of its process, its output and its files

Standing = Literal["waiting", "starting", "live", "restarting", "failed"]


@dataclass(frozen=True)
class Request:
    """Which flows shall run. `id` is another with every request, also one for the same flows.

    A flow whose heartbeat is older than `stuck_s` seconds is killed and started again.
    """

    id: str
    flows: list[Flow]
    stuck_s: float = 60.0


@dataclass(frozen=True)
class Away:
    """A dependency that a flow waits for. `since` is UTC."""

    name: str
    since: str
    reason: str


@dataclass(frozen=True)
class FlowReport:
    """How one flow does. `since` is UTC; `restarts` counts since the supervisor took it; `reason` says why it is not live.

    `stuck` counts the restarts because of a heartbeat that had stopped; `waits_for` is what it says is away, `remarks`
    are what it says of itself: what takes it so long, what does not work.
    """

    name: str
    state: Standing
    pid: int | None
    restarts: int
    since: str
    exit_code: int | None = None
    reason: str = ""
    last_lines: str = ""
    fingerprint: dict[str, str] = field(default_factory=dict)
    stuck: int = 0
    waits_for: list[Away] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """How all do, by the request they were started for. `version` is of the supervisor's own code."""

    request: str
    version: str
    flows: list[FlowReport]


def request_file(run: Path) -> Path:
    return run / f"{SUPERVISOR}.request.json"


def report_file(run: Path) -> Path:
    return run / f"{SUPERVISOR}.json"


def write(path: Path, record: Request | Report) -> None:
    write_private(path, msgspec.json.format(msgspec.json.encode(record)).decode() + "\n")


def read_request(run: Path) -> Request | None:
    """The last request; None where there is none."""
    path = request_file(run)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Request)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise _unreadable(path, error) from error


def read_report(run: Path) -> Report | None:
    """The last report, of a supervisor that may have ended since; None where there is none."""
    path = report_file(run)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path} cannot be read: {error}", remedy="panda deploy down, then panda deploy apply")
