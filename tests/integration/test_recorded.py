"""Recorded files: every form, what is peculiar about real ones, and what is refused with which words."""

import datetime as dt
import gzip
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from connectors.errors import DataError
from connectors.recorded.reading import Recording, read
from functions.calendar import INDIA, SECOND
from functions.events import InstrumentConfig
from functions.ticks import NO_DEPTH

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
OPTIONS, FUTURE = DATA / "ticks" / "nifty_options_2025-10-08", DATA / "ticks" / "nifty_future_2025-12-29"
BARS = DATA / "nse_1min"

Write = Callable[..., Path]


def at(text: str) -> int:
    moment = dt.datetime.fromisoformat(text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=INDIA)
    return int(aware.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond * 1000


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes lines into a file of the test and gives its path."""

    def written(*lines: str, name: str = "SBIN.csv", end: str = "\n") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + end, encoding="utf-8")
        return path

    return written


def parquet(path: Path, select: str) -> Path:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select}) TO '{path}' (FORMAT PARQUET)")
    return path


def told(recording: Recording, *fields: str) -> list[tuple]:
    names = [i.tradingsymbol for i in recording.instruments]
    return [(names[row["instrument"]], *(row[f].item() for f in fields)) for row in recording.ticks]


def reports(recording: Recording) -> dict[tuple[str, str], tuple[int, str]]:
    """Count and words by kind and symbol; of several days the first."""
    names = {i.instrument_token: i.tradingsymbol for i in recording.instruments}
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for report in recording.reports:
        symbol = names[report.instrument_token] if report.instrument_token is not None else ""
        found.setdefault((report.kind, symbol), (report.count, report.detail))
    return found


# --- real files -----------------------------------------------------------------------------------------------------------


def test_a_day_of_kite_ticks_and_its_list_of_instruments():
    day = read([OPTIONS])
    assert [(i.tradingsymbol, i.instrument_token, i.exchange, i.kind, i.lot_size) for i in day.instruments] == [
        ("NIFTY25O1425000CE", 10924290, "NFO", "CE", 75),
        ("NIFTY 50", 256265, "NSE", "INDEX", 0),
        ("NIFTY25O1425400PE", 10932226, "NFO", "PE", 75),
    ]
    assert len(day.ticks) == 33_961 + 42_483 + 26_868
    assert (np.diff(day.ticks["time"]) >= 0).all()
    assert (day.ticks["time"][0], day.ticks["price"][0]) == (at("2025-10-08 09:01:27.082050"), 25123.35)
    assert day.depth is NO_DEPTH
    assert day.unreadable == []


def test_what_is_wrong_with_that_day_is_reported():
    found = reports(read([OPTIONS]))
    assert found["gap", "NIFTY 50"] == (7, "7 gaps of more than 5 s, the longest 1,156.7 s")
    assert found["ends_early", "NIFTY 50"] == (1, "ends early by 470.3 s")
    assert found["outside_session", "NIFTY 50"] == (1_624, "1624 rows of 2025-10-08 lie outside the session")
    assert found["starts_late", "NIFTY25O1425000CE"] == (1, "starts late by 3,221.0 s")
    assert found["repeated_price", "NIFTY25O1425400PE"][0] == 15_629


def test_the_report_of_a_gap_says_when_the_longest_one_was():
    [gap] = [r for r in read([OPTIONS / "ticks_NIFTY50_256265_20251008.csv"]).reports if r.kind == "gap"]
    assert gap.last_timestamp is not None
    assert gap.first_timestamp is not None
    assert round((gap.last_timestamp - gap.first_timestamp) / 1e6, 1) == 1156.7


def test_without_its_list_an_index_is_known_by_the_name_of_the_file():
    [index] = read([OPTIONS / "ticks_NIFTY50_256265_20251008.csv"]).instruments
    assert index == InstrumentConfig(256265, "NIFTY50", "NSE", "INDEX", "0", 0)


def test_the_same_five_minutes_of_a_future_from_kite_in_utc_and_from_another_broker_in_ist():
    kite = read([FUTURE / "kiteconnect_nifty_futures_ticks.csv"])
    other = read([FUTURE / "dhan_nifty_futures_ticks.csv"])
    assert kite.instruments == [InstrumentConfig(12683010, "NIFTY25DECFUT", "NFO", "FUT", "0.05", 75)]
    assert [(i.tradingsymbol, i.kind, i.lot_size) for i in other.instruments] == [("NIFTY FUTURES", "FUT", 75)]
    assert kite.ticks["time"][0] == at("2025-12-29 12:47:00")
    assert other.ticks["time"][0] == at("2025-12-29 12:47:02.553384")
    assert (len(kite.ticks), len(other.ticks)) == (271, 355)
    first = kite.ticks[0]
    assert [first[f].item() for f in ("price", "bid", "ask", "bid_quantity", "ask_quantity", "volume", "open_interest")] == [
        25978.5, 25975.6, 25978.5, 75, 75, 3_332_925, 11_148_150,
    ]  # fmt: skip


def test_prices_that_went_through_32_bits_are_paise_again():
    other = read([FUTURE / "dhan_nifty_futures_ticks.csv"])
    for field in ("price", "bid", "ask"):
        assert (other.ticks[field] == np.round(other.ticks[field], 2)).all()
    assert (other.depth["ask"] % 50_000 == 0).all()
    assert other.ticks["price"][0] == 25974.9
    assert reports(other)["float32_price", ""][0] == 223


def test_all_five_levels_of_depth_are_kept():
    kite = read([FUTURE / "kiteconnect_nifty_futures_ticks.csv"])
    assert {f: kite.depth[0][f].tolist() for f in ("bid", "bid_quantity", "ask", "ask_quantity")} == {
        "bid": [25_975_600_000, 25_975_400_000, 25_975_200_000, 25_975_100_000, 25_975_000_000],
        "bid_quantity": [75, 300, 825, 1500, 3525],
        "ask": [25_978_500_000, 25_979_900_000, 25_980_000_000, 25_980_200_000, 25_981_000_000],
        "ask_quantity": [75, 75, 450, 75, 75],
    }


def test_a_packet_with_open_interest_alone_is_left_out_and_reported():
    found = reports(read([FUTURE / "dhan_nifty_futures_ticks.csv"]))
    assert found["oi_only", ""] == (1, "packets with nothing but open interest were left out")
    assert found["quote_only", "NIFTY FUTURES"][0] == 197


def test_bars_of_twelve_shares_are_two_prints_each_merged_by_time():
    week = read([BARS / "nse12_2025-01-06_2025-01-10"])
    rows = sum(len(f.read_text().splitlines()) - 1 for f in (BARS / "nse12_2025-01-06_2025-01-10").iterdir())
    assert len(week.ticks) == len(week.ranges) == 2 * rows
    assert (np.diff(week.ticks["time"]) >= 0).all()
    assert [i.tradingsymbol for i in week.instruments][:3] == ["AXISBANK", "BAJAJ-AUTO", "BEL"]
    assert {i.tradingsymbol: i.tick_size for i in week.instruments}["IDFCFIRSTB"] == "0.01"
    axis, extent = (rows[week.ticks["instrument"] == 0][:2] for rows in (week.ticks, week.ranges))
    assert axis["price"].tolist() == [1087.1, 1088.55]
    assert (axis["time"] - at("2025-01-06 09:15:00")).tolist() == [0, 60 * SECOND - 1_000]
    assert axis["volume"].tolist() == [0, 19347]
    assert extent.tolist() == [
        (at("2025-01-06 09:15:00"), 0, 0), (at("2025-01-06 09:15:00"), 1_089_200_000, 1_081_050_000),
    ]  # fmt: skip


def test_missing_and_doubled_minutes_of_that_week_are_reported():
    week = read([BARS / "nse12_2025-01-06_2025-01-10"])
    found = reports(week)
    assert found["missing_minutes", "AXISBANK"] == (
        250,
        "250 of 375 bars of 2025-01-07 are missing, at most 250 in a row",
    )
    assert found["duplicate_bar", "MRF"] == (1, "the bar of 2025-01-07 09:53 is there twice")
    tokens = {i.instrument_token: i.tradingsymbol for i in week.instruments}
    short = [tokens[r.instrument_token or 0] for r in week.reports if r.kind == "missing_minutes" and r.count == 250]
    assert len(short) == 10


def test_a_bar_that_is_there_twice_gives_its_prints_twice_and_its_volume_once():
    mrf = read([BARS / "nse12_2025-01-06_2025-01-10" / "MRF.csv"])
    minute = mrf.ticks[
        (mrf.ticks["time"] >= at("2025-01-07 09:53:00")) & (mrf.ticks["time"] < at("2025-01-07 09:54:00"))
    ]
    assert len(minute) == 4
    assert minute[0::2].tobytes() == minute[1::2].tobytes()


def test_a_share_of_forty_one_days_lacks_three_minutes():
    reliance = read([BARS / "reliance_2025"])
    assert reports(reliance) == {
        ("missing_minutes", "RELIANCE"): (3, "3 of 375 bars of 2025-12-15 are missing, at most 3 in a row")
    }
    assert len(reliance.ticks) == 2 * 15_372


def test_an_index_has_no_volume_and_a_bar_at_the_close_lies_outside_the_session():
    banks = read([BARS / "banks_2023"])
    assert {i.tradingsymbol: i.kind for i in banks.instruments} == {"BANKNIFTY": "INDEX", "PNB": "EQ", "SBIN": "EQ"}
    assert not banks.ticks["volume"][banks.ticks["instrument"] == 0].any()
    found = reports(banks)
    assert found["outside_session", "BANKNIFTY"] == (1, "1 rows of 2023-06-01 lie outside the session")
    assert found["zero_volume", "SBIN"] == (1, "1 of 15001 bars have no volume")
    assert ("zero_volume", "BANKNIFTY") not in found


# --- times ------------------------------------------------------------------------------------------------------------------

TEN = at("2025-10-08 10:08:40.984597")


@pytest.mark.parametrize(
    "text",
    [
        "2025-10-08 10:08:40.984597",
        "2025-10-08T10:08:40.984597",
        "2025-10-08T04:38:40.984597Z",
        "2025-10-08 04:38:40.984597+00:00",
        "2025-10-08T10:08:40.984597999+05:30",
        "1759898320.984597",
        "1759898320984597",
        "1759898320984597123",
    ],
)
def test_a_time_is_read_in_every_way_of_writing_it_and_cut_to_microseconds(write, text):
    assert read([write("timestamp,ltp", f"{text},100")]).ticks["time"].tolist() == [TEN]


def test_milliseconds_and_whole_seconds_since_the_epoch(write):
    assert read([write("timestamp,ltp", "1759898320984,100")]).ticks["time"].tolist() == [TEN // 1_000_000 * 1_000_000]
    assert read([write("timestamp,ltp", "1759898320,100")]).ticks["time"].tolist() == [TEN // SECOND * SECOND]


@pytest.mark.parametrize("day", ["20251008", "2025-10-08", "08-Oct-2025", "13/10/2025"])
def test_a_day_without_a_time_of_day_is_refused(write, day):
    with pytest.raises(DataError, match="has days without a time of day"):
        read([write("date,ltp", f"{day},100")])


# --- forms ------------------------------------------------------------------------------------------------------------------


def test_ticks_with_everything_and_several_instruments_in_one_file(write):
    path = write(
        "timestamp,instrument_token,tradingsymbol,last_price,volume_traded,oi,bid,ask,bid_quantity,ask_quantity",
        "2025-10-08 10:00:00,738561,RELIANCE,1370.1,1000,0,1370,1370.1,10,20",
        "2025-10-08 10:00:01,779521,SBIN,865.05,500,,865,865.1,30,40",
        "2025-10-08 10:00:01,738561,RELIANCE,1370.2,1010,0,1370.1,1370.2,5,99999999999",
        name="two.csv",
    )
    two = read([path])
    assert told(two, "price", "volume", "bid", "ask", "bid_quantity", "ask_quantity", "open_interest") == [
        ("RELIANCE", 1370.1, 1000, 1370.0, 1370.1, 10, 20, 0),
        ("SBIN", 865.05, 500, 865.0, 865.1, 30, 40, 0),
        ("RELIANCE", 1370.2, 1010, 1370.1, 1370.2, 5, 2**31 - 1, 0),
    ]
    assert [(i.instrument_token, i.tick_size) for i in two.instruments] == [(738561, "0.05"), (779521, "0.05")]


def test_symbols_alone_get_tokens_that_are_always_the_same(write):
    lines = ("timestamp,symbol,price", "2025-10-08 10:00:00,SBIN,865.05", "2025-10-08 10:00:00,TCS,3000")
    first, again = read([write(*lines, name="a.csv")]), read([write(*lines, name="b.csv")])
    assert told(first, "price") == [("SBIN", 865.05), ("TCS", 3000.0)]
    assert [i.instrument_token for i in first.instruments] == [i.instrument_token for i in again.instruments]


def test_given_instruments_are_matched_by_token_or_by_symbol_and_others_are_added_but_not_enabled(write):
    given = [
        InstrumentConfig(779521, "SBIN", "NSE", "EQ", "0.05", 1, closing_auction=True),
        InstrumentConfig(256265, "NIFTY 50", "NSE", "INDEX", "0", 0),
    ]
    paths = [
        write("timestamp,ltp", "2025-10-08 10:00:00,865.05", name="SBIN.csv"),
        write("timestamp,token,ltp", "2025-10-08 10:00:00,256265,25000", name="x.csv"),
        write("timestamp,ltp", "2025-10-08 10:00:00,3000.05", name="TCS.csv"),
    ]
    recording = read(paths, instruments=given)
    assert recording.instruments[:2] == given
    assert [(i.tradingsymbol, i.enabled) for i in recording.instruments[2:]] == [("TCS", False)]
    assert recording.ticks["instrument"].tolist() == [0, 1, 2]


def test_a_kite_dump_of_instruments_gives_names_lots_and_ticks(write):
    paths = [
        write(
            "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange",
            "779521,3045,SBIN,STATE BANK,0,,0,0.05,1,EQ,NSE,NSE",
            "13056002,51000,NIFTY26DECFUT,NIFTY,0,2026-12-29,0,0.1,65,FUT,NFO-FUT,NFO",
            name="instruments.csv",
        ),
        write("timestamp,token,ltp", "2026-11-20 10:00:00,13056002,25985.1", name="ticks.csv"),
    ]
    assert read(paths).instruments == [InstrumentConfig(13056002, "NIFTY26DECFUT", "NFO", "FUT", "0.10", 65)]


def test_files_of_two_days_are_one_instrument_whose_name_has_no_date(write):
    for day in (1, 2):
        write("timestamp,ltp", f"2026-04-0{day} 10:00:00,1000.05", name=f"two/TCS_2026-04-0{day}.csv")
        write("timestamp,ltp", f"2026-04-0{day} 10:00:00,22000.05", name=f"two/NIFTY 50_2026-04-0{day}.csv")
    recording = read([write("", name="two/notes.md").parent])
    assert [(i.tradingsymbol, i.kind) for i in recording.instruments] == [("NIFTY 50", "INDEX"), ("TCS", "EQ")]
    assert recording.ticks["instrument"].tolist() == [0, 1, 0, 1]


def test_files_named_by_their_day_are_of_the_instrument_that_their_folder_names(write):
    for day in (1, 2):
        write("timestamp,ltp", f"2026-04-0{day} 10:00:00,1000.05", name=f"INFY/2026-04-0{day}.csv")
        path = write("timestamp,ltp", f"2026-04-0{day} 10:00:00,2000.05", name=f"symbol=M&M/2026-04-0{day}.csv")
    assert [i.tradingsymbol for i in read([path.parent.parent]).instruments] == ["INFY", "M&M"]


def test_one_symbol_in_the_spellings_of_three_sources_is_one_instrument(write):
    paths = [
        write("timestamp,ltp", f"2026-04-01 10:00:0{n},1000.05", name=f"{name}.csv")
        for n, name in enumerate(("TCS", "TCS.NS", "tcs_1min"))
    ]
    assert [(i.tradingsymbol, i.exchange) for i in read(paths).instruments] == [("TCS", "NSE")]


@pytest.mark.parametrize(
    ("name", "volumes", "lot"),
    [
        ("NIFTY26APRFUT", (650, 1300, 975, 1950), 325),
        ("NIFTY26APRFUT", (650, 1300, 65), 65),
        ("NIFTY26APRFUT", (0, 195, 0, 130), 65),
        ("NIFTY26APRFUT", (0, 0), 1),
        ("BANKNIFTY28APR2650000PE", (30, 45, 15), 15),
        ("SBIN", (650, 1300), 1),
    ],
)
def test_the_lot_of_a_derivative_divides_every_volume_of_its_bars(write, name, volumes, lot):
    lines = [f"2026-04-01 10:{n:02d}:00,100,101,99,100.05,{volume}" for n, volume in enumerate(volumes)]
    [known] = read([write("timestamp,open,high,low,close,volume", *lines, name=f"{name}.csv")]).instruments
    assert known.lot_size == lot


def test_the_lot_of_a_derivative_divides_the_volumes_of_all_its_files(write):
    paths = [
        write("timestamp,ltp,volume", f"2026-04-0{day} 10:00:00,22000.05,{volume}", name=f"NIFTY26APRFUT_2026-04-0{day}.csv")
        for day, volume in ((1, 195), (2, 130))
    ]  # fmt: skip
    assert [i.lot_size for i in read(paths).instruments] == [65]


def test_files_are_merged_by_time_and_equal_times_keep_the_order_of_the_files(write):
    a = write("timestamp,ltp", "2025-10-08 10:00:00,1", "2025-10-08 10:00:02,2", name="A.csv")
    b = write("timestamp,ltp", "2025-10-08 10:00:00,3", "2025-10-08 10:00:01,4", name="B.csv")
    assert told(read([a, b]), "price") == [("A", 1.0), ("B", 3.0), ("B", 4.0), ("A", 2.0)]
    assert told(read([b, a]), "price") == [("B", 3.0), ("A", 1.0), ("B", 4.0), ("A", 2.0)]


def test_each_instrument_may_have_its_own_run_of_times_in_a_file(write):
    path = write(
        "timestamp,symbol,open,high,low,close,volume",
        "2025-10-08 09:15:00,A,1,1,1,1,4", "2025-10-08 09:16:00,A,1,1,1,1,4", "2025-10-08 09:15:00,B,2,2,2,2,8",
        name="all.csv",
    )  # fmt: skip
    both = read([path])
    assert (np.diff(both.ticks["time"]) >= 0).all()
    assert both.ticks["volume"][both.ticks["instrument"] == 1].tolist() == [0, 8]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_byte_order_mark_other_delimiters_and_quotes_are_read(tmp_path, delimiter):
    path = tmp_path / "SBIN.csv"
    rows = ['"Date"', '"Last_Price"'], ['"2025-10-08 10:00:00"', '"865.05"']
    path.write_text("\ufeff" + "\r\n".join(delimiter.join(row) for row in rows) + "\r\n", encoding="utf-8")
    assert told(read([path]), "price") == [("SBIN", 865.05)]


def test_compressed_csv_is_read(tmp_path):
    with gzip.open(tmp_path / "SBIN.csv.gz", "wt") as file:
        file.write("timestamp,ltp\n2025-10-08 10:00:00,865.05\n")
    assert told(read([tmp_path]), "price") == [("SBIN", 865.05)]


@pytest.mark.parametrize(
    "column",
    [
        "TIMESTAMP '2025-10-08 10:08:40.984597'",
        "TIMESTAMPTZ '2025-10-08 04:38:40.984597+00'",
        "1759898320984597",
        "'2025-10-08T10:08:40.984597+05:30'",
    ],
)
def test_parquet_is_read_whatever_the_type_of_its_times(tmp_path, column):
    path = parquet(
        tmp_path / "SBIN.parquet", f"SELECT {column} AS timestamp, 865.05::FLOAT AS last_price, 7::INT AS volume_traded"
    )
    sbin = read([path])
    assert sbin.ticks["time"].tolist() == [TEN]
    assert told(sbin, "price", "volume") == [("SBIN", 865.05, 7)]


def test_bars_in_parquet_equal_the_same_bars_in_csv(tmp_path):
    source = BARS / "reliance_2025" / "RELIANCE.csv"
    path = parquet(tmp_path / "RELIANCE.parquet", f"SELECT * FROM read_csv('{source}')")
    assert read([path]).ticks.tobytes() == read([source]).ticks.tobytes()


def test_bars_of_five_minutes_are_recognised(write):
    lines = [f"2025-10-08 {9 + (15 + 5 * n) // 60:02d}:{(15 + 5 * n) % 60:02d}:00,10,11,9,10,100" for n in range(75)]
    five = read([write("timestamp,open,high,low,close,volume", *lines)])
    assert five.ticks["time"][:3].tolist() == [
        at("2025-10-08 09:15:00"), at("2025-10-08 09:19:59.999999"), at("2025-10-08 09:20:00"),
    ]  # fmt: skip
    assert five.reports == []


def test_a_last_bar_ends_with_the_session_and_a_bar_before_a_gap_after_its_length(write):
    hours = ["2026-04-01 09:15", "2026-04-01 10:15", "2026-04-01 12:15", "2026-04-01 13:15", "2026-04-01 14:15"]
    lines = [f"{hour}:00,10,11,9,10,100" for hour in [*hours, "2026-04-01 15:15"]]
    hourly = read([write("timestamp,open,high,low,close,volume", *lines)])
    assert hourly.ticks["time"][1::2].tolist() == [
        at(f"2026-04-01 {end}:59.999999") for end in ("10:14", "11:14", "13:14", "14:14", "15:14", "15:29")
    ]


def test_bars_of_a_day_are_refused(write):
    with pytest.raises(DataError, match="has days without a time of day"):
        read([write("date,open,high,low,close", "2025-10-07,1,1,1,1", "2025-10-08,1,1,1,1")])


# --- windows ----------------------------------------------------------------------------------------------------------------


def test_dates_cut_a_recording_both_ends_inclusive():
    day = read([BARS / "reliance_2025"], start=dt.date(2025, 12, 15), end=dt.date(2025, 12, 15))
    assert len(day.ticks) == 2 * 372
    assert {r.kind for r in day.reports} == {"missing_minutes"}


def test_moments_cut_a_recording_the_end_exclusive():
    quarter = read(
        [BARS / "reliance_2025"], start=dt.datetime(2025, 12, 15, 10, 0, tzinfo=INDIA), end=dt.datetime(2025, 12, 15, 10, 15)  # noqa: DTZ001 - India's time is the default
    )  # fmt: skip
    assert len(quarter.ticks) == 2 * 15


def test_a_window_without_rows_is_refused():
    with pytest.raises(DataError, match="no rows between 2030-01-01 and the end"):
        read([BARS / "reliance_2025"], start=dt.date(2030, 1, 1))


# --- what is refused --------------------------------------------------------------------------------------------------------

GOOD = "2025-10-08 10:00:00,865.05"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            (GOOD, "2025-10-08 10:00:01,abc"),
            r"row 2 \(line 3\) has no price that is a number: '2025-10-08 10:00:01,abc'",
        ),
        ((GOOD, "2025-10-08 10:00:01,"), r"row 2 \(line 3\) has no price"),
        ((GOOD, "2025-10-08 10:00:01,nan"), r"row 2 \(line 3\) has no price"),
        ((GOOD, "soon,1"), r"row 2 \(line 3\) has no time that can be read: 'soon,1'"),
        ((GOOD, "", "2025-10-08 10:00:01"), r"row 3 \(line 4\) .*Columns: 2 Found: 1"),
        ((GOOD, "2025-10-08 10:00:01,1,2"), r"row 2 \(line 3\) .*Columns: 2 Found: 3"),
        (("soon,1", "later,2"), r"row 1 \(line 2\) .*soon,1' \(and 1 more\)"),
        (
            (GOOD, "2025-10-08 09:59:59,1"),
            "row 2 is out of order: 2025-10-08 09:59:59.* comes after 2025-10-08 10:00:00",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_text(write, lines, message):
    with pytest.raises(DataError, match=message) as refused:
        read([write("timestamp,ltp", *lines)])
    assert refused.value.remedy


@pytest.mark.parametrize("blank", ["", " ", '""'])
def test_a_row_without_a_symbol_is_no_row_of_a_file_that_has_symbols(write, blank):
    path = write(
        "timestamp,symbol,ltp", "2026-04-01 10:00:00,TCS,100", f"2026-04-01 10:00:05,{blank},101", name="two.csv"
    )  # fmt: skip
    with pytest.raises(DataError, match=r"row 2 \(line 3\) has no symbol: '2026-04-01 10:00:05"):
        read([path])
    assert told(read([path], strict=False), "price") == [("TCS", 100.0)]


def test_out_of_order_compares_times_of_the_same_instrument(write):
    path = write(
        "timestamp,symbol,ltp", "2026-04-01 10:00:00,A,1", "2026-04-01 10:30:00,B,1", "2026-04-01 09:59:00,A,1",
        name="two.csv",
    )  # fmt: skip
    with pytest.raises(DataError, match=r"row 3 .*: 2026-04-01 09:59:00\S* comes after 2026-04-01 10:00:00\S* of A"):
        read([path])


def test_a_file_that_breaks_off_within_a_row_is_refused(write):
    with pytest.raises(DataError, match=r"row 2 \(line 3\)"):
        read([write("timestamp,ltp", GOOD, "2025-10-08 10:0", end="")])


def test_a_last_line_without_an_end_of_line_is_a_row(write):
    assert len(read([write("timestamp,ltp", GOOD, end="")]).ticks) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"timestamp,ltp\n", "has no rows that can be read"),
        (b"when,ltp\n1,2\n", "has no column for a time; it has when, ltp"),
        (
            b"timestamp,open,high,low\n",
            r"has no column for a price \(last_price, ltp\) or all of open, high, low, close",
        ),
        (b"\x80\x81\xff\n", "is no text that can be read"),
    ],
)
def test_a_csv_file_that_cannot_be_used_is_refused(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read([path])


def test_a_corrupt_and_a_truncated_parquet_file_are_refused(tmp_path):
    corrupt = tmp_path / "corrupt.parquet"
    corrupt.write_bytes(b"PAR1 this is no parquet PAR1")
    whole = parquet(tmp_path / "whole.parquet", "SELECT TIMESTAMP '2025-10-08 10:00:00' AS timestamp, 1.0 AS ltp")
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-20])
    for path in (corrupt, cut):
        with pytest.raises(DataError, match=f"{path.name} cannot be read"):
            read([path])


def test_a_compressed_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(b"timestamp,ltp\n")
    with pytest.raises(DataError, match="is not compressed as its name says"):
        read([tmp_path / "a.csv.gz"])


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere.csv", "there is no file"), ("", r"holds no \.csv"), ("notes.md", r"is none of \.csv")],
)
def test_a_path_without_data_is_refused(tmp_path, name, message):
    if name == "notes.md":
        (tmp_path / name).write_text("hello")
    with pytest.raises(DataError, match=message):
        read([tmp_path / name])


def test_a_list_of_instruments_alone_is_no_recording():
    with pytest.raises(DataError, match="lists of instruments only"):
        read([DATA / "instruments"])


# --- for a feed: everything that can be read, and the rest whole -------------------------------------------------------------


def test_for_a_feed_unreadable_rows_are_kept_whole_and_wrong_ones_passed_on(write):
    path = write(
        "timestamp,ltp", "2025-10-08 10:00:00,865.05", "2025-10-08 10:00:01,abc", "2025-10-08 10:00:02,0",
        "2025-10-08 10:00:02", "2025-10-08 10:00:03,-5", "2025-10-08 10:00:03,-5", "soon,1",
    )  # fmt: skip
    recording = read([path], strict=False)
    assert recording.ticks["price"].tolist() == [865.05, 0.0, -5.0, -5.0]
    assert [(u.row, u.text) for u in recording.unreadable] == [
        (2, "2025-10-08 10:00:01,abc"),
        (4, "2025-10-08 10:00:02"),
        (7, "soon,1"),
    ]
    assert {u.file for u in recording.unreadable} == {str(path)}
    assert reports(recording)["non_positive_price", "SBIN"] == (3, "3 of 4 prices are zero or negative")


def test_for_a_feed_a_parquet_row_without_a_price_is_kept(tmp_path):
    rows = "(VALUES (TIMESTAMP '2025-10-08 10:00:00', 1.5), (TIMESTAMP '2025-10-08 10:00:01', NULL)) t(timestamp, ltp)"
    recording = read([parquet(tmp_path / "SBIN.parquet", f"SELECT * FROM {rows}")], strict=False)
    assert recording.ticks["price"].tolist() == [1.5]
    assert [(u.row, u.text, u.reason) for u in recording.unreadable] == [
        (2, "2025-10-08 10:00:01,", "has no price that is a number")
    ]


def test_a_field_that_is_no_number_makes_a_row_unreadable_an_empty_one_does_not(write):
    path = write("timestamp,ltp,volume,oi", "2025-10-08 10:00:00,1,,", "2025-10-08 10:00:01,1,many,0")
    recording = read([path], strict=False)
    assert told(recording, "volume", "open_interest") == [("SBIN", 0, 0)]
    assert [u.reason for u in recording.unreadable] == ["has a field that is no number"]


def test_a_bar_that_opens_above_its_high_is_reported_and_passed_on(write):
    bars = ("2025-10-08 09:15:00,12,11,9,10,100", "2025-10-08 09:16:00,10,11,9,10,100")
    recording = read([write("timestamp,open,high,low,close,volume", *bars)])
    assert reports(recording)["impossible_bar", "SBIN"][0] == 1
    assert len(recording.ticks) == 4


# --- speed ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("million")
    select = """SELECT TIMESTAMP '2025-10-08 09:15:00' + to_microseconds(i * 20000) AS timestamp,
        256265 + i % 5 AS instrument_token, round(1000 + (i % 777) * 0.05, 2) AS last_price, i AS volume_traded
        FROM range(1000000) t(i)"""
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select}) TO '{folder}/ticks.csv'")
        connection.execute(f"COPY ({select}) TO '{folder}/ticks.parquet' (FORMAT PARQUET)")
    return folder


@pytest.mark.parametrize("name", ["ticks.csv", "ticks.parquet"])
def test_a_million_rows_take_seconds_not_minutes(million, name):
    """Some 1.2 million rows a second on one quiet core; the bound is loose, as test machines are busy."""
    began = time.process_time()
    recording = read([million / name])
    assert len(recording.ticks) == 1_000_000
    assert time.process_time() - began < 6.0


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_symbols_are_those_of_their_rows_wherever_in_a_file_they_come_first(tmp_path, suffix):
    path = tmp_path / f"ticks.{suffix}"
    times = "TIMESTAMP '2026-01-05 09:15:00' + to_seconds(i)"
    names = "CASE WHEN i >= 9000 THEN 'M&M' WHEN i % 2 = 0 THEN 'TCS' ELSE 'SBIN' END"
    duckdb.execute(
        f"COPY (SELECT {times} AS time, {names} AS symbol, 100.05 + i AS price FROM range(10000) r(i)) TO '{path}'"
    )
    found = read([path])
    assert [config.tradingsymbol for config in found.instruments] == ["TCS", "SBIN", "M&M"]
    assert found.ticks["instrument"].tolist() == [2 if i >= 9_000 else i % 2 for i in range(10_000)]


def test_a_row_without_a_symbol_behind_the_first_ones_is_told_with_its_number(write):
    rows = [f"2026-01-05 09:{15 + n // 60}:{n % 60:02},SBIN,100.05" for n in range(9)] * 1_000
    path = write("time,symbol,price", *sorted(rows), "2026-01-05 09:16:00,,100.05")
    with pytest.raises(DataError, match=r"row 9001 .*has no symbol"):
        read([path])
