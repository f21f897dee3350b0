"""Files: which files of a folder are recorded data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from connectors.errors import DataError

TEXT: Final = (".csv", ".txt", ".tsv", ".csv.gz", ".txt.gz", ".tsv.gz", ".csv.zst", ".txt.zst", ".tsv.zst")
PARQUET: Final = (".parquet", ".parq", ".pq")
_IN_FOLDERS: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst", *PARQUET)
_REMEDIES: Final = {
    ".xls": "save it from the spreadsheet as CSV",
    ".xlsx": "save it from the spreadsheet as CSV",
    ".zip": "unpack it, and name the CSV or Parquet files in it",
    ".json": "convert it to CSV or Parquet, a row for each tick or bar",
}


def files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and those within the folders named, by name. Raises: `DataError` where there is none to read."""
    if not paths:
        raise DataError("no file to read was named", remedy="name a file or a folder")
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.name.lower().endswith(_IN_FOLDERS))
            if not inside:
                raise DataError(
                    f"{path} holds no {', '.join((*TEXT, *PARQUET))} file", remedy="name a folder of recorded data"
                )  # fmt: skip
            found += inside
        elif not path.exists():
            raise DataError(f"there is no file {path}", remedy="check the path")
        elif not path.name.lower().endswith((*TEXT, *PARQUET)):
            raise DataError(
                f"{path} is none of {', '.join((*TEXT, *PARQUET))}",
                remedy=_REMEDIES.get(path.suffix.lower(), "convert it to CSV or Parquet"),
            )  # fmt: skip
        else:
            found.append(path)
    return found
