"""A crash in this process, at a named step: for tests of what is left behind."""

from connectors.kafka import journal
from dataflows import recovery


class Crash(Exception):
    """A process that ends here and now."""


def crash_at(monkeypatch, step, times):
    """From now on this step raises when it is reached for so many times."""
    left = [times]

    def reached(name):
        if name == step:
            left[0] -= 1
            if left[0] == 0:
                raise Crash(step)

    for module in (journal, recovery):
        monkeypatch.setattr(module, "reached", reached)
