"""The demo: the whole pipeline on one machine with embedded parts, supervised.

    broker, redis ─► config, pipeline, cache, archive, api ─► feed

Everything is a process of its own. At the end the feed stops first, then each flow once it has read all that the one
before it wrote; so nothing is cut off, and the log, the lake and the API must hold the same counts. If they do not, the
demo says so and fails.
"""

import errno
import fcntl
import json
import re
import shutil
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

import msgspec

from connectors.database.seed import demo_seed
from connectors.database.store import ConfigStore
from connectors.ending import FORCED
from connectors.errors import ConfigError, DependencyError, PipelineError
from connectors.kafka.source import KafkaSource, Offsets, end_offsets
from connectors.market_tables import in_force, warn_of_end
from connectors.output import kept_for_the_result
from connectors.recorded.options import AS_THEY_SAY, ReadingOptions, words_of
from connectors.recorded.reading import read
from connectors.redis import EmbeddedRedis, start_redis
from connectors.settings import KafkaSettings, Settings, load
from dataflows.process import stop_on_signals, stopping
from dataflows.surroundings import unchanged
from deploy.display import Display
from deploy.supervisor import Child, Supervisor
from deploy.tally import Tally
from functions.events import StrategyConfig
from functions.topics import MARKET_CLOCK, MARKET_TICKS, Topic, all_topics, outputs
from strategies.protocol import StrategyError
from strategies.registry import check, configure

BROKER: Final = "paper"
DRAIN_S: Final = 60.0
REFRESH_S: Final = 0.5
HOST: Final = "127.0.0.1"
HIGHEST_PORT: Final = 65_535
LEAST_BYTES: Final = 64 * 1024  # free on the disk: with less the archive waits for ever
MOST: Final = 1e9  # of a speed and of seconds, as the feed takes them


@dataclass(frozen=True)
class DemoOptions:
    """What the command line asks for."""

    seconds: float | None = None
    speed: float = 30.0
    seed: int = 1
    strategies: tuple[str, ...] = ()
    port: int = 8000
    json: bool = False
    data: tuple[Path, ...] = ()  # recorded files in place of the simulator
    reading: ReadingOptions = AS_THEY_SAY
    charges_as_of: str = ""  # a day whose charges hold for all days


@dataclass
class Run:
    """One demo while it runs."""

    options: DemoOptions
    directory: Path
    supervisor: Supervisor
    display: Display
    tally: Tally = field(default_factory=lambda: Tally(BROKER))
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    redis: EmbeddedRedis | None = None
    environment: dict[str, str] = field(default_factory=dict)
    strategies: int = 0
    began: float = field(default_factory=time.monotonic)
    first_fill_s: float | None = None
    trading_began: float = 0.0


# --- refusals before anything starts ----------------------------------------------------------------------------------


@contextmanager
def _only_demo(directory: Path) -> Iterator[None]:
    """One demo a data directory. Raises: `ConfigError` while another holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another demo is running in {directory}", remedy="stop it, or set PANDA_DATA_DIR to another directory"
            ) from None
        yield


def _refuse_wrong_use(options: DemoOptions) -> None:
    """Raises: `ConfigError` for a number that cannot be meant."""
    if not 0 <= options.speed < MOST:
        raise ConfigError(
            f"--speed is market seconds a second, 0 or more, was {options.speed:g}",
            remedy="--speed 0 is as fast as possible",
        )
    if options.seconds is not None and not 1 <= options.seconds < MOST:
        raise ConfigError(f"--seconds is 1 or more, was {options.seconds:g}", remedy="leave it out to play to the end")
    if options.seed < 0:
        raise ConfigError(f"--seed is 0 or more, was {options.seed}", remedy="e.g. --seed 1")
    if not 0 <= options.port <= HIGHEST_PORT:
        raise ConfigError(f"--port is from 1 to {HIGHEST_PORT}, was {options.port}", remedy="--port 0 takes a free one")


def _free_port(port: int) -> int:
    """This port where nobody listens on it, for 0 one that is free. Raises: `ConfigError`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise ConfigError(
                f"port {port} on {HOST} {why}", remedy="panda demo --port N chooses another, --port 0 a free one"
            ) from error
        return int(probe.getsockname()[1])


def _room(directory: Path) -> int:
    """Bytes that are free on its disk."""
    return shutil.disk_usage(directory).free


class NoRoom(DependencyError):
    """The disk of a demo is full."""


def _no_room(directory: Path, *, after: PipelineError | None = None) -> NoRoom:
    told = "" if after is None else f"; {after.message.splitlines()[0]}"
    return NoRoom(
        f"the disk of {directory} has {_room(directory)} bytes free{told}",
        remedy="make room, or set PANDA_DATA_DIR to a directory on another disk",
    )


def _fresh(directory: Path) -> None:
    """The last demo's data goes: its offsets mean nothing to a new in-memory broker."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)


# --- the children -----------------------------------------------------------------------------------------------------


def _panda(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli", *arguments]


def _until_live(run: Run, *children: Child) -> None:
    """Raises: `SystemExit` when it is asked to stop before: nothing has been traded, so there is no summary."""
    said: dict[str, str] = {}

    def stop() -> bool:
        for child in children:
            for words in run.supervisor.remarks(child):
                if said.get(child.name) != words:
                    said[child.name] = words
                    run.display.note(f"{child.name} {words}")
        return stopping()

    if not run.supervisor.wait_until_live(*children, stop=stop):
        raise SystemExit(FORCED)


def _start_services(run: Run) -> None:
    """The broker and Redis; everything else needs them."""
    port_file = run.directory / "broker.address"
    broker = Child(
        "broker",
        [sys.executable, "-m", "connectors.kafka.embedded", "--port-file", str(port_file), "--brokers", BROKER],
        is_live=port_file.exists,
    )
    run.supervisor.start(broker)
    run.redis = start_redis(run.directory)
    run.supervisor.adopt(Child("redis", [], process=run.redis.process))
    _until_live(run, broker)
    run.kafka = KafkaSettings(bootstrap=port_file.read_text().strip(), embedded=True)
    run.environment = {
        "PANDA_DATA_DIR": str(run.directory),
        "PANDA_KAFKA__BOOTSTRAP": run.kafka.bootstrap,
        "PANDA_KAFKA__EMBEDDED": "true",
        "PANDA_KAFKA__SECURITY_PROTOCOL": "PLAINTEXT",  # whatever `.env` says of another broker
        "PANDA_KAFKA__USERNAME": "",
        "PANDA_KAFKA__PASSWORD": "",
        "PANDA_REDIS__URL": run.redis.url,
        "PANDA_DATABASE__URL": f"sqlite:///{run.directory / 'config.sqlite'}",
        "PANDA_LAKE__PATH": str(run.directory / "lake"),
        "PANDA_API__PORT": str(run.options.port),
        **({"PANDA_CHARGES_AS_OF": run.options.charges_as_of} if run.options.charges_as_of else {}),
        "ACTIVE_BROKERS": BROKER,
        "OPENBLAS_NUM_THREADS": "1",
    }


def _configured(options: DemoOptions) -> tuple[list[Any], list[Any], list[StrategyConfig]]:
    """The demo's configuration: over recorded data its instruments, and strategies of the user's own over all shares."""
    instruments, accounts, strategies = demo_seed()
    if options.data:
        instruments = read(list(options.data), options=options.reading).instruments
        tokens = [i.instrument_token for i in instruments if i.kind != "INDEX"]
        strategies = [msgspec.structs.replace(s, instruments=tokens) for s in strategies]
    else:
        tokens = [i.instrument_token for i in instruments if i.kind == "EQ"]
    for implementation in options.strategies:
        try:
            configure(implementation, {}).start([i for i in instruments if i.instrument_token in tokens])
        except StrategyError as error:
            raise ConfigError(str(error), remedy="correct it; docs/strategies.md says what a strategy is") from error
        if options.strategies.count(implementation) > 1:
            raise ConfigError(f"--strategy {implementation} is given twice", remedy="give it once")
        name = _strategy_name(implementation, {s.strategy for s in strategies})
        strategies.append(StrategyConfig(name, implementation, {}, tokens, [a.account for a in accounts]))
    return instruments, accounts, strategies


def _strategy_name(implementation: str, taken: set[str]) -> str:
    """A name made of the class, or of file and class, or with a number, whichever no strategy has yet."""
    module, _, attribute = implementation.rpartition(":")
    spelled = [re.sub("[^a-z0-9]", "_", name.lower()) for name in (attribute, f"{Path(module).stem}_{attribute}")]
    names = chain((name[:40] for name in spelled), (f"{spelled[0][:30]}_{n}" for n in count(2)))
    return next(name for name in names if name not in taken)


def _feed_command(options: DemoOptions) -> list[str]:
    if not options.data:
        return _panda("feed", "--source", "sim", "--speed", str(options.speed), "--seed", str(options.seed))
    files = [word for path in options.data for word in ("--data", str(path.resolve()))]
    return _panda("feed", "--source", "file", "--speed", str(options.speed), *files, *words_of(options.reading))


def _start_flows(run: Run) -> dict[str, Child]:
    """The configuration first: a pipeline reads all of it before its first tick. The feed last: the embedded broker keeps
    little, and a pipeline that compiles the engine would find the beginning of the day gone.
    """
    children = {
        name: Child(name, _panda("run", name), run.environment) for name in ("config", "cache", "archive", "api")
    }
    for child in children.values():
        run.supervisor.start(child)
    _until_live(run, children["config"])
    # It ends itself, to be started again, each time that it has suspended a strategy.
    children["pipeline"] = Child("pipeline", _panda("run", "pipeline"), run.environment, restarts=run.strategies)
    children["feed"] = Child("feed", _feed_command(run.options), run.environment, stop_s=60.0, ends=True)
    run.supervisor.start(children["pipeline"])
    _until_live(run, *(child for name, child in children.items() if name not in ("config", "feed")))
    run.supervisor.start(children["feed"])
    _until_live(run, children["feed"])
    return children


# --- while it runs ----------------------------------------------------------------------------------------------------


class _Tail:
    """Reads the output topics and the market's clock as they grow, into the tally."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.topics = [t for t in all_topics((BROKER,)) if t not in (MARKET_TICKS, MARKET_CLOCK)]
        read = [MARKET_CLOCK, *self.topics]
        source = KafkaSource(run.kafka, [t.name for t in read], group="demo-display")
        self._part = source.build_part("tail", "", None)

    def read(self) -> int:
        """Takes what is there; returns how many records."""
        taken = 0
        for _, records in self._part.next_batch():
            for record in records:
                self._run.tally.add(record)
            taken += len(records)
        if self._run.first_fill_s is None and any(s.fills for s in self._run.tally.strategies.values()):
            self._run.first_fill_s = round(time.monotonic() - self._run.began, 2)
        return taken

    def close(self) -> None:
        self._part.close()


def _watch(run: Run, tail: _Tail, feed: Child, display: Display) -> None:
    """Until the seconds are over, Ctrl-C, or the simulated day ends."""
    offsets = Offsets(run.kafka, "demo-display", [MARKET_TICKS.name])
    shown, ticks = 0.0, 0
    try:
        while not stopping():
            tail.read()
            run.supervisor.check()
            now = time.monotonic()
            if run.options.seconds is not None and now - run.trading_began >= run.options.seconds:
                return
            if feed.process is not None and feed.process.poll() is not None:
                return
            if now - shown >= REFRESH_S:
                shown = now
                with suppress(DependencyError):  # of a broker that stands still the last number is shown again
                    ticks = sum(offsets.ends().values())
                display.show(now - run.trading_began, ticks, run.tally, run.first_fill_s)
    finally:
        offsets.close()


# --- the end ----------------------------------------------------------------------------------------------------------


def _await(what: str, reached: Any, run: Run) -> None:
    began = time.monotonic()
    while not reached():
        run.supervisor.check()
        if _room(run.directory) < LEAST_BYTES:
            raise _no_room(run.directory)
        if time.monotonic() - max([began, *(child.started for child in run.supervisor.children)]) > DRAIN_S:
            raise DependencyError(f"{what} has not caught up within {DRAIN_S:g} s")
        time.sleep(0.05)


def _caught_up(run: Run, group: str, topics: list[Topic]) -> bool:
    offsets = Offsets(run.kafka, group, [t.name for t in topics])
    try:
        ends, done = offsets.ends(), offsets.committed()
    finally:
        offsets.close()
    return all(done.get(at, 0) >= end for at, end in ends.items())


def _pipeline_caught_up(run: Run) -> None:
    _await("the pipeline", lambda: _caught_up(run, f"pipeline-{BROKER}-0", [MARKET_TICKS, MARKET_CLOCK]), run)


def _wind_down(run: Run, children: dict[str, Child], tail: _Tail) -> None:
    """Stops each flow after it has read what the one before it wrote."""
    stop = run.supervisor.stop
    _must_be_clean("feed", stop(children["feed"]))
    _must_be_clean("pipeline", run.supervisor.end(children["pipeline"], lambda: _pipeline_caught_up(run)))
    _must_be_clean("config", stop(children["config"]))
    _await("the cache", lambda: _caught_up(run, f"cache-{BROKER}", list(outputs(BROKER)[:-1])), run)
    _await("the archive", lambda: _caught_up(run, "archive", [MARKET_TICKS, *outputs(BROKER)]), run)
    _must_be_clean("cache", stop(children["cache"]))
    _must_be_clean("archive", stop(children["archive"]))
    while tail.read():
        pass


def _must_be_clean(name: str, code: int) -> None:
    if code != 0:
        raise DependencyError(f"{name} ended with exit code {code} when asked to stop", remedy="read its log")


def _log_counts(run: Run, tail: _Tail) -> dict[str, int]:
    """Records of every topic, as the log itself says."""
    names = [MARKET_TICKS.name, MARKET_CLOCK.name, *(t.name for t in tail.topics)]
    counts = dict.fromkeys(names, 0)
    for (topic, _), end in end_offsets(run.kafka, names).items():
        counts[topic] += end
    return counts


def _verify(run: Run, counts: dict[str, int]) -> None:
    """The lake, the API and what was read while it ran must agree with the log."""
    from analytics.queries import connect
    from analytics.queries import counts as lake_counts

    lake = lake_counts(connect(run.environment["PANDA_LAKE__PATH"]))
    with urllib.request.urlopen(f"http://{HOST}:{run.options.port}/api/v1/counts", timeout=10) as answer:
        rest: dict[str, int] = json.load(answer)["items"]
    wrong = []
    for topic in (MARKET_TICKS, *outputs(BROKER)):
        expected = counts[topic.name]
        seen = {"lake": lake.get(topic.name, 0)}
        if topic is not MARKET_TICKS:
            seen |= {"rest": rest.get(topic.name, 0), "read": run.tally.counts.get(topic.name, 0)}
        wrong += [f"{topic.name}: {where} {n}, log {expected}" for where, n in seen.items() if n != expected]
    if wrong:
        raise PipelineError("counts differ: " + "; ".join(wrong), remedy=f"keep {run.directory} and report it")


def run(options: DemoOptions) -> None:
    """The command. Raises: `PipelineError` with what went wrong; all children are then stopped."""
    _refuse_wrong_use(options)
    settings: Settings = load()
    stop_on_signals(watched=False)
    calendar = in_force(charges_as_of=options.charges_as_of).calendar
    warn_of_end(calendar)
    data = settings.data_dir.resolve()
    with kept_for_the_result(), unchanged():
        configured = _configured(options)
    with _only_demo(data):
        options = replace(options, port=_free_port(options.port))
        directory = data / "demo"
        _fresh(directory)
        if _room(directory) < LEAST_BYTES:
            raise _no_room(directory)
        display = Display(calendar, live=not options.json, port=options.port)
        running = Run(options, directory, Supervisor(directory / "logs"), display, strategies=len(configured[2]))
        try:
            _start_services(running)
            store = ConfigStore(f"sqlite:///{directory / 'config.sqlite'}")
            store.upgrade()
            store.seed(*configured, check)
            store.close()
            _trade(running)
        except NoRoom:
            raise
        except PipelineError as error:  # whoever failed could not even write why
            if _room(directory) < LEAST_BYTES:
                raise _no_room(directory, after=error) from error
            raise
        finally:
            display.close()
            with suppress(KeyboardInterrupt):
                running.supervisor.stop_all()
                if running.redis is not None:
                    running.redis.stop()


def _trade(running: Run) -> None:
    display = running.display
    display.note("starting")
    children = _start_flows(running)
    running.trading_began = time.monotonic()
    tail = _Tail(running)
    try:
        _watch(running, tail, children["feed"], display)
        seconds = round(time.monotonic() - running.trading_began, 1)
        display.note("stopping")
        _wind_down(running, children, tail)
        counts = _log_counts(running, tail)
        _verify(running, counts)
    finally:
        tail.close()
    summary = {
        "counts": counts, "strategies": running.tally.as_json(), "first_fill_s": running.first_fill_s, "seconds": seconds,
        **({"charges_as_of": running.options.charges_as_of} if running.options.charges_as_of else {}),
    }  # fmt: skip
    display.close()
    if running.options.json:
        print(json.dumps(summary), flush=True)  # noqa: T201 - the promised last line
    else:
        display.summary(summary, running.directory)
