"""`panda`: one function a command, thin; what is heavy is imported inside the command that needs it."""

import sys


def main() -> None:
    """Runs the command line; an error of ours ends with its message and exit code."""
    from cli.commands import app
    from connectors.errors import PipelineError

    try:
        app()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
