"""Suspension: a live pipeline takes a strategy out that never comes to an end, or that cannot be kept.

    a strategy is overdue ─► the journal says so, behind all that was decided ─► this process ends, with 3
                             └► the next one reads it, publishes the alert, and goes on without that strategy

How long something takes is in no input, so a replay would decide otherwise: the decision itself is an input, on the log. What
was being decided is not on it and is read again; the process may be held in code that nobody can interrupt, so it ends.
"""

from typing import Final, NoReturn

from connectors.errors import FatalError, PipelineError, RetryableError
from connectors.kafka.journal import DecisionLog
from connectors.logging import logger
from dataflows.hosts import Call, Watch, end

LIFTED: Final = "it gets ticks again when its configuration changes"


class FlowHost(Watch):
    """For the strategies of one live shard, whose log this is. It looks on until the log ends."""

    def __init__(self, log: DecisionLog, limit_s: float) -> None:
        super().__init__(limit_s)
        self._log = log

    @property
    def is_over(self) -> bool:
        return super().is_over or self._log.ended

    def overdue(self, call: Call, took_s: float) -> None:
        self.suspend(call.name, f"had not come to an end on {self.where(call)} after {self.limit_s:g} s")

    def suspend(self, strategy: str, reason: str) -> NoReturn:
        """Writes it, and ends the process; also where it cannot be written: then the next one finds it again."""
        logger().error("strategy.suspended", strategy=strategy, reason=reason)
        try:
            self._log.suspend(strategy, reason)
        except PipelineError as error:
            end(error)
        except BaseException as error:
            end(FatalError(f"the suspension of {strategy} could not be written: {type(error).__name__}: {error}"))
        end(
            RetryableError(
                f"strategy {strategy} {reason}: it is suspended, and {LIFTED}",
                remedy="start the flow again, which goes on without it; a supervisor does",
            )
        )
