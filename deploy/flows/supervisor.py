"""The supervisor's process: `python -m deploy.flows.supervisor ROOT` keeps the flows of the request beneath a root.

It looks for a new request ten times a second, ends what it started when it is asked to end, and whatever it started ends
with it however it goes. There is one for a root: a second is refused.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from connectors import logging
from connectors.errors import ConfigError, exit_code_of
from connectors.logging import logger
from connectors.settings import LogSettings
from dataflows.process import stop_on_signals, stopping
from deploy.flows.declared import code_version
from deploy.flows.keeper import Keeper
from deploy.flows.records import SUPERVISOR, read_request, request_file
from deploy.flows.voice import Voice
from deploy.services.places import Places
from deploy.services.processes import Processes

LOOK_S: Final = 0.1


@contextmanager
def only_one(places: Places) -> Iterator[None]:
    """Holds a root's lock, which the system gives back however we end. Raises: `ConfigError` where another holds it."""
    processes = Processes(places.run, places.logs)
    with (places.run / f"{SUPERVISOR}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            found = processes.find(SUPERVISOR)
            who = f"process {found.pid}" if found else "another process"
            raise ConfigError(
                f"the flows of {places.root} are kept by {who}", remedy="panda deploy down stops it, and them"
            ) from error
        processes.remember(SUPERVISOR, os.getpid())
        yield


def keep(places: Places) -> None:
    """Keeps flows until this process is asked to stop."""
    voice = Voice()
    keeper = Keeper(places.run, places.logs / SUPERVISOR, code_version(), alert=voice.say)
    seen: tuple[int, int] | None = None
    try:
        while not stopping():
            found = _identity(request_file(places.run))
            if found is not None and found != seen:
                request = read_request(places.run)
                if request is not None:
                    logger().info("flows.requested", flows=[flow.name for flow in request.flows])
                    voice.lend(request.flows)
                    keeper.take(request)
                    seen = found
            keeper.round()
            voice.breathe()
            time.sleep(LOOK_S)
    finally:
        keeper.stop()
        voice.close()
        logger().info("flows.stopped")


def _identity(path: Path) -> tuple[int, int] | None:
    """Another one for every file that takes this place."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def main() -> None:
    """The process."""
    stop_on_signals(watched=False)  # its end takes as long as that of its flows
    logging.configure(LogSettings(), SUPERVISOR)
    if len(sys.argv) != 2:
        raise ConfigError("one folder is needed", remedy="python -m deploy.flows.supervisor .services")
    root = Path(sys.argv[1]).resolve()
    places = Places(root, root / "kafka")
    places.make()
    with only_one(places):
        keep(places)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
