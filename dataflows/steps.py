"""The steps of a pipeline: a batch of inputs to what leaves for the log.

The steps share one desk (`dataflows.desk`): the shard with its strategies, as configured now. Each works on all of a batch
and hands it on; what a step refuses travels with the batch to the one place that publishes. A marker from the source gathers
the state of gate and desk, which becomes a snapshot after everything decided before it.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from connectors.errors import FatalError
from connectors.kafka.decisions import Cut, Published
from connectors.kafka.feed import Received
from connectors.kafka.records import Outgoing, Record, Writable, dead_letter
from connectors.logging import logger
from dataflows.desk import (
    ALONE,
    CONFIG_TOPICS,
    PAYLOADS_OF,
    Configuration,
    Desk,
    Refused,
)  # fmt: skip
from dataflows.desk import restored as desk_of
from functions.assignment import Seat
from functions.events import ID_LENGTH, Command, InstrumentConfig, Payload, decode
from functions.kernel import records as as_records
from functions.publication import Publication
from functions.quality import judge, no_ticks_seen, reasons
from functions.shard import NO_DECISIONS, Decisions, Shard, StateMismatch
from functions.signals import NO_SIGNALS
from functions.ticks import NO_DEPTH, Rows, copied, depth
from functions.topics import COMMANDS

MAX_MESSAGE: Final = 1_000  # characters of an alert
OTHER_STATE: Final = "start the version that wrote it, or with an empty log"
OTHER_INSTRUMENTS: Final = "configure again what is held or worked, close it, then take it away"


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
        cut = None if marker is None else Cut({Gate.name: work.seen, **self.desk.state()}, marker)
        return self.key, Published(events, work.received.batch, cut)


def _id_of(record: Record) -> str:
    """A tick's id: cut from the raw bytes where the writer put it first, as ours does; else decoded.

    What is no id never came this far (`events.ID_PATTERN`), so all of them are as long.
    """
    raw = record.value or b""
    return raw[7 : 7 + ID_LENGTH].decode() if raw.startswith(b'{"id":"') else decode(raw).id


# --- from configuration -----------------------------------------------------------------------------------------------


@dataclass
class Parts:
    """The steps of one shard, made from its configuration."""

    desk: Desk
    gate: Gate
    signals: Signals
    account: Account
    publish: Publish

    @property
    def index_of(self) -> dict[int, int]:
        return self.account.shard.index_of

    def state(self) -> dict[str, bytes]:
        """What the steps keep, as at a marker."""
        return {Gate.name: self.gate.to_bytes(), **self.desk.state()}

    def decide(self, received: Received) -> Published:
        """All steps by hand, as the flow does them."""
        return self.publish(self.account(self.signals(self.gate(received))))[1]

    def with_instruments(self, instruments: list[InstrumentConfig]) -> "Parts":
        """The same state with other instruments. Raises: `FatalError` where one that is held or worked is missing."""
        if instruments == self.desk.made_of.instruments:
            return self
        try:
            made = steps(self.desk.with_instruments(instruments), self.publish.key)
        except ValueError as error:
            raise FatalError(
                f"the state cannot go on with other instruments: {error}", remedy=OTHER_INSTRUMENTS
            ) from error
        made.gate = self.gate.with_instruments(self.index_of, [i.instrument_token for i in instruments])
        return made


def parts(made_of: Configuration, broker: str, key: str, seat: Seat = ALONE) -> Parts:
    """The steps for this configuration. Raises: `ConfigError` naming what is wrong in it."""
    return steps(Desk(made_of, broker, seat), key)


def steps(desk: Desk, key: str) -> Parts:
    return Parts(desk, Gate(len(desk.made_of.instruments)), Signals(desk), Account(desk), Publish(desk, key))


def restored(state: dict[str, bytes], broker: str, key: str, seat: Seat = ALONE) -> Parts:
    """The steps as a snapshot left them, under the configuration that was in force.

    Raises: `FatalError` where the state is not of these steps.
    """
    try:
        made = steps(desk_of(state, broker, seat), key)
        made.gate.load(state[Gate.name])
    except (ValueError, KeyError, TypeError, msgspec.DecodeError) as error:
        raise FatalError(f"the pipeline's snapshot cannot be restored: {error}", remedy=OTHER_STATE) from error
    return made
