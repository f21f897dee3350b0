"""Charges: ten orders whose every rupee was checked by hand, and the compiled sum against the itemised one."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from functions.costs import SEGMENTS, VENUES, Unpriced, charges, rounded
from functions.kernel import entry, records
from tests.tables import TARIFF

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

    note = TARIFF.contract_note(segment, venue, side, Decimal(turnover), APRIL_2026)

    charged = [note.brokerage, note.stt, note.transaction, note.sebi, note.stamp, note.gst, note.total]
    printed = [Decimal(item) for item in items]  # with four decimals
    assert all(abs(a - b) <= Decimal("0.00005") for a, b in zip(charged, printed, strict=True))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v[0]}-{v[1]}-{v[2]}-{v[3]}")
def test_the_engine_charges_what_the_contract_note_says_to_the_micro_rupee(vector):
    segment, venue, side, turnover, *_, total = vector
    _, rates = TARIFF.table()

    charged = _compiled(rates[-1], segment, venue, side, turnover * 1_000_000)

    assert charged == TARIFF.micro_charges(segment, venue, side, turnover * 1_000_000, APRIL_2026)
    assert abs(charged - int(Decimal(total) * 1_000_000)) <= 50  # the printed total has four decimals


def _compiled(rates, segment, venue, side, turnover):
    row = VENUES.index(venue) * len(SEGMENTS) + SEGMENTS.index(segment)
    return int(compiled_charges(1 if side == "BUY" else -1, turnover, records(rates), row))


@given(
    version=st.integers(0, len(TARIFF.versions) - 1), segment=st.sampled_from(SEGMENTS), venue=st.sampled_from(VENUES),
    side=st.sampled_from(["BUY", "SELL"]), turnover=st.integers(0, 10**16),
)  # fmt: skip
def test_the_engine_rounds_once_and_half_to_even_at_any_turnover(version, segment, venue, side, turnover):
    day = TARIFF.versions[version][0]
    assume(TARIFF.versions[version][1][segment, venue] is not None)
    _, rates = TARIFF.table()

    charged = _compiled(rates[version], segment, venue, side, turnover)

    assert charged == TARIFF.micro_charges(segment, venue, side, turnover, day)


def test_brokerage_is_capped_at_twenty_rupees_from_the_first_rupee_beyond_the_cap():
    at, beyond = Decimal("66666.66"), Decimal("66667")

    assert TARIFF.contract_note("intraday", "NSE", "BUY", at, APRIL_2026).brokerage == Decimal("19.999998")
    assert TARIFF.contract_note("intraday", "NSE", "BUY", beyond, APRIL_2026).brokerage == 20


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

    futures = TARIFF.contract_note("futures", "NSE", "SELL", turnover, day).stt
    options = TARIFF.contract_note("options", "NSE", "SELL", turnover, day).stt

    assert (futures, options) == (turnover * Decimal(futures_sell) / 100, turnover * Decimal(options_sell) / 100)


def test_the_protection_fund_stays_out_of_the_gst_base_before_and_after_march_2026():
    before = TARIFF.contract_note("delivery", "NSE", "BUY", Decimal(10_000_000), date(2026, 2, 28))
    after = TARIFF.contract_note("delivery", "NSE", "BUY", Decimal(10_000_000), date(2026, 3, 1))

    assert before.transaction == after.transaction == Decimal("307")
    assert before.gst == Decimal("0.18") * (307 - 10 + 10)
    assert after.gst == Decimal("0.18") * (307 - Decimal("0.01") + 10)


# What an order of ₹10,00,000 pays, purchase and sale: brokerage, STT, transaction, SEBI, stamp, GST each worked out by hand
# from the rates of the time (a lakh at 0.1 % is ₹100), then added. Rows: (first day, last day), segment, exchange, buy, sell.
# E.g. intraday on NSE from 2017-07-01: 20 + 0 + 32.50 + 1.50 + 20 + 18 % of (52.50 − 0.001) = 83.44982, a sale 250 more.
HISTORY = [
    (("2017-07-01", "2019-03-31"), "delivery", "NSE", "1139.84982", "1139.84982"),  # 1000 32.5 1.5 100 5.84982
    (("2017-07-01", "2019-03-31"), "intraday", "NSE", "83.44982", "333.44982"),  # 20 32.5 1.5 20 9.44982; 250
    (("2017-07-01", "2019-03-31"), "futures", "NSE", "67.51982", "167.51982"),  # 20 19 1.5 20 7.01982; 100
    (("2017-07-01", "2019-03-31"), "options", "NSE", "635.09982", "1135.09982"),  # 20 500 1.5 20 93.59982; 500
    (("2018-08-01", "2019-03-31"), "delivery", "BSE", "1136.9", "1136.9"),  # 1000 30 1.5 100 5.4
    (("2018-08-01", "2019-03-31"), "intraday", "BSE", "80.5", "330.5"),  # 20 30 1.5 20 9
    (("2019-04-01", "2020-05-31"), "delivery", "NSE", "1139.34982", "1139.34982"),  # SEBI 1
    (("2019-04-01", "2020-05-31"), "intraday", "BSE", "80", "330"),
    (("2020-06-01", "2020-06-30"), "intraday", "NSE", "82.44982", "332.44982"),  # SEBI 0.5
    (("2020-06-01", "2020-06-30"), "futures", "NSE", "66.51982", "166.51982"),
    (("2020-07-01", "2020-12-31"), "delivery", "NSE", "1188.84982", "1038.84982"),  # stamp 150 of purchases alone
    (("2020-07-01", "2020-12-31"), "intraday", "NSE", "92.44982", "312.44982"),  # stamp 30
    (("2020-07-01", "2020-12-31"), "futures", "NSE", "66.51982", "146.51982"),  # stamp 20
    (("2020-07-01", "2020-12-31"), "options", "NSE", "644.09982", "1114.09982"),  # stamp 30
    (("2020-07-01", "2021-03-31"), "intraday", "BSE", "89.5", "309.5"),
    (("2021-01-01", "2021-03-31"), "delivery", "NSE", "1191.20982", "1041.20982"),  # transaction 34.5, GST 6.20982
    (("2021-01-01", "2021-03-31"), "options", "NSE", "679.49982", "1149.49982"),  # 530, GST 98.99982
    (("2021-04-01", "2022-07-17"), "intraday", "NSE", "95.30982", "315.30982"),  # SEBI 1
    (("2021-04-01", "2022-07-17"), "futures", "NSE", "68.19982", "148.19982"),  # 20 20 1 20 7.19982
    (("2021-04-01", "2022-07-17"), "delivery", "BSE", "1195.25", "1045.25"),  # 37.5, GST 6.75
    (("2021-04-01", "2022-07-17"), "intraday", "BSE", "98.85", "318.85"),
    (("2022-07-18", "2023-03-31"), "delivery", "NSE", "1191.88982", "1041.88982"),  # GST on SEBI's rupee too: 0.18
    (("2022-07-18", "2023-03-31"), "intraday", "NSE", "95.48982", "315.48982"),
    (("2022-07-18", "2023-03-31"), "options", "NSE", "680.17982", "1150.17982"),
    (("2022-07-18", "2023-03-31"), "intraday", "BSE", "99.03", "319.03"),
    (("2023-04-01", "2024-03-31"), "delivery", "NSE", "1190.53", "1040.53"),  # 33.5, of which 1 is free of GST: 6.03
    (("2023-04-01", "2024-03-31"), "intraday", "NSE", "94.13", "314.13"),
    (("2023-04-01", "2024-03-31"), "futures", "NSE", "68.2", "173.2"),  # 20 20 1 20 7.2; STT 125
    (("2023-04-01", "2024-03-31"), "options", "NSE", "649.78", "1244.78"),  # 20 505 1 30 93.78; STT 625
    (("2023-04-01", "2023-10-31"), "options", "BSE", "113.78", "708.78"),  # 20 50 1 30 12.78; STT 625
    (("2023-04-01", "2024-09-30"), "futures", "BSE", "44.78", "149.78"),  # 20 0 1 20 3.78
    (("2023-11-01", "2024-05-12"), "options", "BSE", "497.28", "1092.28"),  # 375, GST 71.28
    (("2024-04-01", "2024-09-30"), "delivery", "NSE", "1190.176", "1040.176"),  # 33.2, GST 5.976
    (("2024-04-01", "2024-09-30"), "intraday", "NSE", "93.776", "313.776"),
    (("2024-04-01", "2024-09-30"), "futures", "NSE", "67.964", "172.964"),  # 19.8, GST 7.164
    (("2024-04-01", "2024-09-30"), "options", "NSE", "643.88", "1238.88"),  # 500, of which 5 free: GST 92.88
    (("2024-05-13", "2024-09-30"), "options", "BSE", "638.88", "1233.88"),  # 495, GST 92.88
    (("2024-10-01", "2026-02-28"), "delivery", "NSE", "1187.226", "1037.226"),  # 30.7, GST 5.526
    (("2024-10-01", "2026-02-28"), "intraday", "NSE", "90.826", "310.826"),
    (("2024-10-01", "2026-02-28"), "futures", "NSE", "66.194", "246.194"),  # 18.3, GST 6.894; STT 200
    (("2024-10-01", "2026-02-28"), "options", "NSE", "473.134", "1443.134"),  # 355.3, GST 66.834; STT 1000
    (("2024-10-01", "2026-03-31"), "options", "BSE", "438.28", "1408.28"),  # 325, GST 62.28
    (("2024-10-01", "2026-03-31"), "futures", "BSE", "44.78", "224.78"),
    (("2026-03-01", "2026-03-31"), "delivery", "NSE", "1187.40582", "1037.40582"),  # 0.001 free of GST: 5.70582
    (("2026-03-01", "2026-03-31"), "options", "NSE", "474.016", "1444.016"),  # 0.1 free: GST 67.716
    (("2019-04-01", "2020-05-31"), "intraday", "NSE", "82.94982", "332.94982"),
    (("2019-04-01", "2020-05-31"), "futures", "NSE", "67.01982", "167.01982"),
    (("2019-04-01", "2020-05-31"), "options", "NSE", "634.59982", "1134.59982"),
    (("2019-04-01", "2020-05-31"), "delivery", "BSE", "1136.4", "1136.4"),
    (("2020-06-01", "2020-06-30"), "delivery", "NSE", "1138.84982", "1138.84982"),
    (("2020-06-01", "2020-06-30"), "options", "NSE", "634.09982", "1134.09982"),
    (("2020-06-01", "2020-06-30"), "delivery", "BSE", "1135.9", "1135.9"),
    (("2020-06-01", "2020-06-30"), "intraday", "BSE", "79.5", "329.5"),
    (("2020-07-01", "2021-03-31"), "delivery", "BSE", "1185.9", "1035.9"),  # 1000 30 0.5 150 5.4
    (("2021-01-01", "2021-03-31"), "intraday", "NSE", "94.80982", "314.80982"),  # 20 34.5 0.5 30 9.80982
    (("2021-01-01", "2021-03-31"), "futures", "NSE", "67.69982", "147.69982"),  # 20 20 0.5 20 7.19982
    (("2021-04-01", "2022-07-17"), "delivery", "NSE", "1191.70982", "1041.70982"),
    (("2021-04-01", "2022-07-17"), "options", "NSE", "679.99982", "1149.99982"),
    (("2022-07-18", "2023-03-31"), "futures", "NSE", "68.37982", "148.37982"),
    (("2026-03-01", "2026-03-31"), "futures", "NSE", "66.37382", "246.37382"),  # 20 18.3 1 20 7.07382; STT 200
    (("2026-03-01", "2026-03-31"), "intraday", "NSE", "91.00582", "311.00582"),  # 20 30.7 1 30 9.30582
    (("2026-04-01", "2026-12-31"), "delivery", "NSE", "1187.40582", "1037.40582"),
    (("2026-04-01", "2026-12-31"), "delivery", "BSE", "1195.43", "1045.43"),
    (("2026-04-01", "2026-12-31"), "intraday", "NSE", "91.00582", "311.00582"),
    (("2026-04-01", "2026-12-31"), "intraday", "BSE", "99.03", "319.03"),  # 20 37.5 1 30 10.53; 250
    (("2026-04-01", "2026-12-31"), "futures", "NSE", "66.37382", "546.37382"),  # STT 500
    (("2026-04-01", "2026-12-31"), "futures", "BSE", "44.78", "524.78"),
    (("2026-04-01", "2026-12-31"), "options", "NSE", "474.016", "1944.016"),  # STT 1500
    (("2026-04-01", "2026-12-31"), "options", "BSE", "438.28", "1908.28"),
]  # fmt: skip


@pytest.mark.parametrize("row", HISTORY, ids=lambda row: f"{row[1]}-{row[2]}-{row[0][0]}")
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_an_order_of_ten_lakh_pays_what_its_time_asked_on_the_first_day_and_the_last(row, side):
    days, segment, venue, buy, sell = row
    expected = Decimal(buy if side == "BUY" else sell)
    first_days, rates = TARIFF.table()
    for day in map(date.fromisoformat, days):
        assert TARIFF.contract_note(segment, venue, side, Decimal(1_000_000), day).total == expected
        version = int(np.searchsorted(first_days, (day - date(1970, 1, 1)).days, "right")) - 1
        assert _compiled(rates[version], segment, venue, side, 10**12) == expected * 1_000_000


def test_the_history_has_every_regime_of_every_segment_exchange_and_side():
    """A rate that changes on a day without a vector of its own would not be seen."""
    for (since, cells), (until, _) in zip(TARIFF.versions, [*TARIFF.versions[1:], (date(2027, 1, 1), {})], strict=True):
        for (segment, venue), rates in cells.items():
            there = [
                row for row in HISTORY
                if row[1:3] == (segment, venue) and date.fromisoformat(row[0][0]) <= since <= date.fromisoformat(row[0][1])
            ]  # fmt: skip
            same = [
                row for row in HISTORY
                if row[1:3] == (segment, venue)
                and TARIFF.rates(segment, venue, date.fromisoformat(row[0][0])) == rates
            ]  # fmt: skip
            assert rates is None or there or same, f"{segment} on {venue} from {since} to {until} has no vector"


@pytest.mark.parametrize(
    ("segment", "day"),
    [("delivery", "2018-07-31"), ("intraday", "2017-07-01"), ("futures", "2023-03-31"), ("options", "2023-03-31")],
)
def test_what_nobody_knows_is_refused_not_guessed(segment, day):
    with pytest.raises(Unpriced, match=f"no charges are known for {segment} on BSE on {day}"):
        TARIFF.contract_note(segment, "BSE", "BUY", Decimal(1), date.fromisoformat(day))


def test_a_span_with_unknown_rates_says_from_when_they_are_known():
    with pytest.raises(Unpriced, match="delivery on BSE on 2018-01-01, they are from 2018-08-01 on"):
        TARIFF.refuse_unpriced("delivery", "BSE", date(2018, 1, 1), date(2018, 12, 31))
    with pytest.raises(Unpriced, match="they begin 2017-07-01"):
        TARIFF.refuse_unpriced("delivery", "NSE", date(2017, 6, 30), date(2018, 12, 31))
    TARIFF.refuse_unpriced("delivery", "BSE", date(2018, 8, 1), date(2026, 12, 31))


def test_a_day_before_the_first_is_refused_not_guessed():
    with pytest.raises(Unpriced, match="no charges are known for 2017-06-30: they begin 2017-07-01"):
        TARIFF.contract_note("intraday", "NSE", "BUY", Decimal(1), date(2017, 6, 30))


def test_charges_as_of_a_day_hold_for_every_day():
    as_of = TARIFF.as_of(date(2024, 1, 2))
    for day in (date(1999, 1, 1), date(2026, 12, 31)):
        note = as_of.contract_note("options", "NSE", "SELL", Decimal(1_000_000), day)
        assert note.total == Decimal("1244.78")
    starts, rates = as_of.table()
    assert (len(starts), len(rates), starts[0] < -100_000) == (1, 1, True)


def test_what_is_assumed_is_told_for_the_days_on_which_it_holds():
    def told(first, last):
        return sorted({r.item for r in TARIFF.assumed(date.fromisoformat(first), date.fromisoformat(last))})

    assert told("2019-01-01", "2020-06-30") == ["brokerage", "brokerage_flat"]
    assert told("2020-07-01", "2021-03-31") == []
    assert told("2020-07-01", "2021-04-01") == ["transaction"]
    assert told("2023-03-23", "2026-01-01") == ["transaction"]
    assert told("2023-03-24", "2026-01-01") == []


def test_every_rate_names_its_source():
    assert all(rate.source for rate in TARIFF.stated)


def test_the_free_table_charges_nothing_on_any_day():
    starts, rates = TARIFF.table(charged=False)

    assert (len(starts), starts[0] < -100_000) == (1, True)  # before every day
    for name in rates.dtype.names:
        assert (rates[name] == (name == "known")).all()


@pytest.mark.parametrize(
    ("whole", "half", "expected"), [(0, 5, 2), (0, 7, 4), (1, 1, 2), (2, 1, 2), (1, 3, 2), (2, 3, 4), (7, 2, 8)]
)
def test_halves_go_to_the_even_neighbour_of_the_whole_sum(whole, half, expected):
    assert int(compiled_rounded(whole, half, 2)) == expected
