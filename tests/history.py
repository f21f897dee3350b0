"""A desk's history in a few words: makers of events for specs of the read side.

Times are seconds after 10:00 IST on Wednesday 2026-05-06. An event's id follows from its type, its subject and its
time, so that making it twice gives a copy.
"""

from datetime import UTC, datetime
from typing import Any

from connectors.kafka.records import Outgoing, Record
from functions.codec import decode, encode, envelope
from functions.events import (
    EventEnvelope,
    MarketClock,
    MarketTick,
    OrderAck,
    OrderFailed,
    OrderFilled,
    OrderPlaced,
    OrderSubmitted,
    PnlSnapshot,
    PositionPnl,
    QualityReport,
    Refusal,
    SignalRejected,
    SignalValidated,
    StrategyPnl,
    SystemAlert,
    TradingSignal,
)
from functions.ids import event_id, tick_id
from functions.money import micro, rupees
from functions.topics import (
    MARKET_CLOCK,
    MARKET_QUALITY,
    MARKET_TICKS,
    ORDERS_ACK,
    ORDERS_FAILED,
    ORDERS_FILLED,
    ORDERS_PLACED,
    ORDERS_SUBMITTED,
    PNL_SNAPSHOTS,
    SIGNALS_RAW,
    SIGNALS_REJECTED,
    SIGNALS_VALIDATED,
    SYSTEM_ALERTS,
)  # fmt: skip

Event = EventEnvelope[Any]
SECOND = 1_000_000_000
TEN = int(datetime(2026, 5, 6, 4, 30, tzinfo=UTC).timestamp()) * SECOND
TOKEN = 738561

TOPIC_OF = {
    TradingSignal: SIGNALS_RAW, SignalValidated: SIGNALS_VALIDATED, SignalRejected: SIGNALS_REJECTED,
    OrderSubmitted: ORDERS_SUBMITTED, OrderAck: ORDERS_ACK, OrderPlaced: ORDERS_PLACED, OrderFilled: ORDERS_FILLED,
    OrderFailed: ORDERS_FAILED, PnlSnapshot: PNL_SNAPSHOTS, SystemAlert: SYSTEM_ALERTS, QualityReport: MARKET_QUALITY,
    MarketTick: MARKET_TICKS, MarketClock: MARKET_CLOCK,
}  # fmt: skip


def made(data: Any, at: float, subject: str, source: str = "pipeline") -> Event:
    time = TEN + round(at * 1e9)
    id = event_id(time, subject, type(data).__name__)
    return envelope(data, id=id, time_ns=time, source=source, broker="paper")


def signal(name: str = "g1", strategy: str = "momentum", at: float = 0.0) -> Event:
    return made(TradingSignal(name, strategy, TOKEN, "BUY", 10, "MARKET", "MIS", 100.0), at, name)


def validated(name: str = "g1", account: str = "a", at: float = 0.0) -> Event:
    return made(SignalValidated(name, account, "momentum", TOKEN, "BUY", 10, "o1"), at, name + account)


def rejected(name: str = "g1", account: str = "a", at: float = 0.0, rules: tuple[str, ...] = ("daily_loss",)) -> Event:
    reasons = [Refusal(rule, "10", "11") for rule in rules]
    return made(SignalRejected(name, account, "momentum", TOKEN, "BUY", 10, reasons), at, name + account)


def submitted(order: str = "o1", quantity: int = 10, at: float = 0.0, account: str = "a", side: Any = "BUY") -> Event:
    data = OrderSubmitted(
        order, account, "momentum", TOKEN, "RELIANCE", "NSE", side, quantity, "MARKET", "MIS", "g1"
    )  # fmt: skip
    return made(data, at, order)


def ack(order: str = "o1", at: float = 0.1, account: str = "a") -> Event:
    return made(OrderAck(order, account, "momentum", TOKEN, "P1"), at, order)


def placed(order: str = "o1", quantity: int = 10, at: float = 0.2, account: str = "a") -> Event:
    return made(OrderPlaced(order, account, "momentum", TOKEN, "P1", quantity), at, order)


def filled(
    order: str = "o1", quantity: int = 10, price: str = "100.00", *, left: int = 0, position: int | None = None,
    average: str | None = None, at: float = 0.3, account: str = "a", side: Any = "BUY", charges: str = "1.50",
    realised: str = "0.00",
) -> Event:  # fmt: skip
    position = quantity if position is None else position
    data = OrderFilled(
        order, account, "momentum", TOKEN, "RELIANCE", side, quantity, left, price, rupees(quantity * micro(price)),
        charges, realised, position, average or price, "0.05",
    )  # fmt: skip
    return made(data, at, f"{order}:{left}")


def failed(order: str = "o1", left: int = 10, at: float = 0.4, reason: str = "cancelled", account: str = "a") -> Event:
    return made(OrderFailed(order, account, "momentum", TOKEN, reason, left), at, order)


def snapshot(
    at: float, *, account: str = "a", cash: str = "999000.00", realised: str = "0.00", unrealised: str = "0.00",
    charges: str = "1.50", positions: tuple[tuple[int, int, str, str], ...] = (), strategy: str = "momentum",
) -> Event:  # fmt: skip
    """`positions`: (token, quantity, average price, last price)."""
    held = [
        PositionPnl(token, quantity, average, last, rupees(quantity * (micro(last) - micro(average))))
        for token, quantity, average, last in positions
    ]
    net = rupees(micro(realised) + micro(unrealised) - micro(charges))
    data = PnlSnapshot(
        account, cash, realised, unrealised, charges, net, "1000000.00", "1000.00", "1000000.00", "1.50",
        [StrategyPnl(strategy, realised, unrealised, charges, net, held)],
    )  # fmt: skip
    return made(data, at, account)


def alert(code: str = "daily_loss", at: float = 0.0) -> Event:
    return made(SystemAlert("critical", code, "lost too much", "a"), at, code)


def quality(at: float = 0.0) -> Event:
    return made(QualityReport("gap", 3, "3 s without a tick", TOKEN), at, "gap", "feed")


def tick(price: float, at: float, token: int = TOKEN, ordinal: int = 0, sequence: int = -1) -> Event:
    time = TEN + round(at * 1e9)
    data = MarketTick(token, price, time // 1000, 100, 0, price - 0.05, price + 0.05, 5, 7, 1, sequence)
    return envelope(data, id=tick_id(token, time, ordinal), time_ns=time, source="feed", broker="paper")


def clock(at: float, sequence: int = -1) -> Event:
    time = TEN + round(at * 1e9)
    return made(MarketClock(time // 1000, 1, sequence), at, "clock", "feed")


def topic_of(event: Event) -> str:
    return TOPIC_OF[type(event.data)].of("paper").name


def outgoing(event: Event, key: bytes = b"k") -> Outgoing:
    """The event on its way to its topic."""
    return Outgoing(topic_of(event), key, encode(event))


class Log:
    """A log of one partition a topic: gives events their offsets."""

    def __init__(self) -> None:
        self.ends: dict[str, int] = {}

    def append(self, *events: Event) -> list[Record]:
        return [self.append_raw(topic_of(event), encode(event)) for event in events]

    def append_raw(self, topic: str, value: bytes | None, key: bytes | None = b"k", headers: Any = None) -> Record:
        offset = self.ends.get(topic, 0)
        self.ends[topic] = offset + 1
        return Record(topic, 0, offset, key, value, headers)


def pairs(*events: Event) -> list[tuple[Event, bytes]]:
    """Events with their raw JSON, as a reader has them."""
    return [(decode(encode(event)), encode(event)) for event in events]
