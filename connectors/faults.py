"""Named steps at which a crash can be asked for: how the crash tests hit the moments that a random kill seldom does.

`PANDA_FAULT=after_ack:3` ends the process as kill -9 does, the third time that it comes to that step;
`after_ack:3:STOP` sends another signal. Without it a step costs one comparison.
"""

import os
import signal
from typing import Final, Literal

Step = Literal[
    "started",  # the session has begun, nothing is read yet
    "replaying",  # a line of the journal has been folded again, its missing outputs are not written yet
    "journalled",  # an entry is acknowledged, none of its outputs is written
    "half_written",  # some outputs of an entry are written
    "written",  # all outputs of an entry are handed to the producer
    "before_snapshot",  # everything before the cut is acknowledged
    "after_snapshot",  # the snapshot is handed to the producer
]

_step, _, _rest = os.environ.get("PANDA_FAULT", "").partition(":")
_times, _, _signal = _rest.partition(":")
_ASKED: Final = _step
_left = int(_times or 1)


def reached(step: Step) -> None:
    """Marks a step; ends the process where it has been asked for."""
    global _left  # noqa: PLW0603 - counts down in one process
    if step != _ASKED:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), getattr(signal, f"SIG{_signal or 'KILL'}"))
