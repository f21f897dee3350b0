"""Pre-trade risk: which orders may leave an account, and every rule that refuses one.

A rule is one small function, True = refused; `check` puts them all into one mask, so that a refusal names every rule
that failed. The row of a refusal carries the facts of the moment; `explain` makes the words.

Exits (orders that bring a position nearer to zero without crossing it) pass the rules about exposure and loss, never the
kill switch, the session, lots and ticks, size, price or rate, and no MIS order passes the broker's cut-off.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from functions.calendar import DAY, IST_OFFSET, PARTS
from functions.events import RiskLimits
from functions.kernel import kernel
from functions.money import micro, rupees
from functions.orders import CNC, LIMIT, MIS, SL, SLM
from functions.portfolio import equity
from functions.sizing import notional
from functions.ticks import Rows

RULES: Final = (
    "kill_switch", "mode", "session", "instrument", "lot_multiple", "tick_multiple", "max_quantity", "max_order_value",
    "price_deviation", "stale_price", "position_limit", "gross_exposure", "cash", "orders_per_second", "orders_per_day",
    "duplicate_signal", "daily_loss", "drawdown", "max_open_orders", "no_price", "mis_cut_off", "holdings",
)  # fmt: skip
BIT: Final = {rule: 1 << n for n, rule in enumerate(RULES)}

SECOND: Final = np.int64(1_000_000_000)
BPS: Final = np.int64(10_000)  # basis points of a whole

LIMITS: Final = np.dtype(
    [
        ("mode", "i8"),  # 0 paper, 1 real money: needs arming
        ("max_quantity", "i8"),  # shares an order, inclusive
        ("max_order_value", "i8"),  # micro-rupees, inclusive
        ("max_price_deviation_bps", "i8"),  # of a limit price from the last price, inclusive
        ("max_price_age", "i8"),  # ns, inclusive
        ("max_position", "i8"),  # shares, absolute, working orders included, inclusive
        ("max_gross_exposure", "i8"),  # micro-rupees, positions and working orders, inclusive
        ("margin_bps", "i8"),  # of the exposure that equity must cover
        ("max_orders_per_second", "i8"),
        ("max_orders_per_day", "i8"),
        ("duplicate_window", "i8"),  # ns
        ("max_daily_loss", "i8"),  # micro-rupees below the day's first equity, inclusive
        ("max_drawdown", "i8"),  # micro-rupees below the peak, inclusive
        ("max_open_orders", "i8"),
    ],
    align=True,
)

REFUSAL: Final = np.dtype(
    [
        ("time", "i8"),
        ("ordinal", "i8"),
        ("row", "i8"),
        ("mask", "i8"),
        ("quantity", "i8"),
        ("price", "i8"),  # that the rules used: the limit, else the last price
        ("last", "i8"),
        ("age", "i8"),  # ns since the instrument's last tick
        ("value", "i8"),
        ("exposed", "i8"),  # position and working orders, signed, before this order
        ("exposure", "i8"),  # gross with this order
        ("equity", "i8"),
        ("needed", "i8"),  # margin with this order
        ("second_orders", "i8"),
        ("day_orders", "i8"),
        ("since_signal", "i8"),  # ns since the last accepted signal of this book
        ("loss", "i8"),
        ("drawdown", "i8"),
        ("working", "i8"),
        ("limit", "i8"),
        ("trigger", "i8"),
        ("now_of_day", "i8"),  # ns since IST midnight
        (
            "opens",
            "i8",
        ),  # part of its session that goes on or is next, ns since IST midnight; 0 and 0 = closed
        ("closes", "i8"),
        ("cut_off", "i8"),  # from when on MIS is refused that day, ns since IST midnight
        ("deliverable", "i8"),  # shares that a CNC order may sell
        ("subscription", "i4"),
        ("instrument", "i4"),
        ("side", "i4"),
        ("signal", "i4"),  # index of the signal in its batch
    ],
    align=True,
)


def limits_row(limits: RiskLimits, *, real_money: bool) -> tuple[int, ...]:
    """One LIMITS row. Raises: `ValueError` for an amount that is no amount in rupees."""
    milliseconds = 1_000_000
    return (
        int(real_money), limits.max_quantity, micro(limits.max_order_value), limits.max_price_deviation_bps,
        limits.max_price_age_ms * milliseconds, limits.max_position, micro(limits.max_gross_exposure), limits.margin_bps,
        limits.max_orders_per_second, limits.max_orders_per_day, limits.duplicate_window_ms * milliseconds,
        micro(limits.max_daily_loss), micro(limits.max_drawdown), limits.max_open_orders,
    )  # fmt: skip


@kernel
def is_exit(book, side, quantity):
    """Whether an order brings the book (working orders included) nearer to zero without crossing it."""
    exposed = book.position + book.working
    return exposed * side < 0 and quantity <= abs(exposed)


@kernel
def reference_price(signal, instrument):
    """The price an order is judged at: its limit, else the last price."""
    return signal.limit if signal.limit > 0 else instrument.last


@kernel
def killed(account):
    return account.killed != 0


@kernel
def unarmed(account, limits):
    """Real money needs the strategy's flag and an `arm` command of the day; paper needs neither."""
    return limits.mode != 0 and account.armed == 0


@kernel
def outside_session(shard, instrument, now):
    """Open inclusive to close exclusive, in either part; a day that the calendar or the charges do not cover is closed."""
    of_day = (now + IST_OFFSET) % DAY
    outside = True
    for part in range(PARTS):
        opens, closes = shard.opens[instrument.session_class, part], shard.closes[instrument.session_class, part]
        outside = outside and (of_day < opens or of_day >= closes)
    return outside


@kernel
def part_of(shard, instrument, now):
    """The part of today's session that goes on or comes next; after the day's last close that one."""
    of_day = (now + IST_OFFSET) % DAY
    part = 0
    while (
        part + 1 < PARTS
        and of_day >= shard.closes[instrument.session_class, part] < (shard.closes[instrument.session_class, part + 1])
    ):
        part += 1
    return part


@kernel
def untradable(shard, instrument):
    """Not for trade, or at charges that nobody knows."""
    return instrument.tradable == 0 or (instrument.segments & shard.unknown) != 0


@kernel
def off_lot(instrument, quantity):
    return quantity <= 0 or (instrument.lot > 1 and quantity % instrument.lot != 0)


@kernel
def off_tick(instrument, signal):
    """Limit and trigger prices are positive multiples of the tick size, and there where the kind needs them."""
    needs_limit = signal.kind == LIMIT or signal.kind == SL
    needs_trigger = signal.kind == SL or signal.kind == SLM
    if (needs_limit and signal.limit <= 0) or (needs_trigger and signal.trigger <= 0):
        return True
    if instrument.tick_size <= 0:
        return False
    return signal.limit % instrument.tick_size != 0 or signal.trigger % instrument.tick_size != 0


@kernel
def too_many(limits, quantity):
    return quantity > limits.max_quantity


@kernel
def too_valuable(limits, value):
    return value > limits.max_order_value


@kernel
def price_deviates(limits, instrument, price):
    """Exactly: nothing is divided, so a bound is met to the micro-rupee at every price."""
    distance = abs(price - instrument.last)
    return instrument.last > 0 and notional(distance, BPS) > instrument.last * limits.max_price_deviation_bps


@kernel
def price_stale(limits, instrument, now):
    return now - instrument.time > limits.max_price_age


@kernel
def beyond_position(limits, book, side, quantity):
    return abs(book.position + book.working + side * quantity) > limits.max_position


@kernel
def beyond_exposure(limits, exposure):
    return exposure > limits.max_gross_exposure


@kernel
def margin_needed(limits, exposure):
    """The share of an exposure that equity must cover, rounded up to the micro-rupee: what is more than it is too little."""
    whole = exposure // BPS
    return whole * limits.margin_bps + ((exposure - whole * BPS) * limits.margin_bps + BPS - 1) // BPS


@kernel
def too_fast(account, limits, now):
    return account.second == now // SECOND and account.second_orders >= limits.max_orders_per_second


@kernel
def too_often(account, limits):
    return account.day_orders >= limits.max_orders_per_day


@kernel
def repeated(limits, book, signed_quantity, now):
    """The same side and size again within the window after an accepted signal."""
    return book.signal_quantity == signed_quantity and now - book.signal_time < limits.duplicate_window


@kernel
def lost_too_much(account, limits):
    return account.halted != 0 or account.day_start - equity(account) > limits.max_daily_loss


@kernel
def fell_too_far(account, limits):
    return account.peak - equity(account) > limits.max_drawdown


@kernel
def too_many_open(account, limits, free):
    """The limit, or no slot left in the shard's pool of orders."""
    return account.working >= limits.max_open_orders or free < 0


@kernel
def past_cut_off(shard, instrument, product, now):
    """The broker takes no MIS order from the cut-off on, no exit either: it squares off itself."""
    cut_off = shard.cut_offs[instrument.session_class]
    return product == MIS and cut_off > 0 and (now + IST_OFFSET) % DAY >= cut_off


@kernel
def deliverable(book):
    """Shares bought for delivery that no working order is to sell; working purchases are not there yet."""
    return book.delivery - book.delivering


@kernel
def not_held(book, signal, quantity):
    """Delivery is of what one has: only a MIS order may sell short."""
    return signal.product == CNC and signal.side < 0 and quantity > deliverable(book)


@kernel
def check(shard, account, limits, instrument, book, signal, quantity, now):
    """Bit mask of all rules that refuse this order; 0 lets it leave. Bits in the order of RULES."""
    price = reference_price(signal, instrument)
    value = notional(price, max(quantity, 0))
    mask = (
        killed(account) << 0
        | unarmed(account, limits) << 1
        | outside_session(shard, instrument, now) << 2
        | untradable(shard, instrument) << 3
        | off_lot(instrument, quantity) << 4
        | off_tick(instrument, signal) << 5
        | too_many(limits, quantity) << 6
        | too_valuable(limits, value) << 7
        | price_deviates(limits, instrument, price) << 8
        | price_stale(limits, instrument, now) << 9
        | too_fast(account, limits, now) << 13
        | too_often(account, limits) << 14
        | repeated(limits, book, signal.side * quantity, now) << 15
        | (shard.free < 0) << 18
        | (instrument.last <= 0) << 19
        | past_cut_off(shard, instrument, signal.product, now) << 20
        | not_held(book, signal, quantity) << 21
    )
    if not is_exit(book, signal.side, quantity):
        exposure = account.gross + account.committed + value
        mask |= (
            beyond_position(limits, book, signal.side, quantity) << 10
            | beyond_exposure(limits, exposure) << 11
            | (margin_needed(limits, exposure) > equity(account)) << 12
            | lost_too_much(account, limits) << 16
            | fell_too_far(account, limits) << 17
            | too_many_open(account, limits, shard.free) << 18
        )
    return mask


@kernel
def write_refusal(refusal, shard, account, limits, instrument, book, signal, quantity, now, mask):
    """The facts of the moment into a row; what is not known here the caller fills in."""
    price = reference_price(signal, instrument)
    value = notional(price, max(quantity, 0))
    refusal.time = now
    refusal.mask = mask
    refusal.quantity = quantity
    refusal.price = price
    refusal.last = instrument.last
    refusal.age = now - instrument.time
    refusal.value = value
    refusal.exposed = book.position + book.working
    refusal.exposure = account.gross + account.committed + value
    refusal.equity = equity(account)
    refusal.needed = margin_needed(limits, refusal.exposure)
    refusal.second_orders = account.second_orders if account.second == now // SECOND else 0
    refusal.day_orders = account.day_orders
    refusal.since_signal = now - book.signal_time
    refusal.loss = account.day_start - equity(account)
    refusal.drawdown = account.peak - equity(account)
    refusal.working = account.working
    refusal.limit = signal.limit
    refusal.trigger = signal.trigger
    refusal.now_of_day = (now + IST_OFFSET) % DAY
    part = part_of(shard, instrument, now)
    refusal.opens = shard.opens[instrument.session_class, part]
    refusal.closes = shard.closes[instrument.session_class, part]
    refusal.cut_off = shard.cut_offs[instrument.session_class]
    refusal.deliverable = deliverable(book)
    refusal.instrument = signal.instrument
    refusal.side = signal.side


# --- words, at the edge -----------------------------------------------------------------------------------------------


class Reason(NamedTuple):
    """One rule that refused; limit and observed in the rule's unit: rupees, shares, bps, ms or a time of day."""

    rule: str
    limit: str
    observed: str


def _clock(ns_of_day: int) -> str:
    seconds = ns_of_day // 1_000_000_000
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _milliseconds(ns: int) -> str:
    """Exactly, as a bound is exceeded by a nanosecond.

    >>> _milliseconds(5_000_000_000), _milliseconds(5_000_000_001)
    ('5000 ms', '5000.000001 ms')
    """
    return f"{ns // 1_000_000}.{ns % 1_000_000:06d}".rstrip("0").rstrip(".") + " ms"


def _basis_points(distance: int, last: int) -> str:
    """Of the last price, rounded up to the hundredth: what exceeds a bound is seen to exceed it.

    >>> _basis_points(2_010_000, 100_000_000), _basis_points(2_000_001, 100_000_000)
    ('201 bps', '200.01 bps')
    """
    hundredths = -(-distance * 1_000_000 // last) if last > 0 else 0
    return f"{hundredths // 100}.{hundredths % 100:02d}".rstrip("0").rstrip(".") + " bps"


def _open_orders(r: "Facts", c: "Facts") -> tuple[str, str]:
    """This order among those that work; where the account has room, it is the shard that has none."""
    if r["working"] >= c["max_open_orders"]:
        return str(c["max_open_orders"]), str(r["working"] + 1)
    return "a free place in the shard", "none free"


Facts = Mapping[str, int]
Words = Callable[[Facts, Facts, Facts], tuple[str, str]]

_WORDS: Final[dict[str, Words]] = {  # of a refusal, the account's limits and the instrument: (limit, observed)
    "kill_switch": lambda r, c, i: ("off", "killed"),
    "mode": lambda r, c, i: ("armed", "not armed"),
    "session": lambda r, c, i: (
        f"{_clock(r['opens'])}-{_clock(r['closes'])}" if r["closes"] else "closed", _clock(r["now_of_day"]),
    ),
    "instrument": lambda r, c, i: ("tradable", "not tradable"),
    "lot_multiple": lambda r, c, i: (str(i["lot"]), str(r["quantity"])),
    "tick_multiple": lambda r, c, i: (
        rupees(i["tick_size"]), f"limit {rupees(r['limit'])} trigger {rupees(r['trigger'])}",
    ),
    "max_quantity": lambda r, c, i: (str(c["max_quantity"]), str(r["quantity"])),
    "max_order_value": lambda r, c, i: (rupees(c["max_order_value"]), rupees(r["value"])),
    "price_deviation": lambda r, c, i: (
        f"{c['max_price_deviation_bps']} bps", _basis_points(abs(r["price"] - r["last"]), r["last"]),
    ),
    "stale_price": lambda r, c, i: (_milliseconds(c["max_price_age"]), _milliseconds(r["age"])),
    "position_limit": lambda r, c, i: (str(c["max_position"]), str(r["exposed"] + r["side"] * r["quantity"])),
    "gross_exposure": lambda r, c, i: (rupees(c["max_gross_exposure"]), rupees(r["exposure"])),
    "cash": lambda r, c, i: (rupees(r["equity"]), rupees(r["needed"])),
    "orders_per_second": lambda r, c, i: (str(c["max_orders_per_second"]), str(r["second_orders"] + 1)),
    "orders_per_day": lambda r, c, i: (str(c["max_orders_per_day"]), str(r["day_orders"] + 1)),
    "duplicate_signal": lambda r, c, i: (_milliseconds(c["duplicate_window"]), _milliseconds(r["since_signal"])),
    "daily_loss": lambda r, c, i: (
        rupees(c["max_daily_loss"]), rupees(r["loss"]) if r["loss"] > c["max_daily_loss"] else "halted for today",
    ),
    "drawdown": lambda r, c, i: (rupees(c["max_drawdown"]), rupees(r["drawdown"])),
    "max_open_orders": lambda r, c, i: _open_orders(r, c),
    "no_price": lambda r, c, i: ("a price", "none yet"),
    "mis_cut_off": lambda r, c, i: (f"before {_clock(r['cut_off'])}", _clock(r["now_of_day"])),
    "holdings": lambda r, c, i: (str(r["deliverable"]), str(r["quantity"])),
}  # fmt: skip
assert tuple(_WORDS) == RULES


def explain(refusal: Facts, limits: Facts, instrument: Facts) -> list[Reason]:
    """Every rule that refused, with its limit and what was observed: rows of REFUSAL, LIMITS and INSTRUMENT, as ints."""
    return [Reason(rule, *_WORDS[rule](refusal, limits, instrument)) for rule in rules_of(refusal["mask"])]


@cache
def rules_of(mask: int) -> tuple[str, ...]:
    """The names in a mask; few of the masks that can be ever occur.

    >>> rules_of(BIT["session"] | BIT["cash"])
    ('session', 'cash')
    """
    return tuple(rule for rule in RULES if mask & BIT[rule])


def refusal_counts(masks: Rows) -> dict[str, int]:
    """How often each rule refused, over the masks of refusals."""
    counts = {rule: int(np.count_nonzero(masks & bit)) for rule, bit in BIT.items()}
    return {rule: n for rule, n in counts.items() if n}
