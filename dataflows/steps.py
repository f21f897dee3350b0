"""The steps of a pipeline: a batch of inputs to what leaves for the log.

The steps share one desk (`dataflows.desk`): the shard with its strategies, as configured now. Each works on all of a batch
and hands it on; what a step refuses travels with the batch to the one place that publishes. A marker from the source gathers
the state of gate and desk, which becomes a snapshot after everything decided before it.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np

from connectors.errors import ConfigError, FatalError
from connectors.kafka.decisions import Cut, Published
from connectors.kafka.feed import Received
from connectors.kafka.records import Outgoing, Record, Writable, dead_letter, place, replay_of
from connectors.logging import logger
from dataflows.desk import (
    ALONE,
    CONFIG_TOPICS,
    MAX_MESSAGE,
    PAYLOADS_OF,
    Configuration,
    Desk,
    Refused,
)  # fmt: skip
from dataflows.desk import restored as desk_of
from functions.assignment import Seat
from functions.codec import decode
from functions.events import Command, InstrumentConfig, Payload
from functions.ids import ID_LENGTH
from functions.kernel import records as as_records
from functions.poison import ALREADY_REPLAYED, NO_LIMIT, TRIPPED, Limit, Notice, Watch
from functions.publication import Publication
from functions.quality import PASSED_BY, Bounds, bounds_of, failed, judge, no_ticks_seen, passed_by, reasons
from functions.shard import NO_DECISIONS, Decisions, Shard, StateMismatch
from functions.signals import NO_SIGNALS
from functions.ticks import FAULTS, NO_DEPTH, Rows, copied, depth, ranges
from functions.topics import COMMANDS, MARKET_CLOCK, MARKET_TICKS
from strategies.parameters import StrategyError
from strategies.roster import Failure, same_states
from strategies.states import Unkept

OTHER_STATE: Final = "start the version that wrote it, or with an empty log"
FEED: Final = MARKET_TICKS.name  # its ticks and clocks come in one order, and are counted together
_OF_THE_FEED: Final = (MARKET_TICKS.name, MARKET_CLOCK.name)
OTHER_INSTRUMENTS: Final = "configure again what is held or worked, close it, then take it away"


@dataclass(slots=True)
class Work:
    """A batch on its way: what came in, and what each step made of it."""

    received: Received
    ticks: Rows  # accepted, in order
    records: list[Record]  # that they came from
    dead: list[Outgoing] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)  # that there are many of these
    ended: list[Publication] = field(default_factory=list)  # orders that a change of configuration cancelled
    alerts: list[Publication] = field(default_factory=list)
    signals: Rows = field(default_factory=lambda: NO_SIGNALS)
    decisions: Decisions = NO_DECISIONS
    seen: bytes = b""  # the gate's state, at a marker


class Gate:
    """Drops what no decision may rest on; every dropped record is dead-lettered whole with its reason, and counted.

    A record that was put back passes where it cannot have been decided before: a tick that is later than all of its
    instrument, another record that has not been put back so often already.
    """

    name = "gate"

    def __init__(self, instruments: int, bounds: Bounds) -> None:
        self.seen = no_ticks_seen(instruments)
        self._bounds = bounds
        self.watch = Watch()
        self.dropped: dict[str, int] = {}
        self._untold: dict[str, int] = {}  # dropped since the last marker, by topic and reason

    def __call__(self, received: Received) -> Work:
        work = Work(received, received.ticks, received.records)
        if received.broken or received.events:
            self._beside(work)
        if len(received.ticks):
            ticks = received.ticks if received.ticks.flags.writeable else copied(received.ticks)
            work.ticks = ticks
            if self._judge(ticks, received):
                self._drop(work, ticks)
            else:
                self.watch.passed(FEED, len(ticks), int(ticks["time"][-1]))
        if received.marker is not None:
            work.seen = self.to_bytes()
            self._tell()
        return work

    def _judge(self, ticks: Rows, received: Received) -> int:
        """Writes the quality of every row; returns how many failed."""
        if not received.replayed:
            return judge(as_records(ticks), as_records(self.seen), *self._bounds)
        count = 0
        for n, record in enumerate(received.records):
            row = ticks[n : n + 1]
            if replay_of(record) is not None and passed_by(row, self.seen):
                row["quality"] = PASSED_BY
                count += 1
            else:
                count += judge(as_records(row), as_records(self.seen), *self._bounds)
        return count

    def _drop(self, work: Work, ticks: Rows) -> None:
        quality, times = (ticks["quality"] & FAULTS).tolist(), ticks["time"].tolist()
        self.watch.passed(FEED, len(quality))
        time = None
        for n, (bits, record) in enumerate(zip(quality, work.records, strict=True)):
            if bits:
                names = reasons(bits)
                self._dead(work, record, names[0], ", ".join(names), time, back=len(quality) - 1 - n)
            else:
                time = times[n]
        self.watch.passed(FEED, 0, time)
        work.ticks = ticks[~failed(ticks)]
        work.records = [record for bits, record in zip(quality, work.records, strict=True) if not bits]

    def _beside(self, work: Work) -> None:
        """What has no place among the ticks: records that nobody can read, commands and configuration."""
        received = work.received
        for broken in received.broken:
            self.watch.passed(_counted_as(broken.record), 1)
            self._dead(work, broken.record, broken.error, broken.message)
        kept = [(record, event) for record, event in received.events if not self._again(work, record)]
        if len(kept) < len(received.events):
            work.received = replace(received, events=kept)

    def _again(self, work: Work, record: Record) -> bool:
        self.watch.passed(record.topic, 1)
        replay = replay_of(record)
        if replay is None or not self.watch.is_replayed_again(*replay):
            return False
        original, attempts = replay
        message = f"{original} has been put back after attempt {attempts} before"
        self._dead(work, record, ALREADY_REPLAYED, message, attempts=attempts)  # which was none: the number stays
        return True

    def _dead(
        self, work: Work, record: Record, error: str, message: str, time: int | None = None, *, back: int = 0,
        attempts: int | None = None,
    ) -> None:  # fmt: skip
        self.dropped[error] = self.dropped.get(error, 0) + 1
        what = f"{record.topic} {error}"
        self._untold[what] = self._untold.get(what, 0) + 1
        work.dead.append(dead_letter(record, "gate", error, message, attempts))
        name = place(record.topic, record.partition, record.offset)
        work.notices += self.watch.letter(_counted_as(record), name, error, time, back=back)

    def _tell(self) -> None:
        if self._untold:
            logger().warning("pipeline.dead_lettered", causes=self._untold)
            self._untold = {}

    def with_instruments(self, index_of: dict[int, int], tokens: list[int]) -> "Gate":
        """The gate of other instruments, which has seen what this one has."""
        gate = Gate(len(tokens), self._bounds)
        gate.dropped = self.dropped
        gate.watch = self.watch
        for n, token in enumerate(tokens):
            if token in index_of:
                gate.seen[n] = self.seen[index_of[token]]
                gate.seen["instrument"][n] = n
        gate.seen[-1] = self.seen[-1]
        return gate

    def to_bytes(self) -> bytes:
        """The last seen ticks, then what has been counted, as one blob."""
        return self.seen.tobytes() + self.watch.to_bytes()

    def load(self, blob: bytes) -> None:
        """Takes over what another gate has seen. Raises: `StateMismatch` where there are more or fewer instruments."""
        size = self.seen.nbytes
        watch = Watch(NO_LIMIT)  # of a blob that was written before there were limits
        try:
            if len(blob) != size:
                watch.load(blob[size:])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateMismatch(f"gate: {len(blob)} bytes in the snapshot, {size} here") from error
        self.watch = watch
        self.seen[...] = np.frombuffer(blob[:size], self.seen.dtype)


def _counted_as(record: Record) -> str:
    return FEED if record.topic in _OF_THE_FEED else record.topic


class Signals:
    """Asks the strategies; a tick that one of them loses is dead-lettered with the strategy's name."""

    name = "signals"

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def __call__(self, work: Work) -> Work:
        for record, event in work.received.events:
            if record.topic in CONFIG_TOPICS:
                self._change(work, record, None if event is None else event.data)
        self.desk.host.place = lambda row: _named(work.records[row])
        work.signals, failures = self.desk.on_batch(work.ticks)
        for failure in failures:
            self._lost(work, failure)
        return work

    def _lost(self, work: Work, failure: Failure) -> None:
        """A tick that a strategy has lost becomes a dead letter; alerts are the first and the one that suspends it."""
        record = work.records[failure.row]
        work.dead.append(dead_letter(record, f"strategy:{failure.strategy}", failure.error, failure.message))
        if failure.count > 1 and not failure.suspended:
            return
        code, severity, ending = "strategy_failed", "warning", "further ticks that it loses are among the dead letters"
        if failure.suspended:
            code, severity, ending = (
                "strategy_suspended",
                "critical",
                f"it has lost {failure.count} ticks and gets no more",
            )
        message = (
            f"{failure.strategy} raised {': '.join(filter(None, (failure.error, failure.message)))} on {_named(record)}; "
            f"{ending}"
        )
        work.alerts.append(
            self.desk.publisher.alert(
                int(work.ticks["time"][failure.row]), f"{code}:{record.partition}:{record.offset}", severity, code, message,
                failure.strategy,
            )
        )  # fmt: skip
        logger().warning(
            f"strategy.{code.removeprefix('strategy_')}", strategy=failure.strategy, error=failure.error,
            message=failure.message, lost=failure.count,
        )  # fmt: skip

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


def _named(record: Record) -> str:
    """A record in an alert."""
    return f"{record.topic}[{record.partition}] at offset {record.offset}"


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
        extents = ranges((r.value or b"" for r in work.records), work.ticks)
        work.decisions = self.shard.run(work.ticks, work.signals, levels, extents)
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
        alerts = [self.desk.publisher.alert(*notice, self.key) for notice in work.notices]
        events: list[Writable] = [*work.ended, *decided, *work.alerts, *alerts, *work.dead]
        marker = work.received.marker
        cut = None if marker is None else Cut({Gate.name: work.seen, **self._state()}, marker)
        poisoned = next((notice.message for notice in work.notices if notice.code == TRIPPED), "")
        return self.key, Published(events, work.received.batch, cut, poisoned)

    def _state(self) -> dict[str, bytes]:
        """Of the desk. A strategy that has come to keep what cannot be kept is suspended, which ends the process."""
        try:
            return self.desk.state()
        except Unkept as unkept:
            self.desk.host.suspend(unkept.strategy, unkept.reason)


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

    def suspend(self, at: int, strategy: str, reason: str) -> list[Writable]:
        """A strategy gets no more ticks, as the journal says at this offset; the alert that says so."""
        self.desk.roster.suspend(strategy)
        now = int(self.desk.shard.shard["now"][0])
        message = f"{strategy} {reason}: it gets no more ticks, until its configuration changes"[:MAX_MESSAGE]
        step = f"strategy_suspended:{at}"
        return [self.desk.publisher.alert(now, step, "critical", "strategy_suspended", message, strategy)]

    def decide(self, received: Received) -> Published:
        """All steps by hand, as the flow does them."""
        return self.publish(self.account(self.signals(self.gate(received))))[1]

    def begin(self, limit: Limit) -> "Parts":
        """A session starts from here, under this limit for dead letters."""
        self.gate.watch.begin(limit)
        return self

    def begun_as(self, other: "Parts") -> "Parts":
        """What a session opened with that went on from here. One that only wrote the state anew let nothing read on."""
        watch = other.gate.watch
        return self if watch.tripped else self.begin(watch.limit)

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


def unlike(ours: dict[str, bytes], theirs: dict[str, bytes]) -> list[str]:
    """The parts of a state in which another one differs."""
    return [
        part
        for part in sorted(theirs)
        if ours.get(part) != theirs.get(part)
        and not (part == Signals.name and same_states(ours.get(part, b""), theirs.get(part, b"")))
    ]


def parts(made_of: Configuration, broker: str, key: str, seat: Seat = ALONE) -> Parts:
    """The steps for this configuration. Raises: `ConfigError` naming what is wrong in it."""
    made = steps(Desk(made_of, broker, seat), key)
    try:
        made.desk.roster.prove()
    except StrategyError as error:
        raise ConfigError(f"configuration cannot run: {error}", remedy="correct the strategy, or disable it") from error
    return made


def steps(desk: Desk, key: str) -> Parts:
    gate = Gate(len(desk.made_of.instruments), bounds_of(desk.shard.tables.calendar))
    return Parts(desk, gate, Signals(desk), Account(desk), Publish(desk, key))


def restored(state: dict[str, bytes], broker: str, key: str, seat: Seat = ALONE) -> Parts:
    """The steps as a snapshot left them, under the configuration that was in force.

    Raises: `FatalError` where the state is not of these steps.
    """
    try:
        made = steps(desk_of(state, broker, seat), key)
        made.gate.load(state[Gate.name])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FatalError(f"the pipeline's snapshot cannot be restored: {error}", remedy=OTHER_STATE) from error
    return made
