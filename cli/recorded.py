"""How recorded files are to be read: the same options for every command that reads them."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import typer

_OPTIONS: Final[dict[str, tuple[Any, Any, str]]] = {
    "column": (list[str] | None, None, "What a column means: price=LTP; may be given several times."),
    "columns": (str, "", "The columns of files without a header, in order: date,time,open,high,low,close,volume."),
    "time_format": (str, "", "day-first, month-first, year-first, or like '%d/%m/%Y %H:%M'."),
    "time_zone": (str, "", "Of times without one: UTC, Asia/Kolkata, +05:30. Else they are India's."),
    "sort": (bool, False, "Put rows that are out of order into the order of time."),
    "bar": (str, "", "Length of the bars, e.g. 15m, where the times do not tell it."),
    "bar_time": (str, "", "What the time of a bar marks: start or end."),
    "unit": (str, "", "Of prices: rupees or paise."),
    "decimal": (str, "", "Decimal sign: point or comma."),
}


def path_of(text: str) -> Path:
    """A path that was given; an empty text would be the current folder. Raises: `typer.BadParameter`."""
    if not text.strip():
        raise typer.BadParameter("the path is empty; name a file or a folder of recorded data")
    return Path(text)


def reads_recordings(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options to a command, which gets them as one `reading`."""

    @wraps(command)
    def with_options(**arguments: Any) -> None:
        from connectors.recorded.options import reading_options

        told = {name: arguments.pop(name) for name in _OPTIONS}
        command(**arguments, reading=reading_options(**told | {"column": told["column"] or ()}))

    own = [p for p in inspect.signature(command).parameters.values() if p.name != "reading"]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[kind, _option(name, text)],
        )
        for name, (kind, default, text) in _OPTIONS.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + added
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


def _option(name: str, text: str) -> Any:
    return typer.Option("--" + name.replace("_", "-"), help=text, rich_help_panel="How recorded files are read")
