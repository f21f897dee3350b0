"""Text files: a file's bytes as lines that DuckDB reads, whatever their encoding, compression and ends of line.

UTF-8 with `\\n` or `\\r\\n` is read as it lies. Anything else (UTF-16 of Excel, Windows' own code page, ends of line of two
kinds) is read from a copy in UTF-8 that lives as long as the reading.
"""

import gzip
import io
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

import duckdb

from connectors.errors import DataError

_SAMPLE: Final = 32 * 1024  # bytes that are looked at before a file is read
_LINES: Final = 100  # of them
_CODE_PAGE: Final = "cp1252"
_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True)
class TextFile:
    """A file of lines. `readable` is the file itself, or the copy that DuckDB reads in its place."""

    path: Path
    readable: Path
    compression: str  # as DuckDB calls it
    encoding: str
    head: list[str]  # the first lines, without their ends

    def lines(self) -> Iterator[str]:
        """All lines, without their ends."""
        with _opened(self.readable, self.compression) as file:
            for line in cast("IO[bytes]", file):
                yield line.decode("utf-8-sig" if self.encoding == "utf-8-sig" else "utf-8", "backslashreplace").rstrip(
                    "\r\n"
                )

    def copied(self, folder: Path) -> "TextFile":
        """The same file, read from a copy in UTF-8 with one kind of line end: for what DuckDB cannot read as it lies."""
        return opened(self.path, folder, copy=True) if self.readable == self.path else self


def opened(path: Path, folder: Path, *, copy: bool = False) -> TextFile:
    """A file's encoding, ends of line and first lines; copies go to `folder`.

    Raises: `DataError` for a file that is no text, or is not compressed as its name says.
    """
    compression = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower(), "none")
    try:
        readable = path if compression != "zstd" else _unpacked(path, folder)
        compression = "none" if compression == "zstd" else compression
        with _opened(readable, compression) as file:
            start = file.read(_SAMPLE)
        encoding = _encoding(start)
        if copy and encoding == "utf-8":
            encoding = _CODE_PAGE if not _is_utf8(readable, compression) else encoding
        if copy or encoding not in ("utf-8", "utf-8-sig") or _has_strange_ends(start):
            readable, compression = _copy(readable, compression, encoding, folder), "none"
            encoding = "utf-8"
            with readable.open("rb") as file:
                start = file.read(_SAMPLE)
    except (UnicodeDecodeError, UnicodeError, EOFError, OSError, duckdb.Error) as error:
        raise _no_text(path, error) from error
    text = start.decode("utf-8-sig", "ignore")
    lines = text.split("\n", _LINES)
    is_whole = len(start) < _SAMPLE and len(lines) <= _LINES
    lines = [line.rstrip("\r") for line in (lines if is_whole else lines[:-1])]
    return TextFile(path, readable, compression, encoding, lines)


def _opened(path: Path, compression: str) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if compression == "gzip" else path.open("rb")


def _unpacked(path: Path, folder: Path) -> Path:
    """A file without its Zstandard compression, which DuckDB knows and Python does not."""
    target = _new(folder, path)
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(
            f"COPY (SELECT * FROM read_csv('{_sql(path)}', header=false, auto_detect=false, columns={{'line': 'VARCHAR'}}, "
            f"delim='\\x01', quote='', escape='', compression='zstd')) TO '{_sql(target)}' "
            "(FORMAT CSV, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\\x01')"
        )
    return target


def _encoding(start: bytes) -> str:
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    odd, even = start[1::2].count(0), start[0::2].count(0)
    if odd + even > len(start) // 4:
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3 or len(start) < _SAMPLE:  # else the sample ends within a character
            return _CODE_PAGE
    return "utf-8"


def _is_utf8(path: Path, compression: str) -> bool:
    with suppress(UnicodeDecodeError), _opened(path, compression) as file:
        for line in file:
            line.decode("utf-8")
        return True
    return False


def _has_strange_ends(start: bytes) -> bool:
    """Ends of line of an old Macintosh, or of two kinds."""
    both, alone = start.count(b"\r\n"), start.count(b"\n")
    returns = start.count(b"\r") - (1 if start.endswith(b"\r") else 0)
    return returns > both or 0 < both < alone


def _copy(path: Path, compression: str, encoding: str, folder: Path) -> Path:
    target = _new(folder, path)
    with _opened(path, compression) as source, target.open("w", encoding="utf-8", newline="\n") as copy:
        reader = io.TextIOWrapper(source, encoding, newline=None)  # any end of line becomes \n
        while block := reader.read(1 << 20):
            if "\x00" in block or "\x02" in block:
                raise UnicodeError("it has characters that no text has")
            copy.write(block)
    return target


def _new(folder: Path, path: Path) -> Path:
    return Path(tempfile.mkstemp(suffix=f"-{path.name.split('.')[0]}.csv", dir=folder)[1])


def _sql(path: Path) -> str:
    return str(path).replace("'", "''")


def _no_text(path: Path, error: Exception) -> DataError:
    name = path.name.lower()
    if name.endswith((".gz", ".zst")):
        return DataError(
            f"{path} is not compressed as its name says: {str(error).splitlines()[0]}",
            remedy="unpack it, or name it after what it is",
        )
    return DataError(f"{path} is no text that can be read: {error}", remedy="save it as CSV in UTF-8")
