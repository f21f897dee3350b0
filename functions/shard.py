"""A shard: the accounts of one worker as arrays, and what they decide for a batch of ticks and signals.

The state is arrays and nothing else, so a snapshot is a copy. Rows come out as fresh copies, in the order in which
they were decided; `ordinal` runs through all of them.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from functions import account as fold
from functions.account import SHARD, STRATEGY
from functions.alerts import ALERT
from functions.codec import UNREADABLE
from functions.events import AccountConfig, InstrumentConfig, PaperVenue, StrategyConfig
from functions.instruments import instrument_table
from functions.integrity import Loose, Sizes, chained, examine
from functions.kernel import records
from functions.market_tables import MarketTables
from functions.money import micro
from functions.orders import ORDER, ORDER_EVENT, PRODUCTS
from functions.paper import SQUARE_OFF_FEE, VENUE
from functions.portfolio import ACCOUNT, BOOK, CLEAN, FILL, SNAPSHOT, SUBSCRIPTION
from functions.risk import LIMITS, REFUSAL, limits_row
from functions.signals import NO_SIGNALS, SIGNAL
from functions.sizing import METHODS
from functions.state_versions import STATE_VERSION, upgraded
from functions.ticks import NO_DEPTH, NO_RANGES, NO_TICKS, Rows

OUTPUTS: Final = (ORDER_EVENT, FILL, REFUSAL, SNAPSHOT, ALERT)
_NONE: Final = tuple(np.empty(0, dtype) for dtype in OUTPUTS)
_COUNTERS: Final = len(OUTPUTS)


def _array_to_bytes(array: Rows) -> bytes:
    """With its layout; the same rows are the same bytes."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _array_from(raw: bytes, name: str) -> Rows:
    """Raises: `StateMismatch`."""
    try:
        loaded = np.load(io.BytesIO(raw), allow_pickle=False)
    except Exception as error:  # NumPy does not say what its reader raises on bytes that it did not write
        raise StateMismatch(f"{name}: {len(raw)} bytes are no array: {type(error).__name__}: {error}") from error
    if not isinstance(loaded, np.ndarray):
        raise StateMismatch(f"{name}: {len(raw)} bytes are an archive and no array")
    return loaded


class _Kept(msgspec.Struct):
    """What `to_bytes` writes."""

    identity: dict[str, Any]
    arrays: dict[str, bytes]


class Decisions(NamedTuple):
    """What a batch led to: structured rows of `functions.orders`, `portfolio`, `risk` and `account`."""

    orders: Rows
    fills: Rows
    refusals: Rows
    snapshots: Rows
    alerts: Rows

    @property
    def any(self) -> bool:
        return any(map(len, self))


NO_DECISIONS: Final = Decisions(*_NONE)


class StateMismatch(ValueError):
    """A snapshot of another version, or of other accounts, strategies or instruments than these."""


def venue_row(venue: PaperVenue) -> tuple[int, ...]:
    """One VENUE row. Raises: `ValueError` for an amount that is no amount in rupees."""
    return (
        int(venue.price == "quote"), micro(venue.slippage_bps) // 10_000, micro(venue.slippage_per_share),
        venue.slippage_spread_percent, venue.latency_ms * 1_000_000, int(venue.partial_fills), int(venue.walk_depth),
        int(venue.square_off == "close"), SQUARE_OFF_FEE if venue.charges else 0,
    )  # fmt: skip


class Shard:
    """The accounts of one broker that one worker holds, with their strategies' subscriptions.

    Instruments keep the order given; strategies and accounts are sorted by name, which is the order in which signals
    of one tick are answered. The configuration must have passed `functions.configuration`.
    Raises: `ValueError` where a strategy names an account or charges that the others do not have.
    """

    STATE: Final = ("shard", "accounts", "subscriptions", "instruments", "books", "orders")

    def __init__(
        self,
        instruments: Sequence[InstrumentConfig],
        accounts: Sequence[AccountConfig],
        strategies: Sequence[StrategyConfig],
        tables: MarketTables,
        *,
        buffer: int = 1 << 12,
        ready: bool = True,
    ) -> None:
        self.tables = tables
        self.instrument_configs = list(instruments)
        self.account_configs = sorted(accounts, key=lambda a: a.account)
        self.strategy_configs = sorted(strategies, key=lambda s: s.strategy)
        self.account_names = [a.account for a in self.account_configs]
        self.strategy_names = [s.strategy for s in self.strategy_configs]
        self.tokens = [i.instrument_token for i in self.instrument_configs]
        self.index_of = {token: n for n, token in enumerate(self.tokens)}
        self._configure()
        self._clear(buffer)
        self._bind()
        if ready:  # compiled: the first tick shall not wait
            fold.step(*self._arguments(NO_TICKS, NO_SIGNALS, NO_DEPTH, NO_RANGES, 1))

    def _configure(self) -> None:
        """What the kernels only read."""
        configs = self.account_configs
        self.limits = np.zeros(len(configs), LIMITS)
        self.venues = np.zeros(len(configs), VENUE)
        for n, config in enumerate(configs):
            self.limits[n] = limits_row(config.limits, real_money=config.broker != "paper")
            self.venues[n] = venue_row(config.venue)
        self.walks_depth = bool(self.venues["walk_depth"].any())  # whether any venue asks for the five levels
        charged = {c.venue.charges for c in configs}
        if len(charged) > 1:
            raise ValueError("accounts of one shard are either all charged or none")
        self.rate_days, self.rates = self.tables.tariff.table(charged != {False})
        self.unknown = (self.rates["known"] == 0) @ (1 << np.arange(self.rates.shape[1], dtype=np.int64))
        pairs = [(a, s) for s, c in enumerate(self.strategy_configs) for a in sorted(map(self._account, c.accounts))]
        self.subscription_names = [(self.account_names[a], self.strategy_names[s]) for a, s in pairs]
        self._pairs = pairs
        self.strategies = np.zeros(max(len(self.strategy_configs), 1), STRATEGY)
        for s, config in enumerate(self.strategy_configs):
            mine = [n for n, (_, strategy) in enumerate(pairs) if strategy == s]
            self.strategies[s] = (mine[0] if mine else 0, len(mine), PRODUCTS.index(config.product), 0)

    def _account(self, name: str) -> int:
        if name not in self.account_names:
            raise ValueError(f"account {name!r} is not one of {', '.join(self.account_names) or 'none'}")
        return self.account_names.index(name)

    def _clear(self, buffer: int) -> None:
        """State before the first tick, and the output buffers."""
        self.shard = np.zeros(1, SHARD)
        for field in ("second", "day", "rates", "dirty"):
            self.shard[field] = -1
        self.accounts = np.zeros(len(self.account_configs), ACCOUNT)
        for row, config in zip(self.accounts, self.account_configs, strict=True):
            for field in ("capital", "cash", "peak", "day_start"):
                row[field] = micro(config.capital)
            row["killed"] = config.killed
        self.accounts["dirty"] = CLEAN
        self.accounts["second"] = self.accounts["subscriptions"] = -1
        self.subscriptions = np.zeros(max(len(self._pairs), 1), SUBSCRIPTION)
        self.subscriptions["books"] = self.subscriptions["next"] = -1
        for n in reversed(range(len(self._pairs))):
            a, s = self._pairs[n]
            sizing = self.strategy_configs[s].sizing
            row = self.subscriptions[n]
            row["account"], row["strategy"] = a, s
            row["amount"], row["sizing"] = micro(sizing.amount), METHODS[sizing.method]
            row["next"], self.accounts[a]["subscriptions"] = self.accounts[a]["subscriptions"], n
        self.instruments = instrument_table(self.instrument_configs)
        shape = (len(self.subscriptions), max(len(self.instruments), 1))
        self.books = np.zeros(shape[0] * shape[1], BOOK)
        self.book_index = np.full(shape, -1, np.int32)
        pool = max(64, int(self.limits["max_open_orders"].sum()))
        self.orders = np.zeros(pool, ORDER)
        self.orders["next"] = np.arange(1, pool + 1)
        self.orders["next"][-1] = -1
        room = pool + 4 * shape[0]
        self.outputs = [
            np.empty(buffer + 2 * room + len(self.books), ORDER_EVENT), np.empty(buffer + 5 * room + len(self.books), FILL),
            np.empty(buffer + room, REFUSAL),
            np.empty(buffer + len(self.accounts) + shape[0] + len(self.books), SNAPSHOT),
            np.empty(64 + 3 * len(self.accounts), ALERT),
        ]  # fmt: skip

    def _bind(self) -> None:
        """Arguments of the kernel, made once: views cost more than the call."""
        fixed = (
            self.shard, self.accounts, self.limits, self.venues, self.subscriptions, self.strategies, self.instruments,
            self.books, self.book_index, self.orders, self.rate_days, self.rates, self.unknown,
            self.tables.calendar.sessions, self.tables.calendar.cut_offs, np.zeros(1, SIGNAL), np.zeros(1, ORDER),
        )  # fmt: skip
        self._state = tuple(records(array) for array in fixed)
        self._out = tuple(records(array) for array in self.outputs)
        # copied as plain words: numpy copies structured rows field by field
        self._words = [(array.view("i8"), array.itemsize // 8, array.dtype) for array in self.outputs]
        self._counters = self.shard.view("i8")[-_COUNTERS:]

    def run(
        self, ticks: Rows, signals: Rows = NO_SIGNALS, depth: Rows = NO_DEPTH, ranges: Rows = NO_RANGES
    ) -> Decisions:  # fmt: skip
        """Folds one batch: TICK rows in log order and SIGNAL rows sorted by (row, strategy).

        `depth` and `ranges` have a row for each tick, or none at all. The last prices of the signals are written into
        them. Raises: `ValueError` for an instrument beyond the table.
        """
        if not len(ticks):
            return NO_DECISIONS
        burst = self._make_room(int(signals["nth"].max()) + 1) if len(signals) else 1
        arguments = self._arguments(ticks, signals, depth, ranges, burst)
        if not fold.step(*arguments):
            return self._take()
        parts = [self._take()]
        more = 1
        while more:
            more = fold.step(*arguments)
            parts.append(self._take())
        return Decisions(*(np.concatenate(rows) for rows in zip(*parts, strict=True)))

    def _arguments(self, ticks: Rows, signals: Rows, depth: Rows, ranges: Rows, burst: int) -> tuple[Any, ...]:
        batch = map(records, (ticks, depth, ranges, signals))
        return (*self._state, self.tables.calendar.first_day, burst, *batch, *self._out)

    def _make_room(self, burst: int) -> int:
        """Outputs that hold what one row may lead to, when one strategy has `burst` signals for it."""
        needed = len(self.orders) + len(self.subscriptions) * burst
        if needed > len(self.outputs[2]) // 2:
            self.outputs[2] = np.empty(4 * needed, REFUSAL)
            self.outputs[0] = np.empty(8 * needed + len(self.books), ORDER_EVENT)
            self.outputs[1] = np.empty(20 * needed + len(self.books), FILL)
            self._bind()
        return burst

    def _take(self) -> Decisions:
        counts = self._counters.tolist()
        if not any(counts):
            return NO_DECISIONS
        rows = [
            words[: n * size].copy().view(dtype) if n else none
            for n, (words, size, dtype), none in zip(counts, self._words, _NONE, strict=True)
        ]
        self._counters[:] = 0
        return Decisions(*rows)

    # --- commands -----------------------------------------------------------------------------------------------------

    def kill(self, account: str, killed: bool = True) -> None:
        """No order leaves the account until it is resumed; survives restarts with the state."""
        self.accounts["killed"][self._account(account)] = killed

    def arm(self, account: str, armed: bool = True) -> None:
        self.accounts["armed"][self._account(account)] = armed

    # --- a strategy that ends ------------------------------------------------------------------------------------------

    def cancel(self, strategy: str) -> Decisions:
        """Cancels what still works of a strategy: its orders, failed."""
        shard, accounts, _, _, subscriptions, _, instruments, books, _, orders = self._state[:10]
        told, _, _, _, alerts = self._out
        number = self.strategy_names.index(strategy)
        fold.cancel(shard, accounts, subscriptions, instruments, books, orders, told, alerts, number)
        return self._take()

    def positions(self, strategy: str) -> list[tuple[int, int, int]]:
        """(subscription, instrument, signed quantity) of what a strategy holds, in a stable order."""
        books = self.books[: int(self.shard["booked"][0])]
        mine = [n for n, (_, name) in enumerate(self.subscription_names) if name == strategy]
        held = books[np.isin(books["subscription"], mine) & (books["position"] != 0)]
        return sorted((int(b["subscription"]), int(b["instrument"]), int(b["position"])) for b in held)

    def working(self) -> list[int]:
        """Numbers of the orders that work."""
        slots = chained(self.instruments["working"].tolist(), self.orders["next"], "working order")
        return self.orders["number"][slots].tolist()

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Any]:
        """What the arrays mean: rows are positions in these lists."""
        return {
            "version": STATE_VERSION,
            "tokens": self.tokens,
            "accounts": self.account_names,
            "subscriptions": [list(names) for names in self.subscription_names],
            "pool": len(self.orders),
        }

    def snapshot(self) -> dict[str, Rows]:
        """Copies of the state arrays; the index of books is rebuilt from the books."""
        return {name: getattr(self, name).copy() for name in self.STATE}

    def restore(self, state: Mapping[str, Rows]) -> None:
        """Takes over a snapshot of a shard with the same identity. Raises: `StateMismatch`, before anything is touched."""
        for name in self.STATE:
            mine, theirs = getattr(self, name), state[name]
            if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
                raise StateMismatch(
                    f"{name}: snapshot has {theirs.shape} rows of another layout, this shard {mine.shape}"
                )
        try:
            examine(state, Sizes(len(METHODS), len(self.strategies)))
        except Loose as loose:
            raise StateMismatch(f"the snapshot does not hang together: {loose}") from loose
        for name in self.STATE:
            getattr(self, name)[...] = state[name]
        self.take_day()
        booked = self.books[: int(self.shard["booked"][0])]
        self.book_index[...] = -1
        self.book_index[booked["subscription"], booked["instrument"]] = np.arange(len(booked))

    def take_day(self) -> None:
        """What today's row of the tables says into the state, as `account.open_day` does.

        Places in the tables are no state: a snapshot made under others (with a year or a rate more) would point elsewhere.
        """
        day = int(self.shard["day"][0])
        if day < 0:  # nothing seen yet
            return
        version = int(np.searchsorted(self.rate_days, day, "right")) - 1
        calendar = self.tables.calendar
        row = day - calendar.first_day
        covered = version >= 0 and 0 <= row < calendar.days
        self.shard["rates"] = version
        self.shard["opens"] = calendar.sessions[row, :, :, 0] if covered else 0
        self.shard["closes"] = calendar.sessions[row, :, :, 1] if covered else 0
        self.shard["cut_offs"] = calendar.cut_offs[row] if covered else 0
        self.shard["unknown"] = self.unknown[version] if version >= 0 else 0

    def to_bytes(self) -> bytes:
        """The state as one blob with its version and identity."""
        arrays = {name: _array_to_bytes(getattr(self, name)) for name in self.STATE}
        return msgspec.msgpack.encode({"identity": self.identity, "arrays": arrays})

    def load(self, blob: bytes) -> None:
        """Takes over `to_bytes` of a shard with the same identity. Raises: `StateMismatch`."""
        try:
            kept = msgspec.msgpack.decode(blob, type=_Kept)
        except UNREADABLE as error:
            raise StateMismatch(f"{len(blob)} bytes are no state of a shard: {error}") from error
        for field, mine in self.identity.items():
            if field != "version" and kept.identity.get(field) != mine:
                raise StateMismatch(f"snapshot has {field} {kept.identity.get(field)}, this shard {mine}")
        missing = set(self.STATE) - set(kept.arrays)
        if missing:
            raise StateMismatch(f"snapshot lacks {', '.join(sorted(missing))}")
        arrays = {name: _array_from(kept.arrays[name], name) for name in self.STATE}
        products = self.strategies["product"][self.subscriptions["strategy"]]
        try:
            arrays = upgraded(arrays, kept.identity.get("version"), products)
        except (ValueError, IndexError, TypeError) as error:
            raise StateMismatch(f"the snapshot cannot be brought up to this version: {error}") from error
        self.restore(arrays)

    def rebuild(self, fills: Rows) -> None:
        """Books and money from recorded FILL rows, without a decision."""
        fold.rebuild(
            records(self.shard), records(self.accounts), records(self.subscriptions), records(self.instruments),
            records(self.books), self.book_index, records(fills),
        )  # fmt: skip
