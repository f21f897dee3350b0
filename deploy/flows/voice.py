"""The supervisor's voice: what becomes of flows, in `system.alerts`, also while none of them can speak.

It has no Kafka user of its own. It enters as one of its flows whose user may write alerts, and as the next one where that is
refused: not let in, or without the right. What was refused is written by the next.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from connectors.errors import PipelineError
from connectors.kafka.alerts import Alerts
from connectors.logging import logger
from connectors.settings import KafkaSettings
from deploy.flows.declared import Flow
from functions.events import SystemAlert
from functions.topics import SYSTEM_ALERTS

SOURCE: Final = "flows"
PAUSE_S: Final = 60.0  # once all users have been refused, before the first is tried again
MOST: Final = 1_000  # alerts that are kept while nobody may write them, the newest
_KAFKA: Final = "PANDA_KAFKA__"


class Voice:
    """Alerts by the user of one of the flows; a broker that is away, or refuses all, stops no supervision."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._users: list[KafkaSettings] = []
        self._at = 0  # which of them
        self._refused = 0  # users in a row
        self._again_at = 0.0
        self._alerts: Alerts | None = None
        self._unwritten: list[bytes] = []

    def lend(self, flows: Sequence[Flow]) -> None:
        """From now on it speaks by one of these."""
        may = [kafka_of(flow) for flow in flows if flow.name.partition("-")[0] in SYSTEM_ALERTS.writers]
        users = [user for n, user in enumerate(may) if user is not None and user not in may[:n]]
        if users == self._users:
            return
        self._give_up()
        self._users, self._at, self._refused, self._again_at = users, 0, 0, 0.0

    def say(self, alert: SystemAlert) -> None:
        """Hands an alert to the producer and returns at once; without anybody to speak by, the log has it alone."""
        if self._users:
            self._entered().write(alert)

    def breathe(self) -> None:
        """To be called often: takes what the broker has said meanwhile, and goes to the next user after a refusal."""
        if self._alerts is None:
            if self._unwritten and self._users and self._now() >= self._again_at:
                self._entered()
            return
        try:
            self._alerts.check()
        except PipelineError as error:
            logger().error("flows.alert_refused", user=self._users[self._at].username, reason=error.message)
            self._next()

    def _entered(self) -> Alerts:
        if self._alerts is None:
            self._alerts = Alerts(self._users[self._at], SOURCE, unwritten=self._unwritten, wants_entry=True)
            self._unwritten = []
        return self._alerts

    def _next(self) -> None:
        self._give_up()
        self._at = (self._at + 1) % len(self._users)
        self._refused += 1
        if self._refused % len(self._users) == 0:
            self._again_at = self._now() + PAUSE_S

    def _give_up(self) -> None:
        if self._alerts is not None:
            self._unwritten = (self._unwritten + self._alerts.give_up())[-MOST:]
            self._alerts = None

    def close(self) -> None:
        if self._alerts is not None:
            self._alerts.close()
            self._alerts = None
        elif self._unwritten:
            logger().error(
                "alerts.unwritten", alerts=len(self._unwritten), reason="no user of the flows may write them"
            )


def kafka_of(flow: Flow) -> KafkaSettings | None:
    """The broker and the user that a flow is told; None where it is told none."""
    told = {
        name.removeprefix(_KAFKA).lower(): value for name, value in flow.environment.items() if name.startswith(_KAFKA)
    }
    return KafkaSettings.model_validate(told) if told else None
