"""A worker in the test's own process, one read at a time: what a test wants to stop between two steps, or to break."""

from datetime import timedelta
from typing import Any

from bytewax.testing import run_main

from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.kafka.source import Reader
from connectors.settings import Settings
from dataflows import pipeline
from dataflows.recovery import input_topics, recover
from functions.assignment import Seat
from tests.chaos import load
from tests.chaos.history import BROKER, History


def write(settings: Settings, records: list[Outgoing]) -> None:
    writer = Writer(settings.kafka)
    writer.write(records)
    writer.flush()


def run_to_the_end(settings: Settings) -> None:
    """A pipeline that goes on to the end of the log, and stops cleanly."""
    run_main(pipeline.live(settings, until_end=True), epoch_interval=timedelta(seconds=0.1))


def history(settings: Settings, **more: Any) -> History:
    return History.read(settings.kafka, [Seat()], **more)


def market(seed: int = 5) -> list[Outgoing]:
    """One feed's records, late, twice and unreadable ones among them."""
    return load.Load(seed, 1).block(0)


class ByHand:
    """One worker of the one shard."""

    def __init__(self, settings: Settings) -> None:
        recovered = recover(settings, BROKER, stop=lambda: False)
        self._made, self._inputs, self.log = recovered.made, recovered.inputs, recovered.log
        self._reader = Reader(settings.kafka, input_topics(BROKER), "by-hand", self._inputs.positions)

    def decide(self, most: int = 50) -> int:
        """Reads what is there, decides on it and writes it; how many events."""
        records = self._reader.read(most, 2.0)
        published = self._made.decide(self._inputs.receive(records, lambda: False))
        if published.batch or published.events:  # nothing read is no entry
            self.log.write([published.batch] if published.batch else [], published.events)
        self.log.settle()
        return len(published.events)

    def decide_something(self) -> int:
        """Goes on until something has been decided."""
        while not (count := self.decide()):
            pass
        return count

    def close(self) -> None:
        self.log.close()
        self._reader.close()
