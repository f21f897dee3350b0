"""Folders: files of one form are read in one go, and give what each of them gives by itself."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.errors import DataError
from connectors.recorded.options import reading_options
from connectors.recorded.reading import Recording, read
from tests.integration.test_recorded import Write, at, write

__all__ = ["Write", "write"]
BARS, TICKS = "timestamp,open,high,low,close,volume", "timestamp,ltp,volume"
DAY, NEXT = "2026-04-22", "2026-04-23"
Lines = list[str]


def bars(day: str, *clocks: str, price: float = 100.05, volume: int = 10) -> Lines:
    prices = [price + n for n in range(len(clocks))]
    return [f"{day} {clock}:00,{p},{p + 1},{p - 1},{p},{volume}" for clock, p in zip(clocks, prices, strict=True)]


def ticks(day: str, *clocks: str, price: float = 100.05) -> Lines:
    return [f"{day} {clock},{price + n},{10 * n}" for n, clock in enumerate(clocks)]


def shown(recording: Recording) -> tuple[list[tuple], list[tuple]]:
    """Every tick with its instrument, and every bar's range."""
    names = [i.tradingsymbol for i in recording.instruments]
    fields = [name for name in recording.ticks.dtype.names or () if name != "instrument"]
    rows = [(names[row["instrument"]], *(row[name].item() for name in fields)) for row in recording.ticks]
    return rows, recording.ranges.tolist()


@pytest.fixture
def both_ways(write, tmp_path) -> Callable[[str, dict[str, Lines]], tuple[Recording, Recording]]:
    """Reads files as one folder, and once more with every second one in a form of its own, so that each is read by itself."""

    def read_twice(header: str, files: dict[str, Lines]) -> tuple[Recording, Recording]:
        for n, (name, lines) in enumerate(files.items()):
            write(header, *lines, name=f"alike/{name}")
            extra = [f"{header},note", *(f"{line},x" for line in lines)] if n % 2 else [header, *lines]
            write(*extra, name=f"each/{name}")
        return read([tmp_path / "alike"]), read([tmp_path / "each"])

    return read_twice


@pytest.mark.parametrize(
    ("header", "files"),
    [
        (BARS, {"INFY.csv": bars(DAY, "09:15", "09:16"), "TCS.csv": bars(DAY, "09:15", "09:16", "09:20")}),
        (
            BARS,
            {"TCS_2026-04-22.csv": bars(DAY, "09:15", "09:16"), "TCS_2026-04-23.csv": bars(NEXT, "09:15", "09:16")},
        ),
        (  # days that go back: the names are not in the order of time
            BARS,
            {
                "TCS_01-04-2026.csv": bars("2026-04-01", "09:15", "09:16"),
                "TCS_02-03-2026.csv": bars("2026-03-02", "09:15", "09:16"),
            },
        ),
        (  # bars of a minute on one day, of five on the next
            BARS,
            {"TCS_2026-04-22.csv": bars(DAY, "09:15", "09:16"), "TCS_2026-04-23.csv": bars(NEXT, "09:15", "09:20")},
        ),
        (  # one of them marks the last second of its bars
            BARS,
            {"INFY.csv": bars(DAY, "09:15", "09:16"), "TCS.csv": bars(DAY, "09:15", "09:20", "09:25")},
        ),
        (
            TICKS,
            {"INFY.csv": ticks(DAY, "10:00:00", "10:00:02"), "TCS.csv": ticks(DAY, "10:00:00", "10:00:01")},
        ),
        (  # the same instrument, twice over the same seconds
            TICKS,
            {"TCS.csv": ticks(DAY, "10:00:00", "10:00:02"), "tcs_ticks.csv": ticks(DAY, "10:00:00", "10:00:01")},
        ),
        (
            "symbol,timestamp,ltp,volume",
            {
                "a.csv": [
                    "TCS,2026-04-22 10:00:00,100.05,1", "INFY,2026-04-22 10:00:00,90.05,1", "TCS,2026-04-22 10:00:01,100.1,2"
                ],
                "b.csv": ["INFY,2026-04-23 10:00:00,90.1,1", "TCS,2026-04-23 10:00:00,100.15,1"],
            },
        ),
    ],
)  # fmt: skip
def test_files_of_one_form_give_what_each_of_them_gives(both_ways, header, files):
    together, each = both_ways(header, files)
    assert shown(together) == shown(each)
    assert together.instruments == each.instruments


def test_a_bar_of_five_minutes_stays_one_beside_a_day_of_minutes(write):
    write(BARS, *bars(DAY, "09:15", "09:16"), name="all/TCS_2026-04-22.csv")
    path = write(BARS, *bars(NEXT, "09:15", "09:20"), name="all/TCS_2026-04-23.csv")
    ends = read([path.parent]).ticks["time"][1::2]
    assert (ends + 1000).tolist() == [
        at(f"2026-04-{clock}:00") for clock in ("22 09:16", "22 09:17", "23 09:20", "23 09:25")
    ]


def midday(zone: dt.timezone) -> Lines:
    moments = [dt.datetime(2026, 4, 22, 4, n, tzinfo=dt.UTC).astimezone(zone) for n in range(3)]
    return [f"{moment:%Y-%m-%d %H:%M:%S},100.05,1" for moment in moments]


@pytest.mark.parametrize(
    ("header", "good", "odd", "words"),
    [
        (BARS, bars(DAY, "09:15", "09:16"), [], "has no rows that can be read"),
        (BARS, bars(DAY, "09:15", "09:16"), bars(DAY, "09:16"), "nothing tells how long its bars are"),
        (
            BARS,
            bars(DAY, "09:15", "09:16"),
            [line for n in range(375) for line in bars(DAY, f"{(556 + n) // 60:02d}:{(556 + n) % 60:02d}")],
            "their times seem to mark where bars end",
        ),
        (TICKS, ticks(DAY, "10:00:00"), midday(dt.UTC), "taken for UTC they lie within"),
        (TICKS, ticks(DAY, "10:00:00"), ["2026-04-22 10:00:00,soon,1"], "has no price that is a number"),
        (TICKS, ticks(DAY, "10:00:00"), ticks(DAY, "10:00:01", "10:00:00"), "is out of order"),
        ("timestamp;ltp;volume", ["2026-04-22 10:00:00;1000.05;1"], ["2026-04-22 10:00:00;1.234;1"], "may be 1234 or 1.234"),
        (TICKS, ["13/04/2026 10:00:00,1.05,1"], ["01/04/2026 10:00:00,1.05,1"], "no other date of the file"),
    ],
)  # fmt: skip
def test_one_file_among_many_of_its_form_is_refused_by_its_name(write, header, good, odd, words):
    for name in ("INFY", "SBIN"):
        write(header, *(line.replace(",", ";") if ";" in header else line for line in good), name=f"all/{name}.csv")
    path = write(header, *odd, name="all/TCS.csv")
    with pytest.raises(DataError, match=words) as refused:
        read([path.parent])
    assert "TCS.csv" in str(refused.value)


def test_a_file_among_many_may_write_its_numbers_in_its_own_way(write):
    write(TICKS, *ticks(DAY, "10:00:00"), name="all/INFY.csv")
    path = write(TICKS, '2026-04-22 10:00:01,"1,234.05",1', name="all/TCS.csv")
    assert read([path.parent]).ticks["price"].tolist() == [100.05, 1234.05]


def test_a_folder_is_put_into_order_when_told(write):
    write(TICKS, *ticks(DAY, "10:00:03", "10:00:01"), name="all/INFY.csv")
    path = write(TICKS, *ticks(DAY, "10:00:02", "10:00:00", price=200.05), name="all/TCS.csv")
    recording = read([path.parent], options=reading_options(sort=True))
    assert recording.ticks["price"].tolist() == [201.05, 101.05, 200.05, 100.05]


def test_many_files_of_a_form_are_as_many_instruments(tmp_path: Path, write):
    for n in range(200):
        write(BARS, *bars(DAY, "09:15", "09:16", price=100.05 + n), name=f"all/S{n:04d}.csv")
    recording = read([tmp_path / "all"])
    assert len(recording.instruments) == 200
    assert len(recording.ticks) == 800
    assert sorted(set(recording.ticks["price"].tolist())) == sorted(
        {100.05 + n + m for n in range(200) for m in (0, 1)}
    )


def test_a_lot_divides_the_quantities_of_every_file_of_a_derivative(write):
    for header, day, volume in ((TICKS, DAY, 130), ("timestamp,last_price,volume", NEXT, 195)):
        write(
            header,
            f"{day} 10:00:00,22000,{volume}",
            f"{day} 10:00:01,22000,{2 * volume}",
            name=f"NIFTY26APRFUT_{day}.csv",
        )
    folder = write(TICKS, f"{DAY} 10:00:00,1,1", name="OTHER.csv").parent

    assert {one.tradingsymbol: one.lot_size for one in read([folder]).instruments}["NIFTY26APRFUT"] == 65


def test_of_prices_in_paise_the_quantities_stay_as_they_are(write):
    path = write("timestamp,ltp,volume,oi", f"{DAY} 10:00:00,86505,1200,300")

    [row] = read([path], options=reading_options(unit="paise")).ticks
    assert (row["price"], row["volume"], row["open_interest"]) == (865.05, 1200, 300)
