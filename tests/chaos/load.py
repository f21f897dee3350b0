"""The load: a market, a desk's commands and its configuration, written as a log gets them when little goes well.

    walks ─► numbered ticks and clocks ─┬─► lost, late, twice ─► paced ─► log
             commands, configuration, ──┘
             records nobody can read

Everything but the pace follows from the seed.
"""

import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, Final

import msgspec

from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.settings import KafkaSettings
from functions.codec import encode, envelope
from functions.events import AccountConfig, Command, InstrumentConfig, PaperVenue, StrategyConfig
from functions.topics import (
    COMMANDS,
    CONFIG_ACCOUNTS,
    CONFIG_INSTRUMENTS,
    CONFIG_STRATEGIES,
    MARKET_CLOCK,
    MARKET_TICKS,
)
from tests.desk import account, instrument, lax
from tests.market import TEN, walk
from tests.recorded import config_events, tick_events

TOKENS: Final = list(range(11, 23))
BLOCK: Final = 600  # ticks that one feed writes before the next begins its numbers anew
STEP_NS: Final = 20_000_000  # of market time between ticks
LATER: Final = 30  # places by which a record may be late

WRITTEN: Final = (MARKET_TICKS.name, MARKET_CLOCK.name, COMMANDS.of("paper").name, CONFIG_ACCOUNTS.name,
                  CONFIG_STRATEGIES.name, CONFIG_INSTRUMENTS.name)  # fmt: skip

Records = list[Outgoing]


def instruments() -> list[InstrumentConfig]:
    return [instrument(token) for token in TOKENS]


def accounts(shards: int) -> list[AccountConfig]:
    """Two a shard, one of which runs into its limits."""
    limits = (lax(max_position=60), lax(max_position=15, max_orders_per_second=3))
    return [
        account(f"paper-{shard}{letter}", limits=limit, venue=PaperVenue(slippage_bps="1"), shard=shard)
        for shard in range(1, shards + 1)
        for letter, limit in zip("ab", limits, strict=True)
    ]


def strategies(shards: int) -> list[StrategyConfig]:
    """Two a shard: one that many shards run is not told of by each of them in the same words."""
    return [made for shard in range(1, shards + 1) for made in strategies_of(shard, shards)]


def strategies_of(shard: int, shards: int) -> tuple[StrategyConfig, StrategyConfig]:
    names = [made.account for made in accounts(shards) if made.shard == shard]
    fade = {"quantity": 3, "window": 5, "deviations": 1.8}
    follow = {"quantity": 2, "window": 4, "threshold": 0.002}
    return (
        StrategyConfig(f"fade-{shard}", "mean_reversion", fade, TOKENS, names),
        StrategyConfig(f"follow-{shard}", "momentum", follow, TOKENS[:6], names),
    )


def configuration(shards: int) -> Records:
    """What is on the log before anything else."""
    return config_events(instruments(), accounts(shards), strategies(shards))


class Load:
    """Endless records in the order of their delivery."""

    def __init__(self, seed: int, shards: int) -> None:
        self._chance = random.Random(seed)
        self._seed = seed
        self._shards = shards
        self._made = count()

    def blocks(self) -> Iterator[Records]:
        """One feed's life after the other, with what comes in between."""
        for number in count():
            yield self.block(number)

    def block(self, number: int) -> Records:
        chance = self._chance
        start = TEN + number * BLOCK * STEP_NS
        ticks = walk(BLOCK, len(TOKENS), 0.0008, self._seed * 1_000 + number, step_ns=STEP_NS, start=start)
        records = tick_events(ticks, TOKENS, session=number + 1)
        if chance.random() < 0.3:
            del records[chance.randrange(1, len(records) - 1)]  # a number that never comes
        return self._mixed(records)

    def _mixed(self, records: Records) -> Records:
        """With records late and twice, and all the others in between."""
        chance = self._chance
        placed: list[tuple[float, Outgoing]] = []
        for place, record in enumerate(records):
            late = chance.randrange(1, LATER) + 0.5 if chance.random() < 0.05 else 0.0
            placed.append((place + late, record))
            if chance.random() < 0.01:
                placed.append((place + chance.randrange(LATER) + 0.5, record))
            if chance.random() < 0.005:
                placed.append((place + 0.5, self._unreadable()))
            if chance.random() < 0.006:
                name = chance.choice([*(made.account for made in accounts(self._shards)), "nobody"])
                placed += [(place + 0.5, self._command("kill", name)), (place + 40.5, self._command("resume", name))]
            if chance.random() < 0.004:
                placed.append((place + 0.5, self._command(chance.choice(["arm", "disarm", "flatten"]), "paper-1a")))
            if chance.random() < 0.006:
                placed += [(place + 0.5, change) for change in self._change()]
        return [record for _, record in sorted(placed, key=lambda at: at[0])]

    def _unreadable(self) -> Outgoing:
        chance = self._chance
        key = str(chance.choice(TOKENS)).encode()
        junk = chance.choice([b"{", b"\x00\xff no json", b"", b"[]", b'{"id":"x"}'])
        topic = chance.choice([MARKET_TICKS.name, MARKET_TICKS.name, MARKET_CLOCK.name, COMMANDS.of("paper").name])
        if chance.random() < 0.5:
            return Outgoing(topic, key, junk)
        stranger = tick_events(walk(1, 1, 0.0, 1), [99], session=0)[0]
        free = stranger.value.replace(b'"last_price":1000.0', b'"last_price":0') if stranger.value else b""
        return Outgoing(MARKET_TICKS.name, key, chance.choice([stranger.value, free]))

    def _command(self, name: Any, who: str) -> Outgoing:
        said = Command(name, who, "chaos")
        event = envelope(said, id=f"command-{next(self._made)}", time_ns=0, source="api", broker="paper")
        return Outgoing(COMMANDS.of("paper").name, who.encode(), encode(event))

    def _change(self) -> Records:
        chance = self._chance
        fade, follow = strategies_of(chance.randint(1, self._shards), self._shards)
        name = chance.choice(accounts(self._shards))
        changed = msgspec.structs.replace
        return chance.choice(
            [
                config_events([], [], [changed(follow, parameters={**follow.parameters, "window": chance.choice([3, 4, 5])})]),
                config_events([], [], [changed(fade, parameters={**fade.parameters, "quantity": chance.choice([1, 3])})]),
                config_events([], [], [changed(follow, enabled=False, on_disable=chance.choice(["hold", "flatten"]))]),
                config_events([], [], [follow]),
                config_events([], [], [changed(fade, instruments=[98_765])]),  # refused
                config_events([], [changed(name, limits=lax(max_position=chance.choice([15, 60])))], []),
                config_events([instrument(77)], [], []),  # from the next start on
            ]
        )  # fmt: skip


# --- as a process -----------------------------------------------------------------------------------------------------


def _fill(kafka: KafkaSettings, seed: int, shards: int, rate: float, over: Any) -> None:
    """Writes at this pace, in records a second, until it is told that it is over."""
    writer = Writer(kafka)
    began, written = time.monotonic(), 0
    for block in Load(seed, shards).blocks():
        for record in block:
            writer.write([record])
            written += 1
            ahead = began + written / rate - time.monotonic()
            if over.wait(ahead) if ahead > 0.02 else over.is_set():
                writer.flush()
                return


@contextmanager
def filling(kafka: KafkaSettings, seed: int, shards: int, rate: float) -> Iterator[None]:
    """A process that fills the log for the time of the block; at its end everything is written."""
    anew = multiprocessing.get_context("spawn")
    over = anew.Event()
    process = anew.Process(target=_fill, args=(kafka, seed, shards, rate, over), daemon=True)
    process.start()
    try:
        yield
        over.set()
        process.join(60)
        if process.exitcode != 0:
            raise AssertionError(f"the load ended with {process.exitcode}")
    finally:
        with suppress(ValueError):
            process.kill()
        process.join()
