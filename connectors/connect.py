"""Kafka Connect, asked and told over its REST interface.

What a connector does shows in its tasks: Connect calls a connector RUNNING whose task has failed. Secrets stay out of
here: a configuration names them as `${env:PG_…}`, and answers are shown without values.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx2

from connectors.dependencies import Circuit, busy
from connectors.errors import ConfigError, DependencyError, PipelineError, RetryableError

Configuration = Mapping[str, str]

TIMEOUT_S: Final = 15.0  # of one request; validating opens a connection to the database
SETTLED_S: Final = 2.0  # after a change Connect says RUNNING of the tasks before it for up to a second
SETTLED_AFTER_FAILURE_S: Final = (
    10.0  # a task that cannot go on meets the reason only when it has joined and read again
)
BUSY_S: Final = 30.0  # while workers share out the tasks, Connect refuses changes
_NOT_FOUND: Final = 404
_POLL_S: Final = 0.25


@dataclass(frozen=True)
class Task:
    """One task of a connector. `state` as Connect says it: RUNNING, FAILED, PAUSED, UNASSIGNED, RESTARTING."""

    id: int
    state: str
    trace: str = ""

    @property
    def reason(self) -> str:
        """Why it failed: what the first line of its trace says, and the last cause, where that is another.

        >>> Task(0, "FAILED", "a.b.Error: stopped\\n\\tat a.b\\nCaused by: c.Error: no slot\\n\\tat c").reason
        'Error: stopped (Error: no slot)'
        """
        lines = [line.strip() for line in self.trace.splitlines() if line.strip()]
        if not lines:
            return "no reason given"
        causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
        first, last = _plain(lines[0]), _plain(causes[-1]) if causes else ""
        return f"{first} ({last})" if last and last != first else first


def _plain(line: str) -> str:
    """A line of a Java trace without the package of its exception."""
    name, colon, rest = line.partition(": ")
    return name.rpartition(".")[2] + colon + rest


@dataclass(frozen=True)
class Connector:
    """One connector as Connect has it."""

    name: str
    state: str
    config: Configuration
    tasks: tuple[Task, ...]
    trace: str = ""

    @property
    def failed(self) -> tuple[Task, ...]:
        """Its failed tasks; where the connector itself failed, one that stands for it."""
        if self.state == "FAILED":
            return (Task(-1, "FAILED", self.trace),)
        return tuple(task for task in self.tasks if task.state == "FAILED")

    @property
    def running(self) -> bool:
        """Whether it and every task runs, and there is one."""
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)

    @property
    def told(self) -> str:
        """Its state in words.

        >>> Connector("c", "RUNNING", {}, (Task(0, "FAILED", "x.Error: no"),)).told
        'task 0 failed: Error: no'
        """
        if self.failed:
            return "; ".join(
                f"{f'task {task.id}' if task.id >= 0 else 'the connector'} failed: {task.reason}"
                for task in self.failed
            )
        if self.state != "RUNNING":
            return self.state.lower()
        return "running" if self.running else f"tasks {', '.join(t.state.lower() for t in self.tasks) or 'none yet'}"


class Connect:
    """One Connect cluster, by the address of any of its workers.

    Every method raises `RetryableError` where it does not answer or is busy, `DependencyError` where it fails.
    """

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url
        self._circuit = Circuit("connect", "connect.unreachable", "connect.reachable", {"url": url})
        self._client = httpx2.Client(base_url=url, timeout=timeout_s, trust_env=False, verify=url.startswith("https:"))

    def __enter__(self) -> "Connect":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives all connections back."""
        self._circuit.leave()
        self._client.close()

    # --- asked --------------------------------------------------------------------------------------------------------

    def connectors(self) -> dict[str, Connector]:
        """Every connector there is, by name."""
        answer = self._ask("GET", "/connectors?expand=status&expand=info")
        return {name: _connector(name, said) for name, said in answer.items()}

    def plugins(self) -> set[str]:
        """The classes of connectors that its workers can run."""
        return {plugin["class"] for plugin in self._ask("GET", "/connector-plugins")}

    def validate(self, name: str, config: Configuration) -> None:
        """Raises: `DependencyError` for a class that is not installed, `ConfigError` naming each field that is wrong."""
        plugin = config["connector.class"]
        if plugin not in self.plugins():
            raise DependencyError(
                f"Connect at {self.url} has no plugin {plugin}, which connector {name} needs",
                remedy="put its jars into a folder of plugin.path and restart the worker: panda services fetch",
            )
        path = f"/connector-plugins/{quote(plugin)}/config/validate"
        answer = self._ask("PUT", path, {**config, "name": name})
        faults = [f"{v['name']}: {fault}" for v in map(_value, answer["configs"]) for fault in v.get("errors", ())]
        if faults:
            raise ConfigError(
                f"connector {name} is refused by Connect:\n  " + "\n  ".join(faults),
                remedy="correct deploy/connect/, or what it names: PG_* of the worker, users and rights in Postgres",
            )

    # --- told ---------------------------------------------------------------------------------------------------------

    def put(self, name: str, config: Configuration) -> None:
        """Makes a connector, or gives it another configuration: its tasks then start anew."""
        self._ask("PUT", f"/connectors/{quote(name)}/config", dict(config))

    def resume(self, name: str) -> None:
        """Lets a paused or stopped connector go on."""
        self._ask("PUT", f"/connectors/{quote(name)}/resume")

    def stop(self, name: str) -> None:
        """Ends a connector's tasks; it keeps its configuration and how far it has read."""
        self._ask("PUT", f"/connectors/{quote(name)}/stop")

    def restart_failed(self, name: str) -> None:
        """Starts again what has failed of a connector, and nothing else."""
        self._ask("POST", f"/connectors/{quote(name)}/restart?includeTasks=true&onlyFailed=true")

    def delete(self, name: str) -> None:
        """Forgets a connector. Its offsets stay: made again, it goes on where it was."""
        self._ask("DELETE", f"/connectors/{quote(name)}")

    def await_running(
        self,
        names: Sequence[str],
        *,
        timeout_s: float = 90.0,
        settled_s: float = SETTLED_S,
        after_failure_s: float = SETTLED_AFTER_FAILURE_S,
        restarts: int = 3,
    ) -> None:
        """Returns when all tasks of these connectors have run for `settled_s` without a break.

        What fails meanwhile is restarted, `restarts` times each, and has to run for `after_failure_s` then. Raises:
        `DependencyError` naming what does not run, and why.
        """
        deadline, since = time.monotonic() + timeout_s, time.monotonic()
        left = dict.fromkeys(names, restarts)
        while True:
            found = self.connectors()
            idle = [name for name in names if name not in found or not found[name].running]
            now = time.monotonic()
            if idle:
                since = now
            elif now - since >= settled_s:
                return
            hopeless = [name for name in idle if name in found and found[name].failed and not left[name]]
            if hopeless or now > deadline:
                raise _not_running(hopeless or idle, found)
            if self._restart(idle, found, left):
                settled_s = max(settled_s, after_failure_s)
            time.sleep(_POLL_S)

    def _restart(self, idle: Sequence[str], found: Mapping[str, Connector], left: dict[str, int]) -> bool:
        """Whether anything had to be started again."""
        failed = [name for name in idle if name in found and found[name].failed]
        for name in failed:
            left[name] -= 1
            self.restart_failed(name)
        if failed:
            time.sleep(4 * _POLL_S)  # until then the state of before the restart may be shown
        return bool(failed)

    # --- the wire -----------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request; a busy cluster is asked again for a while."""
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                answer = self._circuit.ask(lambda: self._client.request(method, path, json=body))
            except httpx2.TransportError as error:
                raise RetryableError(
                    f"Kafka Connect at {self.url} does not answer: {error or type(error).__name__}",
                    remedy="start it (panda services up connect), or correct PANDA_CONNECT__URL",
                ) from error
            if not busy(answer.status_code) or time.monotonic() > deadline:
                break
            time.sleep(2 * _POLL_S)
        if answer.is_success:
            return answer.json() if answer.content else None
        raise _refusal(self.url, method, path, answer)


def _value(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config["value"]


def _connector(name: str, said: Mapping[str, Any]) -> Connector:
    status, info = said.get("status", {}), said.get("info", {})
    own = status.get("connector", {})
    tasks = tuple(Task(t["id"], t["state"], t.get("trace", "")) for t in status.get("tasks", ()))
    config = {key: value for key, value in info.get("config", {}).items() if key != "name"}
    return Connector(name, own.get("state", "UNASSIGNED"), config, tasks, own.get("trace", ""))


def _not_running(names: Sequence[str], found: Mapping[str, Connector]) -> DependencyError:
    said = [f"{name}: {found[name].told if name in found else 'not there'}" for name in names]
    return DependencyError(
        "connectors do not run:\n  " + "\n  ".join(said),
        remedy="put the reason right and run: panda deploy apply; the worker's log has the whole trace",
    )


def _refusal(url: str, method: str, path: str, answer: httpx2.Response) -> PipelineError:
    try:
        message = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.text[:200]
    what = f"{method} {path.partition('?')[0]}"
    if busy(answer.status_code):
        return RetryableError(
            f"Kafka Connect at {url} is busy sharing out its tasks for more than {BUSY_S:g} s: {message}",
            remedy="look at the worker's log, then try again",
        )
    if answer.status_code == _NOT_FOUND:
        return ConfigError(f"Kafka Connect at {url} does not know {what}: {message}", remedy="check PANDA_CONNECT__URL")
    return DependencyError(
        f"Kafka Connect at {url} refused {what} ({answer.status_code}): {message}",
        remedy="correct what it names; the worker's log says more",
    )
