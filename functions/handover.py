"""Handover: the state of one shard goes on under another configuration, or in other shards, by name.

Accounts, subscriptions, books and working orders find their new places; what the configuration says (limits, sizing, lots)
is the new shard's. Nothing is decided, nothing is lost: what would have no place is a reason not to change.
"""

from collections.abc import Iterator
from itertools import pairwise, zip_longest
from typing import Any, Final

from functions.shard import Shard

_OF_THE_SHARD: Final = (
    "now", "second", "day", "squaring", "numbered", "ordinal",
)  # fmt: skip
_OF_ACCOUNTS: Final = (
    "realised", "unrealised", "charges", "gross", "committed", "max_drawdown", "signals", "rejected", "orders", "fills",
    "working", "second", "second_orders", "day_orders", "halted", "armed",
)  # fmt: skip
_IN_MONEY: Final = ("cash", "day_start", "peak")  # move with the capital
_OF_SUBSCRIPTIONS: Final = ("realised", "unrealised", "charges", "signals", "rejected", "orders", "fills")
_OF_INSTRUMENTS: Final = ("last", "bid", "ask", "bid_quantity", "ask_quantity", "time")
_OF_BOOKS: Final = (
    "position", "cost", "working", "signal_time", "signal_quantity", "intraday", "delivery", "delivering", "closing",
)  # fmt: skip
_OF_ORDERS: Final = (
    "number", "quantity", "left", "limit", "trigger", "active", "reference", "reserved", "turnover", "charged", "fills",
    "side", "kind", "product", "state", "rested", "origin",
)  # fmt: skip
_COUNTERS: Final = ("numbered", "ordinal")
_NONE: Final = -1


def obstacles(old: Shard, new: Shard, *, share: bool = False) -> list[str]:
    """What would lose its place: positions and working orders of what the new configuration does not have; money in doubt.

    With `share` only some of the accounts move, the others go elsewhere.
    """
    faults: list[str] = []
    for book in old.books[: int(old.shard["booked"][0])]:
        account, strategy = old.subscription_names[book["subscription"]]
        if share and account not in new.account_names:
            continue
        config = old.instrument_configs[book["instrument"]]
        has_place = (account, strategy) in new.subscription_names and config.instrument_token in new.index_of
        if (book["position"] or book["working"] or book["intraday"]) and not has_place:
            faults.append(
                f"{account}/{strategy} holds {book['position']} and works {book['working']} of {config.tradingsymbol}"
            )
    for account, row in zip(old.account_names, old.accounts, strict=True):
        if row["fills"] and account not in new.account_names and not share:
            faults.append(f"account {account} has traded")
    working = len(_working(old, new)) + len(_working(new, new))
    if working > len(new.orders):
        faults.append(f"{working} orders work, max_open_orders leaves room for {len(new.orders)}")
    return faults + _apart(old, new)


def _apart(old: Shard, new: Shard) -> list[str]:
    """Why two shards cannot be put together, where `new` has a state already."""
    if int(new.shard["second"][0]) == _NONE:
        return []
    if old.shard["now"][0] != new.shard["now"][0]:
        return [
            f"one has come to {old.shard['now'][0]}, the other to {new.shard['now'][0]} ns: let both read to the end"
        ]
    same = {old.orders["number"][n] for n in _working(old, new)} & {new.orders["number"][n] for n in _working(new, new)}
    return [f"orders {sorted(map(int, same))} work in both: wait until one has none"] if same else []


def _working(shard: Shard, new: Shard) -> list[int]:
    """Slots of the working orders of the accounts that the new shard has."""
    slots = [
        slot for i in range(len(shard.instruments)) for slot in _chain(shard.instruments["working"][i], shard.orders)
    ]
    return [
        s for s in slots if shard.subscription_names[int(shard.orders["subscription"][s])] in new.subscription_names
    ]


def hand_over(old: Shard, new: Shard, *, share: bool = False) -> None:
    """`new`, fresh from its configuration, takes over the state of `old`; with `share` that of its own accounts.

    A shard may take shares of several others, all at the same place of the log.
    Raises: `ValueError` with the obstacles, before anything is touched.
    """
    faults = obstacles(old, new, share=share)
    if faults:
        raise ValueError("; ".join(faults))
    counted = {name: int(new.shard[name][0]) for name in _COUNTERS}
    _copy(old.shard[0], new.shard[0], _OF_THE_SHARD)
    for name, count in counted.items():
        new.shard[name] = max(count, int(old.shard[name][0]))
    _accounts(old, new)
    subscriptions = _subscriptions(old, new)
    for n, token in enumerate(old.tokens):
        if token in new.index_of:
            _copy(old.instruments[n], new.instruments[new.index_of[token]], _OF_INSTRUMENTS)
    new.take_day()
    books = _books(old, new, subscriptions)
    _held(old, new, books)
    _orders(old, new, subscriptions, books)


def _copy(source: Any, target: Any, fields: tuple[str, ...]) -> None:
    for name in fields:
        target[name] = source[name]


def _accounts(old: Shard, new: Shard) -> None:
    places = {name: n for n, name in enumerate(new.account_names)}
    for n, name in enumerate(old.account_names):
        if name not in places:
            continue
        row, mine = old.accounts[n], new.accounts[places[name]]
        more = int(mine["capital"]) - int(row["capital"])
        _copy(row, mine, _OF_ACCOUNTS)
        for field in _IN_MONEY:
            mine[field] = int(row[field]) + more
        if new.account_configs[places[name]].killed == old.account_configs[n].killed:
            mine["killed"] = row["killed"]  # as commands have left it
    touched = list(_chain(new.shard["dirty"][0], new.accounts, "dirty"))
    for n in _chain(old.shard["dirty"][0], old.accounts, "dirty"):
        if old.account_names[n] in places:
            touched.append(places[old.account_names[n]])
    new.shard["dirty"] = touched[0] if touched else _NONE
    for before, after in zip_longest(touched, touched[1:], fillvalue=_NONE):
        new.accounts["dirty"][before] = after


def _subscriptions(old: Shard, new: Shard) -> dict[int, int]:
    places = {names: n for n, names in enumerate(new.subscription_names)}
    kept = {n: places[names] for n, names in enumerate(old.subscription_names) if names in places}
    for n, at in kept.items():
        _copy(old.subscriptions[n], new.subscriptions[at], _OF_SUBSCRIPTIONS)
    return kept


def _books(old: Shard, new: Shard, subscriptions: dict[int, int]) -> dict[int, int]:
    """Books in the order in which they were opened."""
    kept: dict[int, int] = {}
    for n in range(int(old.shard["booked"][0])):
        book = old.books[n]
        token = old.tokens[book["instrument"]]
        if int(book["subscription"]) not in subscriptions or token not in new.index_of:
            continue
        at = int(new.shard["booked"][0])
        new.shard["booked"] = at + 1
        s, i = subscriptions[int(book["subscription"])], new.index_of[token]
        mine = new.books[at]
        _copy(book, mine, _OF_BOOKS)
        mine["subscription"], mine["instrument"] = s, i
        mine["next"] = mine["previous"] = _NONE
        mine["sibling"], new.subscriptions[s]["books"] = new.subscriptions[s]["books"], at
        new.book_index[s, i] = at
        kept[n] = at
    return kept


def _held(old: Shard, new: Shard, books: dict[int, int]) -> None:
    """Who holds an instrument, in the same order: it is the order in which accounts are told."""
    for n, token in enumerate(old.tokens):
        held = [books[b] for b in _chain(old.instruments["held"][n], old.books) if b in books]
        if not held:
            continue
        instrument = new.instruments[new.index_of[token]]
        held = [*_chain(instrument["held"], new.books), *held]
        instrument["held"] = held[0]
        for before, after in pairwise(held):
            new.books[before]["next"], new.books[after]["previous"] = after, before


def _orders(old: Shard, new: Shard, subscriptions: dict[int, int], books: dict[int, int]) -> None:
    """Working orders into the first slots of the new pool, oldest first within their instrument."""
    slot = len(_working(new, new))
    for n, token in enumerate(old.tokens):
        working = list(_chain(old.instruments["working"][n], old.orders))
        for order in (old.orders[k] for k in working if int(old.orders["subscription"][k]) in subscriptions):
            mine = new.orders[slot]
            _copy(order, mine, _OF_ORDERS)
            mine["subscription"], mine["instrument"] = subscriptions[int(order["subscription"])], new.index_of[token]
            mine["book"], mine["next"] = books[int(order["book"])], _NONE
            instrument = new.instruments[new.index_of[token]]
            if instrument["working"] == _NONE:
                instrument["working"] = slot
            else:
                new.orders[int(instrument["newest"])]["next"] = slot
            instrument["newest"] = slot
            slot += 1
    new.shard["free"] = slot if slot < len(new.orders) else _NONE


def _chain(first: Any, rows: Any, link: str = "next") -> Iterator[int]:
    """The places of a linked list."""
    at = int(first)
    while at >= 0:
        yield at
        at = int(rows[link][at])
