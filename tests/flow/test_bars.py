"""Bars on the log: what the feed writes of them, and that a backtest of the same bars decides the same."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from connectors.kafka.feed import Decoder, Received
from connectors.kafka.records import Record
from connectors.recorded.reading import Recording
from dataflows import backtest
from functions.bars import ticks_of_bars
from functions.calendar import MINUTE
from functions.events import PaperVenue
from functions.ticks import NO_DEPTH
from functions.topics import MARKET_TICKS, PNL_SNAPSHOTS
from strategies.protocol import Signal
from tests.desk import TEN, account, instrument, lax, strategy
from tests.feed import fed
from tests.flow.script import desk, loop

HERE = __name__
TOKENS = [1, 2]


class Brackets:
    """Buys and sells in turn, with a stop and a target on either side."""

    fields = ("price",)

    def __init__(self) -> None:
        self.seen = 0

    def on_tick(self, tick):
        self.seen += 1
        side = 1 if self.seen % 2 else -1
        near, far = round(tick.price - side * 0.5, 2), round(tick.price + side * 0.75, 2)
        return [
            Signal(side * 5), Signal(side * 3, "LIMIT", limit=near), Signal(-side * 2, "SL-M", trigger=near),
            Signal(-side * 4, "LIMIT", limit=far),
        ]  # fmt: skip


def recorded(count: int = 90, minutes: int = 1) -> Recording:
    """Bars of two shares: random walks of 40 steps of five paise a bar, some bars without volume."""
    rng = np.random.default_rng(4)
    paths = 2_000 + np.cumsum(rng.choice([-1, 1], (len(TOKENS), count, 40)).reshape(len(TOKENS), -1), axis=1)
    steps = paths.reshape(-1, 40) * 0.05
    time = np.tile(TEN + np.arange(count) * minutes * MINUTE, len(TOKENS))
    prices = np.round([steps[:, 0], steps.max(axis=1), steps.min(axis=1), steps[:, -1]], 2)
    volume = rng.integers(0, 4, len(time)) * 100
    made = ticks_of_bars(
        time, time + minutes * MINUTE, *prices, volume, np.repeat(np.arange(len(TOKENS)), count)
    )  # fmt: skip
    order = np.argsort(made.ticks["time"], kind="stable")
    return Recording([instrument(t) for t in TOKENS], made.ticks[order], NO_DEPTH, [], [], made.ranges[order])


def test_the_prints_of_a_bar_say_which_they_are_and_the_close_its_range():
    data = recorded(1)
    first = [json.loads(r.value or b"")["data"] for r in fed(data) if r.topic == MARKET_TICKS.name]
    high, low = (data.ranges[name][data.ranges["high"] > 0][0] / 1e6 for name in ("high", "low"))

    assert [d["bar"]["at"] for d in first] == ["open", "open", "close", "close"]
    assert first[0]["bar"] == {"at": "open", "start": TEN // 1000}
    assert first[2]["bar"] == {"at": "close", "start": TEN // 1000, "high": high, "low": low}
    assert first[2]["exchange_timestamp"] == (TEN + MINUTE) // 1000 - 1


# In plain Python one of them says as much as all: half a minute each.
@pytest.mark.parametrize(
    ("venue", "cuts"),
    [
        pytest.param(venue, cuts, marks=() if (n, cuts) == (1, 7) else pytest.mark.compiled)
        for n, venue in enumerate([PaperVenue(slippage_bps="1"), PaperVenue(latency_ms=45_000, walk_depth=True)])
        for cuts in (1, 7, 10_000)
    ],
)
def test_the_log_and_a_backtest_decide_the_same_on_bars_to_the_byte(venue, cuts):
    data = recorded()
    trader = account("a", limits=lax(max_open_orders=60, max_position=60), venue=venue)
    plan = [strategy("s", TOKENS, implementation=f"{HERE}:Brackets"), strategy("m", TOKENS[:1])]
    expected = []
    outcome = backtest.run(
        data.ticks, data.instruments, trader, plan, ranges=data.ranges, on_events=expected.extend, batch=17
    )
    made = desk(
        venue=venue, limits=lax(max_open_orders=60, max_position=60), strategies=plan, instruments=data.instruments
    )
    decoder = Decoder({token: n for n, token in enumerate(TOKENS)})
    written = [Record(r.topic, 0, n, r.key, r.value) for n, r in enumerate(fed(data))]
    market = [record for record in written if record.topic.startswith("market.") and record.value]

    found = []
    for first, last in pairwise([*range(0, len(market), cuts), len(market)]):
        rows, kept, _, _ = decoder.ticks(market[first:last], [])
        found += [event for published in loop(made, [Received(rows, kept)]) for event in published.events]

    pnl = PNL_SNAPSHOTS.of("paper").name
    mine = Counter((topic, value) for topic, _, value, _ in found)
    theirs = Counter((topic, value) for topic, _, value, _ in expected)
    assert not theirs - mine
    assert {topic for topic, _ in mine - theirs} <= {pnl}  # the last second is told when a later one begins
    assert len(outcome.fills) > 100
