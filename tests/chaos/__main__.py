"""`just chaos`: kills workers that trade, at every moment and in every way we know, and judges what is on the log.

    just chaos --seed 7 --kills 200 --ground embedded

A run is made of rounds, each on an empty log with a seed of its own. What fails is told with the command that repeats it.
"""

import argparse
import logging
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import structlog

from connectors.kafka.embedded import start_embedded
from connectors.settings import Settings
from deploy.plan.access import Access
from deploy.plan.running import apply, exit_code
from deploy.plan.steps import Context
from deploy.plan.topics import Topics
from tests.chaos.harness import Run
from tests.ground import BROKERS, Ground, NewGround, begin_anew, settings_on
from tests.platform_services import started

A_ROUND: Final = 50  # kills


@contextmanager
def embedded(directory: Path) -> Iterator[NewGround]:
    """Grounds on embedded brokers, each of which ends the one before it."""
    with ExitStack() as held:

        def new() -> Ground:
            held.close()
            folder = Path(tempfile.mkdtemp(dir=directory))
            broker = held.enter_context(start_embedded(folder, BROKERS))
            return Ground(Settings(data_dir=folder, active_brokers=BROKERS, kafka=broker.settings))

        yield new


@contextmanager
def platform(directory: Path) -> Iterator[NewGround]:
    """Grounds on real Kafka with users and rights and leases in Postgres, all started for this run."""
    with started("kafka", "postgres") as real:
        settings = settings_on(real, directory)
        results = apply([Topics(Context(settings)), Access(Context(settings))])
        if exit_code(results):
            raise SystemExit(f"the platform could not be prepared: {results}")

        def new() -> Ground:
            begin_anew(real.kafka)
            return Ground(settings)

        yield new


GROUNDS: Final = {"embedded": embedded, "platform": platform}


def main() -> int:
    parser = argparse.ArgumentParser(prog="just chaos", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=None, help="of the first round; chosen and told if left out")
    parser.add_argument("--kills", type=int, default=50, help="of all rounds together (default 50)")
    parser.add_argument("--ground", choices=GROUNDS, default="embedded", help="the embedded broker, or real Kafka")
    parser.add_argument("--shards", type=int, default=2, help="that work side by side (default 2)")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # the checks fold too
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    directory = Path(tempfile.mkdtemp(prefix="panda-chaos-"))
    print(
        f"seed {seed}, {given.kills} kills on the {given.ground} ground; logs of the workers in {directory}", flush=True
    )
    began, left, kills = time.monotonic(), given.kills, 0
    with GROUNDS[given.ground](directory) as new:
        while left > 0:
            asked = min(A_ROUND, left)
            run = Run(
                new(), seed, asked, given.shards, directory / f"seed-{seed}", lambda line: print(line, flush=True)
            )
            outcome = run.go()
            print(f"seed {seed}: {outcome.in_words()}", flush=True)
            if outcome.faults:
                print("\n".join(outcome.faults))
                print(
                    f"again: just chaos --seed {seed} --kills {asked} --ground {given.ground} --shards {given.shards}"
                )
                return 1
            kills, left, seed = kills + outcome.kills, left - asked, seed + 1
    print(f"{kills} kills in {time.monotonic() - began:.0f} s: nothing lost, nothing doubled, nothing contradicted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
