"""Whose prices a recording holds: lists of instruments of every maker, columns of derivatives, folders with other files."""

import pytest

from connectors.errors import DataError
from connectors.recorded.reading import read
from functions.events import InstrumentConfig
from tests.integration.test_recorded import Write, reports, told, write

__all__ = ["Write", "write"]

KITE = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange",
    "2953217,11536,TCS,TATA CONSULTANCY SERV,0,,0,0.1,1,EQ,NSE,NSE",
    "136330244,532540,TCS,TATA CONSULTANCY SERVICES,0,,0,0.05,1,EQ,BSE,BSE",
    "256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE",
    "14866434,58072,NIFTY26APRFUT,NIFTY,0,2026-04-28,0,0.1,65,FUT,NFO-FUT,NFO",
    "14866690,58073,TCS26APRFUT,TCS,0,2026-04-28,0,0.1,175,FUT,NFO-FUT,NFO",
    "10888962,42535,NIFTY26APR22500CE,NIFTY,0,2026-04-28,22500,0.05,65,CE,NFO-OPT,NFO",
    "10889218,42536,NIFTY2640722500CE,NIFTY,0,2026-04-07,22500,0.05,65,CE,NFO-OPT,NFO",
    "287553285,1123255,SENSEX26APRFUT,SENSEX,0,2026-04-30,0,0.05,20,FUT,BFO-FUT,BFO",
    "115210247,450040,CRUDEOIL26APRFUT,CRUDEOIL,0,2026-04-20,0,1,100,FUT,MCX-FUT,MCX",
)


def ticks(write: Write, *symbols: str, name: str = "ticks.csv"):
    lines = [f"2026-04-01 10:00:0{n},{symbol},100.05" for n, symbol in enumerate(symbols)]
    return write("timestamp,symbol,ltp", *lines, name=name)


@pytest.mark.parametrize(
    ("symbol", "known"),
    [
        ("TCS", InstrumentConfig(2953217, "TCS", "NSE", "EQ", "0.10", 1, closing_auction=True)),
        ("TCS.BO", InstrumentConfig(136330244, "TCS", "BSE", "EQ", "0.05", 1)),
        ("Nifty 50", InstrumentConfig(256265, "NIFTY 50", "NSE", "INDEX", "0", 0)),
        ("NIFTY26APRFUT", InstrumentConfig(14866434, "NIFTY26APRFUT", "NFO", "FUT", "0.10", 65)),
        ("NIFTY28APR26FUT", InstrumentConfig(14866434, "NIFTY26APRFUT", "NFO", "FUT", "0.10", 65)),
        ("NIFTY FUT 28 APR 26", InstrumentConfig(14866434, "NIFTY26APRFUT", "NFO", "FUT", "0.10", 65)),
        ("NIFTY28APR2622500CE", InstrumentConfig(10888962, "NIFTY26APR22500CE", "NFO", "CE", "0.05", 65)),
        ("NIFTY 22500 CE 07 APR 26", InstrumentConfig(10889218, "NIFTY2640722500CE", "NFO", "CE", "0.05", 65)),
        ("SENSEX30APR26FUT", InstrumentConfig(287553285, "SENSEX26APRFUT", "BFO", "FUT", "0.05", 20)),
    ],
)
def test_every_column_of_a_kite_dump_counts_however_the_data_spell_a_symbol(write, symbol, known):
    assert read([write(*KITE, name="instruments.csv"), ticks(write, symbol)]).instruments == [known]


def test_an_option_without_its_expiry_fits_two_and_is_taken_for_neither(write):
    [known] = read([write(*KITE, name="instruments.csv"), ticks(write, "NIFTY 22500 CE")]).instruments
    assert (known.tradingsymbol, known.kind, known.lot_size) == ("NIFTY 22500 CE", "CE", 1)


def test_what_trades_elsewhere_is_refused(write):
    with pytest.raises(DataError, match="CRUDEOIL26APRFUT trades at MCX, which is none of NSE"):
        read([write(*KITE, name="instruments.csv"), ticks(write, "CRUDEOIL26APRFUT")])


LISTS = {
    "openalgo": (
        "symbol,brsymbol,name,exchange,brexchange,token,expiry,strike,lotsize,instrumenttype,tick_size",
        "NIFTY28APR26FUT,NIFTY26APRFUT,NIFTY,NFO,NFO,58072,28-APR-26,0,65,FUT,0.1",
        "NIFTY28APR2622500CE,NIFTY26APR22500CE,NIFTY,NFO,NFO,42535,28-APR-26,22500,65,CE,0.05",
        "NIFTY,NIFTY 50,NIFTY 50,NSE_INDEX,NSE,26000,,0,0,EQ,0",
        "TCS,TCS,TCS,NSE,NSE,11536,,0,1,EQ,0.1",
    ),
    "angel": (
        "token,symbol,name,expiry,strike,lotsize,instrumenttype,exch_seg,tick_size",
        "58072,NIFTY28APR26FUT,NIFTY,28APR2026,-1.000000,65,FUTIDX,NFO,10.000000",
        "42535,NIFTY28APR2622500CE,NIFTY,28APR2026,2250000.000000,65,OPTIDX,NFO,5.000000",
        "26000,Nifty 50,NIFTY,,0.000000,1,AMXIDX,NSE,0.000000",
        "11536,TCS-EQ,TCS,,-1.000000,1,,NSE,10.000000",
    ),
    "upstox": (
        "instrument_key,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,option_type,exchange",
        "NSE_FO|58072,58072,NIFTY26APRFUT,NIFTY,0,2026-04-28,0,0.1,65,FUTIDX,,NSE_FO",
        "NSE_FO|42535,42535,NIFTY26APR22500CE,NIFTY,0,2026-04-28,22500,0.05,65,OPTIDX,CE,NSE_FO",
        "NSE_INDEX|Nifty 50,26000,NIFTY 50,,0,,,,,INDEX,,NSE_INDEX",
        "NSE_EQ|INE467B01029,11536,TCS,TATA CONSULTANCY,0,,,0.1,1,EQUITY,,NSE_EQ",
    ),
    "dhan": (
        "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_EXPIRY_DATE,"
        "SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_SERIES,SM_SYMBOL_NAME",
        "NSE,D,58072,FUTIDX,NIFTY-Apr2026-FUT,65.0,2026-04-28 14:30:00,-0.01000,XX,10.0000,,NIFTY",
        "NSE,D,42535,OPTIDX,NIFTY-Apr2026-22500-CE,65.0,2026-04-28 14:30:00,22500.00000,CE,5.0000,,NIFTY",
        "NSE,I,26000,INDEX,NIFTY,1.0,,,,,,NIFTY",
        "NSE,E,11536,EQUITY,TCS,1.0,,,,10.0000,EQ,TATA CONSULTANCY",
    ),
}


@pytest.mark.parametrize("maker", LISTS)
@pytest.mark.parametrize(
    ("symbol", "facts"),
    [
        ("NIFTY28APR26FUT", ("NFO", "FUT", "0.10", 65)),
        ("NIFTY28APR2622500CE", ("NFO", "CE", "0.05", 65)),
        ("NIFTY 22500 CE 28 APR 26", ("NFO", "CE", "0.05", 65)),
        ("TCS", ("NSE", "EQ", "0.10", 1)),
    ],
)
def test_lists_of_other_makers_tell_the_same(write, maker, symbol, facts):
    [known] = read([write(*LISTS[maker], name="list.csv"), ticks(write, symbol)]).instruments
    assert (known.exchange, known.kind, known.tick_size, known.lot_size) == facts


@pytest.mark.parametrize(
    ("maker", "name"), [("openalgo", "NIFTY"), ("angel", "Nifty 50"), ("upstox", "NIFTY 50"), ("dhan", "NIFTY")]
)
def test_an_index_of_any_list_is_not_traded(write, maker, name):
    [known] = read([write(*LISTS[maker], name="list.csv"), ticks(write, name)]).instruments
    assert (known.kind, known.tick_size, known.lot_size) == ("INDEX", "0", 0)


def test_a_list_of_nse_without_tokens_is_one(write):
    listed = write(
        "SYMBOL,NAME OF COMPANY, SERIES, DATE OF LISTING, PAID UP VALUE, MARKET LOT, ISIN NUMBER, FACE VALUE",
        "TCS,Tata Consultancy Services Limited,EQ,25-AUG-2004,1,1,INE467B01029,1",
        name="EQUITY_L.csv",
    )
    assert [(i.tradingsymbol, i.kind, i.lot_size) for i in read([listed, ticks(write, "TCS")]).instruments] == [
        ("TCS", "EQ", 1)
    ]


def test_a_share_that_is_listed_with_a_lot_is_no_index_whatever_it_is_called(write):
    listed = write("symbol,token,lot_size,tick_size,instrument_type", "SENSEX,1,1,0.01,EQ", name="list.csv")
    [known] = read([listed, ticks(write, "SENSEX")]).instruments
    assert (known.kind, known.tick_size) == ("EQ", "0.01")


def test_a_token_in_the_name_of_a_file_finds_the_list(write):
    listed = write(*KITE, name="instruments.csv")
    data = write("timestamp,ltp", "2026-04-01 10:00:00,22000.05", name="ticks_FUT_14866434_20260401.csv")
    assert [i.tradingsymbol for i in read([listed, data]).instruments] == ["NIFTY26APRFUT"]


# --- columns that tell a contract -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "cells", "known"),
    [
        ("symbol,expiry,strike,option_type", "NIFTY,2026-04-28,22500,CE", ("NIFTY 22500 CE 28 APR 26", "NFO", "CE")),
        (
            "stock_code,exchange_code,expiry_date,right,strike_price",
            "NIFTY,NFO,28-Apr-2026,Put,22500",
            ("NIFTY 22500 PE 28 APR 26", "NFO", "PE"),
        ),
        (
            "INSTRUMENT,SYMBOL,EXPIRY_DT,STRIKE_PR,OPTION_TYP",
            "FUTIDX,NIFTY,28-Apr-2026,0,XX",
            ("NIFTY FUT 28 APR 26", "NFO", "FUT"),
        ),
        (
            "FinInstrmTp,TckrSymb,XpryDt,StrkPric,OptnTp",
            "IDO,NIFTY,2026-04-28,22500.00,CE",
            ("NIFTY 22500 CE 28 APR 26", "NFO", "CE"),
        ),
        ("FinInstrmTp,TckrSymb,SctySrs,XpryDt,StrkPric,OptnTp", "STK,TCS,EQ,,,", ("TCS", "NSE", "EQ")),
        ("symbol,series", "TCS,BE", ("TCS-BE", "NSE", "EQ")),
        ("symbol,exchange", "TCS,BSE", ("TCS", "BSE", "EQ")),
        ("exchange,symbol", "NSE_INDEX,NIFTY", ("NIFTY", "NSE", "INDEX")),
        ("underlying,expiry,strike,right", "SENSEX,30-04-2026,82000,CALL", ("SENSEX 82000 CE 30 APR 26", "BFO", "CE")),
    ],
)
def test_columns_beside_the_symbol_tell_the_contract(write, header, cells, known):
    path = write(
        f"timestamp;ltp;{header.replace(',', ';')}",
        f"2026-04-01 10:00:00;100.05;{cells.replace(',', ';')}",
        name="all.csv",
    )
    assert [(i.tradingsymbol, i.exchange, i.kind) for i in read([path]).instruments] == [known]


def test_rows_of_two_strikes_are_two_instruments(write):
    path = write(
        "timestamp,symbol,expiry,strike,option_type,ltp",
        "2026-04-01 10:00:00,NIFTY,2026-04-28,22500,CE,100.05",
        "2026-04-01 10:00:00,NIFTY,2026-04-28,22600,CE,50.05",
        "2026-04-01 10:00:00,NIFTY,,,,22400.05",
        name="chain.csv",
    )
    assert told(read([path]), "price") == [
        ("NIFTY 22500 CE 28 APR 26", 100.05),
        ("NIFTY 22600 CE 28 APR 26", 50.05),
        ("NIFTY", 22400.05),
    ]


def test_a_column_called_instrument_or_name_may_hold_symbols(write):
    for column in ("Instrument", "Name"):
        path = write(
            f"{column},timestamp,ltp", "TCS,2026-04-01 10:00:00,1.05", "SBIN,2026-04-01 10:00:00,2.05", name="all.csv"
        )
        assert told(read([path]), "price") == [("TCS", 1.05), ("SBIN", 2.05)]


def test_one_symbol_at_two_exchanges_is_two_instruments(write):
    path = ticks(write, "TCS.NS", "TCS.BO")
    assert [(i.tradingsymbol, i.exchange) for i in read([path]).instruments] == [("TCS", "NSE"), ("TCS", "BSE")]


# --- folders ----------------------------------------------------------------------------------------------------------------

FOREIGN = {
    "orders.csv": "order_timestamp,tradingsymbol,transaction_type,quantity,price\n2026-04-01 10:00:00,TCS,BUY,1,100\n",
    "trades.csv": "trade_id,order_id,timestamp,symbol,price,quantity\n1,2,2026-04-01 10:00:00,TCS,100,1\n",
    "pnl.csv": "date,symbol,realised_pnl\n2026-04-01,TCS,100\n",
    "notes.csv": "remember to buy milk\nand bread\n",
    "notes.txt": "remember to buy milk\n",
    "report.csv": "metric,value\nsharpe,1.2\n",
    "weights.csv": "symbol,weight\nTCS,0.5\n",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_market_data_in_a_folder_is_named_and_passed_over(write, name):
    path = ticks(write, "TCS", name="folder/TCS.csv")
    (path.parent / name).write_text(FOREIGN[name])
    recording = read([path.parent])
    assert told(recording, "price") == [("TCS", 100.05)]
    count, detail = reports(recording)["passed_over", ""]
    assert (count, detail.startswith("passed over: "), name in detail) == (1, True, True)


@pytest.mark.parametrize("name", FOREIGN)
def test_named_by_itself_it_is_refused(write, name):
    path = write(FOREIGN[name], name=name)
    with pytest.raises(DataError, match=name) as refused:
        read([path])
    assert refused.value.remedy


def test_hidden_files_of_other_systems_are_no_recordings(write):
    path = ticks(write, "TCS", name="folder/TCS.csv")
    for name in ("._TCS.csv", ".hidden.csv", "~$TCS.csv", "__MACOSX/TCS.csv", ".ipynb_checkpoints/TCS-checkpoint.csv"):
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_bytes(b"\x00\x05\x16\x07\x00")
    recording = read([path.parent])
    assert told(recording, "price") == [("TCS", 100.05)]
    assert ("passed_over", "") not in reports(recording)


def test_a_folder_without_market_data_is_refused(write):
    path = write(FOREIGN["orders.csv"], name="folder/orders.csv")
    with pytest.raises(
        DataError, match=r"holds no market data; passed over: .*orders.csv is a list of orders or trades"
    ):
        read([path.parent])


def test_market_data_that_lacks_a_column_is_not_passed_over(write):
    path = ticks(write, "TCS", name="folder/TCS.csv")
    (path.parent / "SBIN.csv").write_text("timestamp,open,high,low\n2026-04-01 10:00:00,1,1,1\n")
    with pytest.raises(DataError, match=r"SBIN\.csv has no column for a price"):
        read([path.parent])


def test_partitions_are_named_by_their_folders(write):
    for symbol in ("TCS", "M&M"):
        path = write(
            "timestamp,ltp", "2026-04-01 10:00:00,1.05", name=f"all/symbol={symbol}/date=2026-04-01/part-0.csv"
        )
    assert [i.tradingsymbol for i in read([path.parents[2]]).instruments] == ["M&M", "TCS"]


# --- nights -----------------------------------------------------------------------------------------------------------------


def test_a_split_over_night_is_reported_and_nothing_is_adjusted(write):
    lines = ["2026-04-01 15:29:00,TCS,1000.05", "2026-04-02 09:15:00,TCS,201.05", "2026-04-02 09:15:00,SBIN,800.05"]
    recording = read([write("timestamp,symbol,ltp", *lines, name="all.csv")])
    assert recording.ticks["price"].tolist() == [1000.05, 201.05, 800.05]
    detail = (
        "TCS goes from 1,000.05 to 201.05 over the night to 2026-04-02, 5 to 1: a split or bonus? Nothing is adjusted"
    )
    assert reports(recording)["suspected_split", "TCS"] == (1, detail)


def test_an_option_may_lose_half_its_price_over_night(write):
    lines = ["2026-04-01 15:29:00,100.05", "2026-04-02 09:15:00,50.05"]
    recording = read([write("timestamp,ltp", *lines, name="NIFTY26APR22500CE.csv")])
    assert not [report for report in recording.reports if report.kind == "suspected_split"]


def test_ticks_behind_the_expiry_that_a_list_tells_are_reported(write):
    lines = ["2026-04-07 15:29:00,100.05", "2026-04-08 09:15:00,100.05"]
    data = write("timestamp,ltp", *lines, name="NIFTY2640722500CE.csv")
    found = reports(read([write(*KITE, name="instruments.csv"), data]))
    assert found["after_expiry", "NIFTY2640722500CE"] == (
        1, "1 ticks of NIFTY2640722500CE lie behind its expiry, 2026-04-07",
    )  # fmt: skip
