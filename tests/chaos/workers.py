"""Workers of the chaos harness: real pipelines, each behind a relay of its own, started, paused, killed and looked after."""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg

from connectors.database.address import is_postgres, parsed
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from dataflows.process import READY_FILE
from functions.assignment import Seat
from functions.topics import PIPELINE_SNAPSHOTS
from tests.chaos.history import BROKER
from tests.chaos.relay import Network, Relay
from tests.e2e.processes import ROOT
from tests.ground import Ground
from tests.waiting import within

PATIENCE_S: Final = 120.0  # for what must happen, on a machine as busy as may be
UNSAFE: Final = 4  # the exit code of a worker that has been replaced or refused


class Unexpected(AssertionError):
    """A worker did what no misfortune accounts for."""


@dataclass
class Worker:
    """One process of a pipeline."""

    process: "subprocess.Popen[Any]"
    relay: Relay
    ready: Path
    log: Path
    began: float = field(default_factory=time.monotonic)

    @property
    def is_live(self) -> bool:
        return self.ready.exists()

    @property
    def exit_code(self) -> int | None:
        return self.process.poll()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @property
    def is_paused(self) -> bool:
        return self.exit_code is None and psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED


class Workers:
    """All that have worked on one shard of one ground. Close them: none is left behind."""

    def __init__(self, ground: Ground, seat: Seat, directory: Path, network: Network) -> None:
        self.seat = seat
        self.key = seat.key(BROKER)
        self.started: list[Worker] = []
        self.kills = 0
        self.killed_live = 0
        self.start_s = 2.0  # how long the last start took
        self._ground = ground
        self._directory = directory
        self._network = network
        self._numbers = count(1)
        directory.mkdir(parents=True)

    def start(self, *, fault: str = "", place: str = "here") -> Worker:
        """A worker whose leases, where they are files, lie in this place; `fault` as `connectors.faults` says."""
        number = next(self._numbers)
        relay = self._network.relay(int(self._ground.kafka.bootstrap.rpartition(":")[2]))
        ready, log = self._directory / f"{number:03}.ready", self._directory / f"{number:03}.log"
        environment = self._ground.environment("pipeline") | {
            READY_FILE: str(ready), "PANDA_DATA_DIR": str(self._directory / place), "PANDA_KAFKA__BOOTSTRAP": relay.bootstrap,
        } | ({"PANDA_FAULT": fault} if fault else {})  # fmt: skip
        command = [sys.executable, "-m", "cli", "run", "pipeline", "--broker", BROKER, "--shard", str(self.seat)]
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
        self.started.append(Worker(process, relay, ready, log))
        return self.started[-1]

    # --- what must happen ---------------------------------------------------------------------------------------------

    def until_live(self, worker: Worker) -> None:
        if not within(lambda: worker.is_live or worker.exit_code is not None, PATIENCE_S):
            raise self.unexpected(worker, f"was not live after {PATIENCE_S:g} s")
        if not worker.is_live:
            raise self.unexpected(worker, f"ended with {worker.exit_code} before it was live")
        self.start_s = time.monotonic() - worker.began

    def live(self, **more: Any) -> Worker:
        """A worker that is live."""
        worker = self.start(**more)
        self.until_live(worker)
        return worker

    def lives_for(self, worker: Worker, seconds: float) -> None:
        """It is left alone for so long and may not end by itself."""
        if within(lambda: worker.exit_code is not None, seconds):
            raise self.unexpected(worker, f"ended by itself with {worker.exit_code}")

    def kill(self, worker: Worker) -> None:
        """kill -9."""
        if worker.exit_code is not None:
            raise self.unexpected(worker, f"ended by itself with {worker.exit_code}")
        worker.process.kill()
        worker.process.wait()
        self.count_kill(worker)

    def count_kill(self, worker: Worker) -> None:
        self.kills += 1
        self.killed_live += worker.is_live
        if not worker.relay.holds:
            worker.relay.close()

    def ends_with(self, worker: Worker, code: int, *, saying: str = "") -> None:
        if not within(lambda: worker.exit_code is not None, PATIENCE_S):
            raise self.unexpected(worker, f"was still there after {PATIENCE_S:g} s, not ended with {code}")
        if worker.exit_code != code or saying not in worker.said():
            raise self.unexpected(worker, f"ended with {worker.exit_code}, not with {code} and {saying!r}")
        worker.relay.close()

    def unexpected(self, worker: Worker, what: str) -> Unexpected:
        last = "\n".join(f"    | {line}" for line in worker.said().splitlines()[-6:])
        return Unexpected(f"worker {worker.log.stem} of {self.key} {what}; {worker.log} ends:\n{last}")

    # --- what a misfortune takes --------------------------------------------------------------------------------------

    def take_lease(self) -> None:
        """Whoever has the lease loses it, where it is a lock of Postgres; where it is a file, go to another place."""
        url = self._ground.settings.database.url.get_secret_value()
        if not is_postgres(url):
            return
        plain = parsed(url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s",
                [f"panda pipeline {self.key}"],
            )

    def delete_snapshots(self) -> None:
        writer = Writer(self._ground.kafka)
        writer.write([Outgoing(PIPELINE_SNAPSHOTS.name, self.key.encode(), None)])
        writer.flush()

    def close(self) -> None:
        for worker in self.started:
            if worker.exit_code is None:
                worker.process.kill()
                worker.process.wait()
            worker.relay.close()
