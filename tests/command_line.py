"""The command line, run in this process."""

import os
import sys

import pytest

import cli


@pytest.fixture
def panda(monkeypatch, capsys, tmp_path):
    """Runs a command in this process, in an empty directory; returns (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("PANDA_") and name != "PANDA_CALENDAR":  # tests go on when the announced years have ended
            monkeypatch.delenv(name)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["panda", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run
