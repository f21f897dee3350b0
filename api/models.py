"""Models of the API: what each answer looks like. Money is text in rupees, times are RFC 3339 in UTC."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Money = Annotated[str, Field(description="Rupees, exact", pattern=r"^-?\d+\.\d{2,6}$", examples=["1234.50"])]
Time = Annotated[str, Field(description="RFC 3339, UTC", examples=["2026-05-06T04:30:00.300000Z"])]
Token = Annotated[int, Field(description="Instrument token", examples=[738561])]
Side = Literal["BUY", "SELL"]
Status = Literal["submitted", "acknowledged", "placed", "partially_filled", "filled", "failed"]

I = TypeVar("I")  # noqa: E741 - an item


class Model(BaseModel):
    """What all answers share: immutable; what a newer writer added is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Page(Model, Generic[I]):
    """Items, and what to pass as `after` for those that follow; `null` at the end."""

    items: list[I]
    next: str | None = Field(None, examples=["WyIxNzc4MDQxODAwMDAwLTAiLCJhIl0"])


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is no order 'o9'",
                    "instance": "/api/v1/orders/o9",
                }
            ]
        }
    )  # fmt: skip

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    errors: list[dict[str, str]] | None = None


# --- accounts ---------------------------------------------------------------------------------------------------------


class Account(Model):
    """An account that has traded."""

    account: str = Field(examples=["paper-1"])
    broker: str = Field(examples=["paper"])
    as_of: Time | None = Field(description="Event time of its last snapshot")


class Summary(Model):
    """An account at its last snapshot."""

    account: str = Field(examples=["paper-1"])
    as_of: Time
    cash: Money
    equity: Money
    gross_exposure: Money
    realised: Money
    unrealised: Money
    charges: Money
    net_pnl: Money
    peak_equity: Money
    max_drawdown: Money
    open_positions: int
    open_orders: int


class Position(Model):
    """What a strategy holds of one instrument."""

    account: str
    strategy: str = Field(examples=["momentum"])
    instrument_token: Token
    tradingsymbol: str | None = Field(examples=["RELIANCE"])
    quantity: int = Field(description="Signed", examples=[10])
    average_price: Money
    last_price: Money
    unrealised: Money
    as_of: Time


class PnlPoint(Model):
    """An account at one boundary."""

    id: str
    timestamp: Time
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


# --- orders -----------------------------------------------------------------------------------------------------------


class Order(Model):
    """An order and how far it has come. Of an order whose first event is yet to be read, some fields are null."""

    order_id: str
    account: str
    strategy: str = Field(examples=["momentum"])
    instrument_token: Token
    tradingsymbol: str | None = Field(examples=["RELIANCE"])
    exchange: str | None = Field(examples=["NSE"])
    side: Side | None
    quantity: int | None = Field(examples=[10])
    kind: str | None = Field(examples=["MARKET"])
    product: str | None = Field(examples=["MIS"])
    limit_price: float | None
    trigger_price: float | None
    status: Status
    filled_quantity: int
    remaining: int | None
    average_price: Money | None
    charges: Money
    reason: str | None = Field(description="Why it failed")
    signal_id: str | None
    broker_order_id: str | None
    submitted_at: Time | None
    updated_at: Time


class Fill(Model):
    """A trade."""

    id: str
    timestamp: Time
    order_id: str
    account: str
    strategy: str = Field(examples=["momentum"])
    instrument_token: Token
    tradingsymbol: str = Field(examples=["RELIANCE"])
    side: Side
    quantity: int = Field(examples=[10])
    remaining: int
    price: Money
    value: Money
    charges: Money
    realised_pnl: Money
    position: int
    average_price: Money
    slippage: Money


# --- signals ----------------------------------------------------------------------------------------------------------


class Signal(Model):
    """What a strategy wants; with an account, what may leave for it, at its size."""

    id: str
    timestamp: Time
    signal_id: str
    account: str | None = None
    strategy: str = Field(examples=["momentum"])
    instrument_token: Token
    side: Side
    quantity: int
    kind: str | None = None
    product: str | None = None
    price: float | None = None
    limit_price: float | None = None
    trigger_price: float | None = None
    order_id: str | None = None


class Reason(Model):
    """One rule that refused."""

    rule: str = Field(examples=["daily_loss"])
    limit: str
    observed: str


class Rejection(Model):
    """A signal that an account refused, with every rule that did."""

    id: str
    timestamp: Time
    signal_id: str
    account: str
    strategy: str = Field(examples=["momentum"])
    instrument_token: Token
    side: Side
    quantity: int
    reasons: list[Reason]


class Strategy(Model):
    """A strategy over all accounts: counts of events, and money as of its accounts' last snapshots."""

    strategy: str = Field(examples=["momentum"])
    signals: int
    rejected: int
    orders: int
    fills: int
    realised: Money
    unrealised: Money
    charges: Money
    net_pnl: Money


class Alert(Model):
    """Something a human should know."""

    id: str
    timestamp: Time
    severity: Literal["info", "warning", "critical"]
    code: str = Field(examples=["daily_loss"])
    message: str
    subject: str
    source: str


class Counts(Model):
    """Records of each topic: of the cache's topics as Redis knows them, of the others as archived."""

    items: dict[str, int] = Field(examples=[{"market.ticks": 120000, "paper.orders.filled": 42}])


# --- the process ------------------------------------------------------------------------------------------------------


class Alive(Model):
    """The process answers."""

    status: Literal["alive", "ready"] = "alive"


class Dependency(Model):
    """One thing this process reads."""

    name: Literal["redis", "lake", "kafka"]
    state: Literal["up", "down"]
    circuit: Literal["closed", "open", "half-open"] = Field(
        "closed", description="open: it counts as away, and is asked once a second; others are refused at once"
    )
    away_s: float = Field(0.0, description="For how long it has counted as away")
    detail: str = ""
    took_ms: float


class CacheState(Model):
    """The flow that keeps Redis up to date, by its own word."""

    state: Literal["live", "silent", "never seen"]
    written_s_ago: float | None = None
    newest_event: Time | None = None
    lag_records: int | None = Field(None, description="Records on the log that are not in Redis; null where unknown")


class WaitsFor(Model):
    """A dependency that a flow waits for."""

    name: str
    since: Time
    reason: str


class FlowState(Model):
    """One flow, by its supervisor's word."""

    state: Literal["waiting", "starting", "live", "restarting", "failed"]
    since: Time
    restarts: int = Field(description="Since the supervisor took it")
    stuck: int = Field(description="Of these, because its heartbeat had stopped")
    reason: str = Field(description="Why it is not live")
    waits_for: list[WaitsFor] = Field(description="What a live flow says is away; it goes on by itself")


class Health(Model):
    """The process and what it reads, in detail."""

    status: Literal["ok", "degraded"]
    dependencies: list[Dependency]
    caches: dict[str, CacheState]
    flows: dict[str, FlowState] = Field(
        default_factory=dict, description="Those beside this process under one supervisor; empty where there is none"
    )
