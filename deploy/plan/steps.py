"""What a step of the deploy plan is: it compares what is declared with what is there, and makes the two equal.

A step is made from a `Context`, keeps no state of its own between two commands, and may be applied any number of times:
where nothing differs, its plan is empty. To carry what `apply` needs, a step subclasses `Change`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from connectors.settings import Settings

Kind = Literal["add", "change", "remove", "note"]

SYMBOLS: Final[dict[Kind, str]] = {"add": "+", "change": "~", "remove": "-", "note": "·"}


@dataclass(frozen=True)
class Context:
    """What every step is made from. `settings` are an administrator's, not those of a flow."""

    settings: Settings
    allow_data_loss: bool = False  # the operator accepts what a refusal warns of
    root: Path = Path(".services")  # where processes that are kept running have their logs and ids


@dataclass(frozen=True)
class Change:
    """One difference between what is declared and what is there.

    `what` names the thing ("topic market.ticks"), `detail` how it differs. A change with a `refusal` is not made: the
    text says why, and what to do. A `note` is told and never made (something of somebody else's, a part that is off).
    """

    kind: Kind
    what: str
    detail: str = ""
    refusal: str = ""

    @property
    def line(self) -> str:
        """One line of a diff, of more where it is refused.

        >>> Change("change", "topic market.ticks", "retention.ms 1000 → 2000").line
        '~ topic market.ticks: retention.ms 1000 → 2000'
        """
        told = f"{SYMBOLS[self.kind]} {self.what}" + (f": {self.detail}" if self.detail else "")
        return f"{told}\n    refused: {self.refusal}" if self.refusal else told


@dataclass(frozen=True)
class State:
    """How one thing stands that a step looks after."""

    what: str
    ok: bool
    detail: str = ""


class Step(Protocol):
    """One part of a deployment. Every call may raise a `PipelineError`; `DependencyError` where a service is down."""

    name: str

    def plan(self) -> list[Change]:
        """What differs now; reads only. Must answer before the steps in front of it have been applied."""
        ...

    def apply(self, changes: Sequence[Change]) -> None:
        """Makes changes of a plan just made, without notes and refusals, and returns when they can be seen."""
        ...

    def status(self) -> list[State]:
        """How things stand, for people."""
        ...
