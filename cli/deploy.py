"""`panda deploy`: what is declared against what is there, shown, and made equal."""

from typing import Any

import typer

from cli.commands import as_line
from connectors import logging
from connectors.market_tables import refuse_ended, tables, warn_of_end
from connectors.settings import load
from deploy.flows.control import Control
from deploy.plan import STEPS, Context, Step, running
from deploy.plan.running import Result, exit_code


def plan(*, allow_data_loss: bool, as_json: bool) -> None:
    _tell(running.plan(_steps(allow_data_loss)), as_json=as_json)


def apply(*, allow_data_loss: bool, as_json: bool) -> None:
    """Raises: `ConfigError` where the calendar has ended: the pipelines would refuse to start."""
    calendar = tables(load()).calendar
    warn_of_end(calendar)
    refuse_ended(calendar)
    _tell(running.apply(_steps(allow_data_loss)), as_json=as_json)


def status(*, as_json: bool) -> None:
    from deploy.plan.answering import answering

    _tell([Result("services", "planned", states=answering(load())), *running.status(_steps(False))], as_json=as_json)


def down(*, as_json: bool) -> None:
    stopped = Control(Context(load()).root).down()
    if as_json:
        as_line({"stopped": stopped})
    else:
        typer.echo(f"stopped {', '.join(stopped)}" if stopped else "no flow was running")


def _steps(allow_data_loss: bool) -> list[Step]:
    settings = load()
    logging.configure(settings.log.model_copy(update={"level": "WARNING"}), "deploy")  # the diff tells what changes
    return [step(Context(settings, allow_data_loss)) for step in STEPS]


def _tell(results: list[Result], *, as_json: bool) -> None:
    """Prints results and ends with their exit code; the first error leaves as itself."""
    if as_json:
        as_line(document(results))
    else:
        typer.echo("\n".join(lines(results)))
    for result in results:
        if result.error is not None:
            raise result.error
    raise typer.Exit(exit_code(results))


def lines(results: list[Result]) -> list[str]:
    """Results for people: each step with its outcome, its changes as a diff, and the reason where it failed."""
    told = []
    for result in results:
        head = "" if result.states else f": {result.outcome}"
        told.append(f"{result.step}{head}")
        told += [f"  {change.line}" for change in result.changes]
        told += [f"  {'✓' if s.ok else '✗'} {s.what}" + (f": {s.detail}" if s.detail else "") for s in result.states]
        if result.error is not None:
            told.append(f"  {result.error.message}")
    if any(result.outcome == "not tried" for result in results):
        told.append("put the reason right, then apply again: what is done stays done")
    return told


def document(results: list[Result]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "ok": exit_code(results) == 0,
        "steps": [
            {
                "step": result.step,
                "outcome": None if result.states else result.outcome,
                "changes": [
                    {"kind": c.kind, "what": c.what, "detail": c.detail, "refusal": c.refusal} for c in result.changes
                ],
                "states": [{"what": s.what, "ok": s.ok, "detail": s.detail} for s in result.states],
                "error": None
                if result.error is None
                else {"message": result.error.message, "remedy": result.error.remedy},
            }
            for result in results
        ],
    }
