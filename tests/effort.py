"""How much a run of tests tries: as much as it has time for, and many times that in a night (`just test-nightly`)."""

import os
from typing import Final

TIMES: Final = int(os.environ.get("TEST_TIMES", "1"))


def examples(number: int) -> int:
    """How many examples a property is tried with, where an everyday run tries `number`."""
    return number * TIMES
