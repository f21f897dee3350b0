"""Charges: ten orders whose every rupee was checked by hand, and the compiled sum against the itemised one."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.costs import SEGMENTS, TABLE, VENUES, charges, contract_note, decimal_charges, rate_table, rounded
from functions.kernel import entry, records

APRIL_2026 = date(2026, 4, 1)


@entry
def compiled_charges(side, turnover, rates, row):
    return charges(side, turnover, rates[row])


@entry
def compiled_rounded(whole, numerator, denominator):
    return rounded(whole, numerator, denominator)


# segment, exchange, side, turnover, brokerage, STT, transaction, SEBI, stamp, GST, total
VECTORS = [
    ("intraday", "NSE", "BUY", 100_000, "20", "0", "3.07", "0.1", "3", "4.1706", "30.3406"),
    ("intraday", "NSE", "SELL", 101_000, "20", "25.25", "3.1007", "0.101", "0", "4.1763", "52.6280"),
    ("intraday", "NSE", "BUY", 5_000, "1.5", "0", "0.1535", "0.005", "0.15", "0.2985", "2.1070"),
    ("delivery", "NSE", "BUY", 100_000, "0", "100", "3.07", "0.1", "15", "0.5706", "118.7406"),
    ("delivery", "NSE", "SELL", 110_000, "0", "110", "3.377", "0.11", "0", "0.6276", "114.1146"),
    ("futures", "NSE", "BUY", 1_625_000, "20", "0", "29.7375", "1.625", "32.5", "9.2450", "93.1075"),
    ("futures", "NSE", "SELL", 1_631_500, "20", "815.75", "29.8565", "1.6315", "0", "9.2675", "876.5055"),
    ("options", "NSE", "BUY", 13_000, "20", "0", "4.6189", "0.013", "0.39", "4.4335", "29.4554"),
    ("options", "NSE", "SELL", 14_300, "20", "21.45", "5.0808", "0.0143", "0", "4.5169", "51.0619"),
    ("options", "BSE", "SELL", 6_000, "20", "9", "1.95", "0.006", "0", "3.9521", "34.9081"),
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v[0]}-{v[1]}-{v[2]}-{v[3]}")
def test_a_contract_note_shows_every_charge_to_the_last_digit(vector):
    segment, venue, side, turnover, *items = vector

    note = contract_note(segment, venue, side, Decimal(turnover), APRIL_2026)

    charged = [note.brokerage, note.stt, note.transaction, note.sebi, note.stamp, note.gst, note.total]
    printed = [Decimal(item) for item in items]  # with four decimals
    assert all(abs(a - b) <= Decimal("0.00005") for a, b in zip(charged, printed, strict=True))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v[0]}-{v[1]}-{v[2]}-{v[3]}")
def test_the_engine_charges_what_the_contract_note_says_to_the_micro_rupee(vector):
    segment, venue, side, turnover, *_, total = vector
    _, rates = rate_table()

    charged = _compiled(rates[-1], segment, venue, side, turnover * 1_000_000)

    assert charged == decimal_charges(segment, venue, side, turnover * 1_000_000, APRIL_2026)
    assert abs(charged - int(Decimal(total) * 1_000_000)) <= 50  # the printed total has four decimals


def _compiled(rates, segment, venue, side, turnover):
    row = VENUES.index(venue) * len(SEGMENTS) + SEGMENTS.index(segment)
    return int(compiled_charges(1 if side == "BUY" else -1, turnover, records(rates), row))


@given(
    version=st.integers(0, len(TABLE) - 1), segment=st.sampled_from(SEGMENTS), venue=st.sampled_from(VENUES),
    side=st.sampled_from(["BUY", "SELL"]), turnover=st.integers(0, 10**16),
)  # fmt: skip
def test_the_engine_rounds_once_and_half_to_even_at_any_turnover(version, segment, venue, side, turnover):
    _, rates = rate_table()

    charged = _compiled(rates[version], segment, venue, side, turnover)

    assert charged == decimal_charges(segment, venue, side, turnover, TABLE[version][0])


def test_brokerage_is_capped_at_twenty_rupees_from_the_first_rupee_beyond_the_cap():
    at, beyond = Decimal("66666.66"), Decimal("66667")

    assert contract_note("intraday", "NSE", "BUY", at, APRIL_2026).brokerage == Decimal("19.999998")
    assert contract_note("intraday", "NSE", "BUY", beyond, APRIL_2026).brokerage == 20


@pytest.mark.parametrize(
    ("day", "futures_sell", "options_sell"),
    [
        (date(2024, 9, 30), "0.0125", "0.0625"),
        (date(2024, 10, 1), "0.02", "0.1"),
        (date(2026, 3, 31), "0.02", "0.1"),
        (date(2026, 4, 1), "0.05", "0.15"),
    ],
)
def test_stt_on_derivatives_changes_on_the_day_the_finance_act_says(day, futures_sell, options_sell):
    turnover = Decimal(1_000_000)

    futures = contract_note("futures", "NSE", "SELL", turnover, day).stt
    options = contract_note("options", "NSE", "SELL", turnover, day).stt

    assert (futures, options) == (turnover * Decimal(futures_sell) / 100, turnover * Decimal(options_sell) / 100)


def test_the_protection_fund_stays_out_of_the_gst_base_before_and_after_march_2026():
    before = contract_note("delivery", "NSE", "BUY", Decimal(10_000_000), date(2026, 2, 28))
    after = contract_note("delivery", "NSE", "BUY", Decimal(10_000_000), date(2026, 3, 1))

    assert before.transaction == after.transaction == Decimal("307")
    assert before.gst == Decimal("0.18") * (307 - 10 + 10)
    assert after.gst == Decimal("0.18") * (307 - Decimal("0.01") + 10)


def test_a_day_before_the_table_is_refused_not_guessed():
    with pytest.raises(ValueError, match="no charges are known for 2023-03-31: the table begins 2023-04-01"):
        contract_note("intraday", "NSE", "BUY", Decimal(1), date(2023, 3, 31))


def test_the_free_table_charges_nothing():
    _, rates = rate_table(charged=False)

    assert not rates.view(np.int64).any()


@pytest.mark.parametrize(
    ("whole", "half", "expected"), [(0, 5, 2), (0, 7, 4), (1, 1, 2), (2, 1, 2), (1, 3, 2), (2, 3, 4), (7, 2, 8)]
)
def test_halves_go_to_the_even_neighbour_of_the_whole_sum(whole, half, expected):
    assert int(compiled_rounded(whole, half, 2)) == expected
