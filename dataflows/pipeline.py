"""Pipeline: market data in, decisions out; one shard of accounts of one broker.

    inputs ─► gate ─► decide: signals ─► account ─► publish ─► decisions
      │        └─────────────────┴──────────┴──► dead letters ─┘
      └ ticks, clocks, commands, configuration, in the feed's order

The steps share one desk (`dataflows.desk`): the shard with its strategies, as configured now.

An item is a batch. Each step works on all of it and hands it on; what a step refuses travels with the batch to the one
place that publishes. A marker from the source gathers the state of gate and desk, which the sink writes as one snapshot
after everything decided before it.
"""

import atexit
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import bytewax.operators as op
import msgspec
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from connectors import lease
from connectors.errors import ConfigError, FatalError
from connectors.kafka.decisions import DecisionSink, Published
from connectors.kafka.feed import FeedSource, Marker, Received
from connectors.kafka.records import Outgoing, Record, Writable, dead_letter
from connectors.kafka.source import KafkaSource, end_offsets, fetch_all
from connectors.logging import logger
from connectors.settings import Settings
from connectors.settings import load as load_settings
from dataflows.desk import (
    ALONE,
    CONFIG_TOPICS,
    PAYLOADS_OF,
    Configuration,
    Desk,
    Refused,
    accounts_of,
    configuration,
)
from dataflows.desk import restored as desk_of
from dataflows.process import ready, stop_on_signals, stopping
from functions.assignment import Seat
from functions.events import ID_LENGTH, Command, InstrumentConfig, Payload, decode
from functions.kernel import records as as_records
from functions.publication import Publication
from functions.quality import judge, no_ticks_seen, reasons
from functions.shard import NO_DECISIONS, Decisions, Shard, StateMismatch
from functions.signals import NO_SIGNALS
from functions.ticks import NO_DEPTH, Rows, copied, depth
from functions.topics import (
    COMMANDS,
    CONFIG_INSTRUMENTS,
    MARKET_CLOCK,
    MARKET_TICKS,
    PIPELINE_SNAPSHOTS,
)  # fmt: skip

SNAPSHOT_VERSION: Final = 2
MAX_MESSAGE: Final = 1_000  # characters of an alert
OTHER_SNAPSHOT: Final = "start the version that wrote it, or with the instruments it holds, or with an empty log"
CONFIGURE: Final = "`panda db seed`, or enable an account; without Connect keep `panda run config` running"


@dataclass(slots=True)
class Work:
    """A batch on its way: what came in, and what each step made of it."""

    received: Received
    ticks: Rows  # accepted, in order
    records: list[Record]  # that they came from
    dead: list[Outgoing] = field(default_factory=list)
    ended: list[Publication] = field(default_factory=list)  # orders that a change of configuration cancelled
    alerts: list[Publication] = field(default_factory=list)
    signals: Rows = field(default_factory=lambda: NO_SIGNALS)
    decisions: Decisions = NO_DECISIONS
    seen: bytes = b""  # the gate's state, at a marker


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
            work.seen = self.to_bytes()
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

    def with_instruments(self, index_of: dict[int, int], tokens: list[int]) -> "Gate":
        """The gate of other instruments, which has seen what this one has."""
        gate = Gate(len(tokens))
        gate.dropped = self.dropped
        for n, token in enumerate(tokens):
            if token in index_of:
                gate.seen[n] = self.seen[index_of[token]]
                gate.seen["instrument"][n] = n
        gate.seen[-1] = self.seen[-1]
        return gate

    def to_bytes(self) -> bytes:
        """The last seen ticks as one blob."""
        return self.seen.tobytes()

    def load(self, blob: bytes) -> None:
        """Takes over the last seen ticks. Raises: `StateMismatch` where there are more or fewer instruments."""
        if len(blob) != self.seen.nbytes:
            raise StateMismatch(f"gate: {len(blob)} bytes in the snapshot, {self.seen.nbytes} here")
        self.seen[...] = np.frombuffer(blob, self.seen.dtype)


class Signals:
    """Asks the strategies; a tick on which one raises is dead-lettered with the strategy's name."""

    name = "signals"

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def __call__(self, work: Work) -> Work:
        for record, event in work.received.events:
            if record.topic in CONFIG_TOPICS:
                self._change(work, record, None if event is None else event.data)
        work.signals, failures = self.desk.on_batch(work.ticks)
        for failure in failures:
            record = work.records[failure.row]
            work.dead.append(dead_letter(record, f"strategy:{failure.strategy}", failure.error, failure.message))
            time = int(work.ticks["time"][failure.row])
            code = "strategy_suspended" if failure.suspended else "strategy_failed"
            message = (
                f"{failure.strategy} raised {failure.error}: {failure.message} on {record.topic}[{record.partition}]"
            )
            work.alerts.append(
                self.desk.publisher.alert(
                    time, f"{code}:{record.partition}:{record.offset}", "critical" if failure.suspended else "warning",
                    code, f"{message} at offset {record.offset}", failure.strategy,
                )
            )  # fmt: skip
            logger().warning("strategy.failed", strategy=failure.strategy, error=failure.error, message=failure.message)
        return work

    def _change(self, work: Work, record: Record, payload: Payload | None) -> None:
        """A configuration record takes effect here, before the ticks of its batch, or is refused; both are told."""
        name = (record.key or b"").decode(errors="backslashreplace")
        try:
            if payload is not None and not isinstance(payload, PAYLOADS_OF[record.topic]):
                raise Refused(f"{type(payload).__name__} is no configuration of {record.topic}")
            changed, ended = self.desk.change(record.topic, record.key or b"", payload)
        except Refused as refused:
            self._tell(work, record, name, "warning", "configuration_refused", f"{refused}: what was before goes on")
            work.dead.append(dead_letter(record, "configuration", "refused", str(refused)))
            return
        work.ended += ended
        if changed:
            self._tell(work, record, name, "info", "configuration_applied", changed)

    def _tell(self, work: Work, record: Record, name: str, severity: str, code: str, what: str) -> None:
        now = int(self.desk.shard.shard["now"][0])
        step = f"{record.topic}:{record.offset}"
        message = f"{record.topic} {name} at offset {record.offset}: {what}"[:MAX_MESSAGE]
        work.alerts.append(self.desk.publisher.alert(now, step, severity, code, message, name))
        logger().info(f"pipeline.{code}", topic=record.topic, key=name, offset=record.offset, what=what[:MAX_MESSAGE])


class Account:
    """The account's fold; commands act before the ticks of their batch."""

    name = "account"

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.commands = COMMANDS.of(desk.broker).name

    @property
    def shard(self) -> Shard:
        return self.desk.shard

    def __call__(self, work: Work) -> Work:
        for record, event in work.received.events:
            if record.topic != self.commands or event is None:
                continue  # configuration, which took effect before the signals
            if isinstance(event.data, Command):
                self._command(work, record, event.data)
            else:
                work.dead.append(dead_letter(record, "account", "unexpected_event", f"{event.type} is no command"))
        walks = self.shard.walks_depth
        levels = depth((r.value for r in work.records), len(work.records)) if walks else NO_DEPTH
        work.decisions = self.shard.run(work.ticks, work.signals, levels)
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
            self.desk.publisher.alert(int(self.shard.shard["now"][0]), step, "warning", code, message, command.account)
        )


class Publish:
    """Rows to events; the only place that knows what leaves the pipeline."""

    name = "publish"

    def __init__(self, desk: Desk, key: str) -> None:
        self.desk = desk
        self.key = key

    def __call__(self, work: Work) -> tuple[str, Published]:
        records = work.records
        decided = self.desk.publisher.publish(
            work.ticks, work.signals, work.decisions, lambda row: _id_of(records[row])
        )
        events: list[Writable] = [*work.ended, *decided, *work.alerts, *work.dead]
        marker = work.received.marker
        if marker is None:
            return self.key, Published(events)
        state = {Gate.name: work.seen, **self.desk.state()}
        snapshot = Outgoing(PIPELINE_SNAPSHOTS.name, self.key.encode(), encoded_snapshot(state, marker))
        return self.key, Published(events, snapshot)


def encoded_snapshot(state: dict[str, bytes], marker: Marker) -> bytes:
    """The state of every step and where on the log it belongs, as one blob with its version."""
    return msgspec.msgpack.encode(
        {
            "version": SNAPSHOT_VERSION,
            "positions": [[topic, partition, offset] for (topic, partition), offset in marker.positions.items()],
            "session": marker.session,
            "following": marker.following,
            "state": state,
        }
    )


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
    # One step: a map works through all that has come before the next one begins, and a batch that changes the
    # configuration must not change it for the batches before it.
    decided = op.map("decide", gated, lambda work: publish(account(signals(work))))
    op.output("decisions", decided, decisions)
    return flow


# --- the parts, from configuration ------------------------------------------------------------------------------------


@dataclass
class Parts:
    """The steps of one shard, made from its configuration."""

    desk: Desk
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

    def state(self) -> dict[str, bytes]:
        """What the steps keep, as at a marker."""
        return {Gate.name: self.gate.to_bytes(), **self.desk.state()}


def parts(made_of: Configuration, broker: str, key: str, seat: Seat = ALONE) -> Parts:
    """The steps for this configuration. Raises: `ConfigError` naming what is wrong in it."""
    return steps(Desk(made_of, broker, seat), key)


def steps(desk: Desk, key: str) -> Parts:
    return Parts(desk, Gate(len(desk.made_of.instruments)), Signals(desk), Account(desk), Publish(desk, key))


def restored(
    blob: bytes, broker: str, key: str, instruments: list[InstrumentConfig] | None = None, seat: Seat = ALONE
) -> Parts:
    """The steps as a snapshot left them, under the configuration that was in force; with the instruments of today.

    Raises: `FatalError` where the snapshot is of another version, or where an instrument that is held is no more.
    """
    snapshot = _opened(blob)
    try:
        made = steps(desk_of(snapshot["state"], broker, seat), key)
        made.gate.load(snapshot["state"][Gate.name])
        if instruments is not None and instruments != made.desk.made_of.instruments:
            gate = made.gate.with_instruments(made.index_of, [i.instrument_token for i in instruments])
            made = steps(made.desk.with_instruments(instruments), key)
            made.gate = gate
    except (ValueError, KeyError, msgspec.DecodeError) as error:
        raise FatalError(f"the pipeline's snapshot cannot be restored: {error}", remedy=OTHER_SNAPSHOT) from error
    made.positions = {(topic, partition): offset for topic, partition, offset in snapshot["positions"]}
    made.session, made.following = snapshot["session"], snapshot["following"]
    return made


def _opened(blob: bytes) -> dict[str, Any]:
    """A snapshot of this version. Raises: `FatalError`."""
    try:
        snapshot = msgspec.msgpack.decode(blob)
        version = snapshot["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise FatalError(f"the pipeline's snapshot cannot be restored: {error}", remedy=OTHER_SNAPSHOT) from error
    if version != SNAPSHOT_VERSION:
        raise FatalError(
            f"the pipeline's snapshot is of version {version}, this code writes {SNAPSHOT_VERSION}",
            remedy=OTHER_SNAPSHOT,
        )
    return snapshot


def input_topics(broker: str) -> list[str]:
    """What a pipeline reads; configuration it has read before."""
    return [MARKET_TICKS.name, MARKET_CLOCK.name, COMMANDS.of(broker).name, *CONFIG_TOPICS]


def read_configuration(
    settings: Settings, broker: str, seat: Seat = ALONE, *, wait_s: float | None = None,
    stop: Callable[[], bool] = stopping,
) -> Configuration:  # fmt: skip
    """The configuration on the log. Without an account to trade for the flow is live and idle: it waits, and says so once.

    Raises: `ConfigError` when nothing has been configured within `wait_s` seconds; `SystemExit` when it is told to stop.
    """
    began = time.monotonic()
    said = False
    while True:
        records = list(fetch_all(settings.kafka, list(CONFIG_TOPICS)))
        configured = configuration(
            [(r.topic, r.key, decode(r.value).data if r.value else None) for r in records], broker, seat
        )
        if configured.accounts and configured.instruments:
            return configured
        if stop():
            raise SystemExit(0)
        if wait_s is not None and time.monotonic() - began >= wait_s:
            raise ConfigError(f"no {broker} account of shard {seat} or no instrument is on the log", remedy=CONFIGURE)
        if not said:
            logger().warning("pipeline.waiting_for_configuration", shard=str(seat), remedy=CONFIGURE)
            ready()
        said = True
        time.sleep(0.2)


def snapshots(settings: Settings) -> dict[str, bytes]:
    """The last state that each shard wrote, by its key."""
    newest: dict[str, bytes | None] = {}
    for record in fetch_all(settings.kafka, [PIPELINE_SNAPSHOTS.name]):
        newest[(record.key or b"").decode(errors="replace")] = record.value
    return {key: value for key, value in newest.items() if value is not None}


def _nobody_else_has(found: dict[str, bytes], made_of: Configuration, broker: str, key: str) -> None:
    """Raises: `FatalError` where an account of a shard that begins anew has a state in another shard's snapshot."""
    mine = {account.account for account in made_of.accounts}
    for other, blob in found.items():
        if other == key or not other.startswith(f"{broker}-"):
            continue
        theirs = mine & set(accounts_of(_opened(blob)["state"]))
        if theirs:
            raise FatalError(
                f"shard {key} would begin anew with {', '.join(sorted(theirs))}, whose books are in the snapshot of {other}",
                remedy="stop the workers and run `panda shards`, which moves accounts with their books",
            )


def live(
    settings: Settings, *, broker: str = "paper", seat: Seat = ALONE, stop: Callable[[], bool] = stopping,
    until_end: bool = False,
) -> Dataflow:  # fmt: skip
    """The flow on the broker of these settings, going on where its last snapshot ends.

    With `until_end` it ends where the log ended at the start, holding nothing back.
    """
    key = seat.key(broker)
    read_until = end_offsets(settings.kafka, list(CONFIG_TOPICS))  # asked first: a change in between is read again
    found = snapshots(settings)
    blob = found.get(key)
    today = read_configuration(settings, broker, seat)
    if blob is None:
        _nobody_else_has(found, today, broker, key)
        made = parts(today, broker, key, seat)
        made.positions |= read_until
    else:
        made = restored(blob, broker, key, today.instruments, seat)
        made.positions |= {at: end for at, end in read_until.items() if at[0] == CONFIG_INSTRUMENTS.name}
        logger().info("pipeline.restored", session=made.session, sequence=made.following, positions=len(made.positions))
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
    if name != "flow":
        raise AttributeError(name)
    stop_on_signals()
    settings = load_settings()
    held = ExitStack()
    held.enter_context(lease.hold(settings, ALONE.key("paper")))
    atexit.register(held.close)
    globals()["flow"] = live(settings)  # asked again it is the same: its lease cannot be taken twice
    return globals()["flow"]
