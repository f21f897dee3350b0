"""Flows: the processes of this deployment, kept running by one supervisor; started, stopped and started anew as declared."""

from collections.abc import Sequence

from connectors.errors import PipelineError
from connectors.kafka.source import committed, end_offsets
from connectors.settings import KafkaSettings
from deploy.flows.control import Control
from deploy.flows.declared import Flow, code_version, declared, fingerprint_differences
from deploy.flows.records import FlowReport, Report
from deploy.plan.steps import Change, Context, State

_ELSEWHERE = "PANDA_DEPLOY__FLOWS is elsewhere: they are not kept on this machine"


def differences(wanted: Sequence[Flow], report: Report | None, version: str) -> list[Change]:
    """What has to change for the flows reported to be those wanted. `version` is that of today's code."""
    found = {flow.name: flow for flow in report.flows} if report else {}
    changes = []
    if wanted and report is not None and report.version != version:
        changes.append(Change("change", "flows' supervisor", "code"))
    for flow in wanted:
        change = _difference(flow, found.get(flow.name))
        if change is not None:
            changes.append(change)
    names = {flow.name for flow in wanted}
    return changes + [Change("remove", f"flow {name}") for name in found if name not in names]


def _difference(wanted: Flow, found: FlowReport | None) -> Change | None:
    what = f"flow {wanted.name}"
    if found is None:
        return Change("add", what)
    differing = fingerprint_differences(found.fingerprint, wanted.fingerprint)
    if differing:
        return Change("change", what, f"{', '.join(differing)} changed: start anew")
    if found.state != "live":
        return Change("change", what, f"{found.state} → live{f': {found.reason}' if found.reason else ''}")
    return None


class Flows:
    """The step that keeps the flows running."""

    name = "flows"

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._here = context.settings.deploy.flows == "here"
        self._control = Control(context.root)

    def _wanted(self) -> list[Flow]:
        return declared(self._settings) if self._here else []

    def plan(self) -> list[Change]:
        """Raises: `ConfigError` without a secret for the flows' Kafka users."""
        changes = differences(self._wanted(), self._control.report(), code_version())
        return changes if self._here else [Change("note", "flows", _ELSEWHERE), *changes]

    def apply(self, changes: Sequence[Change]) -> None:
        """Returns when all are live. Raises: `ChildDied` for one that fails, `DependencyError` for one that is late."""
        if all(change.kind == "note" for change in changes):
            return
        wanted = self._wanted()
        if wanted:
            self._control.apply(wanted, stuck_s=self._settings.deploy.stuck_s)
        else:
            self._control.down()

    def status(self) -> list[State]:
        if not self._here:
            return [State("flows", True, _ELSEWHERE)]
        report, wanted = self._control.report(), self._wanted()
        found = {flow.name: flow for flow in report.flows} if report else {}
        lags = behind(self._settings.kafka, [flow for flow in wanted if flow.group and flow.name in found])
        return [_state(flow, found.get(flow.name), lags.get(flow.name)) for flow in wanted]


def _state(flow: Flow, found: FlowReport | None, lag: int | None) -> State:
    what = f"flow {flow.name}"
    if found is None:
        return State(what, False, "not running: panda deploy apply")
    if found.state != "live":
        why = "; ".join(filter(None, (found.reason, *_whys(found))))
        return State(what, False, f"{found.state} since {found.since}: {why}\n{found.last_lines}".rstrip(": \n"))
    told = f"live since {found.since}, pid {found.pid}, {found.restarts} restarts"
    if found.stuck:
        told += f" ({found.stuck} because it was stuck)"
    if flow.group:
        told += f", {'lag not known' if lag is None else f'{lag} records behind'}"
    return State(what, not found.waits_for, "; ".join((told, *_whys(found))))


def _whys(found: FlowReport) -> list[str]:
    """Why a flow is behind, or does not do all its work, in its own words."""
    away = [f"waits for {one.name} since {one.since}: {one.reason}" for one in found.waits_for]
    return away + found.remarks


def behind(kafka: KafkaSettings, flows: Sequence[Flow]) -> dict[str, int]:
    """How many records each flow's group has before it; a broker that does not tell is asked no further."""
    lags = {}
    for flow in flows:
        try:
            ends = end_offsets(kafka, flow.topics)
            read = committed(kafka, flow.group, flow.topics)
        except PipelineError:
            break
        lags[flow.name] = sum(max(0, end - read.get(at, 0)) for at, end in ends.items())
    return lags
