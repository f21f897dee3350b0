"""Mutants of `analytics/views.sql` against the values of every view (`tests/view_values.py`)."""

import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

import duckdb

from connectors.lake.archive import Archive
from tests.mutation.mutants import Mutant
from tests.mutation.sql import mutants_of
from tests.view_values import NAMES, Table, expected, found, write_lake

NAME: Final = "views"


def text() -> str:
    return resources.files("analytics").joinpath("views.sql").read_text(encoding="utf-8")


def mutants() -> list[Mutant]:
    return mutants_of(text())


class Judge:
    """Says whether the views of a text show what they should: over a full lake, an empty one, and where there is none."""

    def __init__(self, directory: Path) -> None:
        self._expected = expected()
        self._full, empty, self._none = write_lake(directory / "full"), directory / "empty", directory / "none"
        archive = Archive(empty, NAMES)
        archive.open()
        archive.close()
        self._empty = empty

    def is_right(self, text: str) -> bool:
        try:
            without_rows = {view: (columns, []) for view, (columns, _) in self._expected.items()}
            return self._shows(text, self._full, self._expected) and all(
                self._shows(text, lake, without_rows) for lake in (self._empty, self._none)
            )
        except duckdb.Error:
            return False

    def _shows(self, text: str, lake: Path, tables: dict[str, Table]) -> bool:
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.execute("SET VARIABLE lake = ?", [str(lake)])
            connection.execute(text)
            return all(found(connection, view) == table for view, table in tables.items())


def survivors() -> tuple[int, list[Mutant]]:
    """How many mutants there are, and those that the values do not tell from the views."""
    with tempfile.TemporaryDirectory() as directory:
        judge = Judge(Path(directory))
        if not judge.is_right(text()):
            raise ValueError(
                "the views do not show what tests/view_values.txt says: run tests/integration/test_view_values.py"
            )
        made = mutants()
        return len(made), [mutant for mutant in made if judge.is_right(mutant.text)]
