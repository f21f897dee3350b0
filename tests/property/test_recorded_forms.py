"""Whatever tool has written a recording, it is read to the exact value or refused with a remedy; nothing is misread."""

import csv
import datetime as dt
import gzip
import io
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import DataError
from connectors.recorded.options import reading_options
from connectors.recorded.reading import Recording, read
from tests.effort import examples

INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))
SYMBOLS = ("SBIN", "M&M", "BAJAJ-AUTO", "NIFTY26APRFUT")

NAMES = {
    "time": ("timestamp", "Datetime", "Exchange Timestamp", "<DATETIME>", "DateTime"),
    "date": ("date", "Date", "<DATE>", "Trade Date", "TradDt"),
    "clock": ("time", "Time", "<TIME>", "Trade Time"),
    "symbol": ("symbol", "Ticker", "Trading Symbol", "<TICKER>", "TckrSymb", "stock_code"),
    "price": ("ltp", "LTP", "last_price", "Last Traded Price", "price", "LastTradePrice"),
    "volume": ("volume", "Volume Traded", "Vol.", "TTQ", "<VOL>", "Total Traded Quantity"),
    "oi": ("oi", "Open Interest", "OpenInterest", "OpnIntrst"),
}
# Python's format, whether its day and month can be mistaken, and what one unit of it is in microseconds
DATES = (
    ("%Y-%m-%d", False), ("%Y/%m/%d", False), ("%Y.%m.%d", False), ("%Y%m%d", False), ("%d-%b-%Y", False),
    ("%d %b %Y", False), ("%d%b%Y", False), ("%d-%b-%y", False), ("%b %d, %Y", False), ("%d %B %Y", False),
    ("%a, %d %b %Y", False), ("%d-%m-%Y", True), ("%d/%m/%Y", True), ("%d.%m.%Y", True), ("%m/%d/%Y", True),
    ("%d/%m/%y", True), ("%d-%m-%y", True), ("%m/%d/%y", True), ("%d%m%Y", False), ("%d%m%y", True), ("%y%m%d", True),
)  # fmt: skip
CLOCKS = (
    ("%H:%M:%S", 1_000_000), ("%H:%M", 60_000_000), ("%H:%M:%S.%f", 1), ("%I:%M:%S %p", 1_000_000), ("%I:%M %p", 60_000_000),
    ("%H%M%S", 1_000_000), ("%H%M", 60_000_000), ("%H:%M:%S,%f", 1),
)  # fmt: skip
EPOCHS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}


@dataclass
class Row:
    time: int  # microseconds since 1970
    symbol: str
    paise: int
    volume: int
    oi: int


@st.composite
def rows(draw):
    """One or two instruments on one or two days of 2024 to 2026, in the session."""
    days = sorted(draw(st.sets(st.dates(dt.date(2024, 1, 1), dt.date(2026, 12, 31)), min_size=1, max_size=3)))
    symbols = draw(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=2, unique=True))
    found = []
    for day in days:
        seconds = draw(st.lists(st.integers(0, 22_000), min_size=1, max_size=4, unique=True))
        micros = draw(st.integers(0, 999_999))
        for second in sorted(seconds):
            moment = dt.datetime(day.year, day.month, day.day, 9, 15, tzinfo=INDIA) + dt.timedelta(seconds=second)
            for symbol in symbols:
                paise = draw(st.integers(1, 400_000))
                found.append(Row(int(moment.timestamp()) * 1_000_000 + micros, symbol, paise, *draw(COUNTS)))
    return found


COUNTS = st.tuples(st.integers(0, 99_999_999), st.integers(0, 9_999_999))


@dataclass
class Form:
    """How a file is written."""

    delimiter: str
    decimal: str
    grouping: str  # of thousands: none, western, indian
    currency: str
    quoting: int
    encoding: str
    newline: str
    is_packed: bool
    date: tuple[str, bool]
    clock: tuple[str, int]
    parts: str  # one column or two, or a number since 1970
    between: str
    zone: str
    names: dict[str, str]
    order: list[str]
    titles: list[str]
    footers: list[str]
    extra: bool
    trailing: bool  # a delimiter too many behind every row
    blank: bool
    headless: bool


@st.composite
def forms(draw):
    decimal = draw(st.sampled_from([".", ".", ","]))
    parts = draw(st.sampled_from(["one", "one", "two", "s", "ms", "us", "ns"]))
    columns = ["time"] if parts != "two" else ["date", "clock"]
    columns += ["symbol", "price", *draw(st.sets(st.sampled_from(["volume", "oi"])))]
    return Form(
        delimiter=draw(st.sampled_from([",", ";", "\t", "|"])),
        decimal=decimal,
        grouping=draw(st.sampled_from(["none", "none", "western", "indian"])),
        currency=draw(st.sampled_from(["", "", "₹", "Rs. "])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        encoding=draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])),
        newline=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        is_packed=draw(st.booleans()),
        date=draw(st.sampled_from(DATES)),
        clock=draw(st.sampled_from(CLOCKS)),
        parts=parts,
        between=draw(st.sampled_from([" ", "T", ", "])),
        zone=draw(st.sampled_from(["", "", "%z", "Z", " IST", " +0530", "+00:00"])),
        names={meaning: draw(st.sampled_from(names)) for meaning, names in NAMES.items()},
        order=draw(st.permutations(columns)),
        titles=draw(st.sampled_from([[], [], ["Prices of a day"], ["Report, of a day", "", "made 2026"]])),
        footers=draw(st.sampled_from([[], [], ["Total"], ["Source: an exchange", "* delayed"]])),
        extra=draw(st.booleans()),
        trailing=draw(st.booleans()),
        blank=draw(st.booleans()),
        headless=draw(st.sampled_from([False, False, True])),
    )


def grouped(digits: str, grouping: str, sign: str) -> str:
    if grouping == "none" or len(digits) <= 3:
        return digits
    head, tail = digits[:-3], digits[-3:]
    step = 3 if grouping == "western" else 2
    groups = []
    while head:
        groups.insert(0, head[-step:])
        head = head[:-step]
    return sign.join([*groups, tail])


def price_text(paise: int, form: Form) -> str:
    whole, part = divmod(paise, 100)
    other = "," if form.decimal == "." else "."
    return f"{form.currency}{grouped(str(whole), form.grouping, other)}{form.decimal}{part:02d}"


def time_texts(time: int, form: Form) -> dict[str, str]:
    if form.parts in EPOCHS:
        unit = EPOCHS[form.parts]
        return {"time": str(time // unit) + ("000" if form.parts == "ns" else "")}
    moment = dt.datetime.fromtimestamp(time // 1_000_000, dt.UTC if form.zone in ("Z", "+00:00") else INDIA)
    moment = moment.replace(microsecond=time % 1_000_000)
    day, clock = moment.strftime(form.date[0]), moment.strftime(form.clock[0])
    if form.parts == "two":
        here = moment.astimezone(INDIA)
        return {"date": here.strftime(form.date[0]), "clock": here.strftime(form.clock[0])}
    zone = moment.strftime("%z") if form.zone == "%z" else form.zone
    return {"time": f"{day}{form.between}{clock}{zone}"}


def written(found: list[Row], form: Form) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=form.delimiter, quoting=form.quoting, lineterminator=form.newline)
    for title in form.titles if not form.headless else ():
        out.write(title + form.newline)
    tail = ["note"] if form.extra else []
    if not form.headless:
        writer.writerow([form.names[name] for name in form.order] + tail)
    for n, row in enumerate(found):
        fields = time_texts(row.time, form) | {
            "symbol": row.symbol,
            "price": price_text(row.paise, form),
            "volume": grouped(str(row.volume), form.grouping, "," if form.decimal == "." else "."),
            "oi": grouped(str(row.oi), form.grouping, "," if form.decimal == "." else "."),
        }
        writer.writerow([fields[name] for name in form.order] + ["x"] * form.extra + [""] * form.trailing)
        if form.blank and n == 0:
            out.write(form.newline)
    for footer in form.footers:
        out.write(footer + form.newline)
    return out.getvalue().encode(form.encoding)


def unit_of(form: Form) -> int:
    return EPOCHS[form.parts] if form.parts in EPOCHS else form.clock[1]


def may_be_refused(found: list[Row], form: Form) -> bool:
    """Whether no date of the file tells which of its numbers is the day."""
    if form.parts in EPOCHS or not form.date[1]:
        return False
    days = [dt.datetime.fromtimestamp(row.time // 1_000_000, INDIA) for row in found]
    if "%y" in form.date[0]:
        return True  # even 22/04/24 may have its year first
    return all(day.day <= 12 for day in days)


def read_or_refused(path: Path, columns: str = "") -> Recording | DataError:
    try:
        return read([path], options=reading_options(sort=True, columns=columns))
    except DataError as refused:
        return refused


def columns_of(form: Form) -> str:
    """What a user says about a file without a header."""
    words = {"clock": "time"} if "date" in form.order else {}
    return ",".join([words.get(name, name) for name in form.order] + ["-"] * form.extra) if form.headless else ""


@settings(max_examples=examples(100), deadline=None)
@given(rows(), forms())
def test_a_form_written_at_random_is_read_to_the_exact_value_or_refused_with_a_remedy(found, form):
    if form.encoding == "cp1252" and form.currency == "₹":
        form.currency = "$"  # that code page has no sign of the rupee
    data = written(found, form)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("all.csv.gz" if form.is_packed else "all.csv")
        path.write_bytes(gzip.compress(data) if form.is_packed else data)
        recording = read_or_refused(path, columns_of(form))
    if isinstance(recording, DataError):
        assert recording.remedy
        assert may_be_refused(found, form), recording
        return
    shown = [form.order.count(name) for name in ("volume", "oi")]
    agree(recording, found, unit_of(form), *shown)


def agree(recording: Recording, found: list[Row], unit: int, has_volume: int, has_oi: int) -> None:
    """That a recording holds these rows to the micro-second and the paisa, times cut to `unit`, in order of time."""
    names = [i.tradingsymbol for i in recording.instruments]
    got = sorted(
        (
            int(t["time"]) // 1000,
            names[t["instrument"]],
            round(t["price"] * 100),
            int(t["volume"]),
            int(t["open_interest"]),
        )
        for t in recording.ticks
    )
    wanted = sorted(
        (row.time // unit * unit, row.symbol, row.paise, row.volume * has_volume, row.oi * has_oi) for row in found
    )
    assert got == wanted
    exact = sorted(float(Decimal(row.paise) / 100) for row in found)
    assert sorted(recording.ticks["price"].tolist()) == exact
    assert (np.diff(recording.ticks["time"]) >= 0).all()


# How a time may be typed in Parquet: SQL of it from microseconds since 1970 in UTC, and what one unit is in microseconds
TYPES = {
    "TIMESTAMP_S": ("make_timestamp({ist} // 1000000 * 1000000)::TIMESTAMP_S", 1_000_000),
    "TIMESTAMP_MS": ("make_timestamp({ist} // 1000 * 1000)::TIMESTAMP_MS", 1_000),
    "TIMESTAMP": ("make_timestamp({ist})", 1),
    "TIMESTAMP_NS": ("make_timestamp_ns({ist} * 1000 + 789)", 1),
    "TIMESTAMPTZ": ("make_timestamp({utc})::TIMESTAMP AT TIME ZONE 'UTC'", 1),
    "s": ("{utc} // 1000000", 1_000_000),
    "ms": ("{utc} // 1000", 1_000),
    "us": ("{utc}::UBIGINT", 1),
    "ns": ("{utc}::HUGEINT * 1000 + 789", 1),
    "double s": ("({utc} // 1000000)::DOUBLE", 1_000_000),
    "text": ("strftime(make_timestamp({ist}), '%Y-%m-%dT%H:%M:%S.%f+05:30')", 1),
}
PRICES = ("DOUBLE", "DECIMAL(12,2)", "FLOAT", "VARCHAR")
COUNTED = ("BIGINT", "UBIGINT", "DOUBLE", "INTEGER", "VARCHAR")


@settings(max_examples=examples(40), deadline=None)
@given(
    rows(), st.sampled_from(sorted(TYPES)), st.sampled_from(PRICES), st.sampled_from(COUNTED), st.booleans(),
    st.sampled_from(NAMES["time"]), st.sampled_from(NAMES["price"]), st.sampled_from(["uncompressed", "zstd", "snappy"]),
)  # fmt: skip
def test_parquet_of_every_type_is_read_to_the_exact_value(
    found, time, price, count, two, time_name, price_name, packing
):
    sql, unit = TYPES[time]
    sql = sql.format(utc="time", ist="(time + 19800000000)")
    columns = f'{sql} AS "{time_name}"'
    if two and time in ("TIMESTAMP", "TIMESTAMP_S"):
        columns = f"({sql})::DATE AS date, ({sql})::TIMESTAMP::TIME AS time"
    columns += f', symbol AS "Trading Symbol", (paise / 100.0)::{price} AS "{price_name}"'
    columns += f", volume::{count} AS volume, oi::{count} AS oi"
    rows_sql = ", ".join(f"({r.time}, '{r.symbol}', {r.paise}, {r.volume}, {r.oi})" for r in found)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "all.parquet"
        with duckdb.connect() as connection:
            table = f"(VALUES {rows_sql}) AS t(time, symbol, paise, volume, oi)"
            connection.execute(
                f"COPY (SELECT {columns} FROM (SELECT time::BIGINT AS time, symbol, paise, volume, oi FROM {table})) "
                f"TO '{path}' (FORMAT PARQUET, COMPRESSION {packing})"
            )
        recording = read_or_refused(path)
    assert isinstance(recording, Recording), recording
    agree(recording, found, unit, 1, 1)
