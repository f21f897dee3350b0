"""Publication: the rows that a batch decided become the events that the world sees, in the order they were decided.

    signals ─► trading_signal ─► signal_validated ─► order_submitted, order_ack, order_placed ─► order_filled | order_failed
                              └► signal_rejected                       boundaries ─► pnl_snapshot, alerts ─► system_alert

This is the one place that decides what is published. An id is a hash of its cause and step, so the same decisions give
the same bytes. What happens on ticks is written by a kernel (`functions.press`).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, repeat
from typing import Any, Final

import msgspec
import numpy as np

from functions import topics
from functions.alerts import ALERTS, SQUARE_OFF_AT_LAST_PRICE, SQUARE_OFF_AT_MARKET
from functions.ids import event_id
from functions.kernel import records
from functions.money import rupees
from functions.orders import KINDS, PRODUCTS, REASONS
from functions.portfolio import ACCOUNT_LEVEL, SNAPSHOT, STRATEGY_LEVEL
from functions.press import (
    EVENT,
    FOLLOWER,
    IDS,
    LONGEST_KEY,
    SLOTS,
    STATE,
    TEMPLATES,
    TERMS,
    TRADER,
    WORDING,
    WORKING,
    WRITTEN,
    average_price,
    tell,
)  # fmt: skip
from functions.risk import REFUSAL, explain
from functions.shard import NO_DECISIONS, Decisions, Shard, StateMismatch
from functions.signals import NO_SIGNALS
from functions.tape import NAMING
from functions.templates import ID_LENGTH, Phrases, compiled, joined, longest
from functions.ticks import NO_TICKS, Rows
from functions.timestamps import timestamp
from functions.versions import version_of

_OF_CLOSING: Final = {  # alerts of `functions.closing`: how severe, and in words
    "square_off_at_market": (
        "info", "MIS has ended for today: {count} positions worth {worth} are closed by market orders of the broker",
    ),
    "square_off_at_last_price": (
        "warning", "{count} MIS positions worth {worth} met no print before the session's end: closed at the last price",
    ),
    "intraday_still_held": (
        "warning", "MIS has ended for today: {count} positions worth {worth} are still held, nothing is traded",
    ),
}  # fmt: skip
Publication = tuple[str, bytes, bytes, None]  # topic, key, JSON, no headers: as a producer takes them
SOURCE: Final = "pipeline"


# --- the rows of a batch, as events -------------------------------------------------------------------------------------


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


class Publisher:
    """Makes events of one shard's decisions. Its state is the orders that still work."""

    def __init__(self, shard: Shard, broker: str, begun: Mapping[str, int] | None = None) -> None:
        """`begun`: event time, ns, at which a strategy began anew in the middle of the log; it is part of its signals' ids,

        as another shard may have changed it a tick earlier.
        """
        self.shard = shard
        self._begun = begun or {}
        self.broker = broker
        phrases = Phrases()
        slots = {name: (form, n) for n, (name, form) in enumerate(SLOTS.items())}
        slots |= {name: ("id", n) for n, name in enumerate(IDS)}
        events = [EVENT % (name, SOURCE, version_of(name), broker, data) for name, (_, data) in TEMPLATES.items()]
        self._templates = compiled(events, slots, phrases)
        self._topics = [topic.of(broker).name for topic, _ in TEMPLATES.values()]
        self._pnl_topic = topics.PNL_SNAPSHOTS.of(broker).name
        self._limits = [_plain(shard.limits[shard.account_names.index(a)]) for a, _ in shard.subscription_names]
        self._terms = [_plain(row) for row in shard.instruments]
        tables = self._tables(phrases)
        self._longest = longest(self._templates, phrases.texts)
        self._state = np.zeros(1, STATE)
        self._working = np.zeros(len(shard.orders) + 1, WORKING)
        self._written = np.empty(0, WRITTEN)
        self._out = self._keys = np.empty(0, np.uint8)
        self._values = np.zeros(len(SLOTS), np.int64)
        self._ids = np.zeros((len(IDS), ID_LENGTH), np.uint8)
        self._fixed: tuple[Any, ...] = (
            self._values, self._ids, self._templates.ops, self._templates.starts, *joined(phrases.texts),
        )  # fmt: skip
        self._desk = (*tables, records(self._working))
        self._rest: tuple[Any, ...] = (records(self._state), np.empty(128, np.uint8))
        self._on_ticks(NO_TICKS, NO_SIGNALS, NO_DECISIONS, str)  # compiles: the first signal shall not wait

    def _tables(self, phrases: Phrases) -> tuple[Any, ...]:
        """What the kernel looks up, by instrument, strategy and subscription."""
        shard, number = self.shard, phrases.number
        terms = np.zeros(len(shard.tokens), TERMS)
        for n, config in enumerate(shard.instrument_configs):
            symbol = f'"tradingsymbol":{_json(config.tradingsymbol)}'
            terms[n] = (config.instrument_token, number(symbol), number(f'"exchange":"{config.exchange}"'))
        traders = np.zeros(len(shard.strategy_names), TRADER)
        for n, name in enumerate(shard.strategy_names):
            since = f"@{self._begun[name]}" if self._begun.get(name) else ""
            traders[n] = (number(name), number(f"signal:{name}{since}:"), shard.strategies["product"][n])
        followers = np.zeros(len(shard.subscription_names), FOLLOWER)
        for n, (account, strategy) in enumerate(shard.subscription_names):
            owner = f'"account":"{account}","strategy":"{strategy}"'
            followers[n] = (
                number(owner), number(f"risk:{account}"), shard.strategy_names.index(strategy),
                number(f"{account}{ALERTS[SQUARE_OFF_AT_MARKET]}"), number(f"{account}{ALERTS[SQUARE_OFF_AT_LAST_PRICE]}"),
                number(f"order of square_off:{account}:{strategy}:"),
            )  # fmt: skip
        wording = np.zeros(1, WORDING)
        for field, words in (("kind", KINDS), ("product", PRODUCTS), ("reason", REASONS)):
            wording[field][0] = [number(word) for word in words]
        for field, word in (("buy", "BUY"), ("sell", "SELL"), ("order", "order"), ("ack", "ack"), ("placed", "placed"),
                            ("failed", "failed"), ("filled", "fill:"), ("of_signal", ""),
                            ("of_cut_off", ',"origin":"square_off"')):  # fmt: skip
            wording[field] = number(word)
        return tuple(map(records, (terms, traders, followers, wording)))

    def publish(
        self, ticks: Rows, signals: Rows, decided: Decisions, tick_id: Callable[[int], str]
    ) -> list[Publication]:
        """The events of one batch in the order in which they were decided; `tick_id(row)` names a cause, in 36 characters.

        Raises: `StateMismatch` where an order is told of that this publisher has never seen.
        """
        if not len(signals) and not decided.any:
            return []
        decided_on_ticks = len(signals) or len(decided.orders) or len(decided.fills) or len(decided.refusals)
        out = self._on_ticks(ticks, signals, decided, tick_id) if decided_on_ticks else []
        slower = [(tree[0][1], self._snapshot(tree)) for tree in _trees(decided.snapshots)]
        slower += [(row[1], self._alert(row)) for row in decided.alerts.tolist()]
        if slower:
            slower.sort(key=_ordinal)
            places = np.searchsorted(self._written["ordinal"][: len(out)], [ordinal for ordinal, _ in slower])
            for n, (place, (_, event)) in enumerate(zip(places.tolist(), slower, strict=True)):
                out.insert(place + n, event)
        return out

    def _on_ticks(
        self, ticks: Rows, signals: Rows, decided: Decisions, tick_id: Callable[[int], str]
    ) -> list[Publication]:
        orders, fills, refusals = decided.orders, decided.fills, decided.refusals
        rows = signals["row"]
        causes = np.frombuffer("".join(map(tick_id, rows.tolist())).encode(), np.uint8).reshape(len(rows), ID_LENGTH)
        words, word_bounds = joined(self._reasons(refusals))
        most = len(signals) + len(refusals) + len(fills) + 5 * len(orders)
        self._make_room(most, most * self._longest + len(words))
        state = self._state
        state["events"] = state["end"] = state["key_end"] = 0
        arguments: tuple[Any, ...] = (
            records(signals), ticks["time"][rows], causes, np.empty((len(rows), ID_LENGTH), np.uint8),
            np.zeros(len(rows), np.uint8), records(orders), records(fills), records(refusals), self._out, *self._fixed,
            words, word_bounds, *self._desk, records(self._written), self._keys, *self._rest,
        )  # fmt: skip
        tell(*arguments)
        if state["unknown"][0]:
            raise StateMismatch(f"order {state['unknown'][0]} of the account is unknown to the publisher")
        return self._cut(int(state["events"][0]))

    def _make_room(self, events: int, text: int) -> None:
        if len(self._written) < events:
            self._written = np.empty(events, WRITTEN)
            self._keys = np.empty(events * LONGEST_KEY, np.uint8)
        if len(self._out) < text:
            self._out = np.empty(text, np.uint8)

    def _cut(self, count: int) -> list[Publication]:
        """What the kernel wrote, event by event."""
        written = self._written[:count]
        ends, key_ends = [0, *written["end"].tolist()], [0, *written["key_end"].tolist()]
        text, keys = self._out[: ends[-1]].tobytes(), self._keys[: key_ends[-1]].tobytes()
        return list(
            zip(
                map(self._topics.__getitem__, written["template"].tolist()),
                [keys[first:last] for first, last in pairwise(key_ends)],
                [text[first:last] for first, last in pairwise(ends)],
                repeat(None),
                strict=False,
            )
        )

    def _reasons(self, refusals: Rows) -> list[bytes]:
        """Of each refusal the rules that refused, in words."""
        words: list[bytes] = []
        for row in refusals.tolist():
            facts = dict(zip(_REFUSAL_FIELDS, row, strict=True))
            reasons = explain(facts, self._limits[facts["subscription"]], self._terms[facts["instrument"]])
            each = [f'{{"rule":"{rule}","limit":"{limit}","observed":"{seen}"}}' for rule, limit, seen in reasons]
            words.append(",".join(each).encode())
        return words

    # --- boundaries ---------------------------------------------------------------------------------------------------

    def _snapshot(self, tree: list[tuple[int, ...]]) -> Publication:
        (time, _, cash, realised, unrealised, charges, gross, equity, peak, drawdown, _, _, _, _, a, _, _) = tree[0]
        account = self.shard.account_names[a]
        strategies = ",".join(self._strategy_pnl(branch) for branch in _branches(tree[1:]))
        data = (
            f'"account":"{account}","cash":"{rupees(cash)}","realised":"{rupees(realised)}",'
            f'"unrealised":"{rupees(unrealised)}","charges":"{rupees(charges)}",'
            f'"net_pnl":"{rupees(realised + unrealised - charges)}","equity":"{rupees(equity)}",'
            f'"gross_exposure":"{rupees(gross)}","peak_equity":"{rupees(peak)}","max_drawdown":"{rupees(drawdown)}",'
            f'"strategies":[{strategies}]'
        )
        return self._pnl_topic, account.encode(), self._first("pnl_snapshot", time, account, f"pnl:{time}", data), None

    def _strategy_pnl(self, rows: Sequence[tuple[int, ...]]) -> str:
        (_, _, _, realised, unrealised, charges, _, _, _, _, _, _, _, _, _, s, _) = rows[0]
        positions = ",".join(
            f'{{"instrument_token":{self.shard.tokens[i]},"quantity":{position},'
            f'"average_price":"{rupees(average_price(cost, position))}","last_price":"{rupees(last)}",'
            f'"unrealised":"{rupees(position * last - cost)}"}}'
            for (_, _, _, _, _, _, _, _, _, _, position, cost, last, _, _, _, i) in rows[1:]
        )
        return (
            f'{{"strategy":"{self.shard.subscription_names[s][1]}","realised":"{rupees(realised)}",'
            f'"unrealised":"{rupees(unrealised)}","charges":"{rupees(charges)}",'
            f'"net_pnl":"{rupees(realised + unrealised - charges)}","positions":[{positions}]}}'
        )

    def _alert(self, row: tuple[int, ...]) -> Publication:
        time, _, observed, limit, code, a = row
        subject = self.shard.account_names[a] if a >= 0 else "shard"
        name = ALERTS[code]
        if name in _OF_CLOSING:  # named without its numbers: orders follow from it
            severity, words = _OF_CLOSING[name]
            return self.alert(time, name, severity, name, words.format(count=observed, worth=rupees(limit)), subject)
        message = (
            f"order {observed} met an event its state does not allow ({limit})"
            if name == "illegal_transition"
            else f"lost {rupees(observed)} today, the limit is {rupees(limit)}: no new exposure until tomorrow"
        )
        return self.alert(time, f"{name}:{observed}", "critical", name, message, subject)

    def alert(self, time: int, step: str, severity: str, code: str, message: str, subject: str) -> Publication:
        """A system_alert; `step` tells it from others of the same time and subject."""
        data = f'"severity":"{severity}","code":"{code}","message":{_json(message)},"subject":{_json(subject)}'
        return topics.SYSTEM_ALERTS.name, SOURCE.encode(), self._first("system_alert", time, subject, step, data), None

    def _first(self, type: str, time: int, subject: str, step: str, data: str) -> bytes:
        """An event without a cause: its id is made of its subject and time, and it correlates with itself."""
        id = event_id(time, subject, step)
        return (
            f'{{"id":"{id}","type":"{type}","timestamp":"{timestamp(time)}","correlation_id":"{id}",'
            f'"causation_id":null,"source":"{SOURCE}","version":{version_of(type)},"broker":"{self.broker}","data":{{{data}}}}}'
        ).encode()

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def working(self) -> list[int]:
        """The numbers of the orders that still work."""
        return sorted(self._working["number"][: self._state["working"][0]].tolist())

    def to_bytes(self) -> bytes:
        """The working orders as one blob."""
        return self._working[: self._state["working"][0]].tobytes()

    def add(self, blob: bytes, numbers: set[int]) -> None:
        """Takes over, beside its own, these orders of another publisher's `to_bytes`."""
        known = np.frombuffer(blob, WORKING)
        mine = known[np.isin(known["number"], list(numbers))]
        self.load(self.to_bytes() + mine.tobytes())

    def load(self, blob: bytes) -> None:
        """Takes over `to_bytes`. Raises: `StateMismatch` where it is no such blob, or of more orders than there may be."""
        if len(blob) % WORKING.itemsize or len(blob) // WORKING.itemsize > len(self._working):
            raise StateMismatch(f"publisher: {len(blob)} bytes are no working orders of this shard")
        known = np.frombuffer(blob, WORKING)
        if not NAMING[known["id"]].all() or not NAMING[known["correlation"]].all():
            raise StateMismatch("publisher: what working orders are named after are no ids")
        self._working[: len(known)] = known
        self._state["working"] = len(known)


_REFUSAL_FIELDS: Final = REFUSAL.names or ()


def _plain(row: Any) -> dict[str, int]:
    """A row's fields as plain ints: NumPy's are slow to read one by one."""
    return dict(zip(row.dtype.names, row.tolist(), strict=True))


def _ordinal(row: tuple[int, Publication]) -> int:
    return row[0]


def _trees(snapshots: Rows) -> list[list[tuple[int, ...]]]:
    """Snapshot rows cut before each account row: an account, then its strategies and their positions."""
    trees: list[list[tuple[int, ...]]] = []
    level = (SNAPSHOT.names or ()).index("level")
    for row in snapshots.tolist():
        if row[level] == ACCOUNT_LEVEL:
            trees.append([row])
        else:
            trees[-1].append(row)
    return trees


def _branches(rows: Sequence[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """A tree's rows cut before each strategy row."""
    branches: list[list[tuple[int, ...]]] = []
    level = (SNAPSHOT.names or ()).index("level")
    for row in rows:
        if row[level] == STRATEGY_LEVEL:
            branches.append([row])
        else:
            branches[-1].append(row)
    return branches
