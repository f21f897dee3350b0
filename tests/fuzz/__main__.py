"""The targets, driven by libFuzzer: `python -m tests.fuzz --seconds 60`, or one of them, or one file that it has found.

Each target gets its share of the time in a process of its own, with our mutations beside libFuzzer's. What is not taken or
refused as declared, takes longer than 20 s or ends the process is a fault: its bytes are kept, and named.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

SLOWEST_S = 20
MEGABYTES = 4_096


def fuzz(name: str, seconds: int, found: Path) -> None:
    """Never returns: libFuzzer ends the process."""
    atheris: Any = importlib.import_module("atheris")
    target = targets()[name]
    for function in observed():
        atheris.instrument_func(function)
    seeds = list(target.seeds())
    corpus = Path(tempfile.mkdtemp(dir=found))
    for n, seed in enumerate(seeds):
        (corpus / str(n)).write_bytes(seed)

    def mutate(raw: bytes, most: int, seed: int) -> bytes:
        spoilt = mutated(raw, Random(seed)) if seed % 2 else atheris.Mutate(raw, most)
        return spoilt[:most]

    from tests.fuzz.mutations import mutated

    options = [
        sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-timeout={SLOWEST_S}", f"-rss_limit_mb={MEGABYTES}",
        f"-artifact_prefix={found}/{name}-", "-max_len=65536", "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    atheris.Setup(options, lambda raw: void(target.attempt(raw)), custom_mutator=mutate)
    atheris.Fuzz()


def void(_taken: bool) -> None:
    """libFuzzer wants no answer."""


def observed() -> list[Any]:
    """What libFuzzer sees the ways through: plain Python alone, as a kernel is not to be compiled with its counters in."""
    from connectors.kafka.feed import Decoder, Inputs
    from dataflows import desk
    from functions import codec, integrity, journal, ordering

    return [
        codec._decoded, journal.decode_line, journal.decode_snapshot, integrity.examine, integrity.chained, desk.restored,
        Decoder.ticks, Decoder._one, Decoder._clock, Inputs.receive, ordering.Reorder._push, ordering.Reorder._run,
    ]  # fmt: skip


def targets() -> dict[str, Any]:
    from tests.fuzz.targets import TARGETS

    return {target.name: target for target in TARGETS}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=int, default=70, help="for all targets together (default 70)")
    parser.add_argument("--target", help="only this one")
    parser.add_argument("--file", type=Path, help="these bytes alone")
    parser.add_argument("--found", type=Path, help="where to keep what was found (default a new folder)")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    known = targets() if not given.alone else {given.target: None}
    if given.target is not None and given.target not in known:
        parser.error(f"there is no target {given.target!r}, there are {', '.join(known)}")
    if given.file is not None:
        names = [given.target] if given.target else list(known)
        print({name: known[name].attempt(given.file.read_bytes()) for name in names})
        return 0
    if importlib.util.find_spec("atheris") is None:
        print(
            "atheris is not installed: it has wheels for Linux on x86-64 only\n  -> `just test` drives the same targets"
        )
        return 3
    found = given.found or Path(tempfile.mkdtemp(prefix="panda-fuzz-"))
    if given.alone:
        fuzz(given.target, given.seconds, found)
    names = [given.target] if given.target else list(known)
    return max([alone(name, max(given.seconds // len(names), 1), found) for name in names])


def alone(name: str, seconds: int, found: Path) -> int:
    """One target in its own process; 0, or 1 where it has found something."""
    command = [
        sys.executable, "-m", "tests.fuzz", "--alone", "--target", name, "--seconds", str(seconds), "--found", str(found),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    runs = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
    print(f"{name:<12} {runs[0] if runs else 'no'} runs, {'a fault' if done.returncode else 'no fault'}", flush=True)
    if done.returncode:
        print(
            f"{done.stdout[-3_000:]}\n{done.stderr[-6_000:]}\n  -> its bytes are in {found}: --target {name} --file FILE"
        )
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
