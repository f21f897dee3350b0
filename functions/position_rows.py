"""Position rows: what a strategy holds of an instrument, from the youngest fill and the youngest snapshot that tell of it.

A fill says what is held after it, a snapshot at a second what was held before that second. Fills of one book lie in several
partitions and snapshots in others, so a row keeps both and is made of them anew: in whatever order they are read, it comes
to the same bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from functions.events import OrderFilled, PositionPnl
from functions.money import micro, rupees

Row = dict[str, Any]


def with_fill(row: Row, fill: OrderFilled, event_id: str, time: str, snapshot_time: str) -> None:
    """Takes a fill in; `snapshot_time` is that of the newest snapshot of its strategy, or empty."""
    filled = row.get("filled") or {"at": "", "fills": []}
    if time > filled["at"]:
        filled = {"at": time, "fills": []}
    if time == filled["at"]:
        before = fill.position - (fill.quantity if fill.side == "BUY" else -fill.quantity)
        one = [event_id, before, fill.position, fill.average_price, fill.price]
        filled["fills"] = sorted([*filled["fills"], one])
    _make(
        row, (fill.strategy, fill.instrument_token, fill.tradingsymbol), filled=filled, marked=row.get("marked"),
        snapshot_time=snapshot_time,
    )  # fmt: skip


def with_snapshot(row: Row, strategy: str, position: PositionPnl | None, token: int, time: str) -> None:
    """Takes the newest snapshot in, which marks this position, or says by leaving it out that it is flat."""
    marked = row.get("marked")
    if position is not None:
        marked = {
            "at": time, "quantity": position.quantity, "average_price": position.average_price,
            "last_price": position.last_price, "unrealised": position.unrealised,
        }  # fmt: skip
    named = (strategy, token, row.get("tradingsymbol"))
    _make(row, named, filled=row.get("filled"), marked=marked, snapshot_time=time)


def _make(
    row: Row, named: tuple[str, int, str | None], *, filled: Row | None, marked: Row | None, snapshot_time: str
) -> None:
    strategy, token, symbol = named
    held = _held(filled, marked, snapshot_time)
    row.clear()
    row.update(strategy=strategy, instrument_token=token, tradingsymbol=symbol, **held, filled=filled, marked=marked)


def _held(filled: Row | None, marked: Row | None, snapshot_time: str) -> Row:
    """Of a fill and a snapshot at the same instant the fill is the younger."""
    fill = None if filled is None else youngest(filled["fills"])
    if filled is not None and fill is not None:
        _, _, quantity, average_price, price = fill
        if filled["at"] >= snapshot_time or (quantity == 0 and not _marks(marked, snapshot_time)):
            return {
                "quantity": quantity, "average_price": average_price, "last_price": price,
                "unrealised": rupees(quantity * (micro(price) - micro(average_price))), "timestamp": filled["at"],
            }  # fmt: skip
    if marked is not None and _marks(marked, snapshot_time):
        kept = {name: marked[name] for name in ("quantity", "average_price", "last_price", "unrealised")}
        return {**kept, "timestamp": snapshot_time}
    last_price = fill[4] if fill is not None else (marked or {}).get("last_price")
    return {
        "quantity": 0, "average_price": "0.00", "last_price": last_price, "unrealised": "0.00", "timestamp": snapshot_time,
    }  # fmt: skip


def _marks(marked: Mapping[str, Any] | None, snapshot_time: str) -> bool:
    return marked is not None and marked["at"] == snapshot_time


def youngest(fills: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """Of fills of one book at one instant, `[id, held before, held after, …]`, the one behind which none follows.

    Each begins where the one before it ends. Where they end where they began nothing tells, and the greatest id is taken.

    >>> youngest([["c", 5, 10], ["a", 10, 15], ["b", 0, 5]])
    ['a', 10, 15]
    """
    balance: dict[int, int] = {}
    for _, before, after, *_ in fills:
        balance[before] = balance.get(before, 0) - 1
        balance[after] = balance.get(after, 0) + 1
    last = [fill for fill in fills if balance[fill[2]] > 0]
    return max(last or fills, key=lambda fill: fill[0])
