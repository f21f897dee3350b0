"""Names of files: which instrument they are about, as people and tools name what they record."""

import pytest

from functions.file_names import read_name, symbol_of

NAMES = {
    # a day in the name: the same instrument on another day
    "TCS_2026-04-01.csv": "TCS",
    "TCS_2026-04-02.csv": "TCS",
    "TCS-2026-04-01.csv": "TCS",
    "TCS 01-04-2026.csv": "TCS",
    "TCS_20260401.csv": "TCS",
    "20260401_TCS.csv": "TCS",
    "2026-04-01_TCS.parquet": "TCS",
    "2026-04-01 TCS.csv": "TCS",
    "TCS_01APR2026.csv.gz": "TCS",
    "TCS_1-Apr-2026.csv": "TCS",
    "TCS_2026-04.csv": "TCS",
    "TCS_APR2026.csv": "TCS",
    "TCS_from_2026-04-01_to_2026-04-30.csv": "TCS",
    "TCS_2026-04-01_2026-04-30.csv": "TCS",
    "TCS_2026_04_01.csv": "TCS",
    "TCS.2026-04-01.csv": "TCS",
    "TCS_2026-04-01T09-15-00.csv": "TCS",
    "M&M_2026-04-01.csv": "M&M",
    "BAJAJ-AUTO-2026-04-01.csv": "BAJAJ-AUTO",
    "BAJAJ-AUTO_20260401.csv": "BAJAJ-AUTO",
    "NIFTY 50_2026-04-01.csv": "NIFTY 50",
    "NIFTY_50_2026-04-01.csv": "NIFTY 50",
    "NIFTY 50-01-04-2026-to-30-04-2026.csv": "NIFTY 50",
    "360ONE_2026-04-01.csv": "360ONE",
    "3MINDIA_1min.csv": "3MINDIA",
    # words that say what the file is
    "RELIANCE.csv": "RELIANCE",
    "reliance.csv": "RELIANCE",
    "RELIANCE.csv.gz": "RELIANCE",
    "RELIANCE_1min.csv": "RELIANCE",
    "RELIANCE-5m.csv": "RELIANCE",
    "RELIANCE_minute.csv": "RELIANCE",
    "RELIANCE_15minute_2026-04-01.csv": "RELIANCE",
    "RELIANCE 1 min.csv": "RELIANCE",
    "NIFTY 50 5 min.csv": "NIFTY 50",
    "nse_RELIANCE_ohlcv.csv": "RELIANCE",
    "ticks_RELIANCE.csv": "RELIANCE",
    "RELIANCE (1).csv": "RELIANCE",
    "Copy of RELIANCE.csv": "RELIANCE",
    "Reliance Historical Data.csv": "RELIANCE",
    "TCS.NS.csv": "TCS.NS",
    "TCS.NS_1m.csv": "TCS.NS",
    "^NSEI.csv": "^NSEI",
    "NSE_TCS, 5.csv": "TCS",
    "NSE_DLY_TCS, 15_a1b2c.csv": "TCS",
    "NSE_NIFTY, 1.csv": "NIFTY",
    "NSE_BAJAJ_AUTO, 1.csv": "BAJAJ AUTO",
    "NIFTY50.csv": "NIFTY50",
    "NIFTYBEES.csv": "NIFTYBEES",
    # derivatives keep the date of their expiry
    "NIFTY26APRFUT.csv": "NIFTY26APRFUT",
    "NIFTY28APR26FUT.csv": "NIFTY28APR26FUT",
    "NIFTY26APRFUT_2026-04-01.csv": "NIFTY26APRFUT",
    "NIFTY26APRFUT_20260401.csv": "NIFTY26APRFUT",
    "NIFTY2640722500CE_2026-04-01.csv": "NIFTY2640722500CE",
    "ticks_NIFTY2640722500CE_20260401.csv": "NIFTY2640722500CE",
    "NIFTY 22500 CE 28 APR 26.csv": "NIFTY 22500 CE 28 APR 26",
    "NIFTY 22500 CE 28 APR 26_2026-04-01.csv": "NIFTY 22500 CE 28 APR 26",
    "NIFTY 22500 CE.csv": "NIFTY 22500 CE",
    "NIFTY_22500_CE_2026-04-01.csv": "NIFTY 22500 CE",
    "NIFTY_2026-04-28_22500_CE.csv": "NIFTY 2026-04-28 22500 CE",
    "NIFTY_2026-04-28_22500_CE_2026-04-01.csv": "NIFTY 2026-04-28 22500 CE",
    "BANKNIFTY 28-Apr-2026 50000 PE.csv": "BANKNIFTY 28-APR-2026 50000 PE",
    "NIFTY-I.NFO.csv": "NIFTY-I.NFO",
    "NIFTY-I_2026-04-01.csv": "NIFTY-I",
    "NIFTY_F1.csv": "NIFTY F1",
    "NIFTY APR FUT.csv": "NIFTY APR FUT",
    "RELIANCE26APR1402.5CE.csv": "RELIANCE26APR1402.5CE",
    "kiteconnect_nifty_futures_ticks.csv": "NIFTY FUTURES",
    # no instrument
    "2026-04-01.csv": "",
    "ticks_2026-04-01.csv": "",
    "data.csv": "",
    "ticks.csv": "",
    "01042026.csv": "",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_file_tells_its_instrument(name):
    assert read_name(name).symbol == NAMES[name]


def test_the_token_of_an_instrument_may_stand_in_the_name():
    assert read_name("ticks_NIFTY50_256265_20251008.csv") == ("NIFTY50", 256265)
    assert read_name("ticks_CALL_10924290_10924290_20251008.csv") == ("CALL 10924290", 10924290)
    assert read_name("TCS_20260401.csv").token is None


def test_files_named_by_their_day_belong_to_the_instrument_of_their_folder():
    assert symbol_of("2026-04-01.csv", folder="TCS") == "TCS"
    assert symbol_of("2026-04-01.csv", folder="symbol=M&M") == "M&M"
    assert symbol_of("TCS.csv", folder="NIFTY50") == "TCS"


def test_a_folder_that_is_no_instrument_gives_no_name():
    assert symbol_of("2026-04-01.csv", folder="downloads") == "2026-04-01"
    assert symbol_of("ticks.csv", folder="DATA") == "TICKS"
