"""Administering a broker: one client whose errors are ours, and which waits until a change can be seen.

The broker answers a change before it has applied it, and a refused password is never an answer at all: librdkafka tries
again for ever and tells only its error callback.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AclOperation, AdminClient
from confluent_kafka.cimpl import KafkaError

from connectors.errors import ConfigError, DependencyError, PipelineError
from connectors.kafka.client import START_S, client_config, down
from connectors.settings import KafkaSettings

_SLICE_S: Final = 0.2  # how long one question may keep us from hearing that the password is refused
_SEEN_S: Final = 0.01
_NOT_ALLOWED: Final = frozenset({KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED})
_NEEDED: Final = frozenset({AclOperation.ALTER, AclOperation.CREATE, AclOperation.ALTER_CONFIGS, AclOperation.DESCRIBE})
_SILENT: Final = frozenset(
    {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError.REQUEST_TIMED_OUT}
)


def _noting(refusals: list[str]) -> Callable[[KafkaError], None]:
    """Notes refused passwords. It knows no administrator: one in a circle of references would be ended by the garbage
    collector, at times in librdkafka's own thread, and that aborts the process."""

    def note(error: KafkaError) -> None:
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
            refusals.append(error.str())

    return note


class Administrator:
    """An administrative client of one broker, as the user of these settings."""

    def __init__(self, kafka: KafkaSettings, *, timeout_s: float | None = None) -> None:
        self.kafka = kafka
        self.timeout_s = START_S if timeout_s is None else timeout_s
        self._refusals: list[str] = []
        self.client = AdminClient(client_config(kafka) | {"error_cb": _noting(self._refusals)})

    def partitions(self) -> dict[str, int]:
        """How many partitions each topic has that this user may see.

        Raises: `ConfigError` where the broker refuses user or password, `DependencyError` where it does not answer.
        """
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                known = self.client.list_topics(timeout=min(_SLICE_S, self.timeout_s)).topics
                return {name: len(topic.partitions) for name, topic in known.items()}
            except KafkaException as error:
                reason = error.args[0].str()
            self.client.poll(0)
            if self._refusals:
                raise ConfigError(
                    f"Kafka at {self.kafka.bootstrap} refuses user {self.kafka.username!r} or its password",
                    remedy="correct PANDA_KAFKA__USERNAME and PANDA_KAFKA__PASSWORD; a flow's user is made, and its "
                    "password renewed, by `panda deploy apply`",
                )
            if time.monotonic() >= deadline:
                raise down(self.kafka, self.timeout_s, reason)

    def require_rights(self) -> None:
        """Raises: `ConfigError` where this user may not administer the broker.

        To be called first: asked by anybody else, librdkafka tells of no rights where there are some, and dies over users.
        """
        self.partitions()
        described = self.result(
            self.client.describe_cluster(include_authorized_operations=True, request_timeout=self.timeout_s),
            "tell this user's own rights",
        )
        if not set(described.authorized_operations or ()) >= _NEEDED:
            raise self._not_allowed("administer the cluster")

    def _not_allowed(self, what: str) -> ConfigError:
        return ConfigError(
            f"Kafka does not let {self.kafka.username or 'a user without a name'} {what}",
            remedy="set PANDA_KAFKA__USERNAME and PANDA_KAFKA__PASSWORD to those of an administrator",
        )

    def result(self, future: "Future[Any]", what: str) -> Any:
        """What the broker answers. `what` was asked for, in words.

        Raises: `ConfigError` where this user may not, `DependencyError` where the broker refuses or does not answer.
        """
        error = self.refusal(future, what)
        if error is not None:
            raise self.meaning(error, what)
        return future.result()

    def refusal(self, future: "Future[Any]", what: str) -> KafkaError | None:
        """Why the broker did not do what was asked for; None where it did. Raises: `DependencyError` without an answer.

        The error is taken out, not raised: a future and the trace of its error hold each other, and this client with them.
        """
        try:
            failed = future.exception(self.timeout_s)
        except FutureTimeout as error:
            raise down(self.kafka, self.timeout_s, f"no answer to: {what}") from error
        if isinstance(failed, KafkaException):
            return failed.args[0]
        if failed is not None:
            raise failed
        return None

    def meaning(self, error: KafkaError, what: str) -> PipelineError:
        """Our error for the broker's."""
        if error.code() in _NOT_ALLOWED:
            return self._not_allowed(what)
        if error.code() in _SILENT:
            return down(self.kafka, self.timeout_s, error.str())
        return DependencyError(
            f"Kafka did not {what}: {error.str()}",
            remedy="check that the broker accepts this (its version and its own limits), then apply again",
        )

    def until(self, seen: Callable[[], bool], what: str) -> None:
        """Waits until a change can be seen. Raises: `DependencyError` where it cannot within the time limit."""
        deadline = time.monotonic() + self.timeout_s
        while not seen():
            if time.monotonic() >= deadline:
                raise DependencyError(
                    f"Kafka took a change but does not show it after {self.timeout_s:g} s: {what}",
                    remedy="look at the broker's log, then apply again: what is done stays done",
                )
            time.sleep(_SEEN_S)
