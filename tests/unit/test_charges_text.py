"""Charges as a user writes them: what they change, and every fault with its line and what to do."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.charges_text import ITEMS, read_charges
from functions.costs import SEGMENTS, Tariff
from functions.table_text import Unusable
from tests.tables import TARIFF

NEXT = """
[[rates]]
item = "stt_sell"
from = 2027-04-01
futures = "0.06"
options = "0.2"
source = "Finance Act 2027"

[[rates]]
item = "transaction"
exchange = "NSE"
from = 2027-04-01
futures = "0.0018"
"""

AGAIN = 'options = "0.02"\n[[rates]]\nitem = "transaction"\nfrom = 2027-04-01\noptions = "0.02"\n'


def read(text: str, other: Tariff | None = TARIFF) -> Tariff:
    return read_charges(text.encode(), other)


def faults(text: str, other: Tariff | None = TARIFF) -> list[tuple[int, str, str]]:
    with pytest.raises(Unusable) as unusable:
        read(text, other)
    return [tuple(fault) for fault in unusable.value.faults]


def total(tariff: Tariff, segment, venue, side, day: str) -> Decimal:
    return tariff.contract_note(segment, venue, side, Decimal(1_000_000), date.fromisoformat(day)).total


def test_a_rate_of_ones_own_holds_from_its_day_on_and_what_it_does_not_name_stays():
    """Futures on NSE: 20 + 600 + 18 + 1 + 18 % of (39 − 0.001); before: 20 + 500 + 18.3 + 1 + 7.07382."""
    tariff = read(NEXT)

    assert total(tariff, "futures", "NSE", "SELL", "2027-04-01") == Decimal("646.01982")
    assert total(tariff, "futures", "NSE", "SELL", "2027-03-31") == Decimal("546.37382")
    assert total(tariff, "futures", "BSE", "SELL", "2027-04-01") == Decimal("624.78")  # transaction as before: none
    assert total(tariff, "intraday", "NSE", "BUY", "2027-04-01") == Decimal("91.00582")


def test_a_rate_of_the_same_day_stands_in_place_of_ours():
    tariff = read('[[rates]]\nitem = "stt_sell"\nfrom = 2026-04-01\nfutures = "0.02"\n')

    assert total(tariff, "futures", "NSE", "SELL", "2026-04-01") == Decimal("246.37382")
    assert total(tariff, "options", "NSE", "SELL", "2026-04-01") == Decimal("1944.016")  # not named: as before


def test_what_was_unknown_can_be_stated():
    tariff = read('[[rates]]\nitem = "transaction"\nexchange = "BSE"\nfrom = 2017-07-01\ndelivery = "0.003"\n')

    assert total(tariff, "delivery", "BSE", "BUY", "2018-01-01") == Decimal("1136.9")


def test_charges_may_be_of_another_broker_alone():
    """Every item from one day on: a whole tariff, without ours."""
    text = "".join(
        f'[[rates]]\nitem = "{item}"\nfrom = 2020-01-01\n' + "".join(f'{segment} = "{value}"\n' for segment in SEGMENTS)
        for item, value in {**dict.fromkeys(ITEMS, "0"), "brokerage": "0.1", "gst": "18"}.items()
    )
    tariff = read(text, None)

    assert tariff.first_date == date(2020, 1, 1)
    assert total(tariff, "options", "BSE", "SELL", "2020-01-01") == Decimal("1180")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (NEXT.replace('"stt_sell"', '"stt"'), 3, "'stt' is no charge; item is one of brokerage"),
        (NEXT.replace("from = 2027-04-01\nfutures = \"0.06\"", 'futures = "0.06"'), 2, "rates are from a day on, was None"),
        (NEXT.replace("2027-04-01", '"2027-04-01"'), 4, "rates are from a day on"),
        (NEXT.replace('"NSE"', '"MCX"'), 11, "'MCX' is no exchange; one of NSE, BSE"),
        (NEXT.replace('futures = "0.06"', "futures = 0.06"), 5, "0.06 is no text, and would not be exact"),
        (NEXT.replace('"0.06"', '"6 %"'), 5, "'6 %' is no number"),
        (NEXT.replace('"0.06"', '"-0.06"'), 5, "-0.06 is not from 0 to 5 per cent of the turnover"),
        (NEXT.replace('"0.06"', '"6"'), 5, "6 is not from 0 to 5"),
        (NEXT.replace('"0.06"', '"NaN"'), 5, "NaN is not from 0 to 5"),
        (NEXT.replace('"0.06"', '"Infinity"'), 5, "is not from 0 to 5"),
        (NEXT.replace('"0.06"', '"0.0000000001"'), 5, "more decimals than the engine keeps"),
        (NEXT.replace("futures", "future"), 5, "'future', which nobody knows; did you mean futures?"),
        (NEXT + AGAIN, 18, "stands on line 14 too"),
        (NEXT + 'options = "0.02"\noptions = "0.02"\n', 15, "stands twice"),
        ('[[rates]]\nitem = "sebi"\nfrom = 2027-04-01\n', 2, "it names no segment"),
        ('[[rates]]\nitem = "sebi"\nfrom = 2027-04-01\noptions = "0"\nassumed = 1\n', 5, "assumed is true or false"),
        ('[[rates]]\nitem = "sebi"\nfrom = 2027-04-01\noptions = "0"\nsource = 1\n', 5, "source is text"),
        ('[[rates]]\nitem = "ipft"\nfrom = 2027-04-01\noptions = "1"\n', 4, "ipft is more than the transaction charge"),
        ('[[rates]]\nitem = "brokerage_cap"\nfrom = 2027-04-01\noptions = "20"\n', 4, "a cap on no brokerage"),
        ('[[rates]]\nitem = "brokerage_cap"\nfrom = 2027-04-01\nintraday = "100001"\n', 4, "to 100000 rupees an order"),
        ('[[rates]]\nitem = "sebi"\nfrom = 2000-01-01\noptions = "0"\n', 0, "delivery on NSE has no brokerage"),
        ('[charges]\nitem = "sebi"\n', 1, "'charges' is no table of charges"),
        ('rates = 1\n', 1, "rates is no list of tables"),
        ("", 0, "there are no rates"),
    ],
)  # fmt: skip
def test_every_fault_is_named_with_its_line(text, line, words):
    found = faults(text)

    assert any(line == at and words in f"{what}; {remedy}" for at, what, remedy in found), found


def test_charges_of_more_than_nine_per_cent_in_all_would_not_fit_the_engine():
    text = "".join(
        f'[[rates]]\nitem = "{item}"\nfrom = 2027-04-01\noptions = "{value}"\n'
        for item, value in (("stt_sell", "5"), ("stamp_sell", "3.9"))
    )
    assert total(read(text), "options", "NSE", "SELL", "2027-04-01") == Decimal("89444.016")
    assert "more than 9 per cent" in faults(text.replace("3.9", "4"))[0][1]


@given(st.binary(max_size=200))
def test_any_bytes_are_charges_or_told_to_be_none(raw):
    told = None
    try:
        read_charges(raw, TARIFF)
    except Unusable as unusable:
        told = unusable.faults
    assert told is None or all(fault.what and fault.remedy for fault in told)
