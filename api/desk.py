"""The desk as Redis holds it: read functions over one broker's tables."""

import json
import re
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, cast

import redis

from api.models import (
    Account,
    Alert,
    CacheState,
    Fill,
    Order,
    Page,
    PnlPoint,
    Position,
    Reason,
    Rejection,
    Signal,
    Strategy,
    Summary,
)  # fmt: skip
from api.pages import Cursor, page_of
from connectors.heartbeat import boot_id
from functions.blotter import ALL_ACCOUNTS, Keys
from functions.codec import current
from functions.ids import ID_PATTERN

SILENT_S: Final = 5.0  # a cache that has not written for so long is said to be silent
_CHUNK: Final = 500
_ID: Final = re.compile(ID_PATTERN)

Event = dict[str, Any]


class Desk:
    """Answers about one broker. Raises: `redis.RedisError` where Redis does not answer."""

    def __init__(self, client: "redis.Redis", broker: str) -> None:
        self._client = client
        self._broker = broker
        self._keys = Keys(broker)

    # --- accounts -----------------------------------------------------------------------------------------------------

    def names(self, account: str | None = None) -> list[str]:
        """The accounts, or the one that is asked for; none where it is unknown."""
        known = sorted(cast(set[str], self._client.smembers(self._keys.accounts)))
        return known if account is None else [name for name in known if name == account]

    def accounts(self) -> Page[Account]:
        names = self.names()
        times = [cast(str | None, self._client.hget(self._keys.account(name), "timestamp")) for name in names]
        items = [Account(account=n, broker=self._broker, as_of=t) for n, t in zip(names, times, strict=True)]
        return Page(items=items)

    def portfolio(self) -> Page[Summary]:
        """Every account that has had a snapshot."""
        return Page(items=[summary for name in self.names() if (summary := self._summary(name)) is not None])

    def _summary(self, account: str) -> Summary | None:
        fields = cast(dict[str, str], self._client.hgetall(self._keys.account(account)))
        if not fields:
            return None
        held = sum(1 for row in self._hash(self._keys.positions(account)) if row["quantity"])
        working = sum(1 for row in self._hash(self._keys.orders(account)) if row["status"] not in ("filled", "failed"))
        return Summary.model_validate(
            {**fields, "as_of": fields["timestamp"], "open_positions": held, "open_orders": working}
        )

    def positions(self, account: str | None, strategy: str | None, flat: bool) -> Page[Position]:
        """Open positions; with `flat` also those that were."""
        items = [
            Position.model_validate({**row, "account": name, "as_of": row["timestamp"]})
            for name in self.names(account)
            for row in self._hash(self._keys.positions(name))
            if (flat or row["quantity"]) and strategy in (None, row["strategy"])
        ]
        return Page(items=sorted(items, key=lambda p: (p.account, p.strategy, p.instrument_token)))

    def recent_pnl(self, account: str) -> list[PnlPoint]:
        """The snapshots that Redis still holds, oldest first."""
        members = cast(list[str], self._client.zrange(self._keys.pnl(account), 0, -1))
        return [PnlPoint.model_validate(_event_of(one)[1]) for one in members]

    # --- orders -------------------------------------------------------------------------------------------------------

    def orders(
        self, account: str | None, strategy: str | None, status: str | None, after: Cursor | None, limit: int
    ) -> Page[Order]:
        """Open orders and the last closed ones, newest first."""
        rows = [
            row
            for name in self.names(account)
            for row in self._hash(self._keys.orders(name))
            if strategy in (None, row["strategy"]) and status in (None, row["status"])
        ]
        keyed = sorted(((_order_key(row), row) for row in rows), key=lambda pair: pair[0], reverse=True)
        following = [(key, Order.model_validate(row)) for key, row in keyed if after is None or key < after]
        return page_of(following, limit)

    def order(self, order_id: str) -> Order | None:
        for name in self.names():
            text = cast(str | None, self._client.hget(self._keys.orders(name), order_id))
            if text is not None:
                return Order.model_validate_json(text)
        return None

    def strategies(self) -> Page[Strategy]:
        rows = sorted(self._hash(self._keys.strategies), key=lambda row: row["strategy"])
        return Page(items=[Strategy.model_validate(row) for row in rows])

    # --- lists --------------------------------------------------------------------------------------------------------

    def fills(self, account: str | None, strategy: str | None, after: Cursor | None, limit: int) -> Page[Fill]:
        lists = {name: self._keys.fills(name) for name in self.names(account)}
        return self._newest(lists, Fill.model_validate, _of(strategy), after, limit)

    def signals(self, account: str | None, strategy: str | None, after: Cursor | None, limit: int) -> Page[Signal]:
        """What strategies want; with an account, what it lets leave."""
        name = ALL_ACCOUNTS if account is None else account
        return self._newest({name: self._keys.signals(name)}, Signal.model_validate, _of(strategy), after, limit)

    def rejections(
        self, account: str | None, strategy: str | None, rule: str | None, after: Cursor | None, limit: int
    ) -> Page[Rejection]:
        lists = {name: self._keys.rejections(name) for name in self.names(account)}

        def wanted(event: Event) -> bool:
            rules = [Reason.model_validate(reason).rule for reason in event["reasons"]]
            return _of(strategy)(event) and (rule is None or rule in rules)

        return self._newest(lists, Rejection.model_validate, wanted, after, limit)

    def alerts(self, after: Cursor | None, limit: int) -> Page[Alert]:
        return self._newest({"": self._keys.alerts}, Alert.model_validate, lambda event: True, after, limit)

    def _newest(
        self, lists: dict[str, str], model: Callable[[Event], Any], wanted: Callable[[Event], bool],
        after: Cursor | None, limit: int,
    ) -> Page[Any]:  # fmt: skip
        """Events of several lists as one, newest first, by (id of the event, name of the list)."""
        found: list[tuple[Cursor, Event]] = []
        for name, key in lists.items():
            following = ((event_id, event) for event_id, event in self._back_from(key, name, after) if wanted(event))
            found += (((event_id, name), event) for event_id, event in islice(following, limit + 1))
        found.sort(key=lambda one: one[0], reverse=True)
        return page_of([(cursor, model(event)) for cursor, event in found[: limit + 1]], limit)

    def _back_from(self, key: str, name: str, after: Cursor | None) -> Iterator[tuple[str, Event]]:
        """A list's events that follow a cursor, newest first, in chunks. No letter of an id sorts before ` ` or `!`."""
        last = "+" if after is None else f"({after[0]}!" if name < after[1] else f"({after[0]} "
        while True:
            members = cast(list[str], self._client.zrange(key, last, "-", desc=True, bylex=True, offset=0, num=_CHUNK))
            yield from map(_event_of, members)
            if len(members) < _CHUNK:
                return
            last = f"({members[-1]}"

    # --- the cache itself ---------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Records that the cache has taken from each topic."""
        counts: dict[str, int] = {}
        for (topic, _), offset in self.offsets().items():
            counts[topic] = counts.get(topic, 0) + offset
        return counts

    def offsets(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition that the cache will take."""
        stored = cast(dict[str, str], self._client.hgetall(self._keys.offsets))
        places = {place.rpartition(":"): int(offset) for place, offset in stored.items()}
        return {(topic, int(partition)): offset for (topic, _, partition), offset in places.items()}

    def cache(self, ends: dict[tuple[str, int], int] | None) -> CacheState:
        """How the cache is doing; `ends` are the ends of its topics, for its lag."""
        beat = cast(str | None, self._client.get(self._keys.heartbeat))
        if beat is None:
            return CacheState(state="never seen")
        said = json.loads(beat)
        age = round(_age_s(said), 1)
        offsets = self.offsets()
        lag = None if ends is None else sum(max(0, end - offsets.get(at, 0)) for at, end in ends.items())
        return CacheState(
            state="live" if age < SILENT_S else "silent",
            written_s_ago=age,
            newest_event=said["newest_event"],
            lag_records=lag,
        )

    def _hash(self, key: str) -> list[dict[str, Any]]:
        return [json.loads(text) for text in cast(list[str], self._client.hvals(key))]


def _age_s(said: dict[str, Any]) -> float:
    """Of a heartbeat: by the monotonic clock where the writer shares ours, else by the wall clocks of two machines."""
    if said.get("boot") and said["boot"] == boot_id():
        return time.monotonic() - said["monotonic"]
    return max(0.0, time.time() - said["written_at"])


def _read(text: str) -> Event:
    """The envelope's facts beside the payload's, of an event of any version."""
    event = json.loads(current(text.encode()))
    return {**event["data"], **{name: event[name] for name in ("id", "timestamp", "source")}}


def _of(strategy: str | None) -> Callable[[Event], bool]:
    return lambda event: strategy in (None, event["strategy"])


def _order_key(row: dict[str, Any]) -> Cursor:
    return (row["submitted_at"] or row["updated_at"], row["order_id"])


def _event_of(member: str) -> tuple[str, Event]:
    """The id and the facts of an event in its list."""
    event_id, _, text = member.partition(" ")
    return event_id, _read(text)


def is_entry(cursor: Cursor) -> bool:
    """Whether a cursor names an event of a list."""
    return _ID.fullmatch(cursor[0]) is not None
