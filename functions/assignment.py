"""Assignment: which shard of a broker an account belongs to.

A shard is a set of accounts that one worker holds. An account says its shard itself, or its name does: the same name
always falls to the same of so many shards.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

from functions.events import AccountConfig

MAX_SHARDS = 256


@dataclass(frozen=True)
class Seat:
    """One shard of so many: `number` counts from 1."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        """Raises: `ValueError` for a shard that cannot be."""
        if not 1 <= self.number <= self.of <= MAX_SHARDS:
            raise ValueError(f"a shard is i/n with 1 ≤ i ≤ n ≤ {MAX_SHARDS}, was {self.number}/{self.of}")

    @classmethod
    def parse(cls, text: str) -> "Seat":
        """From `i/n`.

        >>> Seat.parse("2/4")
        Seat(number=2, of=4)
        """
        number, slash, of = text.partition("/")
        if not slash or not number.strip().isdecimal() or not of.strip().isdecimal():
            raise ValueError(f"a shard is i/n, e.g. 1/4, was {text!r}")
        return cls(int(number), int(of))

    def key(self, broker: str) -> str:
        """The name that snapshots, journal, consumer group and lease of this shard share.

        >>> Seat().key("paper"), Seat(2, 4).key("paper")
        ('paper-0', 'paper-1of4')
        """
        return f"{broker}-0" if self.of == 1 else f"{broker}-{self.number - 1}of{self.of}"

    def holds(self, account: AccountConfig) -> bool:
        return shard_of(account, self.of) == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def journal_partition(broker_number: int, brokers: int, seat: Seat, partitions: int) -> int:
    """Where a shard keeps its journal: each has a partition of its own as long as there are enough.

    >>> [journal_partition(0, 2, Seat(n, 3), 16) for n in (1, 2, 3)], journal_partition(1, 2, Seat(), 16)
    ([0, 2, 4], 1)
    """
    return (brokers * (seat.number - 1) + broker_number) % partitions


def shard_of(account: AccountConfig, shards: int) -> int:
    """The shard of an account, from 1; 0 where it names one that there is not. One alone holds everything.

    >>> shard_of(AccountConfig("a", "paper", shard=3), 4), shard_of(AccountConfig("a", "paper", shard=5), 4)
    (3, 0)
    """
    if shards == 1:
        return 1
    if account.shard is None:
        return xxhash.xxh3_64_intdigest(account.account.encode()) % shards + 1
    return account.shard if 1 <= account.shard <= shards else 0


def homeless(accounts: Iterable[AccountConfig], shards: int) -> list[str]:
    """Accounts that no shard of so many would hold, in words."""
    return [
        f"account {account.account} is assigned to shard {account.shard}, there are {shards}"
        for account in accounts
        if account.enabled and shard_of(account, shards) == 0
    ]
