"""Table text: TOML that people write, read with every fault named by its line and with what to do about it.

Calendars and charges are such files. Nothing is read from disk here: bytes come in.
"""

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple


class Fault(NamedTuple):
    """What is wrong in a file, and what to do; line 0 is the file as a whole."""

    line: int
    what: str
    remedy: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.what}; {self.remedy}"


class Unusable(ValueError):
    """A file with faults: all that were found."""

    def __init__(self, faults: Collection[Fault]) -> None:
        self.faults = sorted(faults)
        super().__init__("; ".join(map(str, self.faults)))


_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_.\"'-]+)\s*=")
_AT: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")
_MARKS: Final = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK": "a zipped file such as a workbook"}
_TWICE: Final = ("Cannot overwrite", "Cannot declare", "more than once", "duplicate", "Cannot mutate")


class Document(NamedTuple):
    """A file's values, and the lines on which they stand: `[table]` and `[[table]]` with their keys, one a line."""

    values: dict[str, Any]
    lines: Mapping[tuple[str | int, ...], int]

    def line(self, *path: str | int) -> int:
        """Of the value at a path such as ("2027", "holidays", "01-26") or ("hours", 0, "from"), or of what holds it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 0


def document(raw: bytes) -> Document:
    """Raises: `Unusable` where the bytes are no TOML in UTF-8."""
    for mark, kind in _MARKS.items():
        if raw.startswith(mark):
            raise Unusable([Fault(0, f"the file is {kind}, not text in UTF-8", "save it as plain text in UTF-8")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        what = f"byte {error.start} ({raw[error.start]:#04x}) is not UTF-8"
        raise Unusable([Fault(line, what, "save the file as plain text in UTF-8")]) from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unusable([_of_syntax(str(error), text)]) from error
    except RecursionError as error:
        raise Unusable([Fault(0, "the file nests far too deep", "see docs/calendar.md for its form")]) from error
    lines: dict[tuple[str | int, ...], int] = {}
    for path, number in _lines(text):
        for end in range(1, len(path) + 1):
            lines.setdefault(path[:end], number)
    return Document(values, lines)


def _of_syntax(message: str, text: str) -> Fault:
    at = _AT.search(message)
    line = int(at[1]) if at and at[1] else text.count("\n") + 1 if at else 0
    said = _AT.sub("", message)
    if any(word in said for word in _TWICE):
        return Fault(line, f"the same day, table or key stands twice ({said})", "keep one of the two")
    return Fault(line, f"this is no TOML: {said}", "write name = value, text in double quotes; see docs/calendar.md")


def _lines(text: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    table: tuple[str | int, ...] = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            name = header[2]
            table = tuple(_parts(name))
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                table = (*table, counts[name])
            yield table, number
        elif key := _KEY.match(line):
            yield (*table, *_parts(key[1])), number


def _parts(name: str) -> list[str]:
    return [part.strip().strip("\"'") for part in name.split(".")]


def unknown(
    source: Document, path: tuple[str | int, ...], found: Collection[str], known: Collection[str]
) -> list[Fault]:
    """A fault for each name in the table at a path that nobody knows."""
    where = ".".join(map(str, path))
    faults = []
    for name in sorted(set(found) - set(known)):
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        faults.append(Fault(source.line(*path, name), f"{where} has {name!r}, which nobody knows", remedy))
    return faults
