"""Topics: the one declaration of every topic. No other module spells a topic's name.

From this table come topic creation, the rights of the flows' users, the dead-letter names and `docs/asyncapi.yaml`. A
name may hold `{b}`: the broker, which is a parameter everywhere (`of("paper")`).
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

from functions.events import PAYLOADS

Cleanup = Literal["delete", "compact"]

_DAY = 86_400_000
FOREVER_FOR_AUDIT: Final = 3_652 * _DAY  # ten years


@dataclass(frozen=True)
class Topic:
    """One topic, or with `{b}` in its name one per broker.

    `payloads` are the event types it carries (empty: dead letters, journal and snapshots, which are no events).
    `key` says in words what its record key is. `retention_ms` is how long a deleted topic keeps records.
    """

    name: str
    payloads: tuple[str, ...]
    key: str
    partitions: int
    retention_ms: int
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    cleanup: Cleanup = "delete"
    summary: str = ""
    from_gateway: bool = False  # with a real broker its order gateway writes this topic, on paper the pipeline does
    beside_gateway: tuple[str, ...] = ()  # who reads it as well with a real broker
    of_dead_letters: bool = False

    def of(self, broker: str) -> "Topic":
        """This topic for one broker."""
        name = self.name.replace("{b}", broker)
        if broker == "paper":
            return replace(self, name=name)
        writers = ("orders",) if self.from_gateway else self.writers
        return replace(self, name=name, writers=writers, readers=self.readers + self.beside_gateway)

    @property
    def per_broker(self) -> bool:
        return "{b}" in self.name

    @property
    def dead_letters(self) -> "Topic":
        """Where a record of this topic goes, whole and with its reason, when nobody can decide on it."""
        return Topic(
            f"{self.name}.dlq", (), f"key of the original record ({self.key})", 1, 90 * _DAY, self.readers + self.writers,
            ("notify", "archive"), summary=f"Records of {self.name} that could not be used: original bytes, reason in headers",
            of_dead_letters=True,
        )  # fmt: skip


MARKET_TICKS: Final = Topic(
    "market.ticks", ("market_tick",), "instrument_token", 12, 7 * _DAY, ("feed",), ("pipeline", "archive"),
    summary="Every update of every instrument, as received",
)  # fmt: skip
MARKET_CLOCK: Final = Topic(
    "market.clock", ("market_clock",), "clock", 1, 7 * _DAY, ("feed",), ("pipeline", "archive"),
    summary="One event a second of market time: time passes even when nothing trades",
)  # fmt: skip
MARKET_QUALITY: Final = Topic(
    "market.quality", ("quality_report",), "instrument_token", 1, 30 * _DAY, ("feed",), ("cache", "archive"),
    summary="What the feed noticed about its own data",
)  # fmt: skip
SYSTEM_ALERTS: Final = Topic(
    "system.alerts", ("system_alert",), "flow", 1, 30 * _DAY, ("feed", "pipeline", "orders", "connectors", "cache"),
    ("notify", "cache", "archive"),
    summary="What a human should know",
)  # fmt: skip
CONFIG_STRATEGIES: Final = Topic(
    "config.strategies", ("strategy_configured",), "strategy", 1, 7 * _DAY, ("config",),
    ("config", "pipeline", "archive"), "compact",
    summary="The strategies, their parameters, instruments and accounts",
)  # fmt: skip
CONFIG_ACCOUNTS: Final = Topic(
    "config.accounts", ("account_configured",), "account", 1, 7 * _DAY, ("config",),
    ("config", "pipeline", "archive"), "compact",
    summary="The accounts, their capital, limits and venue",
)  # fmt: skip
CONFIG_INSTRUMENTS: Final = Topic(
    "config.instruments", ("instrument_configured",), "instrument_token", 1, 7 * _DAY, ("config",),
    ("config", "feed", "pipeline", "archive"), "compact",
    summary="The instruments, their tick and lot sizes",
)  # fmt: skip
PIPELINE_JOURNAL: Final = Topic(
    "pipeline.journal", (), "shard", 16, 7 * _DAY, ("pipeline",), ("pipeline", "archive"),
    summary="The order in which a shard read its inputs, before what it decided on them; one partition per shard",
)  # fmt: skip
PIPELINE_SNAPSHOTS: Final = Topic(
    "pipeline.snapshots", (), "shard", 1, 7 * _DAY, ("pipeline",), ("pipeline",), "compact",
    summary="The newest state of each shard, one blob with a version",
)  # fmt: skip
COMMANDS: Final = Topic(
    "{b}.commands", ("command",), "account", 1, 365 * _DAY, ("api",), ("pipeline", "archive"),
    summary="What a human orders the machine to do", beside_gateway=("orders",),
)  # fmt: skip
SIGNALS_RAW: Final = Topic(
    "{b}.signals.raw", ("trading_signal",), "strategy:instrument", 6, 90 * _DAY, ("pipeline",), ("cache", "archive"),
    summary="What strategies want",
)  # fmt: skip
SIGNALS_VALIDATED: Final = Topic(
    "{b}.signals.validated", ("signal_validated",), "strategy:instrument", 6, 90 * _DAY, ("pipeline",),
    ("cache", "archive"),
    summary="Signals that an account lets leave",
)  # fmt: skip
SIGNALS_REJECTED: Final = Topic(
    "{b}.signals.rejected", ("signal_rejected",), "strategy:instrument", 6, 90 * _DAY, ("pipeline",),
    ("cache", "archive"),
    summary="Signals that an account refuses, with every rule that refused",
)  # fmt: skip


def _orders(stage: str, payload: str, summary: str, *readers: str) -> Topic:
    return Topic(
        f"{{b}}.orders.{stage}", (payload,), "strategy:instrument:timestamp of the order", 3, FOREVER_FOR_AUDIT,
        ("pipeline",), ("cache", "archive", *readers),
        summary=summary, from_gateway=stage != "submitted",
        beside_gateway=("orders",) if stage == "submitted" else ("pipeline",),
    )  # fmt: skip


ORDERS_SUBMITTED: Final = _orders("submitted", "order_submitted", "Orders that a venue is asked to take")
ORDERS_ACK: Final = _orders("ack", "order_ack", "Orders that a venue has received")
ORDERS_PLACED: Final = _orders("placed", "order_placed", "Orders that work at a venue")
ORDERS_FILLED: Final = _orders("filled", "order_filled", "Trades", "connect")
ORDERS_FAILED: Final = _orders("failed", "order_failed", "Orders that will not fill further")
ORDER_TOPICS: Final = (ORDERS_SUBMITTED, ORDERS_ACK, ORDERS_PLACED, ORDERS_FILLED, ORDERS_FAILED)
PNL_SNAPSHOTS: Final = Topic(
    "{b}.pnl.snapshots", ("pnl_snapshot",), "account", 3, 90 * _DAY, ("pipeline",),
    ("cache", "archive", "connect"),
    summary="Accounts at each second of event time in which they changed",
)  # fmt: skip

SHARED: Final = (
    MARKET_TICKS, MARKET_CLOCK, MARKET_QUALITY, SYSTEM_ALERTS, CONFIG_STRATEGIES, CONFIG_ACCOUNTS, CONFIG_INSTRUMENTS,
    PIPELINE_JOURNAL, PIPELINE_SNAPSHOTS,
)  # fmt: skip
PER_BROKER: Final = (
    COMMANDS, SIGNALS_RAW, SIGNALS_VALIDATED, SIGNALS_REJECTED, ORDERS_SUBMITTED, ORDERS_ACK, ORDERS_PLACED,
    ORDERS_FILLED, ORDERS_FAILED, PNL_SNAPSHOTS,
)  # fmt: skip


def all_topics(brokers: tuple[str, ...]) -> tuple[Topic, ...]:
    """Every topic of a deployment with these brokers, dead letters included, in a stable order.

    >>> [t.name for t in all_topics(("paper",))][:3]
    ['market.ticks', 'market.clock', 'market.quality']
    """
    of_events_and_state = tuple(
        t.of(b) if t.per_broker else t for t in SHARED + PER_BROKER for b in (brokers if t.per_broker else ("",))
    )
    return of_events_and_state + tuple(t.dead_letters for t in of_events_and_state if t.payloads)


def outputs(broker: str) -> tuple[Topic, ...]:
    """What a pipeline of this broker decides: the topics that the read side is made of."""
    return tuple(t.of(broker) for t in PER_BROKER if t is not COMMANDS)


def decided(broker: str) -> tuple[Topic, ...]:
    """Every topic that a pipeline of this broker writes decisions to, and dead letters of what it reads.

    >>> [t.name for t in decided("zerodha") if "orders" in t.name or "alerts" in t.name][:2]
    ['zerodha.orders.submitted', 'system.alerts']
    """
    mine = tuple(t for t in outputs(broker) if "pipeline" in t.writers)
    read = tuple(t.of(broker) for t in SHARED + PER_BROKER if "pipeline" in t.of(broker).readers and t.payloads)
    return (*mine, SYSTEM_ALERTS, *(t.dead_letters for t in read))


def archived(brokers: tuple[str, ...]) -> list[str]:
    """The names of the topics that a lake holds: all events and all dead letters."""
    return [topic.name for topic in all_topics(brokers) if "archive" in topic.readers]


assert all(p in PAYLOADS for t in SHARED + PER_BROKER for p in t.payloads), "a topic names an unknown payload"
