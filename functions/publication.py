"""Publication: the rows that a batch decided become the events that the world sees, in the order they were decided.

    signals ─► trading_signal ─► signal_validated ─► order_submitted, order_ack, order_placed ─► order_filled | order_failed
                              └► signal_rejected                       boundaries ─► pnl_snapshot, alerts ─► system_alert

This is the one place that decides what is published. An id is a hash of its cause and step, so the same decisions give
the same bytes. The JSON is assembled from text here, as it is the hottest step of a live flow; a test holds it equal to
`events.encode` of the same structs.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from functions import topics
from functions.account import ALERTS
from functions.events import VERSION, event_id, rupees, timestamp
from functions.orders import KINDS, PRODUCTS, REASONS, TOLD_ACK, TOLD_FAILED, TOLD_PLACED, TOLD_SUBMITTED
from functions.portfolio import ACCOUNT_LEVEL, SNAPSHOT, STRATEGY_LEVEL
from functions.risk import REFUSAL, explain
from functions.shard import Decisions, Shard
from functions.ticks import Rows

Publication = tuple[str, bytes, bytes]  # topic, key, JSON
SOURCE: Final = "pipeline"

_SUBMITTED, _ACK, _PLACED, _FAILED = int(TOLD_SUBMITTED), int(TOLD_ACK), int(TOLD_PLACED), int(TOLD_FAILED)


class OpenOrder(NamedTuple):
    """What later events of an order need to know of its beginning."""

    order_id: str
    correlation: str
    key: bytes


def _text(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _price(micro: int) -> str:
    return repr(micro / 1e6) if micro else "null"


def _money(micro: int) -> str:
    """`events.rupees` for the hot path."""
    if micro < 0:
        return "-" + _money(-micro)
    paise, rest = divmod(micro, 10_000)
    if rest == 0:
        return f"{paise // 100}.{paise % 100:02d}"
    return f"{micro // 1_000_000}.{micro % 1_000_000:06d}".rstrip("0")


def average_price(cost: int, position: int) -> int:
    """Average price of a position in micro-rupees, half up; 0 when flat.

    >>> average_price(-300_000_001, -2), average_price(0, 0)
    (150000001, 0)
    """
    if position == 0:
        return 0
    return (2 * abs(cost) + abs(position)) // (2 * abs(position))


class Publisher:
    """Makes events of one shard's decisions. Its state is the orders that still work."""

    def __init__(self, shard: Shard, broker: str) -> None:
        self.shard = shard
        self.broker = broker
        self.working: dict[int, OpenOrder] = {}
        self._topic = {t: t.of(broker).name for t in topics.PER_BROKER}
        self._tail = f'","source":"{SOURCE}","version":{VERSION},"broker":"{broker}","data":{{'
        self._owners: dict[tuple[int, int], str] = {}
        self._symbols = [
            f'"tradingsymbol":{_text(i.tradingsymbol)},"exchange":"{i.exchange}"' for i in shard.instrument_configs
        ]
        self._symbol = [f'"tradingsymbol":{_text(i.tradingsymbol)}' for i in shard.instrument_configs]
        self._signal_ids: dict[int, tuple[str, str]] = {}

    # --- the batch ----------------------------------------------------------------------------------------------------

    def publish(
        self, ticks: Rows, signals: Rows, decided: Decisions, tick_id: Callable[[int], str]
    ) -> list[Publication]:
        """The events of one batch in the order in which they were decided; `tick_id(row)` names a cause."""
        if not len(signals) and not decided.any:
            return []
        out: list[Publication] = []
        self._signal_ids.clear()
        raw = self._raw_signals(ticks, signals, tick_id)
        for _, kind, row in self._in_order(decided):
            kind(out, raw, row)
        out.extend(event for event in raw if event is not None)  # of strategies that trade for no account
        return out

    def _in_order(self, decided: Decisions) -> list[tuple[int, Any, Any]]:
        """(ordinal, method, row) of everything, sorted by ordinal; account rows of snapshots carry their whole tree."""
        rows: list[tuple[int, Any, Any]] = []
        for table, method in (
            (decided.orders, self._order), (decided.fills, self._fill), (decided.refusals, self._refusal),
            (decided.alerts, self._alert),
        ):  # fmt: skip
            if len(table):
                rows += [(row[1], method, row) for row in table.tolist()]
        if len(decided.snapshots):
            rows += [(tree[0][1], self._snapshot, tree) for tree in _trees(decided.snapshots)]
        if len(rows) > 1:
            rows.sort(key=_ordinal)
        return rows

    # --- signals ------------------------------------------------------------------------------------------------------

    def _raw_signals(self, ticks: Rows, signals: Rows, tick_id: Callable[[int], str]) -> list[Publication | None]:
        """trading_signal of every signal; they are given out before their first answer."""
        if not len(signals):
            return []
        topic = self._topic[topics.SIGNALS_RAW]
        tokens, names, products = (
            self.shard.tokens,
            self.shard.strategy_names,
            self.shard.strategies["product"].tolist(),
        )
        times = ticks["time"][signals["row"]].tolist()
        events: list[Publication | None] = []
        for j, (row, quantity, limit, trigger, price, s, i, side, kind, product, nth) in enumerate(signals.tolist()):
            time = times[j]
            cause = tick_id(row)
            strategy, token = names[s], tokens[i]
            id = event_id(time, cause, f"signal:{strategy}:{nth}")
            self._signal_ids[j] = (id, cause)
            name = PRODUCTS[product if product >= 0 else products[s]]
            data = (
                f'"signal_id":"{id}","strategy":"{strategy}","instrument_token":{token},'
                f'"side":"{"BUY" if side > 0 else "SELL"}","quantity":{quantity},"kind":"{KINDS[kind]}",'
                f'"product":"{name}","price":{price / 1e6!r},"limit_price":{_price(limit)},'
                f'"trigger_price":{_price(trigger)}'
            )
            events.append(
                (topic, f"{strategy}:{token}".encode(), self._json(id, "trading_signal", time, cause, cause, data))
            )
        return events

    def _caused_by(self, out: list[Publication], raw: list[Publication | None], j: int) -> tuple[str, str]:
        """(signal id, correlation id) of a signal; its own event goes out first."""
        event = raw[j]
        if event is not None:
            out.append(event)
            raw[j] = None
        return self._signal_ids[j]

    def _refusal(self, out: list[Publication], raw: list[Publication | None], row: tuple[int, ...]) -> None:
        refusal = dict(zip(REFUSAL.names or (), row, strict=True))
        signal, correlation = self._caused_by(out, raw, refusal["signal"])
        s, i, time = refusal["subscription"], refusal["instrument"], refusal["time"]
        account, strategy = self.shard.subscription_names[s]
        shard = self.shard
        a = shard.account_names.index(account)
        reasons = explain(refusal, shard.limits[a], shard.instruments[i])
        words = ",".join(f'{{"rule":"{r.rule}","limit":"{r.limit}","observed":"{r.observed}"}}' for r in reasons)
        id = event_id(time, signal, f"risk:{account}")
        data = (
            f'"signal_id":"{signal}",{self._owner(s, i)},"side":"{"BUY" if refusal["side"] > 0 else "SELL"}",'
            f'"quantity":{refusal["quantity"]},"reasons":[{words}]'
        )
        key = f"{strategy}:{shard.tokens[i]}".encode()
        out.append(
            (
                self._topic[topics.SIGNALS_REJECTED],
                key,
                self._json(id, "signal_rejected", time, correlation, signal, data),
            )
        )

    # --- orders -------------------------------------------------------------------------------------------------------

    def _order(self, out: list[Publication], raw: list[Publication | None], row: tuple[int, ...]) -> None:
        (time, _, number, quantity, limit, trigger, _, s, i, side, kind, product, told, reason, j) = row
        if told & _SUBMITTED:
            self._submitted(out, raw, time, number, quantity, limit, trigger, s, i, side, kind, product, j)
        known = self.working[number]
        if told & _ACK:
            self._stage(out, topics.ORDERS_ACK, "order_ack", "ack", known, time, s, i, f'"broker_order_id":"P{number}"')
        if told & _PLACED:
            data = f'"broker_order_id":"P{number}","quantity":{quantity}'
            self._stage(out, topics.ORDERS_PLACED, "order_placed", "placed", known, time, s, i, data)
        if told & _FAILED:
            data = f'"reason":"{REASONS[reason]}","remaining":{quantity}'
            self._stage(out, topics.ORDERS_FAILED, "order_failed", "failed", known, time, s, i, data)
            del self.working[number]

    def _submitted(
        self, out: list[Publication], raw: list[Publication | None], time: int, number: int, quantity: int, limit: int,
        trigger: int, s: int, i: int, side: int, kind: int, product: int, j: int,
    ) -> None:  # fmt: skip
        signal, correlation = self._caused_by(out, raw, j)
        account, strategy = self.shard.subscription_names[s]
        token = self.shard.tokens[i]
        owner = self._owner(s, i)
        buy_or_sell = "BUY" if side > 0 else "SELL"
        answer = event_id(time, signal, f"risk:{account}")
        order = event_id(time, answer, "order")
        data = f'"signal_id":"{signal}",{owner},"side":"{buy_or_sell}","quantity":{quantity},"order_id":"{order}"'
        out.append(
            (
                self._topic[topics.SIGNALS_VALIDATED], f"{strategy}:{token}".encode(),
                self._json(answer, "signal_validated", time, correlation, signal, data),
            )
        )  # fmt: skip
        known = OpenOrder(order, correlation, f"{strategy}:{token}:{time // 1000}".encode())
        self.working[number] = known
        data = (
            f'"order_id":"{order}",{owner},{self._symbols[i]},"side":"{buy_or_sell}","quantity":{quantity},'
            f'"kind":"{KINDS[kind]}","product":"{PRODUCTS[product]}","signal_id":"{signal}",'
            f'"limit_price":{_price(limit)},"trigger_price":{_price(trigger)},"validity":"DAY"'
        )
        json = self._json(order, "order_submitted", time, correlation, answer, data)
        out.append((self._topic[topics.ORDERS_SUBMITTED], known.key, json))

    def _stage(
        self, out: list[Publication], topic: topics.Topic, type: str, step: str, known: OpenOrder, time: int, s: int,
        i: int, data: str,
    ) -> None:  # fmt: skip
        id = event_id(time, known.order_id, step)
        data = f'"order_id":"{known.order_id}",{self._owner(s, i)},{data}'
        out.append((self._topic[topic], known.key, self._json(id, type, time, known.correlation, known.order_id, data)))

    def _fill(self, out: list[Publication], raw: list[Publication | None], row: tuple[int, ...]) -> None:
        (
            time, _, number, nth, _, price, quantity, left, charges, realised, position, cost, reference, s, i, side, _,
        ) = row  # fmt: skip
        known = self.working[number]
        data = (
            f'{self._symbol[i]},"side":"{"BUY" if side > 0 else "SELL"}","quantity":{quantity},"remaining":{left},'
            f'"price":"{_money(price)}","value":"{_money(price * quantity)}","charges":"{_money(charges)}",'
            f'"realised_pnl":"{_money(realised)}","position":{position},'
            f'"average_price":"{_money(average_price(cost, position))}","slippage":"{_money(side * (price - reference))}"'
        )
        self._stage(out, topics.ORDERS_FILLED, "order_filled", f"fill:{nth}", known, time, s, i, data)
        if left == 0:
            del self.working[number]

    # --- boundaries ---------------------------------------------------------------------------------------------------

    def _snapshot(self, out: list[Publication], raw: list[Publication | None], tree: list[tuple[int, ...]]) -> None:
        (time, _, cash, realised, unrealised, charges, gross, equity, peak, drawdown, _, _, _, _, a, _, _) = tree[0]
        account = self.shard.account_names[a]
        strategies = ",".join(self._strategy_pnl(branch) for branch in _branches(tree[1:]))
        id = event_id(time, account, f"pnl:{time}")
        data = (
            f'"account":"{account}","cash":"{_money(cash)}","realised":"{_money(realised)}",'
            f'"unrealised":"{_money(unrealised)}","charges":"{_money(charges)}",'
            f'"net_pnl":"{_money(realised + unrealised - charges)}","equity":"{_money(equity)}",'
            f'"gross_exposure":"{_money(gross)}","peak_equity":"{_money(peak)}","max_drawdown":"{_money(drawdown)}",'
            f'"strategies":[{strategies}]'
        )
        json = self._json(id, "pnl_snapshot", time, id, None, data)
        out.append((self._topic[topics.PNL_SNAPSHOTS], account.encode(), json))

    def _strategy_pnl(self, rows: Sequence[tuple[int, ...]]) -> str:
        (_, _, _, realised, unrealised, charges, _, _, _, _, _, _, _, _, _, s, _) = rows[0]
        positions = ",".join(
            f'{{"instrument_token":{self.shard.tokens[i]},"quantity":{position},'
            f'"average_price":"{_money(average_price(cost, position))}","last_price":"{_money(last)}",'
            f'"unrealised":"{_money(position * last - cost)}"}}'
            for (_, _, _, _, _, _, _, _, _, _, position, cost, last, _, _, _, i) in rows[1:]
        )
        return (
            f'{{"strategy":"{self.shard.subscription_names[s][1]}","realised":"{_money(realised)}",'
            f'"unrealised":"{_money(unrealised)}","charges":"{_money(charges)}",'
            f'"net_pnl":"{_money(realised + unrealised - charges)}","positions":[{positions}]}}'
        )

    def _alert(self, out: list[Publication], raw: list[Publication | None], row: tuple[int, ...]) -> None:
        time, ordinal, observed, limit, code, a = row
        subject = self.shard.account_names[a] if a >= 0 else "shard"
        name = ALERTS[code]
        message = (
            f"order {observed} met an event its state does not allow ({limit})"
            if name == "illegal_transition"
            else f"lost {rupees(observed)} today, the limit is {rupees(limit)}: no new exposure until tomorrow"
        )
        out.append(self.alert(time, f"{name}:{ordinal}", "critical", name, message, subject))

    def alert(self, time: int, step: str, severity: str, code: str, message: str, subject: str) -> Publication:
        """A system_alert; `step` tells it from others of the same time and subject."""
        id = event_id(time, subject, step)
        data = (
            f'"severity":"{severity}","code":"{code}","message":{_text(message)},"subject":{_text(subject)}'
        )  # fmt: skip
        return topics.SYSTEM_ALERTS.name, SOURCE.encode(), self._json(id, "system_alert", time, id, None, data)

    # --- text ---------------------------------------------------------------------------------------------------------

    def _owner(self, s: int, i: int) -> str:
        owner = self._owners.get((s, i))
        if owner is None:
            account, strategy = self.shard.subscription_names[s]
            owner = f'"account":"{account}","strategy":"{strategy}","instrument_token":{self.shard.tokens[i]}'
            self._owners[s, i] = owner
        return owner

    def _json(self, id: str, type: str, time: int, correlation: str, cause: str | None, data: str) -> bytes:
        if cause is None:
            tail = self._tail[1:]
            return (
                f'{{"id":"{id}","type":"{type}","timestamp":"{timestamp(time)}","correlation_id":"{correlation}",'
                f'"causation_id":null{tail}{data}}}}}'
            ).encode()
        return (
            f'{{"id":"{id}","type":"{type}","timestamp":"{timestamp(time)}","correlation_id":"{correlation}",'
            f'"causation_id":"{cause}{self._tail}{data}}}}}'
        ).encode()

    # --- state --------------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The working orders' ids as one blob."""
        return msgspec.msgpack.encode({str(n): known for n, known in self.working.items()})

    def load(self, blob: bytes) -> None:
        self.working = {int(n): known for n, known in msgspec.msgpack.decode(blob, type=dict[str, OpenOrder]).items()}


def _ordinal(row: tuple[int, Any, Any]) -> int:
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
