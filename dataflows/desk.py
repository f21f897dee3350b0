"""The desk: the shard of one worker with its strategies, as configured now.

A change of configuration takes effect before the ticks of the batch that brought it: the log says when, so a replay
changes at the same place. One that cannot run is refused with its reason, and what was configured before goes on. Accounts
and strategies change while the flow runs; instruments at its next start, as rows that are under way count them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np

from connectors.errors import ConfigError
from connectors.market_tables import in_force
from dataflows.surroundings import unchanged
from functions.assignment import Seat, homeless, shard_of
from functions.codec import decode_payload
from functions.configuration import PUT_AWAY, unanswered, validate, validate_strategy
from functions.events import TYPE_NAMES, AccountConfig, InstrumentConfig, Payload, StrategyConfig
from functions.handover import hand_over, obstacles
from functions.market_tables import MarketTables
from functions.publication import Publication, Publisher
from functions.shard import Shard
from functions.signals import DEFAULT_PRODUCT, NO_SIGNALS, SIGNAL, merge
from functions.ticks import NO_TICKS, Rows
from functions.topics import CONFIG_ACCOUNTS, CONFIG_INSTRUMENTS, CONFIG_STRATEGIES
from functions.versions import version_of
from strategies.guest import Host, NoHost
from strategies.roster import Failure, Roster, fingerprint_of

ALONE: Final = Seat()  # the one shard of a broker
MAX_MESSAGE: Final = 1_000  # characters of an alert
Known = dict[tuple[str, bytes], Payload]
CONFIG_TOPICS: Final = (CONFIG_INSTRUMENTS.name, CONFIG_ACCOUNTS.name, CONFIG_STRATEGIES.name)
PAYLOADS_OF: Final[dict[str, type[Payload]]] = {
    CONFIG_INSTRUMENTS.name: InstrumentConfig,
    CONFIG_ACCOUNTS.name: AccountConfig,
    CONFIG_STRATEGIES.name: StrategyConfig,
}


class Refused(ValueError):
    """A change that cannot run, in words."""


class Closing(NamedTuple):
    """A position that a strategy leaves behind, to be closed at the next tick of its instrument."""

    subscription: int
    instrument: int
    quantity: int  # signed, as held


@dataclass
class Configuration:
    """What a shard needs to know before its first tick, in a stable order.

    `strategies` that are not enabled have ended and still hold something. `known` is every record as it lies on the log.
    """

    instruments: list[InstrumentConfig]
    accounts: list[AccountConfig]
    strategies: list[StrategyConfig]
    known: Known = field(default_factory=dict)
    tables: MarketTables = field(
        default_factory=in_force, compare=False, repr=False
    )  # of this process, never of a record

    def __post_init__(self) -> None:
        if not self.known:
            self.known = {
                **{(CONFIG_INSTRUMENTS.name, str(i.instrument_token).encode()): i for i in self.instruments},
                **{(CONFIG_ACCOUNTS.name, a.account.encode()): a for a in self.accounts},
                **{(CONFIG_STRATEGIES.name, s.strategy.encode()): s for s in self.strategies},
            }


def configuration(events: Sequence[tuple[str, bytes | None, Any]], broker: str, seat: Seat = ALONE) -> Configuration:
    """The newest configuration of each key: `(topic, key, payload or None for deleted)` in log order."""
    newest: dict[tuple[str, bytes], Any] = {}
    for topic, key, payload in events:
        newest[topic, key or b""] = payload
    return configured({at: payload for at, payload in newest.items() if payload is not None}, broker, seat)


def configured(known: Known, broker: str, seat: Seat = ALONE) -> Configuration:
    """What of all that is known is enabled, for one shard of one broker."""
    payloads = list(known.values())
    accounts = [
        p for p in payloads if isinstance(p, AccountConfig) and p.broker == broker and p.enabled and seat.holds(p)
    ]
    names = {account.account for account in accounts}
    strategies = [
        msgspec.structs.replace(p, accounts=[a for a in p.accounts if a in names])
        for p in payloads
        if isinstance(p, StrategyConfig) and p.enabled and names & set(p.accounts)
    ]
    instruments = sorted((p for p in payloads if isinstance(p, InstrumentConfig)), key=lambda i: i.instrument_token)
    return Configuration(
        instruments, sorted(accounts, key=lambda a: a.account), sorted(strategies, key=lambda s: s.strategy), known
    )


class Desk:
    """One worker's shard, roster and publisher. Raises: `ConfigError` naming what is wrong in the configuration."""

    def __init__(
        self, made_of: Configuration, broker: str, seat: Seat = ALONE, begun: Mapping[str, int] | None = None
    ) -> None:  # fmt: skip
        if not made_of.accounts:
            raise ConfigError(
                f"no enabled {broker} account is configured for shard {seat}", remedy="panda db seed, or add one"
            )
        faults = _faults(made_of) + homeless(_accounts(made_of.known, broker), seat.of)
        if faults:  # the log may have had other writers than our store
            raise ConfigError(f"configuration cannot run: {'; '.join(faults)}", remedy="correct it in the config store")
        self.broker = broker
        self.seat = seat
        self.made_of = made_of
        self._host: Host = NoHost()
        try:
            self.shard, self.roster = _parts(made_of)
        except ValueError as error:
            raise ConfigError(f"configuration cannot run: {error}", remedy="correct it in the config store") from error
        self.begun = dict(begun or {})  # event time, ns, at which strategies began anew
        self.publisher = Publisher(self.shard, broker, self.begun)
        self.closing: list[Closing] = []

    @property
    def host(self) -> Host:
        """Who looks after the strategies."""
        return self._host

    @host.setter
    def host(self, host: Host) -> None:
        self._host = self.roster.host = host

    # --- changes ------------------------------------------------------------------------------------------------------

    def change(self, topic: str, key: bytes, payload: Payload | None) -> tuple[str, list[Publication]]:
        """Takes one configuration record in: what changed, in words, and the orders that it ended.

        No words: nothing that concerns this desk. Raises: `Refused` with the reason; then everything is as before.
        """
        if topic == CONFIG_INSTRUMENTS.name:
            return "instruments change at the next start of the pipeline", []
        self._is_answered(payload)
        known = {at: value for at, value in self.made_of.known.items() if at != (topic, key)}
        if payload is not None:
            known[topic, key] = payload
        before = self.made_of.known.get((topic, key))
        self._stays(before, payload)
        wanted = configured(known, self.broker, self.seat)
        wanted.instruments, wanted.tables = self.made_of.instruments, self.made_of.tables
        wanted.strategies = sorted([*wanted.strategies, *self._ended(wanted)], key=lambda s: s.strategy)
        if (wanted.accounts, wanted.strategies) == (self.made_of.accounts, self.made_of.strategies):
            self.made_of = wanted
            return "", []
        return differences(before, payload), self._become(wanted)

    def _is_answered(self, payload: Payload | None) -> None:
        """An account of a broker that nobody answers for is refused by one desk, whatever broker that desk is of."""
        if isinstance(payload, AccountConfig) and (shard_of(payload, self.seat.of) or 1) == self.seat.number:
            faults = unanswered(payload)
            if faults:
                raise Refused("; ".join(faults))

    def _stays(self, before: Payload | None, after: Payload | None) -> None:
        """An account changes its shard only while nobody trades it: its books would stay behind."""
        if not isinstance(before, AccountConfig) or not isinstance(after, AccountConfig) or after.broker != self.broker:
            return
        there, here = shard_of(before, self.seat.of), shard_of(after, self.seat.of)
        if there != here:
            raise Refused(f"it would move from shard {there} to {here} of {self.seat.of}: stop both, see the runbook")

    def _ended(self, wanted: Configuration) -> list[StrategyConfig]:
        """Strategies of now that are wanted no more and have traded: their books stay, they get no ticks."""
        kept = {s.strategy for s in wanted.strategies}
        names = {a.account for a in wanted.accounts}
        ended: list[StrategyConfig] = []
        for config in self.shard.strategy_configs:
            traded = any(
                row["fills"] or row["orders"]
                for row, (_, strategy) in zip(self.shard.subscriptions, self.shard.subscription_names, strict=False)
                if strategy == config.strategy
            )
            if config.strategy not in kept and traded:
                accounts = [a for a in config.accounts if a in names]
                newest = wanted.known.get((CONFIG_STRATEGIES.name, config.strategy.encode()))
                policy = newest.on_disable if isinstance(newest, StrategyConfig) else config.on_disable
                ended.append(msgspec.structs.replace(config, enabled=False, accounts=accounts, on_disable=policy))
        return ended

    def _become(self, wanted: Configuration) -> list[Publication]:
        """The same state under another configuration; strategies whose own configuration is the same keep theirs.

        Returns what was cancelled with the strategies that end.
        """
        faults = _faults(wanted) if wanted.accounts else ["no account would be left"]
        if faults:
            raise Refused("; ".join(faults))
        try:
            shard, roster = _parts(wanted)
            ending = self._ending(wanted)
            roster.prove()
            roster.take_over(self.roster)
        except ValueError as error:
            raise Refused(str(error)) from error
        faults = obstacles(self.shard, shard)
        if faults:
            raise Refused("; ".join(faults))
        closing = [(self.shard.subscription_names[c.subscription], c.instrument, c.quantity) for c in self.closing]
        cancelled: list[Publication] = []
        names = self.shard.subscription_names
        for strategy in ending:
            cancelled += self.publisher.publish(NO_TICKS, NO_SIGNALS, self.shard.cancel(strategy), str)
            closing += [(names[s], instrument, quantity) for s, instrument, quantity in self.shard.positions(strategy)]
        hand_over(self.shard, shard)
        begun = self._begun(wanted)
        publisher = Publisher(shard, self.broker, begun)
        publisher.load(self.publisher.to_bytes())
        places = {names: n for n, names in enumerate(shard.subscription_names)}
        started = {s.strategy for s in wanted.strategies if s.enabled}
        self.closing = [
            Closing(places[names], instrument, quantity)
            for names, instrument, quantity in closing
            if names[1] not in started  # enabled again before it was closed: it is the strategy's again
        ]
        self.made_of, self.shard, self.roster, self.publisher = wanted, shard, roster, publisher
        self.host = self._host
        self.begun = begun
        return cancelled

    def _begun(self, wanted: Configuration) -> dict[str, int]:
        """Strategies that do not keep their state begin now."""
        now = int(self.shard.shard["now"][0])
        kept = {s.strategy: fingerprint_of(s) for s in self.made_of.strategies if s.enabled}
        begun = {s.strategy: now for s in wanted.strategies if kept.get(s.strategy) != fingerprint_of(s)}
        return {**{name: at for name, at in self.begun.items() if name in kept}, **begun}

    def with_instruments(self, instruments: list[InstrumentConfig]) -> "Desk":
        """The same desk with other instruments. Raises: `ValueError` where one that is held or worked is missing."""
        now = self.made_of
        made_of = Configuration(instruments, now.accounts, now.strategies, now.known, now.tables)
        desk = Desk(made_of, self.broker, self.seat, self.begun)
        hand_over(self.shard, desk.shard)
        desk.roster.take_over(self.roster)
        desk.publisher.load(self.publisher.to_bytes())
        tokens = self.shard.tokens
        desk.closing = [c._replace(instrument=desk.shard.index_of[tokens[c.instrument]]) for c in self.closing]
        return desk

    def _ending(self, wanted: Configuration) -> list[str]:
        """Strategies that end with this change and whose policy is to be flat."""
        running = {s.strategy for s in self.made_of.strategies if s.enabled}
        return [
            s.strategy
            for s in wanted.strategies
            if not s.enabled and s.strategy in running and s.on_disable == "flatten"
        ]

    # --- ticks --------------------------------------------------------------------------------------------------------

    def on_batch(self, ticks: Rows) -> tuple[Rows, list[Failure]]:
        """What the strategies want, and the closing orders that fall due: SIGNAL rows in total order."""
        signals, failures = self.roster.on_batch(ticks)
        if self.closing and len(ticks):
            due = self._due(ticks)
            if len(due):
                signals = merge([signals, due])
        return signals, failures

    def _due(self, ticks: Rows) -> Rows:
        """A market order for each position that is to be closed, at the first tick of its instrument."""
        rows: list[tuple[int, ...]] = []
        waiting: list[Closing] = []
        count: dict[tuple[int, int], int] = {}
        for closing in self.closing:
            at = np.flatnonzero(ticks["instrument"] == closing.instrument)
            if not len(at):
                waiting.append(closing)
                continue
            strategy = int(self.shard.subscriptions["strategy"][closing.subscription])
            nth = count[int(at[0]), strategy] = count.get((int(at[0]), strategy), -1) + 1
            side = -1 if closing.quantity > 0 else 1
            rows.append(
                (int(at[0]), abs(closing.quantity), 0, 0, 0, strategy, closing.instrument, side, 0, int(DEFAULT_PRODUCT),
                 nth, closing.subscription + 1, 0)
            )  # fmt: skip
        self.closing = waiting
        return merge([np.array(sorted(rows), SIGNAL)]) if rows else NO_SIGNALS

    # --- state --------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, bytes]:
        """Everything that is kept, by part; `restored` takes it."""
        return {
            "desk": self._described(), "account": self.shard.to_bytes(), "signals": self.roster.to_bytes(),
            "publish": self.publisher.to_bytes(),
        }  # fmt: skip

    def _described(self) -> bytes:
        """The configuration in force and what is to be closed."""
        known = [
            (topic, key, msgspec.json.encode(p)) for (topic, key), p in self.made_of.known.items() if topic in _CHANGING
        ]
        return msgspec.msgpack.encode(
            _Described(
                instruments=msgspec.json.encode(self.made_of.instruments),
                accounts=msgspec.json.encode(self.made_of.accounts),
                strategies=msgspec.json.encode(self.made_of.strategies),
                known=known,
                closing=[tuple(closing) for closing in self.closing],
                begun=self.begun,
                versions={
                    name: n for name in map(TYPE_NAMES.__getitem__, PAYLOADS_OF.values()) if (n := version_of(name)) > 1
                }
                or msgspec.UNSET,
            )
        )


def _accounts(known: Known, broker: str) -> list[AccountConfig]:
    return [p for p in known.values() if isinstance(p, AccountConfig) and p.broker == broker]


_Place = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Holding = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


class _Described(msgspec.Struct):
    """What a desk says of its configuration; the bytes are JSON."""

    instruments: bytes
    accounts: bytes
    strategies: bytes
    known: list[tuple[str, bytes, bytes]]  # topic, key, payload
    closing: list[tuple[_Place, _Place, _Holding]]
    begun: dict[str, int] = {}
    versions: dict[str, int] | msgspec.UnsetType = (
        msgspec.UNSET
    )  # of the payloads, by event type; where none is named it is 1


_decode_described = msgspec.msgpack.Decoder(_Described).decode

_CHANGING: Final = (CONFIG_ACCOUNTS.name, CONFIG_STRATEGIES.name)


def _payload(kept: _Described, kind: type[Payload], raw: bytes | msgspec.Raw) -> Any:
    """A payload that a state holds, of whatever version it was when the state was made."""
    name = TYPE_NAMES[kind]
    return decode_payload(name, (kept.versions or {}).get(name, 1), raw)


def _payloads(kept: _Described, kind: type[Payload], raw: bytes) -> list[Any]:
    return [_payload(kept, kind, each) for each in msgspec.json.decode(raw, type=list[msgspec.Raw])]


def accounts_of(state: Mapping[str, bytes]) -> list[str]:
    """The accounts of a desk with this state."""
    kept = _decode_described(state["desk"])
    return [account.account for account in _payloads(kept, AccountConfig, kept.accounts)]


def known_of(state: Mapping[str, bytes]) -> Known:
    """Every record of configuration that a desk with this state went by."""
    kept = _decode_described(state["desk"])
    return {(topic, key): _payload(kept, PAYLOADS_OF[topic], raw) for topic, key, raw in kept.known}


def refuse_unanswered(accounts: Sequence[AccountConfig], whose: str = "") -> None:
    """Raises: `ConfigError` for an account of a broker that no gateway answers for: its trades would be made up."""
    faults = [f"{whose}account {account.account}: {fault}" for account in accounts for fault in unanswered(account)]
    if faults:
        raise ConfigError("\n  ".join(faults), remedy=PUT_AWAY)


def restored(state: Mapping[str, bytes], broker: str, seat: Seat = ALONE) -> Desk:
    """The desk with this state. Raises: `ValueError`, `KeyError` where it is none; `ConfigError` as a first start does."""
    kept = _decode_described(state["desk"])
    known = known_of(state)
    accounts = _payloads(kept, AccountConfig, kept.accounts)
    refuse_unanswered(accounts, "the state was made for ")
    desk = Desk(
        Configuration(
            _payloads(kept, InstrumentConfig, kept.instruments),
            accounts,
            _payloads(kept, StrategyConfig, kept.strategies),
            known,
        ),
        broker,
        seat,
        kept.begun,
    )
    desk.closing = [Closing(*closing) for closing in kept.closing]
    for closing in desk.closing:
        if closing.subscription >= len(desk.shard.subscription_names) or closing.instrument >= len(desk.shard.tokens):
            raise ValueError(f"{closing} is for a subscription or an instrument that this desk does not have")
    desk.shard.load(state["account"])
    desk.roster.load(state["signals"])
    desk.publisher.load(state["publish"])
    unnamed = set(desk.shard.working()) - set(desk.publisher.working)
    if unnamed:
        raise ValueError(f"orders {sorted(unnamed)} work, and nobody knows what they are named after")
    return desk


def why_not(made_of: Configuration, config: StrategyConfig) -> str:
    """Why a strategy cannot run among these instruments and accounts, in words; empty where it can."""
    by_token = {one.instrument_token: one for one in made_of.instruments}
    faults = validate_strategy(config, by_token, {one.account for one in made_of.accounts})
    if faults:
        return "; ".join(faults)
    try:
        with unchanged():
            Roster(made_of.instruments, [config])
    except ValueError as error:
        return str(error)
    return ""


def _faults(made_of: Configuration) -> list[str]:
    enabled = [s for s in made_of.strategies if s.enabled]
    return validate(made_of.instruments, made_of.accounts, enabled)


def _parts(made_of: Configuration) -> tuple[Shard, Roster]:
    """Raises: `ValueError` (`StrategyError`) naming what cannot be loaded or configured."""
    shard = Shard(made_of.instruments, made_of.accounts, made_of.strategies, made_of.tables)
    with unchanged():
        return shard, Roster(made_of.instruments, made_of.strategies)


def differences(before: Payload | None, after: Payload | None) -> str:
    """What changed, field by field.

    >>> one = StrategyConfig("m", "momentum", {"window": 20}, [1], ["a"])
    >>> differences(one, msgspec.structs.replace(one, parameters={"window": 50}))
    "parameters {'window': 20} → {'window': 50}"
    >>> differences(None, one), differences(one, None)
    ('new', 'deleted')
    """
    if before is None or after is None:
        return "new" if before is None else "deleted"
    old, new = _fields(before), _fields(after)
    return (
        ", ".join(f"{name} {old[name]!r} → {new[name]!r}" for name in new if old.get(name) != new[name]) or "no change"
    )


def _fields(payload: Payload) -> Mapping[str, Any]:
    return msgspec.structs.asdict(payload)
