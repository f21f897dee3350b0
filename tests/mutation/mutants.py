"""A mutant: a text with one small change in it, and how it is written down."""

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SURVIVORS: Final = Path(__file__).with_name("survivors")


@dataclass(frozen=True)
class Mutant:
    """`where` names the view or function; `before` and `after` are the lines that differ."""

    where: str
    before: str
    after: str
    text: str = ""  # all of it; no part of what it is called

    @property
    def change(self) -> "Change":
        return (self.where, self.before, self.after)


Change = tuple[str, str, str]


def changed(where: str, original: str, text: str) -> Mutant:
    """The mutant that is this text in place of the original."""
    lines = list(difflib.unified_diff(original.splitlines(), text.splitlines(), lineterm="", n=0))[2:]
    before = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    after = " ".join(line[1:].strip() for line in lines if line.startswith("+"))
    return Mutant(where, before, after, text)


def written(change: Change, reason: str) -> str:
    """As it stands in a file of survivors."""
    where, before, after = change
    return f"{where}\n- {before}\n+ {after}\n= {reason}\n"


def listed(name: str) -> dict[Change, list[str]]:
    """The survivors of a file with their reasons, as often as each is there. Raises: `ValueError` for one without a reason."""
    path = SURVIVORS / f"{name}.txt"
    found: dict[Change, list[str]] = {}
    for block in path.read_text().strip().split("\n\n") if path.exists() else []:
        where, before, after, *reason = block.splitlines()
        if not (before.startswith("- ") and after.startswith("+ ") and reason and reason[0].startswith("= ")):
            raise ValueError(f"{path}: a survivor is a name, `- before`, `+ after` and `= reason`, this is\n{block}")
        found.setdefault((where, before[2:], after[2:]), []).append(" ".join(reason)[2:])
    return found


@dataclass(frozen=True)
class Verdict:
    """What a run has found: the survivors that nobody knew, and what is listed but did not survive."""

    survived: list[Change]
    seen: list[Change]

    @property
    def is_good(self) -> bool:
        return not self.survived and not self.seen


def judged(name: str, survivors: Iterable[Mutant]) -> Verdict:
    """Survivors against the file of that name, of equal ones as many as are listed."""
    there = Counter(mutant.change for mutant in survivors)
    known = Counter({change: len(reasons) for change, reasons in listed(name).items()})
    return Verdict(sorted((there - known).elements()), sorted((known - there).elements()))
