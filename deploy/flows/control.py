"""Control of the supervisor: asks it for flows and waits until they are live, asks how they do, ends it."""

import fcntl
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from connectors.errors import DependencyError
from deploy.flows.declared import Flow, code_version, interpreter
from deploy.flows.environment import declared_environment
from deploy.flows.records import (
    SUPERVISOR,
    FlowReport,
    Report,
    Request,
    read_report,
    report_file,
    request_file,
    write,
)
from deploy.services.places import Places
from deploy.services.processes import Launch, Processes
from deploy.supervisor import ChildDied

PATIENCE_S: Final = 180.0
STOP_S: Final = 90.0


class Control:
    """The flows beneath one root, from outside."""

    def __init__(self, root: Path) -> None:
        root = root.resolve()
        self._places = Places(root, root / "kafka")
        self._processes = Processes(self._places.run, self._places.logs)

    def report(self) -> Report | None:
        """How the flows do; None where no supervisor runs."""
        if self._processes.find(SUPERVISOR) is None:
            return None
        return read_report(self._places.run)

    def apply(self, flows: Sequence[Flow], *, patience_s: float = PATIENCE_S, stuck_s: float = 60.0) -> None:
        """Has these flows run, and returns when all are live. A supervisor of older code is replaced, and all flows with it.

        Raises: `ChildDied` for a flow that failed, with its last lines and exit code; `DependencyError` for one that is
        not live in time. The others run on.
        """
        self._places.make()
        with self._alone():
            request = Request(uuid.uuid4().hex, list(flows), stuck_s)
            found = self.report()
            if found is not None and found.version != code_version():
                self._stop()
            write(request_file(self._places.run), request)
            if self._processes.find(SUPERVISOR) is None:
                self._start()
            self._await(request, time.monotonic() + patience_s)

    def down(self) -> list[str]:
        """Stops the flows and their supervisor; returns which flows there were."""
        if not self._places.run.is_dir():
            return []
        with self._alone():
            found = self.report()
            self._stop()
            for file in (request_file(self._places.run), report_file(self._places.run)):
                file.unlink(missing_ok=True)
            return [] if found is None else [flow.name for flow in found.flows]

    def _start(self) -> None:
        report_file(self._places.run).unlink(missing_ok=True)
        command = [interpreter(), "-m", "deploy.flows.supervisor", str(self._places.root)]
        self._processes.start(SUPERVISOR, Launch(command, declared_environment()))

    def _stop(self) -> None:
        self._processes.stop(SUPERVISOR, signal.SIGTERM, STOP_S)

    def _await(self, request: Request, deadline: float) -> None:
        while True:
            if self._processes.find(SUPERVISOR) is None:
                raise DependencyError(
                    f"the flows' supervisor has ended; its last lines:\n{self._processes.last_lines(SUPERVISOR)}",
                    remedy=f"read {self._processes.output(SUPERVISOR)}",
                )
            report = read_report(self._places.run)
            if report is not None and report.request == request.id and self._settled(report):
                return
            if time.monotonic() > deadline:
                raise self._late(report)
            time.sleep(0.05)

    def _settled(self, report: Report) -> bool:
        """Whether all are live; raises when the rest has failed."""
        if any(flow.state in ("waiting", "starting", "restarting") for flow in report.flows):
            return False
        for flow in report.flows:
            if flow.state == "failed":
                raise _failed(flow)
        return True

    def _late(self, report: Report | None) -> DependencyError:
        late = [flow for flow in report.flows if flow.state != "live"] if report else []
        told = (
            ", ".join(": ".join((f"{flow.name} is {flow.state}", *flow.remarks)) for flow in late)
            or "the supervisor does not answer"
        )
        return DependencyError(
            f"not every flow is live in time: {told}", remedy=f"read {self._places.logs / SUPERVISOR}/*.log"
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One command at a time beneath a root: a second one waits for the first."""
        with (self._places.run / f"{SUPERVISOR}.command.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _failed(flow: FlowReport) -> ChildDied:
    return ChildDied(flow.name, flow.exit_code or 1, flow.last_lines or f"  | {flow.reason}")
