"""Rebuilding: a state made anew from the journal alone, to go on with or to compare a snapshot with.

Journal and inputs come from the log, and from the lake where retention has passed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from connectors import lease
from connectors.errors import FatalError
from connectors.kafka.decisions import listed
from connectors.kafka.source import Positions, end_offsets, first_offsets
from connectors.lake.records import LakeRecords
from connectors.settings import Settings
from dataflows import evolving
from dataflows.acceptance import told
from dataflows.desk import ALONE, CONFIG_TOPICS, known_of
from dataflows.recovery import (
    Fold,
    Journal,
    at_opening,
    base_of,
    begun_anew,
    completed,
    decoded,
    input_topics,
    opened,
    read_configuration,
    resumed,
    snapshots,
)  # fmt: skip
from dataflows.steps import unlike
from functions.assignment import Seat
from functions.journal import Snapshot


class Proof(msgspec.Struct, frozen=True):
    """How a state was made anew."""

    shard: str
    entries: int
    records: int
    seconds: float


@contextmanager
def _journal(settings: Settings, broker: str, seat: Seat) -> Iterator[Journal]:
    """With the lake behind it."""
    lake = LakeRecords(settings.lake)
    try:
        yield Journal.of(settings.kafka, broker, seat, lake)
    finally:
        lake.close()


def rebuilt(journal: Journal, settings: Settings) -> tuple[Fold, Snapshot]:
    """The steps made anew from the journal, up to the newest snapshot, and that snapshot. Nothing is written.

    Raises: `FatalError` where there is no snapshot, or retention has eaten what is needed; `Diverged`.
    """
    blob = snapshots(settings).get(journal.key)
    if blob is None:
        raise FatalError(
            f"shard {journal.key} has no snapshot to compare with", remedy="start its worker: it makes one"
        )
    snapshot = decoded(blob)
    base = _earliest(journal, snapshot.journal)
    return resumed(settings, journal, base, snapshot.journal), snapshot


def _earliest(journal: Journal, end: int) -> Snapshot:
    """The first opening of a journal whose inputs are all still on the log."""
    there = first_offsets(journal.kafka, input_topics(journal.broker))
    for at, opening in journal.openings(end):
        base = at_opening(at, opening)
        if all(_is_there(journal, there, *place) for place in base.positions):
            return base
    raise FatalError(
        f"the journal of shard {journal.key}, or inputs behind it, are neither on the log nor in the lake",
        remedy="keep journal and inputs longer (functions/topics.py); start from the newest snapshot",
    )


def _is_there(journal: Journal, there: Positions, topic: str, partition: int, offset: int) -> bool:
    """Whether what follows this offset is on the log or in the lake."""
    if offset >= there.get((topic, partition), 0):
        return True
    archived = None if journal.archive is None else journal.archive.first(topic, partition)
    return archived is not None and archived <= offset


def differences(fold: Fold, snapshot: Snapshot) -> list[str]:
    """Parts of a snapshot that are not what the journal says, byte for byte."""
    state = fold.made.state()
    marker = fold.inputs.marker()
    found = unlike(state, snapshot.state)
    places = {
        "positions": listed(marker.positions) == snapshot.positions,
        "held": marker.held == snapshot.held,
        "order": (marker.session, marker.following) == (snapshot.feed_session, snapshot.following),
    }
    return found + [name for name, same in places.items() if not same]


def verified(settings: Settings, broker: str, seat: Seat = ALONE) -> Proof:
    """Compares the newest snapshot, also of a running worker, with its journal. Raises: `FatalError`, `Diverged`."""
    began = time.monotonic()
    with _journal(settings, broker, seat) as journal:
        fold, snapshot = rebuilt(journal, settings)
    found = differences(fold, snapshot)
    if found:
        raise FatalError(
            f"the snapshot of shard {fold.key} is not what its journal says: {', '.join(found)} differ",
            remedy="keep the log; stop the worker, then `panda rebuild` makes the state anew",
        )
    return Proof(fold.key, fold.entries, fold.records, round(time.monotonic() - began, 3))


def made_anew(settings: Settings, broker: str, seat: Seat = ALONE) -> Proof:
    """Makes the state anew from the whole journal and leaves it as the newest snapshot; no worker may run.

    Raises: `FatalError`, also where a worker holds the lease; `Diverged`.
    """
    began = time.monotonic()
    with lease.hold(settings, seat.key(broker)), _journal(settings, broker, seat) as journal:
        log = journal.log()
        start = log.start(input_topics(broker))
        fold = completed(settings, journal, log, _earliest(journal, start), start)
        opened(settings, log, fold.made, fold.inputs)
        return Proof(fold.key, fold.entries, fold.records, round(time.monotonic() - began, 3))


def from_fills(settings: Settings, broker: str, seat: Seat = ALONE) -> Proof:
    """Makes books and money anew from the recorded fills, under the configuration of today; no worker may run.

    Strategies begin anew, orders that still worked are told as failed. Raises: `FatalError` where there is no journal to say
    how far has been read, where a fill is missing, or where a worker holds the lease.
    """
    began = time.monotonic()
    with lease.hold(settings, seat.key(broker)), _journal(settings, broker, seat) as journal:
        read_until = end_offsets(settings.kafka, list(CONFIG_TOPICS))
        today = read_configuration(settings, broker, seat, wait_s=0)
        log = journal.log()
        start = log.start(input_topics(broker))
        snapshot = base_of(settings, journal, start, rebuild=False)
        if snapshot is None:
            raise FatalError(
                f"shard {journal.key} has never begun", remedy="there is nothing to rebuild: start its worker"
            )
        made, refusals = begun_anew(today, broker, journal.key, seat, known_of(snapshot.state))
        inputs = evolving.read_on(journal, snapshot, made, start, read_until)
        fills = evolving.evolve(made, settings.kafka)
        log.announce([*evolving.abandoned(made, settings.kafka), *told(refusals, made.desk, anew=False)])
        opened(settings, log, made, inputs, anew=True)
        return Proof(journal.key, 0, fills, round(time.monotonic() - began, 3))
