"""Charges: what a trade in India costs beyond its price, by the dated table of Zerodha, the exchanges and the state.

Per executed order of turnover T = Σ quantity · price:
`total = brokerage + STT + transaction + SEBI + stamp + GST`, `GST = 18 % · (brokerage + transaction − IPFT + SEBI)`.
The arithmetic is exact and rounded once, half to even, to the micro-rupee; STT is kept unrounded as Kite's margin API does.
"""

from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Final, Literal

import numpy as np

from functions.kernel import kernel
from functions.ticks import Rows

Segment = Literal["delivery", "intraday", "futures", "options"]
Venue = Literal["NSE", "BSE"]
Side = Literal["BUY", "SELL"]

DELIVERY, INTRADAY, FUTURES, OPTIONS = (np.int64(n) for n in range(4))
SEGMENTS: Final[tuple[Segment, ...]] = ("delivery", "intraday", "futures", "options")
VENUES: Final[tuple[Venue, ...]] = ("NSE", "BSE")
GST: Final = Decimal("0.18")


@dataclass(frozen=True)
class Rates:
    """Rates of one segment of one exchange from one day on, as fractions of turnover; lumps in rupees per order."""

    brokerage: Decimal  # fraction, at most `brokerage_cap`
    brokerage_cap: Decimal  # rupees per order; 0 = no cap
    brokerage_flat: Decimal  # rupees per order, instead of a fraction
    stt_buy: Decimal
    stt_sell: Decimal
    transaction: Decimal  # exchange transaction charge, IPFT included
    ipft: Decimal  # investor protection fund: part of `transaction`, free of GST
    sebi: Decimal
    stamp_buy: Decimal


@dataclass(frozen=True)
class Charges:
    """The charges of one order, rupees, unrounded."""

    brokerage: Decimal
    stt: Decimal
    transaction: Decimal
    sebi: Decimal
    stamp: Decimal
    gst: Decimal

    @property
    def total(self) -> Decimal:
        return self.brokerage + self.stt + self.transaction + self.sebi + self.stamp + self.gst


def _percent(text: str) -> Decimal:
    return Decimal(text) / 100


def _rates(
    brokerage: str, cap: str, flat: str, stt_buy: str, stt_sell: str, transaction: str, ipft: str, stamp: str
) -> Rates:
    return Rates(
        _percent(brokerage), Decimal(cap), Decimal(flat), _percent(stt_buy), _percent(stt_sell), _percent(transaction),
        _percent(ipft), _percent("0.0001"), _percent(stamp),
    )  # fmt: skip


# From 2026-04-01: NSE/FA/73061 (transaction charges and IPFT), Finance Act 2026 (STT), Zerodha's table (brokerage).
_APRIL_2026: Final[dict[tuple[Segment, Venue], Rates]] = {
    ("delivery", "NSE"): _rates("0", "0", "0", "0.1", "0.1", "0.00307", "0.0000001", "0.015"),
    ("intraday", "NSE"): _rates("0.03", "20", "0", "0", "0.025", "0.00307", "0.0000001", "0.003"),
    ("futures", "NSE"): _rates("0.03", "20", "0", "0", "0.05", "0.00183", "0.0000001", "0.002"),
    ("options", "NSE"): _rates("0", "0", "20", "0", "0.15", "0.03553", "0.00001", "0.003"),
    ("delivery", "BSE"): _rates("0", "0", "0", "0.1", "0.1", "0.00375", "0", "0.015"),
    ("intraday", "BSE"): _rates("0.03", "20", "0", "0", "0.025", "0.00375", "0", "0.003"),
    ("futures", "BSE"): _rates("0.03", "20", "0", "0", "0.05", "0", "0", "0.002"),
    ("options", "BSE"): _rates("0", "0", "20", "0", "0.15", "0.0325", "0", "0.003"),
}


def _with(table: dict[tuple[Segment, Venue], Rates], **changes: dict[tuple[Segment, Venue], str]):
    changed = dict(table)
    for field, by_segment in changes.items():
        for key, text in by_segment.items():
            changed[key] = replace(changed[key], **{field: _percent(text)})
    return changed


def _derivatives(futures: str, options: str) -> dict[tuple[Segment, Venue], str]:
    return {
        ("futures", "NSE"): futures, ("futures", "BSE"): futures, ("options", "NSE"): options, ("options", "BSE"): options,
    }  # fmt: skip


# 1 to 31 March 2026: the new IPFT, the old STT on derivatives.
_MARCH_2026: Final = _with(
    _APRIL_2026,
    stt_sell=_derivatives("0.02", "0.1"),
)
# From 2024-10-01 (flat transaction charges, SEBI's true-to-label rule): the same totals, IPFT of ₹10 and ₹50 a crore.
_OCTOBER_2024: Final = _with(
    _MARCH_2026,
    ipft={
        ("delivery", "NSE"): "0.0001", ("intraday", "NSE"): "0.0001", ("futures", "NSE"): "0.0001",
        ("options", "NSE"): "0.0005",
    },
)  # fmt: skip
# From 2023-04-01: Finance Act 2023 (STT 0.0125 % and 0.0625 %), slab charges at Zerodha's published flat rates.
_APRIL_2023: Final = _with(
    _OCTOBER_2024,
    stt_sell=_derivatives("0.0125", "0.0625"),
    transaction={
        ("delivery", "NSE"): "0.00325", ("intraday", "NSE"): "0.00325", ("futures", "NSE"): "0.0019",
        ("options", "NSE"): "0.05",
    },
)  # fmt: skip

TABLE: Final[tuple[tuple[date, dict[tuple[Segment, Venue], Rates]], ...]] = (
    (date(2023, 4, 1), _APRIL_2023),
    (date(2024, 10, 1), _OCTOBER_2024),
    (date(2026, 3, 1), _MARCH_2026),
    (date(2026, 4, 1), _APRIL_2026),
)


def contract_note(segment: Segment, venue: Venue, side: Side, turnover: Decimal, day: date) -> Charges:
    """The charges of one executed order, item by item, unrounded.

    Units: turnover in rupees. Raises: `ValueError` for a day before the table begins.
    Source: the dated rows above.

    >>> contract_note("intraday", "NSE", "SELL", Decimal(101000), date(2026, 4, 1)).total.quantize(Decimal("0.0001"))
    Decimal('52.6280')
    """
    effective = [table for start, table in TABLE if start <= day]
    if not effective:
        raise ValueError(f"no charges are known for {day}: the table begins {TABLE[0][0]}")
    r = effective[-1][segment, venue]
    brokerage = r.brokerage_flat + turnover * r.brokerage
    if r.brokerage_cap and brokerage > r.brokerage_cap:
        brokerage = r.brokerage_cap
    transaction, sebi = turnover * r.transaction, turnover * r.sebi
    return Charges(
        brokerage=brokerage,
        stt=turnover * (r.stt_buy if side == "BUY" else r.stt_sell),
        transaction=transaction,
        sebi=sebi,
        stamp=turnover * r.stamp_buy if side == "BUY" else Decimal(0),
        gst=GST * (brokerage + transaction - turnover * r.ipft + sebi),
    )


# --- the same, compiled -----------------------------------------------------------------------------------------------

UNIT: Final = 100_000_000_000  # coefficients are in 1e-11 of the turnover: IPFT has nine decimals, GST two more
SPLIT: Final = 10_000_000

RATE: Final = np.dtype(
    [
        ("buy", "i8"),  # all linear charges of a purchase, GST included, 1e-11 of the turnover
        ("sell", "i8"),
        ("brokerage", "i8"),  # linear brokerage with its GST, 1e-11; charged below `cap_turnover`
        ("cap_turnover", "i8"),  # micro-rupees of turnover from which the cap applies
        ("capped", "i8"),  # micro-rupees: the cap with its GST
        ("lump", "i8"),  # micro-rupees: flat brokerage with its GST
    ]
)


def _exact(value: Decimal) -> int:
    if value != value.to_integral_value():
        raise ValueError(f"a rate has more decimals than the engine keeps: {value}")
    return int(value)


def _rate_row(r: Rates) -> tuple[int, ...]:
    with_gst = 1 + GST
    taxed = (r.transaction - r.ipft + r.sebi) * GST + r.transaction + r.sebi
    cap_turnover = r.brokerage_cap * 1_000_000 / r.brokerage if r.brokerage_cap else Decimal(0)
    return (
        _exact((taxed + r.stt_buy + r.stamp_buy) * UNIT),
        _exact((taxed + r.stt_sell) * UNIT),
        _exact(r.brokerage * with_gst * UNIT),
        int(cap_turnover.to_integral_value(ROUND_CEILING)),
        _exact(r.brokerage_cap * with_gst * 1_000_000),
        _exact(r.brokerage_flat * with_gst * 1_000_000),
    )


def _days_since_epoch(day: date) -> int:
    return day.toordinal() - date(1970, 1, 1).toordinal()


def rate_table(charged: bool = True) -> tuple[Rows, Rows]:
    """The table as the engine reads it: (first IST day of each version, RATE rows [version, venue · 4 + segment]).

    With `charged` off every rate is zero: trades are free, as `--no-charges` asks.
    """
    starts = np.array([_days_since_epoch(start) for start, _ in TABLE], np.int64)
    rows = np.zeros((len(TABLE), len(VENUES) * len(SEGMENTS)), RATE)
    if charged:
        for n, (_, table) in enumerate(TABLE):
            for v, venue in enumerate(VENUES):
                for s, segment in enumerate(SEGMENTS):
                    rows[n, v * len(SEGMENTS) + s] = _rate_row(table[segment, venue])
    return starts, rows


@kernel
def rounded(whole, numerator, denominator):
    """`whole + numerator / denominator` rounded half to even; all non-negative."""
    quotient = numerator // denominator
    rest = 2 * (numerator - quotient * denominator)
    whole += quotient
    if rest > denominator or (rest == denominator and whole % 2 == 1):
        return whole + 1
    return whole


@kernel
def charges(side, turnover, rate):
    """Charges of an order of this turnover so far, micro-rupees, one half-even rounding.

    The turnover (micro-rupees) is split in two so that no product leaves 64 bits below ten billion rupees.
    """
    coefficient = rate.buy if side > 0 else rate.sell
    lump = rate.lump
    if turnover >= rate.cap_turnover and rate.cap_turnover > 0:
        lump += rate.capped
    else:
        coefficient += rate.brokerage
    high = turnover // SPLIT * coefficient
    step = UNIT // SPLIT
    whole = high // step
    return rounded(lump + whole, (high - whole * step) * SPLIT + turnover % SPLIT * coefficient, UNIT)


def decimal_charges(segment: Segment, venue: Venue, side: Side, turnover_micro: int, day: date) -> int:
    """`contract_note(...).total` in micro-rupees, rounded half to even: what the compiled `charges` must equal."""
    total = contract_note(segment, venue, side, Decimal(turnover_micro) / 1_000_000, day).total
    return int((total * 1_000_000).to_integral_value(ROUND_HALF_EVEN))
