"""How long a person waits: `panda --help`, and `panda compile` without and with compiled kernels on disk.

Goal: help within 0.7 s. Each run is a process of its own; cold is an empty cache folder.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.workload import Figure, Spent, arguments, median, report

ROOT = Path(__file__).resolve().parent.parent


def command(words: Sequence[str], cache: Path | None = None) -> Spent:
    """One `panda` process; its CPU is that of its children too. Raises: `subprocess.CalledProcessError`."""
    environment = os.environ | ({"XDG_CACHE_HOME": str(cache)} if cache else {})
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "cli", *words], cwd=ROOT, env=environment, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Spent(cpu, wall)


def measure(repeats: int, *, compiling: bool = True) -> list[Figure]:
    helped = median([command(["--help"]) for _ in range(repeats)])
    figures = [Figure("help_wall", helped.wall, "s", 0.7), Figure("help_cpu", helped.cpu, "s")]
    if not compiling:
        return figures
    with tempfile.TemporaryDirectory() as folder:
        cold = command(["compile"], Path(folder))
        warm = median([command(["compile"], Path(folder)) for _ in range(repeats)])
    return [
        *figures,
        Figure("compile_cold_wall", cold.wall, "s"),
        Figure("compile_cold_cpu", cold.cpu, "s"),
        Figure("compile_warm_wall", warm.wall, "s"),
        Figure("compile_warm_cpu", warm.cpu, "s"),
    ]


def main() -> None:
    given = arguments(__doc__, repeats=(5, "runs, of which the median"))
    report("startup", measure(given.repeats), json=given.json)


if __name__ == "__main__":
    main()
