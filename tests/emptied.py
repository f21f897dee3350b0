"""The platform as just after its start: all that a file of tests has left on it is taken away, the services stay.

connectors ─► topics, groups, rights ─► databases ─► Redis
"""

from collections.abc import Sequence
from typing import Any, Final

import psycopg
import redis
from confluent_kafka.cimpl import KafkaError
from psycopg import sql

from connectors.connect import Connect
from connectors.kafka.access import create_grants, delete_grants, found_grants
from connectors.kafka.admin import Administrator
from connectors.kafka.source import end_offsets
from deploy.services.connect import worker_rights
from deploy.services.kafka import admin_settings
from deploy.services.native import Native
from deploy.services.postgres import SUPER_USER, Postgres
from tests.waiting import until

PATIENCE_S: Final = 60.0
OF_KAFKA, OF_CONNECT = "__", "_connect."  # how the names of topics begin that the services keep for themselves
OFFSETS: Final = "_connect.offsets"  # how far sources have read


def empty(native: Native) -> None:
    """Starts what a test has stopped, and takes away what tests have made."""
    native.up(["kafka", "postgres", "redis"])
    [connect] = native.status(["connect"])
    if connect.pid is not None:
        native.up()
    carried = connect.pid is None or _has_carried(native)
    if carried:  # how far a connector has read outlives it: the worker forgets that with its topics alone
        native.down(["connect"])
    _empty_kafka(Administrator(admin_settings(native.site), timeout_s=PATIENCE_S), forget_connect=carried)
    _empty_postgres(native)
    _empty_redis(native)
    native.up()


def rest(native: Native) -> None:
    """What tests have left idle shall cost nothing: Connect with connectors would work on to the end of the run."""
    [connect] = native.status(["connect"])
    if connect.healthy and _has_carried(native):
        native.down(["connect"])


def _has_carried(native: Native) -> bool:
    """Whether Connect has a connector, or had one."""
    with Connect(f"http://127.0.0.1:{native.ports.connect}") as connect:
        return bool(connect.connectors()) or any(end_offsets(admin_settings(native.site), [OFFSETS]).values())


# --- Kafka ------------------------------------------------------------------------------------------------------------


def _empty_kafka(admin: Administrator, *, forget_connect: bool) -> None:
    """Users stay, without rights: where many were deleted, Kafka 4.3 forgets at its next start those that remain.

    It replays all changes of users at once, and lets go of the table of all when it meets a deleted one first
    (`ScramDelta.apply`): then not even `admin` may enter.
    """
    kept = (OF_KAFKA,) if forget_connect else (OF_KAFKA, OF_CONNECT)
    _delete_topics(admin, [name for name in admin.partitions() if not name.startswith(kept)])
    until(lambda: _without_groups(admin), PATIENCE_S, "the last member's leave")
    found = found_grants(admin) or frozenset()
    delete_grants(admin, found - worker_rights())
    create_grants(admin, worker_rights() - found)


def _delete_topics(admin: Administrator, names: Sequence[str]) -> None:
    if names:
        for name, future in admin.client.delete_topics(list(names)).items():
            admin.result(future, f"delete topic {name}")
        admin.until(lambda: not admin.partitions().keys() & set(names), "topics gone")


def _without_groups(admin: Administrator) -> bool:
    """Deletes every group but Connect's; False while one of them has members, who may just be leaving."""
    listed: Any = admin.result(admin.client.list_consumer_groups(), "list its groups")
    names = [group.group_id for group in listed.valid if group.group_id != "panda-connect"]
    if not names:
        return True
    for name, future in admin.client.delete_consumer_groups(names).items():
        error = admin.refusal(future, f"delete group {name}")
        if error is not None and error.code() == KafkaError.NON_EMPTY_GROUP:
            return False
        if error is not None and error.code() != KafkaError.GROUP_ID_NOT_FOUND:
            raise admin.meaning(error, f"delete group {name}")
    return True


# --- Postgres and Redis -----------------------------------------------------------------------------------------------


def _empty_postgres(native: Native) -> None:
    """Databases are dropped and `panda` is made anew, as at the first start."""
    with psycopg.connect(
        host="127.0.0.1", port=native.ports.postgres, user=SUPER_USER, dbname=SUPER_USER, autocommit=True,
        password=native.site.password("POSTGRES_ADMIN_PASSWORD"),
    ) as server:  # fmt: skip
        server.execute("alter system reset all")
        server.execute("select pg_reload_conf()")
        until(lambda: _without_slots(server), PATIENCE_S, "the end of who uses a replication slot")
        made = server.execute("select datname from pg_database where not datistemplate and datname <> %s", [SUPER_USER])
        for (name,) in made.fetchall():
            server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
    Postgres().furnish(native.site)


def _without_slots(server: "psycopg.Connection[Any]") -> bool:
    server.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active")
    return server.execute("select from pg_replication_slots").fetchone() is None


def _empty_redis(native: Native) -> None:
    with redis.Redis(port=native.ports.redis, password=native.site.password("REDIS_ADMIN_PASSWORD")) as client:
        client.flushall()
        client.config_set("appendfsync", "everysec")
