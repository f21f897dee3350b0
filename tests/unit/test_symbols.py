"""Symbols: what names of instruments say, in the spellings of brokers, exchanges, charts and data vendors."""

import datetime as dt
from decimal import Decimal

import pytest

from functions.derivatives import Contract, contracts
from functions.symbols import exchange_of, kind_of, plain_name, same_name

# name: kind, exchange
NAMES = {
    # futures
    "NIFTY26APRFUT": "FUT NFO",  # Kite
    "BANKNIFTY26APRFUT": "FUT NFO",
    "M&M26APRFUT": "FUT NFO",
    "BAJAJ-AUTO26APRFUT": "FUT NFO",
    "NIFTYNXT5026APRFUT": "FUT NFO",
    "SENSEX26APRFUT": "FUT BFO",
    "NIFTY28APR26FUT": "FUT NFO",  # OpenAlgo
    "RELIANCE28APR26FUT": "FUT NFO",
    "NIFTY2APR26FUT": "FUT NFO",
    "NIFTY28APR2026FUT": "FUT NFO",
    "BANKEX30APR26FUT": "FUT BFO",
    "NIFTY28APR26F": "FUT NFO",  # Finvasia
    "NIFTY260428FUT": "FUT NFO",
    "NIFTYJ2026": "FUT NFO",  # TradingView
    "NIFTY1!": "FUT NFO",
    "NSE:NIFTY2!": "FUT NFO",
    "NIFTY-I": "FUT NFO",  # TrueData, GlobalDataFeeds
    "NIFTY-II.NFO": "FUT NFO",
    "BANKNIFTY-III": "FUT NFO",
    "BAJAJ-AUTO-I": "FUT NFO",
    "NIFTY_F1": "FUT NFO",  # Amibroker
    "SBIN_F2": "FUT NFO",
    "NIFTY26APRFUT.NFO": "FUT NFO",
    "NFO:NIFTY26APRFUT": "FUT NFO",
    "NSE:NIFTY26APRFUT": "FUT NFO",  # Fyers
    "BSE:SENSEX26APRFUT": "FUT BFO",
    "NIFTY APR FUT": "FUT NFO",  # screens of brokers
    "NIFTY FUT 28 APR 26": "FUT NFO",
    "NIFTY 28 APR FUT": "FUT NFO",
    "NIFTY 28 Apr 2026 FUT": "FUT NFO",
    "nifty apr 2026 futures": "FUT NFO",
    "NIFTY-Apr2026-FUT": "FUT NFO",  # Dhan
    "FUTIDX_NIFTY_28-Apr-2026": "FUT NFO",  # NSE
    "FUTSTK RELIANCE 28APR2026": "FUT NFO",
    "TCS FUT": "FUT NFO",
    "M&M FUT": "FUT NFO",
    "BAJAJ-AUTO APR FUT": "FUT NFO",
    "NIFTY_FUT": "FUT NFO",
    "NIFTYFUT": "FUT NFO",
    "NIFTY FUTURES": "FUT NFO",
    "SENSEX APR FUT": "FUT BFO",
    # options
    "NIFTY2640722500CE": "CE NFO",  # Kite, of a week
    "NIFTY26O0622500PE": "PE NFO",
    "NIFTY25O1422850CE": "CE NFO",
    "SENSEX2640282000PE": "PE BFO",
    "NIFTY26APR22500CE": "CE NFO",  # Kite, of a month
    "RELIANCE26APR1402.5PE": "PE NFO",
    "M&M26APR3000CE": "CE NFO",
    "BAJAJ-AUTO26APR9000PE": "PE NFO",
    "NIFTY28APR2622500CE": "CE NFO",  # OpenAlgo
    "VEDL25APR24292.5CE": "CE NFO",
    "SENSEX30APR2682000PE": "PE BFO",
    "NIFTY26042822500CE": "CE NFO",  # TrueData
    "NIFTY2026042822500PE": "PE NFO",
    "NIFTY260428C22500": "CE NFO",  # TradingView
    "NIFTY260428P22500": "PE NFO",
    "NIFTY28APR26C22500": "CE NFO",  # Finvasia
    "NIFTY28APR26P22500": "PE NFO",
    "NIFTY 22500 CE": "CE NFO",
    "NIFTY_22500_PE": "PE NFO",
    "NIFTY22500CE": "CE NFO",
    "NIFTY 22500 CE 28 APR 26": "CE NFO",  # Upstox
    "NIFTY 28 APR 22500 CALL": "CE NFO",  # Dhan
    "NIFTY-Apr2026-22500-PE": "PE NFO",
    "NIFTY 28th APR 22500 CE": "CE NFO",
    "NIFTY APR 22500 PE": "PE NFO",
    "BANKNIFTY 28-Apr-2026 50000 PE": "PE NFO",
    "NIFTY 28 Apr 2026 CE 22500.00": "CE NFO",  # 5paisa
    "OPTIDX_NIFTY_28-Apr-2026_CE_22500": "CE NFO",  # NSE
    "OPTSTK RELIANCE 28APR2026 PE 1400": "PE NFO",
    "NIFTY 2026-04-28 22500 CE": "CE NFO",
    "NSE:NIFTY26APR22500CE": "CE NFO",
    "NIFTY26APR22500CE.NFO": "CE NFO",
    "SENSEX 82000 CE 30 APR 26": "CE BFO",
    "CALL 10924290": "CE NFO",
    "PUT 10932226": "PE NFO",
    # indices
    "NIFTY 50": "INDEX NSE",
    "Nifty 50": "INDEX NSE",
    "NIFTY_50": "INDEX NSE",
    "NIFTY50": "INDEX NSE",
    "NIFTY": "INDEX NSE",
    "NSE:NIFTY50-INDEX": "INDEX NSE",
    "NSE_INDEX|Nifty Bank": "INDEX NSE",
    "^NSEI": "INDEX NSE",
    "^NSEBANK": "INDEX NSE",
    "^BSESN": "INDEX BSE",
    "BANKNIFTY": "INDEX NSE",
    "NIFTY BANK": "INDEX NSE",
    "FINNIFTY": "INDEX NSE",
    "NIFTY FIN SERVICE": "INDEX NSE",
    "MIDCPNIFTY": "INDEX NSE",
    "NIFTY MID SELECT": "INDEX NSE",
    "NIFTY NEXT 50": "INDEX NSE",
    "NIFTYNXT50": "INDEX NSE",
    "NIFTY MIDCAP 150": "INDEX NSE",
    "NIFTY50 EQL WGT": "INDEX NSE",
    "NIFTYIT": "INDEX NSE",
    "CNXIT": "INDEX NSE",
    "INDIA VIX": "INDEX NSE",
    "INDIAVIX": "INDEX NSE",
    "SENSEX": "INDEX BSE",
    "BSE:SENSEX": "INDEX BSE",
    "S&P BSE SENSEX": "INDEX BSE",
    "BANKEX": "INDEX BSE",
    # shares and funds, some of which look like something else
    "RELIANCE": "EQ NSE",
    "BAJFINANCE": "EQ NSE",
    "TCS.NS": "EQ NSE",
    "TCS.BO": "EQ BSE",
    "BSE:TCS": "EQ BSE",
    "NSE:TCS-EQ": "EQ NSE",
    "TCS_EQ": "EQ NSE",
    "BSE": "EQ NSE",  # the exchange's own share
    "MCX": "EQ NSE",
    "M&M": "EQ NSE",
    "BAJAJ-AUTO": "EQ NSE",
    "NAM-INDIA": "EQ NSE",
    "360ONE": "EQ NSE",
    "3MINDIA": "EQ NSE",
    "5PAISA": "EQ NSE",
    "20MICRONS": "EQ NSE",
    "63MOONS": "EQ NSE",
    "21STCENMGM": "EQ NSE",
    "INDIGO": "EQ NSE",
    "FUTURECON": "EQ NSE",
    "QUADFUTURE": "EQ NSE",
    "BFUTILITIE": "EQ NSE",
    "NIFTYBEES": "EQ NSE",
    "NIFTYETF": "EQ NSE",
    "NIFTY1": "EQ NSE",
    "BANKNIFTY1": "EQ NSE",
    "SETFNIF50": "EQ NSE",
    "NEXT50": "EQ NSE",
    "HDFCSENSEX": "EQ NSE",
    "SENSEXETF": "EQ NSE",
    "BSE500IETF": "EQ NSE",
    "GSEC10IETF": "EQ NSE",
    "MARUTI": "EQ NSE",
    "DECCANCE": "EQ NSE",
    "JUNIORBEES": "EQ NSE",
    "MAYURUNIQ": "EQ NSE",
    "TATA CONSULTANCY": "EQ NSE",
    "CENTRALBK-BE": "EQ NSE",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_tells_what_an_instrument_is_and_where_it_trades(name):
    kind = kind_of(name)
    assert f"{kind} {exchange_of(name, kind)}" == NAMES[name]


APRIL = dt.date(2026, 4, 28)


@pytest.mark.parametrize(
    ("name", "contract"),
    [
        ("NIFTY26APRFUT", Contract("NIFTY", "FUT", None, (2026, 4))),
        ("NIFTY28APR26FUT", Contract("NIFTY", "FUT", APRIL)),
        ("NIFTYJ2026", Contract("NIFTY", "FUT", None, (2026, 4))),
        ("NIFTY-I", Contract("NIFTY", "FUT")),
        ("NIFTY APR FUT", Contract("NIFTY", "FUT")),
        ("BAJAJ-AUTO APR FUT", Contract("BAJAJ-AUTO", "FUT")),
        ("FUTIDX_NIFTY_28-Apr-2026", Contract("NIFTY", "FUT", APRIL)),
        ("NIFTY2640722500CE", Contract("NIFTY", "CE", dt.date(2026, 4, 7), None, Decimal(22500))),
        ("NIFTY26O0622500PE", Contract("NIFTY", "PE", dt.date(2026, 10, 6), None, Decimal(22500))),
        ("NIFTY26APR22500CE", Contract("NIFTY", "CE", None, (2026, 4), Decimal(22500))),
        ("RELIANCE26APR1402.5PE", Contract("RELIANCE", "PE", None, (2026, 4), Decimal("1402.5"))),
        ("NIFTY28APR2622500CE", Contract("NIFTY", "CE", APRIL, None, Decimal(22500))),
        ("NIFTY260428P22500", Contract("NIFTY", "PE", APRIL, None, Decimal(22500))),
        ("NIFTY28APR26C22500", Contract("NIFTY", "CE", APRIL, None, Decimal(22500))),
        ("NIFTY 22500 CE 28 APR 26", Contract("NIFTY", "CE", APRIL, None, Decimal(22500))),
        ("BANKNIFTY 28-Apr-2026 50000 PE", Contract("BANKNIFTY", "PE", APRIL, None, Decimal(50000))),
        ("NIFTY 28 Apr 2026 CE 22500.00", Contract("NIFTY", "CE", APRIL, None, Decimal(22500))),
        ("OPTIDX_NIFTY_28-Apr-2026_CE_22500", Contract("NIFTY", "CE", APRIL, None, Decimal(22500))),
        ("NIFTY-Apr2026-22500-PE", Contract("NIFTY", "PE", None, (2026, 4), Decimal(22500))),
        ("NIFTY 28 APR 22500 CALL", Contract("NIFTY", "CE", None, None, Decimal(22500))),
        ("NIFTY 2026-04-28 22500 CE", Contract("NIFTY", "CE", APRIL, None, Decimal(22500))),
        ("NIFTY 28 April 2026 22500 CE", Contract("NIFTY", "CE", APRIL, None, Decimal(22500))),
        ("NIFTY 22500 CE", Contract("NIFTY", "CE", None, None, Decimal(22500))),
        ("M&M28APR263000CE", Contract("M&M", "CE", APRIL, None, Decimal(3000))),
    ],
)  # fmt: skip
def test_the_name_of_a_derivative_tells_its_contract(name, contract):
    assert contracts(name)[0] == contract


def test_a_name_that_two_brokers_read_differently_has_both_readings():
    assert {str(c.strike) for c in contracts("RELIANCE26APR24780CE")} == {"24780", "780"}


def test_spellings_of_one_contract_agree_and_those_of_another_strike_or_month_do_not():
    [kite], openalgo = contracts("NIFTY26APRFUT"), contracts("NIFTY28APR26FUT")[0]
    assert kite.agrees(openalgo)
    assert not kite.agrees(contracts("NIFTY26MAY26FUT")[0])
    assert not contracts("NIFTY 22500 CE")[0].agrees(contracts("NIFTY 22600 CE")[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nifty 50", "NIFTY_50"), ("NSE:NIFTY50-INDEX", "NIFTY 50"), ("TCS.NS", "TCS"), ("NSE:TCS-EQ", "tcs"),
        ("NIFTY26APRFUT.NFO", "NIFTY26APRFUT"),
    ],
)  # fmt: skip
def test_two_spellings_of_one_symbol_are_the_same_name(one, other):
    assert same_name(one) == same_name(other)


@pytest.mark.parametrize("name", ["NAM-INDIA", "BAJAJ-AUTO", "M&M", "CENTRALBK-BE", "NIFTY BANK"])
def test_a_symbol_keeps_its_own_hyphens_and_signs(name):
    assert plain_name(name) == name
