"""The tape: what is ours to the byte is read, everything else is left to msgspec."""

import struct

import msgspec
import numpy as np
import pytest

from functions.codec import encode, envelope
from functions.events import Bar, Depth, MarketTick
from functions.ids import tick_id
from functions.kernel import COMPILED
from functions.tape import FIELDS, LAYOUT, MAX_TIME, Tape
from functions.ticks import UNKNOWN, pack

TIME = 1_778_041_800_123_456  # microseconds
INDEX_OF = {738561: 1, 408065: 0, 1: 2, 10**17: 3}


def written(tick: MarketTick, *, cause: str | None = None, id: str | None = None) -> bytes:
    time_ns = tick.exchange_timestamp * 1000
    id = tick_id(tick.instrument_token, time_ns, 0) if id is None else id
    return encode(envelope(tick, id=id, time_ns=TIME * 1000, source="feed", broker="shared", cause=cause))


def taken(*raws: bytes) -> list[tuple | None]:
    """What the tape reads: (row, session, sequence) of each record, None where it leaves it."""
    read = Tape(INDEX_OF).read(list(raws))
    assert read.count == read.ours.sum()
    every = zip(read.ours, read.rows, read.sessions, read.sequences, strict=True)
    return [(row.tobytes(), int(session), int(sequence)) if ours else None for ours, row, session, sequence in every]


def packed(raw: bytes) -> tuple | None:
    """What msgspec reads: the same, None where it refuses."""
    try:
        rows, sessions, sequences = pack([raw], INDEX_OF.get, 1)  # type: ignore[bad-argument-type]  # dict.get is the reader's own choice
    except (msgspec.DecodeError, OverflowError, struct.error):
        return None
    return rows[0].tobytes(), sessions[0], sequences[0]


def agrees(*raws: bytes) -> None:
    """Whatever the tape takes, msgspec takes, and reads the same."""
    for raw, mine in zip(raws, taken(*raws), strict=True):
        assert mine is None or mine == packed(raw), raw


SAMPLE = written(
    MarketTick(738561, 2500.55, TIME, 5, 7, 2500.5, 2500.6, 1, 2, 3, 4, Depth([(2500.5, 1), (1.0, 2)], [(2500.6, 0)])),
    cause="3f1c",
)
BARE = written(MarketTick(1, 1000.0, TIME))


def test_a_print_of_a_bar_is_left_to_msgspec_and_its_neighbours_are_not():
    bar = written(MarketTick(1, 1000.0, TIME, bar=Bar("close", TIME - 60_000_000, 1001.0, 999.0)))

    before, mine, behind = taken(BARE, bar, SAMPLE)

    assert (before, mine, behind) == (packed(BARE), None, packed(SAMPLE))
    assert packed(bar) is not None


@pytest.mark.parametrize("raw", [SAMPLE, BARE])
def test_no_single_changed_byte_and_no_single_lost_or_added_one_makes_it_differ(raw):
    assert taken(raw) == [packed(raw)]
    bytes_ = [*b'0129-+.eE,:"\\{}[] \n\0\x1f\x7f\x80\xff']
    places = range(0, len(raw), 1 if COMPILED else 97)  # a tick in plain Python takes two milliseconds
    changed = [raw[:n] + bytes([byte]) + raw[n + 1 :] for n in places for byte in bytes_]
    added = [raw[:n] + bytes([byte]) + raw[n:] for n in places for byte in bytes_]
    agrees(*changed, *added, *(raw[:n] + raw[n + 1 :] for n in places), *(raw[:n] for n in places))


@pytest.mark.parametrize(
    ("this", "instead"),
    [
        (b'"id":"', b'"id": "'),
        (b'"version":1', b'"version":2'),
        (b"market_tick", b"market_tock"),
        (b'"causation_id":"3f1c"', b'"causation_id":nil'),
        (b'"causation_id":"3f1c"', b'"causation_id":"3f1c'),
        (b'"source":"feed"', b'"source":"f\\u00e9"'),
        (b'"source":"feed"', b'"source":"f\xc3\xa9"'),
        (b'"source":"feed"', b'"source":"f\xff"'),
        (b'"source":"feed"', b'"source":"f\n"'),
        (b'"last_price":2500.55', b'"last_price":2500'),
        (b'"last_price":2500.55', b'"last_price":-2500.55'),
        (b'"last_price":2500.55', b'"last_price":02500.55'),
        (b'"last_price":2500.55', b'"last_price":2500.'),
        (b'"last_price":2500.55', b'"last_price":.55'),
        (b'"last_price":2500.55', b'"last_price":2.50055e3'),
        (b'"last_price":2500.55', b'"last_price":2500.5500000000002'),
        (b'"oi":7', b'"oi":07'),
        (b'"oi":7', b'"oi":'),
        (b'"oi":7', b'"oi":-7'),
        (b'"oi":7', b'"oi":1000000000000000000'),
        (b'"sequence":4', b'"sequence":-2'),
        (b'"sequence":4', b'"sequence":4,"mood":1'),
        (str(TIME).encode() + b",", str(MAX_TIME + 1).encode() + b","),
        (b"[2500.5,1]", b"[2500.5,1"),
        (b"[2500.5,1]", b"[2500.5]"),
        (b"[2500.5,1]", b"[2500.5,1.5]"),
        (b"[2500.5,1]", b"2500.5,1"),
        (b"[2500.5,1]", b"[2500.5,1],"),
        (b'],"sell"', b',"sell"'),
        (b"}}}", b"}}"),
        (b"}}}", b"}}} "),
        (SAMPLE, b""),
    ],
)
def test_what_our_feed_would_not_write_is_left_to_msgspec(this, instead):
    raw = SAMPLE.replace(this, instead)

    assert raw != SAMPLE
    assert taken(raw, SAMPLE, raw) == [None, packed(SAMPLE), None]


def test_a_record_cut_in_two_is_not_read_as_one():
    for cut in range(1, len(SAMPLE), 7):
        assert taken(SAMPLE[:cut], SAMPLE[cut:]) == [None, None]


def test_a_token_nobody_configured_is_unknown_also_where_none_is_configured():
    for index_of in ({}, {2: 0}, {0: 0}, {0: 0, 2: 1}):
        assert Tape(index_of).read([BARE]).rows["instrument"].tolist() == [UNKNOWN]


def test_no_records_are_no_rows():
    read = Tape(INDEX_OF).read([])

    assert (len(read.rows), read.count, len(read.sessions)) == (0, 0, 0)


def test_the_layout_names_the_fields_of_the_event_in_their_order():
    names = [literal.rsplit('"', 2)[1] for literal, _ in LAYOUT[6:]]

    assert [*names, "bar"] == list(MarketTick.__struct_fields__)  # prints of bars are left
    assert 6 + len(names) == FIELDS


def test_rows_can_be_written_to():
    rows = Tape(INDEX_OF).read([SAMPLE, BARE]).rows
    rows["quality"][1] = 3

    assert np.array_equal(rows["quality"], [0, 3])


@pytest.mark.parametrize(
    "id", ["", "t", "019dfb8c-c540-7b4b-a6df-c5690d38060_", "019dfb8c-c540-7b4b-a6df-c5690d3806000"]
)
def test_a_tick_whose_id_has_another_shape_is_left(id):
    assert taken(written(MarketTick(1, 1000.0, TIME), id=id)) == [None]
