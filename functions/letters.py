"""Dead letters: which there are, which may be put back on their topic, and which can be deleted.

A letter has two names that never change: its own place (`market.ticks.dlq:0:17`) and that of the record that it was at
first (`market.ticks:3:41`), which it keeps however often it is put back and fails again.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from functions.poison import TOO_LATE
from functions.topics import Topic

SUFFIX: Final = ".dlq"
_UNKNOWN: Final = "unknown"


class Letter(NamedTuple):
    """One dead letter. `of` is its record's topic, `original` that record's first place, `time_ms` when it was written."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    of: str
    original: str
    step: str
    error: str
    message: str
    attempts: int

    @property
    def id(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


# Kafka Connect names the same facts in its own way.
_OF_CONNECT: Final = {
    "topic": "__connect.errors.topic", "partition": "__connect.errors.partition", "offset": "__connect.errors.offset",
    "step": "__connect.errors.connector.name", "error": "__connect.errors.exception.class.name",
    "message": "__connect.errors.exception.message",
}  # fmt: skip


def letter(
    topic: str, partition: int, offset: int, time_ms: int, key: bytes | None, value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]],
) -> Letter:  # fmt: skip
    """A record of a dead-letter topic, whoever wrote it.

    >>> told = [("topic", b"t"), ("partition", b"3"), ("offset", b"41"), ("error", b"bad_price"), ("attempts", b"2")]
    >>> one = letter("t.dlq", 0, 7, 0, None, b"{", told)
    >>> one.id, one.original, one.error, one.attempts
    ('t.dlq:0:7', 't:3:41', 'bad_price', 2)
    """
    kept = tuple((name, content or b"") for name, content in headers)
    facts = {name: content.decode(errors="backslashreplace") for name, content in kept}

    def fact(name: str) -> str:
        return facts.get(name) or facts.get(_OF_CONNECT.get(name, ""), "") or _UNKNOWN

    of = fact("topic")
    of = topic.removesuffix(SUFFIX) if of == _UNKNOWN else of
    attempts = fact("attempts")
    original = facts.get("original") or f"{of}:{fact('partition')}:{fact('offset')}"
    return Letter(
        topic, partition, offset, time_ms, key, value, kept, of, original, fact("step"),
        fact("error").rpartition(".")[2], fact("message"), int(attempts) if attempts.isdigit() else 1,
    )  # fmt: skip


# --- choosing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filter:
    """Which letters are meant; what is not given does not restrict. `ids` are places, of letters or of their records."""

    topics: frozenset[str] = frozenset()
    errors: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    keys: frozenset[bytes] = frozenset()
    ids: frozenset[str] = frozenset()
    first: int | None = None  # offsets of letters, both inclusive
    last: int | None = None
    since_ms: int | None = None  # inclusive
    until_ms: int | None = None  # exclusive

    def takes(self, letter: Letter) -> bool:
        return (
            (not self.topics or letter.of in self.topics or letter.topic in self.topics)
            and (not self.errors or letter.error in self.errors)
            and (not self.steps or letter.step in self.steps)
            and (not self.keys or letter.key in self.keys)
            and (not self.ids or letter.id in self.ids or letter.original in self.ids)
            and (self.first is None or letter.offset >= self.first)
            and (self.last is None or letter.offset <= self.last)
            and (self.since_ms is None or letter.time_ms >= self.since_ms)
            and (self.until_ms is None or letter.time_ms < self.until_ms)
        )


class Count(NamedTuple):
    """Letters of one topic, step and error. `records` are fewer than `letters` where several shards refused the same one."""

    topic: str
    step: str
    error: str
    letters: int
    records: int
    attempts: int  # most of any
    first: int  # offsets of letters
    last: int
    newest_ms: int


def counts(letters: Iterable[Letter]) -> list[Count]:
    """By topic, step and error, the most frequent first."""
    groups: dict[tuple[str, str, str], list[Letter]] = defaultdict(list)
    for each in letters:
        groups[each.of, each.step, each.error].append(each)
    found = [
        Count(
            *about, len(group), len({each.original for each in group}), max(each.attempts for each in group),
            group[0].offset, group[-1].offset, max(each.time_ms for each in group),
        )
        for about, group in groups.items()
    ]  # fmt: skip
    return sorted(found, key=lambda count: (-count.letters, count[:3]))


# --- putting back -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Replay:
    """What is put back, one letter a record, in the order in which the records first failed; what is not, by the reason."""

    letters: list[Letter]
    left: Counter[str]


def replay(letters: Sequence[Letter], chosen: Callable[[Letter], bool], topics: Mapping[str, Topic]) -> Replay:
    """Of each record of which a letter is chosen the one of its last attempt, if it may be put back.

    `letters` are all there are, in order: an older letter of a record that has failed again since says nothing any more.
    """
    newest: dict[str, Letter] = {}
    wanted = {each.original for each in letters if chosen(each)}
    for each in letters:
        if each.original not in newest or each.attempts > newest[each.original].attempts:
            newest[each.original] = each
    left: Counter[str] = Counter()
    taken: list[Letter] = []
    for each in newest.values():
        if each.original not in wanted:
            continue
        reason = obstacle(each, topics)
        if reason:
            left[reason] += 1
        else:
            taken.append(each)
    return Replay(taken, left)


def obstacle(letter: Letter, topics: Mapping[str, Topic]) -> str:
    """Why this letter is not put back; nothing where it may be."""
    topic = topics.get(letter.of)
    if topic is None or topic.of_dead_letters:
        return f"{letter.of} is no topic of this deployment"
    if not letter.original.rpartition(":")[2].isdigit() or ":-1:" in letter.original:
        return "it never was a record of its topic: feed the file again, corrected"
    if topic.cleanup == "compact":
        return f"{letter.of} holds the newest of each key, which this may not be: change it in the config store"
    if not _is_input(topic):
        return (
            f"{letter.of} is no input of a decision: its other readers have it; let the one that refused it read again"
        )
    if letter.error in TOO_LATE:
        return f"{letter.error}: no cure makes it usable"
    return ""


def replayable(topics: Iterable[Topic]) -> list[Topic]:
    """The topics on which letters may be put back: market data and commands.

    >>> from functions.topics import all_topics
    >>> [t.name for t in replayable(all_topics(("paper",)))]
    ['market.ticks', 'market.clock', 'paper.commands']
    """
    return [topic for topic in topics if topic.cleanup == "delete" and _is_input(topic)]


def _is_input(topic: Topic) -> bool:
    """What a pipeline decides on. A venue's answers are not put back: the gateway asks the venue itself."""
    return bool(topic.payloads) and "pipeline" in topic.readers and not topic.from_gateway


# --- deleting ---------------------------------------------------------------------------------------------------------


class Purge(NamedTuple):
    """One partition: all letters before `before` go, `letters` of them; `kept` others that were not chosen would go too."""

    topic: str
    partition: int
    before: int
    letters: int
    kept: int
    clean: int  # up to here there are chosen ones alone


def purge(letters: Sequence[Letter], chosen: Callable[[Letter], bool]) -> list[Purge]:
    """What deleting these letters takes: Kafka deletes a partition from its beginning only. `letters` are all, in order."""
    found: list[Purge] = []
    groups: dict[tuple[str, int], list[Letter]] = defaultdict(list)
    for each in letters:
        groups[each.topic, each.partition].append(each)
    for (topic, partition), group in groups.items():
        wanted = [chosen(each) for each in group]
        if not any(wanted):
            continue
        end = len(wanted) - wanted[::-1].index(True)
        others = wanted[:end].count(False)
        clean = group[wanted.index(False)].offset if others else group[end - 1].offset + 1
        found.append(Purge(topic, partition, group[end - 1].offset + 1, end - others, others, clean))
    return found
