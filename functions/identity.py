"""Ids inside kernels: what `ids.event_id` makes, written as bytes.

The hash is xxh3-128 with seed 0 over the cause's id and the step (Yann Collet, xxHash 0.8, `XXH3_len_17to128_128b`):
an id is 36 bytes and a step at most 92, so no other branch of that hash is ever needed. A test holds it equal to the
library; with the compiler off the library itself is called.
"""

from typing import Any, Final

import numpy as np
import xxhash

from functions.kernel import COMPILED, kernel
from functions.templates import ID_LENGTH, MINUS, ZERO, U

LONGEST_STEP: Final = 128 - ID_LENGTH
_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8"
    "fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
)
_KEYS = np.frombuffer(_SECRET, np.uint64)
_PRIME_1, _PRIME_2, _PRIME_4 = (
    U(0x9E3779B185EBCA87),
    U(0xC2B2AE3D27D4EB4F),
    U(0x85EBCA77C2B2AE63),
)
_AVALANCHE = U(0x165667919E3779F9)
_LOW = U(0xFFFFFFFF)
_32, _37, _8 = U(32), U(37), U(8)

if COMPILED:

    @kernel
    def word(text, at):
        """Eight bytes as a little-endian number."""
        value = U(0)
        for n in range(U(8)):
            value |= U(text[U(at) + n]) << (n * _8)
        return value

    @kernel
    def folded(a, b):
        """The two halves of a 128-bit product, exclusive-or'ed."""
        al, ah, bl, bh = a & _LOW, a >> _32, b & _LOW, b >> _32
        cross = (al * bl >> _32) + (ah * bl & _LOW) + al * bh
        high = (ah * bl >> _32) + (cross >> _32) + ah * bh
        return (a * b) ^ high

    @kernel
    def mixed(text, at, key):
        return folded(word(text, at) ^ _KEYS[U(key)], word(text, at + 8) ^ _KEYS[U(key + 1)])

    @kernel
    def avalanche(value):
        value ^= value >> _37
        value *= _AVALANCHE
        return value ^ (value >> _32)

    @kernel
    def digest(text, length):
        """xxh3-128 of the first 17 to 128 bytes: (high, low)."""
        low = U(length) * _PRIME_1
        high = U(0)
        for n in range((length - 1) // 32, -1, -1):
            front = 16 * n
            back = length - 16 * (n + 1)
            low += mixed(text, front, 4 * n)
            low ^= word(text, back) + word(text, back + 8)
            high += mixed(text, back, 4 * n + 2)
            high ^= word(text, front) + word(text, front + 8)
        first = low + high
        second = low * _PRIME_1 + high * _PRIME_4 + U(length) * _PRIME_2
        return U(0) - avalanche(second), avalanche(first)

else:

    def digest(text: Any, length: int) -> tuple[Any, Any]:
        """xxh3-128 of the first bytes: (high, low)."""
        both = xxhash.xxh3_128_intdigest(bytes(text[:length]))
        return U(both >> 64), U(both & (2**64 - 1))


@kernel
def say_hex(out, at, value, digits):
    """The lowest digits of a number, the highest of them first."""
    for n in range(digits):
        digit = np.int64((U(value) >> U(4 * (digits - 1 - n))) & U(15))
        out[U(at + n)] = ZERO + digit if digit < 10 else 87 + digit
    return at + digits


@kernel
def write_id(out, time, scratch, length):
    """The id of an event at this time whose cause's id and step are the first bytes of `scratch`."""
    high, low = digest(scratch, length)
    milliseconds = time // 1_000_000
    at = say_hex(out, 0, milliseconds >> 16, 8)
    out[U(at)] = MINUS
    at = say_hex(out, at + 1, milliseconds & 0xFFFF, 4)
    out[U(at)] = MINUS
    out[U(at + 1)] = 55  # 7
    at = say_hex(out, at + 2, high >> U(52), 3)
    out[U(at)] = MINUS
    out[U(at + 1)] = 97  # a
    at = say_hex(out, at + 2, high >> U(40), 3)
    out[U(at)] = MINUS
    at = say_hex(out, at + 1, high, 10)
    say_hex(out, at, low >> U(56), 2)
