"""Templates: JSON texts with marked places, which a kernel fills in from numbers.

    "quantity":<quantity>,"price":"<price:money>"    ─►    "quantity":5,"price":"100.50"

A place names a slot: `values[slot]` is an integer, or the number of a phrase; `ids[slot]` is an event's id. What a place
becomes is its form: `integer`, `money` (micro-rupees as text in rupees), `price` (a JSON number in rupees), `optional`
(the same, null where 0), `time` (RFC 3339), `phrase` (a text known from the start), `words` (a text of this batch), `id`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from functions.arrays import Integers
from functions.ids import ID_LENGTH
from functions.kernel import kernel

Bytes = npt.NDArray[np.uint8]

FORMS: Final = ("literal", "phrase", "words", "id", "integer", "money", "price", "optional", "time")
LITERAL, PHRASE, WORDS, ID, INTEGER, MONEY, PRICE, OPTIONAL, TIME = (np.int64(n) for n in range(len(FORMS)))
_LONGEST: Final = {ID: ID_LENGTH, INTEGER: 20, MONEY: 22, PRICE: 24, OPTIONAL: 24, TIME: 30}

ZERO, DOT, MINUS = (np.int64(ord(c)) for c in "0.-")
U: Final = np.uint64  # an index of this type is not looked at for counting from the end: ten times the speed
_MILLION, _TEN = U(1_000_000), U(10)
_DAY = 86_400_000_000_000
_PLACE = re.compile(r"<(\w+)(?::(\w+))?>")


class Phrases:
    """Texts that are known from the start, by number."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def number(self, text: str) -> int:
        """The number of a text; a new one is added."""
        return self._numbers.setdefault(text.encode(), len(self._numbers))

    @property
    def texts(self) -> list[bytes]:
        return list(self._numbers)


def joined(texts: Sequence[bytes]) -> tuple[Bytes, Integers]:
    """Texts as one array and their bounds: text n is `[bounds[n]:bounds[n + 1]]`."""
    bounds = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=bounds[1:])
    return np.frombuffer(b"".join(texts), np.uint8), bounds


class Templates(NamedTuple):
    """Compiled templates: template t is `ops[starts[t]:starts[t + 1]]`, rows of (form, slot or phrase)."""

    ops: Integers
    starts: Integers


def compiled(texts: Sequence[str], slots: Mapping[str, tuple[str, int]], phrases: Phrases) -> Templates:
    """Templates of these texts; `slots` gives each name its usual form and its slot.

    >>> known = Phrases()
    >>> made = compiled(['"quantity":<quantity>,"cash":"<cash>"'], {"quantity": ("integer", 0), "cash": ("money", 1)}, known)
    >>> [(FORMS[form], int(at)) for form, at in made.ops], known.texts
    ([('literal', 0), ('integer', 0), ('literal', 1), ('money', 1), ('literal', 2)], [b'"quantity":', b',"cash":"', b'"'])
    """
    ops: list[tuple[int, int]] = []
    starts = [0]
    for text in texts:
        end = 0
        for place in _PLACE.finditer(text):
            if place.start() > end:
                ops.append((int(LITERAL), phrases.number(text[end : place.start()])))
            form, slot = slots[place[1]]
            ops.append((FORMS.index(place[2] or form), slot))
            end = place.end()
        if end < len(text):
            ops.append((int(LITERAL), phrases.number(text[end:])))
        starts.append(len(ops))
    return Templates(np.array(ops, np.int64), np.array(starts, np.int64))


def longest(templates: Templates, phrases: Sequence[bytes]) -> int:
    """Bytes that no text of these templates exceeds, the words of a batch not counted."""
    phrase = max(map(len, phrases), default=0)
    sizes = [
        len(phrases[at]) if form == LITERAL else phrase if form == PHRASE else _LONGEST.get(form, 0)
        for form, at in templates.ops.tolist()
    ]
    return max(sum(sizes[a:b]) for a, b in zip(templates.starts, templates.starts[1:], strict=False))


# --- kernels: each writes at `at` and returns where it ended ------------------------------------------------------------


@kernel
def say(out, at, text, first, last):
    length = last - first
    for n in range(U(length)):
        out[U(at) + n] = text[U(first) + n]
    return at + length


@kernel
def say_digits(out, at, value, width):
    """An unsigned number with at least so many digits."""
    count = 1
    rest = value // _TEN
    while rest > 0:
        count += 1
        rest //= _TEN
    count = max(count, width)
    for n in range(count):
        out[U(at + count - 1 - n)] = ZERO + np.int64(value % _TEN)
        value //= _TEN
    return at + count


@kernel
def say_integer(out, at, value):
    if value < 0:
        out[U(at)] = MINUS
        return say_digits(out, at + 1, U(-(value + 1)) + U(1), 1)
    return say_digits(out, at, U(value), 1)


@kernel
def say_rupees(out, at, micro, decimals):
    """Rupees with at least so many of the six decimals, and no zeros beyond them."""
    if micro < 0:
        out[U(at)] = MINUS
        at += 1
        amount = U(-(micro + 1)) + U(1)
    else:
        amount = U(micro)
    at = say_digits(out, at, amount // _MILLION, 1)
    out[U(at)] = DOT
    at = say_digits(out, at + 1, amount % _MILLION, 6)
    cut = 6
    while cut > decimals and out[U(at - 1)] == ZERO:
        at -= 1
        cut -= 1
    return at


@kernel
def say_two(out, at, value, mark):
    """Two digits and a mark after them."""
    out[U(at)] = ZERO + value // 10
    out[U(at + 1)] = ZERO + value % 10
    out[U(at + 2)] = mark
    return at + 3


@kernel
def say_time(out, at, time):
    """RFC 3339 in UTC with microseconds; the date by Howard Hinnant's `civil_from_days`, years 0 to 9999."""
    days = time // _DAY
    micros = (time - days * _DAY) // 1000
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    at = say_digits(out, at, U(year), 4)
    out[U(at)] = MINUS
    at = say_two(out, at + 1, month, MINUS)
    at = say_two(out, at, day, 84)  # T
    seconds = micros // 1_000_000
    at = say_two(out, at, seconds // 3600, 58)  # :
    at = say_two(out, at, seconds // 60 % 60, 58)
    at = say_two(out, at, seconds % 60, DOT)
    at = say_digits(out, at, U(micros % 1_000_000), 6)
    out[U(at)] = 90  # Z
    return at + 1


@kernel
def say_null(out, at):
    out[U(at)] = 110
    out[U(at + 1)] = 117
    out[U(at + 2)] = out[U(at + 3)] = 108
    return at + 4


class Page(NamedTuple):
    """What a template is filled in from, and where it is written."""

    out: Any  # bytes
    values: Any  # int64 by slot
    ids: Any  # bytes (slot, ID_LENGTH)
    ops: Any
    starts: Any
    phrases: Any  # as `joined`
    phrase_bounds: Any
    words: Any
    word_bounds: Any


@kernel
def fill_in(page, at, template):
    """One text of a template; returns where it ends."""
    out = page.out
    for n in range(page.starts[template], page.starts[template + 1]):
        form = page.ops[n, 0]
        slot = page.ops[n, 1]
        if form == LITERAL:
            at = say(out, at, page.phrases, page.phrase_bounds[slot], page.phrase_bounds[slot + 1])
        elif form == ID:
            at = say(out, at, page.ids[slot], 0, ID_LENGTH)
        else:
            value = page.values[slot]
            if form == PHRASE:
                at = say(out, at, page.phrases, page.phrase_bounds[value], page.phrase_bounds[value + 1])
            elif form == WORDS:
                at = say(out, at, page.words, page.word_bounds[value], page.word_bounds[value + 1])
            elif form == INTEGER:
                at = say_integer(out, at, value)
            elif form == MONEY:
                at = say_rupees(out, at, value, 2)
            elif form == TIME:
                at = say_time(out, at, value)
            elif form == OPTIONAL and value == 0:
                at = say_null(out, at)
            else:
                at = say_rupees(out, at, value, 1)
    return at
