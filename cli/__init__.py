"""`panda`: one function a command, thin; what is heavy is imported inside the command that needs it."""

import signal
import sys


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    from cli.commands import app
    from connectors.errors import exit_code_of

    try:
        sys.exit(exit_code_of(app))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is over: one more Ctrl-C does not change how it ended
