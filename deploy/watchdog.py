"""The watchdog of Kafka Connect: restarts what has failed, with patience and a limit, then calls for a human.

Connect itself restarts no task. A connector that fails again is left alone longer each time; after `LIMIT` restarts it
is left alone for good, until it has run by other means. Every trouble is told once, and once that it is over; every
restart is told as well.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from connectors.connect import Connect, Connector
from connectors.errors import PipelineError
from connectors.logging import logger
from functions.events import SystemAlert

LIMIT: Final = 6  # restarts of one connector
FIRST_S: Final = 2.0  # before the second restart; doubled each time
LONGEST_S: Final = 300.0
CALM_S: Final = 600.0  # running for so long, earlier failures are forgotten

Alert = Callable[[SystemAlert], None]


@dataclass
class _Record:
    """What the watchdog remembers of one connector."""

    restarts: int = 0
    next_at: float = 0.0
    running_since: float | None = None
    given_up: bool = False


@dataclass
class Watchdog:
    """Looks after the connectors named in `wanted`. `look` is one round.

    `alert` takes the troubles that a human should know, `note` what has been done without one: each restart.

    `check` finds trouble that shows in no task, and raises it (see `replication.refuse_lost_slot`). `now` in seconds.
    """

    connect: Connect
    wanted: Iterable[str]
    alert: Alert
    note: Alert = lambda _: None
    check: Callable[[], None] = lambda: None
    limit: int = LIMIT
    now: Callable[[], float] = time.monotonic
    _records: dict[str, _Record] = field(default_factory=dict)
    _troubles: set[str] = field(default_factory=set)

    def look(self) -> None:
        """One round. Nothing raises: a Connect that is down is a trouble like any other."""
        try:
            found = self.connect.connectors()
        except PipelineError as error:
            self._trouble("connect.down", "Kafka Connect", str(error))
            return
        self._over("connect.down", "Kafka Connect")
        for name in self.wanted:
            self._look_at(name, found.get(name))
        self._check()

    def run(self, stop: Callable[[], bool], *, every_s: float = 5.0) -> None:
        """Looks until it is told to stop."""
        awake = 0.0
        while not stop():
            if self.now() >= awake:
                self.look()
                awake = self.now() + every_s
            time.sleep(min(0.2, every_s))

    def _look_at(self, name: str, found: Connector | None) -> None:
        if found is None:
            self._trouble("connect.missing", name, f"connector {name} is not there; run: panda deploy apply")
            return
        self._over("connect.missing", name)
        record = self._records.setdefault(name, _Record())
        if found.failed:
            record.running_since = None
            self._restart(name, found, record)
        elif found.running:
            self._settle(name, record)

    def _restart(self, name: str, found: Connector, record: _Record) -> None:
        if record.given_up or self.now() < record.next_at:
            return
        if record.restarts >= self.limit:
            record.given_up = True
            text = (
                f"connector {name} failed again after {record.restarts} restarts and is left alone: {found.told}; "
                "put the reason right and run: panda deploy apply"
            )
            self._trouble("connect.given_up", name, text)
            return
        wait_s = min(FIRST_S * 2**record.restarts, LONGEST_S)
        record.restarts += 1
        record.next_at = self.now() + wait_s
        try:
            self.connect.restart_failed(name)
        except PipelineError as error:
            logger().warning("connect.restart_failed", connector=name, reason=error.message)
            return
        logger().warning("connect.restarted", connector=name, attempt=record.restarts, reason=found.told)
        text = f"connector {name} restarted, {record.restarts} of {self.limit}: {found.told}"
        self.note(SystemAlert("warning", "connect.restarted", text, name))

    def _settle(self, name: str, record: _Record) -> None:
        if record.running_since is None:
            record.running_since = self.now()
        if record.given_up:  # somebody put it right
            self._records[name] = _Record(running_since=self.now())
            self._over("connect.given_up", name)
        elif record.restarts and self.now() - record.running_since >= CALM_S:
            self._records[name] = _Record(running_since=record.running_since)

    def _check(self) -> None:
        try:
            self.check()
        except PipelineError as error:
            self._trouble("connect.check", "outbox", str(error))
        else:
            self._over("connect.check", "outbox")

    def _trouble(self, code: str, subject: str, message: str) -> None:
        if f"{code}:{subject}" in self._troubles:
            return
        self._troubles.add(f"{code}:{subject}")
        logger().error(code, subject=subject, reason=message)
        self.alert(SystemAlert("critical", code, message, subject))

    def _over(self, code: str, subject: str) -> None:
        if f"{code}:{subject}" not in self._troubles:
            return
        self._troubles.discard(f"{code}:{subject}")
        logger().info(f"{code}_over", subject=subject)
        self.alert(SystemAlert("info", f"{code}_over", f"{subject} is well again", subject))
