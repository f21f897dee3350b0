"""State versions: arrays that an earlier version of the fold wrote, brought up to this one.

    version 1 ─► 2

An upgrade is a pure function of the arrays. Fields that both layouts have keep their values; what is new is said here. A test
reads a state of every version that was ever written.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from functions.account import SHARD
from functions.instruments import INSTRUMENT
from functions.orders import CNC, MIS, ORDER
from functions.portfolio import BOOK
from functions.ticks import Rows

STATE_VERSION: Final = 2

Arrays = dict[str, Rows]


class UnknownVersion(ValueError):
    """A state of a version that this code does not know."""


def upgraded(arrays: Arrays, version: object, products: Rows) -> Arrays:
    """The arrays of a state in the layout of this version; `products` are the configured ones, by subscription.

    Raises: `UnknownVersion`; `ValueError` for arrays that are not of the version they are said to be.
    """
    while version in _UPGRADES:
        arrays, version = _UPGRADES[version](arrays, products)
    if version != STATE_VERSION:
        raise UnknownVersion(f"version {version}, this code knows up to {STATE_VERSION}")
    return arrays


def _from_1(arrays: Mapping[str, Rows], products: Rows) -> tuple[Arrays, int]:
    """Sessions of one part and no cut-off, books that do not know their products.

    What a book holds counts as the product that its strategy is configured for, as it was sent unless a signal said
    otherwise; working orders know theirs. What a day has is looked up when the state is taken over (`Shard.take_day`).
    """
    shard = _same_fields(arrays["shard"], SHARD, but=("opens", "closes"))
    books = _same_fields(arrays["books"], BOOK)
    product = products[books["subscription"]]
    for field, which in (("intraday", MIS), ("delivery", CNC)):
        books[field] = np.where(product == which, books["position"], 0)
    orders = _same_fields(arrays["orders"], ORDER)
    working = np.isin(np.arange(len(orders)), _working(arrays))
    sells = orders[working & (orders["product"] == CNC) & (orders["side"] < 0)]
    np.add.at(books["delivering"], sells["book"], sells["left"])
    instruments = _same_fields(arrays["instruments"], INSTRUMENT)
    return {**arrays, "shard": shard, "books": books, "orders": orders, "instruments": instruments}, 2


def _working(arrays: Mapping[str, Rows]) -> list[int]:
    """Slots of the orders that hang at an instrument. Raises: `ValueError` where they form no list."""
    slots: list[int] = []
    for first in arrays["instruments"]["working"].tolist():
        at = first
        while at >= 0:
            if at >= len(arrays["orders"]) or len(slots) > len(arrays["orders"]):
                raise ValueError(f"working order {at} is not there, or two ways lead to it")
            slots.append(at)
            at = int(arrays["orders"]["next"][at])
    return slots


def _same_fields(array: Rows, layout: np.dtype, *, but: tuple[str, ...] = ()) -> Rows:
    """Rows of another layout with the values of the fields that both have."""
    rows = np.zeros(array.shape, layout)
    for name in set(layout.names or ()) & set(array.dtype.names or ()) - set(but):
        rows[name] = array[name]
    return rows


_UPGRADES: Final[dict[object, Callable[[Arrays, Rows], tuple[Arrays, int]]]] = {1: _from_1}
