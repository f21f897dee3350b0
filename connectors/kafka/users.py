"""Kafka's users: who can enter, and whether with the password that we would give them.

A broker tells that a user exists and never with which password; the only way to know is to enter as that user.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from confluent_kafka.admin import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from pydantic import SecretStr

from connectors.errors import ConfigError
from connectors.kafka.admin import Administrator
from connectors.settings import KafkaSettings

_ITERATIONS: Final = 8_192
_AT_ONCE: Final = 16  # users asked for at the same time; each waits for the broker most of the time
_MECHANISMS: Final = {
    "SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256,
    "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512,
}


def users_are_kept(kafka: KafkaSettings) -> bool:
    """Whether the broker itself keeps users and passwords, as it does for SCRAM."""
    return kafka.security_protocol.startswith("SASL") and kafka.sasl_mechanism in _MECHANISMS


def found_users(admin: Administrator) -> frozenset[str]:
    """Who has a password of the mechanism of these settings. Raises: `ConfigError`, `DependencyError`."""
    admin.require_rights()
    asked: Any = admin.client.describe_user_scram_credentials(None, request_timeout=admin.timeout_s)
    wanted = _MECHANISMS[admin.kafka.sasl_mechanism]
    described = admin.result(asked, "tell its users")
    return frozenset(
        name
        for name, user in described.items()
        if any(credential.mechanism == wanted for credential in user.scram_credential_infos)
    )


def refused_users(admin: Administrator, passwords: Mapping[str, SecretStr]) -> frozenset[str]:
    """Those whom the broker does not let in with these passwords, all asked at once. Raises: `DependencyError`."""
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        entered = list(pool.map(lambda name: _enters(admin, name, passwords[name]), passwords))
    return frozenset(name for name, entering in zip(passwords, entered, strict=True) if not entering)


def _enters(admin: Administrator, name: str, password: SecretStr) -> bool:
    entering = admin.kafka.model_copy(update={"username": name, "password": password})
    try:
        Administrator(entering, timeout_s=admin.timeout_s).partitions()
    except ConfigError:
        return False
    return True


def set_passwords(admin: Administrator, passwords: Mapping[str, SecretStr]) -> None:
    """Makes users, or gives them new passwords, and waits until they can enter."""
    kind = ScramCredentialInfo(_MECHANISMS[admin.kafka.sasl_mechanism], _ITERATIONS)
    _alter(
        admin,
        [UserScramCredentialUpsertion(n, kind, p.get_secret_value().encode()) for n, p in passwords.items()],
        "set the password of user",
    )
    admin.until(lambda: not refused_users(admin, passwords), f"users {', '.join(passwords)}")


def delete_users(admin: Administrator, names: Sequence[str]) -> None:
    """Lets users in no more."""
    mechanism = _MECHANISMS[admin.kafka.sasl_mechanism]
    _alter(admin, [UserScramCredentialDeletion(name, mechanism) for name in names], "delete user")
    admin.until(lambda: not found_users(admin) & set(names), f"users {', '.join(names)} gone")


def _alter(admin: Administrator, alterations: Sequence[UserScramCredentialAlteration], what: str) -> None:
    if alterations:
        asked = admin.client.alter_user_scram_credentials(list(alterations), request_timeout=admin.timeout_s)
        for name, future in asked.items():
            admin.result(future, f"{what} {name}")
