"""Processes that outlive the command which starts them: started, found again, stopped.

A process is known by its id and the time of its creation: a number that the system has given to another process since
is never taken for ours, and never signalled.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from connectors.errors import DependencyError

CLOSING_S: Final = 10.0  # how long a port may stay taken that no process is seen to hold


@dataclass(frozen=True)
class User:
    """Whom a process runs as, where it is not us."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Launch:
    """How to start one process."""

    command: Sequence[str]
    environment: Mapping[str, str]
    user: User | None = None


@dataclass
class Processes:
    """The processes of one root: `run` keeps who they are, `logs` what they say."""

    run: Path
    logs: Path
    _children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def output(self, name: str) -> Path:
        return self.logs / f"{name}.out"

    def find(self, name: str) -> psutil.Process | None:
        """The process that was started under this name, if it still runs."""
        child = self._children.get(name)
        if child is not None and child.poll() is not None:  # asking reaps it
            del self._children[name]
        try:
            pid, created = (self.run / f"{name}.pid").read_text().split()
            process = psutil.Process(int(pid))
            ours = f"{process.create_time():.2f}" == created and _runs(process)
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return process if ours else None

    def start(self, name: str, launch: Launch) -> None:
        """Starts a process in a session of its own; its output is appended to its file."""
        user = launch.user
        with self.output(name).open("ab") as output:
            child = subprocess.Popen(
                launch.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(launch.environment),
                cwd=self.run, start_new_session=True,
                user=user.uid if user else None, group=user.gid if user else None, extra_groups=[] if user else None,
            )  # fmt: skip
        self._children[name] = child
        self.remember(name, child.pid)

    def remember(self, name: str, pid: int) -> None:
        """From now on this process is the one of this name."""
        with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended already: `find` then has no process
            (self.run / f"{name}.pid").write_text(f"{pid} {psutil.Process(pid).create_time():.2f}\n")

    def furnished(self, name: str) -> bool:
        """Whether the running process has been marked as furnished."""
        mark, record = self.run / f"{name}.furnished", self.run / f"{name}.pid"
        return mark.exists() and record.exists() and mark.read_text() == record.read_text()

    def mark_furnished(self, name: str) -> None:
        """Remembers it of this very process: an interrupted command leaves no half-made service behind."""
        (self.run / f"{name}.furnished").write_text((self.run / f"{name}.pid").read_text())

    def stop(self, name: str, how: signal.Signals, patience_s: float) -> bool:
        """Asks a process to end, and its children with it; kills what does not. False: it had to be killed."""
        process = self.find(name)
        willing = True
        if process is not None:
            family = [process, *process.children(recursive=True)]
            process.send_signal(how)
            left = self._remaining(name, family, patience_s)
            willing = not left
            for straggler in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    straggler.kill()
            self._remaining(name, left, patience_s)
        self._reap(name)
        (self.run / f"{name}.pid").unlink(missing_ok=True)
        return willing

    def _remaining(self, name: str, family: list[psutil.Process], patience_s: float) -> list[psutil.Process]:
        """Who of them still runs when all are gone or the time is over; a zombie does not run."""
        deadline = time.monotonic() + patience_s
        while family and time.monotonic() < deadline:
            self.find(name)  # reaps our own child
            family = [one for one in family if _runs(one)]
            time.sleep(0.02)
        return family

    def _reap(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is not None:
            child.wait(5)

    def resident_bytes(self, process: psutil.Process) -> int:
        """Memory that a process holds; nothing when it has just ended."""
        try:
            return process.memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def last_lines(self, name: str, count: int = 12) -> str:
        """The end of what it said: of its output, or of its log where the output is silent."""
        for path in (self.output(name), self.logs / f"{name}.log"):
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
            if lines:
                return "\n".join(f"  | {line[:300]}" for line in lines[-count:])
        return "  | (it wrote nothing)"


def _runs(process: psutil.Process) -> bool:
    """Whether any thread of it is left. The system calls it a zombie once its first thread has ended, while others may
    still hold its ports and files."""
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def listener(port: int) -> int | None:
    """The id of the process that listens on a port of this machine, where the system tells it."""
    with contextlib.suppress(psutil.AccessDenied):
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,):
                return connection.pid
    return None


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def refuse_taken_port(name: str, port: int) -> None:
    """Returns when the port is free; one that no process is seen to hold may be that of a process just ending.

    Raises: `DependencyError` naming the process that holds it: we never talk to somebody else's server.
    """
    deadline = time.monotonic() + CLOSING_S
    while not port_is_free(port):
        pid = listener(port)
        if pid is not None or time.monotonic() > deadline:
            raise _taken(name, port, pid)
        time.sleep(0.02)


def _taken(name: str, port: int, pid: int | None) -> DependencyError:
    whose = "another process"
    if pid is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            whose = f"process {pid} ({psutil.Process(pid).name()})"
    return DependencyError(
        f"{name} cannot start: port {port} on 127.0.0.1 is taken by {whose}", remedy="stop that process first"
    )


def plain_environment(**more: str) -> dict[str, str]:
    """What every program may know of ours: no setting, no secret."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "JAVA_HOME", "JDK_JAVA_OPTIONS", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | more
