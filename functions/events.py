"""Events: one envelope, one payload type per event type.

In JSON prices are numbers as the exchange prints them (rupees), money is a decimal string in rupees, quantities are
integers, times are RFC 3339 in UTC with microseconds. Requests say what is wanted (`order_submitted`), facts are
past tense (`order_filled`). The type name on the wire is the key of `PAYLOADS`. A change that an old reader or an old record
would not stand is a new version of the type: `functions/versions.py`.
"""

from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from functions.money import MONEY_PATTERN

Side = Literal["BUY", "SELL"]
OrderKind = Literal["MARKET", "LIMIT", "SL", "SL-M"]
Product = Literal["MIS", "CNC", "NRML"]
Exchange = Literal["NSE", "BSE", "NFO", "BFO"]
InstrumentKind = Literal["EQ", "FUT", "CE", "PE", "INDEX"]
Level = tuple[float, int]  # price in rupees, quantity
Money = Annotated[str, msgspec.Meta(pattern=MONEY_PATTERN, description="rupees")]


class Payload(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=False):
    """What all payloads share: immutable, and readers ignore fields that a newer writer added."""


class Depth(Payload, frozen=True):
    """Five best levels of each side, best first."""

    buy: list[Level]
    sell: list[Level]


class Bar(Payload, frozen=True, omit_defaults=True):
    """Of which bar a price is a print: its opening, which no strategy sees, or its close, which knows the bar's range.

    `start` is event time in microseconds since the epoch. Without `traded` nothing fills in the bar: it has no volume
    where the instrument's other bars have one.
    """

    at: Literal["open", "close"]
    start: int
    high: float = 0.0
    low: float = 0.0
    traded: bool = True


class Quote(Payload, frozen=True):
    """What most readers need of a `MarketTick`: all but its depth and its bar."""

    instrument_token: int
    last_price: float
    exchange_timestamp: int
    volume_traded: int = 0
    oi: int = 0
    bid: float = 0.0
    ask: float = 0.0
    bid_quantity: int = 0
    ask_quantity: int = 0
    session: int = 0
    sequence: int = -1


class MarketTick(Quote, frozen=True):
    """One update of one instrument, as the feed received it.

    `exchange_timestamp` is event time in microseconds since the epoch. `session` and `sequence` number the feed's
    own order over all partitions (ticks and clocks together), so that a reader can restore it; -1 = unordered.
    """

    depth: Depth | None = None
    bar: Bar | UnsetType | None = UNSET  # left out where the price was not made of a bar


class MarketClock(Payload, frozen=True):
    """Market time has reached this second, whether or not anything traded."""

    exchange_timestamp: int
    session: int = 0
    sequence: int = -1


class QualityReport(Payload, frozen=True):
    """Something the feed noticed about its own data: a gap, an unreadable row, a duplicate."""

    kind: str
    count: int
    detail: str
    instrument_token: int | None = None
    first_timestamp: int | None = None  # event time, microseconds
    last_timestamp: int | None = None


class TradingSignal(Payload, frozen=True):
    """A strategy wants this; nobody has checked it yet."""

    signal_id: str
    strategy: str
    instrument_token: int
    side: Side
    quantity: int
    kind: OrderKind
    product: Product
    price: float  # last price when it was made
    limit_price: float | None = None
    trigger_price: float | None = None


class SignalValidated(Payload, frozen=True):
    """One account's answer to a signal: it may leave, with this size."""

    signal_id: str
    account: str
    strategy: str
    instrument_token: int
    side: Side
    quantity: int
    order_id: str


class Refusal(Payload, frozen=True):
    """One rule that refused, with the limit and what was observed, in the rule's own unit (see `functions/risk.py`)."""

    rule: str
    limit: str
    observed: str


class SignalRejected(Payload, frozen=True):
    """One account's answer to a signal: it may not leave, with every rule that refused it."""

    signal_id: str
    account: str
    strategy: str
    instrument_token: int
    side: Side
    quantity: int
    reasons: list[Refusal]


class OrderSubmitted(Payload, frozen=True):
    """An order that a venue is asked to take. `signal_id` of one with an `origin` is the alert that announced it."""

    order_id: str
    account: str
    strategy: str
    instrument_token: int
    tradingsymbol: str
    exchange: Exchange
    side: Side
    quantity: int
    kind: OrderKind
    product: Product
    signal_id: str
    limit_price: float | None = None
    trigger_price: float | None = None
    validity: Literal["DAY"] = "DAY"
    origin: Literal["square_off"] | UnsetType = (
        UNSET  # an order of the broker's cut-off; left out where a strategy asked
    )


class OrderAck(Payload, frozen=True):
    """The venue has received the order; it does not work yet."""

    order_id: str
    account: str
    strategy: str
    instrument_token: int
    broker_order_id: str


class OrderPlaced(Payload, frozen=True):
    """The order works at the venue."""

    order_id: str
    account: str
    strategy: str
    instrument_token: int
    broker_order_id: str
    quantity: int


class OrderFilled(Payload, frozen=True):
    """A trade. `charges` are those that this fill adds to its order; `realised_pnl` is before charges."""

    order_id: str
    account: str
    strategy: str
    instrument_token: int
    tradingsymbol: str
    side: Side
    quantity: int
    remaining: int
    price: Money  # fills may average beyond the tick
    value: Money
    charges: Money
    realised_pnl: Money
    position: int  # after this fill, signed
    average_price: Money  # of the position after this fill; 0 when flat
    slippage: Money  # per share against the last price when the signal was made, positive = worse


class OrderFailed(Payload, frozen=True):
    """The order will not (further) fill: refused, cancelled, at its session's end, or expired."""

    order_id: str
    account: str
    strategy: str
    instrument_token: int
    reason: str
    remaining: int


class PositionPnl(Payload, frozen=True):
    """One book of a strategy: what it holds of one instrument, marked at the boundary."""

    instrument_token: int
    quantity: int
    average_price: Money
    last_price: Money
    unrealised: Money


class StrategyPnl(Payload, frozen=True):
    """One strategy's books in one account, since the account began."""

    strategy: str
    realised: Money
    unrealised: Money
    charges: Money
    net_pnl: Money
    positions: list[PositionPnl]


class PnlSnapshot(Payload, frozen=True):
    """An account at a one-second boundary of event time, with the prices as of that boundary."""

    account: str
    cash: Money
    realised: Money
    unrealised: Money
    charges: Money
    net_pnl: Money
    equity: Money
    gross_exposure: Money
    peak_equity: Money
    max_drawdown: Money
    strategies: list[StrategyPnl]


class SystemAlert(Payload, frozen=True):
    """Something a human should know."""

    severity: Literal["info", "warning", "critical"]
    code: str
    message: str
    subject: str


class Command(Payload, frozen=True):
    """A human's order to the machine, written to the log before it acts."""

    command: Literal["kill", "resume", "arm", "disarm", "flatten"]
    account: str
    issued_by: str
    reason: str = ""


class InstrumentConfig(Payload, frozen=True):
    """One tradable (or observed) instrument. `closing_auction`: a cash stock with derivatives, see `calendar`."""

    instrument_token: int
    tradingsymbol: str
    exchange: Exchange
    kind: InstrumentKind
    tick_size: str
    lot_size: int
    closing_auction: bool = False
    enabled: bool = True


class Sizing(Payload, frozen=True):
    """How a signal's quantity becomes an order's: `units` multiplies it, `value` spends rupees, `equity` a share of it."""

    method: Literal["units", "value", "equity"] = "units"
    amount: str = "1"  # units: factor; value: rupees per unit of signal; equity: fraction per unit of signal


class StrategyConfig(Payload, frozen=True):
    """One running strategy: its code, parameters, instruments and the accounts it trades for."""

    strategy: str
    implementation: str  # a built-in's name, `module:attribute`, or an entry point
    parameters: dict[str, int | float | str | bool]
    instruments: list[int]
    accounts: list[str]
    product: Product = "MIS"
    sizing: Sizing = Sizing()
    enabled: bool = True
    zerodha_trading_enabled: bool = False
    on_disable: Literal["hold", "flatten"] = "hold"  # what becomes of its positions when it is disabled or deleted


class RiskLimits(Payload, frozen=True):
    """Limits of one account; money in rupees, inclusive. What each rule compares is said in `functions/risk.py`."""

    max_quantity: int = 10_000
    max_order_value: str = "500000"
    max_price_deviation_bps: int = 200
    max_price_age_ms: int = 5_000
    max_position: int = 10_000
    max_gross_exposure: str = "5000000"
    margin_bps: int = 2_000
    max_orders_per_second: int = 8
    max_orders_per_day: int = 4_500
    duplicate_window_ms: int = 2_000
    max_daily_loss: str = "20000"
    max_drawdown: str = "100000"
    max_open_orders: int = 20


class PaperVenue(Payload, frozen=True):
    """How the paper venue fills. Slippage is against the order: the three parts add up."""

    price: Literal["quote", "last"] = "quote"
    slippage_bps: str = "0"
    slippage_per_share: str = "0"
    slippage_spread_percent: int = 0
    latency_ms: int = 0
    partial_fills: bool = True
    walk_depth: bool = False
    charges: bool = True
    square_off: Literal["close", "tell"] = "close"  # what becomes of intraday positions at the broker's cut-off


class AccountConfig(Payload, frozen=True):
    """One account of one broker, with its money, its limits and its venue."""

    account: str
    broker: Literal["paper", "zerodha"]
    capital: str = "1000000"
    limits: RiskLimits = RiskLimits()
    venue: PaperVenue = PaperVenue()
    killed: bool = False
    enabled: bool = True
    shard: int | None = None  # from 1; None = as its name falls (`functions.assignment`)


PAYLOADS: Final[dict[str, type[Payload]]] = {
    "market_tick": MarketTick,
    "market_clock": MarketClock,
    "quality_report": QualityReport,
    "trading_signal": TradingSignal,
    "signal_validated": SignalValidated,
    "signal_rejected": SignalRejected,
    "order_submitted": OrderSubmitted,
    "order_ack": OrderAck,
    "order_placed": OrderPlaced,
    "order_filled": OrderFilled,
    "order_failed": OrderFailed,
    "pnl_snapshot": PnlSnapshot,
    "system_alert": SystemAlert,
    "command": Command,
    "instrument_configured": InstrumentConfig,
    "strategy_configured": StrategyConfig,
    "account_configured": AccountConfig,
}
TYPE_NAMES: Final[dict[type[Payload], str]] = {payload: name for name, payload in PAYLOADS.items()}

P = TypeVar("P", bound=Payload)


class EventEnvelope(msgspec.Struct, Generic[P], frozen=True, gc=False):
    """What every record on every topic looks like. `id` is the first field: readers may cut it from the raw bytes."""

    id: str
    type: str
    timestamp: str
    correlation_id: str
    causation_id: str | None
    source: str
    version: int
    broker: str
    data: P


class Head(msgspec.Struct, frozen=True, gc=False):
    """An event of any type whose payload nobody has read."""

    id: str
    type: str
    timestamp: str
    correlation_id: str
    causation_id: str | None
    source: str
    version: int
    broker: str
    data: msgspec.Raw
