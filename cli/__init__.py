"""`panda`: one function a command, thin; what is heavy is imported inside the command that needs it."""

import atexit
import os
import signal
import sys
import threading
import time
from typing import Final

BEGAN: Final = time.perf_counter()  # of the process, but for Python's own start


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    from cli.commands import app
    from connectors.errors import exit_code_of

    before = threading.enumerate()
    try:
        sys.exit(exit_code_of(app))
    except SystemExit as ended:
        _leave_behind(
            [thread for thread in threading.enumerate() if thread not in before and not thread.daemon], ended.code
        )
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is over: one more Ctrl-C does not change how it ended


def _leave_behind(threads: list[threading.Thread], code: object) -> None:
    """Ends at once where there are threads that Python would wait for: those of a strategy may never end."""
    if not threads:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
