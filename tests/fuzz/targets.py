"""Targets: everything that reads bytes of others, what it may raise on them, and what must hold when it does not.

Both drivers take their targets from here: Hypothesis (`test_fuzz.py`, among the tests) and libFuzzer (`python -m tests.fuzz`).
A target is a function of bytes. Where it reads one of several kinds of bytes, the first byte says which.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from connectors.errors import DataError, PipelineError
from connectors.kafka.feed import Inputs, Received
from connectors.kafka.records import MAX_MESSAGE, Record
from connectors.recorded.reading import read
from dataflows import steps
from dataflows.desk import Configuration
from dataflows.recovery import input_topics
from functions.codec import decode, encode, envelope
from functions.events import (
    Command,
    Depth,
    MarketClock,
    MarketTick,
    PaperVenue,
    Payload,
    PnlSnapshot,
    PositionPnl,
    StrategyPnl,
)
from functions.ids import tick_id
from functions.journal import (
    Batch,
    Entry,
    Opening,
    Snapshot,
    Start,
    UnknownFormat,
    decode_line,
    decode_snapshot,
    encode_line,
    encode_snapshot,
)
from functions.poison import NO_LIMIT
from functions.topics import (
    COMMANDS,
    CONFIG_ACCOUNTS,
    CONFIG_INSTRUMENTS,
    CONFIG_STRATEGIES,
    MARKET_CLOCK,
    MARKET_TICKS,
)
from tests.desk import SECOND, TEN, account, instrument, lax, strategy

KEY: Final = "paper-0"
TOPICS: Final = input_topics("paper")
PARTS: Final = (
    "gate",
    "desk",
    "account",
    "publish",
)  # of a state; that of strategies is pickled by us, and not for fuzzing


@dataclass(frozen=True)
class Target:
    """Bytes that it is meant to read, what it raises on others, and itself. What it raises beyond that is a fault."""

    name: str
    seeds: Callable[[], Sequence[bytes]]
    declared: tuple[type[Exception], ...]
    run: Callable[[bytes], None]

    def attempt(self, raw: bytes) -> bool:
        """Whether the bytes were taken."""
        try:
            self.run(raw)
        except self.declared:
            return False
        return True


# --- valid bytes ------------------------------------------------------------------------------------------------------


def event(payload: Payload, n: int = 0) -> bytes:
    time = TEN + n * SECOND // 10
    return encode(envelope(payload, id=tick_id(1, time, 0), time_ns=time, source="feed", broker="shared"))


def market_tick(n: int, price: float = 101.0, token: int = 1, session: int = 1) -> bytes:
    levels = Depth([(price - 0.05, 40), (price - 0.1, 7)], [(price + 0.05, 4), (price + 0.1, 30)])
    microseconds = (TEN + n * SECOND // 10) // 1000
    data = MarketTick(token, price, microseconds, n, 0, price - 0.05, price + 0.05, 40, 4, session, n, levels)
    return event(data, n)


def of_topics() -> list[tuple[str, bytes]]:
    """One good record of every kind that a pipeline reads, with its topic."""
    desk = configuration()
    return [
        (MARKET_TICKS.name, market_tick(1)),
        (MARKET_TICKS.name, event(MarketTick(2, 99.0, TEN // 1000, session=1, sequence=1))),
        (MARKET_CLOCK.name, event(MarketClock(TEN // 1000, 1, 1))),
        (COMMANDS.of("paper").name, event(Command("kill", "a", "desk", "drill"))),
        (COMMANDS.of("paper").name, event(Command("arm", "b", "desk"))),
        (CONFIG_INSTRUMENTS.name, event(desk.instruments[0])),
        (CONFIG_ACCOUNTS.name, event(account("a", "900000", limits=lax(max_position=5), venue=PaperVenue()))),
        (CONFIG_STRATEGIES.name, event(strategy("s", (1, 2), parameters={"quantity": 3}))),
        (CONFIG_STRATEGIES.name, event(strategy("t", (2,), implementation="mean_reversion", enabled=False))),
    ]


def configuration() -> Configuration:
    """Two instruments, one account whose venue walks the book, one strategy."""
    return Configuration(
        [instrument(1), instrument(2)], [account("a", limits=lax(max_open_orders=8), venue=PaperVenue(walk_depth=True))],
        [strategy("s", (1, 2), parameters={"quantity": 2, "window": 2})],
    )  # fmt: skip


def _of_other_types() -> list[bytes]:
    position = PositionPnl(1, 5, "10.00", "11.00", "5.00")
    strategies = [StrategyPnl("s", "1.00", "5.00", "0.10", "5.90", [position])]
    return [event(PnlSnapshot("a", *["1.00"] * 9, strategies))]


@cache
def traded() -> steps.Parts:
    """A desk with positions, working orders and a past."""
    made = steps.parts(configuration(), "paper", KEY).begin(NO_LIMIT)
    inputs = Inputs(TOPICS, made.index_of)
    prices = (100.0, 101.0, 102.0, 103.0, 101.0, 100.0, 99.0, 101.0)
    records = [Record(MARKET_TICKS.name, 0, n, b"1", market_tick(n, price)) for n, price in enumerate(prices)]
    made.decide(inputs.receive(records, lambda: False))
    assert made.desk.shard.accounts["fills"][0] > 0
    return made


@cache
def state() -> dict[str, bytes]:
    return traded().state()


# --- what reads them --------------------------------------------------------------------------------------------------


def read_event(raw: bytes) -> None:
    found = decode(raw)
    assert decode(encode(found)) == found


def read_line(raw: bytes) -> None:
    line = decode_line(raw)
    assert decode_line(encode_line(line)) == line


def read_snapshot(raw: bytes) -> None:
    snapshot = decode_snapshot(raw)
    assert encode_snapshot(decode_snapshot(encode_snapshot(snapshot))) == encode_snapshot(snapshot)


def framed(kind: int, raw: bytes) -> bytes:
    return bytes([kind]) + raw


def receive(raw: bytes) -> None:
    """One record between two good ones: it is taken or broken, once, and spoils neither."""
    inputs, record, first, last = _between(raw)
    received = inputs.receive([first, record, last], lambda: True)

    taken = [*received.records, *(each for each, _ in received.events)]
    broken = [each.record for each in received.broken]
    assert sorted(taken + broken, key=_at) == sorted([first, record, last], key=_at)
    assert {first, last} <= set(received.records)
    assert len(received.ticks) == len(received.records)
    assert all(each.error and each.message for each in received.broken)


def decide(raw: bytes) -> None:
    """The same through all steps: decided on or a dead letter, and what is decided can be read."""
    inputs, record, first, last = _between(raw)
    made = steps.restored(state(), "paper", KEY)
    events = [
        out
        for batch in ([first, record], [last], [])
        for out in made.decide(inputs.receive(batch, lambda: True)).events
    ]

    letters = [out for out in events if out[0].endswith(".dlq")]
    others = [out for out in letters if out[2] != record.value]
    if record.topic == MARKET_CLOCK.name:  # it says how late a tick may be
        assert {dict(headers or ())["error"] for _, _, _, headers in others} <= {b"from_the_future"}
    else:
        assert not others
    assert all(topic == f"{record.topic}.dlq" for topic, _, value, _ in letters if value == record.value)
    assert len(letters) - len(others) <= 1
    assert all(len(value) <= MAX_MESSAGE * 4 for _, _, _, headers in letters for _, value in headers or ())
    for topic, _, value, _ in events:
        if not topic.endswith(".dlq"):
            decode(value or b"")
    again = steps.restored(made.state(), "paper", KEY)
    assert again.state() == made.state()


def _between(raw: bytes) -> tuple[Inputs, Record, Record, Record]:
    topic = TOPICS[raw[0] % len(TOPICS)] if raw else TOPICS[0]
    record = Record(topic, 0, 101, b"s" if topic == CONFIG_STRATEGIES.name else b"a", raw[1:] or None)
    first, last = (Record(MARKET_TICKS.name, 0, 100 + n, b"1", market_tick(n, 101.0 + n)) for n in (20, 22))
    return Inputs(TOPICS, {1: 0, 2: 1}, session=1, following=20), record, first, last


def _at(record: Record) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def restore(raw: bytes) -> None:
    """A state of which one part has been spoilt: refused, or the steps go on from it."""
    part = PARTS[raw[0] % len(PARTS)] if raw else PARTS[0]
    made = steps.restored(state() | {part: raw[1:]}, "paper", KEY)
    made.begin(NO_LIMIT)
    inputs = Inputs(TOPICS, {1: 0, 2: 1}, session=1, following=20)
    for n in range(20, 26):
        value = market_tick(n, 95.0 + 3 * (n % 3), 1 + n % 2)
        made.decide(inputs.receive([Record(MARKET_TICKS.name, 0, n, b"1", value)], lambda: False))
    made.decide(Received())
    made.state()


def read_recording(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "SBIN.csv"
        path.write_bytes(raw)
        recording = read([path], strict=False)
        assert len(recording.ticks) > 0


def _lines() -> list[bytes]:
    return [
        encode_line(line)
        for line in (
            Start(7, tuple(TOPICS)), Opening(7, b"snapshot"),
            Entry(7, (Batch((0, 3, 10, 12, 1, 0, 5, 5), 4), Batch((), 0, True)), 2, 99),
        )
    ]  # fmt: skip


def _snapshots() -> list[bytes]:
    snapshot = Snapshot(
        positions=[(MARKET_TICKS.name, 0, 8)], held=[(MARKET_TICKS.name, 0, 5, 6)], feed_session=1, following=8,
        topics=tuple(TOPICS), partition=0, journal=3, session=7, tails=[("paper.orders.filled", 0, 2)], state={"gate": b"abc"},
    )  # fmt: skip
    second = {
        "positions": [[MARKET_TICKS.name, 0, 8]], "session": 1, "following": 8, "state": {"gate": b"abc"}, "version": 2,
    }  # fmt: skip
    return [encode_snapshot(snapshot), msgspec.msgpack.encode(second)]


_RECORDING: Final = b"""timestamp,instrument_token,last_price,volume,bid,ask
2026-05-06 10:00:00,1,100.5,10,100.45,100.55
2026-05-06 10:00:01,1,100.55,20,100.5,100.6
2026-05-06 10:00:02,1,100.6,25,100.55,100.65
"""
_BARS: Final = b"""date,open,high,low,close,volume
2026-05-06 10:00:00+05:30,100,101,99.5,100.5,1000
2026-05-06 10:01:00+05:30,100.5,102,100,101.5,900
"""

TARGETS: Final = (
    Target("event", lambda: [raw for _, raw in of_topics()] + _of_other_types(), (msgspec.DecodeError,), read_event),
    Target("inputs", lambda: [framed(TOPICS.index(t), raw) for t, raw in of_topics()], (), receive),
    Target("steps", lambda: [framed(TOPICS.index(t), raw) for t, raw in of_topics()], (), decide),
    Target("journal", _lines, (UnknownFormat,), read_line),
    Target("snapshot", _snapshots, (UnknownFormat,), read_snapshot),
    Target("state", lambda: [framed(n, state()[part]) for n, part in enumerate(PARTS)], (PipelineError,), restore),
    Target("recording", lambda: [_RECORDING, _BARS], (DataError,), read_recording),
)
