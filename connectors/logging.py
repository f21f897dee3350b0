"""Logs: one event a line on standard error, JSON or for a terminal, without secrets.

Names of events are constant, dotted and past tense; facts are keys with their unit:
`logger().warning("kafka.unreachable", bootstrap="127.0.0.1:9092", waited_ms=300)`.
What libraries log through the standard library comes out the same way.
"""

import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from numbers import Integral
from typing import Any, Final

import orjson

from functions.imports import without

with without(
    "rich"
):  # of which structlog would draw tracebacks; ours are text, and it takes as long to load as structlog
    import structlog

# isort: split
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from connectors.settings import LogSettings

REDACTED: Final = "***"

SECRET_KEYS: Final = frozenset(
    {
        "access_token", "api_key", "api_secret", "authorization", "cookie", "enctoken", "jwt", "password",
        "passwd", "private_key", "refresh_token", "request_token", "secret", "set-cookie", "token", "totp",
    }
)  # fmt: skip

# Secrets inside longer texts: a URL's password, NAME=value and "name": "value" pairs, the header Kite wants.
_NAMES: Final = "|".join(sorted(SECRET_KEYS - {"authorization", "token"}))
_IN_TEXT: Final = (
    (re.compile(r"""(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s"']+(?=@)""", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(rf"""(\b(?:{_NAMES})\b["']?\s*[=:]\s*["']?)[^\s"'&,;}}]+""", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"""(\bauthorization["']?\s*[=:]\s*["']?)[^"'\r\n,}]+""", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"(\b(?:token|bearer)\s+)[\w.~+/-]{8,}(?::[\w.~+/-]+)?", re.IGNORECASE), rf"\1{REDACTED}"),
)

# Their debug lines hold tokens and headers whole.
_ALWAYS_QUIET: Final = ("kiteconnect", "urllib3", "requests", "httpx2", "httpcore", "autobahn", "twisted")


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        for pattern, replacement in _IN_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, bytes):
        return _cleaned(value.decode(errors="backslashreplace"))
    if isinstance(value, Mapping):
        return {key: REDACTED if _names_a_secret(key) else _cleaned(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_cleaned(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Integral):
        return int(value)  # NumPy's
    return _cleaned(str(value))


def _names_a_secret(key: object) -> bool:
    return isinstance(key, str) and key.lower() in SECRET_KEYS


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """An event without its secrets: by the names of its keys at any depth, and by their shape inside texts.

    >>> redact(None, "info", {"event": "kite.connected", "api_secret": "s3", "url": "redis://:pw@host/0"})
    {'event': 'kite.connected', 'api_secret': '***', 'url': 'redis://:***@host/0'}
    """
    return {key: REDACTED if _names_a_secret(key) else _cleaned(value) for key, value in event.items()}


def as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """One line of JSON. What orjson refuses (whole numbers beyond 64 bits, half characters) is still written."""
    try:
        return orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(event, default=repr)


class _Facts:
    """What every line says first: when, how severe, which flow, what; then the facts of the event."""

    def __init__(self, flow: str) -> None:
        self._flow = flow

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        first = {name: event.pop(name) for name in ("timestamp", "level") if name in event}
        return {**first, "flow": self._flow, "event": event.pop("event", ""), **event}


class _StandardError(structlog.WriteLogger):
    """Standard error as it is then. What it does not take, as its disk is full, is lost: a log stops no flow."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def configure(settings: LogSettings, flow: str) -> None:
    """Send the log events of this process and of its libraries to standard error, as those of `flow`."""
    level = logging.getLevelNamesMapping()[settings.level]
    said: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    written: list[Processor] = [
        structlog.processors.format_exc_info,  # text, without local variables: they may hold secrets
        _Facts(flow),
        redact,
        as_json if settings.format == "json" else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
    ]
    structlog.configure(
        processors=[*said, *written],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _StandardError(),
        cache_logger_on_first_use=False,
    )
    _configure_libraries(level, said, written)


def _configure_libraries(level: int, said: list[Processor], written: list[Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*said, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _ALWAYS_QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def logger() -> FilteringBoundLogger:
    """The logger of this process. Before `configure` it writes to standard error too: standard output is for data."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, redact, as_json],
            logger_factory=lambda *_: _StandardError(),
        )
    return structlog.get_logger()
