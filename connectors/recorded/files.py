"""Files: which files of a folder are recorded data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from connectors.errors import DataError

TEXT: Final = (".csv", ".txt", ".tsv", ".csv.gz", ".txt.gz", ".tsv.gz", ".csv.zst", ".txt.zst", ".tsv.zst")
PARQUET: Final = (".parquet", ".parq", ".pq")
_REMEDIES: Final = {
    ".xls": "save it from the spreadsheet as CSV",
    ".xlsx": "save it from the spreadsheet as CSV",
    ".zip": "unpack it, and name the CSV or Parquet files in it",
    ".json": "convert it to CSV or Parquet, a row for each tick or bar",
}


def files(paths: Sequence[Path]) -> tuple[list[Path], set[Path]]:
    """The files named, and those within the folders named, by name; and which of them a folder brought in.

    Hidden files and folders within a folder (`._X.csv`, `.ipynb_checkpoints`, `__MACOSX`) are no recordings.
    Raises: `DataError` where there is none to read.
    """
    if not paths:
        raise DataError("no file to read was named", remedy="name a file or a folder")
    found: list[Path] = []
    inside: set[Path] = set()
    for path in paths:
        if path.is_dir():
            in_folder = sorted(p for p in path.rglob("*") if _is_recording(p, path))
            if not in_folder:
                raise DataError(
                    f"{path} holds no {', '.join((*TEXT, *PARQUET))} file", remedy="name a folder of recorded data"
                )
            found += in_folder
            inside.update(in_folder)
        elif not path.exists():
            raise DataError(f"there is no file {path}", remedy="check the path")
        elif not path.name.lower().endswith((*TEXT, *PARQUET)):
            raise DataError(
                f"{path} is none of {', '.join((*TEXT, *PARQUET))}",
                remedy=_REMEDIES.get(path.suffix.lower(), "convert it to CSV or Parquet"),
            )
        else:
            found.append(path)
    return found, inside


def _is_recording(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    hidden = any(part.startswith((".", "~", "__MACOSX")) for part in parts)
    return not hidden and path.name.lower().endswith((*TEXT, *PARQUET)) and path.is_file()
