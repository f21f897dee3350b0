"""A flow as an operating-system process: how it starts, says that it is live, stops and fails.

SIGTERM and SIGINT set a flag that sources turn into a clean end (Bytewax itself would die without a last flush);
`connectors.ending` has it over within seconds. An error leaves as its exit code with one line that says what to do, not as a
traceback.
"""

import os
from datetime import timedelta

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from connectors.ending import stop_on_signals, stopping
from connectors.errors import FatalError, PipelineError
from connectors.heartbeat import READY_FILE, ready
from connectors.kafka.source import mirror_ended
from dataflows.collecting import collecting_seldom

__all__ = ["READY_FILE", "ready", "run", "stop_on_signals", "stopping"]


def run(flow: Dataflow, *, epoch_s: float = 0.25) -> None:
    """Runs a flow to its end; sinks are flushed once an epoch, and a clean end leaves no lag of what was read.

    Raises: the `PipelineError` that ended it; anything else becomes a `FatalError`, as the state is then in doubt.
    """
    stop_on_signals()
    os.environ["RUST_BACKTRACE"] = "0"  # Bytewax's own frames help nobody, and naming them holds the end up for seconds
    try:
        with collecting_seldom():
            cli_main(flow, epoch_interval=timedelta(seconds=epoch_s))
        mirror_ended()
    except PipelineError:
        raise
    except Exception as error:
        cause = _pipeline_error(error)
        if cause is not None:
            raise cause from error
        raise FatalError(f"the flow stopped: {type(error).__name__}: {error}") from error


def _pipeline_error(error: BaseException | None) -> PipelineError | None:
    """The error of ours behind what Bytewax wrapped."""
    while error is not None:
        if isinstance(error, PipelineError):
            return error
        error = error.__cause__ or error.__context__
    return None
