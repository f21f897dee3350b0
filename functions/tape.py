"""The tape: market ticks exactly as our own feed writes them, read by a kernel; all other spellings are left to msgspec.

A record is ours if it is, byte for byte, what `codec.encode` makes of a `MarketTick` in its envelope: this order of
fields, no blanks, no escapes, plain decimal numbers. Of anything else nothing is guessed here: it is marked as not
read, and `ticks.pack` takes or refuses it. So the tape may leave a good tick to others, and never differs on one it takes.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from functions.arrays import Integers
from functions.ids import ID_LENGTH
from functions.kernel import borrow, entry, inlined, records
from functions.ticks import TICK, UNKNOWN, Rows
from functions.versions import version_of

TEXT, OPTIONAL_TEXT, INTEGER, NUMBERED, DECIMAL, LEVELS, NAME = range(7)  # kinds of values
LAYOUT: Final = (
    ('{"id":"', NAME),
    ('","type":"market_tick","timestamp":"', TEXT),
    ('","correlation_id":"', TEXT),
    ('","causation_id":', OPTIONAL_TEXT),
    (',"source":"', TEXT),
    (f'","version":{version_of("market_tick")},"broker":"', TEXT),  # an earlier one is left to msgspec
    ('","data":{"instrument_token":', INTEGER),
    (',"last_price":', DECIMAL),
    (',"exchange_timestamp":', INTEGER),
    (',"volume_traded":', INTEGER),
    (',"oi":', INTEGER),
    (',"bid":', DECIMAL),
    (',"ask":', DECIMAL),
    (',"bid_quantity":', INTEGER),
    (',"ask_quantity":', INTEGER),
    (',"session":', INTEGER),
    (',"sequence":', NUMBERED),
    (',"depth":', LEVELS),
)  # what stands before each value, and what the value is
FIELDS: Final = len(LAYOUT)
TOKEN, PRICE, TIME, VOLUME, INTEREST, BID, ASK, BID_QUANTITY, ASK_QUANTITY, SESSION, SEQUENCE = range(6, FIELDS - 1)

WIDTH: Final = 48  # one comparison for every literal: whole vector registers, the bytes beyond the literal masked out


def _padded(literals: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(each.ljust(WIDTH, b"\0") for each in literals), np.uint8).reshape(-1, WIDTH)


_SPELT: Final = [text.encode() for text, _ in LAYOUT] + [b"null", b"-1", b'{"buy":[', b'],"sell":[', b"]}", b"}}"]
NULL, UNNUMBERED, BUY, SELL, SOLD, END = range(FIELDS, len(_SPELT))
LITERALS: Final = _padded(_SPELT)
MASKS: Final = _padded([b"\xff" * len(each) for each in _SPELT])
SIZES: Final = np.array([len(each) for each in _SPELT])
KINDS: Final = np.array([kind for _, kind in LAYOUT])

QUOTE, COMMA, MINUS, POINT, ZERO, NINE, OPEN, CLOSE = (np.uint8(ord(c)) for c in '",-.09[]')
PLAIN: Final = np.array(
    [32 <= code < 127 and chr(code) not in '"\\' for code in range(256)]
)  # no end of a text, no escape
NAMING: Final = np.array([chr(code).isascii() and (chr(code).isalnum() or code == MINUS) for code in range(256)])
PADDING: Final = bytes(WIDTH)  # after the last record: a zero byte continues nothing, so no step asks where the end is

MAX_DIGITS: Final = 18  # always fits 64 bits
MAX_EXACT: Final = 10**15  # this and 10**18 are floats without rounding, so one division gives the nearest float
TENS: Final = np.array([float(10**k) for k in range(MAX_DIGITS + 1)])  # Clinger (1990), the fast path
MAX_TIME: Final = (2**63 - 1) // 1000  # microseconds that are int64 nanoseconds
MAX_QUANTITY: Final = 2**31 - 1
NOT_OURS: Final = -1  # a position that says: leave this record to msgspec


@inlined
def byte(line, at):
    """One byte; `at` is without a sign, as otherwise every look asks whether it counts from the end."""
    return line[np.uintp(at)]


@inlined
def after(line, at, which):
    """Where this literal ends, if it stands here."""
    differs = np.uint8(0)
    for n in range(WIDTH):
        differs |= (byte(line, at + n) ^ LITERALS[which, n]) & MASKS[which, n]
    if differs != 0:
        return NOT_OURS
    return at + SIZES[which]


@inlined
def text(line, at):
    """Where the plain text from here on has its closing quote."""
    while PLAIN[byte(line, at)]:
        at += 1
    if byte(line, at) != QUOTE:
        return NOT_OURS
    return at


@inlined
def name(line, at):
    """Where an event's id ends: a fixed number of letters, digits and dashes (`events.ID_PATTERN`)."""
    for n in range(ID_LENGTH):
        if not NAMING[byte(line, at + n)]:
            return NOT_OURS
    return at + ID_LENGTH


@inlined
def digits(line, at, value):
    """(the digits from here on appended to a number, where they end)."""
    while ZERO <= byte(line, at) <= NINE:
        value = value * 10 + (int(byte(line, at)) - 48)
        at += 1
    return value, at


@inlined
def integer(line, at):
    """(a whole number without sign, where it ends)."""
    value, end = digits(line, at, 0)
    length = end - at
    if length == 0 or length > MAX_DIGITS or (length > 1 and byte(line, at) == ZERO):
        return 0, NOT_OURS
    return value, end


@inlined
def decimal(line, at):
    """(the digits of a number without sign and with a decimal point, how many stand after the point, where it ends)."""
    whole, point = integer(line, at)
    if point < 0 or byte(line, point) != POINT:
        return 0, 0, NOT_OURS
    value, end = digits(line, point + 1, whole)
    places = end - point - 1
    if places == 0 or end - at - 1 > MAX_DIGITS or value > MAX_EXACT:
        return 0, 0, NOT_OURS
    return value, places, end


@inlined
def level(line, at):
    """Where `[price,quantity]` ends."""
    if byte(line, at) != OPEN:
        return NOT_OURS
    _, _, at = decimal(line, at + 1)
    if at < 0 or byte(line, at) != COMMA:
        return NOT_OURS
    _, at = integer(line, at + 1)
    if at < 0 or byte(line, at) != CLOSE:
        return NOT_OURS
    return at + 1


@inlined
def side(line, at):
    """Where the levels of one side end."""
    if byte(line, at) == CLOSE:
        return at
    at = level(line, at)
    while at >= 0 and byte(line, at) == COMMA:
        at = level(line, at + 1)
    return at


@inlined
def levels(line, at):
    """Where the levels of both sides, or their absence, end."""
    if byte(line, at) == LITERALS[NULL, 0]:
        return after(line, at, NULL)
    for opening in (BUY, SELL):
        at = after(line, at, opening)
        if at >= 0:
            at = side(line, at)
        if at < 0:
            return NOT_OURS
    return after(line, at, SOLD)


@inlined
def optional_text(line, at):
    """Where a text in quotes, or null, ends; of a text its closing quote, which the next literal lacks, is passed."""
    if byte(line, at) != QUOTE:
        return after(line, at, NULL)
    at = text(line, at + 1)
    if at < 0:
        return NOT_OURS
    return at + 1


@inlined
def number(line, at, kind):
    """(the digits of a number of this kind, how many stand after its point, where it ends)."""
    if kind == DECIMAL:
        return decimal(line, at)
    if kind == NUMBERED and byte(line, at) == MINUS:
        return -1, 0, after(line, at, UNNUMBERED)
    value, at = integer(line, at)
    return value, 0, at


@inlined
def fields(line, at, values, places):
    """Where the record that begins here ends, if it is ours; its numbers are then in `values`."""
    for field in range(FIELDS):
        at = after(line, at, field)
        if at < 0:
            return NOT_OURS
        kind = KINDS[field]
        if kind == NAME:
            at = name(line, at)
        elif kind == TEXT:
            at = text(line, at)
        elif kind == OPTIONAL_TEXT:
            at = optional_text(line, at)
        elif kind == LEVELS:
            at = levels(line, at)
        else:
            values[field], places[field], at = number(line, at, kind)
        if at < 0:
            return NOT_OURS
    return after(line, at, END)


@inlined
def dense_index(token, tokens, indices):
    """The dense index of a token, by halving the sorted tokens."""
    low = 0
    high = tokens.shape[0]
    while low < high:
        middle = (low + high) // 2
        if tokens[middle] < token:
            low = middle + 1
        else:
            high = middle
    if low < tokens.shape[0] and tokens[low] == token:
        return indices[low]
    return UNKNOWN


@inlined
def write(row, values, places):
    """The numbers of a record as its row."""
    row.time = values[TIME] * 1000
    row.price = values[PRICE] / TENS[places[PRICE]]
    row.bid = values[BID] / TENS[places[BID]]
    row.ask = values[ASK] / TENS[places[ASK]]
    row.bid_quantity = min(values[BID_QUANTITY], MAX_QUANTITY)
    row.ask_quantity = min(values[ASK_QUANTITY], MAX_QUANTITY)
    row.volume = values[VOLUME]
    row.open_interest = values[INTEREST]
    row.quality = 0


@entry
def scan(line, lengths, tokens, indices, rows, sessions, sequences, ours, scratch):
    """Reads these records, one after the other in `line`; says which are `ours`, and how many."""
    line = borrow(line)
    rows = borrow(rows)
    tokens = borrow(tokens)
    indices = borrow(indices)
    values = borrow(scratch[0])
    places = borrow(scratch[1])
    begin = 0
    count = 0
    for n in range(lengths.shape[0]):
        end = begin + lengths[n]
        ours[n] = fields(line, begin, values, places) == end and values[TIME] <= MAX_TIME
        if ours[n]:
            count += 1
            write(rows[n], values, places)
            rows[n].instrument = dense_index(values[TOKEN], tokens, indices)
            sessions[n] = values[SESSION]
            sequences[n] = values[SEQUENCE]
        begin = end
    return count


class Read(NamedTuple):
    """One batch; row, session and sequence of a record that is not `ours` are still to be written."""

    rows: Rows
    sessions: Integers
    sequences: Integers
    ours: npt.NDArray[np.bool_]
    count: int  # of ours


class Tape:
    """Reads batches of records; tokens get these dense indices."""

    def __init__(self, index_of: dict[int, int]) -> None:
        tokens = sorted(index_of)
        self._tokens = np.array(tokens, np.int64)
        self._indices = np.array([index_of[token] for token in tokens], np.int64)
        self._scratch = np.zeros((2, FIELDS), np.int64)

    def read(self, raws: list[bytes]) -> Read:
        """Raw records, one row each; an empty one is never ours."""
        count = len(raws)
        rows = np.empty(count, TICK)
        numbers = np.empty((2, count), np.int64)
        ours = np.empty(count, np.bool_)
        lengths = np.fromiter(map(len, raws), np.int64, count)
        line = np.frombuffer(b"".join([*raws, PADDING]), np.uint8)
        of_ours = scan(
            line, lengths, self._tokens, self._indices, records(rows), numbers[0], numbers[1], ours, self._scratch
        )  # fmt: skip
        return Read(rows, numbers[0], numbers[1], ours, of_ours)
