"""Recorded files as people have them: what every tool writes is read to the exact value, or refused with the remedy."""

import csv
import datetime as dt
import gzip
import io
from pathlib import Path

import duckdb
import pytest

from connectors.errors import ConfigError, DataError
from connectors.recorded.options import ReadingOptions, reading_options, words_of
from connectors.recorded.reading import Recording, read
from functions.calendar import INDIA, SECOND
from tests.integration.test_recorded import Write, at, parquet, reports, told, write

__all__ = ["Write", "write"]
FILES = Path(__file__).parents[1] / "files" / "parquet"
TEN = at("2026-04-22 10:00:00")


def first(path: Path, **options) -> tuple[str, float]:
    """India's time and price of the first tick."""
    tick = read([path], options=reading_options(**options)).ticks[0]
    moment = dt.datetime.fromtimestamp(int(tick["time"]) // SECOND, INDIA)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{int(tick['time']) % SECOND // 1000:06d}", tick["price"].item()


# --- times in text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2026-04-22 10:00:00",
        "2026-04-22T10:00:00",
        "2026-04-22 10:00",
        "2026/04/22 10:00:00",
        "2026.04.22 10:00",
        "2026-4-22 10:0:0".replace(":0:0", ":00:00"),
        "22-04-2026 10:00",
        "22/04/2026 10:00:00",
        "22.04.2026 10:00",
        "04/22/2026 10:00",
        "22/04/26 10:00",
        "22-Apr-2026 10:00:00",
        "22 Apr 2026 10:00",
        "22APR2026 10:00:00",
        "22-APR-26 10:00",
        "22 April 2026 10:00",
        "Apr 22, 2026 10:00",
        "Wed, 22 Apr 2026 10:00:00",
        "22-04-2026 10:00 AM",
        "22/04/2026 10:00:00am",
        "20260422 10:00",
        "20260422 100000",
        "20260422100000",
        "22042026 1000",
        "22/Apr/2026:10:00:00 +0530",
        "2026-04-22 10:00:00+05:30",
        "2026-04-22T04:30:00Z",
        "2026-04-22 04:30:00 UTC",
        "2026-04-22 10:00:00 IST",
        "2026-04-22T10:00:00.000000+0530",
        "2026-04-21 23:30:00-05:00",
        "2026-04-22_10:00:00",
        "1776832200",
        "1776832200000",
        "1776832200000000",
        "1776832200000000000",
        "1776832200.0",
    ],
)
def test_a_time_is_read_however_it_is_written(write, text):
    assert first(write("timestamp;ltp", f"{text};865.05")) == ("2026-04-22 10:00:00.000000", 865.05)


@pytest.mark.parametrize(
    ("day", "clock"),
    [
        ("2026-04-22", "10:00:00"),
        ("22-04-2026", "10:00"),
        ("20260422", "1000"),
        ("20260422", "100000"),
        ("22-Apr-2026", "10:00 AM"),
        ("22/04/26", "10:00"),
        ("2026.04.22", "10:00"),
        ("04/22/2026", "10:00:00.000"),
    ],
)
def test_date_and_time_in_two_columns_are_one_time(write, day, clock):
    assert first(write("date;time;ltp", f"{day};{clock};865.05"))[0] == "2026-04-22 10:00:00.000000"


def test_a_time_of_day_without_its_leading_zero_is_read(write):
    path = write("date,time,ltp", "20260422,915,1.05", "20260422,1000,2.05")
    assert [t // SECOND for t in read([path]).ticks["time"].tolist()] == [
        (TEN - 2_700 * SECOND) // SECOND,
        TEN // SECOND,
    ]


def test_a_date_column_with_the_whole_time_needs_no_second_one(write):
    assert first(write("date,time,ltp", "2026-04-22 10:00:00,ignored,865.05"))[0] == "2026-04-22 10:00:00.000000"


@pytest.mark.parametrize(
    ("texts", "days"),
    [
        (("03/04/2026", "13/04/2026"), ["2026-04-03", "2026-04-13"]),
        (("03/04/2026", "03/16/2026"), ["2026-03-04", "2026-03-16"]),
        (("06-04-26", "13-04-26"), ["2026-04-06", "2026-04-13"]),
        (("05.05.2026", "05.05.2026"), ["2026-05-05", "2026-05-05"]),
    ],
)
def test_which_number_is_the_day_is_decided_by_the_whole_column(write, texts, days):
    lines = [f"{text} 10:0{n}:00,1.05" for n, text in enumerate(texts)]
    ticks = read([write("timestamp,ltp", *lines)]).ticks
    assert [str(dt.datetime.fromtimestamp(t // SECOND, INDIA).date()) for t in ticks["time"].tolist()] == days


def test_a_date_behind_the_first_thousand_rows_decides_too(write):
    lines = [f"03/04/2026 10:{n // 60:02d}:{n % 60:02d},1.05" for n in range(1_500)]
    recording = read([write("timestamp,ltp", *lines, "13/04/2026 10:00:00,1.05")])
    assert recording.ticks["time"][0] == at("2026-04-03 10:00:00")


@pytest.mark.parametrize(
    ("text", "readings", "remedy"),
    [
        ("03/04/2026 10:00", "03 April 2026 or 04 March 2026", "--time-format day-first or --time-format month-first"),
        ("03-04-26 10:00", "03 April 2026 or 04 March 2026", "--time-format day-first"),
        ("260422 1000", "26 April 2022 or 22 April 2026", "--time-format day-first or --time-format year-first"),
    ],
)
def test_a_date_with_two_readings_is_refused_with_both(write, text, readings, remedy):
    with pytest.raises(DataError, match=readings) as refused:
        read([write("timestamp,ltp", f"{text},1.05")])
    assert remedy in refused.value.remedy


def test_the_user_decides_between_two_readings(write):
    path = write("timestamp,ltp", "03/04/2026 10:00,1.05")
    assert first(path, time_format="day-first")[0] == "2026-04-03 10:00:00.000000"
    assert first(path, time_format="month-first")[0] == "2026-03-04 10:00:00.000000"
    assert first(path, time_format="%m/%d/%Y %H:%M")[0] == "2026-03-04 10:00:00.000000"
    years = write("timestamp,ltp", "26/04/22 10:00,1.05")
    assert first(years)[0] == "2022-04-26 10:00:00.000000"
    assert first(years, time_format="year-first")[0] == "2026-04-22 10:00:00.000000"


def test_a_short_year_that_seems_to_stand_first_is_refused(write):
    path = write("timestamp,ltp", *(f"26/04/{day} 10:00,1.05" for day in (20, 21, 22, 23, 24)))
    with pytest.raises(DataError, match="may be 26 April 2020 or 20 April 2026"):
        read([path])


def test_dates_of_both_orders_in_one_column_are_refused(write):
    path = write("timestamp,ltp", "13/04/2026 10:00,1.05", "04/22/2026 10:00,1.05")
    with pytest.raises(DataError, match="writes its dates in more than one way"):
        read([path])


def test_a_whole_second_may_lack_its_zeros(write):
    path = write(
        "timestamp,ltp", "2026-04-22 10:00:00.5,1.05", "2026-04-22 10:00:01,1.05", "2026-04-22 10:00:01.25+05:30,1.05"
    )
    assert [t - TEN for t in read([path]).ticks["time"].tolist()] == [SECOND // 2, SECOND, SECOND * 5 // 4]


def test_times_of_another_form_far_behind_the_first_rows_are_read(write):
    lines = [f"2026-04-22 10:{n // 60:02d}:{n % 60:02d}.5,1.05" for n in range(600)]
    assert len(read([write("timestamp,ltp", *lines, "2026-04-22T04:45:00Z,1.05")]).ticks) == 601


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10:00:00", "is a time of day without a date"),
        ("46134.4166666667", "as a spreadsheet counts or rounds it"),
        ("1.77683E+18", "as a spreadsheet counts or rounds it"),
        ("soon", "has no time that can be read: 'soon;1'"),
    ],
)
def test_what_is_no_time_is_refused_with_the_reason(write, text, words):
    with pytest.raises(DataError, match=words) as refused:
        read([write("timestamp;ltp", f"{text};1")])
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("zone", "time"),
    [("UTC", "04:30"), ("America/New_York", "00:30"), ("+08:00", "12:30"), ("-03:30", "01:00"), ("IST", "10:00")],
)
def test_times_without_a_zone_are_in_that_of_the_user(write, zone, time):
    assert (
        first(write("timestamp,ltp", f"2026-04-22 {time}:00,1.05"), time_zone=zone)[0] == "2026-04-22 10:00:00.000000"
    )


@pytest.mark.parametrize("name", ["timestamp_utc", "Datetime (UTC)", "time_gmt"])
def test_a_column_may_name_the_zone_of_its_times(write, name):
    assert first(write(f"{name},ltp", "2026-04-22 04:30:00,1.05"))[0] == "2026-04-22 10:00:00.000000"


def test_times_that_are_plainly_those_of_another_zone_are_refused(write):
    lines = [f"2026-04-22 0{4 + n // 60}:{n % 60:02d}:00,1.05" for n in range(60)]
    with pytest.raises(DataError, match="taken for India's time, 100% of its rows lie outside") as refused:
        read([write("timestamp,ltp", *lines)])
    assert "--time-zone UTC" in refused.value.remedy
    numbers = [f"{TEN // SECOND + 23_400 + n},1.05" for n in range(60)]
    with pytest.raises(DataError, match="taken for UTC time, 100% of its rows lie outside"):
        read([write("timestamp,ltp", *numbers)])
    assert first(write("timestamp,ltp", *numbers), time_zone="Asia/Kolkata")[0] == "2026-04-22 11:00:00.000000"


# --- Parquet ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.name for path in FILES.glob("*.parquet")))
def test_parquet_of_python_libraries_is_read_exactly(name):
    ticks = read([FILES / name]).ticks
    cut = 1_000_000_000 if "-s-" in name else 1_000_000 if "-ms-" in name else 1_000
    begins = at("2026-04-01 10:00:00.123456") // cut * cut
    assert ticks["time"].tolist() == [begins + n * SECOND for n in range(5)]
    prices = [100, 100.5, 101, 100.5, 100] if "float16" in name else [865.05, 865.10, 864.95, 865.00, 865.20]
    assert ticks["price"].tolist() == prices


@pytest.mark.parametrize(
    ("columns", "time"),
    [
        ("'2026-04-22 10:00:00.123456789+05:30'::TIMESTAMPTZ_NS AS t", "10:00:00.123456"),
        ("TIMESTAMP_NS '2026-04-22 10:00:00.123456789' AS t", "10:00:00.123456"),
        ("TIMESTAMP_MS '2026-04-22 10:00:00.123' AS t", "10:00:00.123000"),
        ("TIMESTAMPTZ '2026-04-22 04:30:00+00' AS t", "10:00:00.000000"),
        ("1776832200123456::UBIGINT AS t", "10:00:00.123456"),
        ("1776832200123456789::HUGEINT AS t", "10:00:00.123456"),
        ("1776832200.123456::DECIMAL(18,6) AS t", "10:00:00.123456"),
        ("1776832200.5::DOUBLE AS t", "10:00:00.500000"),
        ("1776832200::INTEGER AS t", "10:00:00.000000"),
        ("'22-04-2026 10:00'::BLOB AS t", "10:00:00.000000"),
        ("DATE '2026-04-22' AS date, TIME '10:00:00.5' AS time", "10:00:00.500000"),
        ("DATE '2026-04-22' AS date, '10:00 AM' AS time", "10:00:00.000000"),
        ("20260422 AS date, 1000 AS time", "10:00:00.000000"),
        ("20260422::BIGINT AS date, '10:00:00' AS time", "10:00:00.000000"),
    ],
)
def test_every_type_of_time_in_parquet_is_read(tmp_path, columns, time):
    columns = columns.replace(" AS t", " AS timestamp") if columns.endswith(" AS t") else columns
    path = parquet(tmp_path / "SBIN.parquet", f"SELECT {columns}, 865.05::DECIMAL(9,2) AS ltp")
    assert first(path) == (f"2026-04-22 {time}", 865.05)


def test_times_in_32_bit_floats_are_refused(tmp_path):
    path = parquet(tmp_path / "SBIN.parquet", "SELECT 1776832200::FLOAT AS timestamp, 1.0 AS ltp")
    with pytest.raises(DataError, match="32-bit floats"):
        read([path])


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "DECIMAL(9,2)", "VARCHAR", "ENUM('865.05')"])
def test_every_type_of_price_in_parquet_is_read(tmp_path, kind):
    path = parquet(
        tmp_path / "SBIN.parquet",
        f"SELECT TIMESTAMP '2026-04-22 10:00:00' AS t, '865.05'::{kind} AS ltp".replace("AS t,", "AS timestamp,"),
    )
    assert first(path)[1] == 865.05


# --- numbers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("865.05", 865.05),
        ("1,234.50", 1234.5),
        ("1,23,456.50", 123456.5),
        ("12,34,567.05", 1234567.05),
        ("₹865.05", 865.05),
        ("₹ 1,234.50", 1234.5),
        ("Rs. 865.05", 865.05),
        ("Rs 1,00,000.05", 100000.05),
        ("INR 865.05", 865.05),
        ("865.05/-", 865.05),
        ("$865.05", 865.05),
        ("1 234.50", 1234.5),
        ("1'234.50", 1234.5),
        ("8.6505e2", 865.05),
        (" 865.05 ", 865.05),
        ("865", 865.0),
        (".95", 0.95),
    ],
)
def test_a_price_is_read_however_it_is_written(write, text, price):
    assert first(write("timestamp;ltp", f"2026-04-22 10:00:00;{text}"))[1] == price
    assert first(write("timestamp,ltp", f'2026-04-22 10:00:00,"{text}"'))[1] == price


@pytest.mark.parametrize(
    ("text", "price"),
    [("865,05", 865.05), ("1.234,50", 1234.5), ("1.23.456,50", 123456.5), ("1 234,5", 1234.5), ("€ 865,05", 865.05)],
)
def test_a_decimal_comma_is_read(write, text, price):
    assert first(write("timestamp;ltp", f"2026-04-22 10:00:00;{text}"))[1] == price


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("1.23M", 1_230_000),
        ("456.7K", 456_700),
        ("1.5 Cr", 15_000_000),
        ("2.5 Lakh", 250_000),
        ("-", 0),
        ("", 0),
        ("NA", 0),
        ("12,34,567", 1_234_567),
        ("1.15K", 1_150),
    ],
)
def test_quantities_are_read_with_their_words(write, text, volume):
    path = write("timestamp;ltp;volume", f"2026-04-22 10:00:00;865.05;{text}")
    assert told(read([path]), "volume") == [("SBIN", volume)]


@pytest.mark.parametrize(
    ("rows", "words"),
    [(("1,234", "1,235"), "'1,234' may be 1234 or 1.234"), (("1.234", "2.345"), "'1.234' may be 1234 or")],
)
def test_a_number_with_two_readings_is_refused_with_both(write, rows, words):
    lines = [f"2026-04-22 10:00:0{n};{text}" for n, text in enumerate(rows)]
    with pytest.raises(DataError, match=words) as refused:
        read([write("timestamp;ltp", *lines)])
    assert refused.value.remedy == "--decimal point or --decimal comma"
    sign = "comma" if "," in rows[0] else "point"
    assert first(write("timestamp;ltp", *lines), decimal=sign)[1] == 1.234
    assert first(write("timestamp;ltp", *lines), decimal="point" if sign == "comma" else "comma")[1] == 1234.0


def test_a_number_with_two_readings_is_decided_by_any_other_of_the_file(write):
    lines = [f"2026-04-22 10:{n // 60:02d}:{n % 60:02d};1.234;100" for n in range(400)]
    assert first(write("timestamp;ltp;volume", *lines, "2026-04-22 10:30:00;1.234,5;100"))[1] == 1234.0
    assert first(write("timestamp;ltp;volume", *lines, "2026-04-22 10:30:00;1.2345;100"))[1] == 1.234


def test_numbers_with_two_decimal_signs_are_refused(write):
    path = write("timestamp;ltp", "2026-04-22 10:00:00;865,05", "2026-04-22 10:00:01;865.05")
    with pytest.raises(DataError, match=r"writes numbers in two ways: '865.05' and '865,05'"):
        read([path])


def test_thousands_far_behind_the_first_rows_are_read(write):
    lines = [f"2026-04-22 10:{n // 60:02d}:{n % 60:02d},865.05" for n in range(600)]
    recording = read([write("timestamp,ltp", *lines, '2026-04-22 10:20:00,"1,234.50"')])
    assert recording.ticks["price"][-1] == 1234.5


# --- the shape of a text file -----------------------------------------------------------------------------------------------

ROWS = (("2026-04-22 10:00:00", "865.05"), ("2026-04-22 10:00:01", "865.10"))


def shaped(
    path: Path, *, delimiter=",", newline="\n", encoding="utf-8", before=(), behind=(), quoting=csv.QUOTE_MINIMAL
) -> Path:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=quoting)
    out.writelines(line + newline for line in before)
    writer.writerows([("Timestamp", "LTP"), *ROWS])
    out.writelines(line + newline for line in behind)
    path.write_bytes(out.getvalue().encode(encoding))
    return path


@pytest.mark.parametrize(
    "shape",
    [
        {"delimiter": "|"},
        {"newline": "\r\n"},
        {"newline": "\r"},
        {"encoding": "utf-8-sig"},
        {"encoding": "utf-16"},
        {"encoding": "utf-16-le"},
        {"encoding": "utf-16-be"},
        {"quoting": csv.QUOTE_ALL},
        {"before": ("Prices of SBIN",)},
        {"before": ("Report", "", "From,22-04-2026,To,22-04-2026")},
        {"behind": ("Total",)},
        {"behind": ("", "Source: an exchange", ",")},
        {"behind": ("Total,",)},
        {"behind": ("* delayed by 15 minutes, without warranty",)},
        {"behind": ("", "")},
        {"encoding": "utf-16", "newline": "\r\n", "delimiter": "\t"},
    ],
)
def test_a_text_file_is_read_in_whatever_shape(tmp_path, shape):
    assert read([shaped(tmp_path / "SBIN.csv", **shape)]).ticks["price"].tolist() == [865.05, 865.10]


def test_a_signature_of_windows_code_page_far_behind_the_first_lines_is_no_reason_to_stop(tmp_path):
    lines = [f"2026-04-22 10:{n // 60:02d}:{n % 60:02d},865.05," for n in range(3_000)]
    path = tmp_path / "SBIN.csv"
    path.write_bytes("\n".join(["timestamp,ltp,note", *lines[:-1], lines[-1] + "£"]).encode("cp1252") * 1)
    assert len(read([path]).ticks) == 3_000


def test_lines_that_end_in_two_ways_are_read(tmp_path):
    path = tmp_path / "SBIN.csv"
    path.write_bytes(b"timestamp,ltp\r\n2026-04-22 10:00:00,1.05\n2026-04-22 10:00:01,1.10\r\n")
    assert len(read([path]).ticks) == 2


def test_a_delimiter_too_many_at_the_end_of_rows_or_header_is_no_column(write):
    rows = ("2026-04-22 10:00:00,1.05", "2026-04-22 10:00:01,1.10")
    assert len(read([write("timestamp,ltp", *(row + "," for row in rows))]).ticks) == 2
    assert len(read([write("timestamp,ltp,", *rows)]).ticks) == 2


_NO_ROWS = ("footer_lines", "repeated_header")


@pytest.mark.parametrize("behind", [",", ",,"])
@pytest.mark.parametrize("footers", [[], ["Source: an exchange", "* delayed"]])
def test_date_and_time_in_two_columns_are_one_time_whatever_stands_behind_the_rows(write, behind, footers):
    path = write("ltp,date,time", f"865.05,22 Apr 2026,10:00:00{behind}", *footers)
    assert first(path) == ("2026-04-22 10:00:00.000000", 865.05)


def test_a_day_alone_in_a_short_row_is_never_midnight(write):
    with pytest.raises(DataError):
        read([write("ltp,date,time,volume,note", "865.05,22 Apr 2026,,,", "865.05,22 Apr 2026,")])


def test_lines_that_are_no_rows_are_reported(write):
    path = write(
        "timestamp,ltp", "2026-04-22 10:00:00,1.05", "timestamp,ltp", "2026-04-22 10:00:01,1.10", ",", "Source: x"
    )
    assert {kind: count for (kind, _), (count, _) in reports(read([path])).items() if kind in _NO_ROWS} == {
        "footer_lines": 1,
        "repeated_header": 1,
    }


def test_twenty_lines_behind_the_last_row_are_a_footer_and_more_are_rows_that_cannot_be_read(write):
    row, lines = "2026-04-22 10:00:00,1.05", [f"Note {chr(97 + n)}" for n in range(21)]

    twenty = reports(read([write("timestamp,ltp", row, *lines[:20])]))

    assert [count for (kind, _), (count, _) in twenty.items() if kind == "footer_lines"] == [20]
    with pytest.raises(DataError, match=r"row 2 \(line 3\) .*and 20 more"):
        read([write("timestamp,ltp", row, *lines)])


def test_the_last_moment_of_2099_is_a_time_and_the_next_is_a_number_misread(write):
    row = "2026-04-22 10:00:00,1.05"  # times are India's, the bound is UTC's

    assert len(read([write("timestamp,ltp", row, "2100-01-01 05:29:59.999999,1.05")]).ticks) == 2
    with pytest.raises(DataError, match=r"row 2 \(line 3\) has no time that can be read"):
        read([write("timestamp,ltp", row, "2100-01-01 05:30:00.000000,1.05")])


@pytest.mark.parametrize("last", ["2026-04-22 10:0", "17768", "soon,1.05", "2026-04-22 10:00:02,"])
def test_a_row_that_breaks_off_is_no_footer(write, last):
    with pytest.raises(DataError, match=r"row 2 \(line 3\)"):
        read([write("timestamp,ltp", "2026-04-22 10:00:00,1.05", last)])


def test_columns_are_named_by_the_user(write):
    path = write("when,what,LTP,x", "2026-04-22 10:00:00,SBIN,865.05,1", name="all.csv")
    recording = read([path], options=reading_options(column=["time=when", "symbol=what", "price=x"]))
    assert told(recording, "price") == [("SBIN", 1.0)]


def test_a_file_without_a_header_is_read_by_the_order_of_its_columns(write):
    rows = ("2026.04.22,10:00,865.05,866,864,865.5,1000", "2026.04.22,10:01,865.05,866,864,865.5,1000")
    path = write(*rows)
    with pytest.raises(DataError, match=r"has no header, its first line is '2026\.04\.22,10:00") as refused:
        read([path])
    assert "--columns date,time,open" in refused.value.remedy
    order = reading_options(columns="date,time,open,high,low,close,volume")
    ticks = read([path], options=order).ticks
    assert (ticks["time"][0], ticks["price"][0]) == (TEN, 865.05)
    with_header = write("a,b,c,d,e,f,g", *rows)
    assert read([with_header], options=order).ticks.tobytes() == ticks.tobytes()


def test_commas_within_numbers_and_times_do_not_separate_the_columns_of_a_file_without_a_header(write):
    path = write(
        "86,400|99,99,998|36.67|SBIN|04/22/2026, 092308|",
        "1,894|7,78,861|1,236.70|SBIN|04/22/2026, 092309|",
        name="all.txt",
    )
    recording = read([path], options=reading_options(columns="volume,oi,price,symbol,time"))
    assert told(recording, "price", "volume") == [("SBIN", 36.67, 86_400), ("SBIN", 1_236.7, 1_894)]


def test_a_file_without_a_header_may_have_more_footers_than_rows(write):
    path = write("2024-01-01 09:15:00;SBIN;612.05", "Source: an exchange", "* delayed", name="all.csv")
    recording = read([path], options=reading_options(columns="time,symbol,price"))
    assert told(recording, "price") == [("SBIN", 612.05)]


def test_rows_out_of_order_are_put_into_it_when_told(write):
    path = write(
        "timestamp,symbol,ltp",
        "2026-04-22 10:00:02,A,3",
        "2026-04-22 10:00:02,A,4",
        "2026-04-22 10:00:01,A,1",
        name="x.csv",
    )
    with pytest.raises(DataError, match="out of order") as refused:
        read([path])
    assert "--sort" in refused.value.remedy
    assert read([path], options=ReadingOptions(sort=True)).ticks["price"].tolist() == [1.0, 3.0, 4.0]


def test_other_suffixes_of_text_and_parquet_are_read(tmp_path):
    for name, delimiter in (("SBIN.txt", ","), ("SBIN.tsv", "\t")):
        assert len(read([shaped(tmp_path / name, delimiter=delimiter)]).ticks) == 2
    packed = tmp_path / "PNB.txt.gz"
    packed.write_bytes(gzip.compress((tmp_path / "SBIN.txt").read_bytes()))
    assert len(read([packed]).ticks) == 2
    with duckdb.connect() as connection:
        source, target = tmp_path / "SBIN.txt", tmp_path / "TCS.csv.zst"
        connection.execute(f"COPY (SELECT * FROM read_csv('{source}')) TO '{target}' (COMPRESSION zstd)")
    assert len(read([tmp_path / "TCS.csv.zst"]).ticks) == 2
    assert (
        len(
            read([parquet(tmp_path / "INFY.parq", "SELECT TIMESTAMP '2026-04-22 10:00:00' AS time, 1.05 AS ltp")]).ticks
        )
        == 1
    )


@pytest.mark.parametrize("name", ["SBIN.xlsx", "SBIN.feather", "SBIN.json", "SBIN.zip", "SBIN.h5", "SBIN.pkl"])
def test_what_is_not_read_is_refused_with_what_to_do(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=name) as refused:
        read([tmp_path / name])
    assert "CSV" in refused.value.remedy


# --- units ------------------------------------------------------------------------------------------------------------------


def test_prices_in_paise_are_refused_and_read_when_told(write):
    path = write(
        "timestamp,ltp,bid,ask", "2026-04-22 10:00:00,86505,86500,86510", "2026-04-22 10:00:01,86510,86505,86515"
    )
    with pytest.raises(
        DataError, match="prices of SBIN seem to be paise: all prices are whole numbers from 86,505"
    ) as refused:
        read([path])
    assert refused.value.remedy.startswith("--unit paise")
    paise = read([path], options=reading_options(unit="paise"))
    assert told(paise, "price", "bid", "ask") == [("SBIN", 865.05, 865.0, 865.1), ("SBIN", 865.1, 865.05, 865.15)]
    assert [i.tick_size for i in paise.instruments] == ["0.05"]
    assert first(path, unit="rupees")[1] == 86505.0


def test_one_price_with_paise_shows_that_all_are_rupees(write):
    path = write("timestamp,ltp", "2026-04-22 10:00:00,86505", "2026-04-22 10:00:01,86505.05")
    assert first(path)[1] == 86505.0


def test_bars_in_paise_are_read_when_told(write):
    rows = [f"2026-04-22 10:0{n}:00,86505,86600,86400,86500,100" for n in range(2)]
    recording = read([write("timestamp,open,high,low,close,volume", *rows)], options=reading_options(unit="paise"))
    assert recording.ticks["price"].tolist() == [865.05, 865.0, 865.05, 865.0]
    assert recording.ranges["high"].tolist() == [0, 866_000_000, 0, 866_000_000]


# --- bars -------------------------------------------------------------------------------------------------------------------


def bars(write: Write, *clocks: str, name: str = "SBIN.csv") -> Path:
    return write(
        "timestamp,open,high,low,close", *(f"2026-04-22 {clock}:00,100,101,99,100.05" for clock in clocks), name=name
    )


def closes(recording: Recording) -> list[str]:
    """When each bar's closing print is, one microsecond before the bar's end, shown as that end."""
    ends = recording.ticks["time"][recording.ranges["high"] > 0] + 1_000
    return [dt.datetime.fromtimestamp(t // SECOND, INDIA).strftime("%H:%M:%S") for t in ends.tolist()]


def test_the_last_bar_of_a_day_ends_with_the_session(write):
    assert closes(read([bars(write, "13:15", "14:15", "15:15")])) == ["14:15:00", "15:15:00", "15:30:00"]


def test_bars_with_holes_have_the_length_of_their_smallest_distance(write):
    assert closes(read([bars(write, "10:00", "10:02", "10:04", "10:05")])) == [
        "10:01:00",
        "10:03:00",
        "10:05:00",
        "10:06:00",
    ]


def test_instruments_of_one_file_may_have_bars_of_different_lengths(write):
    rows = [("A", "10:00"), ("B", "10:00"), ("B", "10:01"), ("A", "10:05"), ("C", "10:05")]
    lines = [f"{symbol},2026-04-22 {clock}:00,100,101,99,100.05" for symbol, clock in rows]
    path = write("symbol,timestamp,open,high,low,close", *lines[:4], name="all.csv")
    assert closes(read([path])) == ["10:01:00", "10:02:00", "10:05:00", "10:10:00"]
    with pytest.raises(
        DataError, match="nothing tells how long its bars are, no two of an instrument lie within one session"
    ):
        read([write("symbol,timestamp,open,high,low,close", *lines, name="all.csv")])


def test_an_instrument_with_one_bar_has_those_of_the_others_in_its_file(write):
    rows = [("A", "10:00"), ("B", "10:03"), ("A", "10:05")]
    lines = [f"{symbol},2026-04-22 {clock}:00,100,101,99,100.05" for symbol, clock in rows]
    assert closes(read([write("symbol,timestamp,open,high,low,close", *lines, name="all.csv")])) == [
        "10:05:00",
        "10:08:00",
        "10:10:00",
    ]


@pytest.mark.parametrize("times", [("10:00",), ("09:15", "09:15")])
def test_bars_whose_length_nothing_tells_are_refused_and_read_when_told(write, times):
    lines = [f"2026-04-2{n} {clock}:00,100,101,99,100.05" for n, clock in enumerate(times, start=2)]
    path = write("timestamp,open,high,low,close", *lines)
    with pytest.raises(
        DataError, match="nothing tells how long its bars are, no two of them lie within one session"
    ) as refused:
        read([path])
    assert "--bar 1m" in refused.value.remedy
    begins = int(times[0][:2]) * 60 + int(times[0][3:]) + 15
    assert closes(read([path], options=reading_options(bar="15m")))[0] == f"{begins // 60:02d}:{begins % 60:02d}:00"


def test_bars_of_a_day_are_refused_whatever_their_type(tmp_path):
    select = "SELECT TIMESTAMP '2026-04-0{}' AS date, 1.0 AS open, 1.0 AS high, 1.0 AS low, 1.0 AS close"
    path = parquet(tmp_path / "SBIN.parquet", " UNION ALL ".join(select.format(day) for day in (1, 2, 6)))
    with pytest.raises(DataError, match="has bars of a day"):
        read([path])


def test_times_that_mark_the_ends_of_bars_are_refused_and_read_when_told(write):
    clocks = [f"{9 + (15 + 15 * n) // 60:02d}:{(15 + 15 * n) % 60:02d}" for n in range(1, 26)]
    path = bars(write, *clocks)
    with pytest.raises(DataError, match="their times seem to mark where bars end") as refused:
        read([path])
    assert "--bar-time end" in refused.value.remedy
    ended = read([path], options=reading_options(bar_time="end"))
    assert closes(ended) == [f"{clock}:00" for clock in clocks]
    assert ended.ticks["time"][0] == at("2026-04-22 09:15:00")
    assert closes(read([path], options=reading_options(bar_time="start")))[0] == "09:45:00"


def test_a_window_of_one_bar_knows_the_length_from_the_whole_file(write):
    window = (dt.datetime(2026, 4, 22, 10, 5, tzinfo=INDIA), dt.datetime(2026, 4, 22, 10, 10, tzinfo=INDIA))
    recording = read([bars(write, "10:00", "10:05", "10:10")], start=window[0], end=window[1])
    assert closes(recording) == ["10:10:00"]


# --- what the user says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"column": ["LTP"]}, "--column takes meaning=name, was 'LTP'"),
        ({"column": ["prise=LTP"]}, "no column means 'prise'"),
        ({"columns": "open,high,low,close"}, "--columns names no time"),
        ({"columns": "time,wat"}, "no column means 'wat'"),
        ({"time_format": "soon"}, "--time-format is day-first"),
        ({"time_zone": "Mars"}, "there is no zone 'Mars'"),
        ({"bar": "1d"}, "--bar is a part of a day"),
        ({"bar": "x"}, "--bar is 1m to 375m"),
        ({"bar_time": "middle"}, "--bar-time is start or end, was 'middle'"),
        ({"unit": "dollars"}, "--unit is rupees or paise"),
        ({"decimal": "dot"}, "--decimal is point or comma"),
    ],
)
def test_options_that_cannot_be_are_refused(options, words):
    with pytest.raises(ConfigError, match=words) as refused:
        reading_options(**options)
    assert refused.value.remedy


def test_options_are_handed_on_to_another_process():
    options = reading_options(
        column=["price=LTP"],
        columns="time,price",
        time_format="day-first",
        time_zone="UTC",
        sort=True,
        bar="2h",
        bar_time="end",
        unit="paise",
        decimal="comma",
    )
    words = words_of(options)
    assert words[words.index("--bar") + 1] == "120m"
    assert {word for word in words if word.startswith("--")} == {
        "--column",
        "--columns",
        "--time-format",
        "--time-zone",
        "--sort",
        "--bar",
        "--bar-time",
        "--unit",
        "--decimal",
    }
