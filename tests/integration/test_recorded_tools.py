"""Files in the shapes of public tools, with prices of our own: each is read, or refused in words that tell the remedy."""

import datetime as dt
from pathlib import Path

import pytest

from connectors.errors import DataError
from connectors.recorded.options import reading_options
from connectors.recorded.reading import Recording, read
from functions.calendar import INDIA, SECOND
from tests.integration.test_recorded import Write, at, parquet, write

__all__ = ["Write", "write"]
MINUTES = [dt.datetime(2026, 4, 22, 9, 15 + n, tzinfo=INDIA) for n in range(3)]
PRICES = [(1000.05 + n, 1001.5 + n, 999.1 + n, 1000.9 + n, 1_200 + n) for n in range(3)]
BARS = [(time, *prices) for time, prices in zip(MINUTES, PRICES, strict=True)]


def lines(form: str, time_format: str = "%Y-%m-%d %H:%M:%S") -> list[str]:
    """A line for each of three bars; `form` places t, o, h, l, c and v."""
    return [
        form.format(t=t.strftime(time_format), o=o, h=h, l=low, c=c, v=v, s=int(t.timestamp()))
        for t, o, h, low, c, v in BARS
    ]


def opens(recording: Recording) -> list[tuple[str, str, float, int]]:
    """Symbol, India's time, price and volume of the day at the opening prints, the volume that of the bars before."""
    names = [i.tradingsymbol for i in recording.instruments]
    return [
        (
            names[t["instrument"]],
            f"{dt.datetime.fromtimestamp(int(t['time']) // SECOND, INDIA):%H:%M:%S}",
            t["price"].item(),
            t["volume"].item(),
        )
        for t in recording.ticks[::2]
    ]


def expected(symbol: str, volume: bool = True) -> list[tuple[str, str, float, int]]:
    before = [0, 1_200, 2_401] if volume else [0, 0, 0]
    return [(symbol, f"{t:%H:%M:%S}", o, v) for (t, o, *_), v in zip(BARS, before, strict=True)]


def test_yfinance_of_one_ticker_and_its_header_of_three_lines(write):
    path = write(
        "Price,Close,High,Low,Open,Volume", "Ticker,TCS.NS,TCS.NS,TCS.NS,TCS.NS,TCS.NS", "Datetime,,,,,",
        *lines("{t}+05:30,{c},{h},{l},{o},{v}"), name="download.csv",
    )  # fmt: skip
    recording = read([path])
    assert opens(recording) == expected("TCS")
    assert recording.instruments[0].exchange == "NSE"


def test_yfinance_of_before_and_its_header_of_one_line(write):
    path = write(
        "Datetime,Open,High,Low,Close,Adj Close,Volume", *lines("{t}+05:30,{o},{h},{l},{c},{c},{v}"), name="^NSEI.csv"
    )
    assert opens(read([path])) == expected("NSEI")
    assert read([path]).instruments[0].kind == "INDEX"


def test_yfinance_in_utc(write):
    rows = [f"2026-04-22 03:4{n}:00+00:00,{o},{h},{low},{c},{v}" for n, (o, h, low, c, v) in enumerate(PRICES, start=5)]
    assert opens(read([write("Datetime,Open,High,Low,Close,Volume", *rows, name="TCS.NS.csv")])) == expected("TCS")


def test_yfinance_of_several_tickers_side_by_side_is_refused(write):
    path = write(
        "Price,Close,Close,Open,Open", "Ticker,INFY.NS,TCS.NS,INFY.NS,TCS.NS", "Datetime,,,,",
        *lines("{t}+05:30,{c},{c},{o},{o}"), name="download.csv",
    )  # fmt: skip
    with pytest.raises(DataError, match=r"has several tickers side by side: INFY\.NS, TCS\.NS") as refused:
        read([path])
    assert "stack" in refused.value.remedy


def test_pandas_with_its_index_in_csv(write):
    path = write(",open,high,low,close,volume", *lines("{t}+05:30,{o},{h},{l},{c},{v}"), name="TCS.csv")
    assert opens(read([path])) == expected("TCS")


def test_pandas_with_row_numbers(write):
    rows = [f"{n},{line}" for n, line in enumerate(lines("{t},{o},{h},{l},{c},{v}"))]
    assert opens(read([write(",date,open,high,low,close,volume", *rows, name="TCS.csv")])) == expected("TCS")


def test_polars_csv(write):
    path = write(
        "timestamp,open,high,low,close,volume",
        *lines("{t}.000000+0530,{o},{h},{l},{c},{v}", "%Y-%m-%dT%H:%M:%S"),
        name="TCS.csv",
    )
    assert opens(read([path])) == expected("TCS")


def test_duckdb_copies(tmp_path):
    values = ", ".join(f"(TIMESTAMPTZ '{t}', {o}, {h}, {low}, {c}, {v})" for t, o, h, low, c, v in BARS)
    select = f"SELECT * FROM (VALUES {values}) AS t(timestamp, open, high, low, close, volume)"
    assert opens(read([parquet(tmp_path / "TCS.parquet", select)])) == expected("TCS")


@pytest.mark.parametrize("time", ["{t}+05:30", "{s}"])
def test_tradingview_with_plots_beside_the_bars(write, time):
    path = write(
        "time,open,high,low,close,EMA,Volume,Volume MA",
        *lines(time + ",{o},{h},{l},{c},1,{v},2", "%Y-%m-%dT%H:%M:%S"),
        name="NSE_TCS, 1.csv",
    )
    assert opens(read([path])) == expected("TCS")


def test_investing_com_has_bars_of_a_day(write):
    path = write(
        '"Date","Price","Open","High","Low","Vol.","Change %"',
        '"04/22/2026","1,000.90","1,000.05","1,001.50","999.10","1.20M","0.09%"',
        '"04/21/2026","1,000.90","1,000.05","1,001.50","999.10","950.00K","0.09%"',
        name="Tata Consultancy Historical Data.csv",
    )  # fmt: skip
    with pytest.raises(DataError, match="has days without a time of day") as refused:
        read([path])
    assert "one minute" in refused.value.remedy


OLD_SHARES = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,"
OLD_DERIVATIVES = (
    "INSTRUMENT,SYMBOL,EXPIRY_DT,STRIKE_PR,OPTION_TYP,OPEN,HIGH,LOW,CLOSE,SETTLE_PR,CONTRACTS,VAL_INLAKH,OPEN_INT,"
    "CHG_IN_OI,TIMESTAMP,"
)
UDIFF = (
    "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,FinInstrmNm,"
    "OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,ChngInOpnIntrst,TtlTradgVol,TtlTrfVal,"
    "TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks,Rsvd1,Rsvd2,Rsvd3,Rsvd4"
)


@pytest.mark.parametrize(
    "shape",
    [
        (OLD_SHARES, "TCS,EQ,1000.05,1001.5,999.1,1000.9,1000.9,1000,1200,1200000,22-APR-2026,10,INE467B01029,"),
        (OLD_DERIVATIVES, "FUTIDX,NIFTY,28-Apr-2026,0,XX,22000,22010,21990,22005,22005,10,1,650,0,22-APR-2026,"),
        (
            UDIFF,
            "2026-04-22,2026-04-22,FO,NSE,IDO,42535,,NIFTY,,2026-04-28,2026-04-28,22500.00,CE,NIFTY26APR22500CE,100.00,101.00,99.00,"
            "100.50,100.50,99.00,22400.00,100.50,650,0,1300,1,1,F1,65,,,,,",
        ),
        (
            "Date,series,OPEN,HIGH,LOW,PREV. CLOSE,ltp,close,vwap,52W H,52W L,VOLUME,VALUE,No of trades",
            "22-Apr-2026,EQ,1,2,1,1,1,1,1,1,1,1,1,1",
        ),
        (
            "DATE,SERIES,OPEN,HIGH,LOW,PREV. CLOSE,LTP,CLOSE,VWAP,52W H,52W L,VOLUME,VALUE,NO OF TRADES,SYMBOL",
            "2026-04-22,EQ,1,2,1,1,1,1,1,1,1,1,1,1,TCS",
        ),
        (
            "Date,Symbol,Series,Prev Close,Open,High,Low,Last,Close,VWAP,Volume,Turnover",
            "2026-04-22,TCS,EQ,1,1,2,1,1,1,1,100,100",
        ),
    ],
    ids=["bhavcopy of shares", "bhavcopy of derivatives", "UDiFF", "nse.com", "jugaad-data", "nsepy"],
)  # fmt: skip
def test_what_exchanges_publish_of_a_day_is_refused_as_such(write, shape):
    with pytest.raises(DataError, match="has days without a time of day") as refused:
        read([write(*shape, name="of_a_day.csv")])
    assert "one minute" in refused.value.remedy


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S+0530", "%Y-%m-%d %H:%M:%S+05:30"])
def test_kite_history(write, form):
    path = write("date,open,high,low,close,volume,oi", *lines("{t},{o},{h},{l},{c},{v},0", form), name="TCS_minute.csv")
    assert opens(read([path])) == expected("TCS")


@pytest.mark.parametrize("time", ["{t}+05:30", "{s}"])
def test_openalgo_history(write, time):
    path = write(
        "symbol,exchange,timestamp,open,high,low,close,volume,oi",
        *lines("TCS,NSE," + time + ",{o},{h},{l},{c},{v},0"),
        name="history.csv",
    )
    assert opens(read([path])) == expected("TCS")


def test_openalgo_of_an_index(write):
    path = write(
        "symbol,exchange,timestamp,open,high,low,close,volume",
        *lines("NIFTY,NSE_INDEX,{t},{o},{h},{l},{c},0"),
        name="history.csv",
    )
    assert [(i.tradingsymbol, i.kind) for i in read([path]).instruments] == [("NIFTY", "INDEX")]


def test_amibroker_with_and_without_a_header(write):
    with_header = write(
        "Ticker,Date/Time,Open,High,Low,Close,Volume,Open Int.",
        *lines("TCS,{t},{o},{h},{l},{c},{v},0", "%d-%m-%Y %H:%M:%S"),
        name="a.csv",
    )
    assert opens(read([with_header])) == expected("TCS")
    without = write(*lines("TCS,{t},{o},{h},{l},{c},{v},0", "%Y%m%d,%H:%M"), name="b.csv")
    with pytest.raises(DataError, match="has no header") as refused:
        read([without])
    assert "--columns" in refused.value.remedy
    order = reading_options(columns="symbol,date,time,open,high,low,close,volume,oi")
    assert opens(read([without], options=order)) == expected("TCS")


def test_metatrader(write):
    header = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"
    path = write(header, *lines("{t}\t{o}\t{h}\t{l}\t{c}\t7\t{v}\t1", "%Y.%m.%d\t%H:%M:%S"), name="TCS_M1.csv")
    assert opens(read([path])) == expected("TCS")


def test_metastock(write):
    header = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<O/I>"
    path = write(header, *lines("TCS,I,{t},{o},{h},{l},{c},{v},0", "%Y%m%d,%H%M%S"), name="all.txt")
    assert opens(read([path])) == expected("TCS")


def test_excel_with_indian_settings(write):
    path = write(
        "Share of MRF",
        "",
        "Date,Open,High,Low,Close,Volume",
        '22-04-2026 09:15,"₹1,32,000.05","₹1,32,100.00","₹1,31,990.00","₹1,32,050.00","1,200"',
        '22-04-2026 09:16,"₹1,32,050.00","₹1,32,100.00","₹1,31,990.00","₹1,32,060.00","1,201"',
        "",
        'Total,,,,,"2,401"',
        name="MRF.csv",
    )
    assert opens(read([path])) == [("MRF", "09:15:00", 132_000.05, 0), ("MRF", "09:16:00", 132_050.0, 1_200)]


def test_excel_with_twelve_hours(write):
    path = write("Date,Time,LTP", "22-04-2026,09:15:00 AM,1000.05", "22-04-2026,01:15:00 PM,1000.10", name="TCS.csv")
    assert read([path]).ticks["time"].tolist() == [at("2026-04-22 09:15:00"), at("2026-04-22 13:15:00")]


def test_truedata_ticks(write):
    path = write(
        "timestamp,symbol,ltp,volume,oi,bid,bid_qty,ask,ask_qty",
        "2026-04-22T09:15:01,NIFTY-I,22000.05,65,650,22000,65,22000.1,130",
        name="ticks.csv",
    )
    recording = read([path])
    assert [(i.tradingsymbol, i.kind, i.exchange) for i in recording.instruments] == [("NIFTY-I", "FUT", "NFO")]
    assert (
        recording.ticks[["price", "volume", "bid", "ask_quantity"]].tolist() == [(22000.05, 22000.0, 130, 65)]
        or recording.ticks["bid"][0] == 22000.0
    )


def test_globaldatafeeds_ticks_and_bars_that_end_with_a_second(write):
    header = "Ticker,Date,Time,LTP,BuyPrice,BuyQty,SellPrice,SellQty,LTQ,OpenInterest"
    ticks = write(
        header, "NIFTY-I.NFO,22/04/2026,09:15:01,22000.05,22000,65,22000.1,130,65,650", name="GFDLNFO_TICK_22042026.csv"
    )
    recording = read([ticks])
    assert [(i.tradingsymbol, i.kind) for i in recording.instruments] == [("NIFTY-I", "FUT")]
    assert [
        recording.ticks[0][name].item() for name in ("price", "bid", "ask", "bid_quantity", "open_interest", "volume")
    ] == [22000.05, 22000.0, 22000.1, 65, 650, 0]

    bars = write(
        "Ticker,Date,Time,Open,High,Low,Close,Volume",
        *lines("TCS.NSE,{t},{o},{h},{l},{c},{v}", "%d/%m/%Y,%H:%M:59"),
        name="GFDLCM_STOCK_22042026.csv",
    )
    with pytest.raises(DataError, match="their times seem to mark where bars end") as refused:
        read([bars])
    assert "--bar-time end" in refused.value.remedy
    assert opens(read([bars], options=reading_options(bar_time="end"))) == expected("TCS")


@pytest.mark.parametrize("zone", ["+05:30", ""])
def test_upstox_angel_and_dhan_history(write, zone):
    path = write(
        "timestamp,open,high,low,close,volume",
        *lines("{t}" + zone + ",{o},{h},{l},{c},{v}", "%Y-%m-%dT%H:%M:%S"),
        name="TCS-EQ.csv",
    )
    assert opens(read([path])) == expected("TCS")


def test_angels_stream_in_paise(write):
    path = write(
        "exchange_timestamp,token,last_traded_price,volume_trade_for_the_day",
        "1776832200123,11536,100005,1200",
        "1776832201123,11536,100010,1210",
        name="TCS.csv",
    )
    with pytest.raises(DataError, match="seem to be paise") as refused:
        read([path])
    assert "--unit paise" in refused.value.remedy
    assert read([path], options=reading_options(unit="paise")).ticks["price"].tolist() == [1000.05, 1000.1]


def test_icici_breeze_options(write):
    header = (
        "datetime,stock_code,exchange_code,product_type,expiry_date,right,strike_price,open,high,low,close,volume,count"
    )
    path = write(
        header, *lines("{t},NIFTY,NFO,Options,28-APR-2026,Call,22500,{o},{h},{l},{c},{v},1"), name="option.csv"
    )
    assert opens(read([path])) == expected("NIFTY 22500 CE 28 APR 26")


def test_fyers_history(write):
    path = write(
        "symbol,date,open,high,low,close,volume", *lines("NSE:TCS-EQ,{s},{o},{h},{l},{c},{v}"), name="fyers.csv"
    )
    assert opens(read([path])) == expected("TCS")


def test_shoonya_history(write):
    path = write(
        "stat,time,ssboe,into,inth,intl,intc,intvwap,intv,intoi,v,oi",
        *lines("Ok,{t},{s},{o},{h},{l},{c},{o},{v},0,{v},0", "%d-%m-%Y %H:%M:%S"),
        name="TCS.csv",
    )
    assert opens(read([path])) == expected("TCS")


def test_kites_web_chart_writes_dates_as_a_browser_does(write):
    rows = lines('"{t} GMT+0530 (India Standard Time)",{o},{h},{l},{c},{v}', "%a %b %d %Y %H:%M:%S")
    assert opens(read([write("Date,Open,High,Low,Close,Volume", *rows, name="TCS.csv")])) == expected("TCS")


def test_interactive_brokers_names_the_zone(write):
    rows = lines("{t} Asia/Kolkata,{o},{h},{l},{c},{v},{c},3", "%Y%m%d %H:%M:%S")
    path = write("date,open,high,low,close,volume,average,barCount", *rows, name="TCS.csv")
    assert opens(read([path])) == expected("TCS")


def test_alpha_vantage_numbers_the_names_of_its_columns(write):
    rows = lines("{t},{o},{h},{l},{c},{v}")
    path = write("date,1. open,2. high,3. low,4. close,5. volume", *rows, name="intraday_1min_TCS.BSE.csv")
    assert opens(read([path])) == expected("TCS")
    assert read([path]).instruments[0].exchange == "BSE"
    backwards = write("timestamp,open,high,low,close,volume", *reversed(rows), name="TCS.csv")
    with pytest.raises(DataError, match="is out of order") as refused:
        read([backwards])
    assert "--sort" in refused.value.remedy
    assert opens(read([backwards], options=reading_options(sort=True))) == expected("TCS")


def test_binance_klines(write):
    header = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_quote,ignore"
    rows = lines("{s}000,{o},{h},{l},{c},{v},{s}999,1.5,1,2,3.5,0")
    assert opens(read([write(header, *rows, name="TCS-1m.csv")])) == expected("TCS")
    headless = write(*rows, name="TCS-1m.csv")
    with pytest.raises(DataError, match="has no header") as refused:
        read([headless])
    assert "--columns" in refused.value.remedy
    order = "time,open,high,low,close,volume,-,-,-,-,-,-"
    assert opens(read([headless], options=reading_options(columns=order))) == expected("TCS")


@pytest.mark.parametrize(("row_numbers", "order"), [(False, ""), (True, "-,")])
def test_a_list_of_lists_written_by_pandas(write, row_numbers, order):
    rows = [f"{n}," * row_numbers + line for n, line in enumerate(lines("{t}+05:30,{o},{h},{l},{c},{v}"))]
    path = write("," * row_numbers + "0,1,2,3,4,5", *rows, name="TCS.csv")
    with pytest.raises(DataError, match="has numbers for the names of its columns") as refused:
        read([path])
    assert "--columns time,open" in refused.value.remedy
    options = reading_options(columns=f"{order}time,open,high,low,close,volume")
    assert opens(read([path], options=options)) == expected("TCS")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_metatrader_ticks_that_only_quote_are_left_out_and_reported(write, tmp_path, suffix):
    path = write(
        "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>",
        "2026.04.22\t09:15:00.123\t1000.05\t1000.10\t1000.05\t100\t6",
        "2026.04.22\t09:15:01.456\t1000.00\t\t\t\t2",
        "2026.04.22\t09:15:02.789\t\t1000.10\t1000.15\t200\t6",
        name="TCS_M1_202604220915.csv",
    )
    if suffix == "parquet":
        path = parquet(tmp_path / "TCS_M1_202604220915.parquet", f"SELECT * FROM read_csv('{path}', all_varchar=true)")
    recording = read([path])
    assert [i.tradingsymbol for i in recording.instruments] == ["TCS"]
    assert recording.ticks["price"].tolist() == [1000.05, 1000.15]
    assert [(r.kind, r.count) for r in recording.reports if "quote" in r.kind] == [("quote_without_price", 1)]


def test_a_tick_without_a_price_and_without_a_quote_is_no_quote(write):
    path = write("timestamp,ltp,bid,ask", "2026-04-22 10:00:00,1000.05,1000,1001", "2026-04-22 10:00:01,,,")
    with pytest.raises(DataError, match="has no price that is a number"):
        read([path])


@pytest.mark.parametrize(
    ("exchange", "expiry", "right"),
    [
        ("NFO", "2026-04-28", "Others"),
        ("NFO", "2026-04-28T06:00:00.000Z", "others"),
        ("NFO", "", ""),
        ("", "28-Apr-2026", "NA"),
    ],
)
def test_icici_breeze_futures_are_futures(write, exchange, expiry, right):
    path = write(
        "close,datetime,exchange_code,expiry_date,high,low,open,product_type,right,stock_code,strike_price,volume",
        *lines(f"{{c}},{{t}},{exchange},{expiry},{{h}},{{l}},{{o}},Futures,{right},NIFTY,0,{{v}}"),
        name="future.csv",
    )
    [known] = read([path]).instruments
    assert (known.kind, known.exchange) == ("FUT", "NFO")


def test_a_stream_with_the_average_of_the_day_is_no_list_of_positions(write):
    path = write(
        "security_id,LTP,LTQ,LTT,avg_price,volume", "11536,1000.05,1,2026-04-22 09:15:01,999.5,1200", name="dhan.csv"
    )
    assert read([path]).ticks[["price", "volume"]].tolist() == [(1000.05, 1200)]
    positions = write("tradingsymbol,timestamp,average_price,last_price", "TCS,2026-04-22 09:15:01,999.5,1000.05")
    with pytest.raises(DataError, match="is a list of orders or trades"):
        read([positions])


def test_the_full_bhavcopy_of_nse_has_bars_of_a_day(write):
    header = (
        "SYMBOL, SERIES, DATE1, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE, TTL_TRD_QNTY"
    )
    path = write(header, "TCS, EQ, 22-Apr-2026, 1000.05, 1001, 999, 1000, 1000.1, 1000, 120")
    with pytest.raises(DataError, match="has days without a time of day"):
        read([path])


def test_streams_of_upstox_fyers_and_finnhub(write):
    upstox = write(
        "instrument_key,ltp,ltt,ltq,cp,vtt,oi", "NSE_EQ|INE467B01029,1000.05,1776829500000,1,990,1200,0",
        "NSE_EQ|INE009A01021,1500.05,1776829501000,1,990,1300,0", name="upstox.csv",
    )  # fmt: skip
    recording = read([upstox])
    assert [i.tradingsymbol for i in recording.instruments] == ["INE467B01029", "INE009A01021"]
    assert recording.ticks[["price", "volume"]].tolist() == [(1000.05, 1200), (1500.05, 1300)]
    fyers = write(
        "symbol,ltp,vol_traded_today,last_traded_time,exch_feed_time,bid_price,ask_price",
        "NSE:TCS-EQ,1000.05,1200,1776829500,1776829501,1000,1000.1", name="fyers.csv",
    )  # fmt: skip
    assert read([fyers]).ticks[["time", "volume"]].tolist() == [(1776829501 * SECOND, 1200)]
    assert opens(read([write("c,h,l,o,s,t,v", *lines("{c},{h},{l},{o},ok,{s},{v}"), name="TCS.csv")])) == expected(
        "TCS"
    )


@pytest.mark.parametrize(
    ("header", "line", "words", "remedy"),
    [
        ("Date,LTP", "########,1000.05", "where a column is too narrow", "widen it"),
        ("Time,LTP", "15:00.5,1000.05", "its date and hour are lost", "yyyy-mm-dd hh:mm:ss"),
        ("date time ltp", "2026-04-22 09:15 1000.05", "has no column for a time", "--columns"),
    ],
)
def test_what_a_spreadsheet_spoiled_is_refused_with_what_to_do(write, header, line, words, remedy):
    with pytest.raises(DataError, match=words) as refused:
        read([write(header, line, line)])
    assert remedy in refused.value.remedy


def test_a_path_of_these_shapes_is_never_called_corrupt(tmp_path):
    for name in ("book.xlsx", "frame.pkl", "data.json"):
        path = Path(tmp_path / name)
        path.write_bytes(b"PK")
        with pytest.raises(DataError) as refused:
            read([path])
        assert "corrupt" not in str(refused.value)
