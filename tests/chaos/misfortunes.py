"""Misfortunes: what befalls the workers of one shard. Each ends with no worker alive."""

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Final, get_args

from connectors.faults import Step
from tests.chaos.workers import PATIENCE_S, UNSAFE, Workers
from tests.waiting import within

Misfortune = Callable[[Workers, random.Random], None]

ONCE: Final = ("started", "replaying")  # steps that a worker comes to once, or may not come to twice
_REFUSED: Final = "is held by"


def killed(workers: Workers, chance: random.Random) -> None:
    """At any moment: while it starts, while it replays, or when it has been live for a while."""
    worker = workers.start()
    if chance.random() < 0.6:
        workers.until_live(worker)
        workers.lives_for(worker, chance.uniform(0, 1.5))
    else:
        time.sleep(chance.uniform(0.1, 1.0) * workers.start_s)
    workers.kill(worker)


def killed_at(step: str, workers: Workers, chance: random.Random) -> None:
    """At a step that a random moment seldom hits."""
    times = 1 if step in ONCE else chance.randint(1, 3)
    worker = workers.start(fault=f"{step}:{times}")
    if not within(lambda: worker.exit_code is not None, PATIENCE_S if step != "replaying" else 10 + workers.start_s):
        workers.kill(worker)  # nothing was left to replay
    elif worker.exit_code == -9:
        workers.count_kill(worker)
    else:
        raise workers.unexpected(worker, f"ended with {worker.exit_code} on the way to {step}")


def zombie(workers: Workers, chance: random.Random) -> None:
    """It is paused, a successor takes over, it wakes up: it stops at its next entry, and the successor goes on."""
    step = chance.choice(["", "journalled", "half_written", "written"])
    first = workers.start(fault=f"{step}:{chance.randint(1, 4)}:STOP" if step else "")
    if not step or not within(lambda: first.is_paused, 10 + workers.start_s):
        workers.until_live(first)
        workers.lives_for(first, chance.uniform(0, 1))
        first.pause()
    workers.take_lease()
    successor = workers.live(place="elsewhere")
    workers.lives_for(successor, chance.uniform(0, 0.5))
    first.go_on()
    workers.ends_with(first, UNSAFE)
    workers.kill(successor)


def ghost(workers: Workers, chance: random.Random) -> None:
    """The network keeps what it said last, and delivers it when its successor is live."""
    first = workers.live()
    workers.lives_for(first, chance.uniform(0.2, 1))
    first.relay.hold()
    workers.lives_for(first, chance.uniform(0.02, 0.4))
    workers.kill(first)
    successor = workers.live()
    first.relay.deliver()
    workers.lives_for(successor, chance.uniform(0.1, 0.5))
    first.relay.close()
    workers.kill(successor)


def cut_off(workers: Workers, chance: random.Random) -> None:
    """Its connections break and come back."""
    worker = workers.live()
    for _ in range(chance.randint(1, 2)):
        workers.lives_for(worker, chance.uniform(0, 0.5))
        worker.relay.cut()
        workers.lives_for(worker, chance.uniform(0.1, 1.5))
        worker.relay.heal()
    workers.lives_for(worker, chance.uniform(0, 2))
    workers.kill(worker)


def not_heard(workers: Workers, chance: random.Random) -> None:
    """Nothing of what it says arrives for a while; then everything."""
    worker = workers.live()
    workers.lives_for(worker, chance.uniform(0, 0.5))
    worker.relay.hold()
    workers.lives_for(worker, chance.uniform(0.2, 2))
    worker.relay.deliver()
    workers.lives_for(worker, chance.uniform(0, 1))
    workers.kill(worker)


def second_by_mistake(workers: Workers, chance: random.Random) -> None:
    """Somebody starts a second one: it is refused, the first goes on."""
    first = workers.live()
    workers.ends_with(workers.start(), UNSAFE, saying=_REFUSED)
    workers.lives_for(first, chance.uniform(0, 0.5))
    workers.kill(first)


def without_snapshots(workers: Workers, chance: random.Random) -> None:
    """All that it has kept is the journal."""
    workers.delete_snapshots()
    workers.kill(workers.live())


def asked_to_stop(workers: Workers, chance: random.Random) -> None:
    """No misfortune: it stops cleanly."""
    worker = workers.live()
    workers.lives_for(worker, chance.uniform(0, 1))
    worker.process.terminate()
    workers.ends_with(worker, 0)


def to_the_end(workers: Workers, chance: random.Random) -> None:
    """When all is over: one worker more reads to the end of the log and stops as it is asked to."""
    worker = workers.live()
    worker.process.terminate()
    workers.ends_with(worker, 0)


STEPS: Final[dict[str, Misfortune]] = {f"killed at {step}": partial(killed_at, step) for step in get_args(Step)}
OTHERS: Final[dict[str, Misfortune]] = {
    "zombie": zombie, "ghost": ghost, "cut off": cut_off, "not heard": not_heard, "second by mistake": second_by_mistake,
    "without snapshots": without_snapshots, "asked to stop": asked_to_stop,
}  # fmt: skip
TO_THE_END: Final = "to the end"
ALL: Final = STEPS | OTHERS | {"killed": killed, TO_THE_END: to_the_end}
KILLS: Final = {"ghost": 2, "asked to stop": 0}  # of the others each kills one
A_CYCLE: Final = 20  # kills in which everything happens once


def agenda(chance: random.Random, kills: int) -> list[str]:
    """So many kills: everything once in each twenty, the rest at random moments, in random order."""
    names: list[str] = []
    left = kills
    while left > 0:
        cycle = [*STEPS, *OTHERS]
        cycle += ["killed"] * (A_CYCLE - sum(KILLS.get(name, 1) for name in cycle))
        chance.shuffle(cycle)
        for name in cycle:
            if left > 0:
                last = "killed" if KILLS.get(name, 1) > left else name
                names.append(last)
                left -= KILLS.get(last, 1)
    return names
