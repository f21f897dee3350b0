"""The summary of a backtest: what held it comes first, what did not happen is not said, long lines are folded."""

from cli.summary import lines, notes, summary
from dataflows.backtest import run
from tests.desk import FREE, LAX, account, instrument, tick, tick_rows

TOOK = {"reading_s": 0.31, "deciding_s": 0.02, "whole_s": 1.1, "deciding_ticks_per_s": 37_500}
QUIET = {"unfilled_by_reason": {}, "squared_off": 0, "squared_off_at_last_price": 0, "delivery_sold_on_the_day": 0}
HELD = {"limit": "max_orders_per_day", "value": "4500", "since": "2024-04-22T05:01:05.250000Z", "refused": 9_000}


def test_the_limit_that_held_comes_first_with_its_value_and_the_time_in_india():
    said = lines({"ticks": 5, "signals": 12_000, "limited_by": HELD} | TOOK)

    assert said == [
        "limited_by          max_orders_per_day=4500 since 2024-04-22 10:31:05 IST",
        "                    refused 9,000 of 12,000 signals: --limit, --no-limits",
        "ticks               5",
        "signals             12000",
        "seconds             0.31 reading, 0.02 deciding (37,500 ticks/s), 1.1 in all",
    ]


def test_what_did_not_happen_is_not_said():
    assert lines({"limited_by": None, "dropped": {}, "positions": [], "last_date": None} | QUIET | TOOK) == [
        "positions           none",
        "last_date           none",
        "seconds             0.31 reading, 0.02 deciding (37,500 ticks/s), 1.1 in all",
    ]


def test_positions_stand_below_each_other():
    held = {"strategy": "s", "quantity": -5, "average_price": "10.25"}

    said = lines({"positions": [held | {"symbol": "A"}, held | {"symbol": "B"}]} | TOOK)

    assert said[:2] == ["positions           -5 A at 10.25 (s)", "                    -5 B at 10.25 (s)"]


def test_a_line_longer_than_the_terminal_goes_on_below_its_text():
    note = "TCS goes from 1,000.05 to 500.05 over the night to 2026-04-02"

    assert lines({"notes": [note]} | TOOK, width=50)[:3] == [
        "note                TCS goes from 1,000.05 to",
        "                    500.05 over the night to",
        "                    2026-04-02",
    ]
    assert lines({"notes": [note]} | TOOK, width=81)[0] == f"note                {note}"


def test_every_line_fits_80_columns_where_a_limit_of_the_longest_name_held():
    most = HELD | {"limit": "max_price_deviation_bps", "value": "10000", "refused": 1_000_000}

    assert max(map(len, lines({"signals": 1_999_999, "limited_by": most} | TOOK))) <= 80


def test_what_became_of_orders_and_positions_at_the_end_of_a_session_is_noted():
    assert notes(QUIET) == []
    assert notes(
        QUIET | {"unfilled_by_reason": {"session_end": 1, "square_off": 2, "expired": 4}, "squared_off": 1}
    ) == [
        "1 order not filled by the end of the session: cancelled",
        "2 MIS orders not filled by the broker's cut-off: cancelled",
        "1 MIS position squared off at the broker's cut-off",
    ]
    many = {"squared_off": 3, "squared_off_at_last_price": 2, "delivery_sold_on_the_day": 1_500}
    assert notes(QUIET | many) == [
        "3 MIS positions squared off at the broker's cut-off, 2 at the last price, as no trade came before the close",
        "1,500 shares bought and sold for delivery on one day: charged as delivery, taxed as intraday",
    ]


def test_remarks_about_the_recording_come_before_notes_and_the_seconds_are_told_apart():
    outcome = run(tick_rows([tick(100.0)]), [instrument(1)], account("a", limits=LAX, venue=FREE), [])
    outcome.squared_off, outcome.seconds = 1, 0.25

    made = summary(outcome, ["TCS goes from 2 to 1"], reading_s=0.5, whole_s=1.23456)

    assert made["notes"] == ["TCS goes from 2 to 1", "1 MIS position squared off at the broker's cut-off"]
    assert [made[name] for name in ("reading_s", "deciding_s", "whole_s", "deciding_ticks_per_s")] == [
        0.5,
        0.25,
        1.235,
        4,
    ]
