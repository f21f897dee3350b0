"""Errors: how a process ends, what its user reads then, and what passes untouched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from connectors.errors import (
    ConfigError,
    DataError,
    DependencyError,
    FatalError,
    PipelineError,
    RetryableError,
    exit_code_of,
)

ROOT = Path(__file__).resolve().parents[2]


def raising(error):
    def command():
        raise error

    return command


def test_a_command_that_ends_well_has_code_0_whatever_it_returns(capsys):
    assert exit_code_of(lambda: "an answer") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "code"),
    [(PipelineError, 1), (DataError, 1), (ConfigError, 2), (DependencyError, 3), (RetryableError, 3), (FatalError, 4)],
)
def test_an_error_of_ours_is_told_with_its_remedy_on_standard_error_and_ends_with_its_code(kind, code, capsys):
    assert exit_code_of(raising(kind("port 80 is in use", remedy="take another"))) == code
    assert capsys.readouterr() == ("", "error: port 80 is in use\n  → take another\n")


def test_without_a_remedy_only_the_message_is_told(capsys):
    exit_code_of(raising(ConfigError("no such day")))

    assert capsys.readouterr().err == "error: no such day\n"


@pytest.mark.parametrize("other", [KeyError("ours to mend"), SystemExit(5), KeyboardInterrupt()])
def test_what_is_no_error_of_ours_passes(other, capsys):
    with pytest.raises(type(other)):
        exit_code_of(raising(other))

    assert capsys.readouterr().err == ""


def test_panda_interrupted_ends_with_130(monkeypatch, capsys):
    monkeypatch.setattr("cli.store.list_strategies", lambda **_: raising(KeyboardInterrupt())())
    monkeypatch.setattr(sys, "argv", ["panda", "strategies", "list"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_leaves_panda_before_its_answer_sees_no_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        ended = subprocess.run(
            [sys.executable, "-m", "cli", "strategies", "list"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["cli", "backtest", "nothing", "--data", "gone.csv"], 2, "error: unknown strategy 'nothing'"),
        (["cli", "no-such-command"], 2, "No such command"),
        (
            ["deploy.flows.supervisor"],
            2,
            "error: one folder is needed\n  → python -m deploy.flows.supervisor .services",
        ),
        (
            ["connectors.kafka.embedded", "--port-file", "/gone/port", "--brokers", "icici"],
            2,
            "error: no broker icici\n  → name some of paper, zerodha",
        ),
        (["connectors.kafka.embedded"], 2, "the following arguments are required: --port-file"),
    ],
    ids=["panda", "panda, wrong use", "supervisor", "embedded broker", "embedded broker, wrong use"],
)
def test_every_process_ends_alike(command, code, said):
    ended = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=ROOT, timeout=60)

    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_api_ends_alike(monkeypatch, tmp_path):
    environment = os.environ | {"PANDA_API__HOST": "0.0.0.0", "PANDA_DATA_DIR": str(tmp_path)}

    ended = subprocess.run([sys.executable, "-m", "api"], capture_output=True, text=True, cwd=ROOT, env=environment)

    assert ended.returncode == 2
    assert "error: PANDA_API__HOST = '0.0.0.0' would show the desk to the network" in ended.stderr
