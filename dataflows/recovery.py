"""Recovery: a worker goes on where its journal ends, deciding nothing anew.

    fence ─► newest snapshot ─► journal behind it ─► the same batches again ─► outputs that a crash cut off ─► live
               └ gone: the last opening in the journal

Nothing here chooses: the journal says which records were read in which order, the steps decide the same on them, count and
checksum prove it. A difference stops the start (`Diverged`), nothing is written then.
"""

import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, get_args

import msgspec

from connectors.errors import ConfigError, FatalError
from connectors.faults import reached
from connectors.heartbeat import beat, busy, remark
from connectors.kafka.configuration import Configured, read_configuration_topics
from connectors.kafka.decisions import Cut, snapshot_of
from connectors.kafka.feed import Inputs
from connectors.kafka.journal import (
    Archived,
    DecisionLog,
    RunReader,
    journal_ends,
    partitions_of_journal,
    read_lines,
)
from connectors.kafka.records import Record, Writable
from connectors.kafka.source import Positions, end_offsets, fetch_all, first_offsets
from connectors.logging import logger
from connectors.settings import Broker, KafkaSettings, Settings
from dataflows.acceptance import Refusal, accepted, not_in_force, say, told
from dataflows.collecting import collecting_seldom
from dataflows.desk import (
    ALONE,
    CONFIG_TOPICS,
    PAYLOADS_OF,
    Configuration,
    Known,
    accounts_of,
    configuration,
    refuse_unanswered,
)  # fmt: skip
from dataflows.hosts import ReplayHost
from dataflows.process import ready, stopping
from dataflows.steps import Parts, parts, restored, unlike
from dataflows.suspension import FlowHost
from functions.assignment import Seat, journal_partition
from functions.configuration import ANSWERED
from functions.journal import (
    MARK,
    Entry,
    Line,
    Opening,
    Snapshot,
    Start,
    Suspension,
    UnknownFormat,
    checksum,
    decode_snapshot,
    encode_snapshot,
    mark_prefix,
    named,
    standing,
)
from functions.topics import (
    COMMANDS,
    CONFIG_INSTRUMENTS,
    MARKET_CLOCK,
    MARKET_TICKS,
    PIPELINE_JOURNAL,
    PIPELINE_SNAPSHOTS,
    decided,
)  # fmt: skip
from strategies.guest import Host, NoHost
from strategies.states import Unkept

CONFIGURE: Final = "`panda db seed`, or enable an account; without Connect keep `panda run config` running"
NOT_YET: Final = "none may be enabled until an order gateway answers for this broker; docs/runbook.md, Add a broker"
OTHER_VERSION: Final = "start the version that wrote it until it is live, stop it with SIGTERM, then start this one"
SAME_CODE: Final = (
    "a rule or a strategy has changed since: start the version that decided it until it is live, stop it with SIGTERM, "
    "then start this one"
)
BROKERS: Final[tuple[str, ...]] = get_args(Broker)


class Diverged(FatalError):
    """The same inputs in the same order led to something else than what the journal says."""


# --- the log before a start -------------------------------------------------------------------------------------------


def input_topics(broker: str) -> list[str]:
    """What a pipeline reads; configuration it has read before."""
    return [MARKET_TICKS.name, MARKET_CLOCK.name, COMMANDS.of(broker).name, *CONFIG_TOPICS]


class Today(NamedTuple):
    """The newest configuration of every key, and all records that the log has of it."""

    newest: Configuration
    found: list[Configured]


def read_configuration(
    settings: Settings, broker: str, seat: Seat = ALONE, *, wait_s: float | None = None,
    stop: Callable[[], bool] = stopping,
) -> Today:  # fmt: skip
    """The configuration on the log. Without an account to trade for the flow is live and idle: it waits, and says so once.

    Raises: `ConfigError` when nothing has been configured within `wait_s` seconds, and for an account of a broker that no
    gateway answers for; `SystemExit` when it is told to stop.
    """
    began = time.monotonic()
    remedy = CONFIGURE if broker in ANSWERED else NOT_YET
    said = False
    while True:
        found = read_configuration_topics(settings.kafka, PAYLOADS_OF)
        configured = configuration([(each.record.topic, each.record.key, each.payload) for each in found], broker, seat)
        refuse_unanswered(configured.accounts)
        if configured.accounts and configured.instruments:
            remark("configuration", str)
            return Today(configured, found)
        if stop():
            raise SystemExit(0)
        if wait_s is not None and time.monotonic() - began >= wait_s:
            raise ConfigError(f"no {broker} account of shard {seat} or no instrument is on the log", remedy=remedy)
        if not said:
            logger().warning("pipeline.waiting_for_configuration", shard=str(seat), remedy=remedy)
            remark("configuration", lambda: f"waits for an account and an instrument: {remedy}")
            ready()
        said = True
        time.sleep(0.2)


def snapshots(settings: Settings) -> dict[str, bytes]:
    """The last state that each shard wrote, by its key."""
    newest: dict[str, bytes | None] = {}
    for record in fetch_all(settings.kafka, [PIPELINE_SNAPSHOTS.name]):
        newest[(record.key or b"").decode(errors="replace")] = record.value
    return {key: value for key, value in newest.items() if value is not None}


def decoded(blob: bytes) -> Snapshot:
    """Raises: `FatalError` where it is no snapshot, or of no version that this code knows."""
    try:
        return decode_snapshot(blob)
    except UnknownFormat as error:
        raise FatalError(f"the pipeline's snapshot cannot be restored: {error}", remedy=OTHER_VERSION) from error


def _nobody_else_has(found: dict[str, bytes], made_of: Configuration, broker: str, key: str) -> None:
    """Raises: `FatalError` where an account of a shard that begins anew has a state in another shard's snapshot."""
    mine = {account.account for account in made_of.accounts}
    for other, blob in found.items():
        if other == key or not other.startswith(f"{broker}-"):
            continue
        theirs = mine & set(accounts_of(decoded(blob).state))
        if theirs:
            raise FatalError(
                f"shard {key} would begin anew with {', '.join(sorted(theirs))}, whose books are in the snapshot of {other}",
                remedy="stop the workers and run `panda shards`, which moves accounts with their books",
            )


def inputs_at(snapshot: Snapshot, key: str, broker: str, made: Parts, held: list[Record]) -> Inputs:
    """What these steps have read at a snapshot; `held` waits for its turn. Raises: `Diverged` where it does no longer."""
    inputs = Inputs(
        input_topics(broker), made.index_of, positions=positions_of(snapshot.positions), session=snapshot.feed_session,
        following=snapshot.following,
    )  # fmt: skip
    try:
        inputs.hold(held)
    except ValueError as error:
        raise Diverged(f"shard {key}: {error}", remedy=SAME_CODE) from error
    return inputs


# --- going on from line to line ---------------------------------------------------------------------------------------


class Fold:
    """The steps at one place of the journal, with the inputs that they have read."""

    def __init__(
        self, snapshot: Snapshot, broker: str, key: str, seat: Seat, read: Callable[..., list[Record]],
        host: Host | None = None,
    ) -> None:  # fmt: skip
        """`read` gives the records of a run; `host` looks after the strategies."""
        self._host = host or NoHost()
        self.broker, self.key, self.seat = broker, key, seat
        self._read = read
        self.entries = self.records = 0
        self.topics = snapshot.topics
        self._goes_on_as(restored(snapshot.state, broker, key, seat))
        self.inputs = self._inputs(snapshot)

    def _goes_on_as(self, made: Parts) -> None:
        self.made = made
        self.made.desk.host = self._host

    def _inputs(self, snapshot: Snapshot) -> Inputs:
        held = [record for run in snapshot.held for record in self._read(*run)]
        return inputs_at(snapshot, self.key, self.broker, self.made, held)

    def entry(self, at: int, entry: Entry) -> list[Writable]:
        """Reads and decides the batches of an entry again; what they led to. Raises: `Diverged`."""
        events: list[Writable] = []
        self.entries += 1
        self.records += sum(batch.count for batch in entry.batches)
        for batch in entry.batches:
            records = [record for run in named(batch, self.topics) for record in self._read(*run)]
            if len(records) != batch.count:
                raise Diverged(
                    f"entry {at} of shard {self.key} read {batch.count} records, the log has {len(records)} of them",
                    remedy="a topic has lost records: keep inputs as long as the journal (functions/topics.py)",
                )
            events += self.made.decide(self.inputs.receive(records, partial(bool, batch.given_up))).events
        found = (len(events), checksum(event[2] for event in events))
        if found != (entry.outputs, entry.checksum):
            raise Diverged(
                f"entry {at} of shard {self.key} led to {entry.outputs} events with checksum {entry.checksum}, now to "
                f"{found[0]} with {found[1]}", remedy=SAME_CODE,
            )  # fmt: skip
        return events

    def suspension(self, at: int, suspension: Suspension) -> list[Writable]:
        """Goes on without a strategy; what that led to."""
        return self.made.suspend(at, suspension.strategy, suspension.reason)

    def opening(self, at: int, opening: Opening) -> None:
        """Goes on as the next session did, which is this state with the instruments of its day. Raises: `Diverged`."""
        snapshot = unpacked(opening)
        there = restored(snapshot.state, self.broker, self.key, self.seat)
        if opening.anew:
            self._goes_on_as(there)
            self.inputs = self._inputs(snapshot)
            return
        here = self.made.with_instruments(there.desk.made_of.instruments).begun_as(there)
        if unlike(here.state(), there.state()):
            raise Diverged(
                f"the state that shard {self.key} opened with at {at} is not the one before", remedy=SAME_CODE
            )
        self._goes_on_as(here)
        self.inputs = inputs_at(snapshot, self.key, self.broker, here, self.inputs.order.waiting)


def unpacked(opening: Opening) -> Snapshot:
    """Raises: `FatalError` where it holds no snapshot that can be read."""
    try:
        return decoded(zlib.decompress(opening.snapshot))
    except zlib.error as error:
        raise FatalError(f"an opening of the journal cannot be read: {error}", remedy=OTHER_VERSION) from error


def packed_opening(snapshot: Snapshot) -> bytes:
    return zlib.compress(encode_snapshot(snapshot), 1)


def positions_of(places: Iterable[tuple[str, int, int]]) -> Positions:
    return {(topic, partition): offset for topic, partition, offset in places}


@dataclass
class Journal:
    """Where one shard keeps its journal, and what of it counts."""

    kafka: KafkaSettings
    broker: str
    seat: Seat
    partition: int
    archive: Archived | None = None  # of what the log no longer has

    @classmethod
    def of(cls, kafka: KafkaSettings, broker: str, seat: Seat, archive: Archived | None = None) -> "Journal":
        number = journal_partition(BROKERS.index(broker), len(BROKERS), seat, partitions_of_journal(kafka))
        return cls(kafka, broker, seat, number, archive)

    @property
    def key(self) -> str:
        return self.seat.key(self.broker)

    def log(self) -> DecisionLog:
        """A new session. Nothing is written yet."""
        mine = [topic.name for topic in decided(self.broker)]
        return DecisionLog(self.kafka, self.key, self.partition, int.from_bytes(os.urandom(7)), mine)

    def behind(self, snapshot: Snapshot, end: int) -> list[tuple[int, Line]]:
        """The lines that count between a snapshot and `end`. Raises: `FatalError` where its place is another."""
        if snapshot.journal < 0:
            return []  # written before there was a journal: at a clean stop
        if snapshot.partition != self.partition:
            raise FatalError(
                f"shard {self.key} kept its journal in partition {snapshot.partition}, now it would be {self.partition}",
                remedy="topics and shards are to be as they were: undo the change, stop all workers, then `panda shards`",
            )
        return standing(self._lines(snapshot.journal, end), snapshot.session)

    def _lines(self, first: int, end: int) -> Iterator[tuple[int, Line]]:
        return read_lines(self.kafka, self.key, self.partition, first, end, self.archive)

    def openings(self, end: int) -> list[tuple[int, Opening]]:
        """Every state that a session began with, since one that did not follow from the lines before it.

        A shard whose accounts have moved away has none.
        """
        first, _ = journal_ends(self.kafka, self.partition)
        if self.archive is not None:
            archived = self.archive.first(PIPELINE_JOURNAL.name, self.partition)
            first = first if archived is None else min(first, archived)
        openings = [(at, line) for at, line in standing(self._lines(first, end), -1) if isinstance(line, Opening)]
        anew = max((n for n, (_, opening) in enumerate(openings) if opening.anew), default=0)
        return [(at, opening) for at, opening in openings[anew:] if opening.snapshot]


def resumed(
    settings: Settings, journal: Journal, snapshot: Snapshot, end: int,
    each: Callable[[int, list[Writable]], None] = lambda at, events: None,
) -> Fold:  # fmt: skip
    """The steps after every line that counts before `end`; `each` gets what a line has led to again.

    Raises: `FatalError`, `Diverged`.
    """
    lines = journal.behind(snapshot, end)
    began = time.monotonic()
    reader = run_reader(journal, snapshot)
    done = 0
    try:
        with (
            collecting_seldom(),
            busy("journal", lambda: f"decides its journal again: {done:,} of {len(lines):,} lines"),
            ReplayHost(settings.strategies.limit_s) as host,
        ):
            fold = Fold(snapshot, journal.broker, journal.key, journal.seat, reader.take, host)
            for at, line in lines:
                beat()
                done += 1
                if isinstance(line, Start):
                    fold.topics = line.topics
                elif isinstance(line, Opening):
                    fold.opening(at, line)
                elif isinstance(line, Suspension):
                    each(at, fold.suspension(at, line))
                else:
                    each(at, fold.entry(at, line))
    finally:
        reader.close()
    took_ms = int((time.monotonic() - began) * 1000)
    logger().info("pipeline.restored", shard=journal.key, lines=len(lines), records=fold.records, took_ms=took_ms)
    return fold


def run_reader(journal: Journal, snapshot: Snapshot) -> RunReader:
    """Reads from where the snapshot stands, what it holds back included. Raises: `FatalError` where topics have changed."""
    places = positions_of(snapshot.positions)
    for topic, partition, first, _ in snapshot.held:
        places[topic, partition] = min(places[topic, partition], first)
    return RunReader(journal.kafka, input_topics(journal.broker), places, journal.archive)


# --- a start ----------------------------------------------------------------------------------------------------------


@dataclass
class Recovered:
    """A worker about to be live: its steps, what it has read, and its journal, which is open."""

    made: Parts
    inputs: Inputs
    log: DecisionLog


def recover(
    settings: Settings, broker: str, seat: Seat = ALONE, *, stop: Callable[[], bool] = stopping, rebuild: bool = False
) -> Recovered:
    """Fences off every other worker of this shard, goes on where the journal ends, writes what a crash cut off.

    A shard without snapshot and journal begins anew. Raises: `ConfigError`, `DependencyError`, `FatalError`, `Diverged`.
    """
    journal = Journal.of(settings.kafka, broker, seat)
    log = journal.log()  # its clients find their broker meanwhile, which takes half a second
    read_until = end_offsets(settings.kafka, list(CONFIG_TOPICS))  # asked first: a change in between is read again
    today = read_configuration(settings, broker, seat, stop=stop)
    began = log.start(input_topics(broker))  # before anything is read of what others may still be writing
    fold = went_on(settings, journal, log, began, rebuild=rebuild)
    if fold is None:
        _nobody_else_has(snapshots(settings), today.newest, broker, journal.key)
        made, refusals = begun_anew(today, broker, journal.key, seat)
        topics = input_topics(broker)
        inputs = Inputs(topics, made.index_of, positions=first_offsets(settings.kafka, topics) | read_until)
    else:
        made = fold.made.with_instruments(today.newest.instruments)
        moved = {at: end for at, end in read_until.items() if at[0] == CONFIG_INSTRUMENTS.name}
        inputs = fold.inputs.for_steps(made.index_of, moved)
        refusals = not_in_force(made.desk, today.found, inputs.positions)
    if fold is not None:
        say(refusals, made.desk)
    elif refusals:
        log.announce(told(refusals, made.desk, anew=True))
    opened(settings, log, made.begin(settings.dead_letters.limits), inputs)
    made.desk.host = FlowHost(log, settings.strategies.limit_s)
    return Recovered(made, inputs, log)


def begun_anew(
    today: Today, broker: str, key: str, seat: Seat = ALONE, before: Known | None = None
) -> tuple[Parts, list[Refusal]]:
    """The steps under the newest configuration that can run, and what of it was refused. Raises: `ConfigError`."""
    try:
        return parts(today.newest, broker, key, seat), []
    except ConfigError:
        made_of, refusals = accepted(today.newest, today.found, broker, seat, before)
        if not refusals:
            raise
    return parts(made_of, broker, key, seat), refusals


def went_on(settings: Settings, journal: Journal, log: DecisionLog, end: int, *, rebuild: bool = False) -> Fold | None:
    """The steps after all that this shard has decided, with what a crash cut off written; None: it has never begun."""
    snapshot = base_of(settings, journal, end, rebuild=rebuild)
    return None if snapshot is None else completed(settings, journal, log, snapshot, end)


def completed(settings: Settings, journal: Journal, log: DecisionLog, snapshot: Snapshot, end: int) -> Fold:
    """The steps after every line behind a snapshot, with the outputs written that are not on the log."""
    missing = _Missing(journal, snapshot)
    written = 0

    def again(at: int, events: list[Writable]) -> None:
        nonlocal written
        reached("replaying")
        if events:
            written += log.republish(events, at, missing)

    fold = resumed(settings, journal, snapshot, end, again)
    with FlowHost(log, settings.strategies.limit_s) as host:
        fold.made.desk.host = host
        _without_unkept(fold.made, log)
    log.flush()
    if written:
        logger().warning("pipeline.outputs_completed", shard=journal.key, events=written)
    return fold


def _without_unkept(made: Parts, log: DecisionLog) -> None:
    """Suspends, on the log first, each strategy that has come to keep what cannot be kept."""
    while True:
        try:
            made.state()
            return
        except Unkept as unkept:
            logger().error("strategy.suspended", strategy=unkept.strategy, reason=unkept.reason)
            at = log.suspend(unkept.strategy, unkept.reason)
            log.republish(made.suspend(at, unkept.strategy, unkept.reason), at, lambda mark: True)


def base_of(settings: Settings, journal: Journal, end: int, *, rebuild: bool) -> Snapshot | None:
    blob = None if rebuild else snapshots(settings).get(journal.key)
    if blob is not None:
        return decoded(blob)
    openings = journal.openings(end)
    if not openings:
        return None
    at, opening = openings[-1]
    logger().warning("pipeline.no_snapshot", shard=journal.key, goes_on_from=f"the opening at {at} of its journal")
    return at_opening(at, opening)


def at_opening(at: int, opening: Opening) -> Snapshot:
    """The state of an opening, with the journal behind it still to come."""
    return msgspec.structs.replace(unpacked(opening), journal=at + 1)


class _Missing:
    """Which outputs are not on the log; the output topics are read when the first is asked for."""

    def __init__(self, journal: Journal, snapshot: Snapshot) -> None:
        self._journal = journal
        self._snapshot = snapshot
        self._there: set[bytes] | None = None

    def __call__(self, mark: bytes) -> bool:
        if self._there is None:
            self._there = self._marks()
        return mark not in self._there

    def _marks(self) -> set[bytes]:
        topics = [topic.name for topic in decided(self._journal.broker)]
        tails = positions_of(self._snapshot.tails)
        mine = mark_prefix(self._journal.key, 0)[: len(self._journal.key) + 1]
        return {
            value
            for record in fetch_all(self._journal.kafka, topics, tails)
            for name, value in record.headers or ()
            if name == MARK and value.startswith(mine)
        }


def opened(settings: Settings, log: DecisionLog, made: Parts, inputs: Inputs, *, anew: bool = False) -> None:
    """Writes the state from which a session goes on, into its journal and as the newest snapshot.

    `anew`: it does not follow from the journal.
    """
    cut = Cut(made.state(), inputs.marker())
    topics = [topic.name for topic in decided(made.desk.broker)]
    log.tails = end_offsets(settings.kafka, topics)
    log.open(packed_opening(snapshot_of(cut, inputs.topics, log, log.following, log.tails)), anew=anew)
    log.save(lambda journal, tails: snapshot_of(cut, inputs.topics, log, journal, tails))
    log.flush()
