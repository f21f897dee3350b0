"""Pipeline: market data in, decisions out; one shard of accounts of one broker.

    inputs ─► gate ─► decide: signals ─► account ─► publish ─► decisions
      │        └─────────────────┴──────────┴──► dead letters ─┘
      └ ticks, clocks, commands, configuration, in the feed's order

An item is a batch. The order in which batches were read goes to the journal before anything decided on them, so a restart
folds the same batches again (`dataflows.recovery`).
"""

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from connectors import lease
from connectors.heartbeat import busy, remark
from connectors.kafka.decisions import DecisionSink, Published
from connectors.kafka.feed import FeedSource, Received
from connectors.kafka.source import KafkaSource
from connectors.logging import logger
from connectors.market_tables import tables
from connectors.settings import Settings
from connectors.settings import load as load_settings
from dataflows.desk import ALONE
from dataflows.process import ready, stop_on_signals, stopping
from dataflows.recovery import recover
from dataflows.steps import Account, Gate, Publish, Signals
from functions.assignment import Seat
from functions.kernel_compiler import watch_compiling


def build(
    inputs: Source[tuple[str, Received]], decisions: Sink[tuple[str, Published]], gate: Gate, signals: Signals,
    account: Account, publish: Publish,
) -> Dataflow:  # fmt: skip
    """The graph of this module's docstring."""
    flow = Dataflow("pipeline")
    received = op.input("inputs", flow, inputs)
    gated = op.map("gate", received, lambda item: gate(item[1]))
    # One step: a map works through all that has come before the next one begins, and a batch that changes the
    # configuration must not change it for the batches before it.
    decided = op.map("decide", gated, lambda work: publish(account(signals(work))))
    op.output("decisions", decided, decisions)
    return flow


def live(
    settings: Settings, *, broker: str = "paper", seat: Seat = ALONE, stop: Callable[[], bool] = stopping,
    until_end: bool = False, rebuild: bool = False,
) -> Dataflow:  # fmt: skip
    """The flow on the broker of these settings, going on where its journal ends.

    With `rebuild` the state is made anew from the journal, whatever snapshot there is. With `until_end` the flow ends where
    the log ended at the start, holding nothing back.
    """
    key = seat.key(broker)
    known = tables(settings)
    watch_compiling(lambda: busy("engine", lambda: "compiles the engine, which `panda compile` does ahead"))
    logger().info("pipeline.market_tables", fingerprint=known.fingerprint, calendar_ends=str(known.calendar.last_date))
    recovered = recover(settings, broker, seat, stop=stop, rebuild=rebuild)
    made, inputs = recovered.made, recovered.inputs
    remark("strategies", lambda: ", ".join(f"strategy {name} is suspended" for name in made.desk.roster.suspended))
    raw = KafkaSource(
        settings.kafka, list(inputs.topics), group=f"pipeline-{key}", key=key, positions=lambda: inputs.positions, stop=stop,
        until_end=until_end, on_live=ready,
    )  # fmt: skip
    decisions = DecisionSink(recovered.log, inputs.topics)
    return build(
        FeedSource(raw, inputs, key, drain=until_end), decisions, made.gate, made.signals, made.account, made.publish
    )


def __getattr__(name: str) -> Any:
    """`flow`, made when it is asked for, so that `python -m bytewax.run dataflows.pipeline` works."""
    if name != "flow":
        raise AttributeError(name)
    stop_on_signals()
    settings = load_settings()
    held = ExitStack()
    held.enter_context(lease.hold(settings, ALONE.key("paper")))
    atexit.register(held.close)
    globals()["flow"] = live(settings)  # asked again it is the same: its lease cannot be taken twice
    return globals()["flow"]
