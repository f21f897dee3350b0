"""Templates and ids as the kernels write them: the same texts as `functions.ids` and `functions.codec`."""

import msgspec
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from functions import identity, templates
from functions.ids import event_id
from functions.kernel import borrow, entry
from functions.money import rupees
from functions.templates import Page, Phrases, compiled, fill_in, joined, longest
from functions.timestamps import timestamp

SLOTS = {
    "id": ("id", 0), "number": ("integer", 0), "money": ("money", 1), "price": ("price", 2), "limit": ("optional", 3),
    "time": ("time", 4), "side": ("phrase", 5), "reasons": ("words", 6),
}  # fmt: skip
ID = "019dfb8c-c540-7b4b-a6df-c5690d380600"


@entry
def filled(out, values, ids, ops, starts, phrases, phrase_bounds, words, word_bounds):
    page = Page(
        borrow(out), borrow(values), borrow(ids), borrow(ops), borrow(starts), borrow(phrases), borrow(phrase_bounds),
        borrow(words), borrow(word_bounds),
    )  # fmt: skip
    return fill_in(page, 0, 0)


@entry
def named(out, time, text, length):
    identity.write_id(borrow(out), time, borrow(text), length)


@entry
def hashed(text, length):
    return identity.digest(borrow(text), length)


_BLANK = np.frombuffer(bytes(40), np.uint8)
named(np.zeros(36, np.uint8), 0, _BLANK, 40)  # compiled here, not within an example's deadline
hashed(_BLANK, 40)


def text(template, words=(b"",), **given):
    """What a template becomes."""
    phrases = Phrases()
    made = compiled([template], SLOTS, phrases)
    values = np.zeros(len(SLOTS), np.int64)
    for name, value in given.items():
        values[SLOTS[name][1]] = phrases.number(value) if name == "side" else value
    ids = np.frombuffer(ID.encode(), np.uint8).reshape(1, -1).copy()
    room = longest(made, phrases.texts) + max(map(len, words))
    out = np.zeros(room, np.uint8)
    end = filled(out, values, ids, made.ops, made.starts, *joined(phrases.texts), *joined(words))
    assert end <= room
    return out[:end].tobytes().decode()


def test_a_template_is_filled_in_from_its_slots():
    template = (
        '{"id":"<id>","quantity":<number>,"price":"<money>","limit":<limit>,"side":"<side>","reasons":[<reasons>]}'
    )

    made = text(template, (b"no", b'{"rule":"cash"}'), number=5, money=100_500_000, side="BUY", reasons=1)

    assert made == (
        f'{{"id":"{ID}","quantity":5,"price":"100.50","limit":null,"side":"BUY","reasons":[{{"rule":"cash"}}]}}'
    )


def test_a_place_may_say_its_form_itself():
    assert text("<money:price>", money=1_500_000) == "1.5"


def test_a_place_of_no_slot_is_refused_where_the_template_is_made():
    with pytest.raises(KeyError, match="colour"):
        text("<colour>")


INT64 = st.integers(-(2**63), 2**63 - 1)


@given(INT64)
def test_money_is_written_as_everywhere(amount):
    assert text("<money>", money=amount) == rupees(amount)


@given(INT64)
def test_an_integer_is_written_in_full(number):
    assert text("<number>", number=number) == str(number)


@given(st.integers(100, 10**15))
def test_a_price_is_the_shortest_number_that_reads_back(micro):
    """From a ten-thousandth of a rupee up: below, the shortest text would have an exponent."""
    assert text("<price>", price=micro) == repr(micro / 1e6)


def test_a_price_of_nothing_is_a_number_and_an_optional_one_is_null():
    assert text("<price>,<limit>") == "0.0,null"


@given(st.integers(0, 2**63 - 1))
def test_a_time_is_written_as_everywhere(time):
    assert text('"<time>"', time=time) == msgspec.json.encode(timestamp(time)).decode()


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_399_999_999_999, "2000-02-28T23:59:59.999999Z"),
        (951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z"),
        (1_709_251_199_000_001_000, "2024-02-29T23:59:59.000001Z"),
        (1_763_697_600_123_456_789, "2025-11-21T04:00:00.123456Z"),
    ],
)
def test_leap_days_and_the_turn_of_a_day(time, said):
    assert text("<time>", time=time) == said


@given(st.integers(0, 2**63 - 1), st.text(st.characters(codec="ascii"), min_size=1, max_size=identity.LONGEST_STEP))
def test_an_id_is_the_one_that_the_plain_function_makes(time, step):
    out = np.zeros(36, np.uint8)
    source = np.frombuffer((ID + step).encode(), np.uint8)

    named(out, time, source, len(source))

    assert out.tobytes().decode() == event_id(time, ID, step)


@given(st.binary(min_size=17, max_size=128))
def test_the_hash_is_the_librarys(data):
    high, low = hashed(np.frombuffer(data, np.uint8), len(data))

    assert int(high) << 64 | int(low) == xxhash.xxh3_128_intdigest(data)


def test_the_longest_text_is_a_bound_over_all_templates():
    phrases = Phrases()
    made = compiled(["<number>", "abc<id>"], SLOTS, phrases)

    assert longest(made, phrases.texts) == 3 + templates.ID_LENGTH
