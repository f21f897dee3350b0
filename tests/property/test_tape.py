"""The tape against msgspec: what it takes it reads as msgspec does, what our own feed writes it takes, all else it leaves."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.events import Depth, MarketTick
from functions.kernel import COMPILED
from functions.tape import MAX_TIME
from tests.effort import examples
from tests.unit.test_tape import BARE, INDEX_OF, SAMPLE, TIME, agrees, packed, taken, written

EXAMPLES = 400 if COMPILED else 15  # a tick in plain Python takes two milliseconds


prices = st.integers(0, 10**9).map(lambda paise: paise / 100)
quantities = st.integers(0, 2**33)
levels = st.lists(st.tuples(prices, quantities), max_size=6)
market_ticks = st.builds(
    MarketTick,
    st.sampled_from([*INDEX_OF, 99]),
    prices,
    st.integers(0, MAX_TIME),
    st.integers(0, 10**18 - 1),
    quantities,
    prices,
    prices,
    quantities,
    quantities,
    st.integers(0, 2**42),
    st.integers(-1, 10**12),
    st.none() | st.builds(Depth, levels, levels),
)


@settings(max_examples=examples(EXAMPLES), deadline=None)
@given(st.lists(market_ticks, min_size=1, max_size=5), st.none() | st.just("3f1c"))
@example([MarketTick(1, 1000.0, TIME)], None)
@example([MarketTick(1, 0.05, TIME, bid=0.0, ask=0.0, sequence=-1, depth=Depth([], []))], None)
@example([MarketTick(10**17, 9_999_999_999_999.25, MAX_TIME, 10**18 - 1, 10**18 - 1, sequence=10**18 - 1)], "")
def test_what_our_own_feed_writes_is_taken_and_read_as_msgspec_reads_it(ticks, cause):
    raws = [written(tick, cause=cause) for tick in ticks]

    assert taken(*raws) == [packed(raw) for raw in raws]
    assert None not in taken(*raws)


@settings(max_examples=examples(EXAMPLES), deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e7), st.integers(-(2**70), 2**70))
def test_any_number_is_read_as_msgspec_reads_it_or_left(wild, price, integer):
    agrees(
        written(MarketTick(1, wild, TIME, bid=price)),
        written(MarketTick(1, 1.0, TIME, integer, ask=price)),
        written(MarketTick(1, 1.0, TIME, bid_quantity=integer, sequence=integer)),
        written(MarketTick(1, 1.0, TIME)).replace(str(TIME).encode() + b",", str(integer).encode() + b","),
    )


bytes_of_interest = st.sampled_from(b'0123456789-+.eE,:"\\{}[] \n\0\x1f\x7f\x80\xffnulltrue') | st.integers(0, 255)


@st.composite
def damaged(draw) -> bytes:
    """A record of ours after a few bytes were changed, put in, or taken out, or its end was lost."""
    raw = bytearray(draw(st.sampled_from([SAMPLE, BARE])))
    for _ in range(draw(st.integers(1, 3))):
        at, how = draw(st.integers(0, len(raw) - 1)), draw(st.integers(0, 3))
        if how == 0:
            raw[at] = draw(bytes_of_interest)
        elif how == 1:
            raw.insert(at, draw(bytes_of_interest))
        elif how == 2:
            del raw[at : at + draw(st.integers(1, 9))]
        else:
            del raw[at:]
        if not raw:
            break
    return bytes(raw)


@settings(max_examples=examples(EXAMPLES * 3), deadline=None)
@given(st.lists(damaged(), min_size=1, max_size=8))
def test_a_damaged_record_is_read_as_msgspec_reads_it_or_left_and_spoils_no_other(raws):
    agrees(*raws)
    assert taken(*raws, BARE)[-1] == packed(BARE)
