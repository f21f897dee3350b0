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
from functions.events import VERSION, id_prefix, id_under, rupees, timestamp
from functions.orders import KINDS, PRODUCTS, REASONS, TOLD_ACK, TOLD_FAILED, TOLD_PLACED, TOLD_SUBMITTED
from functions.portfolio import ACCOUNT_LEVEL, SNAPSHOT, STRATEGY_LEVEL
from functions.risk import REFUSAL, explain
from functions.shard import Decisions, Shard
from functions.ticks import Rows

Publication = tuple[str, bytes, bytes]  # topic, key, JSON
SOURCE: Final = "pipeline"

_SUBMITTED, _ACK, _PLACED, _FAILED = int(TOLD_SUBMITTED), int(TOLD_ACK), int(TOLD_PLACED), int(TOLD_FAILED)


_REFUSAL_FIELDS: Final = REFUSAL.names or ()


class OpenOrder(NamedTuple):
    """What later events of an order need to know of its beginning."""

    order_id: str
    correlation: str
    key: bytes


def _text(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _price(micro: int) -> str:
    return repr(micro / 1e6) if micro else "null"


_EXACT_AS_FLOAT: Final = 10**15  # below, a float holds micro-rupees with less than half a unit of error


def _money(micro: int) -> str:
    """`events.rupees` for the hot path."""
    if micro == 0:
        return "0.00"
    if not -_EXACT_AS_FLOAT < micro < _EXACT_AS_FLOAT:
        return rupees(micro)
    text = f"{micro / 1e6:.6f}"
    return text[:-4] if text.endswith("0000") else text.rstrip("0")


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
        self._raw_topic = topics.SIGNALS_RAW.of(broker).name
        self._validated_topic = topics.SIGNALS_VALIDATED.of(broker).name
        self._rejected_topic = topics.SIGNALS_REJECTED.of(broker).name
        self._submitted_topic = topics.ORDERS_SUBMITTED.of(broker).name
        self._ack_topic = topics.ORDERS_ACK.of(broker).name
        self._placed_topic = topics.ORDERS_PLACED.of(broker).name
        self._filled_topic = topics.ORDERS_FILLED.of(broker).name
        self._failed_topic = topics.ORDERS_FAILED.of(broker).name
        self._pnl_topic = topics.PNL_SNAPSHOTS.of(broker).name
        self._tail = f',"source":"{SOURCE}","version":{VERSION},"broker":"{broker}","data":{{'
        self._owners: dict[tuple[int, int], tuple[str, str, bytes]] = {}
        self._symbols = [
            f'"tradingsymbol":{_text(i.tradingsymbol)},"exchange":"{i.exchange}"' for i in shard.instrument_configs
        ]
        self._symbol = [f'"tradingsymbol":{_text(i.tradingsymbol)}' for i in shard.instrument_configs]
        self._limits = [_plain(shard.limits[shard.account_names.index(a)]) for a, _ in shard.subscription_names]
        self._terms = [_plain(row) for row in shard.instruments]
        self._keys: dict[tuple[int, int], bytes] = {}
        self._steps: dict[tuple[int, int], str] = {}
        self._signal_ids: list[tuple[str, str]] = []
        self._at(0)

    def _at(self, time: int) -> None:
        """Neighbouring events share their moment, and so the texts made of it."""
        self._now = time
        self._stamp = timestamp(time)
        self._prefix = id_prefix(time)

    # --- the batch ----------------------------------------------------------------------------------------------------

    def publish(
        self, ticks: Rows, signals: Rows, decided: Decisions, tick_id: Callable[[int], str]
    ) -> list[Publication]:
        """The events of one batch in the order in which they were decided; `tick_id(row)` names a cause."""
        if not len(signals) and not decided.any:
            return []
        out: list[Publication] = []
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
        self._signal_ids = []
        if not len(signals):
            return []
        tokens, names, products = (
            self.shard.tokens,
            self.shard.strategy_names,
            self.shard.strategies["product"].tolist(),
        )
        times = ticks["time"][signals["row"]].tolist()
        events: list[Publication | None] = []
        for (row, quantity, limit, trigger, price, s, i, side, kind, product, nth), time in zip(
            signals.tolist(), times, strict=True
        ):
            if time != self._now:
                self._at(time)
            cause = tick_id(row)
            strategy, token = names[s], tokens[i]
            id = id_under(self._prefix, cause, self._step(s, nth))
            self._signal_ids.append((id, cause))
            name = PRODUCTS[product if product >= 0 else products[s]]
            data = (
                f'"signal_id":"{id}","strategy":"{strategy}","instrument_token":{token},'
                f'"side":"{"BUY" if side > 0 else "SELL"}","quantity":{quantity},"kind":"{KINDS[kind]}",'
                f'"product":"{name}","price":{price / 1e6!r},"limit_price":{_price(limit)},'
                f'"trigger_price":{_price(trigger)}'
            )
            json = self._json(id, "trading_signal", cause, f'"{cause}"', data)
            events.append((self._raw_topic, self._key(s, i), json))
        return events

    def _step(self, s: int, nth: int) -> str:
        step = self._steps.get((s, nth))
        if step is None:
            step = self._steps[s, nth] = f"signal:{self.shard.strategy_names[s]}:{nth}"
        return step

    def _key(self, s: int, i: int) -> bytes:
        key = self._keys.get((s, i))
        if key is None:
            key = self._keys[s, i] = f"{self.shard.strategy_names[s]}:{self.shard.tokens[i]}".encode()
        return key

    def _caused_by(self, out: list[Publication], raw: list[Publication | None], j: int) -> tuple[str, str]:
        """(signal id, correlation id) of a signal; its own event goes out first."""
        event = raw[j]
        if event is not None:
            out.append(event)
            raw[j] = None
        return self._signal_ids[j]

    def _refusal(self, out: list[Publication], raw: list[Publication | None], row: tuple[int, ...]) -> None:
        refusal = dict(zip(_REFUSAL_FIELDS, row, strict=True))
        time = refusal["time"]
        if time != self._now:
            self._at(time)
        signal, correlation = self._caused_by(out, raw, refusal["signal"])
        s, i = refusal["subscription"], refusal["instrument"]
        owner, step, key = self._owner(s, i)
        reasons = explain(refusal, self._limits[s], self._terms[i])
        words = ",".join([f'{{"rule":"{r.rule}","limit":"{r.limit}","observed":"{r.observed}"}}' for r in reasons])
        id = id_under(self._prefix, signal, step)
        data = (
            f'"signal_id":"{signal}",{owner},"side":"{"BUY" if refusal["side"] > 0 else "SELL"}",'
            f'"quantity":{refusal["quantity"]},"reasons":[{words}]'
        )
        out.append((self._rejected_topic, key, self._json(id, "signal_rejected", correlation, f'"{signal}"', data)))

    # --- orders -------------------------------------------------------------------------------------------------------

    def _order(self, out: list[Publication], raw: list[Publication | None], row: tuple[int, ...]) -> None:
        (time, _, number, quantity, limit, trigger, _, s, i, side, kind, product, told, reason, j) = row
        if time != self._now:
            self._at(time)
        owner, step, key = self._owner(s, i)
        if told & _SUBMITTED:
            prices = f'"limit_price":{_price(limit)},"trigger_price":{_price(trigger)}'
            terms = f'"kind":"{KINDS[kind]}","product":"{PRODUCTS[product]}"'
            signal = self._caused_by(out, raw, j)
            self._submitted(out, signal, number, quantity, i, side, terms, prices, owner, step, key)
        known = self.working[number]
        if told & _ACK:
            data = f'"broker_order_id":"P{number}"'
            out.append(self._stage(self._ack_topic, "order_ack", "ack", known, owner, data))
        if told & _PLACED:
            data = f'"broker_order_id":"P{number}","quantity":{quantity}'
            out.append(self._stage(self._placed_topic, "order_placed", "placed", known, owner, data))
        if told & _FAILED:
            data = f'"reason":"{REASONS[reason]}","remaining":{quantity}'
            out.append(self._stage(self._failed_topic, "order_failed", "failed", known, owner, data))
            del self.working[number]

    def _submitted(
        self, out: list[Publication], caused_by: tuple[str, str], number: int, quantity: int, i: int, side: int, terms: str,
        prices: str, owner: str, step: str, key: bytes,
    ) -> None:  # fmt: skip
        """The answer to the signal, then the order."""
        signal, correlation = caused_by
        buy_or_sell = "BUY" if side > 0 else "SELL"
        answer = id_under(self._prefix, signal, step)
        order = id_under(self._prefix, answer, "order")
        data = f'"signal_id":"{signal}",{owner},"side":"{buy_or_sell}","quantity":{quantity},"order_id":"{order}"'
        json = self._json(answer, "signal_validated", correlation, f'"{signal}"', data)
        out.append((self._validated_topic, key, json))
        known = OpenOrder(order, correlation, b"%b:%d" % (key, self._now // 1000))
        self.working[number] = known
        data = (
            f'"order_id":"{order}",{owner},{self._symbols[i]},"side":"{buy_or_sell}","quantity":{quantity},'
            f'{terms},"signal_id":"{signal}",{prices},"validity":"DAY"'
        )
        json = self._json(order, "order_submitted", correlation, f'"{answer}"', data)
        out.append((self._submitted_topic, known.key, json))

    def _stage(self, topic: str, type: str, step: str, known: OpenOrder, owner: str, data: str) -> Publication:
        """An event of an order that is known."""
        order = known.order_id
        id = id_under(self._prefix, order, step)
        data = f'"order_id":"{order}",{owner},{data}'
        return topic, known.key, self._json(id, type, known.correlation, f'"{order}"', data)

    def _fill(self, out: list[Publication], raw: list[Publication | None], row: tuple[int, ...]) -> None:
        (
            time, _, number, nth, _, price, quantity, left, charges, realised, position, cost, reference, s, i, side, _,
        ) = row  # fmt: skip
        if time != self._now:
            self._at(time)
        known = self.working[number]
        data = (
            f'{self._symbol[i]},"side":"{"BUY" if side > 0 else "SELL"}","quantity":{quantity},"remaining":{left},'
            f'"price":"{_money(price)}","value":"{_money(price * quantity)}","charges":"{_money(charges)}",'
            f'"realised_pnl":"{_money(realised)}","position":{position},'
            f'"average_price":"{_money(average_price(cost, position))}","slippage":"{_money(side * (price - reference))}"'
        )
        out.append(self._stage(self._filled_topic, "order_filled", f"fill:{nth}", known, self._owner(s, i)[0], data))
        if left == 0:
            del self.working[number]

    # --- boundaries ---------------------------------------------------------------------------------------------------

    def _snapshot(self, out: list[Publication], raw: list[Publication | None], tree: list[tuple[int, ...]]) -> None:
        (time, _, cash, realised, unrealised, charges, gross, equity, peak, drawdown, _, _, _, _, a, _, _) = tree[0]
        if time != self._now:
            self._at(time)
        account = self.shard.account_names[a]
        strategies = ",".join(self._strategy_pnl(branch) for branch in _branches(tree[1:]))
        id = id_under(self._prefix, account, f"pnl:{time}")
        data = (
            f'"account":"{account}","cash":"{_money(cash)}","realised":"{_money(realised)}",'
            f'"unrealised":"{_money(unrealised)}","charges":"{_money(charges)}",'
            f'"net_pnl":"{_money(realised + unrealised - charges)}","equity":"{_money(equity)}",'
            f'"gross_exposure":"{_money(gross)}","peak_equity":"{_money(peak)}","max_drawdown":"{_money(drawdown)}",'
            f'"strategies":[{strategies}]'
        )
        out.append((self._pnl_topic, account.encode(), self._json(id, "pnl_snapshot", id, "null", data)))

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
        self._at(time)
        id = id_under(self._prefix, subject, step)
        data = f'"severity":"{severity}","code":"{code}","message":{_text(message)},"subject":{_text(subject)}'
        return topics.SYSTEM_ALERTS.name, SOURCE.encode(), self._json(id, "system_alert", id, "null", data)

    # --- text ---------------------------------------------------------------------------------------------------------

    def _owner(self, s: int, i: int) -> tuple[str, str, bytes]:
        """Of a subscription and an instrument: the JSON that names them, the risk step's name, the key of signals."""
        known = self._owners.get((s, i))
        if known is None:
            account, strategy = self.shard.subscription_names[s]
            token = self.shard.tokens[i]
            text = f'"account":"{account}","strategy":"{strategy}","instrument_token":{token}'
            strategy_index = self.shard.strategy_names.index(strategy)
            known = self._owners[s, i] = (text, f"risk:{account}", self._key(strategy_index, i))
        return known

    def _json(self, id: str, type: str, correlation: str, cause: str, data: str) -> bytes:
        """An envelope at the present moment; `cause` is JSON already."""
        return (
            f'{{"id":"{id}","type":"{type}","timestamp":"{self._stamp}","correlation_id":"{correlation}",'
            f'"causation_id":{cause}{self._tail}{data}}}}}'
        ).encode()

    # --- state --------------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The working orders' ids as one blob."""
        return msgspec.msgpack.encode({str(n): known for n, known in self.working.items()})

    def load(self, blob: bytes) -> None:
        self.working = {int(n): known for n, known in msgspec.msgpack.decode(blob, type=dict[str, OpenOrder]).items()}


def _plain(row: Any) -> dict[str, int]:
    """A row's fields as plain ints: NumPy's are slow to read one by one."""
    return dict(zip(row.dtype.names, row.tolist(), strict=True))


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
