"""`panda services`: the platform as plain processes of this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from deploy.services.native import Native

services = typer.Typer(
    help="Kafka, Connect, Postgres and Redis as processes of this machine; no container engine needed.",
    no_args_is_help=True,
)

Names = Annotated[list[str] | None, typer.Argument(help="kafka, postgres, redis, connect; all if none is given.")]
Root = Annotated[Path, typer.Option(help="Folder of their data, logs and passwords.")]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON, last on standard output.")]
ROOT = Path(".services")


def _native(root: Path, first_port: int | None = None) -> "Native":
    from deploy.services.native import Native
    from deploy.services.places import Ports

    return Native(root, None if first_port is None else Ports(*range(first_port, first_port + 5)))


@services.command()
def up(
    names: Names = None,
    root: Root = ROOT,
    first_port: Annotated[
        int | None, typer.Option(help="Of five in a row, kept from then on: for a second set beside the usual one.")
    ] = None,
    env_file: Annotated[Path, typer.Option(help="Settings to write, if there is no such file.")] = Path(".env"),
    json: Json = False,
) -> None:
    """Starts what does not run, with what it needs, and waits until it answers; what runs stays as it is."""
    import time

    from deploy.services.environment import differences, write_once

    native, began = _native(root, first_port), time.monotonic()
    started = native.up(names or ())
    seconds = round(time.monotonic() - began, 1)
    wanted = native.environment()
    wrote = write_once(env_file, wanted)
    notes = [] if wrote else differences(env_file, wanted)
    if json:
        _as_line({"started": started, "seconds": seconds, "env_written": wrote, "env_differs": notes})
        return
    typer.echo(f"started {', '.join(started)} in {seconds} s" if started else "all of them were up")
    if wrote:
        typer.echo(f"wrote {env_file}: panda now uses these services")
    for note in notes:
        typer.echo(f"{env_file}: {note}")


@services.command()
def down(names: Names = None, root: Root = ROOT, json: Json = False) -> None:
    """Stops what runs, and first what needs it; their data stays."""
    stopped = _native(root).down(names or ())
    if json:
        _as_line({"stopped": stopped})
        return
    typer.echo(f"stopped {', '.join(stopped)}" if stopped else "none of them was up")


@services.command()
def status(names: Names = None, root: Root = ROOT, json: Json = False) -> None:
    """Asks each service; exit code 3 when one does not answer."""
    from dataclasses import asdict

    rows = _native(root).status(names or ())
    healthy = all(row.healthy for row in rows)
    if json:
        _as_line({"healthy": healthy, "services": [asdict(row) for row in rows]})
    else:
        for row in rows:
            pid = "" if row.pid is None else f"pid {row.pid}"
            typer.echo(f"{row.name:9} {row.state:9} port {row.port:<6} {pid:12} {row.rss_mb:5} MB")
    if not healthy:
        raise typer.Exit(3)


@services.command()
def fetch(root: Root = ROOT) -> None:
    """Brings Kafka's and the connectors' jars from Maven Central; `up` does it when they are missing."""
    typer.echo("fetched" if _native(root).fetch() else "they were there")


@services.command()
def env(
    root: Root = ROOT,
    env_file: Annotated[Path, typer.Option(help="Settings to write, if there is no such file.")] = Path(".env"),
    compose: Annotated[bool, typer.Option("--compose", help="For docker-compose.yml: its env file too.")] = False,
) -> None:
    """Makes passwords and settings without starting anything; `--compose` also ROOT/compose.env."""
    from deploy.services.environment import differences, environment, write_compose, write_once
    from deploy.services.places import COMPOSE

    native = _native(root)
    if compose:
        write_compose(root / "compose.env", native.site.credentials)
        typer.echo(f"wrote {root / 'compose.env'}")
    wanted = environment(native.site.credentials, COMPOSE if compose else native.ports)
    if write_once(env_file, wanted):
        typer.echo(f"wrote {env_file}")
    for note in differences(env_file, wanted):
        typer.echo(f"{env_file}: {note}")


def _as_line(value: Any) -> None:
    from cli.commands import as_line

    as_line(value)
