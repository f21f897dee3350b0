"""`panda sql`."""

from pathlib import Path
from shutil import get_terminal_size

import typer

from cli.commands import as_line
from connectors.settings import LakeSettings, Settings, load


def _lake(settings: Settings, given: Path | None) -> LakeSettings | Path:
    """The lake asked for, else that of the settings, else the last demo's."""
    if given is not None:
        return given
    demo = settings.data_dir / "demo" / "lake"
    missing = not settings.lake.bucket and not Path(settings.lake.path).exists()
    return demo if missing and demo.exists() else settings.lake


def run_sql(query: str, lake: Path | None, *, as_json: bool) -> None:
    """Raises: `ConfigError` with DuckDB's message for a query it does not take."""
    from analytics.queries import Queries

    columns, rows = Queries(_lake(load(), lake)).sql(query)
    if as_json:
        as_line([dict(zip(columns, row, strict=True)) for row in rows])
        return
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    if sum(widths) + 3 * len(widths) < get_terminal_size().columns:
        _print_table(columns, cells, widths)
    else:
        _print_records(columns, cells)
    typer.echo(f"{len(rows)} rows")


def _print_table(columns: list[str], cells: list[list[str]], widths: list[int]) -> None:
    for row in (columns, ["-" * width for width in widths], *cells):
        typer.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_records(columns: list[str], cells: list[list[str]]) -> None:
    """A row too wide for the terminal: one column a line."""
    widest = max(map(len, columns))
    for number, row in enumerate(cells, 1):
        typer.echo(f"-- row {number} --")
        for name, cell in zip(columns, row, strict=True):
            typer.echo(f"{name.ljust(widest)}  {cell}")
