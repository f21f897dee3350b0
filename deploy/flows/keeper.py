"""The keeper: starts flows one after another, starts again what died, with patience and a limit, and reports.

    waiting ─► starting ─► live
                  ▲          │ died, or its heartbeat has stopped
                  └ restarting ◄┘ ─► failed: exit code 2 or 4, or too often with another than 3

A flow is started when each one before it is live, has failed, or has taken its time. A live one whose heartbeat is too old
is killed: it would not hear a request to stop. Every death is told in `system.alerts`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from api.flows import REPORT
from connectors.errors import DependencyError
from connectors.heartbeat import Waiting, read, seen
from connectors.logging import logger
from deploy.flows.declared import Flow
from deploy.flows.records import Away, FlowReport, Report, Request, Standing, report_file, write
from deploy.supervisor import Child, Supervisor
from functions.events import SystemAlert

FIRST_S: Final = 1.0  # before the first restart; doubled each time
LONGEST_S: Final = 60.0
LIMIT: Final = 10  # restarts in a row: five minutes
CALM_S: Final = 300.0  # live for so long, earlier deaths are forgotten
START_S: Final = 60.0  # for so long the next flow waits for this one to be live
LARGEST_LOG: Final = 32 * 1024 * 1024  # at a start, a longer log is set aside, and the one set aside before it dropped

AWAKE_S: Final = 5.0  # after a pause of its own this long it gives all flows time to beat again

_NEVER: Final = {2: "wrong configuration", 4: "unsafe to continue"}


def pause_s(code: int, deaths: int, *, first_s: float = FIRST_S, limit: int = LIMIT) -> float | None:
    """How long to wait before a flow that ended is started again; None: never. `deaths` in a row, this one counted.

    >>> [pause_s(1, deaths) for deaths in (1, 2, 3, 7, 8, 11)]
    [1.0, 2.0, 4.0, 60.0, 60.0, None]
    >>> pause_s(2, 1), pause_s(4, 1), pause_s(-9, 1)
    (None, None, 1.0)

    A dependency that is down may be so for days; who needs it tries again every minute.

    >>> pause_s(3, 1_000)
    60.0
    """
    if code in _NEVER or (deaths > limit and code != DependencyError.exit_code):
        return None
    return min(first_s * 2 ** min(deaths - 1, 10), LONGEST_S)


def _ended(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


@dataclass
class _Kept:
    """One flow and how it does; moments are monotonic seconds, `since` is UTC."""

    flow: Flow
    child: Child
    state: Standing = "waiting"
    since: str = ""
    deaths: int = 0
    restarts: int = 0
    at: float = 0.0  # when it came into this state
    start_at: float = 0.0  # when it may be started again
    exit_code: int | None = None
    reason: str = ""
    last_lines: str = ""
    stuck: int = 0
    beat: tuple[int, int] | None = None  # which heartbeat was seen last
    beat_at: float = 0.0  # when it was first seen
    waits_for: list[Away] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass
class Keeper:
    """Keeps the flows of the last request. `round` is one look at all; `run` takes the report, `logs` what flows say.

    `alert` takes what a human should know.
    """

    run: Path
    logs: Path
    version: str
    first_s: float = FIRST_S
    limit: int = LIMIT
    now: Callable[[], float] = time.monotonic
    alert: Callable[[SystemAlert], None] = lambda _: None
    _stuck_s: float = Request("", []).stuck_s
    _looked_at: float = 0.0
    _kept: list[_Kept] = field(default_factory=list)
    _request: str = ""
    _written: Report | None = None
    _unwritten: bool = False

    def __post_init__(self) -> None:
        self._supervisor = Supervisor(self.logs)

    def take(self, request: Request) -> None:
        """Stops what is not asked for any more, or otherwise; what has failed may try again."""
        wanted = {flow.name: flow for flow in request.flows}
        stays: dict[str, _Kept] = {}
        for kept in reversed(self._kept):
            if wanted.get(kept.flow.name) == kept.flow and kept.state != "failed":
                stays[kept.flow.name] = kept
            else:
                self._stop(kept)
        self._kept = [stays.get(flow.name) or self._fresh(flow) for flow in request.flows]
        self._request, self._stuck_s = request.id, request.stuck_s

    def _fresh(self, flow: Flow) -> _Kept:
        environment = flow.environment | {REPORT: str(report_file(self.run).resolve())}
        child = Child(
            flow.name, flow.command, environment, inherits=False, stop_s=30.0, directory=Path(flow.directory)
        )  # fmt: skip
        return _Kept(flow, child, since=_utc(), at=self.now())

    def round(self) -> None:
        """One look at all flows; the report is written where something has changed."""
        paused = self.now() - self._looked_at > AWAKE_S
        for index, kept in enumerate(self._kept):
            if paused:
                kept.beat_at = self.now()
            self._look(kept, self._kept[:index])
        self._looked_at = self.now()
        self._report()

    def stop(self) -> None:
        """Stops all, last started first, and says so."""
        self.take(Request("", []))
        self._report()

    def _look(self, kept: _Kept, before: Sequence[_Kept]) -> None:
        now = self.now()
        if kept.state == "waiting":
            if not any(self._holds_back(one) for one in before):
                self._start(kept)
        elif kept.state == "restarting":
            if now >= kept.start_at:
                kept.restarts += 1
                self._start(kept)
        elif kept.state in ("starting", "live"):
            if kept.child.process is not None and kept.child.process.poll() is not None:
                self._died(kept)
            elif kept.state == "starting" and self._supervisor.is_live(kept.child):
                self._enter(kept, "live")
                kept.beat_at = now
                logger().info("flow.live", name=kept.flow.name, after_ms=int((now - kept.child.started) * 1000))
            else:
                self._hear(kept)
                if kept.state == "live":
                    self._judge(kept)

    def _hear(self, kept: _Kept) -> None:
        """A new heartbeat may say that the flow waits, or what takes it so long."""
        path = self._supervisor.beat_file(kept.child)
        beat = seen(path)
        if beat is not None and beat != kept.beat:
            kept.beat, kept.beat_at = beat, self.now()
            said = read(path)
            kept.waits_for = self._away(kept, said.waits_for if said is not None else [])
            kept.remarks = said.remarks if said is not None else []

    def _judge(self, kept: _Kept) -> None:
        """A live flow without a heartbeat for too long is stuck; one that has been well for long is forgiven."""
        now = self.now()
        if now - kept.beat_at > self._stuck_s:
            self._kill(kept, now - kept.beat_at)
        elif kept.deaths and now - kept.at >= CALM_S:
            kept.deaths = 0

    def _away(self, kept: _Kept, waits_for: Sequence[Waiting]) -> list[Away]:
        """What a flow waits for, with the moments that were told before."""
        told = {away.name: away.since for away in kept.waits_for}
        return [Away(one.name, told.get(one.name, _utc()), one.reason) for one in waits_for]

    def _kill(self, kept: _Kept, silent_s: float) -> None:
        """Its loop does not turn: it is ended as a crash would, and goes on from the log."""
        kept.stuck += 1
        reason = f"stuck: no heartbeat for {silent_s:.0f} s, killed"
        logger().error("flow.stuck", name=kept.flow.name, silent_s=round(silent_s, 1), limit_s=self._stuck_s)
        if kept.child.process is not None:
            kept.child.process.kill()
            kept.child.process.wait()
        self._died(kept, reason)

    def _holds_back(self, kept: _Kept) -> bool:
        return kept.state == "waiting" or (kept.state == "starting" and self.now() - kept.at < START_S)

    def _start(self, kept: _Kept) -> None:
        log = self._supervisor.log_of(kept.child)
        if log.exists() and log.stat().st_size > LARGEST_LOG:
            log.replace(log.with_suffix(".log.before"))
        try:
            self._supervisor.start(kept.child)
        except OSError as error:
            kept.last_lines = ""
            self._enter(kept, "failed", f"cannot be started: {error}")
            return
        self._enter(kept, "starting")
        logger().info("flow.started", name=kept.flow.name, pid=kept.child.process and kept.child.process.pid)

    def _died(self, kept: _Kept, why: str = "") -> None:
        code = kept.exit_code = self._supervisor.stop(kept.child)
        kept.deaths += 1
        kept.last_lines = self._supervisor.last_lines(kept.child)
        wait_s = pause_s(code, kept.deaths, first_s=self.first_s, limit=self.limit)
        if wait_s is not None:
            kept.start_at = self.now() + wait_s
            self._enter(kept, "restarting", f"{why or _ended(code)}; started again after {wait_s:g} s")
        elif code in _NEVER:
            self._enter(kept, "failed", f"{_ended(code)}, {_NEVER[code]}: not started again by itself")
        else:
            self._enter(kept, "failed", f"{_ended(code)}, after {self.limit} restarts in a row: left alone")
        logger().warning("flow.died", name=kept.flow.name, exit_code=code, deaths=kept.deaths, outcome=kept.reason)
        self._tell(kept, "flow.stuck" if why else "flow.died")

    def _tell(self, kept: _Kept, code: str) -> None:
        """One that is not started again by itself is critical: it waits for a human."""
        failed = kept.state == "failed"
        text = f"flow {kept.flow.name} {kept.reason}"
        self.alert(
            SystemAlert("critical" if failed else "warning", "flow.failed" if failed else code, text, kept.flow.name)
        )

    def _stop(self, kept: _Kept) -> None:
        if kept.child.process is not None and kept.state in ("starting", "live"):
            began = self.now()
            code = self._supervisor.stop(kept.child)
            took_s = round(self.now() - began, 2)
            logger().info("flow.stopped", name=kept.flow.name, exit_code=code, took_s=took_s)

    def _enter(self, kept: _Kept, state: Standing, reason: str = "") -> None:
        kept.waits_for, kept.remarks = [], []
        kept.state, kept.reason, kept.since, kept.at = state, reason, _utc(), self.now()

    def _report(self) -> None:
        report = Report(self._request, self.version, [_report_of(kept) for kept in self._kept])
        if report == self._written:
            return
        try:
            write(report_file(self.run), report)
        except OSError as error:  # a full disk stops no flow; the report is tried again with every round
            if not self._unwritten:
                logger().error("flows.report_not_written", reason=str(error))
            self._unwritten = True
            return
        self._written, self._unwritten = report, False


def _report_of(kept: _Kept) -> FlowReport:
    process = kept.child.process if kept.state in ("starting", "live") else None
    return FlowReport(
        kept.flow.name, kept.state, process.pid if process else None, kept.restarts, kept.since, kept.exit_code,
        kept.reason, kept.last_lines, kept.flow.fingerprint, kept.stuck, kept.waits_for,
        kept.remarks,
    )  # fmt: skip


def _utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
