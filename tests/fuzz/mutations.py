"""Mutations: valid bytes after somebody has spoilt them. One source of chance drives all: a seed, or Hypothesis.

Bytes are changed, lost, put in twice; numbers become extreme, values become others, keys come twice, nesting goes deep.
"""

import re
from collections.abc import Callable
from random import Random
from typing import Final

Mutation = Callable[[bytes, Random], bytes]

_NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?")
_VALUE: Final = re.compile(rb'(?<=":)(?:"[^"]*"|-?\d[\d.eE+-]*|null|true|false|\[\]|\{\})')
_MEMBER: Final = re.compile(rb'"[a-z_]+":(?:"[^"]*"|-?\d[\d.eE+-]*|null|true|false)')
NUMBERS: Final = [
    *(str(n).encode() for n in (0, -1, 1, 7, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**62 + 1, 2**63 - 1, 2**63, 2**64)),
    *(str(-n).encode() for n in (2**31, 2**31 + 1, 2**62 + 1, 2**63, 2**63 + 1, 10**30)),
    b"9223372036854775", b"9223372036854776", b"-9223372036854776", b"9" * 400, b"-0", b"00", b"01", b"1.", b".5", b"+1",
    b"1e308", b"1e309", b"-1e309", b"1e-400", b"1E2", b"10000000.01", b"1e13", b"0.000001", b"NaN", b"-NaN", b"Infinity",
    b"-Infinity", b"0x10", b"1_000", b"\xd9\xa1",
]  # fmt: skip
VALUES: Final = [
    b"null", b"true", b"false", b"[]", b"{}", b"[[]]", b'[null]', b'{"a":1}', b'""', b'"\\ud800"', b'"\\u0000"', b'"\xff"',
    b'"\xc3"', b'"\\x"', b'"' + b"x" * 2_000 + b'"', b'"' + b"\\u0001" * 300 + b'"', b'"-"', b'"1e5"', b'"999999999999999"',
    b"1", b"1.5", b'"a"', b"[1,2,3]", b'[[1.0,1]]', b'{"buy":[],"sell":[[1e300,1]]}',
]  # fmt: skip
_BYTES: Final = b'0123456789-+.eE,:"\\{}[] \n\0\x1f\x7f\x80\xc0\xff'
_DEPTHS: Final = (3, 600, 3_000)


def flipped(raw: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]


def replaced(raw: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(raw))
    return raw[:at] + bytes([_byte(chance)]) + raw[at + 1 :]


def lengthened(raw: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(raw) + 1)
    return raw[:at] + bytes([_byte(chance)]) * chance.choice((1, 1, 2, 50)) + raw[at:]


def shortened(raw: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(raw))
    return raw[:at] + raw[at + chance.choice((1, 2, 8, 60)) :]


def truncated(raw: bytes, chance: Random) -> bytes:
    return raw[: chance.randrange(len(raw))]


def doubled(raw: bytes, chance: Random) -> bytes:
    first, last = sorted((chance.randrange(len(raw)), chance.randrange(len(raw))))
    return raw[:last] + raw[first:]


def other_number(raw: bytes, chance: Random) -> bytes:
    return _put(raw, _NUMBER, chance.choice(NUMBERS), chance)


def other_value(raw: bytes, chance: Random) -> bytes:
    return _put(raw, _VALUE, chance.choice(VALUES), chance)


def member_twice(raw: bytes, chance: Random) -> bytes:
    members = _MEMBER.findall(raw)
    if not members:
        return doubled(raw, chance)
    twice = other_value(chance.choice(members), chance)
    return _put(raw, _MEMBER, twice + b"," + chance.choice(members), chance)


def other_name(raw: bytes, chance: Random) -> bytes:
    return _put(raw, _MEMBER, b'"nobody":1', chance)


def deep(raw: bytes, chance: Random) -> bytes:
    depth = chance.choice(_DEPTHS)
    opening, closing = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"\x91", b""), (b"\x81\xa1a", b"")))
    if chance.randrange(2):
        return opening * depth + raw + closing * depth
    return _put(raw, _VALUE, opening * depth + b"1" + closing * depth, chance)


def member_deep(raw: bytes, chance: Random) -> bytes:
    """A field that nobody knows, and nobody wants to know."""
    depth = chance.choice(_DEPTHS)
    return raw[:-1] + b',"more":' + b"[" * depth + b"]" * depth + raw[-1:]


def swapped(raw: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(raw))
    return raw[at:] + raw[:at]


MUTATIONS: Final[tuple[Mutation, ...]] = (
    flipped, flipped, flipped, replaced, lengthened, shortened, truncated, doubled, other_number, other_number, other_number,
    other_value, other_value, other_value, member_twice, other_name, deep, member_deep, swapped,
)  # fmt: skip


def mutated(raw: bytes, chance: Random) -> bytes:
    """After one to three mutations; maybe, by luck, still valid."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if not raw:
            break
        raw = chance.choice(MUTATIONS)(raw, chance)
    return raw


def _byte(chance: Random) -> int:
    return chance.choice(_BYTES) if chance.randrange(2) else chance.randrange(256)


def _put(raw: bytes, pattern: re.Pattern[bytes], new: bytes, chance: Random) -> bytes:
    """Instead of one of the places that the pattern finds; at any place where it finds none."""
    places = [match.span() for match in pattern.finditer(raw)]
    first, last = chance.choice(places) if places else (chance.randrange(len(raw)),) * 2
    return raw[:first] + new + raw[last:]
