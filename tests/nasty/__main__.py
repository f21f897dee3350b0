"""Nasty strategies at random, beside two that behave: `python -m tests.nasty --count 1000 --place flow --seed 7`.

They run by the chunk. Each fault is one line with the deed; the same seed makes the same strategies.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.nasty.grammar import any_nasty
from tests.nasty.judge import faults_of
from tests.nasty.places import PLACES

CHUNK = 50


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="strategies (default 100)")
    parser.add_argument("--place", choices=sorted(PLACES), default="backtest", help="where they run (default backtest)")
    parser.add_argument("--seed", type=int, default=1, help="what they are made of (default 1)")
    parser.add_argument("--chunk", type=int, default=CHUNK, help=f"how many run at once (default {CHUNK})")
    given = parser.parse_args()
    began = time.monotonic()
    run, live = PLACES[given.place], given.place != "backtest"
    with tempfile.TemporaryDirectory(prefix="panda-nasty-") as folder:
        alone = run([], _made(Path(folder) / "alone"))
        if alone.broken or not alone.good:
            print(f"the two that behave do not run alone: {alone.broken}")
            return 1
        tried: Counter[str] = Counter()
        faults = 0
        for first in range(0, given.count, given.chunk):
            taken: set[str] = set()
            nasties = [
                any_nasty(Random(f"{given.seed} {number}"), f"n{number:05}", taken)
                for number in range(first, min(first + given.chunk, given.count))
            ]
            found = faults_of(nasties, run(nasties, _made(Path(folder) / str(first))), alone, live=live)
            for fault in found:
                print(f"{first}: {fault}", flush=True)
            faults += len(found)
            tried.update(nasty.deed.effect.name for nasty in nasties)
            done = sum(tried.values())
            print(
                f"{done} of {given.count}, {faults} faults, {time.monotonic() - began:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    print(f"{sum(tried.values())} strategies in {given.place}: {dict(sorted(tried.items()))}; {faults} faults")
    return 1 if faults else 0


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
