"""Routes: take typed parameters, ask a read function, return its model."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import redis
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request

from analytics.queries import Queries
from api.desk import Desk, is_entry
from api.models import (
    Account,
    Alert,
    Alive,
    CacheState,
    Counts,
    Dependency,
    Fill,
    FlowState,
    Health,
    Order,
    Page,
    PnlPoint,
    Position,
    Problem,
    Rejection,
    Signal,
    Status,
    Strategy,
    Summary,
)  # fmt: skip
from api.pages import BadCursor, Cursor, page_of, read
from connectors.dependencies import Circuit, circuit
from connectors.errors import PipelineError

Ends = Callable[[str], dict[tuple[str, int], int]]


@dataclass(frozen=True)
class Sources:
    """What the routes read: a desk for each broker, the lake, and where known the ends of a cache's topics."""

    desks: dict[str, Desk]
    queries: Queries
    ping: Callable[[], Any]
    ends: Ends | None = None
    flows: Callable[[], dict[str, FlowState]] = dict
    redis: Circuit = field(default_factory=lambda: circuit("redis"))


# --- parameters -------------------------------------------------------------------------------------------------------


def _sources(request: Request) -> Sources:
    return request.app.state.sources


From = Annotated[Sources, Depends(_sources)]


def _desk(
    sources: From, broker: Annotated[str | None, Query(description="Whose; the first active one if left out")] = None
) -> Iterator[Desk]:
    """A broker's desk; while Redis is away nobody waits for it."""
    name = _broker(sources, broker)
    with sources.redis.guarded():
        yield sources.desks[name]


def _broker(sources: From, broker: Annotated[str | None, Query()] = None) -> str:
    name = next(iter(sources.desks)) if broker is None else broker
    if name not in sources.desks:
        raise HTTPException(404, f"broker {name!r} is not active; there is {', '.join(sources.desks)}")
    return name


def _cursor(after: Annotated[str | None, Query(description="`next` of the page before", max_length=500)] = None) -> Any:
    try:
        return None if after is None else read(after)
    except BadCursor as error:
        raise HTTPException(400, str(error)) from error


def _entry(after: Annotated[Cursor | None, Depends(_cursor)]) -> Any:
    if after is not None and not is_entry(after):
        raise HTTPException(400, "a cursor of another kind of list")
    return after


def _moment(after: Annotated[Cursor | None, Depends(_cursor)]) -> Any:
    return None if after is None else (_time("cursor", after[0]), after[1])


def _time(name: str, text: str) -> str:
    """A time in UTC, RFC 3339."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise HTTPException(400, f"{name} is no RFC 3339 time: {text[:50]!r}") from error
    if moment.tzinfo is None:
        raise HTTPException(400, f"{name} has no time zone: {text[:50]!r}; end it in Z or +05:30")
    try:
        return moment.astimezone(UTC).isoformat()
    except OverflowError as error:
        raise HTTPException(400, f"{name} is outside the years 1 to 9999 in UTC: {text[:50]!r}") from error


At = Annotated[Desk, Depends(_desk)]
Broker = Annotated[str, Depends(_broker)]
AfterOrder = Annotated[Cursor | None, Depends(_cursor)]
AfterEntry = Annotated[Cursor | None, Depends(_entry)]
AfterMoment = Annotated[Cursor | None, Depends(_moment)]
Limit = Annotated[int, Query(ge=1, le=500, description="Items of a page")]
Name = Annotated[str | None, Query(max_length=100)]

_PROBLEM: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}, "description": why}
    for status, why in (
        (400, "A cursor or a time cannot be read"),
        (404, "Unknown"),
        (422, "A parameter is wrong"),
        (503, "A dependency is down"),
    )
}

process = APIRouter(tags=["process"])
v1 = APIRouter(prefix="/api/v1", responses=_PROBLEM)

# --- the process ------------------------------------------------------------------------------------------------------


@process.get("/live")
def live() -> Alive:
    """Whether the process answers."""
    return Alive()


@process.get("/ready", responses={503: _PROBLEM[503]})
def ready(sources: From) -> Alive:
    """Whether Redis answers, which most answers come from."""
    with sources.redis.guarded():
        sources.ping()
    return Alive(status="ready")


@process.get("/health")
def health(sources: From) -> Health:
    """Every dependency, how far each cache has come, and how each flow does."""
    lake = circuit("lake", lost="lake.unavailable", found="lake.available")
    dependencies = [_probed("redis", sources.redis, sources.ping), _probed("lake", lake, sources.queries.check)]
    caches: dict[str, CacheState] = {}
    ends: dict[str, dict[tuple[str, int], int]] = {}
    if sources.ends is not None:
        ask = sources.ends
        know = circuit("kafka")
        dependencies.append(
            _probed("kafka", know, lambda: ends.update({broker: ask(broker) for broker in sources.desks}))
        )
    if dependencies[0].state == "up":
        caches = {broker: desk.cache(ends.get(broker)) for broker, desk in sources.desks.items()}
    flows = sources.flows()
    well = all(d.state == "up" for d in dependencies) and all(c.state == "live" for c in caches.values())
    well = well and all(flow.state == "live" and not flow.waits_for for flow in flows.values())
    return Health(status="ok" if well else "degraded", dependencies=dependencies, caches=caches, flows=flows)


def _probed(name: Literal["redis", "lake", "kafka"], of: Circuit, ask: Callable[[], Any]) -> Dependency:
    began, detail = time.perf_counter(), ""
    try:
        with of.guarded():
            ask()
    except PipelineError as error:
        detail = error.message
    except redis.RedisError as error:
        detail = str(error)
    took = round((time.perf_counter() - began) * 1000, 2)
    return Dependency(
        name=name,
        state="down" if detail else "up",
        circuit=of.state,
        away_s=round(of.away_s, 1),
        detail=detail,
        took_ms=took,
    )


# --- accounts ---------------------------------------------------------------------------------------------------------


@v1.get("/accounts", tags=["accounts"])
def accounts(desk: At) -> Page[Account]:
    """Accounts that have traded."""
    return desk.accounts()


@v1.get("/portfolio", tags=["accounts"])
def portfolio(desk: At) -> Page[Summary]:
    """Cash, equity, exposure, P&L and charges of every account."""
    return desk.portfolio()


@v1.get("/positions", tags=["accounts"])
def positions(desk: At, account: Name = None, strategy: Name = None, flat: bool = False) -> Page[Position]:
    """What each strategy holds; with `flat` also what it held once."""
    return desk.positions(account, strategy, flat)


@v1.get("/pnl", tags=["accounts"])
def pnl(
    sources: From, desk: At, broker: Broker, account: Annotated[str, Query(max_length=100)], after: AfterMoment,
    start: Annotated[str | None, Query(alias="from", description="Inclusive", examples=["2026-05-06T04:30:00Z"])] = None,
    end: Annotated[str | None, Query(alias="to", description="Exclusive", examples=["2026-05-06T10:00:00Z"])] = None,
    limit: Limit = 500,
) -> Page[PnlPoint]:  # fmt: skip
    """An account's snapshots, oldest first: what is archived, then what is too new to be."""
    bounds = (None if start is None else _time("from", start), None if end is None else _time("to", end))
    archived = sources.queries.pnl_series(broker, account, *bounds, limit=limit + 1, after=after)
    points = {point.id: PnlPoint(**asdict(point)) for point in archived}
    if len(points) <= limit:
        points |= {p.id: p for p in desk.recent_pnl(account) if _within(p, *bounds, after)}
    ordered = sorted(points.values(), key=lambda p: (p.timestamp, p.id))
    return page_of([((p.timestamp, p.id), p) for p in ordered], limit)


def _within(point: PnlPoint, start: str | None, end: str | None, after: Cursor | None) -> bool:
    at = datetime.fromisoformat(point.timestamp)
    if after is not None and (at, point.id) <= (datetime.fromisoformat(after[0]), after[1]):
        return False
    return (start is None or at >= datetime.fromisoformat(start)) and (end is None or at < datetime.fromisoformat(end))


# --- orders -----------------------------------------------------------------------------------------------------------


@v1.get("/orders", tags=["orders"])
def orders(
    desk: At,
    after: AfterOrder,
    account: Name = None,
    strategy: Name = None,
    status: Status | None = None,
    limit: Limit = 100,
) -> Page[Order]:
    """Open orders and the last closed ones, newest first."""
    return desk.orders(account, strategy, status, after, limit)


@v1.get("/orders/{order_id}", tags=["orders"])
def order(sources: From, desk: At, broker: Broker, order_id: Annotated[str, Path(max_length=100)]) -> Order:
    """One order, however long ago."""
    found = desk.order(order_id) or sources.queries.order(broker, order_id)
    if found is None:
        raise HTTPException(404, f"there is no order {order_id!r}")
    return Order.model_validate(found)


@v1.get("/fills", tags=["orders"])
def fills(desk: At, after: AfterEntry, account: Name = None, strategy: Name = None, limit: Limit = 100) -> Page[Fill]:
    """The last trades, newest first."""
    return desk.fills(account, strategy, after, limit)


# --- signals ----------------------------------------------------------------------------------------------------------


@v1.get("/signals", tags=["signals"])
def signals(
    desk: At, after: AfterEntry, account: Name = None, strategy: Name = None, limit: Limit = 100
) -> Page[Signal]:
    """What strategies want, newest first; with an account, what it let leave."""
    return desk.signals(account, strategy, after, limit)


@v1.get("/rejections", tags=["signals"])
def rejections(
    desk: At, after: AfterEntry, account: Name = None, strategy: Name = None, rule: Name = None, limit: Limit = 100
) -> Page[Rejection]:
    """What accounts refused, newest first, with every rule that did."""
    return desk.rejections(account, strategy, rule, after, limit)


@v1.get("/strategies", tags=["signals"])
def strategies(desk: At) -> Page[Strategy]:
    """Every strategy's counts and P&L."""
    return desk.strategies()


# --- the machine ------------------------------------------------------------------------------------------------------


@v1.get("/alerts", tags=["machine"])
def alerts(desk: At, after: AfterEntry, limit: Limit = 100) -> Page[Alert]:
    """What a human should know, newest first."""
    return desk.alerts(after, limit)


@v1.get("/counts", tags=["machine"])
def counts(sources: From, desk: At) -> Counts:
    """Records of each topic."""
    return Counts(items=dict(sorted({**sources.queries.counts(), **desk.counts()}.items())))
