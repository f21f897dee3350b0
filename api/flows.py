"""How the flows beside this process do, by the report of the supervisor that keeps them."""

import os
from pathlib import Path
from typing import Final

import msgspec

from api.models import FlowState, WaitsFor

REPORT: Final = "PANDA_FLOWS_REPORT"  # the supervisor names its report to what it starts


class _WaitsFor(msgspec.Struct):
    name: str
    since: str
    reason: str


class _Flow(msgspec.Struct):
    """Of a flow's report what anybody may know: no last lines, no process."""

    name: str
    state: str
    since: str
    restarts: int
    reason: str = ""
    stuck: int = 0
    waits_for: list[_WaitsFor] = []


class _Report(msgspec.Struct):
    flows: list[_Flow]


def flows() -> dict[str, FlowState]:
    """Every flow by its name; none where no supervisor has told of a report, or it cannot be read just now."""
    path = os.environ.get(REPORT)
    if not path:
        return {}
    try:
        report = msgspec.json.decode(Path(path).read_bytes(), type=_Report)
    except (OSError, msgspec.MsgspecError):
        return {}
    return {flow.name: _state(flow) for flow in report.flows}


def _state(flow: _Flow) -> FlowState:
    return FlowState.model_validate(
        {
            "state": flow.state, "since": flow.since, "restarts": flow.restarts, "stuck": flow.stuck, "reason": flow.reason,
            "waits_for": [WaitsFor(name=one.name, since=one.since, reason=one.reason) for one in flow.waits_for],
        }
    )  # fmt: skip
