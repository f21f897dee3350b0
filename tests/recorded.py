"""A recorded market on the log: what a feed would have written, made from TICK rows."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from connectors.kafka.records import Outgoing
from functions.codec import encode, envelope
from functions.events import AccountConfig, InstrumentConfig, MarketClock, MarketTick, StrategyConfig
from functions.ids import event_id, tick_id
from functions.topics import CONFIG_ACCOUNTS, CONFIG_INSTRUMENTS, CONFIG_STRATEGIES, MARKET_CLOCK, MARKET_TICKS


def tick_events(ticks: np.ndarray, tokens: Sequence[int], *, session: int = 1, clocks: bool = True) -> list[Outgoing]:
    """market_tick and market_clock records in one numbered order, as the feed writes them."""
    out: list[Outgoing] = []
    ordinals: Counter[tuple[int, int]] = Counter()
    second = None
    for row in ticks:
        time, token = int(row["time"]), tokens[int(row["instrument"])]
        if clocks and second is not None and time // 10**9 > second:
            out.append(clock_event((time // 10**9) * 10**9, session, len(out)))
        second = time // 10**9
        ordinal = ordinals[token, time]
        ordinals[token, time] += 1
        data = MarketTick(
            token, float(row["price"]), time // 1000, int(row["volume"]), int(row["open_interest"]), float(row["bid"]),
            float(row["ask"]), int(row["bid_quantity"]), int(row["ask_quantity"]), session, len(out),
        )  # fmt: skip
        event = envelope(data, id=tick_id(token, time, ordinal), time_ns=time, source="feed", broker="shared")
        out.append(Outgoing(MARKET_TICKS.name, str(token).encode(), encode(event)))
    return out


def clock_event(time: int, session: int, sequence: int) -> Outgoing:
    data = MarketClock(time // 1000, session, sequence)
    event = envelope(data, id=event_id(time, "clock", "feed"), time_ns=time, source="feed", broker="shared")
    return Outgoing(MARKET_CLOCK.name, b"clock", encode(event))


def config_events(
    instruments: Sequence[InstrumentConfig], accounts: Sequence[AccountConfig], strategies: Sequence[StrategyConfig]
) -> list[Outgoing]:
    def record(topic, key, data):
        event = envelope(data, id=event_id(0, key, topic.name), time_ns=0, source="config", broker="shared")
        return Outgoing(topic.name, key.encode(), encode(event))

    return [
        *(record(CONFIG_INSTRUMENTS, str(i.instrument_token), i) for i in instruments),
        *(record(CONFIG_ACCOUNTS, a.account, a) for a in accounts),
        *(record(CONFIG_STRATEGIES, s.strategy, s) for s in strategies),
    ]
