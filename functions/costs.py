"""Charges: what a trade in India costs beyond its price, by the dated table of Zerodha, the exchanges and the state.

Per executed order of turnover T = Σ quantity · price:
`total = brokerage + STT + transaction + SEBI + stamp + GST`, `GST = 18 % · (brokerage + transaction − IPFT + SEBI)`; SEBI's
fee bears it from 2022-07-18 on. The rates themselves stand in a file, `functions.charges_text` reads its text.
The arithmetic is exact and rounded once, half to even, to the micro-rupee; STT is kept unrounded as Kite's margin API does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Final, Literal, NamedTuple

import numpy as np

from functions.kernel import kernel
from functions.ticks import Rows

Segment = Literal["delivery", "intraday", "futures", "options"]
Venue = Literal["NSE", "BSE"]
Side = Literal["BUY", "SELL"]

DELIVERY, INTRADAY, FUTURES, OPTIONS = (np.int64(n) for n in range(4))
SEGMENTS: Final[tuple[Segment, ...]] = ("delivery", "intraday", "futures", "options")
VENUES: Final[tuple[Venue, ...]] = ("NSE", "BSE")


UNIT: Final = 100_000_000_000  # coefficients are in 1e-11 of the turnover: IPFT has nine decimals, GST two more
SPLIT: Final = 10_000_000


def _exact(value: Decimal) -> int:
    if value != value.to_integral_value():
        raise ValueError(f"a rate has more decimals than the engine keeps: {value}")
    return int(value)


@dataclass(frozen=True)
class Rates:
    """Rates of one segment of one exchange, as fractions of turnover; lumps in rupees per order."""

    brokerage: Decimal  # fraction, at most `brokerage_cap`
    brokerage_cap: Decimal  # rupees per order; 0 = no cap
    brokerage_flat: Decimal  # rupees per order, instead of a fraction
    stt_buy: Decimal
    stt_sell: Decimal
    transaction: Decimal  # exchange transaction charge, IPFT included
    ipft: Decimal  # investor protection fund: part of `transaction`, free of GST
    sebi: Decimal
    stamp_buy: Decimal
    stamp_sell: Decimal
    gst: Decimal  # of brokerage and transaction charges
    gst_on_sebi: Decimal

    def row(self) -> tuple[int, ...]:
        """One RATE row. Raises: `ValueError` for a rate with more decimals than the engine keeps."""
        with_gst = 1 + self.gst
        taxed = (self.transaction - self.ipft) * self.gst + self.sebi * self.gst_on_sebi + self.transaction + self.sebi
        cap_turnover = self.brokerage_cap * 1_000_000 / self.brokerage if self.brokerage_cap else Decimal(0)
        return (
            _exact((taxed + self.stt_buy + self.stamp_buy) * UNIT),
            _exact((taxed + self.stt_sell + self.stamp_sell) * UNIT),
            _exact(self.brokerage * with_gst * UNIT),
            int(cap_turnover.to_integral_value(ROUND_CEILING)),
            _exact(self.brokerage_cap * with_gst * 1_000_000),
            _exact(self.brokerage_flat * with_gst * 1_000_000),
            1,
        )


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


class Stated(NamedTuple):
    """One rate as a file states it: of an item, for one segment of one exchange, from a day on."""

    item: str
    venue: Venue
    segment: Segment
    since: date
    value: Decimal | None  # per cent of the turnover, or rupees; `None`: unknown
    assumed: bool = False
    source: str = ""


Cell = tuple[Segment, Venue]


class Unpriced(ValueError):
    """A day, or a segment on a day, whose charges are not known."""


@dataclass(frozen=True, eq=False)
class Tariff:
    """Rates by the day from which they hold; a cell without rates is one that nobody knows."""

    versions: Sequence[tuple[date, Mapping[Cell, Rates | None]]] = field(repr=False)
    stated: Sequence[Stated] = field(default=(), repr=False)

    @property
    def first_date(self) -> date:
        return self.versions[0][0]

    def version(self, day: date) -> int:
        """Which version holds on a day. Raises: `Unpriced` for a day before the first."""
        held = [n for n, (since, _) in enumerate(self.versions) if since <= day]
        if not held:
            raise Unpriced(f"no charges are known for {day}: they begin {self.first_date}")
        return held[-1]

    def rates(self, segment: Segment, venue: Venue, day: date) -> Rates:
        """Raises: `Unpriced` where they are not known."""
        rates = self.versions[self.version(day)][1][segment, venue]
        if rates is None:
            raise Unpriced(f"no charges are known for {segment} on {venue} on {day}")
        return rates

    def refuse_unpriced(self, segment: Segment, venue: Venue, first: date, last: date) -> None:
        """Raises: `Unpriced` where the rates of some day from `first` to `last` are not known, naming until when."""
        begin = self.version(first)
        for n in range(begin, self.version(last) + 1):
            since, cells = self.versions[n]
            if cells[segment, venue] is None:
                known = [s for s, c in self.versions[n:] if c[segment, venue] is not None]
                again = f", they are from {known[0]} on" if known else ""
                raise Unpriced(f"no charges are known for {segment} on {venue} on {max(since, first)}{again}")

    def as_of(self, day: date) -> "Tariff":
        """The rates of one day, for every day. Raises: `Unpriced` for a day before the first."""
        cells = self.versions[self.version(day)][1]
        return Tariff([(date.min, cells)], self.stated)

    def assumed(self, first: date, last: date) -> list[Stated]:
        """What is assumed and holds on some day from `first` to `last`."""
        ends: dict[tuple[str, Venue, Segment], date] = {}
        found = []
        for rate in sorted(self.stated, key=lambda r: r.since, reverse=True):
            end = ends.get((rate.item, rate.venue, rate.segment), date.max)
            if rate.assumed and rate.since <= last and first < end:
                found.append(rate)
            ends[rate.item, rate.venue, rate.segment] = rate.since
        return found[::-1]

    def contract_note(self, segment: Segment, venue: Venue, side: Side, turnover: Decimal, day: date) -> Charges:
        """The charges of one executed order, item by item, unrounded.

        Units: turnover in rupees. Raises: `Unpriced` where they are not known.
        """
        r = self.rates(segment, venue, day)
        brokerage = r.brokerage_flat + turnover * r.brokerage
        if r.brokerage_cap and brokerage > r.brokerage_cap:
            brokerage = r.brokerage_cap
        transaction, sebi = turnover * r.transaction, turnover * r.sebi
        return Charges(
            brokerage=brokerage,
            stt=turnover * (r.stt_buy if side == "BUY" else r.stt_sell),
            transaction=transaction,
            sebi=sebi,
            stamp=turnover * (r.stamp_buy if side == "BUY" else r.stamp_sell),
            gst=r.gst * (brokerage + transaction - turnover * r.ipft) + r.gst_on_sebi * sebi,
        )

    def micro_charges(self, segment: Segment, venue: Venue, side: Side, turnover_micro: int, day: date) -> int:
        """`contract_note(...).total` in micro-rupees, half to even: what the compiled `charges` must equal."""
        total = self.contract_note(segment, venue, side, Decimal(turnover_micro) / 1_000_000, day).total
        return int((total * 1_000_000).to_integral_value(ROUND_HALF_EVEN))

    def table(self, charged: bool = True) -> tuple[Rows, Rows]:
        """As the engine reads it: (first IST day of each version, RATE rows [version, venue · 4 + segment]).

        With `charged` off trades are free on every day, as `--no-charges` asks.
        """
        if not charged:
            rows = np.zeros((1, len(VENUES) * len(SEGMENTS)), RATE)
            rows["known"] = 1
            return np.array([_days_since_epoch(date.min)], np.int64), rows
        starts = np.array([_days_since_epoch(start) for start, _ in self.versions], np.int64)
        rows = np.zeros((len(self.versions), len(VENUES) * len(SEGMENTS)), RATE)
        for n, (_, cells) in enumerate(self.versions):
            for v, venue in enumerate(VENUES):
                for s, segment in enumerate(SEGMENTS):
                    if (rates := cells[segment, venue]) is not None:
                        rows[n, v * len(SEGMENTS) + s] = rates.row()
        return starts, rows


# --- the same, compiled -----------------------------------------------------------------------------------------------

RATE: Final = np.dtype(
    [
        ("buy", "i8"),  # all linear charges of a purchase, GST included, 1e-11 of the turnover
        ("sell", "i8"),
        ("brokerage", "i8"),  # linear brokerage with its GST, 1e-11; charged below `cap_turnover`
        ("cap_turnover", "i8"),  # micro-rupees of turnover from which the cap applies
        ("capped", "i8"),  # micro-rupees: the cap with its GST
        ("lump", "i8"),  # micro-rupees: flat brokerage with its GST
        ("known", "i8"),  # 0: nobody knows these rates, nothing may be traded at them
    ]
)


def _days_since_epoch(day: date) -> int:
    return day.toordinal() - date(1970, 1, 1).toordinal()


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
