"""The native services together: up in order, asked until they answer, down in reverse; what they keep stays.

redis, postgres, kafka ─► connect
"""

import fcntl
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from connectors.errors import ConfigError, DependencyError
from deploy.services.connect import Connect
from deploy.services.credentials import credentials
from deploy.services.environment import database_url, environment
from deploy.services.jars import fetch
from deploy.services.kafka import Kafka
from deploy.services.places import PROJECT, Places, Ports, chosen_ports
from deploy.services.postgres import Postgres
from deploy.services.processes import Processes, refuse_taken_port
from deploy.services.redis import Redis
from deploy.services.service import Service, Site

SERVICES: Final[dict[str, Service]] = {s.name: s for s in (Kafka(), Postgres(), Redis(), Connect())}
PATIENCE_S: Final = 120.0
LEAST_DISK: Final = 10**9


@dataclass(frozen=True)
class Row:
    """How one service does. `state`: up (it answers), starting (it runs), down."""

    name: str
    state: str
    healthy: bool
    port: int
    pid: int | None
    rss_mb: int


class Native:
    """One set of services beneath one folder, on its own ports."""

    def __init__(
        self, root: Path = PROJECT / ".services", ports: Ports | None = None, jars: Path | None = None
    ) -> None:
        root = root.resolve()
        self.places = Places(root, (jars or root / "kafka").resolve())
        self.ports = chosen_ports(root / "ports.json", ports)
        self._processes = Processes(self.places.run, self.places.logs)

    @cached_property
    def site(self) -> Site:
        """Folders, ports and passwords; the passwords are made when there are none."""
        self.places.make()
        (self.places.root / "ports.json").write_text(json.dumps(asdict(self.ports)) + "\n")
        made = credentials(self.places.credentials, data_exists=any(self.places.data.iterdir()))
        return Site(self.places, self.ports, made)

    # --- what callers do ----------------------------------------------------------------------------------------------

    def up(self, names: Iterable[str] = ()) -> list[str]:
        """Starts what does not run, with what it needs, and waits until all answer; returns what was started.

        Raises: `DependencyError` for a missing program, a full disk, a taken port, a service that dies or stays silent;
        `ConfigError` for an unknown name or lost passwords.
        """
        wanted = self._with_needs(names)
        self.places.make()
        with self._alone():
            idle = [service for service in wanted if self._processes.find(service.name) is None]
            self._refuse_impossible(idle)
            self._start_together([service for service in idle if not service.needs])
            for service in idle:
                if service.needs:
                    self._await(service.needs)
                    self._start(service)
            self._await([service.name for service in wanted])
            return [service.name for service in idle]

    def down(self, names: Iterable[str] = ()) -> list[str]:
        """Stops what runs, and first what needs it; returns what was stopped. Their data stays."""
        wanted = self._with_dependents(names)
        if not self.places.run.is_dir():
            return []
        with self._alone():
            stopped = [s for s in reversed(wanted) if self._processes.find(s.name) is not None]
            for service in stopped:
                self._processes.stop(service.name, service.stop_signal, service.stop_s)
            return [service.name for service in stopped]

    def status(self, names: Iterable[str] = ()) -> list[Row]:
        """How each does, in the order of their start; asks every one that runs."""
        return [self._row(SERVICES[name]) for name in self._known(names) or SERVICES]

    def fetch(self) -> bool:
        """Brings the jars; False: they were there."""
        self.places.make()
        with self._alone():
            return fetch(self.places.jars)

    def environment(self) -> dict[str, str]:
        """The settings by which our flows find these services, secrets in clear."""
        return environment(self.site.credentials, self.ports)

    def database_url(self, role: str) -> SecretStr:
        """The address of the database as one of its roles: panda, paper, zerodha, debezium, lease."""
        return database_url(self.site.credentials, self.ports, role)

    # --- one after the other ------------------------------------------------------------------------------------------

    def _refuse_impossible(self, idle: list[Service]) -> None:
        """Before anything starts: disk, programs, jars, ports."""
        if not idle:
            return
        free = shutil.disk_usage(self.places.root).free
        if free < LEAST_DISK:
            raise DependencyError(
                f"{free // 10**6} MB are free beneath {self.places.root}, the services need {LEAST_DISK // 10**6}",
                remedy="make room, or give another folder",
            )
        for service in idle:
            service.check(self.site)
            for port in service.ports(self.ports):
                refuse_taken_port(service.name, port)
        if any(service.name in ("kafka", "connect") for service in idle):
            fetch(self.places.jars)

    def _start_together(self, services: list[Service]) -> None:
        """Data folders are made side by side; the first failure is raised when all have ended."""
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(self._start, service) for service in services]:
                done.result()

    def _start(self, service: Service) -> None:
        self._processes.start(service.name, service.prepare(self.site))

    def _await(self, names: Iterable[str]) -> None:
        """Until all answer and are furnished."""
        for name in names:
            service, deadline = SERVICES[name], time.monotonic() + PATIENCE_S
            while not self._healthy(service, must_run=True):
                if time.monotonic() > deadline:
                    raise self._failure(service, f"does not answer after {PATIENCE_S:g} s")
                time.sleep(0.05)
            if not self._processes.furnished(name):
                service.furnish(self.site)
                self._processes.mark_furnished(name)

    def _healthy(self, service: Service, *, must_run: bool = False) -> bool:
        process = self._processes.find(service.name)
        if process is None:
            if must_run:
                raise self._failure(service, "has ended")
            return False
        return service.answers(self.site, process.pid)

    def _failure(self, service: Service, what: str) -> DependencyError:
        return DependencyError(
            f"{service.name} {what}; its last lines:\n{self._processes.last_lines(service.name)}",
            remedy=f"read {self.places.logs}/{service.name}.*",
        )

    def _row(self, service: Service) -> Row:
        process = self._processes.find(service.name)
        healthy = process is not None and service.answers(self.site, process.pid)
        family = [process, *process.children(recursive=True)] if process else []
        rss = sum(self._processes.resident_bytes(one) for one in family)
        state = "up" if healthy else "starting" if process else "down"
        port = service.ports(self.ports)[0]
        return Row(service.name, state, healthy, port, process.pid if process else None, round(rss / 1e6))

    # --- names and the lock -------------------------------------------------------------------------------------------

    def _known(self, names: Iterable[str]) -> list[str]:
        names = list(names)
        for name in names:
            if name not in SERVICES:
                raise ConfigError(f"there is no service {name!r}", remedy=f"one of {', '.join(SERVICES)}")
        return [name for name in SERVICES if name in names]

    def _with_needs(self, names: Iterable[str]) -> list[Service]:
        wanted = set(self._known(names) or SERVICES)
        wanted |= {need for name in wanted for need in SERVICES[name].needs}
        return [service for name, service in SERVICES.items() if name in wanted]

    def _with_dependents(self, names: Iterable[str]) -> list[Service]:
        wanted = set(self._known(names) or SERVICES)
        wanted |= {name for name, service in SERVICES.items() if wanted & set(service.needs)}
        return [service for name, service in SERVICES.items() if name in wanted]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One command at a time beneath a root: a second one waits for the first."""
        with (self.places.run / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
