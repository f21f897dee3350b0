"""Price unit: paise that call themselves rupees are noticed, whole rupees are not."""

import pytest

from functions.price_unit import why_paise


@pytest.mark.parametrize(
    ("symbol", "kind", "lowest"),
    [
        ("SBIN", "EQ", 86_505),
        ("RELIANCE", "EQ", 137_010),
        ("SBIN", "EQ", 5_000),
        ("NIFTY 50", "INDEX", 2_250_000),
        ("NIFTY26APRFUT", "FUT", 2_250_005),
        ("SBIN28APR26FUT", "FUT", 86_505),
        ("NIFTY26APR22500CE", "CE", 10_050),
        ("MRF", "EQ", 13_200_000),
    ],
)
def test_whole_prices_far_above_what_an_instrument_trades_at_are_paise(symbol, kind, lowest):
    assert symbol in why_paise(symbol, kind, lowest, 3)


@pytest.mark.parametrize(
    ("symbol", "kind", "lowest"),
    [
        ("TCS", "EQ", 1_000),
        ("SBIN", "EQ", 4_999),
        ("MRF", "EQ", 132_000),
        ("BAJAJ-AUTO", "EQ", 9_000),
        ("NIFTY 50", "INDEX", 22_000),
        ("SENSEX", "INDEX", 82_000),
        ("BANKNIFTY26APRFUT", "FUT", 50_000),
        ("MARUTI26APRFUT", "FUT", 12_000),
        ("NIFTY26APR22500CE", "CE", 100),
    ],
)
def test_whole_rupees_are_rupees(symbol, kind, lowest):
    assert why_paise(symbol, kind, lowest, 3) == ""


def test_a_list_tells_by_its_last_price():
    assert "has SBIN at 45, here it is 4,505" in why_paise("SBIN", "EQ", 4_505, 3, last=45.05 // 1)
    assert why_paise("XYZ", "EQ", 86_505, 3, last=86_000.0) == ""


def test_a_list_tells_by_its_tick():
    assert "none of its 20 different prices has paise" in why_paise("SBIN", "EQ", 865, 20, tick=0.05)
    assert why_paise("SBIN", "EQ", 865, 19, tick=0.05) == ""
    assert why_paise("MRF", "EQ", 865, 20, tick=1.0) == ""
