"""`python -m tests.mutation --target views|functions [--module NAME …] [--jobs N]`: exit code 0, or 1 with what to look at."""

import argparse
import os
import sys
import time

from tests.mutation.mutants import judged, written


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Would the tests see a fault?")
    parser.add_argument("--target", choices=("views", "functions"), required=True)
    parser.add_argument(
        "--module", action="append", help="of functions/, without .py; may be given again; else those listed"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants tried side by side")
    asked = parser.parse_args()
    if asked.target == "views":
        from tests.mutation import views

        return _told("views", views.survivors)
    os.environ["NUMBA_DISABLE_JIT"] = "1"  # before anything is imported that reads it
    from tests.mutation import modules

    return max(
        _told(name, lambda name=name: modules.survivors(name, asked.jobs)) for name in asked.module or modules.listed()
    )


def _told(name: str, survivors) -> int:
    began = time.monotonic()
    count, found = survivors()
    verdict = judged(name, found)
    print(f"{name}: {count} mutants, {len(found)} survived, {len(found) - len(verdict.survived)} of them are known to "
          f"change nothing, {time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
    for change in verdict.survived:
        print("\nno test sees:\n" + written(change, "?"))
    for change in verdict.seen:
        print(f"\nlisted in survivors/{name}.txt, and seen or no longer there:\n" + written(change, "…"))
    return 0 if verdict.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
