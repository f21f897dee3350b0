"""The supervisor: starts processes in order, waits until each is live, notices a death, stops all.

A child gets its own session, so that Ctrl-C reaches the supervisor alone, and the kernel ends it when the supervisor
dies. Its output goes to a log file whose last lines are shown when it fails. Only processes started here are signalled.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from connectors.errors import DependencyError, PipelineError, RetryableError
from connectors.heartbeat import READY_FILE, heartbeat_file, read

_PR_SET_PDEATHSIG: Final = 1
POLL_S: Final = 0.02
BUSY_S: Final = 900.0  # for so long a child may take that says what takes it so long, as compiling the engine does


class ChildDied(PipelineError):
    """A supervised process ended by itself; exits with the code of the child where it is one of ours."""

    def __init__(self, name: str, code: int, last_lines: str) -> None:
        super().__init__(f"{name} ended with exit code {code}; its last lines:\n{last_lines}")
        self.exit_code = code if code in (1, 2, 3, 4) else 1  # type: ignore[misc]


def _die_with_parent() -> None:
    """In the child, before exec: SIGKILL when the parent is gone, however it went (Linux only).

    Not SIGTERM: the broker dies in the same moment, and a flow that is asked to stop first waits for it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Child:
    """One process: what to run, and how long it may take to be live and to stop."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    inherits: bool = True  # ours lies beneath it; False: that is all, but for its ready file
    directory: Path | None = None  # None: ours
    start_s: float = 60.0
    stop_s: float = 10.0
    is_live: Callable[[], bool] | None = None  # None: the child creates its ready file
    ends: bool = False  # it may come to its end by itself, be it before the others are live: with 0, else it has died
    restarts: int = 0  # how often it may end by itself to be started again, with the exit code of what may pass
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    live_after: float | None = None
    busy_at: float = 0.0  # when it last said what takes it so long


class Supervisor:
    """Holds the children in the order of their start; `directory` takes logs and ready files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.children: list[Child] = []
        directory.mkdir(parents=True, exist_ok=True)

    def log_of(self, child: Child) -> Path:
        return self.directory / f"{child.name}.log"

    def _ready_file(self, child: Child) -> Path:
        return self.directory / f"{child.name}.ready"

    def beat_file(self, child: Child) -> Path:
        """Where the child says that its loop turns."""
        return heartbeat_file(self._ready_file(child))

    def remarks(self, child: Child) -> list[str]:
        """What the child says of itself: what takes it so long, what does not work."""
        said = read(self.beat_file(child))
        return [] if said is None else said.remarks

    def start(self, child: Child) -> None:
        """Starts a child; `wait_until_live` waits for it."""
        for file in (self._ready_file(child), self.beat_file(child)):
            file.unlink(missing_ok=True)
        inherited = os.environ if child.inherits else {}
        environment = {**inherited, **child.environment, READY_FILE: str(self._ready_file(child))}
        with self.log_of(child).open("ab") as log:
            child.process = subprocess.Popen(
                child.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
                cwd=child.directory, preexec_fn=_die_with_parent,  # noqa: PLW1509 - one prctl, no locks
            )  # fmt: skip
        child.started = time.monotonic()
        self.children.append(child)

    def adopt(self, child: Child) -> None:
        """Watches and stops a child that somebody else has started for us."""
        child.started = time.monotonic()
        self.children.append(child)

    def wait_until_live(self, *children: Child, stop: Callable[[], bool] = lambda: False) -> bool:
        """Whether they are, before `stop` says to stop. Raises: `ChildDied`; `DependencyError` where one is too slow."""
        waiting = list(children)
        while waiting:
            if stop():
                return False
            self.check()
            for child in list(waiting):
                if self.is_live(child):
                    child.live_after = time.monotonic() - child.started
                    waiting.remove(child)
                else:
                    self._refuse_late(child)
            time.sleep(POLL_S)
        return True

    def _refuse_late(self, child: Child) -> None:
        """Raises: `DependencyError` for one whose time is over, since its start or since it last said what takes long."""
        now, said = time.monotonic(), self.remarks(child)
        if said and now - child.started < BUSY_S:
            child.busy_at = now
        if now - max(child.started, child.busy_at) <= child.start_s:
            return
        after_s, told = now - child.started, f", it {', '.join(said)}" if said else ""
        raise DependencyError(
            f"{child.name} is not live after {after_s:.0f} s{told}; its last lines:\n{self.last_lines(child)}",
            remedy=f"read {self.log_of(child)}",
        )

    def is_live(self, child: Child) -> bool:
        """Whether a child that runs has said so, or is seen to be live; or has come to its end, as it may."""
        return self._has_ended(child) or (child.is_live() if child.is_live else self._ready_file(child).exists())

    def _has_ended(self, child: Child) -> bool:
        return child.ends and child.process is not None and child.process.poll() == 0

    def check(self) -> None:
        """Raises: `ChildDied` for the first child that has ended without being stopped, unless it may."""
        for child in list(self.children):
            if child.process is not None and child.process.poll() is not None and not self._has_ended(child):
                self._died(child, child.process.returncode)

    def _died(self, child: Child, code: int) -> None:
        """It has ended without being stopped: it is started again where it asks for that. Raises: `ChildDied`."""
        if code != RetryableError.exit_code or child.restarts <= 0:
            raise ChildDied(child.name, code, self.last_lines(child))
        self.children.remove(child)
        self._start_again(child)

    def _start_again(self, child: Child) -> None:
        child.restarts -= 1
        self.start(child)

    def last_lines(self, child: Child, count: int = 15) -> str:
        log = self.log_of(child)
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(f"  | {line}" for line in text.splitlines()[-count:]) or "  | (it wrote nothing)"

    def stop(self, child: Child) -> int:
        """SIGTERM, then SIGKILL after its time; returns the exit code. The child is then no longer watched."""
        if child in self.children:
            self.children.remove(child)
        process = child.process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(child.stop_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return process.returncode

    def end(self, child: Child, when: Callable[[], None]) -> int:
        """Waits until `when` returns and stops a child; returns its exit code.

        One that meanwhile ends itself to be started again is: what it has told the next one to do is done before the end.
        """
        while True:
            when()
            code = self.stop(child)
            if code != RetryableError.exit_code or child.restarts <= 0:
                return code
            self._start_again(child)
            self.wait_until_live(child)

    def expect_end(self, child: Child, timeout_s: float) -> int:
        """Waits for a child that ends by itself; it is then no longer watched. Raises: `DependencyError` in time."""
        assert child.process is not None
        if child in self.children:
            self.children.remove(child)
        try:
            return child.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            self.children.append(child)
            raise DependencyError(f"{child.name} has not ended after {timeout_s:g} s") from error

    def stop_all(self) -> dict[str, int]:
        """Stops what still runs, last started first; returns the exit codes."""
        return {child.name: self.stop(child) for child in reversed(list(self.children))}
