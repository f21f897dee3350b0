"""`panda sql`."""

from pathlib import Path
from typing import Any

import typer

from cli.commands import as_line
from connectors.settings import Settings, load


def _lake(settings: Settings, given: Path | None) -> str:
    """The lake asked for, else that of the settings, else the last demo's."""
    if given is not None:
        return str(given)
    demo = settings.data_dir / "demo" / "lake"
    return str(demo) if not Path(settings.lake.path).exists() and demo.exists() else settings.lake.path


def run_sql(query: str, lake: Path | None, *, as_json: bool) -> None:
    """Raises: `ConfigError` with DuckDB's message for a query it does not take."""
    from analytics.queries import connect, sql

    columns, rows = sql(connect(_lake(load(), lake)), query)
    if as_json:
        as_line([dict(zip(columns, map(_plain, row), strict=True)) for row in rows])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console().print(table)
    typer.echo(f"{len(rows)} rows")


def _plain(row: Any) -> list[Any]:
    return list(row)
