"""The harness: workers trade on a log that keeps filling, and one misfortune after the other befalls them.

    load ─► log ◄─► workers, one shard after its own agenda each       at the end: the log as a history ─► checks

A seed fixes the load and the agendas; at which instruction a kill hits is the machine's.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from connectors.errors import PipelineError
from connectors.kafka.sink import Writer
from dataflows.rebuilding import verified
from functions.assignment import Seat
from functions.topics import decided
from tests.chaos import checks, load, misfortunes
from tests.chaos.history import BROKER, History
from tests.chaos.relay import Network
from tests.chaos.workers import Workers
from tests.ground import Ground

RATE: Final = 150.0  # records a second
Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a run came to."""

    seconds: float = 0.0
    kills: int = 0
    killed_live: int = 0
    befell: list[str] = field(default_factory=list)
    inputs: int = 0
    outputs: int = 0
    copies: int = 0  # second copies that readers drop
    faults: list[str] = field(default_factory=list)

    def in_words(self) -> str:
        return (
            f"{self.kills} kills ({self.killed_live} of live workers) in {self.seconds:.0f} s: {self.inputs} inputs, "
            f"{self.outputs} outputs, {self.copies} second copies dropped, "
            + (f"{len(self.faults)} FAULTS" if self.faults else "everything as it should be")
        )


class Run:
    """One run on one ground."""

    def __init__(self, ground: Ground, seed: int, kills: int, shards: int, directory: Path, say: Say) -> None:
        self.outcome = Outcome()
        self._ground, self._seed, self._say = ground, seed, say
        self._directory = directory
        self._seats = [Seat(number, shards) for number in range(1, shards + 1)]
        chance = random.Random(seed)
        agenda = misfortunes.agenda(chance, kills)
        self._agendas = [agenda[n::shards] for n in range(shards)]
        self._failed = threading.Event()
        self._began = time.monotonic()

    def go(self) -> Outcome:
        writer = Writer(self._ground.kafka)
        writer.write(load.configuration(len(self._seats)))
        writer.flush()
        with ExitStack() as held:
            network = held.enter_context(Network())
            all_workers = [
                Workers(self._ground, seat, self._directory / seat.key(BROKER), network) for seat in self._seats
            ]
            for workers in all_workers:
                held.callback(workers.close)
            # Each has begun: a first start is refused where the newest configuration is one that workers have refused.
            self._side_by_side(all_workers, [["asked to stop"]] * len(all_workers))
            with load.filling(self._ground.kafka, self._seed, len(self._seats), RATE):
                self._side_by_side(all_workers, self._agendas)
            self._finish(all_workers)
        self.outcome.seconds = time.monotonic() - self._began
        return self.outcome

    def _side_by_side(self, all_workers: list[Workers], agendas: list[list[str]]) -> None:
        with ThreadPoolExecutor(len(all_workers)) as threads:
            list(threads.map(self._befall, all_workers, agendas))

    def _befall(self, workers: Workers, agenda: list[str]) -> None:
        chance = random.Random(f"{self._seed} {workers.key}")
        for name in agenda:
            if self._failed.is_set():
                return
            began = time.monotonic()
            try:
                misfortunes.ALL[name](workers, chance)
            except Exception as error:  # whatever it is, it ends the run and is told
                self._failed.set()
                self.outcome.faults.append(f"{name}: {type(error).__name__}: {error}")
                return
            self.outcome.befell.append(name)
            at, took = time.monotonic() - self._began, time.monotonic() - began
            self._say(f"{at:6.1f} s  {workers.key}  {workers.kills:3d} kills  {name} ({took:.1f} s)")

    def _finish(self, all_workers: list[Workers]) -> None:
        outcome = self.outcome
        outcome.kills = sum(workers.kills for workers in all_workers)
        outcome.killed_live = sum(workers.killed_live for workers in all_workers)
        self._side_by_side(all_workers, [[misfortunes.TO_THE_END]] * len(all_workers))
        if not outcome.faults:
            self._judge()

    def _judge(self) -> None:
        outcome = self.outcome
        history = History.read(self._ground.kafka, self._seats)
        outcome.inputs = sum(len(history.records[name]) for name in load.WRITTEN)
        outcome.outputs = len(history.written)
        outcome.copies = sum(len(history.records[topic.name]) for topic in decided(BROKER)) - outcome.outputs
        found = checks.faults_of(history)
        if found:
            outcome.faults.append(checks.in_words(found))
        for seat in self._seats:
            outcome.faults += self._not_rebuilt(seat)

    def _not_rebuilt(self, seat: Seat) -> list[str]:
        """`panda rebuild --verify`: the state made anew by the product's own means."""
        try:
            verified(self._ground.settings, BROKER, seat)
        except PipelineError as error:
            return [f"shard {seat}: {error}"]
        return []
