"""Runs the steps of a plan in order, and keeps what became of each, so that a failure leaves no doubt of what is done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from connectors.errors import PipelineError
from deploy.plan.steps import Change, State, Step

Outcome = Literal["planned", "applied", "nothing to do", "refused", "failed", "not tried"]


@dataclass(frozen=True)
class Result:
    """What became of one step."""

    step: str
    outcome: Outcome
    changes: list[Change] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    error: PipelineError | None = None


def made(changes: Sequence[Change]) -> list[Change]:
    """The changes that a plan makes: no notes, no refusals."""
    return [change for change in changes if change.kind != "note" and not change.refusal]


def _refused(changes: Sequence[Change]) -> bool:
    return any(change.refusal for change in changes)


def plan(steps: Sequence[Step]) -> list[Result]:
    """What every step would change. One that cannot tell does not keep the others from telling."""
    results = []
    for step in steps:
        try:
            changes = step.plan()
        except PipelineError as error:
            results.append(Result(step.name, "failed", error=error))
            continue
        outcome: Outcome = "refused" if _refused(changes) else "planned" if made(changes) else "nothing to do"
        results.append(Result(step.name, outcome, changes))
    return results


def apply(steps: Sequence[Step]) -> list[Result]:
    """Plans and applies each step in turn; a step with a refusal changes nothing, and none after it or a failure is tried."""
    results: list[Result] = []
    for step in steps:
        if results and results[-1].outcome in ("refused", "failed", "not tried"):
            results.append(Result(step.name, "not tried"))
        else:
            results.append(_applied(step))
    return results


def _applied(step: Step) -> Result:
    changes: list[Change] = []
    try:
        changes = step.plan()
        if _refused(changes):
            return Result(step.name, "refused", changes)
        if not made(changes):
            return Result(step.name, "nothing to do", changes)
        step.apply(made(changes))
    except PipelineError as error:
        return Result(step.name, "failed", changes, error=error)
    return Result(step.name, "applied", changes)


def status(steps: Sequence[Step]) -> list[Result]:
    """How everything stands that the steps look after."""
    results = []
    for step in steps:
        try:
            results.append(Result(step.name, "planned", states=step.status()))
        except PipelineError as error:
            results.append(Result(step.name, "failed", error=error))
    return results


def exit_code(results: Sequence[Result]) -> int:
    """0 where all is done or could be, 1 where something is refused or amiss, else the first error's own."""
    for result in results:
        if result.error is not None:
            return result.error.exit_code
    amiss = any(r.outcome == "refused" or not all(state.ok for state in r.states) for r in results)
    return 1 if amiss else 0
