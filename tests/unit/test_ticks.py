"""Ticks: a record of JSON is one row of 64 bytes, a batch of records is one array."""

import struct

import msgspec
import numpy as np
import pytest

from functions.codec import NewerVersion, encode, envelope
from functions.events import Bar, Depth, MarketClock, MarketTick
from functions.ticks import CLOSING, NO_DEPTH, NO_RANGES, OPENING, TICK, UNKNOWN, UNTRADED, depth, pack, ranges

TIME = 1_778_041_800_123_456  # microseconds
ID = "019dfb8c-c540-7b4b-a6df-c5690d380600"


def raw(*, token: int = 738561, price: float = 2500.55, time: int = TIME, **more) -> bytes:
    return encode(
        envelope(MarketTick(token, price, time, **more), id=ID, time_ns=0, source="feed", broker="shared"),
    )


def packed(*raws: bytes):
    return pack(raws, {738561: 0, 408065: 1}.get, len(raws))


def test_a_row_holds_everything_that_a_decision_reads():
    rows, sessions, sequences = packed(
        raw(
            volume_traded=9_000_000_000,
            oi=7,
            bid=2500.5,
            ask=2500.6,
            bid_quantity=30,
            ask_quantity=40,
            session=5,
            sequence=6,
        )
    )

    assert rows.tolist() == [(TIME * 1000, 2500.55, 2500.5, 2500.6, 30, 40, 9_000_000_000, 7, 0, 0)]
    assert (sessions, sequences) == ([5], [6])


def test_rows_keep_the_order_of_the_records():
    rows, _, sequences = packed(raw(token=408065, sequence=2), raw(sequence=1), raw(token=408065, sequence=0))

    assert rows["instrument"].tolist() == [1, 0, 1]
    assert sequences == [2, 1, 0]


def test_a_tick_takes_64_bytes_and_can_be_written_to():
    rows, _, _ = packed(raw(), raw())

    rows["quality"][1] = 3

    assert (rows.nbytes, rows.dtype, rows["quality"].tolist()) == (128, TICK, [0, 3])


def test_an_instrument_nobody_configured_is_unknown():
    rows, _, _ = packed(raw(token=99))

    assert rows["instrument"].tolist() == [UNKNOWN]


def test_a_tick_without_a_number_is_unordered_and_without_quotes_has_none():
    data = '"version":1,"data":{"instrument_token":738561,"last_price":1,"exchange_timestamp":2}'
    bare = f'{{"id":"{ID}","type":"market_tick",{data}}}'.encode()

    rows, sessions, sequences = packed(bare)

    assert rows.tolist() == [(2_000, 1.0, 0.0, 0.0, 0, 0, 0, 0, 0, 0)]
    assert (sessions, sequences) == ([0], [-1])


def test_a_print_of_a_bar_is_marked_as_what_it_is():
    opening, closing = Bar("open", TIME), Bar("close", TIME - 60, 101.0, 99.0)
    rows, _, _ = packed(
        raw(), raw(bar=opening), raw(bar=closing), raw(bar=None), raw(bar=Bar("close", 0, traded=False))
    )

    assert rows["quality"].tolist() == [0, OPENING, CLOSING, 0, CLOSING | UNTRADED]


def test_the_range_of_a_bar_stands_beside_its_closing_print_alone():
    raws = [raw(), raw(bar=Bar("open", TIME, 101.0, 99.0)), raw(bar=Bar("close", TIME - 60, 2501.05, 2499.95))]
    rows, _, _ = packed(*raws)

    assert ranges(raws, rows).tolist() == [(0, 0, 0), (0, 0, 0), (1000 * (TIME - 60), 2_501_050_000, 2_499_950_000)]
    assert ranges(raws[:2], rows[:2]) is NO_RANGES


@pytest.mark.parametrize(
    "bar",
    [
        Bar("close", TIME - 60, 99.0, 101.0), Bar("close", TIME - 60, 101.0), Bar("close", TIME - 60, 101.0, -1.0),
        Bar("close", TIME - 60, 1.1e7, 99.0), Bar("close", TIME + 1, 101.0, 99.0), Bar("close", -(2**62), 101.0, 99.0),
    ],
)  # fmt: skip
def test_what_is_no_range_leaves_a_print_its_price_alone(bar):
    raws = [raw(bar=bar)]

    assert ranges(raws, packed(*raws)[0])[["high", "low"]].tolist() == [(0, 0)]


@pytest.mark.parametrize(
    "wrong", [b'{"at":"middle","start":1}', b'{"at":"open"}', b'{"at":"close","start":1,"high":"x"}']
)
def test_a_bar_that_is_none_makes_no_tick(wrong):
    broken = raw(bar=Bar("open", 1)).replace(b'{"at":"open","start":1}', wrong)

    with pytest.raises(msgspec.DecodeError):
        packed(broken)


def test_a_tick_that_is_of_no_bar_is_written_as_before():
    assert b'"bar"' not in raw()
    assert raw(bar=Bar("open", 7)).endswith(b',"depth":null,"bar":{"at":"open","start":7}}}')


def test_fields_that_a_newer_writer_added_are_passed_over():
    newer = raw().replace(b'"last_price"', b'"mood":{"bulls":[1,2]},"last_price"')

    rows, _, _ = packed(newer)

    assert rows["price"].tolist() == [2500.55]


def test_no_records_are_no_rows():
    rows, sessions, sequences = pack([], {}.get, 0)

    assert (len(rows), rows.dtype, sessions, sequences) == (0, TICK, [], [])


def test_a_quantity_beyond_31_bits_counts_as_the_largest_one():
    rows, _, _ = packed(raw(bid_quantity=2**31 - 1, ask_quantity=2**31), raw(bid_quantity=2**40, ask_quantity=3))

    assert rows["bid_quantity"].tolist() == [2**31 - 1, 2**31 - 1]
    assert rows["ask_quantity"].tolist() == [2**31 - 1, 3]


@pytest.mark.parametrize(
    "field", [{"time": 2**63 // 1000 + 1}, {"volume_traded": 2**63}, {"oi": 2**63}, {"time": -(2**63) // 1000 - 1}]
)
def test_a_number_beyond_64_bits_is_refused(field):
    with pytest.raises((msgspec.ValidationError, OverflowError, struct.error)):
        packed(raw(), raw(**field))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"\x00\xff",
        b"[]",
        b'{"type":"market_tick","version":1,"data":{}}',
        raw().replace(b'"last_price":2500.55', b'"last_price":null'),
        raw().replace(b'"last_price":2500.55', b'"last_price":"2500.55"'),
        raw().replace(b'"instrument_token":738561', b'"instrument_token":7.5'),
    ],
)
def test_a_record_that_is_no_tick_is_refused(broken):
    with pytest.raises(msgspec.DecodeError):
        packed(raw(), broken)


def test_another_event_on_the_topic_is_refused_by_its_name():
    clock = encode(envelope(MarketClock(TIME), id="c", time_ns=0, source="feed", broker="shared"))
    disguised = raw().replace(b'"type":"market_tick"', b'"type":"market_tock"')

    with pytest.raises(msgspec.DecodeError):
        packed(clock)
    with pytest.raises(msgspec.ValidationError, match=r"Invalid value 'market_tock' - at `\$.type`"):
        packed(disguised)


def test_a_tick_of_a_later_version_is_refused_not_guessed():
    with pytest.raises(NewerVersion, match="version 2 of market_tick was written by a newer version of this program"):
        packed(raw().replace(b'"version":1', b'"version":2'))


# --- five levels ------------------------------------------------------------------------------------------------------


def test_levels_are_micro_rupees_best_first():
    levels = Depth(buy=[(100.05, 3), (100.0, 4)], sell=[(100.1, 5)])

    rows = depth([raw(depth=levels)], 1)

    assert rows["bid"].tolist() == [[100_050_000, 100_000_000, 0, 0, 0]]
    assert rows["bid_quantity"].tolist() == [[3, 4, 0, 0, 0]]
    assert rows["ask"].tolist() == [[100_100_000, 0, 0, 0, 0]]
    assert rows["ask_quantity"].tolist() == [[5, 0, 0, 0, 0]]


def test_a_sixth_level_is_left_out():
    levels = Depth(buy=[], sell=[(100.0 + n, n + 1) for n in range(7)])

    rows = depth([raw(depth=levels)], 1)

    assert rows["ask_quantity"].tolist() == [[1, 2, 3, 4, 5]]


@pytest.mark.parametrize(("price", "shown"), [(1e7, 10_000_000_000_000), (1.00000001e7, 0), (-0.05, 0)])
def test_levels_beyond_every_price_are_none(price, shown):
    rows = depth([raw(depth=Depth([(price, 1)], []))], 1)

    assert int(rows["bid"][0][0]) == shown


def test_a_bar_of_one_price_has_a_range():
    raws = [raw(bar=Bar("close", TIME - 60, 101.0, 101.0))]

    assert ranges(raws, packed(*raws)[0])[["high", "low"]].tolist() == [(101_000_000, 101_000_000)]


def test_a_tick_without_levels_and_a_row_without_a_record_show_zeros():
    rows = depth([raw(), None, raw(depth=Depth([], []))], 3)

    assert (len(rows), rows.dtype) == (3, NO_DEPTH.dtype)
    assert not rows.view(np.int64).any()


@pytest.mark.parametrize(
    "id",
    ["", "t", ID[:-1], ID + "0", ID + "\n", ID[:-1] + "_", ID[:-1] + "é", ID[:-1] + '"'],
)
def test_a_tick_whose_id_has_another_shape_is_refused_as_decisions_are_named_after_it(id):
    tick = encode(envelope(MarketTick(738561, 2500.0, TIME), id=id, time_ns=0, source="feed", broker="shared"))

    with pytest.raises(msgspec.ValidationError, match=r"\$\.id"):
        packed(tick)
