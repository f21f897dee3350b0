"""The demo's table: where the market's time is, and why nothing trades where nothing does."""

import datetime as dt

import pytest

from connectors.kafka.records import Record
from deploy.display import Display, market
from deploy.tally import Tally
from functions.calendar import INDIA
from functions.codec import encode
from functions.topics import MARKET_CLOCK
from tests.history import Log, clock, filled, signal
from tests.tables import CALENDAR


def microseconds(text):
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=INDIA).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-05-06 09:00:00", "nothing trades before the open at 09:15"),
        ("2026-05-06 09:14:59", "nothing trades before the open at 09:15"),
        ("2026-05-06 09:15:00", "open"),
        ("2026-05-06 15:29:59", "open"),
        ("2026-05-06 15:30:00", "nothing trades after the close at 15:30"),
        ("2026-11-20 15:39:59", "open"),  # derivatives, since August 2026
        ("2026-11-20 15:40:00", "nothing trades after the close at 15:40"),
        ("2025-10-21 13:00:00", "nothing trades before the open at 13:45"),  # Muhurat
        ("2024-03-02 10:30:00", "nothing trades before the open at 11:30"),  # between two parts
        ("2024-03-02 12:30:00", "nothing trades after the close at 12:30"),
        ("2026-05-03 10:00:00", "the exchange is closed on this day"),  # a Sunday
        ("2031-01-01 10:00:00", "nothing trades on a day that the calendar does not know"),
    ],
)
def test_the_table_says_what_time_it_is_in_the_market_and_whether_it_trades(at, said):
    assert market(microseconds(at), CALENDAR) == f"market {at} · {said}"


def test_before_the_first_second_the_market_has_not_begun():
    assert market(0, CALENDAR) == "market has not begun"


def test_the_tally_takes_the_markets_time_from_its_clock_and_counts_it_nowhere():
    tally, log = Tally("paper"), Log()

    for record in log.append(clock(1.0), signal("g1"), clock(3.0), filled("o1")):
        tally.add(record)
    late = Record(MARKET_CLOCK.name, 1, 0, b"clock", encode(clock(2.0)))
    tally.add(late)

    assert tally.market_time == microseconds("2026-05-06 10:00:03")
    assert tally.counts == {"paper.signals.raw": 1, "paper.orders.filled": 1}


def test_it_stands_above_the_strategies(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, as far as the table can see
    monkeypatch.setenv("COLUMNS", "160")
    tally = Tally("paper", market_time=microseconds("2026-05-06 09:00:30"))
    display = Display(CALENDAR, live=True, port=8000)

    display.show(2.0, 120, tally, None)
    display.close()

    shown = capsys.readouterr().out
    assert "120 ticks (60/s) · first fill none yet" in shown
    assert shown.index("nothing trades before the open at 09:15") < shown.index("strategy")
