"""Blotter: what a desk sees of its accounts, kept in Redis; which writes an event calls for.

    events + what is stored ─► reduce ─► writes (Redis commands, as data)

Names begin with the broker, hashes hold text or JSON, lists hold the whole event: a client in any language can read them
(`docs/read-side.md`). The log knows an order within a partition, and none between partitions: whichever is read first,
the tables come to the same bytes. So lists are sorted by the ids of their events, and a row is made of the youngest that
was said of it, not of what was read last.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from functions.events import (
    EventEnvelope,
    OrderAck,
    OrderFailed,
    OrderFilled,
    OrderPlaced,
    OrderSubmitted,
    Payload,
    PnlSnapshot,
    QualityReport,
    SignalRejected,
    SignalValidated,
    StrategyPnl,
    SystemAlert,
    TradingSignal,
)
from functions.money import micro, rupees
from functions.position_rows import Row, with_fill, with_snapshot

LAYOUT: Final = "2"  # of the tables: those of another layout are made anew from the log
KEPT: Final = 10_000  # events that a list keeps, the newest
CLOSED_ORDERS: Final = 10_000  # orders an account keeps after they closed; the lake keeps all
ALL_ACCOUNTS: Final = "-"  # a signal before any account has answered it

Stored = Mapping[str, Mapping[str, str]]  # Redis key -> field -> text

_OrderEvent = OrderSubmitted | OrderAck | OrderPlaced | OrderFilled | OrderFailed


class Write(NamedTuple):
    """One Redis command, e.g. `Write("HSET", "paper:account:a", ("cash", "1.00"))`."""

    command: str
    key: str
    arguments: tuple[str | bytes | int, ...]


class Keys:
    """The Redis keys of one broker."""

    def __init__(self, broker: str) -> None:
        self.accounts = f"{broker}:accounts"
        self.strategies = f"{broker}:strategies"
        self.alerts = f"{broker}:alerts"
        self.quality = f"{broker}:quality"
        self.offsets = f"{broker}:cache:offsets"
        self.heartbeat = f"{broker}:cache:heartbeat"
        self.layout = f"{broker}:cache:layout"
        self.channel = f"{broker}:events"
        self._broker = broker

    def is_ours(self, key: str) -> bool:
        """Whether a key of the broker's is one of these, of whatever layout."""
        return key.split(":")[1] in _TABLES

    def account(self, account: str) -> str:
        return f"{self._broker}:account:{account}"

    def positions(self, account: str) -> str:
        return f"{self._broker}:positions:{account}"

    def orders(self, account: str) -> str:
        return f"{self._broker}:orders:{account}"

    def closed_orders(self, account: str) -> str:
        """Sorted set of closed order ids by the time of their last event (`closing_score`)."""
        return f"{self._broker}:orders:{account}:closed"

    def fills(self, account: str) -> str:
        return f"{self._broker}:fills:{account}"

    def pnl(self, account: str) -> str:
        return f"{self._broker}:pnl:{account}"

    def signals(self, account: str) -> str:
        return f"{self._broker}:signals:{account}"

    def rejections(self, account: str) -> str:
        return f"{self._broker}:rejections:{account}"

    def ids(self, topic: str, partition: int) -> str:
        """List of the ids last taken from a partition: what is in it again is a copy."""
        return f"{self._broker}:cache:ids:{topic}:{partition}"


_TABLES: Final = frozenset(
    {
        "accounts", "account", "positions", "orders", "fills", "pnl", "signals", "rejections", "strategies", "alerts",
        "quality", "cache",
    }
)  # fmt: skip


def member(event_id: str, raw: bytes) -> bytes:
    """An event in its list. All have score 0, so Redis sorts them by their bytes: by id, whose beginning is the time.

    >>> member("019aa491-a67b-7395-a705-2869c58e69c6", b"{}")
    b'019aa491-a67b-7395-a705-2869c58e69c6 {}'
    """
    return event_id.encode() + b" " + raw


class Needs(NamedTuple):
    """What must be known before events can be reduced."""

    orders: dict[str, set[str]]  # account -> order ids
    accounts: set[str]  # whose whole account and position hashes
    strategies: set[str]


def needs(payloads: Iterable[Payload]) -> Needs:
    """What `reduce` has to be given of these events' past."""
    wanted = Needs({}, set(), set())
    for payload in payloads:
        match payload:
            case OrderSubmitted() | OrderAck() | OrderPlaced() | OrderFilled() | OrderFailed():
                wanted.orders.setdefault(payload.account, set()).add(payload.order_id)
                wanted.strategies.add(payload.strategy)
                if isinstance(payload, OrderFilled):
                    wanted.accounts.add(payload.account)
            case TradingSignal() | SignalRejected():
                wanted.strategies.add(payload.strategy)
            case PnlSnapshot():
                wanted.accounts.add(payload.account)
                wanted.strategies.update(strategy.strategy for strategy in payload.strategies)
            case _:
                pass
    return wanted


def reduce(broker: str, events: Sequence[tuple[EventEnvelope[Any], bytes]], stored: Stored) -> list[Write]:
    """The writes for events (with their raw JSON) that Redis has not seen, given what it stores of `needs`."""
    blotter = _Blotter(Keys(broker), stored)
    for event, raw in events:
        blotter.take(event, raw)
    return blotter.writes()


class _Blotter:
    """The rows that a batch touches, each written once however often it changed."""

    def __init__(self, keys: Keys, stored: Stored) -> None:
        self._keys = keys
        self._stored = stored
        self._json: dict[tuple[str, str], Row] = {}  # rows touched, (key, field)
        self._plain: dict[str, dict[str, str]] = {}  # hashes of plain text touched
        self._closed: dict[str, dict[str, int]] = {}
        self._accounts: set[str] = set()
        self._lists: dict[str, list[bytes]] = {}
        self._told: list[Write] = []

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _row(self, key: str, field: str) -> Row:
        row = self._json.get((key, field))
        if row is None:
            text = self._stored.get(key, {}).get(field)
            row = msgspec.json.decode(text) if text else {}
            self._json[key, field] = row
        return row

    def _fields(self, key: str) -> set[str]:
        return set(self._stored.get(key, {})) | {field for at, field in self._json if at == key}

    def writes(self) -> list[Write]:
        """What the batch comes to: rows, lists, then what is told, in the order of the events."""
        hashes: dict[str, list[str | bytes]] = {}
        for (key, field), row in self._json.items():
            if row:
                hashes.setdefault(key, []).extend((field, msgspec.json.encode(row)))
        for key, fields in self._plain.items():
            hashes.setdefault(key, []).extend(text for pair in fields.items() for text in pair)
        out = [Write("HSET", key, tuple(pairs)) for key, pairs in hashes.items()]
        if self._accounts:
            out.append(Write("SADD", self._keys.accounts, tuple(sorted(self._accounts))))
        for account, orders in self._closed.items():
            scored = tuple(part for order, time in orders.items() for part in (time, order))
            out.append(Write("ZADD", self._keys.closed_orders(account), scored))
        for key, members in self._lists.items():
            out.append(Write("ZADD", key, tuple(part for one in members for part in (0, one))))
            out.append(Write("ZREMRANGEBYRANK", key, (0, -KEPT - 1)))
        return out + self._told

    # --- events -------------------------------------------------------------------------------------------------------

    def take(self, event: EventEnvelope[Any], raw: bytes) -> None:
        """Folds one event and tells those who listen."""
        data = event.data
        match data:
            case TradingSignal():
                self._count(data.strategy, "signals")
                self._append(self._keys.signals(ALL_ACCOUNTS), event, raw)
            case SignalValidated():
                self._append(self._keys.signals(data.account), event, raw)
            case SignalRejected():
                self._count(data.strategy, "rejected")
                self._append(self._keys.rejections(data.account), event, raw)
            case OrderSubmitted() | OrderAck() | OrderPlaced() | OrderFilled() | OrderFailed():
                self._order(data, event, raw)
            case PnlSnapshot():
                self._snapshot(data, event.timestamp)
                self._append(self._keys.pnl(data.account), event, raw)
            case SystemAlert():
                self._append(self._keys.alerts, event, raw)
            case QualityReport():
                self._append(self._keys.quality, event, raw)
            case _:
                return  # nothing that a desk looks at
        account = getattr(data, "account", None)
        if account is not None:
            self._accounts.add(account)
        self._told.append(Write("PUBLISH", self._keys.channel, (raw,)))

    def _append(self, key: str, event: EventEnvelope[Any], raw: bytes) -> None:
        self._lists.setdefault(key, []).append(member(event.id, raw))

    def _count(self, strategy: str, what: str) -> None:
        row = self._strategy(strategy)
        row[what] += 1

    def _strategy(self, strategy: str) -> Row:
        row = self._row(self._keys.strategies, strategy)
        if not row:
            row.update(
                strategy=strategy, signals=0, rejected=0, orders=0, fills=0, realised="0.00", unrealised="0.00",
                charges="0.00", net_pnl="0.00", accounts={},
            )  # fmt: skip
        return row

    # --- orders -------------------------------------------------------------------------------------------------------

    def _order(self, data: _OrderEvent, event: EventEnvelope[Any], raw: bytes) -> None:
        time = event.timestamp
        row = self._row(self._keys.orders(data.account), data.order_id)
        if not row:
            row.update(_unknown_order(data))
        _note(row, data)
        row["status"] = status(row)
        row["updated_at"] = max(row["updated_at"] or "", time)
        if isinstance(data, OrderSubmitted):
            row["submitted_at"] = time
            self._count(data.strategy, "orders")
        if isinstance(data, OrderFilled):
            self._count(data.strategy, "fills")
            self._position_after(data, event)
            self._append(self._keys.fills(data.account), event, raw)
        if row["status"] in ("filled", "failed"):
            closed = self._closed.setdefault(data.account, {})
            closed[data.order_id] = closing_score(row["updated_at"])

    def _position_after(self, fill: OrderFilled, event: EventEnvelope[Any]) -> None:
        row = self._row(self._keys.positions(fill.account), f"{fill.strategy}:{fill.instrument_token}")
        snapshot = self._strategy(fill.strategy)["accounts"].get(fill.account, {})
        with_fill(row, fill, event.id, event.timestamp, snapshot.get("timestamp", ""))

    # --- snapshots ----------------------------------------------------------------------------------------------------

    def _snapshot(self, data: PnlSnapshot, time: str) -> None:
        """An account as of a boundary: everything that happened before it, nothing at or after it."""
        key = self._keys.account(data.account)
        known = self._plain.get(key) or self._stored.get(key, {})
        if time < known.get("timestamp", ""):
            return
        fields = msgspec.structs.asdict(data)
        del fields["strategies"]
        self._plain[key] = {**fields, "timestamp": time}
        for strategy in data.strategies:
            self._strategy_pnl(data.account, strategy, time)
        self._positions_at(data, time)

    def _strategy_pnl(self, account: str, pnl: StrategyPnl, time: str) -> None:
        row = self._strategy(pnl.strategy)
        row["accounts"][account] = {
            "realised": pnl.realised, "unrealised": pnl.unrealised, "charges": pnl.charges, "net_pnl": pnl.net_pnl,
            "timestamp": time,
        }  # fmt: skip
        row["accounts"] = dict(sorted(row["accounts"].items()))
        for name in ("realised", "unrealised", "charges", "net_pnl"):
            row[name] = rupees(sum(micro(part[name]) for part in row["accounts"].values()))

    def _positions_at(self, data: PnlSnapshot, time: str) -> None:
        """Open positions are listed; of a listed strategy, what is not listed is flat."""
        key = self._keys.positions(data.account)
        listed = {f"{s.strategy}:{p.instrument_token}": (s.strategy, p) for s in data.strategies for p in s.positions}
        strategies = {s.strategy for s in data.strategies}
        for field in self._fields(key) | set(listed):
            row = self._row(key, field)
            strategy, position = listed.get(field) or (row["strategy"], None)
            if strategy in strategies:
                token = row["instrument_token"] if position is None else position.instrument_token
                with_snapshot(row, strategy, position, token, time)


# --- small decisions --------------------------------------------------------------------------------------------------


def _unknown_order(data: _OrderEvent) -> Row:
    """An order of which only its owner is known yet."""
    return {
        "order_id": data.order_id, "account": data.account, "strategy": data.strategy,
        "instrument_token": data.instrument_token, "tradingsymbol": None, "exchange": None, "side": None,
        "quantity": None, "kind": None, "product": None, "limit_price": None, "trigger_price": None, "signal_id": None,
        "status": "submitted", "acknowledged": False, "placed": False, "broker_order_id": None, "filled_quantity": 0,
        "filled_value": "0.00", "average_price": None, "charges": "0.00", "remaining": None, "reason": None,
        "submitted_at": None, "updated_at": None,
    }  # fmt: skip


def _note(row: Row, data: _OrderEvent) -> None:
    """What one event says of its order, whatever came before it."""
    match data:
        case OrderSubmitted():
            for name in (
                "tradingsymbol", "exchange", "side", "quantity", "kind", "product", "limit_price", "trigger_price",
                "signal_id",
            ):  # fmt: skip
                row[name] = getattr(data, name)
            if row["remaining"] is None:
                row["remaining"] = data.quantity
        case OrderAck():
            row["acknowledged"] = True
            if not row["placed"]:  # else it has been named by what came later
                row["broker_order_id"] = data.broker_order_id
        case OrderPlaced():
            row["placed"] = True
            row["broker_order_id"] = data.broker_order_id
        case OrderFilled():
            row["tradingsymbol"], row["side"] = data.tradingsymbol, data.side
            row["filled_quantity"] += data.quantity
            value = micro(row["filled_value"]) + micro(data.value)
            row["filled_value"] = rupees(value)
            row["average_price"] = rupees((2 * value + row["filled_quantity"]) // (2 * row["filled_quantity"]))
            row["charges"] = rupees(micro(row["charges"]) + micro(data.charges))
            row["remaining"] = data.remaining if row["remaining"] is None else min(row["remaining"], data.remaining)
        case OrderFailed():
            row["reason"] = data.reason
            row["remaining"] = data.remaining if row["remaining"] is None else min(row["remaining"], data.remaining)


def status(order: Mapping[str, Any]) -> str:
    """How far an order has come: submitted, acknowledged, placed, partially_filled, filled or failed.

    >>> seen = {"reason": None, "filled_quantity": 4, "remaining": 6, "placed": True, "acknowledged": True}
    >>> status(seen), status({**seen, "remaining": 0}), status({**seen, "reason": "cancelled"})
    ('partially_filled', 'filled', 'failed')
    """
    if order["reason"] is not None:
        return "failed"
    if order["filled_quantity"]:
        return "filled" if order["remaining"] == 0 else "partially_filled"
    if order["placed"]:
        return "placed"
    return "acknowledged" if order["acknowledged"] else "submitted"


def closing_score(timestamp: str) -> int:
    """A sortable number from RFC 3339 text in UTC, by its digits: yymmddhhmmss and milliseconds, within 2^53.

    >>> closing_score("2026-05-06T04:30:01.250000Z"), closing_score("2026-05-06T04:30:01Z")
    (260506043001250, 260506043001000)
    """
    return int("".join(c for c in timestamp[2:23] if c.isdecimal()).ljust(15, "0"))
