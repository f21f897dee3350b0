"""A refusal's words and its verdict agree: a rule refuses exactly where what it tells lies beyond the limit told."""

from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.account import SHARD
from functions.calendar import DAY, IST_OFFSET
from functions.instruments import INSTRUMENT
from functions.kernel import entry, records
from functions.portfolio import ACCOUNT, BOOK
from functions.risk import BIT, LIMITS, REFUSAL, RULES, check, explain, write_refusal
from functions.signals import SIGNAL
from tests.desk import RUPEE, SECOND, TEN
from tests.effort import examples

EXPOSING = ("position_limit", "gross_exposure", "cash", "daily_loss", "drawdown", "max_open_orders")  # not of an exit
MIDNIGHT = (TEN + IST_OFFSET) // DAY * DAY - IST_OFFSET


@entry
def judged(shards, accounts, limits, instruments, books, signals, refusals, quantity):
    """The mask of an order and the row that a refusal of it would be."""
    shard, account, limit, instrument, book, signal = (
        shards[0], accounts[0], limits[0], instruments[0], books[0], signals[0],
    )  # fmt: skip
    mask = check(shard, account, limit, instrument, book, signal, quantity, shard.now)
    write_refusal(refusals[0], shard, account, limit, instrument, book, signal, quantity, shard.now, mask)
    return mask


def row(dtype: Any, **values: Any) -> Any:
    made = np.zeros(1, dtype)
    for name, value in values.items():
        made[name] = value
    return made


def plain(rows: Any) -> dict[str, Any]:
    return dict(zip(rows.dtype.names, rows[0].tolist(), strict=True))


def number(text: str) -> Decimal:
    """Nothing where the words are no number: halted for today, no place free."""
    try:
        return Decimal(text.removesuffix(" ms").removesuffix(" bps"))
    except InvalidOperation:
        return Decimal(0)


def prices(text: str) -> list[Decimal]:
    _, limit, _, trigger = text.split()
    return [Decimal(limit), Decimal(trigger)]


def beyond(rule: str, limit: str, observed: str) -> bool:
    """Whether what was observed breaks the limit, by the words alone."""
    match rule:
        case "kill_switch" | "mode" | "instrument" | "no_price":
            return limit != observed
        case "session":
            opens, _, closes = limit.partition("-")
            return limit == "closed" or not opens <= observed < closes
        case "mis_cut_off":
            return observed >= limit.removeprefix("before ")
        case "lot_multiple":
            return int(observed) <= 0 or int(observed) % int(limit) != 0
        case "tick_multiple":
            return any(price % Decimal(limit) for price in prices(observed))
        case "position_limit":
            return abs(int(observed)) > int(limit)
        case "duplicate_signal":
            return number(observed) < number(limit)
        case _:
            return number(observed) > number(limit)


near = st.integers(-2, 2)
price_of = st.one_of(st.integers(1, 200), st.integers(1, 10**9))  # in ticks of a paisa


@settings(max_examples=examples(400), deadline=None)
@given(st.data())
def test_what_is_told_as_observed_lies_beyond_the_limit_where_a_rule_refuses_and_nowhere_else(data):
    draw = data.draw
    tick_size = draw(st.sampled_from([10_000, 50_000]))
    last = tick_size * draw(price_of)
    quantity = draw(st.integers(0, 50))
    kind = draw(st.integers(0, 3))
    bps = draw(st.integers(0, 10_000))
    limit = trigger = 0
    if kind in (1, 2):  # around the bound of the deviation, on the tick and off it
        limit = max(last + draw(st.sampled_from([-1, 1])) * (last * bps // 10_000) + draw(near), 1)
        limit = draw(st.sampled_from([limit, max(limit // tick_size, 1) * tick_size]))
    if kind >= 2:
        trigger = max(last // tick_size * tick_size + draw(near) * draw(st.sampled_from([1, tick_size])), 1)
    price = limit or last
    value = price * quantity
    now = TEN + draw(st.integers(0, 10**9))
    position, working = draw(st.integers(-40, 40)), draw(st.integers(-10, 10))
    side = draw(st.sampled_from([-1, 1]))
    loss, fall = draw(st.integers(0, 10**6)) * RUPEE, draw(st.integers(0, 10**6)) * RUPEE
    gross, committed = abs(position) * last, abs(working) * last
    exposure = gross + committed + value
    margin = draw(st.integers(0, 10_000))
    capital = max(-(-exposure * margin // 10_000) + draw(near), 0)
    halted, free = draw(st.booleans()), draw(st.sampled_from([-1, 0]))
    since, window = draw(st.integers(0, 10**10)), draw(st.integers(0, 10**4)) * 10**6
    age, oldest = draw(st.integers(0, 10**10)), draw(st.integers(1, 10**4)) * 10**6
    if draw(st.booleans()):  # at the bound
        since, age = max(window + draw(near), 0), max(oldest + draw(near), 0)
    shards = row(SHARD, now=now, free=free)
    shards["opens"], shards["closes"] = 33_300 * SECOND, 55_800 * SECOND
    if draw(st.booleans()):
        shards["now"] = now = MIDNIGHT + draw(st.sampled_from([33_300, 55_800])) * SECOND + draw(near)
    accounts = row(
        ACCOUNT, capital=capital, gross=gross, committed=committed, day_start=capital + loss, peak=capital + fall,
        killed=draw(st.booleans()), armed=draw(st.booleans()), halted=halted, second=now // SECOND,
        second_orders=draw(st.integers(0, 5)), day_orders=draw(st.integers(0, 5)), working=draw(st.integers(0, 5)),
    )  # fmt: skip
    limits = row(
        LIMITS, mode=draw(st.booleans()), max_quantity=max(quantity + draw(near), 0), max_price_deviation_bps=bps,
        max_order_value=max(value + draw(near), 0), max_price_age=oldest, max_position=draw(st.integers(0, 100)),
        max_gross_exposure=max(exposure + draw(near), 0), margin_bps=margin,
        max_orders_per_second=draw(st.integers(1, 5)), max_orders_per_day=draw(st.integers(1, 5)), duplicate_window=window,
        max_daily_loss=max(loss + draw(near), 0), max_drawdown=max(fall + draw(near), 0),
        max_open_orders=draw(st.integers(1, 5)),
    )  # fmt: skip
    instruments = row(
        INSTRUMENT, last=draw(st.sampled_from([last, last, last, 0])), time=now - age, tick_size=tick_size,
        lot=draw(st.sampled_from([1, 1, 5])), tradable=draw(st.booleans()),
    )  # fmt: skip
    product, held, selling = draw(st.integers(0, 2)), draw(st.integers(-5, 60)), draw(st.integers(0, 10))
    of_day = (now + IST_OFFSET) % DAY // SECOND
    shards["cut_offs"] = (of_day + draw(near) if draw(st.booleans()) else 55_000) * SECOND
    books = row(
        BOOK, delivery=held, delivering=selling, position=position, working=working, signal_time=now - since,
        signal_quantity=side * quantity,
    )  # fmt: skip
    signals = row(SIGNAL, quantity=quantity, limit=limit, trigger=trigger, side=side, kind=kind, product=product)
    refusals = np.zeros(1, REFUSAL)

    mask = judged(
        *map(records, (shards, accounts, limits, instruments, books, signals, refusals)), quantity
    )  # fmt: skip

    refusal = plain(refusals) | {"mask": (1 << len(RULES)) - 1}
    is_exit = (position + working) * side < 0 and quantity <= abs(position + working)
    facts = {
        "kill_switch": accounts["killed"][0] != 0, "mode": limits["mode"][0] and not accounts["armed"][0],
        "instrument": not instruments["tradable"][0], "no_price": instruments["last"][0] <= 0,
    }  # fmt: skip
    for rule, allowed, observed in explain(refusal, plain(limits), plain(instruments)):
        expected = facts[rule] if rule in facts else beyond(rule, allowed, observed)
        if rule == "max_open_orders":
            expected = (expected and not is_exit) or free < 0
        elif rule in EXPOSING and is_exit:
            expected = False
        elif rule == "price_deviation" and not instruments["last"][0]:
            expected = False  # nothing to deviate from: `no_price` refuses it
        elif rule == "tick_multiple":
            expected |= (kind in (1, 2) and limit <= 0) or (kind >= 2 and trigger <= 0)
        elif rule == "mis_cut_off":
            expected &= product == 0
        elif rule == "holdings":
            expected &= product == 1 and side < 0
        elif rule == "daily_loss":
            expected |= bool(halted) and not is_exit
        assert bool(mask & BIT[rule]) == expected, (rule, allowed, observed)
