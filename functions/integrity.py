"""Integrity: whether the arrays of a state hang together, before a kernel follows them.

Kernels check no index: a place that is not there would be read all the same, a chain without an end followed for ever. So
whatever comes from outside is looked through here once, as it is taken over.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from functions.orders import KINDS, PRODUCTS, STATES
from functions.portfolio import CLEAN
from functions.ticks import Rows

_AT_REST: Final = (
    "row", "signal", "orders_told", "fills_told", "refusals_told", "snapshots_told", "alerts_told",
)  # fmt: skip
_NONE: Final = -1


class Loose(ValueError):
    """A place that is not there, or to which two ways lead."""


class Sizes(NamedTuple):
    """How many rows there are of what a state refers to."""

    sizings: int
    strategies: int


def examine(state: Mapping[str, Rows], sizes: Sizes) -> None:
    """The arrays of `Shard.STATE`. Raises: `Loose` naming the first fault."""
    shard = state["shard"][0]
    accounts, subscriptions, instruments = state["accounts"], state["subscriptions"], state["instruments"]
    for name in _AT_REST:
        _within(shard[name], 0, 1, f"{name} of the shard between two batches")
    _within(shard["booked"], 0, len(state["books"]) + 1, "books")
    _within(shard["squaring"], 0, 8, "classes that are squared off")
    books = state["books"][: int(shard["booked"])]
    _within(subscriptions["account"], 0, len(accounts), "account of a subscription")
    _within(subscriptions["strategy"], 0, sizes.strategies, "strategy of a subscription")
    _within(subscriptions["sizing"], 0, sizes.sizings, "sizing of a subscription")
    _within(instruments["kind"], 0, 4, "kind of an instrument")
    _within(instruments["venue"], 0, 2, "venue of an instrument")
    _within(instruments["session_class"], 0, 3, "session of an instrument")
    _within(books["subscription"], 0, len(subscriptions), "subscription of a book")
    _within(books["instrument"], 0, len(instruments), "instrument of a book")
    _within(books["previous"], _NONE, len(books), "book before a book")
    chained([int(shard["dirty"])], accounts["dirty"], "account to be told", last=int(CLEAN))
    chained(accounts["subscriptions"].tolist(), subscriptions["next"], "subscription of an account")
    chained(subscriptions["books"].tolist(), books["sibling"], "book of a subscription")
    chained(instruments["held"].tolist(), books["next"], "book that holds an instrument")
    if len({(s, i) for s, i in books[["subscription", "instrument"]].tolist()}) < len(books):
        raise Loose("two books of one subscription and instrument")
    _orders(state, int(shard["free"]), len(books))


def _orders(state: Mapping[str, Rows], free: int, books: int) -> None:
    """Every slot is free or works for one instrument."""
    instruments, orders = state["instruments"], state["orders"]
    working = chained(instruments["working"].tolist(), orders["next"], "working order")
    newest = instruments["newest"][instruments["working"] >= 0]
    _within(newest, 0, len(orders), "newest order of an instrument")
    if len(working) + len(chained([free], orders["next"], "free order", taken=working)) != len(orders):
        raise Loose("a slot for orders is neither free nor works")
    mine = orders[working]
    _within(mine["book"], 0, books, "book of an order")
    _within(mine["subscription"], 0, len(state["subscriptions"]), "subscription of an order")
    _within(mine["instrument"], 0, len(instruments), "instrument of an order")
    for field, names in (("kind", KINDS), ("product", PRODUCTS), ("state", STATES)):
        _within(mine[field], 0, len(names), f"{field} of an order")
    _within(np.abs(mine["side"]), 1, 2, "side of an order")


def _within(values: Rows, least: int, end: int, what: str) -> None:
    beyond = (values < least) | (values >= end)
    if np.any(beyond):
        raise Loose(f"{what}: {np.atleast_1d(values)[np.atleast_1d(beyond)][0]} is not from {least} to {end - 1}")


def chained(
    firsts: Iterable[int], following: Rows, what: str, *, taken: Iterable[int] = (), last: int = _NONE
) -> list[int]:
    """All places of these chains, which end with -1 and share none; values from `last` on are ends or places.

    >>> chained([2, -1, 1], np.array([-1, 0, -1]), "slot")
    [2, 1, 0]
    """
    _within(following, last, len(following), f"next {what}")
    after = following.tolist()
    free = [True] * len(after)
    for at in taken:
        free[at] = False
    places: list[int] = []
    for first in firsts:
        at = first
        while at != _NONE:
            if not 0 <= at < len(after) or not free[at]:
                raise Loose(f"{what}: {at} of {len(after)} is not there, or two ways lead to it")
            free[at] = False
            places.append(at)
            at = after[at]
    return places
