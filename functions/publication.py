"""Publication: the rows that a batch decided become the events that the world sees, in the order they were decided.

    signals ─► trading_signal ─► signal_validated ─► order_submitted, order_ack, order_placed ─► order_filled | order_failed
                              └► signal_rejected                       boundaries ─► pnl_snapshot, alerts ─► system_alert

This is the one place that decides what is published. An id is a hash of its cause and step, so the same decisions give
the same bytes. What happens on ticks is written by a kernel from the templates below, as it is the hottest step of a
live flow; a test holds it equal to `events.encode` of the same structs.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise, repeat
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from functions import topics
from functions.account import ALERTS
from functions.events import VERSION, event_id, rupees, timestamp
from functions.identity import write_id
from functions.kernel import borrow, entry, kernel, records
from functions.orders import KINDS, PRODUCTS, REASONS, TOLD_ACK, TOLD_FAILED, TOLD_PLACED, TOLD_SUBMITTED
from functions.portfolio import ACCOUNT_LEVEL, SNAPSHOT, STRATEGY_LEVEL
from functions.risk import REFUSAL, explain
from functions.shard import NO_DECISIONS, Decisions, Shard, StateMismatch
from functions.signals import NO_SIGNALS
from functions.templates import ID_LENGTH, Page, Phrases, U, compiled, fill_in, joined, longest, say, say_integer
from functions.ticks import NO_TICKS, Rows

Publication = tuple[str, bytes, bytes, None]  # topic, key, JSON, no headers: as a producer takes them
SOURCE: Final = "pipeline"

# --- what the events look like ------------------------------------------------------------------------------------------

_EVENT = (
    '{"id":"<id>","type":"%s","timestamp":"<time>","correlation_id":"<correlation>","causation_id":"<cause>",'
    '"source":"%s","version":%d,"broker":"%s","data":{%s}}'
)
_OWNER = '<owner>,"instrument_token":<token>'
_ORDER = f'"order_id":"<order>",{_OWNER}'
_ASKED = '"side":"<side>","quantity":<quantity>'

SIGNAL, REJECTED, VALIDATED, SUBMITTED, ACK, PLACED, FAILED, FILLED = (np.int64(n) for n in range(8))
_TEMPLATES: Final = {
    "trading_signal": (
        topics.SIGNALS_RAW,
        f'"signal_id":"<signal>","strategy":"<strategy>","instrument_token":<token>,{_ASKED},"kind":"<kind>",'
        '"product":"<product>","price":<price:price>,"limit_price":<limit>,"trigger_price":<trigger>',
    ),
    "signal_rejected": (
        topics.SIGNALS_REJECTED, f'"signal_id":"<signal>",{_OWNER},{_ASKED},"reasons":[<reasons>]',
    ),
    "signal_validated": (
        topics.SIGNALS_VALIDATED, f'"signal_id":"<signal>",{_OWNER},{_ASKED},"order_id":"<order>"',
    ),
    "order_submitted": (
        topics.ORDERS_SUBMITTED,
        f'{_ORDER},<symbol>,<exchange>,{_ASKED},"kind":"<kind>","product":"<product>","signal_id":"<signal>",'
        '"limit_price":<limit>,"trigger_price":<trigger>,"validity":"DAY"',
    ),
    "order_ack": (topics.ORDERS_ACK, f'{_ORDER},"broker_order_id":"<order>"'),
    "order_placed": (topics.ORDERS_PLACED, f'{_ORDER},"broker_order_id":"<order>","quantity":<quantity>'),
    "order_failed": (topics.ORDERS_FAILED, f'{_ORDER},"reason":"<reason>","remaining":<quantity>'),
    "order_filled": (
        topics.ORDERS_FILLED,
        f'{_ORDER},<symbol>,{_ASKED},"remaining":<remaining>,"price":"<price>","value":"<value>","charges":"<charges>",'
        '"realised_pnl":"<realised>","position":<position>,"average_price":"<average>","slippage":"<slippage>"',
    ),
}  # fmt: skip

_SLOTS: Final = {
    "time": "time", "owner": "phrase", "token": "integer", "strategy": "phrase", "side": "phrase", "quantity": "integer",
    "kind": "phrase", "product": "phrase", "price": "money", "limit": "optional", "trigger": "optional",
    "reasons": "words", "symbol": "phrase", "exchange": "phrase", "reason": "phrase",
    "remaining": "integer", "value": "money", "charges": "money", "realised": "money", "position": "integer",
    "average": "money", "slippage": "money",
}  # fmt: skip
(
    TIME, OWNER, TOKEN, STRATEGY, SIDE, QUANTITY, KIND, PRODUCT, PRICE, LIMIT, TRIGGER, REASONS_GIVEN, SYMBOL, EXCHANGE,
    REASON, REMAINING, VALUE, CHARGES, REALISED, POSITION, AVERAGE, SLIPPAGE,
) = (np.int64(n) for n in range(len(_SLOTS)))  # fmt: skip
_IDS: Final = ("id", "correlation", "cause", "signal", "order")
OWN, CORRELATION, CAUSE, OF_SIGNAL, OF_ORDER = (np.int64(n) for n in range(len(_IDS)))

# --- what the kernel knows ----------------------------------------------------------------------------------------------

_TERMS = np.dtype([("token", "i8"), ("symbol", "i8"), ("exchange", "i8")])  # of an instrument; phrases by number
_TRADER = np.dtype([("name", "i8"), ("step", "i8"), ("product", "i8")])  # a strategy
_FOLLOWER = np.dtype([("owner", "i8"), ("step", "i8"), ("strategy", "i8")])  # a strategy on an account
_WORDING = np.dtype(
    [("buy", "i8"), ("sell", "i8"), ("kind", "i8", len(KINDS)), ("product", "i8", len(PRODUCTS)),
     ("reason", "i8", len(REASONS)), ("order", "i8"), ("ack", "i8"), ("placed", "i8"), ("failed", "i8"), ("filled", "i8")]
)  # fmt: skip
WORKING: Final = np.dtype(  # what later events of an order need to know of its beginning
    [("number", "i8"), ("time", "i8"), ("id", "u1", ID_LENGTH), ("correlation", "u1", ID_LENGTH)]
)
_WRITTEN = np.dtype([("ordinal", "i8"), ("template", "i8"), ("key_end", "i8"), ("end", "i8")])
_STATE = np.dtype([("working", "i8"), ("events", "i8"), ("end", "i8"), ("key_end", "i8"), ("unknown", "i8")])
_LONGEST_KEY: Final = 40 + 1 + 20 + 1 + 20
LAST: Final = np.int64(2**63 - 1)
COLON: Final = np.int64(ord(":"))


class Press(NamedTuple):
    """What the kernel writes with."""

    page: Any
    terms: Any  # of instruments
    traders: Any
    followers: Any
    wording: Any  # one row
    working: Any
    written: Any  # a row an event
    keys: Any  # bytes
    state: Any  # one row
    scratch: Any  # bytes


class Asked(NamedTuple):
    """A batch's signals."""

    signals: Any
    times: Any  # of their ticks
    causes: Any  # ids of their ticks
    ids: Any  # their own
    told: Any


def average_price(cost: int, position: int) -> int:
    """Average price of a position in micro-rupees, half up; 0 when flat.

    >>> average_price(-300_000_001, -2), average_price(0, 0)
    (150000001, 0)
    """
    if position == 0:
        return 0
    shares = abs(position)
    whole = abs(cost) // shares
    return whole + (1 if 2 * (abs(cost) - whole * shares) >= shares else 0)


average: Any = kernel(average_price)


@kernel
def give_id(press, slot, time, cause, step, nth):
    """ids[slot] becomes the id of what follows from ids[cause] by a step; `nth` >= 0 is part of the step's name."""
    page = press.page
    at = say(press.scratch, 0, page.ids[cause], 0, ID_LENGTH)
    at = say(press.scratch, at, page.phrases, page.phrase_bounds[step], page.phrase_bounds[step + 1])
    if nth >= 0:
        at = say_integer(press.scratch, at, nth)
    write_id(page.ids[slot], time, press.scratch, at)


@kernel
def copy_id(ids, slot, source):
    say(ids[slot], 0, source, 0, ID_LENGTH)


@kernel
def write(press, template, ordinal, since):
    """One event and its key: strategy, instrument and, of an order, the moment it was made."""
    page = press.page
    state = press.state[0]
    state.end = fill_in(page, state.end, template)
    at = state.key_end
    name = page.values[STRATEGY]
    at = say(press.keys, at, page.phrases, page.phrase_bounds[name], page.phrase_bounds[name + 1])
    press.keys[U(at)] = COLON
    at = say_integer(press.keys, at + 1, page.values[TOKEN])
    if since >= 0:
        press.keys[U(at)] = COLON
        at = say_integer(press.keys, at + 1, since // 1000)
    state.key_end = at
    row = press.written[state.events]
    row.ordinal = ordinal
    row.template = template
    row.key_end = at
    row.end = state.end
    state.events += 1


@kernel
def concern(press, follower, instrument, side, quantity, time):
    """The values that all events of a subscription share."""
    values = press.page.values
    values[TIME] = time
    values[OWNER] = press.followers[follower].owner
    values[STRATEGY] = press.traders[press.followers[follower].strategy].name
    values[TOKEN] = press.terms[instrument].token
    values[SYMBOL] = press.terms[instrument].symbol
    values[EXCHANGE] = press.terms[instrument].exchange
    values[SIDE] = press.wording[0].buy if side > 0 else press.wording[0].sell
    values[QUANTITY] = quantity


@kernel
def tell_signal(press, asked, j, ordinal):
    """trading_signal, once, before its first answer; leaves its id and its tick's in their slots."""
    page = press.page
    values = page.values
    copy_id(page.ids, CORRELATION, asked.causes[j])
    if asked.told[j] == 0:
        asked.told[j] = 1
        signal = asked.signals[j]
        trader = press.traders[signal.strategy]
        wording = press.wording[0]
        copy_id(page.ids, CAUSE, asked.causes[j])
        values[TIME] = asked.times[j]
        values[STRATEGY] = trader.name
        values[TOKEN] = press.terms[signal.instrument].token
        values[SIDE] = wording.buy if signal.side > 0 else wording.sell
        values[QUANTITY] = signal.quantity
        values[KIND] = wording.kind[signal.kind]
        values[PRODUCT] = wording.product[signal.product if signal.product >= 0 else trader.product]
        values[PRICE] = signal.price
        values[LIMIT] = signal.limit
        values[TRIGGER] = signal.trigger
        give_id(press, OWN, values[TIME], CAUSE, trader.step, signal.nth)
        copy_id(page.ids, OF_SIGNAL, page.ids[OWN])
        copy_id(asked.ids, j, page.ids[OWN])
        write(press, SIGNAL, ordinal, -1)
    copy_id(page.ids, OF_SIGNAL, asked.ids[j])
    copy_id(page.ids, CAUSE, asked.ids[j])


@kernel
def tell_refusal(press, asked, refusal, words):
    tell_signal(press, asked, refusal.signal, refusal.ordinal)
    concern(press, refusal.subscription, refusal.instrument, refusal.side, refusal.quantity, refusal.time)
    press.page.values[REASONS_GIVEN] = words
    give_id(press, OWN, refusal.time, CAUSE, press.followers[refusal.subscription].step, -1)
    write(press, REJECTED, refusal.ordinal, -1)


@kernel
def tell_submitted(press, asked, order):
    """The answer to the signal, then the order, which works from now on."""
    page = press.page
    tell_signal(press, asked, order.signal, order.ordinal)
    concern(press, order.subscription, order.instrument, order.side, order.quantity, order.time)
    give_id(press, OWN, order.time, CAUSE, press.followers[order.subscription].step, -1)
    copy_id(page.ids, CAUSE, page.ids[OWN])
    give_id(press, OF_ORDER, order.time, CAUSE, press.wording[0].order, -1)
    copy_id(page.ids, CAUSE, page.ids[OF_SIGNAL])
    write(press, VALIDATED, order.ordinal, -1)
    copy_id(page.ids, CAUSE, page.ids[OWN])
    copy_id(page.ids, OWN, page.ids[OF_ORDER])
    values = page.values
    values[KIND] = press.wording[0].kind[order.kind]
    values[PRODUCT] = press.wording[0].product[order.product]
    values[LIMIT] = order.limit
    values[TRIGGER] = order.trigger
    write(press, SUBMITTED, order.ordinal, order.time)
    state = press.state[0]
    known = press.working[state.working]
    state.working += 1
    known.number = order.number
    known.time = order.time
    say(known.id, 0, page.ids[OF_ORDER], 0, ID_LENGTH)
    say(known.correlation, 0, page.ids[CORRELATION], 0, ID_LENGTH)


@kernel
def find(press, number):
    """The slot of a working order; -1 and a note in the state where it is not known."""
    state = press.state[0]
    for n in range(state.working):
        if press.working[n].number == number:
            return n
    state.unknown = number
    return -1


@kernel
def forget(press, slot):
    state = press.state[0]
    state.working -= 1
    press.working[slot] = press.working[state.working]


@kernel
def follow(press, slot):
    """An event of a working order is caused by the order."""
    page = press.page
    known = press.working[slot]
    copy_id(page.ids, OF_ORDER, known.id)
    copy_id(page.ids, CAUSE, known.id)
    copy_id(page.ids, CORRELATION, known.correlation)
    return known.time


@kernel
def tell_stage(press, template, step, order, since):
    give_id(press, OWN, order.time, OF_ORDER, step, -1)
    write(press, template, order.ordinal, since)


@kernel
def tell_order(press, asked, order):
    if order.told & TOLD_SUBMITTED:
        tell_submitted(press, asked, order)
    slot = find(press, order.number)
    if slot < 0:
        return
    since = follow(press, slot)
    wording = press.wording[0]
    concern(press, order.subscription, order.instrument, order.side, order.quantity, order.time)
    if order.told & TOLD_ACK:
        tell_stage(press, ACK, wording.ack, order, since)
    if order.told & TOLD_PLACED:
        tell_stage(press, PLACED, wording.placed, order, since)
    if order.told & TOLD_FAILED:
        press.page.values[REASON] = wording.reason[order.reason]
        tell_stage(press, FAILED, wording.failed, order, since)
        forget(press, slot)


@kernel
def tell_fill(press, fill):
    slot = find(press, fill.number)
    if slot < 0:
        return
    since = follow(press, slot)
    concern(press, fill.subscription, fill.instrument, fill.side, fill.quantity, fill.time)
    values = press.page.values
    values[REMAINING] = fill.left
    values[PRICE] = fill.price
    values[VALUE] = fill.price * fill.quantity
    values[CHARGES] = fill.charges
    values[REALISED] = fill.realised
    values[POSITION] = fill.position
    values[AVERAGE] = average(fill.cost, fill.position)
    values[SLIPPAGE] = fill.side * (fill.price - fill.reference)
    give_id(press, OWN, fill.time, OF_ORDER, press.wording[0].filled, fill.nth)
    write(press, FILLED, fill.ordinal, since)
    if fill.left == 0:
        forget(press, slot)


@entry
def tell(
    signals, times, causes, ids, told, orders, fills, refusals, out, values, slots, ops, starts, phrases, phrase_bounds,
    words, word_bounds, terms, traders, followers, wording, working, written, keys, state, scratch,
):  # fmt: skip
    """Writes the events of a batch in the order of their ordinals; signals that nobody answered come last."""
    page = Page(
        borrow(out), borrow(values), borrow(slots), borrow(ops), borrow(starts), borrow(phrases), borrow(phrase_bounds),
        borrow(words), borrow(word_bounds),
    )  # fmt: skip
    press = Press(
        page, borrow(terms), borrow(traders), borrow(followers), borrow(wording), borrow(working), borrow(written),
        borrow(keys), borrow(state), borrow(scratch),
    )  # fmt: skip
    asked = Asked(borrow(signals), borrow(times), borrow(causes), borrow(ids), borrow(told))
    orders = borrow(orders)
    fills = borrow(fills)
    refusals = borrow(refusals)
    o = f = r = 0
    while o < orders.shape[0] or f < fills.shape[0] or r < refusals.shape[0]:
        order = orders[o].ordinal if o < orders.shape[0] else LAST
        fill = fills[f].ordinal if f < fills.shape[0] else LAST
        refusal = refusals[r].ordinal if r < refusals.shape[0] else LAST
        if order < fill and order < refusal:
            tell_order(press, asked, orders[o])
            o += 1
        elif fill < refusal:
            tell_fill(press, fills[f])
            f += 1
        else:
            tell_refusal(press, asked, refusals[r], r)
            r += 1
    for j in range(asked.told.shape[0]):
        if asked.told[j] == 0:
            tell_signal(press, asked, j, LAST)


# --- the rows of a batch, as events -------------------------------------------------------------------------------------


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


class Publisher:
    """Makes events of one shard's decisions. Its state is the orders that still work."""

    def __init__(self, shard: Shard, broker: str) -> None:
        self.shard = shard
        self.broker = broker
        phrases = Phrases()
        slots = {name: (form, n) for n, (name, form) in enumerate(_SLOTS.items())}
        slots |= {name: ("id", n) for n, name in enumerate(_IDS)}
        events = [_EVENT % (name, SOURCE, VERSION, broker, data) for name, (_, data) in _TEMPLATES.items()]
        self._templates = compiled(events, slots, phrases)
        self._topics = [topic.of(broker).name for topic, _ in _TEMPLATES.values()]
        self._pnl_topic = topics.PNL_SNAPSHOTS.of(broker).name
        self._limits = [_plain(shard.limits[shard.account_names.index(a)]) for a, _ in shard.subscription_names]
        self._terms = [_plain(row) for row in shard.instruments]
        tables = self._tables(phrases)
        self._longest = longest(self._templates, phrases.texts)
        self._state = np.zeros(1, _STATE)
        self._working = np.zeros(len(shard.orders) + 1, WORKING)
        self._written = np.empty(0, _WRITTEN)
        self._out = self._keys = np.empty(0, np.uint8)
        self._values = np.zeros(len(_SLOTS), np.int64)
        self._ids = np.zeros((len(_IDS), ID_LENGTH), np.uint8)
        self._fixed: tuple[Any, ...] = (
            self._values, self._ids, self._templates.ops, self._templates.starts, *joined(phrases.texts),
        )  # fmt: skip
        self._desk = (*tables, records(self._working))
        self._rest: tuple[Any, ...] = (records(self._state), np.empty(128, np.uint8))
        self._on_ticks(NO_TICKS, NO_SIGNALS, NO_DECISIONS, str)  # compiles: the first signal shall not wait

    def _tables(self, phrases: Phrases) -> tuple[Any, ...]:
        """What the kernel looks up, by instrument, strategy and subscription."""
        shard, number = self.shard, phrases.number
        terms = np.zeros(len(shard.tokens), _TERMS)
        for n, config in enumerate(shard.instrument_configs):
            symbol = f'"tradingsymbol":{_json(config.tradingsymbol)}'
            terms[n] = (config.instrument_token, number(symbol), number(f'"exchange":"{config.exchange}"'))
        traders = np.zeros(len(shard.strategy_names), _TRADER)
        for n, name in enumerate(shard.strategy_names):
            traders[n] = (number(name), number(f"signal:{name}:"), shard.strategies["product"][n])
        followers = np.zeros(len(shard.subscription_names), _FOLLOWER)
        for n, (account, strategy) in enumerate(shard.subscription_names):
            owner = f'"account":"{account}","strategy":"{strategy}"'
            followers[n] = (number(owner), number(f"risk:{account}"), shard.strategy_names.index(strategy))
        wording = np.zeros(1, _WORDING)
        for field, words in (("kind", KINDS), ("product", PRODUCTS), ("reason", REASONS)):
            wording[field][0] = [number(word) for word in words]
        for field, word in (("buy", "BUY"), ("sell", "SELL"), ("order", "order"), ("ack", "ack"), ("placed", "placed"),
                            ("failed", "failed"), ("filled", "fill:")):  # fmt: skip
            wording[field] = number(word)
        return tuple(map(records, (terms, traders, followers, wording)))

    def publish(
        self, ticks: Rows, signals: Rows, decided: Decisions, tick_id: Callable[[int], str]
    ) -> list[Publication]:
        """The events of one batch in the order in which they were decided; `tick_id(row)` names a cause, in 36 characters.

        Raises: `StateMismatch` where an order is told of that this publisher has never seen.
        """
        if not len(signals) and not decided.any:
            return []
        decided_on_ticks = len(signals) or len(decided.orders) or len(decided.fills) or len(decided.refusals)
        out = self._on_ticks(ticks, signals, decided, tick_id) if decided_on_ticks else []
        slower = [(tree[0][1], self._snapshot(tree)) for tree in _trees(decided.snapshots)]
        slower += [(row[1], self._alert(row)) for row in decided.alerts.tolist()]
        if slower:
            slower.sort(key=_ordinal)
            places = np.searchsorted(self._written["ordinal"][: len(out)], [ordinal for ordinal, _ in slower])
            for n, (place, (_, event)) in enumerate(zip(places.tolist(), slower, strict=True)):
                out.insert(place + n, event)
        return out

    def _on_ticks(
        self, ticks: Rows, signals: Rows, decided: Decisions, tick_id: Callable[[int], str]
    ) -> list[Publication]:
        orders, fills, refusals = decided.orders, decided.fills, decided.refusals
        rows = signals["row"]
        causes = np.frombuffer("".join(map(tick_id, rows.tolist())).encode(), np.uint8).reshape(len(rows), ID_LENGTH)
        words, word_bounds = joined(self._reasons(refusals))
        most = len(signals) + len(refusals) + len(fills) + 5 * len(orders)
        self._make_room(most, most * self._longest + len(words))
        state = self._state
        state["events"] = state["end"] = state["key_end"] = 0
        arguments: tuple[Any, ...] = (
            records(signals), ticks["time"][rows], causes, np.empty((len(rows), ID_LENGTH), np.uint8),
            np.zeros(len(rows), np.uint8), records(orders), records(fills), records(refusals), self._out, *self._fixed,
            words, word_bounds, *self._desk, records(self._written), self._keys, *self._rest,
        )  # fmt: skip
        tell(*arguments)
        if state["unknown"][0]:
            raise StateMismatch(f"order {state['unknown'][0]} of the account is unknown to the publisher")
        return self._cut(int(state["events"][0]))

    def _make_room(self, events: int, text: int) -> None:
        if len(self._written) < events:
            self._written = np.empty(events, _WRITTEN)
            self._keys = np.empty(events * _LONGEST_KEY, np.uint8)
        if len(self._out) < text:
            self._out = np.empty(text, np.uint8)

    def _cut(self, count: int) -> list[Publication]:
        """What the kernel wrote, event by event."""
        written = self._written[:count]
        ends, key_ends = [0, *written["end"].tolist()], [0, *written["key_end"].tolist()]
        text, keys = self._out[: ends[-1]].tobytes(), self._keys[: key_ends[-1]].tobytes()
        return list(
            zip(
                map(self._topics.__getitem__, written["template"].tolist()),
                [keys[first:last] for first, last in pairwise(key_ends)],
                [text[first:last] for first, last in pairwise(ends)],
                repeat(None),
                strict=False,
            )
        )

    def _reasons(self, refusals: Rows) -> list[bytes]:
        """Of each refusal the rules that refused, in words."""
        words: list[bytes] = []
        for row in refusals.tolist():
            facts = dict(zip(_REFUSAL_FIELDS, row, strict=True))
            reasons = explain(facts, self._limits[facts["subscription"]], self._terms[facts["instrument"]])
            each = [f'{{"rule":"{rule}","limit":"{limit}","observed":"{seen}"}}' for rule, limit, seen in reasons]
            words.append(",".join(each).encode())
        return words

    # --- boundaries ---------------------------------------------------------------------------------------------------

    def _snapshot(self, tree: list[tuple[int, ...]]) -> Publication:
        (time, _, cash, realised, unrealised, charges, gross, equity, peak, drawdown, _, _, _, _, a, _, _) = tree[0]
        account = self.shard.account_names[a]
        strategies = ",".join(self._strategy_pnl(branch) for branch in _branches(tree[1:]))
        data = (
            f'"account":"{account}","cash":"{rupees(cash)}","realised":"{rupees(realised)}",'
            f'"unrealised":"{rupees(unrealised)}","charges":"{rupees(charges)}",'
            f'"net_pnl":"{rupees(realised + unrealised - charges)}","equity":"{rupees(equity)}",'
            f'"gross_exposure":"{rupees(gross)}","peak_equity":"{rupees(peak)}","max_drawdown":"{rupees(drawdown)}",'
            f'"strategies":[{strategies}]'
        )
        return self._pnl_topic, account.encode(), self._first("pnl_snapshot", time, account, f"pnl:{time}", data), None

    def _strategy_pnl(self, rows: Sequence[tuple[int, ...]]) -> str:
        (_, _, _, realised, unrealised, charges, _, _, _, _, _, _, _, _, _, s, _) = rows[0]
        positions = ",".join(
            f'{{"instrument_token":{self.shard.tokens[i]},"quantity":{position},'
            f'"average_price":"{rupees(average_price(cost, position))}","last_price":"{rupees(last)}",'
            f'"unrealised":"{rupees(position * last - cost)}"}}'
            for (_, _, _, _, _, _, _, _, _, _, position, cost, last, _, _, _, i) in rows[1:]
        )
        return (
            f'{{"strategy":"{self.shard.subscription_names[s][1]}","realised":"{rupees(realised)}",'
            f'"unrealised":"{rupees(unrealised)}","charges":"{rupees(charges)}",'
            f'"net_pnl":"{rupees(realised + unrealised - charges)}","positions":[{positions}]}}'
        )

    def _alert(self, row: tuple[int, ...]) -> Publication:
        time, _, observed, limit, code, a = row
        subject = self.shard.account_names[a] if a >= 0 else "shard"
        name = ALERTS[code]
        message = (
            f"order {observed} met an event its state does not allow ({limit})"
            if name == "illegal_transition"
            else f"lost {rupees(observed)} today, the limit is {rupees(limit)}: no new exposure until tomorrow"
        )
        return self.alert(time, f"{name}:{observed}", "critical", name, message, subject)

    def alert(self, time: int, step: str, severity: str, code: str, message: str, subject: str) -> Publication:
        """A system_alert; `step` tells it from others of the same time and subject."""
        data = f'"severity":"{severity}","code":"{code}","message":{_json(message)},"subject":{_json(subject)}'
        return topics.SYSTEM_ALERTS.name, SOURCE.encode(), self._first("system_alert", time, subject, step, data), None

    def _first(self, type: str, time: int, subject: str, step: str, data: str) -> bytes:
        """An event without a cause: its id is made of its subject and time, and it correlates with itself."""
        id = event_id(time, subject, step)
        return (
            f'{{"id":"{id}","type":"{type}","timestamp":"{timestamp(time)}","correlation_id":"{id}",'
            f'"causation_id":null,"source":"{SOURCE}","version":{VERSION},"broker":"{self.broker}","data":{{{data}}}}}'
        ).encode()

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def working(self) -> list[int]:
        """The numbers of the orders that still work."""
        return sorted(self._working["number"][: self._state["working"][0]].tolist())

    def to_bytes(self) -> bytes:
        """The working orders as one blob."""
        return self._working[: self._state["working"][0]].tobytes()

    def add(self, blob: bytes, numbers: set[int]) -> None:
        """Takes over, beside its own, these orders of another publisher's `to_bytes`."""
        known = np.frombuffer(blob, WORKING)
        mine = known[np.isin(known["number"], list(numbers))]
        self.load(self.to_bytes() + mine.tobytes())

    def load(self, blob: bytes) -> None:
        """Takes over `to_bytes`. Raises: `StateMismatch` where it is no such blob, or of more orders than there may be."""
        if len(blob) % WORKING.itemsize or len(blob) // WORKING.itemsize > len(self._working):
            raise StateMismatch(f"publisher: {len(blob)} bytes are no working orders of this shard")
        known = np.frombuffer(blob, WORKING)
        self._working[: len(known)] = known
        self._state["working"] = len(known)


_REFUSAL_FIELDS: Final = REFUSAL.names or ()


def _plain(row: Any) -> dict[str, int]:
    """A row's fields as plain ints: NumPy's are slow to read one by one."""
    return dict(zip(row.dtype.names, row.tolist(), strict=True))


def _ordinal(row: tuple[int, Publication]) -> int:
    return row[0]


def _trees(snapshots: Rows) -> list[list[tuple[int, ...]]]:
    """Snapshot rows cut before each account row: an account, then its strategies and their positions."""
    trees: list[list[tuple[int, ...]]] = []
    level = (SNAPSHOT.names or ()).index("level")
    for row in snapshots.tolist():
        if row[level] == ACCOUNT_LEVEL:
            trees.append([row])
        else:
            trees[-1].append(row)
    return trees


def _branches(rows: Sequence[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """A tree's rows cut before each strategy row."""
    branches: list[list[tuple[int, ...]]] = []
    level = (SNAPSHOT.names or ()).index("level")
    for row in rows:
        if row[level] == STRATEGY_LEVEL:
            branches.append([row])
        else:
            branches[-1].append(row)
    return branches
