"""`python -m api`: the API on a loopback address."""

import errno
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import uvicorn

from analytics.queries import Queries
from api.app import LOOPBACK, create_app
from connectors import logging
from connectors.ending import stop_on_signals, stopping
from connectors.errors import ConfigError, exit_code_of
from connectors.heartbeat import beat, ready
from connectors.kafka.source import Offsets
from connectors.logging import logger
from connectors.redis import connect
from connectors.settings import ApiSettings, Settings, load
from functions.topics import MARKET_QUALITY, SYSTEM_ALERTS, outputs

PATIENCE_S: Final = 2.0  # for the broker, which only tells lags here
GRACEFUL_S: Final = 3  # for answers under way when it is asked to stop


class _Ends:
    """The ends of the topics that a broker's cache reads; keeps one connection a broker."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._connected: dict[str, Offsets] = {}
        self._asking = threading.Lock()

    def __call__(self, broker: str) -> dict[tuple[str, int], int]:
        with self._asking:
            if broker not in self._connected:
                topics = [topic.name for topic in (*outputs(broker), SYSTEM_ALERTS, MARKET_QUALITY)]
                self._connected[broker] = Offsets(self._kafka, "api", topics, patience_s=PATIENCE_S)
            return self._connected[broker].ends()

    def close(self) -> None:
        for offsets in self._connected.values():
            offsets.close()


class _Server(uvicorn.Server):
    """Tells when it listens, and that its loop turns; ends at once if it was asked to stop before."""

    def __init__(self, config: uvicorn.Config, on_live: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_live = on_live

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._on_live()
        self.should_exit = self.should_exit or stopping()

    async def on_tick(self, counter: int) -> bool:
        beat()
        return await super().on_tick(counter)


def listening(api: ApiSettings) -> socket.socket:
    """A socket on the address of the settings. Raises: `ConfigError` beyond loopback and where it is taken."""
    if api.host not in LOOPBACK:
        raise ConfigError(
            f"PANDA_API__HOST = {api.host!r} would show the desk to the network; it may be {', '.join(LOOPBACK)}",
            remedy="listen on loopback, and let a proxy that asks for a password in front of it serve others",
        )
    family = socket.AF_INET6 if ":" in api.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((api.host, api.port))
    except OSError as error:
        bound.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise ConfigError(
            f"port {api.port} {why}", remedy="stop what listens there, or set PANDA_API__PORT; 0 takes a free port"
        ) from error
    return bound


def _tell(address: tuple[Any, ...]) -> None:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    logger().info("api.listening", url=f"http://{host}:{address[1]}/api/v1/portfolio")
    ready()


def serve(settings: Settings) -> None:
    """Answers until SIGTERM or SIGINT. Raises: `PipelineError` with what stops it from starting."""
    bound = listening(settings.api)
    stop_on_signals()  # until uvicorn takes over, and after: it raises them again
    ends = _Ends(settings)
    client, queries = connect(settings.redis), Queries(settings.lake, awaited=True)
    config = uvicorn.Config(
        create_app(settings, client, queries, ends), log_config=None, access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=GRACEFUL_S,
    )  # fmt: skip
    try:
        _Server(config, partial(_tell, bound.getsockname())).run(sockets=[bound])
    finally:
        for resource in (bound, client, queries, ends):
            resource.close()


def main() -> None:
    """The process."""
    settings = load()
    logging.configure(settings.log, "api")
    serve(settings)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
