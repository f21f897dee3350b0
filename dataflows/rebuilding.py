"""Rebuilding: a state made anew from the journal alone, to go on with or to compare a snapshot with."""

import time

import msgspec

from connectors import lease
from connectors.errors import FatalError
from connectors.kafka.decisions import listed
from connectors.settings import Settings
from dataflows.desk import ALONE
from dataflows.recovery import (
    Fold,
    Journal,
    at_opening,
    completed,
    decoded,
    first_positions,
    input_topics,
    opened,
    resumed,
    snapshots,
)  # fmt: skip
from functions.assignment import Seat
from functions.journal import Snapshot


class Proof(msgspec.Struct, frozen=True):
    """How a state was made anew."""

    shard: str
    entries: int
    records: int
    seconds: float


def rebuilt(settings: Settings, broker: str, seat: Seat = ALONE) -> tuple[Fold, Snapshot]:
    """The steps made anew from the journal, up to the newest snapshot, and that snapshot. Nothing is written.

    Raises: `FatalError` where there is no snapshot, or retention has eaten what is needed; `Diverged`.
    """
    journal = Journal.of(settings.kafka, broker, seat)
    blob = snapshots(settings).get(journal.key)
    if blob is None:
        raise FatalError(
            f"shard {journal.key} has no snapshot to compare with", remedy="start its worker: it makes one"
        )
    snapshot = decoded(blob)
    base = _earliest(journal, snapshot.journal)
    return resumed(journal, base, snapshot.journal, lambda at, entry, events: None), snapshot


def _earliest(journal: Journal, end: int) -> Snapshot:
    """The first opening of a journal whose inputs are all still on the log."""
    there = first_positions(journal, input_topics(journal.broker))
    for at, opening in journal.openings(end):
        base = at_opening(at, opening)
        if all(offset >= there.get((topic, number), 0) for topic, number, offset in base.positions):
            return base
    raise FatalError(
        f"the journal of shard {journal.key}, or inputs behind it, are no longer on the log",
        remedy="keep journal and inputs longer (functions/topics.py); start from the newest snapshot",
    )


def differences(fold: Fold, snapshot: Snapshot) -> list[str]:
    """Parts of a snapshot that are not what the journal says, byte for byte."""
    state = fold.made.state()
    marker = fold.inputs.marker()
    found = [part for part in sorted(snapshot.state) if state.get(part) != snapshot.state[part]]
    places = {
        "positions": listed(marker.positions) == snapshot.positions,
        "held": marker.held == snapshot.held,
        "order": (marker.session, marker.following) == (snapshot.feed_session, snapshot.following),
    }
    return found + [name for name, same in places.items() if not same]


def verified(settings: Settings, broker: str, seat: Seat = ALONE) -> Proof:
    """Compares the newest snapshot, also of a running worker, with its journal. Raises: `FatalError`, `Diverged`."""
    began = time.monotonic()
    fold, snapshot = rebuilt(settings, broker, seat)
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
    with lease.hold(settings, seat.key(broker)):
        journal = Journal.of(settings.kafka, broker, seat)
        log = journal.log()
        start = log.start(input_topics(broker))
        fold = completed(journal, log, _earliest(journal, start), start)
        opened(settings, log, fold.made, fold.inputs)
        return Proof(fold.key, fold.entries, fold.records, round(time.monotonic() - began, 3))
