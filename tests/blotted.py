"""What the writes of the blotter come to, without Redis: hashes, sorted sets, what was told."""

import json
from typing import Any

from functions.blotter import Keys, reduce
from tests.history import pairs

KEYS = Keys("paper")


class Tables:
    """Dictionaries of hashes and of sorted sets, `{member: score}`."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[str, str]] = {}
        self.sorted: dict[str, dict[str, int]] = {}
        self.accounts: set[str] = set()
        self.published: list[Any] = []
        self.commands: list[tuple[str, str]] = []

    def take(self, *events: Any) -> "Tables":
        """One batch."""
        for write in reduce("paper", pairs(*events), self.hashes):
            self.commands.append((write.command, write.key))
            values = [v.decode() if isinstance(v, bytes) else v for v in write.arguments]
            match write.command:
                case "HSET":
                    self.hashes.setdefault(write.key, {}).update(zip(values[::2], map(str, values[1::2]), strict=True))
                case "ZADD":
                    scores = zip(map(str, values[1::2]), map(int, values[::2]), strict=True)
                    self.sorted.setdefault(write.key, {}).update(scores)
                case "ZREMRANGEBYRANK":
                    first, last = map(int, values)
                    ranked = sorted(self.sorted[write.key], key=lambda one: (self.sorted[write.key][one], one.encode()))
                    for gone in ranked[first : len(ranked) + last + 1] if len(ranked) + last >= 0 else []:
                        del self.sorted[write.key][gone]
                case "SADD":
                    self.accounts.update(map(str, values))
                case "PUBLISH":
                    self.published.append(json.loads(values[0]))
        return self

    def one_by_one(self, *events: Any) -> "Tables":
        for event in events:
            self.take(event)
        return self

    def kept(self) -> dict[str, Any]:
        """All but what was told, as bytes would be compared: the fields of a hash in any order, its text as it is."""
        return {"hashes": self.hashes, "sorted": self.sorted, "accounts": self.accounts}

    def list(self, key: str) -> list[Any]:
        """The events of a list, oldest first."""
        return [json.loads(one.partition(" ")[2]) for one in sorted(self.sorted.get(key, {}))]

    def row(self, key: str, field: str) -> Any:
        return json.loads(self.hashes[key][field])

    def order(self, order: str = "o1") -> Any:
        return self.row(KEYS.orders("a"), order)

    def position(self, account: str = "a") -> Any:
        return self.row(KEYS.positions(account), "momentum:738561")
