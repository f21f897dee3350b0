"""Resharding: the accounts of a broker, with everything that they hold, in other shards.

It works while no worker runs: every shard of now goes on to the end of its journal, hands its accounts over to the shards
that they belong to, those open with what they got, and what is no more is closed. Nothing is decided.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from connectors import lease
from connectors.errors import FatalError
from connectors.kafka.feed import Inputs
from connectors.kafka.journal import DecisionLog
from connectors.settings import Settings
from dataflows.desk import Desk, Known, configured
from dataflows.recovery import Fold, Journal, input_topics, opened, read_configuration, went_on
from dataflows.steps import Parts, steps
from functions.assignment import Seat
from functions.events import StrategyConfig
from functions.handover import hand_over
from functions.topics import MARKET_CLOCK, MARKET_TICKS

_MARKET: Final = (MARKET_TICKS.name, MARKET_CLOCK.name)


def seats(count: int) -> list[Seat]:
    return [Seat(number, count) for number in range(1, count + 1)]


@dataclass
class _Moving:
    """One shard while it moves: its journal, open, and what it has come to (nothing: it has never begun)."""

    journal: Journal
    log: DecisionLog
    fold: Fold | None


def reshard(settings: Settings, broker: str, before: int, after: int) -> dict[str, list[str]]:
    """Moves the accounts of `before` shards to `after` (the same number moves those whose `shard` has been changed).

    Returns the accounts by shard. Raises: `FatalError` where a worker still holds a lease, no shard has a state, the shards
    have not read equally far, or something would lose its place; then no state has changed.
    """
    every = {seat.key(broker): seat for seat in (*seats(before), *seats(after))}
    with ExitStack() as held:
        for key in sorted(every):
            held.enter_context(lease.hold(settings, key))
        today = read_configuration(settings, broker, wait_s=0).newest.known
        moving = {key: _come_to_the_end(settings, broker, seat, seat.of == before) for key, seat in every.items()}
        old = [shard.fold for shard in moving.values() if shard.fold is not None]
        if not old:
            raise FatalError(
                f"no shard of {broker} has a snapshot", remedy="there is nothing to move: just start the workers"
            )
        _equally_far(old)
        known = _in_force(today, [fold.made.desk.made_of.known for fold in old])
        new = [
            made for seat in seats(after) if (made := _moved([f.made for f in old], known, broker, seat)) is not None
        ]
        _all_there([f.made for f in old], new)
        _write(settings, new, old[0].inputs, moving)
        return {made.publish.key: made.desk.shard.account_names for made in new}


def _in_force(today: Known, before: list[Known]) -> Known:
    """The accounts of today with the strategies that the shards of before go by.

    What they have refused, or have not read yet, they do not go by; where two differ, the one that is newest counts.
    """
    strategies: Known = {}
    for known in before:
        for at, config in known.items():
            if isinstance(config, StrategyConfig) and (at not in strategies or config == today.get(at)):
                strategies[at] = config
    return {at: config for at, config in today.items() if not isinstance(config, StrategyConfig)} | strategies


def _come_to_the_end(settings: Settings, broker: str, seat: Seat, was: bool) -> _Moving:
    """Fences a shard off and, if it is one of those before, goes on to the end of its journal."""
    journal = Journal.of(settings.kafka, broker, seat)
    log = journal.log()
    began = log.start(input_topics(broker))
    return _Moving(journal, log, went_on(settings, journal, log, began) if was else None)


def _equally_far(old: list[Fold]) -> None:
    places = [
        ({at: n for at, n in fold.inputs.positions.items() if at[0] in _MARKET}, fold.inputs.marker().held)
        for fold in old
    ]
    if any(place != places[0] for place in places):
        raise FatalError(
            f"shards {', '.join(fold.key for fold in old)} have not read equally far",
            remedy="stop the feed, let every worker read to the end, then stop them with SIGTERM",
        )


def _moved(old: list[Parts], known: Any, broker: str, seat: Seat) -> Parts | None:
    """One new shard with its accounts' share of every old one; none where no account belongs to it."""
    made_of = configured(known, broker, seat)
    made_of.instruments = old[0].desk.made_of.instruments
    if not made_of.accounts:
        return None
    begun = {name: at for source in old for name, at in source.desk.begun.items()}
    desk = Desk(made_of, broker, seat, begun)
    made = steps(desk, seat.key(broker))
    try:
        for source in old:
            hand_over(source.desk.shard, desk.shard, share=True)
            desk.roster.load(source.desk.roster.to_bytes())
            numbers = {int(n) for n in desk.shard.orders["number"] if n}
            desk.publisher.add(source.desk.publisher.to_bytes(), numbers)
    except ValueError as error:
        raise FatalError(f"shard {seat} of {broker} cannot take its accounts over: {error}") from error
    made.gate.load(old[0].gate.to_bytes())
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


def _write(settings: Settings, new: list[Parts], read: Inputs, moving: dict[str, _Moving]) -> None:
    """Opens the new shards with what they have now; those that are no more are left without a state."""
    for made in new:
        shard = moving.pop(made.publish.key)
        opened(settings, shard.log, made, read.for_steps(made.index_of), anew=True)
    for shard in moving.values():
        shard.log.leave()
