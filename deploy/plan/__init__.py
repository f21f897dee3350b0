"""The deploy plan: what is declared against what is there. `STEPS` is the order in which the parts are made equal."""

from collections.abc import Callable
from typing import Final

from deploy.plan.access import Access
from deploy.plan.configuration import Configuration
from deploy.plan.connectors import Connectors
from deploy.plan.flows import Flows
from deploy.plan.migrations import Migrations
from deploy.plan.steps import Change, Context, State, Step
from deploy.plan.topics import Topics

__all__ = ["STEPS", "Change", "Context", "State", "Step"]

STEPS: Final[tuple[Callable[[Context], Step], ...]] = (Migrations, Configuration, Topics, Access, Connectors, Flows)
