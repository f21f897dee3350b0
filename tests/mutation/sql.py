"""Mutants of SQL text: DuckDB finds the tokens, small rules change one, or leave out one clause."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import duckdb

from tests.mutation.mutants import Mutant, changed

_SWAPPED: Final = {
    "+": "-", "-": "+", "*": "+", "//": "/", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "=": "<>", "AND": "OR", "OR": "AND",
    "sum": "max", "min": "max", "max": "min", "avg": "sum", "count": "sum", "bool_or": "bool_and", "bool_and": "bool_or",
    "ASC": "DESC", "DESC": "ASC", "TRY_CAST": "CAST", "true": "false", "false": "true", "IS": "IS NOT",
}  # fmt: skip
_CLAUSES: Final = {"WHERE", "QUALIFY", "FILTER"}
_ENDS: Final = {"WHERE", "QUALIFY", "FILTER", "GROUP", "ORDER", "UNION", "FROM", "LIMIT"}


class Token(NamedTuple):
    """`text[start:end]` without the blanks behind it; `depth` counts the brackets around it."""

    text: str
    kind: str
    start: int
    end: int
    depth: int


def tokens_of(text: str) -> list[Token]:
    """The tokens of SQL but its comments."""
    found, depth = [], 0
    text = "".join(letter if letter.isascii() else "?" for letter in text)  # DuckDB counts bytes
    places: list[tuple[int, Any]] = duckdb.tokenize(text)
    for (start, kind), (following, _) in zip(places, [*places[1:], (len(text), None)], strict=True):
        word = text[start:following].rstrip()
        word = word.split()[0] if kind.name in ("keyword", "identifier") else word
        depth -= word == ")"
        if kind.name != "comment":
            found.append(Token(word, kind.name, start, start + len(word), depth))
        depth += word == "("
    return found


def mutants_of(text: str) -> list[Mutant]:
    """Every mutant of a file of views and macros; each is called by the view or macro that it changes."""
    tokens = tokens_of(text)
    found: dict[str, Mutant] = {}
    for start, end, instead in _changes(text, tokens):
        mutated = text[:start] + instead + text[end:]
        found.setdefault(mutated, changed(_name(tokens, start), text, mutated))
    return list(found.values())


def _name(tokens: list[Token], at: int) -> str:
    """The view or macro that a place lies in."""
    before = [n for n, token in enumerate(tokens) if token.start <= at and token.text in ("VIEW", "MACRO")]
    return tokens[before[-1] + 1].text


def _changes(text: str, tokens: list[Token]) -> Iterator[tuple[int, int, str]]:
    """Start and end of what is replaced, and by what."""
    for n, token in enumerate(tokens):
        yield from _of_token(tokens, n)
        if token.text in _CLAUSES:
            yield token.start, tokens[_end_of_clause(tokens, n) - 1].end, ""
        if token.text == "BY" and tokens[n - 1].text in ("PARTITION", "GROUP", "ORDER"):
            yield from _of_list(tokens, n)
        if token.text == "WHEN":
            end = next(m for m in range(n + 1, len(tokens)) if tokens[m].text in ("WHEN", "ELSE", "END"))
            yield token.start, tokens[end - 1].end, ""


def _of_token(tokens: list[Token], n: int) -> Iterator[tuple[int, int, str]]:
    word, kind, start, end, _ = tokens[n]
    following = tokens[n + 1].text if n + 1 < len(tokens) else ""
    if (word, following) == ("IS", "NOT"):
        yield start, tokens[n + 1].end, "IS"
    elif word in _SWAPPED and (word, following) != ("OR", "REPLACE"):
        yield start, end, _SWAPPED[word]
    if kind == "string_const":
        yield start, end, f"{word[:-1]}_'"
    if kind == "numeric_const" and word.isdigit():
        yield start, end, str(int(word) + 1)
    if word == "." and tokens[n - 1].kind == "identifier":
        owner = tokens[n - 1].text
        fields = [
            tokens[m + 2].text for m in range(len(tokens) - 2) if (tokens[m].text, tokens[m + 1].text) == (owner, ".")
        ]
        names = list(dict.fromkeys(fields))
        field = tokens[n + 1]
        yield field.start, field.end, names[(names.index(field.text) + 1) % len(names)]


def _end_of_clause(tokens: list[Token], n: int) -> int:
    """The token behind a clause that begins at the n-th."""
    depth = tokens[n].depth
    for m in range(n + 1, len(tokens)):
        if tokens[m].depth < depth or tokens[m].text == ";" or (tokens[m].depth == depth and tokens[m].text in _ENDS):
            return m
        if tokens[n].text == "FILTER" and tokens[m].depth == depth and tokens[m].text == ")":
            return m + 1
    return len(tokens)


def _of_list(tokens: list[Token], n: int) -> Iterator[tuple[int, int, str]]:
    """One item of a list fewer, or of an order the other way round."""
    depth, items, first = tokens[n].depth, [], n + 1
    end = _end_of_clause(tokens, n)
    for m in range(n + 1, end + 1):
        if m == end or (tokens[m].text == "," and tokens[m].depth == depth):
            items.append((first, m - 1))
            first = m + 1
    for first, last in items:
        if len(items) > 1:
            at = (
                (tokens[first].start, tokens[last + 1].end)
                if (first, last) != items[-1]
                else (tokens[first - 1].start, tokens[last].end)
            )
            yield *at, ""
        if tokens[n - 1].text == "ORDER" and tokens[last].text not in ("ASC", "DESC"):
            yield tokens[last].end, tokens[last].end, " DESC"
