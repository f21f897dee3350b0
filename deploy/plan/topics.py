"""Topics as `functions/topics.py` declares them: created, repaired, and never shrunk behind anybody's back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.kafka.admin import Administrator
from connectors.kafka.topics import Found, alter_topics, create_topics, found_topics, grow_topics, topic_configuration
from deploy.plan.steps import Change, Context, State
from functions.topics import Topic, all_topics

ACCEPT: Final = "to accept it: --allow-data-loss"
_KEPT_FOR: Final = frozenset({"retention.ms", "min.compaction.lag.ms"})
_FOR_EVER: Final = -1


@dataclass(frozen=True)
class TopicChange(Change):
    """One difference of one topic: it is created, has another number of partitions, or another value of `key`."""

    topic: Topic | None = None
    partitions: int | None = None
    key: str = ""
    value: str | None = None  # None: back to the broker's default


# --- deciding ---------------------------------------------------------------------------------------------------------


def differences(
    wanted: Iterable[Topic], found: Mapping[str, Found], *, allow_data_loss: bool = False
) -> list[TopicChange]:
    """What has to change for the topics found to be those wanted, in the order of their declaration."""
    changes: list[TopicChange] = []
    for topic in wanted:
        there = found.get(topic.name)
        if there is None:
            changes.append(_created(topic))
        else:
            changes += _partitions(topic, there, allow_data_loss)
            changes += _configuration(topic, there, allow_data_loss)
    return changes


def _created(topic: Topic) -> TopicChange:
    settings = ", ".join(f"{key} {value}" for key, value in topic_configuration(topic).items())
    number = "1 partition" if topic.partitions == 1 else f"{topic.partitions} partitions"
    return TopicChange("add", f"topic {topic.name}", f"{number}, {settings}", topic=topic)


def _partitions(topic: Topic, there: Found, allowed: bool) -> list[TopicChange]:
    if topic.partitions == there.partitions:
        return []
    refusal = ""
    if topic.partitions < there.partitions:
        refusal = (
            "Kafka takes no partition away: correct functions/topics.py, or delete the topic (its records with it), "
            "apply, and replay"
        )
    elif not allowed:
        refusal = (
            f"records of one {topic.key} would lie on two partitions, their order and old snapshots lost: stop the flows "
            f"that read it, and replay; {ACCEPT}"
        )
    detail = f"partitions {there.partitions} → {topic.partitions}"
    return [TopicChange("change", f"topic {topic.name}", detail, refusal, topic, topic.partitions)]


def _configuration(topic: Topic, there: Found, allowed: bool) -> list[TopicChange]:
    declared = topic_configuration(topic)
    what = f"topic {topic.name}"
    changed = [
        TopicChange(
            "change", what, f"{key} {there.values.get(key)} → {value}",
            "" if allowed else _loss(key, there.values.get(key), value), topic, key=key, value=value,
        )
        for key, value in declared.items()
        if there.values.get(key) != value
    ]  # fmt: skip
    by_hand = [
        TopicChange("remove", what, f"{key} {there.values.get(key)}, set by hand, is not declared", "", topic, key=key)
        for key in sorted(there.set_there - declared.keys())
    ]
    return changed + by_hand


def _loss(key: str, old: str | None, new: str) -> str:
    """Why setting a key would lose records; empty where it would not."""
    if key == "cleanup.policy":
        return f"records would go that {old!r} keeps and {new!r} does not; {ACCEPT}"
    if key in _KEPT_FOR and old is not None and _shorter(int(new), int(old)):
        return f"records older than {int(new) / 86_400_000:g} days would go; {ACCEPT}"
    return ""


def _shorter(new: int, old: int) -> bool:
    return new != _FOR_EVER and (old == _FOR_EVER or new < old)


def undeclared(known: Iterable[str], brokers: tuple[str, ...]) -> list[str]:
    """Topics beside ours, under the first words that ours have: of a broker that is not active, or of an old version."""
    declared = {topic.name for topic in all_topics(brokers)}
    ours = {topic.name.partition(".")[0] for topic in all_topics(("paper", "zerodha"))}
    return sorted(name for name in known if name not in declared and name.partition(".")[0] in ours)


# --- doing ------------------------------------------------------------------------------------------------------------


class Topics:
    """The step that makes a broker's topics those of the table."""

    name = "topics"

    def __init__(self, context: Context) -> None:
        self._kafka = context.settings.kafka
        self._brokers = context.settings.active_brokers
        self._allowed = context.allow_data_loss

    def plan(self) -> list[Change]:
        """Raises: `ConfigError` where our user administers nothing, `DependencyError`."""
        admin = Administrator(self._kafka)
        if self._kafka.embedded:
            return [_embedded(admin, all_topics(self._brokers))]
        admin.require_rights()
        wanted = all_topics(self._brokers)
        changes: list[Change] = list(
            differences(wanted, found_topics(admin, [topic.name for topic in wanted]), allow_data_loss=self._allowed)
        )
        others = undeclared(admin.partitions(), self._brokers)
        if others:
            changes.append(Change("note", "topics that are not declared, left alone", ", ".join(others)))
        return changes

    def apply(self, changes: Sequence[Change]) -> None:
        """Creates, then grows, then configures."""
        admin = Administrator(self._kafka, timeout_s=30)
        ours = [change for change in changes if isinstance(change, TopicChange) and change.topic is not None]
        created = [change.topic for change in ours if change.kind == "add" and change.topic is not None]
        create_topics(admin, created)
        grow_topics(
            admin, {c.topic.name: c.partitions for c in ours if c.topic is not None and c.partitions is not None}
        )
        altered: dict[str, dict[str, str | None]] = {}
        for change in ours:
            if change.topic is not None and change.key:
                altered.setdefault(change.topic.name, {})[change.key] = change.value
        alter_topics(admin, altered)

    def status(self) -> list[State]:
        declared = all_topics(self._brokers)
        differing = {change.what for change in self.plan() if change.kind != "note"}
        there = len(declared) - len(differing)
        return [State("topics as declared", not differing, f"{there} of {len(declared)}")]


def _embedded(admin: Administrator, wanted: Sequence[Topic]) -> Change:
    missing = [topic.name for topic in wanted if topic.name not in admin.partitions()]
    told = f"without {', '.join(missing)}" if missing else "with all topics from its start"
    return Change("note", "embedded broker", f"{told}; it takes no changes")
