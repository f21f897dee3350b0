"""Resharding: the accounts of a broker, with everything that they hold, in other shards.

It works on snapshots alone, while no worker runs: read those of all shards as they are now, hand each account over to the
shard that it belongs to, write the new ones, delete those that are no more. Nothing is decided.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Final

from connectors import lease
from connectors.errors import FatalError
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.settings import Settings
from dataflows.desk import Desk, configured
from dataflows.pipeline import Marker, Parts, encoded_snapshot, read_configuration, restored, snapshots, steps
from functions.assignment import Seat
from functions.handover import hand_over
from functions.topics import MARKET_CLOCK, MARKET_TICKS, PIPELINE_SNAPSHOTS

_MARKET: Final = (MARKET_TICKS.name, MARKET_CLOCK.name)


def seats(count: int) -> list[Seat]:
    return [Seat(number, count) for number in range(1, count + 1)]


def reshard(settings: Settings, broker: str, before: int, after: int) -> dict[str, list[str]]:
    """Moves the accounts of `before` shards to `after` (the same number moves those whose `shard` has been changed).

    Returns the accounts by shard. Raises: `FatalError` where a worker still holds a lease, a snapshot is missing, the
    shards have not read equally far, or something would lose its place; then nothing has been written.
    """
    keys = {seat.key(broker) for seat in (*seats(before), *seats(after))}
    with ExitStack() as held:
        for key in sorted(keys):
            held.enter_context(lease.hold(settings, key))
        found = snapshots(settings)
        old = [_restored(found, broker, seat) for seat in seats(before) if seat.key(broker) in found]
        if not old:
            raise FatalError(
                f"no shard of {broker} has a snapshot", remedy="there is nothing to move: just start the workers"
            )
        _equally_far(old)
        known = read_configuration(settings, broker, wait_s=0).known
        new = [made for seat in seats(after) if (made := _moved(old, known, broker, seat)) is not None]
        _all_there(old, new)
        _write(settings, broker, new, keys & set(found))
        return {made.publish.key: made.desk.shard.account_names for made in new}


def _restored(found: dict[str, bytes], broker: str, seat: Seat) -> Parts:
    return restored(found[seat.key(broker)], broker, seat.key(broker), None, seat)


def _equally_far(old: list[Parts]) -> None:
    places = [{at: n for at, n in made.positions.items() if at[0] in _MARKET} for made in old]
    if any(place != places[0] for place in places):
        raise FatalError(
            f"shards {', '.join(made.publish.key for made in old)} have not read equally far",
            remedy="stop the feed, let every worker read to the end, then stop them with SIGTERM",
        )


def _moved(old: list[Parts], known: Any, broker: str, seat: Seat) -> Parts | None:
    """One new shard with its accounts' share of every old one; none where no account belongs to it."""
    made_of = configured(known, broker, seat)
    made_of.instruments = old[0].desk.made_of.instruments
    if not made_of.accounts:
        return None
    desk = Desk(made_of, broker, seat)
    made = steps(desk, seat.key(broker))
    try:
        for source in old:
            hand_over(source.desk.shard, desk.shard, share=True)
            desk.roster.load(source.desk.roster.to_bytes())
            numbers = {int(n) for n in desk.shard.orders["number"] if n}
            desk.publisher.add(source.desk.publisher.to_bytes(), numbers)
    except ValueError as error:
        raise FatalError(f"shard {seat} of {broker} cannot take its accounts over: {error}") from error
    made.gate.load(old[0].gate.seen.tobytes())
    made.positions, made.session, made.following = dict(old[0].positions), old[0].session, old[0].following
    return made


def _all_there(old: Iterable[Parts], new: Iterable[Parts]) -> None:
    """No account that has traded is left behind."""
    there = {name for made in new for name in made.desk.shard.account_names}
    for made in old:
        for name, row in zip(made.desk.shard.account_names, made.desk.shard.accounts, strict=True):
            if row["fills"] and name not in there:
                raise FatalError(
                    f"account {name} has traded and belongs to no shard", remedy="enable it, or correct its shard"
                )


def _write(settings: Settings, broker: str, new: list[Parts], replaced: set[str]) -> None:
    records: list[Outgoing] = []
    for made in new:
        marker = Marker(made.positions, made.session, made.following, final=True)
        records.append(
            Outgoing(PIPELINE_SNAPSHOTS.name, made.publish.key.encode(), encoded_snapshot(made.state(), marker))
        )
    gone = replaced - {made.publish.key for made in new}
    records += [Outgoing(PIPELINE_SNAPSHOTS.name, key.encode(), None) for key in sorted(gone)]
    writer = Writer(settings.kafka)
    writer.write(records)
    writer.flush()
