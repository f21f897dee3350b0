"""Who may do what on a broker: one user a flow, and its rights from what `functions/topics.py` says it reads and writes.

A flow that knows brokers has a user for each, so that no mistake on paper can write a topic of a real broker. Names of
topics are literal; names of groups begin with the user's. Writing idempotently needs no right of its own since Kafka 2.8.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import KafkaError

from connectors.errors import ConfigError
from connectors.kafka.admin import Administrator
from connectors.kafka.client import READER_GROUP
from connectors.settings import Broker
from functions.letters import replayable
from functions.topics import Topic, all_topics, decided

Operation = Literal["read", "write", "describe", "create", "describe_configs", "delete"]
ALL_BROKERS: Final[tuple[str, ...]] = get_args(Broker)

_RESOURCES: Final = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}
_RESOURCE_NAMES: Final = {kind: name for name, kind in _RESOURCES.items()}
_USER: Final = "User:"


# --- who there is -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Principal:
    """A Kafka user: the flow that enters as it, and what it needs beyond the topics that the flow reads and writes."""

    name: str
    flow: str
    broker: str = ""  # the only one whose topics it touches; empty: all active ones
    writes_as: str = ""  # writes besides what this flow writes
    ends_of: str = ""  # asks where the topics end that this flow reads
    watches: tuple[str, ...] = ()  # beginnings of groups whose progress it asks for
    letters: bool = True  # writes dead letters of what it touches
    reads_back: bool = False  # looks, after a crash, which of its decisions are on the log
    tends_letters: bool = False  # a human's: reads and deletes dead letters, puts their records back
    more: tuple[tuple[str, str, tuple[Operation, ...]], ...] = ()  # resource, beginning of its name, operations


# Connect keeps its own topics, joins as one group and its sinks as others, and publishes by transactions.
_CONNECT: Final[tuple[tuple[str, str, tuple[Operation, ...]], ...]] = (
    ("topic", "_connect.", ("read", "write", "create", "describe_configs")),
    ("group", "panda-connect", ("read",)),
    ("transactional_id", "connect-cluster-panda-connect", ("write",)),
    ("transactional_id", "panda-connect", ("write",)),
)
_SHARED: Final = (
    Principal("feed", "feed", watches=("pipeline-",)),
    Principal("cache", "cache"),
    Principal("archive", "archive"),
    Principal("config", "config"),
    Principal("api", "api", ends_of="cache", letters=False),
    Principal("connect", "connect", writes_as="config", more=_CONNECT),
    Principal("connectors", "connectors", letters=False),
    Principal("notify", "notify"),
    Principal("operator", "operator", tends_letters=True),  # who runs `panda dlq` without being an administrator
)


def principals(brokers: tuple[str, ...]) -> tuple[Principal, ...]:
    """The users of a deployment with these brokers.

    >>> [p.name for p in principals(("paper",))][-1]
    'pipeline-paper'
    """
    pipelines = tuple(Principal(f"pipeline-{broker}", "pipeline", broker, reads_back=True) for broker in brokers)
    gateways = tuple(Principal(f"orders-{broker}", "orders", broker) for broker in brokers if broker != "paper")
    return _SHARED + pipelines + gateways


def principal_of(flow: str, broker: str) -> str:
    """The user as which a flow enters.

    >>> principal_of("pipeline", "paper"), principal_of("cache", "paper")
    ('pipeline-paper', 'cache')
    """
    for principal in principals(ALL_BROKERS):
        if principal.flow == flow and principal.broker in ("", broker):
            return principal.name
    raise ConfigError(
        f"no Kafka user is declared for flow {flow!r} of broker {broker!r}",
        remedy=f"flows with a user are {', '.join(sorted({p.flow for p in principals(ALL_BROKERS)}))}",
    )


# --- what they may ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Grant:
    """One right (or, found on a broker, one denial): who, on what, to do what."""

    principal: str
    operation: str
    resource: str
    name: str
    prefixed: bool = False
    host: str = "*"
    denied: bool = False


def grants(brokers: tuple[str, ...]) -> frozenset[Grant]:
    """Every right of a deployment with these brokers."""
    return frozenset(grant for principal in principals(brokers) for grant in grants_of(principal, brokers))


def grants_of(principal: Principal, brokers: tuple[str, ...]) -> set[Grant]:
    """The rights of one user."""
    topics = all_topics((principal.broker,) if principal.broker else brokers)
    allowed = {Grant(principal.name, "read", "topic", t.name) for t in topics if principal.flow in t.readers}
    allowed |= {Grant(principal.name, "write", "topic", t.name) for t in topics if _writes(principal, t)}
    if principal.reads_back:
        allowed |= {Grant(principal.name, "read", "topic", t.name) for t in decided(principal.broker)}
    if principal.tends_letters:
        allowed |= {
            Grant(principal.name, operation, "topic", t.name)
            for t in topics
            if t.of_dead_letters
            for operation in ("read", "delete")
        }
        allowed |= {Grant(principal.name, "write", "topic", t.name) for t in replayable(topics)}
        return allowed | {Grant(principal.name, "describe", "group", READER_GROUP)}
    if principal.ends_of:
        allowed |= {
            Grant(principal.name, "describe", "topic", t.name) for t in topics if principal.ends_of in t.readers
        }
    if principal.ends_of or any(grant.operation == "read" for grant in allowed):
        allowed.add(Grant(principal.name, "read", "group", principal.name, prefixed=True))
        allowed.add(Grant(principal.name, "describe", "group", READER_GROUP))
    allowed |= {Grant(principal.name, "describe", "group", group, prefixed=True) for group in principal.watches}
    return allowed | {
        Grant(principal.name, operation, resource, name, prefixed=True)
        for resource, name, operations in principal.more
        for operation in operations
    }


def _writes(principal: Principal, topic: Topic) -> bool:
    if topic.of_dead_letters and not principal.letters:
        return False
    stands_in = bool(principal.writes_as) and not topic.of_dead_letters and principal.writes_as in topic.writers
    return stands_in or principal.flow in topic.writers


def topics_of(user: str) -> frozenset[str] | None:
    """The topics that a flow's user may see; None for a user that is no flow's."""
    for principal in principals(ALL_BROKERS):
        if principal.name == user:
            return frozenset(
                g.name for g in grants_of(principal, ALL_BROKERS) if g.resource == "topic" and not g.prefixed
            )
    return None


# --- on a broker ------------------------------------------------------------------------------------------------------


def found_grants(admin: Administrator) -> frozenset[Grant] | None:
    """Every right on the broker, whoever's; None where it asks nobody for rights.

    Raises: `ConfigError` where our user administers nothing, `DependencyError`.
    """
    admin.require_rights()
    anything: Any = None  # the library's types forget that a filter may leave names out
    everything = AclBindingFilter(
        ResourceType.ANY, anything, ResourcePatternType.ANY, anything, anything, AclOperation.ANY, AclPermissionType.ANY
    )
    asked, what = (
        admin.client.describe_acls(everything, request_timeout=admin.timeout_s),
        "tell the rights of its users",
    )
    error = admin.refusal(asked, what)
    if error is not None and error.code() == KafkaError.SECURITY_DISABLED:
        return None
    return frozenset(_grant(binding) for binding in admin.result(asked, what))


def create_grants(admin: Administrator, wanted: frozenset[Grant]) -> None:
    """Gives rights and waits until the broker shows them."""
    if wanted:
        for future in admin.client.create_acls([_binding(grant) for grant in sorted(wanted)]).values():
            admin.result(future, "create a right")
        admin.until(lambda: wanted <= (found_grants(admin) or frozenset()), f"{len(wanted)} rights")


def delete_grants(admin: Administrator, unwanted: frozenset[Grant]) -> None:
    """Takes exactly these rights away and waits until the broker does not show them any more."""
    if unwanted:
        for future in admin.client.delete_acls([_exactly(grant) for grant in sorted(unwanted)]).values():
            admin.result(future, "delete a right")
        admin.until(lambda: not unwanted & (found_grants(admin) or frozenset()), f"{len(unwanted)} rights taken away")


def _grant(binding: AclBinding) -> Grant:
    resource = ResourceType(binding.restype)
    return Grant(
        binding.principal.removeprefix(_USER),
        AclOperation(binding.operation).name.lower(),
        _RESOURCE_NAMES.get(resource, resource.name.lower()),
        binding.name,
        binding.resource_pattern_type == ResourcePatternType.PREFIXED,
        binding.host,
        binding.permission_type == AclPermissionType.DENY,
    )


def _parts(grant: Grant) -> tuple[ResourceType, str, ResourcePatternType, str, str, AclOperation, AclPermissionType]:
    return (
        _RESOURCES[grant.resource] if grant.resource in _RESOURCES else ResourceType[grant.resource.upper()],
        grant.name,
        ResourcePatternType.PREFIXED if grant.prefixed else ResourcePatternType.LITERAL,
        _USER + grant.principal,
        grant.host,
        AclOperation[grant.operation.upper()],
        AclPermissionType.DENY if grant.denied else AclPermissionType.ALLOW,
    )


def _binding(grant: Grant) -> AclBinding:
    return AclBinding(*_parts(grant))


def _exactly(grant: Grant) -> AclBindingFilter:
    return AclBindingFilter(*_parts(grant))
