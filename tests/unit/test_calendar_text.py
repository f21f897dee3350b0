"""A calendar as a user writes it: what it changes, and every fault with its line and what to do."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.calendar import DERIVATIVES, MINUTE, Calendar, clock
from functions.calendar_text import read_calendar
from functions.table_text import Unusable
from tests.tables import CALENDAR

WHOLE = """
[2027]
source = "NSE circular"

[2027.holidays]
01-26 = "Republic Day"
03-22 = "Holi"
10-29 = "Diwali"

[2027.sessions]
10-31 = { name = "Muhurat", hours = "18:00-19:00" }
02-06 = { name = "Saturday", hours = "09:15-10:00 11:30-12:30", mis = "none", source = "a circular" }
02-07 = { name = "Union Budget", hours = "regular" }
"""


def read(text: str, other: Calendar | None = CALENDAR) -> Calendar:
    return read_calendar(text.encode(), other)


def faults(text: str | bytes, other: Calendar | None = CALENDAR) -> list[tuple[int, str, str]]:
    with pytest.raises(Unusable) as unusable:
        read_calendar(text if isinstance(text, bytes) else text.encode(), other)
    return [tuple(fault) for fault in unusable.value.faults]


def hours(calendar: Calendar, day: str) -> list[str]:
    """Session and MIS of each class."""
    row = calendar.row(dt.date.fromisoformat(day))
    told = []
    for parts, cut_off in zip(calendar.sessions[row].tolist(), calendar.cut_offs[row].tolist(), strict=True):
        session = " ".join(f"{clock(opens)}-{clock(closes)}" for opens, closes in parts if closes)
        told.append(f"{session} {clock(cut_off)}" if session else "closed")
    return told


def test_a_year_of_ones_own_is_added_and_the_others_stay():
    calendar = read(WHOLE)

    assert (calendar.first_date, calendar.last_date) == (dt.date(2005, 1, 1), dt.date(2027, 12, 31))
    assert (calendar.sessions[: CALENDAR.days] == CALENDAR.sessions).all()
    assert hours(calendar, "2027-01-25") == ["09:15-15:30 15:25", "09:15-15:15 15:12", "09:15-15:40 15:26"]
    assert [hours(calendar, day) for day in ("2027-01-26", "2027-01-24", "2027-10-29")] == [["closed"] * 3] * 3
    assert hours(calendar, "2027-10-31") == ["18:00-19:00 18:50"] * 3
    assert hours(calendar, "2027-02-06") == ["09:15-10:00 11:30-12:30 09:15"] * 3
    assert hours(calendar, "2027-02-07") == hours(calendar, "2027-01-25")
    assert calendar.year(dt.date(2027, 1, 1)).source == "NSE circular"


def test_a_year_stands_in_place_of_the_one_that_was_there():
    calendar = read('[2026.holidays]\n01-26 = "Republic Day"\n10-02 = "Gandhi Jayanti"\n')

    assert not calendar.is_trading_day(dt.date(2026, 1, 26))
    assert calendar.is_trading_day(dt.date(2026, 1, 15))  # of ours, and no longer
    assert not calendar.is_trading_day(dt.date(2026, 2, 1))


def test_a_year_that_extends_adds_its_days_and_takes_the_place_of_single_ones():
    calendar = read(
        '[2026]\nextends = true\nsource = "mine"\n[2026.holidays]\n12-24 = "Election"\n'
        '[2026.sessions]\n12-25 = { name = "After all", hours = "regular" }\n'
        '11-08 = { name = "Muhurat", hours = "18:15-19:15" }\n'
    )

    assert [calendar.is_trading_day(dt.date(2026, 12, day)) for day in (23, 24, 25)] == [True, False, True]
    assert hours(calendar, "2026-11-08") == ["18:15-19:15 19:05"] * 3
    assert not calendar.is_trading_day(dt.date(2026, 1, 26))  # of ours, still
    assert calendar.year(dt.date(2026, 1, 1)).source.endswith("; mine")


def test_a_day_with_a_session_is_closed_by_a_holiday_of_a_year_that_extends():
    calendar = read('[2025]\nextends = true\n[2025.holidays]\n10-21 = "No Muhurat"\n')

    assert hours(calendar, "2025-10-21") == ["closed"] * 3


def test_hours_from_a_day_on_hold_until_the_next_ones():
    calendar = read(
        WHOLE + '[[hours]]\nfrom = 2027-06-01\nshares = "09:00-15:00"\nauction_shares = "09:00-14:45"\n'
        'derivatives = "09:00-17:00"\nmis = { shares = "14:50", auction_shares = "14:40", derivatives = "16:45" }\n'
    )

    assert hours(calendar, "2027-05-31") == ["09:15-15:30 15:25", "09:15-15:15 15:12", "09:15-15:40 15:26"]
    assert hours(calendar, "2027-06-01") == ["09:00-15:00 14:50", "09:00-14:45 14:40", "09:00-17:00 16:45"]


def test_a_file_of_windows_with_a_mark_and_its_line_ends_is_read():
    raw = b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode()

    assert read_calendar(raw, CALENDAR).last_date == dt.date(2027, 12, 31)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[2027.holidays]\n01-26 = "a"\n01-26 = "b"\n', 3, "stands twice"),
        ('[2027.holidays]\n01-26 = "a"\n[2027.holidays]\n', 3, "stands twice"),
        ("[2027.holidays]\n01-26 = Republic\n", 2, "no TOML"),
        ('[2027.holiday]\n01-26 = "a"\n', 1, "'holiday', which nobody knows; did you mean holidays?"),
        ('[holidays]\n01-26 = "a"\n', 1, "a table is a year or hours"),
        ('[2027.holidays]\n01-26 = "a"\n02-30 = "b"\n', 3, "'02-30' is no day of 2027"),
        ('[2027.holidays]\n01-26 = "a"\n2-1 = "b"\n', 3, "'2-1' is no day of 2027"),
        ('[2027.holidays]\n01-26 = "a"\n05-01 = "b"\n', 3, "2027-05-01 is a Saturday, closed without being a holiday"),
        ("[2027.holidays]\n01-26 = 1\n", 2, "a holiday has a name, was 1"),
        (WHOLE + '03-22 = { name = "x", hours = "regular" }\n', 7, "2027-03-22 is a holiday and has a session"),
        ("[2027]\n", 1, "2027 has no holiday"),
        ('[2027.holidays]\n03-22 = "Holi"\n', 1, "2027-01-26 is Republic Day, and neither holiday nor session"),
        (WHOLE + '03-06 = { name = "x", hours = "15:00-09:00" }\n', 14, "'15:00-09:00' closes before it opens"),
        (WHOLE + '03-06 = { name = "x", hours = "09:00-09:00" }\n', 14, "closes before it opens"),
        (WHOLE + '03-06 = { name = "x", hours = "09:15-11:00 10:30-12:00" }\n', 14, "overlap"),
        (WHOLE + '03-06 = { name = "x", hours = "11:30-12:30 09:15-10:00" }\n', 14, "the later one comes first"),
        (WHOLE + '03-06 = { name = "x", hours = "09:00-10:00 11:00-12:00 13:00-14:00" }\n', 14, "one part or 2"),
        (WHOLE + '03-06 = { name = "x", hours = "9:15-10:00" }\n', 14, "'9:15' is no time of day"),
        (WHOLE + '03-06 = { name = "x", hours = "09:15-24:00" }\n', 14, "'24:00' is no time of day"),
        (WHOLE + '03-06 = { name = "x", hours = "09:15" }\n', 14, "'09:15' is no open and close"),
        (WHOLE + '03-06 = { name = "x" }\n', 14, "hours are text, was None"),
        (WHOLE + '03-06 = { hours = "regular" }\n', 14, "it has no name"),
        (WHOLE + '03-06 = { name = "x", hours = "09:15-10:00", mis = "10:01" }\n', 14, "MIS ends outside the session"),
        (WHOLE + '03-06 = { name = "x", hours = "regular", mis = "10:01" }\n', 14, "beside regular hours"),
        (WHOLE + '03-06 = { name = "x", hour = "regular" }\n', 14, "did you mean hours?"),
        (WHOLE + '03-06 = "x"\n', 14, "a session is a table"),
        ('[2028.holidays]\n01-26 = "a"\n08-15 = "b"\n10-02 = "c"\n', 0, "2027 between other years is missing"),
        ('[2003.holidays]\n08-15 = "b"\n10-02 = "c"\n', 0, "2004 between other years is missing"),
        (WHOLE.replace("2027", "1066"), 2, "1066 is no year from 1990 to 2100"),
        (WHOLE.replace("[2027]", "[2027]\nextends = true"), 2, "there is no 2027 that it could extend"),
        (WHOLE.replace('"NSE circular"', "1"), 2, "source is text"),
        (WHOLE + "[[hours]]\nshares = 1\n", 14, "hours are from a day on, was None"),
        (WHOLE + '[[hours]]\nfrom = "2027-01-01"\n', 15, "hours are from a day on"),
        (WHOLE + "[[hours]]\nfrom = 2027-01-01\n", 14, "mis names shares, auction_shares, derivatives"),
        (WHOLE + '[hours]\nfrom = 2027-01-01\n', 14, "hours is no list of tables"),
    ],
)  # fmt: skip
def test_every_fault_is_named_with_its_line(text, line, words):
    found = faults(text)

    assert any(line == at and words in f"{what}; {remedy}" for at, what, remedy in found), found
    assert all(remedy for _, _, remedy in found)


def test_all_faults_are_told_at_once_in_the_order_of_their_lines():
    found = faults(
        '[2027.holidays]\n02-30 = "a"\n05-01 = "b"\n[2027.sessions]\n03-06 = { name = "x", hours = "10-11" }\n'
    )

    assert [line for line, _, _ in found] == sorted(line for line, _, _ in found)
    assert {2, 3, 5} <= {line for line, _, _ in found}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (WHOLE.encode("utf-16"), "the file is UTF-16"),
        (b"PK\x03\x04", "a zipped file such as a workbook"),
        (WHOLE.encode() + b'\xe9 = "latin"', "is not UTF-8"),
        (b"", "there is no year"),
        (b"[" * 10_000, ""),
        (b"a = " + b"[" * 100_000, ""),
        (b"\x00\x01", "no TOML"),
    ],
)
def test_what_is_no_text_of_ours_is_told_in_words(raw, words):
    assert words in str(faults(raw, None)[0])


def test_a_calendar_without_hours_for_its_first_day_is_refused():
    assert "no regular hours are known for 2027-01-01" in faults(WHOLE, None)[0][1]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_calendar_or_told_to_be_none(raw):
    told = None
    try:
        read_calendar(raw, CALENDAR)
    except Unusable as unusable:
        told = unusable.faults
    assert told is None or all(fault.what and fault.remedy for fault in told)


@given(
    opens=st.integers(0, 1_438), lasts=st.integers(1, 600), mis=st.none() | st.integers(0, 1_439),
    assumed=st.booleans(), day=st.dates(dt.date(2027, 1, 1), dt.date(2027, 12, 31)),
)  # fmt: skip
def test_a_session_that_is_written_is_the_session_that_trades(opens, lasts, mis, assumed, day):
    closes = min(opens + lasts, 1_439)
    text = (
        f'{{ name = "x", hours = "{clock(opens * MINUTE)}-{clock(closes * MINUTE)}", assumed = {str(assumed).lower()}'
    )
    text += f', mis = "{clock(mis * MINUTE)}" }}' if mis is not None else " }"
    written = f'[2027.holidays]\n12-27 = "a"\n[2027.sessions]\n01-26 = {text}\n'
    if day != dt.date(2027, 1, 26) and day != dt.date(2027, 12, 27):
        written += f"{day:%m-%d} = {text}\n"
    if mis is not None and not opens <= mis <= closes:
        assert faults(written)
        return
    calendar = read(written)
    expected = max(closes - 10, opens) if mis is None else mis
    row = calendar.row(day if day != dt.date(2027, 12, 27) else dt.date(2027, 1, 26))
    assert calendar.sessions[row, DERIVATIVES].tolist() == [[opens * MINUTE, closes * MINUTE], [0, 0]]
    assert calendar.cut_offs[row].tolist() == [expected * MINUTE] * 3
