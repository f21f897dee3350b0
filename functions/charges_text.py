"""Charges text: a tariff as people write it, in TOML; a user's file replaces or adds rates of another tariff.

    [[rates]]
    item = "stt_sell"          # one of ITEMS
    from = 2026-04-01
    exchange = "NSE"           # both, if not given
    futures = "0.05"           # per cent of the turnover (brokerage_cap and brokerage_flat: rupees an order), or "unknown"
    options = "0.15"
    source = "Finance Act 2026"

A rate holds until the next one of the same item, exchange and segment.
"""

import datetime as dt
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from functions.costs import SEGMENTS, UNIT, VENUES, Cell, Rates, Segment, Stated, Tariff, Venue
from functions.table_text import Document, Fault, Unusable, document, unknown

UNKNOWN: Final = "unknown"
ITEMS: Final = (
    "brokerage", "brokerage_cap", "brokerage_flat", "stt_buy", "stt_sell", "transaction", "ipft", "sebi", "stamp_buy",
    "stamp_sell", "gst", "gst_on_sebi",
)  # fmt: skip
LUMPS: Final = ("brokerage_cap", "brokerage_flat")  # in rupees an order

MOST_IN_ALL: Final = 9  # per cent: the engine's sums stay within 64 bits
_KEYS: Final = ("item", "from", "exchange", *SEGMENTS, "assumed", "source")
_MOST: Final = {"gst": 50, "gst_on_sebi": 50, "brokerage_cap": 100_000, "brokerage_flat": 100_000}  # others: 5 per cent
_At = tuple[str, Venue, Segment, dt.date]


def read_charges(raw: bytes, other: Tariff | None = None) -> Tariff:
    """A tariff from the text of a file; with `other` the file replaces or adds rates of it.

    Raises: `Unusable` with every fault found.
    """
    source = document(raw)
    faults = [
        Fault(source.line(name), f"{name!r} is no table of charges", "write [[rates]] above each")
        for name in source.values.keys() - {"rates"}
    ]
    tables = source.values.get("rates", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise Unusable(
            [*faults, Fault(source.line("rates"), "rates is no list of tables", "write [[rates]] above each")]
        )
    if not tables:
        raise Unusable([*faults, Fault(0, "there are no rates", "write [[rates]] above each")])
    lines: dict[_At, int] = {}
    mine: dict[_At, Stated] = {}
    for n, table in enumerate(tables):
        for rate in _stated(source, n, table, faults):
            at = (rate.item, rate.venue, rate.segment, rate.since)
            line = source.line("rates", n, rate.segment)
            if at in mine:
                what = f"{rate.item} of {rate.segment} on {rate.venue} from {rate.since} stands on line {lines[at]} too"
                faults.append(Fault(line, what, "keep one of the two"))
            mine[at], lines[at] = rate, line
    if faults:
        raise Unusable(faults)
    stated = {(r.item, r.venue, r.segment, r.since): r for r in (other.stated if other else ())} | mine
    return _tariff(sorted(stated.values(), key=lambda r: r.since), lines)


def _stated(source: Document, n: int, table: dict[str, Any], faults: list[Fault]) -> list[Stated]:
    """What one table states; its faults are added."""
    if strange := unknown(source, ("rates", n), table, _KEYS):
        faults += strange
        return []
    item, since, exchange = table.get("item"), table.get("from"), table.get("exchange")
    assumed, text = table.get("assumed", False), table.get("source", "")
    segments = [segment for segment in SEGMENTS if segment in table]
    wrong = [
        (item not in ITEMS, "item", f"{item!r} is no charge", f"item is one of {', '.join(ITEMS)}"),
        (
            not isinstance(since, dt.date) or isinstance(since, dt.datetime), "from",
            f"rates are from a day on, was {since!r}", "write from = 2027-04-01",
        ),
        (exchange not in (None, *VENUES), "exchange", f"{exchange!r} is no exchange", f"one of {', '.join(VENUES)}"),
        (not segments, "item", "it names no segment", f"give one of {', '.join(SEGMENTS)}"),
        (not isinstance(assumed, bool), "assumed", f"assumed is true or false, was {assumed!r}", "correct it"),
        (not isinstance(text, str), "source", f"source is text, was {text!r}", "put it in quotes"),
    ]  # fmt: skip
    here = [Fault(source.line("rates", n, key), what, remedy) for bad, key, what, remedy in wrong if bad]
    faults += here
    if here or not isinstance(since, dt.date):
        return []
    found = []
    for segment in segments:
        value = table[segment]
        if reason := _refused(str(item), value):
            faults.append(Fault(source.line("rates", n, segment), f"{item} of {segment}: {reason[0]}", reason[1]))
            continue
        number = None if value == UNKNOWN else Decimal(value)
        for venue in VENUES:
            if exchange in (None, venue):
                found.append(Stated(str(item), venue, segment, since, number, assumed, text))
    return found


def _refused(item: str, value: Any) -> tuple[str, str] | None:
    """Why a value is no rate, and the remedy."""
    unit = "rupees an order" if item in LUMPS else "per cent of the turnover"
    if not isinstance(value, str):
        return f"{value!r} is no text, and would not be exact", f'write it in quotes: "{value}"'
    if value == UNKNOWN:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return f"{value!r} is no number", f'{unit}, e.g. "0.025", or "{UNKNOWN}"'
    most = _MOST.get(item, 5)
    if not number.is_finite() or not 0 <= number <= most:
        return f"{value} is not from 0 to {most} {unit}", "correct it"
    return None


def _tariff(stated: list[Stated], lines: dict[_At, int]) -> Tariff:
    """Raises: `Unusable` where something is not stated from the first day on, or is not exact."""
    faults: list[Fault] = []
    now: dict[tuple[str, Venue, Segment], Stated] = {}
    versions: list[tuple[dt.date, dict[Cell, Rates | None]]] = []
    for since in sorted({rate.since for rate in stated}):
        now |= {(r.item, r.venue, r.segment): r for r in stated if r.since == since}
        cells: dict[Cell, Rates | None] = {}
        for venue in VENUES:
            for segment in SEGMENTS:
                items = {item: now.get((item, venue, segment)) for item in ITEMS}
                missing = [item for item, rate in items.items() if rate is None]
                if missing:
                    what = f"{segment} on {venue} has no {', '.join(missing)} from {since} on"
                    faults.append(Fault(0, what, f'state it, or "{UNKNOWN}"'))
                values = {item: rate.value for item, rate in items.items() if rate is not None}
                cells[segment, venue] = _rates(values) if not missing else None
                line = max((lines.get((i, venue, segment, since), 0) for i in ITEMS), default=0)
                faults += _inexact(cells[segment, venue], segment, venue, line)
        versions.append((since, cells))
        if faults:
            raise Unusable(faults)
    return Tariff(versions, stated)


def _rates(values: dict[str, Decimal | None]) -> Rates | None:
    """`None` where one of them is unknown."""
    fractions = {}
    for item, value in values.items():
        if value is None:
            return None
        fractions[item] = value if item in LUMPS else value / 100
    return Rates(**fractions)


def _inexact(rates: Rates | None, segment: Segment, venue: Venue, line: int) -> list[Fault]:
    if rates is None:
        return []
    if rates.ipft > rates.transaction:
        what = f"{segment} on {venue}: ipft is more than the transaction charge that contains it"
        return [Fault(line, what, "transaction is the whole, ipft a part of it")]
    if rates.brokerage_cap and not rates.brokerage:
        return [Fault(line, f"{segment} on {venue}: a cap on no brokerage", "brokerage_flat is rupees an order")]
    try:
        buy, sell, brokerage = rates.row()[:3]
    except ValueError as error:
        return [Fault(line, f"{segment} on {venue}: {error}", "rates have at most seven decimals of a per cent")]
    if max(buy, sell) + brokerage > MOST_IN_ALL * UNIT // 100:
        what = f"{segment} on {venue}: charges are more than {MOST_IN_ALL} per cent of the turnover in all"
        return [Fault(line, what, "rates are per cent: 0.025, not 2.5")]
    return []
