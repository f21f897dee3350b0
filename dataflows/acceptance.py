"""Acceptance: the configuration that a shard begins with, where its log holds strategies that cannot run.

A worker that runs has refused such a record and goes on with the one before it. A shard that begins anew does as much: it
takes the newest record of each strategy that can run, and tells of every newer one. One that goes on from a state goes on with
what was in force there. Its refusals are on the log already, so it writes none, and says which they are to whoever starts it.

Accounts and instruments are not chosen from: where they are wrong, a shard does not begin.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from connectors.kafka.configuration import Configured
from connectors.kafka.records import Outgoing, Writable, dead_letter
from connectors.logging import logger
from dataflows.desk import ALONE, MAX_MESSAGE, Configuration, Desk, Known, configured, why_not
from functions.assignment import Seat
from functions.configuration import unanswered, validate_account
from functions.events import AccountConfig, Payload, StrategyConfig
from functions.topics import CONFIG_ACCOUNTS, CONFIG_STRATEGIES

CODE: Final = "configuration_refused"
GOES_ON: Final = "what was before goes on"
LEFT_OUT: Final = "it does not run until a record of it can"
REFUSED_BEFORE: Final = "it was refused when it came"
COULD_RUN: Final = "it was refused when it came and could run now: change it in the store, which writes it again"

Positions = Mapping[tuple[str, int], int]


class Refusal(NamedTuple):
    """The newest record of a key, which is not in force, and why."""

    newest: Configured
    reason: str

    @property
    def name(self) -> str:
        return (self.newest.record.key or b"").decode(errors="backslashreplace")


# --- beginning anew ---------------------------------------------------------------------------------------------------


def accepted(
    wanted: Configuration, found: Sequence[Configured], broker: str, seat: Seat = ALONE, before: Known | None = None
) -> tuple[Configuration, list[Refusal]]:
    """A configuration without the strategies that cannot run, and what was refused of it.

    Of a strategy that cannot, the last record that can counts: of those in force `before` where there was a state, else of
    those on the log since it was last deleted.
    """
    known = dict(wanted.known)
    refusals: list[Refusal] = []
    named: set[str] = set()
    for at, records in _histories(found):
        newest = records[-1].payload
        if not isinstance(newest, StrategyConfig):
            continue  # deleted
        reason = _fault(wanted, newest, named)
        if reason:
            refusals.append(Refusal(records[-1], reason))
            earlier = [each.payload for each in reversed(records[:-1])] if before is None else [before.get(at)]
            instead = _last_that_runs(wanted, earlier, named)
            known.pop(at)
            if instead is None:
                continue
            known[at] = newest = instead
        named.add(newest.strategy)
    made_of = configured(known, broker, seat)
    made_of.tables = wanted.tables
    return made_of, refusals


def _histories(found: Sequence[Configured]) -> list[tuple[tuple[str, bytes], list[Configured]]]:
    """The records of each strategy, keys in the order of their newest records."""
    histories: dict[tuple[str, bytes], list[Configured]] = {}
    for each in found:
        if each.record.topic == CONFIG_STRATEGIES.name:
            histories.setdefault((each.record.topic, each.record.key or b""), []).append(each)
    return sorted(histories.items(), key=lambda pair: pair[1][-1].record.offset)


def _last_that_runs(
    wanted: Configuration, earlier: Iterable[Payload | None], named: set[str]
) -> StrategyConfig | None:  # fmt: skip
    """Of what a key said before, newest first, back to where it was last deleted."""
    for each in earlier:
        if not isinstance(each, StrategyConfig):
            return None
        if not _fault(wanted, each, named):
            return each
    return None


def _fault(wanted: Configuration, config: StrategyConfig, named: set[str]) -> str:
    """Why a strategy cannot be among these; empty where it can, or has nothing to do here."""
    if config.strategy in named:
        return f"another record names strategy {config.strategy} already"
    accounts = {account.account for account in wanted.accounts}
    mine = msgspec.structs.replace(config, accounts=[name for name in config.accounts if name in accounts])
    return why_not(wanted, mine) if config.enabled and mine.accounts else ""


# --- going on ---------------------------------------------------------------------------------------------------------


def not_in_force(desk: Desk, found: Sequence[Configured], read: Positions) -> list[Refusal]:
    """The newest records of accounts and strategies that this desk has read and does not go by."""
    newest = {(each.record.topic, each.record.key or b""): each for each in found}
    refusals: list[Refusal] = []
    for at, each in newest.items():
        record = each.record
        if record.topic not in (CONFIG_ACCOUNTS.name, CONFIG_STRATEGIES.name):
            continue
        if record.offset >= read.get((record.topic, record.partition), 0):
            continue  # it comes with the first batches, and is taken or refused there
        if each.payload != desk.made_of.known.get(at):
            refusals.append(Refusal(each, _reason(desk, each.payload)))
    return refusals


def _reason(desk: Desk, payload: Payload | None) -> str:
    if isinstance(payload, StrategyConfig):
        return _fault(desk.made_of, payload, set()) or COULD_RUN
    if isinstance(payload, AccountConfig):
        return "; ".join(unanswered(payload) or validate_account(payload)) or REFUSED_BEFORE
    return REFUSED_BEFORE


# --- telling ----------------------------------------------------------------------------------------------------------


def told(refusals: Sequence[Refusal], desk: Desk, *, anew: bool) -> list[Writable]:
    """An alert for each; where a shard begins `anew`, so that nobody has refused the record before, its dead letter too."""
    events: list[Writable] = []
    for refusal in refusals:
        record = refusal.newest.record
        message = f"{record.topic} {refusal.name} at offset {record.offset}: {refusal.reason}: {_next(refusal, desk)}"
        message = message[:MAX_MESSAGE]
        step = f"{record.topic}:{record.offset}:{desk.seat}:{message}"
        events.append(
            desk.publisher.alert(max(refusal.newest.time, 0), step, "warning", CODE, message, refusal.name)
        )  # fmt: skip
        if anew:
            letter: Outgoing = dead_letter(record, "configuration", "refused", refusal.reason)
            events.append(letter)
    say(refusals, desk)
    return events


def say(refusals: Sequence[Refusal], desk: Desk) -> None:
    """A line for each to whoever starts the shard. The log has the refusal from when the record came."""
    for refusal in refusals:
        record = refusal.newest.record
        logger().warning(
            "pipeline.configuration_refused", topic=record.topic, key=refusal.name, offset=record.offset,
            reason=refusal.reason, next=_next(refusal, desk),
        )  # fmt: skip


def _next(refusal: Refusal, desk: Desk) -> str:
    record = refusal.newest.record
    return GOES_ON if (record.topic, record.key or b"") in desk.made_of.known else LEFT_OUT
