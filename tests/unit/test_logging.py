"""Logs: one line an event, on standard error, without secrets."""

import io
import json
import logging as standard
import warnings

import numpy as np
import pytest
import structlog
from pydantic import SecretStr

from connectors.logging import configure, logger
from connectors.settings import LogSettings


@pytest.fixture
def lines(capsys):
    """The events written to standard error so far, each from its one line of JSON."""

    def read():
        captured = capsys.readouterr()
        assert captured.out == "", "standard output is for data"
        return [json.loads(line, parse_constant=pytest.fail) for line in captured.err.splitlines()]

    before = standard.getLogger().handlers[:], standard.getLogger().level
    yield read
    standard.captureWarnings(False)
    standard.getLogger().handlers[:], level = before
    standard.getLogger().setLevel(level)
    structlog.reset_defaults()


def test_an_event_is_one_line_that_says_when_how_severe_which_flow_and_what(lines):
    configure(LogSettings(), "pipeline")
    logger().warning("order.refused", account="paper-1", rule="daily_loss", lag_ms=12)

    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert list(line.items()) == [
        ("level", "warning"),
        ("flow", "pipeline"),
        ("event", "order.refused"),
        ("account", "paper-1"),
        ("rule", "daily_loss"),
        ("lag_ms", 12),
    ]


@pytest.mark.parametrize("configured", [True, False])
def test_a_line_that_a_full_disk_does_not_take_stops_nobody_and_the_next_one_is_written(lines, monkeypatch, configured):
    if configured:
        configure(LogSettings(), "archive")
    with (
        io.TextIOWrapper(open("/dev/full", "wb", buffering=0), write_through=True) as full,
        monkeypatch.context() as now,
    ):
        now.setattr("sys.stderr", full)
        logger().warning("lake.unavailable", reason="no room")

    logger().info("lake.available")

    assert [line["event"] for line in lines()] == ["lake.available"]


def test_events_below_the_level_are_not_written(lines):
    configure(LogSettings(level="WARNING"), "feed")
    logger().info("feed.started")
    standard.getLogger("uvicorn").info("started")
    assert lines() == []


@pytest.mark.parametrize(
    "facts",
    [
        {"password": "hunter2"},
        {"Authorization": "token key:hunter2"},
        {"answer": {"data": [{"access_token": "hunter2"}]}},
        {"url": "redis://:hunter2@cache:6379/0"},
        {"url": "postgresql+psycopg://panda:hunter2/@db/panda"},
        {"dsn": "host=db password=hunter2 user=panda"},
        {"body": '{"api_secret": "hunter2", "user": 1}'},
        {"body": b"enctoken=hunter2;path=/"},
        {"header": "Authorization: token abcdefgh:hunter2"},
        {"header": "bearer hunter2.hunter2.hunter2"},
        {"setting": SecretStr("hunter2")},
        {"error": ValueError("request_token=hunter2 is used up")},
    ],
)
def test_a_secret_is_never_written_whatever_it_hides_in(lines, facts):
    configure(LogSettings(), "orders")
    logger().error("kite.refused", **facts)
    standard.getLogger("library").error("facts: %s", facts)
    assert "hunter2" not in json.dumps(lines())


def test_a_traceback_is_written_without_the_values_of_its_variables(lines):
    configure(LogSettings(), "orders")
    password = "hunter" + str(2)
    try:
        raise ValueError(f"postgresql://u:{password}@db: no route")
    except ValueError:
        logger().exception("store.unreachable")
    (line,) = lines()
    assert "ValueError: postgresql://u:***@db: no route" in line["exception"]
    assert "hunter2" not in line["exception"]


def test_an_instrument_token_is_no_secret(lines):
    configure(LogSettings(), "feed")
    logger().info("tick.refused", instrument_token=738561)
    assert lines()[0]["instrument_token"] == 738561


def test_facts_that_json_has_no_word_for_are_written_all_the_same(lines):
    configure(LogSettings(), "feed")
    logger().info(
        "tick.refused", size=np.int64(5), large=2**70, price=float("nan"), text="\ud800", kinds={"a"}, raw=b"\xff"
    )
    (line,) = lines()
    assert (line["size"], line["large"], line["price"]) == (5, 2**70, "nan")
    assert (line["text"], line["kinds"], line["raw"]) == ("\ud800", ["a"], "\\xff")


def test_what_libraries_log_comes_out_in_the_same_form(lines):
    configure(LogSettings(), "api")
    standard.getLogger("uvicorn.error").warning("slow: %d ms", 7)
    (line,) = lines()
    assert (line["level"], line["flow"], line["event"], line["logger"]) == (
        "warning",
        "api",
        "slow: 7 ms",
        "uvicorn.error",
    )


def test_libraries_whose_debug_lines_hold_tokens_stay_quiet_even_at_debug(lines):
    configure(LogSettings(level="DEBUG"), "orders")
    standard.getLogger("kiteconnect.connect").debug("Request: %s", {"Authorization": "token a:b"})
    standard.getLogger("urllib3.connectionpool").info("POST /session/token?checksum=1")
    assert lines() == []


def test_a_warning_of_python_is_an_event_too(lines):
    configure(LogSettings(), "api")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning(UserWarning("soon gone"), UserWarning, "x.py", 1)
    assert lines()[0]["logger"] == "py.warnings"


def test_before_the_set_up_events_go_to_standard_error_too(lines):
    structlog.reset_defaults()
    logger().info("settings.read", password="hunter2")
    assert lines() == [{"password": "***", "event": "settings.read", "level": "info"}]


def test_for_a_terminal_the_same_event_is_text(capsys, lines):
    configure(LogSettings(format="console"), "feed")
    logger().info("feed.started", password="hunter2", instruments=8)
    said = capsys.readouterr().err
    assert "feed.started" in said
    assert "instruments=8" in said
    assert "hunter2" not in said
