"""Pipeline: market data in, decisions out; one shard of accounts of one broker.

    inputs ─► gate ─► signals ─► account ─► publish ─► decisions
      │        └────────┴───────────┴──► dead letters ─┘
      └ ticks, clocks, commands, configuration, in the feed's order

An item is a batch. Each step works on all of it and hands it on; what a step refuses travels with the batch to the one
place that publishes. A marker from the source gathers the state of every step, which the sink writes as one snapshot
after everything decided before it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import bytewax.operators as op
import msgspec
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from connectors.errors import ConfigError, FatalError
from connectors.kafka.decisions import DecisionSink, Published
from connectors.kafka.feed import FeedSource, Marker, Received
from connectors.kafka.records import Outgoing, Record, Writable, dead_letter
from connectors.kafka.source import KafkaSource, end_offsets, fetch_all
from connectors.logging import logger
from connectors.settings import Settings
from connectors.settings import load as load_settings
from dataflows.process import ready, stop_on_signals, stopping
from functions.configuration import validate
from functions.events import ID_LENGTH, AccountConfig, Command, InstrumentConfig, StrategyConfig, decode
from functions.kernel import records as as_records
from functions.publication import Publication, Publisher
from functions.quality import judge, no_ticks_seen, reasons
from functions.shard import NO_DECISIONS, Decisions, Shard, StateMismatch
from functions.signals import NO_SIGNALS
from functions.ticks import NO_DEPTH, Rows, copied, depth
from functions.topics import (
    COMMANDS,
    CONFIG_ACCOUNTS,
    CONFIG_INSTRUMENTS,
    CONFIG_STRATEGIES,
    MARKET_CLOCK,
    MARKET_TICKS,
    PIPELINE_SNAPSHOTS,
)  # fmt: skip
from strategies.protocol import StrategyError
from strategies.roster import Roster

SNAPSHOT_VERSION: Final = 1


@dataclass(slots=True)
class Work:
    """A batch on its way: what came in, and what each step made of it."""

    received: Received
    ticks: Rows  # accepted, in order
    records: list[Record]  # that they came from
    dead: list[Outgoing] = field(default_factory=list)
    alerts: list[Publication] = field(default_factory=list)
    signals: Rows = field(default_factory=lambda: NO_SIGNALS)
    decisions: Decisions = NO_DECISIONS
    state: dict[str, bytes] = field(default_factory=dict)


class Gate:
    """Drops what no decision may rest on; every dropped record is dead-lettered whole with its reason."""

    name = "gate"

    def __init__(self, instruments: int) -> None:
        self.seen = no_ticks_seen(instruments)
        self.dropped: dict[str, int] = {}

    def __call__(self, received: Received) -> Work:
        work = Work(received, received.ticks, received.records)
        for broken in received.broken:
            work.dead.append(self._dead(broken.record, "gate", broken.error, broken.message))
        if len(received.ticks):
            ticks = received.ticks if received.ticks.flags.writeable else copied(received.ticks)
            work.ticks = ticks
            if judge(as_records(ticks), as_records(self.seen)):
                self._drop(work, ticks)
        if received.marker is not None:
            work.state[self.name] = self.seen.tobytes()
        return work

    def _drop(self, work: Work, ticks: Rows) -> None:
        quality = ticks["quality"].tolist()
        for bits, record in zip(quality, work.records, strict=True):
            if bits:
                names = reasons(bits)
                work.dead.append(self._dead(record, "gate", names[0], ", ".join(names)))
        work.ticks = ticks[ticks["quality"] == 0]
        work.records = [record for bits, record in zip(quality, work.records, strict=True) if not bits]

    def _dead(self, record: Record, step: str, error: str, message: str) -> Outgoing:
        self.dropped[error] = self.dropped.get(error, 0) + 1
        return dead_letter(record, step, error, message)

    def load(self, blob: bytes) -> None:
        """Takes over the last seen ticks. Raises: `StateMismatch` where there are more or fewer instruments."""
        if len(blob) != self.seen.nbytes:
            raise StateMismatch(f"gate: {len(blob)} bytes in the snapshot, {self.seen.nbytes} here")
        self.seen[...] = np.frombuffer(blob, self.seen.dtype)


class Signals:
    """Asks the strategies; a tick on which one raises is dead-lettered with the strategy's name."""

    name = "signals"

    def __init__(self, roster: Roster, publisher: Publisher) -> None:
        self.roster = roster
        self.publisher = publisher

    def __call__(self, work: Work) -> Work:
        work.signals, failures = self.roster.on_batch(work.ticks)
        for failure in failures:
            record = work.records[failure.row]
            work.dead.append(dead_letter(record, f"strategy:{failure.strategy}", failure.error, failure.message))
            time = int(work.ticks["time"][failure.row])
            code = "strategy_suspended" if failure.suspended else "strategy_failed"
            message = (
                f"{failure.strategy} raised {failure.error}: {failure.message} on {record.topic}[{record.partition}]"
            )
            work.alerts.append(
                self.publisher.alert(
                    time, f"{code}:{record.partition}:{record.offset}", "critical" if failure.suspended else "warning",
                    code, f"{message} at offset {record.offset}", failure.strategy,
                )
            )  # fmt: skip
            logger().warning("strategy.failed", strategy=failure.strategy, error=failure.error, message=failure.message)
        if work.received.marker is not None:
            work.state[self.name] = self.roster.to_bytes()
        return work


class Account:
    """The account's fold; commands act before the ticks of their batch."""

    name = "account"

    def __init__(self, shard: Shard, broker: str, publisher: Publisher) -> None:
        self.shard = shard
        self.commands = COMMANDS.of(broker).name
        self.publisher = publisher
        self.walks_depth = bool(shard.venues["walk_depth"].any())

    def __call__(self, work: Work) -> Work:
        for record, event in work.received.events:
            if event is None or record.topic != self.commands:
                self._configuration_changed(work, record)
            elif isinstance(event.data, Command):
                self._command(work, record, event.data)
            else:
                work.dead.append(dead_letter(record, "account", "unexpected_event", f"{event.type} is no command"))
        levels = depth((r.value for r in work.records), len(work.records)) if self.walks_depth else NO_DEPTH
        work.decisions = self.shard.run(work.ticks, work.signals, levels)
        if work.received.marker is not None:
            work.state[self.name] = self.shard.to_bytes()
        return work

    def _command(self, work: Work, record: Record, command: Command) -> None:
        if command.account not in self.shard.account_names:
            return  # another shard's
        match command.command:
            case "kill" | "resume":
                self.shard.kill(command.account, command.command == "kill")
            case "arm" | "disarm":
                self.shard.arm(command.account, command.command == "arm")
            case _:
                work.dead.append(dead_letter(record, "account", "unsupported_command", command.command))
                return
        code = f"command_{command.command}"
        message = f"{command.command} by {command.issued_by}: {command.reason or 'no reason given'}"
        step = f"{code}:{record.offset}"
        work.alerts.append(
            self.publisher.alert(int(self.shard.shard["now"][0]), step, "warning", code, message, command.account)
        )

    def _configuration_changed(self, work: Work, record: Record) -> None:
        """Configuration is read at the start; a later change says that it waits for the next one."""
        message = f"{record.topic} changed at offset {record.offset}: it takes effect at the next start of the pipeline"
        step = f"{record.topic}:{record.offset}"
        now = int(self.shard.shard["now"][0])
        work.alerts.append(self.publisher.alert(now, step, "warning", "configuration_changed", message, record.topic))


class Publish:
    """Rows to events; the only place that knows what leaves the pipeline."""

    name = "publish"

    def __init__(self, publisher: Publisher, key: str) -> None:
        self.publisher = publisher
        self.key = key

    def __call__(self, work: Work) -> tuple[str, Published]:
        records = work.records
        decided = self.publisher.publish(work.ticks, work.signals, work.decisions, lambda row: _id_of(records[row]))
        events: list[Writable] = [*decided, *work.alerts, *work.dead]
        marker = work.received.marker
        if marker is None:
            return self.key, Published(events)
        work.state[self.name] = self.publisher.to_bytes()
        return self.key, Published(events, self._snapshot(work.state, marker))

    def _snapshot(self, state: dict[str, bytes], marker: Marker) -> Outgoing:
        blob = msgspec.msgpack.encode(
            {
                "version": SNAPSHOT_VERSION,
                "positions": [[topic, partition, offset] for (topic, partition), offset in marker.positions.items()],
                "session": marker.session,
                "following": marker.following,
                "state": state,
            }
        )
        return Outgoing(PIPELINE_SNAPSHOTS.name, self.key.encode(), blob)


def _id_of(record: Record) -> str:
    """A tick's id: cut from the raw bytes where the writer put it first, as ours does; else decoded.

    What is no id never came this far (`events.ID_PATTERN`), so all of them are as long.
    """
    raw = record.value or b""
    return raw[7 : 7 + ID_LENGTH].decode() if raw.startswith(b'{"id":"') else decode(raw).id


def build(
    inputs: Source[tuple[str, Received]], decisions: Sink[tuple[str, Published]], gate: Gate, signals: Signals,
    account: Account, publish: Publish,
) -> Dataflow:  # fmt: skip
    """The graph of this module's docstring."""
    flow = Dataflow("pipeline")
    received = op.input("inputs", flow, inputs)
    gated = op.map("gate", received, lambda item: gate(item[1]))
    wanted = op.map("signals", gated, signals)
    decided = op.map("account", wanted, account)
    published = op.map("publish", decided, publish)
    op.output("decisions", published, decisions)
    return flow


# --- the parts, from configuration ------------------------------------------------------------------------------------


@dataclass
class Configuration:
    """What a shard needs to know before its first tick; enabled things only, in a stable order."""

    instruments: list[InstrumentConfig]
    accounts: list[AccountConfig]
    strategies: list[StrategyConfig]


def configuration(events: Sequence[tuple[str, bytes | None, Any]], broker: str) -> Configuration:
    """The newest configuration of each key: `(topic, key, payload or None for deleted)` in log order."""
    newest: dict[tuple[str, bytes | None], Any] = {}
    for topic, key, payload in events:
        newest[topic, key] = payload
    payloads = [payload for payload in newest.values() if payload is not None]
    accounts = [p for p in payloads if isinstance(p, AccountConfig) and p.broker == broker and p.enabled]
    names = {account.account for account in accounts}
    strategies = [
        msgspec.structs.replace(p, accounts=[a for a in p.accounts if a in names])
        for p in payloads
        if isinstance(p, StrategyConfig) and p.enabled and names & set(p.accounts)
    ]
    instruments = sorted((p for p in payloads if isinstance(p, InstrumentConfig)), key=lambda i: i.instrument_token)
    return Configuration(
        instruments, sorted(accounts, key=lambda a: a.account), sorted(strategies, key=lambda s: s.strategy)
    )


@dataclass
class Parts:
    """The steps of one shard, made from its configuration."""

    gate: Gate
    signals: Signals
    account: Account
    publish: Publish
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    session: int = -1
    following: int = 0

    @property
    def index_of(self) -> dict[int, int]:
        return self.account.shard.index_of

    def load(self, blob: bytes) -> None:
        """Takes over a snapshot. Raises: `FatalError` where it belongs to another version or configuration."""
        try:
            snapshot = msgspec.msgpack.decode(blob)
            if snapshot["version"] != SNAPSHOT_VERSION:
                raise StateMismatch(f"version {snapshot['version']}, this code writes {SNAPSHOT_VERSION}")
            state = snapshot["state"]
            self.account.shard.load(state["account"])
            self.gate.load(state["gate"])
            self.signals.roster.load(state["signals"])
            self.publish.publisher.load(state["publish"])
        except (StateMismatch, StrategyError, KeyError, msgspec.DecodeError) as error:
            raise FatalError(
                f"the pipeline's snapshot does not fit this configuration: {error}",
                remedy="start with the configuration it was written under, or with an empty log",
            ) from error
        self.positions = {(topic, partition): offset for topic, partition, offset in snapshot["positions"]}
        self.session, self.following = snapshot["session"], snapshot["following"]


def parts(configured: Configuration, broker: str, key: str) -> Parts:
    """The steps for this configuration. Raises: `ConfigError` naming what is wrong in it."""
    if not configured.accounts:
        raise ConfigError(f"no enabled {broker} account is configured", remedy="panda db seed, or add one")
    faults = validate(configured.instruments, configured.accounts, configured.strategies)
    if faults:  # the log may have had other writers than our store
        raise ConfigError(f"configuration cannot run: {'; '.join(faults)}", remedy="correct it in the config store")
    try:
        shard = Shard(configured.instruments, configured.accounts, configured.strategies)
        roster = Roster(configured.instruments, configured.strategies)
    except ValueError as error:
        raise ConfigError(f"configuration cannot run: {error}", remedy="correct it in the config store") from error
    publisher = Publisher(shard, broker)
    return Parts(
        Gate(len(configured.instruments)),
        Signals(roster, publisher),
        Account(shard, broker, publisher),
        Publish(publisher, key),
    )


def input_topics(broker: str) -> list[str]:
    """What a pipeline reads; configuration it has read before."""
    return [MARKET_TICKS.name, MARKET_CLOCK.name, COMMANDS.of(broker).name, *CONFIG_TOPICS]


CONFIG_TOPICS: Final = (CONFIG_INSTRUMENTS.name, CONFIG_ACCOUNTS.name, CONFIG_STRATEGIES.name)


def read_configuration(settings: Settings, broker: str, *, wait_s: float = 30.0) -> Configuration:
    """The configuration on the log, waiting until there is an account to trade for.

    Raises: `ConfigError` when nothing has been configured within `wait_s` seconds.
    """
    deadline = time.monotonic() + wait_s
    while True:
        records = list(fetch_all(settings.kafka, list(CONFIG_TOPICS)))
        configured = configuration(
            [(r.topic, r.key, decode(r.value).data if r.value else None) for r in records], broker
        )
        if configured.accounts and configured.instruments:
            return configured
        if time.monotonic() > deadline:
            raise ConfigError(
                f"no {broker} account or no instrument is on the log after {wait_s:g} s",
                remedy="run `panda db seed` and keep `panda run config` running",
            )
        logger().info("pipeline.waiting_for_configuration", accounts=len(configured.accounts))
        time.sleep(0.2)


def newest_snapshot(settings: Settings, key: str) -> bytes | None:
    """The last state that this shard wrote, if there is one."""
    newest: bytes | None = None
    for record in fetch_all(settings.kafka, [PIPELINE_SNAPSHOTS.name]):
        if record.key == key.encode():
            newest = record.value
    return newest


def live(
    settings: Settings, *, broker: str = "paper", shard: int = 0, stop: Callable[[], bool] = stopping,
    until_end: bool = False,
) -> Dataflow:  # fmt: skip
    """The flow on the broker of these settings, going on where its last snapshot ends.

    With `until_end` it ends where the log ended at the start, holding nothing back.
    """
    key = f"{broker}-{shard}"
    configured_until = end_offsets(settings.kafka, list(CONFIG_TOPICS))  # asked first: a change in between is told
    made = parts(read_configuration(settings, broker), broker, key)
    blob = newest_snapshot(settings, key)
    if blob is not None:
        made.load(blob)
        logger().info("pipeline.restored", session=made.session, sequence=made.following, positions=len(made.positions))
    made.positions |= configured_until
    raw = KafkaSource(
        settings.kafka, input_topics(broker), group=f"pipeline-{key}", key=key, positions=lambda: made.positions, stop=stop,
        until_end=until_end, on_live=ready,
    )  # fmt: skip
    inputs = FeedSource(
        raw, made.index_of, key, positions=made.positions, session=made.session, following=made.following, drain=until_end
    )  # fmt: skip
    return build(inputs, DecisionSink(settings.kafka), made.gate, made.signals, made.account, made.publish)


def __getattr__(name: str) -> Any:
    """`flow`, made when it is asked for, so that `python -m bytewax.run dataflows.pipeline` works."""
    if name == "flow":
        stop_on_signals()
        return live(load_settings())
    raise AttributeError(name)
