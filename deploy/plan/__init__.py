"""The deploy plan: what is declared against what is there, step by step. `STEPS` is the order in which they are applied."""

from collections.abc import Callable
from typing import Final

from deploy.plan.steps import Change, Context, State, Step

__all__ = ["STEPS", "Change", "Context", "State", "Step"]

STEPS: Final[tuple[Callable[[Context], Step], ...]] = ()
