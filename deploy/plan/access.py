"""Users and rights: each flow enters Kafka as its own user, which may do what the topic table says, and no more.

Only users and rights of our own names are made, changed or taken away; others are told and left alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from connectors.errors import ConfigError
from connectors.kafka.access import (
    ALL_BROKERS,
    Grant,
    create_grants,
    delete_grants,
    found_grants,
    grants,
    principals,
)
from connectors.kafka.admin import Administrator
from connectors.kafka.users import delete_users, found_users, refused_users, set_passwords, users_are_kept
from connectors.settings import principal_password
from deploy.plan.steps import Change, Context, Kind, State

OURS = frozenset(principal.name for principal in principals(ALL_BROKERS))


@dataclass(frozen=True)
class UserChange(Change):
    """A user is made, let in with another password, or let in no more."""

    user: str = ""


@dataclass(frozen=True)
class GrantChange(Change):
    """Rights of one user to do one thing are given or taken."""

    grants: frozenset[Grant] = field(default_factory=frozenset)


# --- deciding ---------------------------------------------------------------------------------------------------------


def user_differences(wanted: Iterable[str], found: frozenset[str], refused: frozenset[str]) -> list[Change]:
    """What has to change for our users to be those wanted. `refused` are those whose password is not what it should be."""
    names = sorted(wanted)
    made = [UserChange("add", f"user {name}", user=name) for name in names if name not in found]
    renewed = [
        UserChange(
            "change", f"user {name}", "password, which is not the one that PANDA_DEPLOY__SECRET gives", user=name
        )
        for name in names
        if name in found and name in refused
    ]
    dropped = [UserChange("remove", f"user {n}", user=n) for n in sorted((found & OURS) - set(names))]
    return [*made, *renewed, *dropped]


def grant_differences(wanted: frozenset[Grant], found: frozenset[Grant]) -> list[Change]:
    """What has to change for our users' rights to be those wanted; rights of others as notes."""
    ours = frozenset(grant for grant in found if grant.principal in OURS)
    foreign = sorted({grant.principal for grant in found - ours})
    told = [
        Change("note", f"rights of {name}, not ours, left alone", _words(g for g in found if g.principal == name))
        for name in foreign
    ]
    return [*_grouped("remove", ours - wanted), *_grouped("add", wanted - ours), *told]


def _grouped(kind: Kind, several: frozenset[Grant]) -> list[Change]:
    groups: dict[tuple[str, str, str, bool], set[Grant]] = defaultdict(set)
    for grant in several:
        groups[grant.principal, grant.operation, grant.resource, grant.denied].add(grant)
    return [
        GrantChange(kind, f"right of {principal}", _words(group), grants=frozenset(group))
        for (principal, _, _, _), group in sorted(groups.items())
    ]


def _words(several: Iterable[Grant]) -> str:
    """Rights in words, those to do the same together."""
    names: dict[str, list[str]] = defaultdict(list)
    for grant in sorted(several):
        verb = f"{'not ' if grant.denied else ''}{grant.operation} {grant.resource}"
        names[verb].append(
            grant.name + ("…" if grant.prefixed else "") + ("" if grant.host == "*" else f" from {grant.host}")
        )
    return "; ".join(f"{verb} {', '.join(of)}" for verb, of in names.items())


# --- doing ------------------------------------------------------------------------------------------------------------


class Access:
    """The step that makes users and rights on a broker those of the topic table."""

    name = "access"

    def __init__(self, context: Context) -> None:
        self._kafka = context.settings.kafka
        self._brokers = context.settings.active_brokers
        self._secret = context.settings.deploy.secret

    def plan(self) -> list[Change]:
        """Raises: `ConfigError` without a secret or where our user administers nothing, `DependencyError`."""
        if self._kafka.embedded:
            return [Change("note", "embedded broker", "it asks nobody for rights")]
        admin = Administrator(self._kafka)
        found = found_grants(admin)
        if found is None:
            return [
                Change("note", "open broker", "it has no authorizer: whoever reaches it may read and write everything")
            ]
        return [*self._users(admin), *grant_differences(grants(self._brokers), found)]

    def _users(self, admin: Administrator) -> list[Change]:
        if not users_are_kept(self._kafka):
            told = f"users are kept elsewhere with {self._kafka.security_protocol} {self._kafka.sasl_mechanism}"
            return [Change("note", "users", f"{told}: make them there, named as the rights name them")]
        passwords = self._passwords(principal.name for principal in principals(self._brokers))
        found = found_users(admin)
        refused = refused_users(admin, {name: secret for name, secret in passwords.items() if name in found})
        return user_differences(passwords, found, refused)

    def _passwords(self, names: Iterable[str]) -> dict[str, SecretStr]:
        if not self._secret.get_secret_value():
            raise ConfigError(
                "PANDA_DEPLOY__SECRET is empty, and from it come the passwords of the flows' Kafka users",
                remedy="set it to a long random text, e.g. of `openssl rand -hex 32`, and keep it",
            )
        return {name: principal_password(self._secret, name) for name in names}

    def apply(self, changes: Sequence[Change]) -> None:
        """Takes rights and users away first, so that nobody may meanwhile do more than before and after."""
        admin = Administrator(self._kafka, timeout_s=30)
        given = [c for c in changes if isinstance(c, GrantChange)]
        delete_grants(admin, frozenset().union(*(c.grants for c in given if c.kind == "remove")))
        users = [c for c in changes if isinstance(c, UserChange)]
        delete_users(admin, [c.user for c in users if c.kind == "remove"])
        create_grants(admin, frozenset().union(*(c.grants for c in given if c.kind == "add")))
        set_passwords(admin, self._passwords([c.user for c in users if c.kind != "remove"]))

    def status(self) -> list[State]:
        changes = self.plan()
        differing = [change for change in changes if change.kind != "note"]
        if not differing and changes and not isinstance(changes[0], UserChange) and self._told_off(changes):
            return [State("users and rights", True, changes[0].detail)]
        detail = f"{len(principals(self._brokers))} users, {len(grants(self._brokers))} rights"
        wrong = f", {len(differing)} differences" if differing else ""
        return [State("users and rights", not differing, detail + wrong)]

    def _told_off(self, changes: Sequence[Change]) -> bool:
        return changes[0].what in ("embedded broker", "open broker")
