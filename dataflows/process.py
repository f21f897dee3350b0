"""A flow as an operating-system process: how it starts, says that it is live, stops and fails.

SIGTERM and SIGINT set a flag that sources turn into a clean end (Bytewax itself would die without a last flush); a
second SIGINT ends at once. An error leaves as its exit code with one line that says what to do, not as a traceback.
"""

import gc
import os
import signal
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from connectors.errors import FatalError, PipelineError
from connectors.kafka.source import mirror_ended

READY_FILE: Final = "PANDA_READY_FILE"  # the supervisor names a file that a live flow creates
_stopping = False


def stopping() -> bool:
    """Whether this process has been asked to stop."""
    return _stopping


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopping  # noqa: PLW0603 - one flag a process, set by its signal handler
    if _stopping and number == signal.SIGINT:
        os._exit(130)
    _stopping = True


def stop_on_signals() -> None:
    """From now on SIGTERM and SIGINT ask to stop."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)


def ready() -> None:
    """Tells the supervisor that the flow is live."""
    path = os.environ.get(READY_FILE)
    if path:
        Path(path).write_text(f"{os.getpid()}\n")


def run(flow: Dataflow, *, epoch_s: float = 0.25) -> None:
    """Runs a flow to its end; sinks are flushed once an epoch, and a clean end leaves no lag of what was read.

    Raises: the `PipelineError` that ended it; anything else becomes a `FatalError`, as the state is then in doubt.
    """
    stop_on_signals()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)  # batches make many short-lived tuples and no cycles
    try:
        cli_main(flow, epoch_interval=timedelta(seconds=epoch_s))
        mirror_ended()
    except PipelineError:
        raise
    except Exception as error:
        cause = _pipeline_error(error)
        if cause is not None:
            raise cause from error
        raise FatalError(f"the flow stopped: {type(error).__name__}: {error}") from error
    finally:
        gc.unfreeze()  # else extension modules complain at exit of what was never collected


def _pipeline_error(error: BaseException | None) -> PipelineError | None:
    """The error of ours behind what Bytewax wrapped."""
    while error is not None:
        if isinstance(error, PipelineError):
            return error
        error = error.__cause__ or error.__context__
    return None
