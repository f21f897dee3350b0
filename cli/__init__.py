"""`panda`: one function a command, thin; what is heavy is imported inside the command that needs it."""

import sys


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    from cli.commands import app
    from connectors.errors import exit_code_of

    sys.exit(exit_code_of(app))
