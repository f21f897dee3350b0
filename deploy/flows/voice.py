"""The supervisor's voice: what becomes of flows, in `system.alerts`, also while none of them can speak.

It has no Kafka user of its own. It enters as the first of its flows whose user may write alerts.
"""

from collections.abc import Sequence
from typing import Final

from connectors.errors import PipelineError
from connectors.kafka.alerts import Alerts
from connectors.logging import logger
from connectors.settings import KafkaSettings
from deploy.flows.declared import Flow
from functions.events import SystemAlert
from functions.topics import SYSTEM_ALERTS

SOURCE: Final = "flows"
_KAFKA: Final = "PANDA_KAFKA__"


class Voice:
    """Alerts by the user of one of the flows; a broker that is away, or refuses, stops no supervision."""

    def __init__(self) -> None:
        self._settings: KafkaSettings | None = None
        self._alerts: Alerts | None = None

    def lend(self, flows: Sequence[Flow]) -> None:
        """From now on it speaks by one of these."""
        found = next((kafka_of(flow) for flow in flows if flow.name.partition("-")[0] in SYSTEM_ALERTS.writers), None)
        if found != self._settings:
            self.close()
            self._settings = found

    def say(self, alert: SystemAlert) -> None:
        """Hands an alert to the producer and returns at once; without anybody to speak by, the log has it alone."""
        if self._settings is None:
            return
        if self._alerts is None:
            self._alerts = Alerts(self._settings, SOURCE)
        self._alerts.write(alert)

    def breathe(self) -> None:
        """To be called often: takes what the broker has said meanwhile."""
        if self._alerts is None:
            return
        try:
            self._alerts.check()
        except PipelineError as error:
            logger().error("flows.alert_refused", reason=error.message)
            self.close()

    def close(self) -> None:
        if self._alerts is not None:
            self._alerts.close()
            self._alerts = None


def kafka_of(flow: Flow) -> KafkaSettings | None:
    """The broker and the user that a flow is told; None where it is told none."""
    told = {
        name.removeprefix(_KAFKA).lower(): value for name, value in flow.environment.items() if name.startswith(_KAFKA)
    }
    return KafkaSettings.model_validate(told) if told else None
