"""The flow `connectors`: while the platform runs, Kafka Connect's connectors stay as declared.

Connect, replication slot ─► watchdog ─┬─► restarts
                                       └─► system.alerts
"""

from collections.abc import Callable
from contextlib import closing
from functools import partial

from connectors.connect import Connect
from connectors.database.address import is_postgres
from connectors.database.replication import refuse_lost_slot
from connectors.errors import ConfigError
from connectors.heartbeat import beat
from connectors.kafka.alerts import Alerts
from connectors.logging import logger
from connectors.settings import Settings
from dataflows.process import ready, stopping
from deploy.connect.declared import SLOT, declared
from deploy.watchdog import Watchdog

FLOW = "connectors"


def watch(
    settings: Settings,
    *,
    stop: Callable[[], bool] = stopping,
    on_live: Callable[[], None] = ready,
    every_s: float = 5.0,
) -> None:
    """Looks after the connectors of the active brokers until it is told to stop. A Connect that is down is told, and awaited.

    Raises: `ConfigError` where the config store is SQLite, as there is no Connect then, or where our Kafka user may not
    write alerts; `DependencyError` where the broker refuses one.
    """
    database = settings.database.url.get_secret_value()
    if not is_postgres(database):
        raise ConfigError(
            "the config store is SQLite, and there are no connectors to look after",
            remedy="run flow config instead, or name a Postgres in PANDA_DATABASE__URL",
        )
    names = list(declared(settings.active_brokers))
    with closing(Connect(settings.connect.url)) as connect, Alerts(settings.kafka, FLOW) as alerts:
        watchdog = Watchdog(
            connect, names, alerts.write, note=alerts.write, check=partial(refuse_lost_slot, database, SLOT)
        )
        watchdog.look()
        alerts.check()
        logger().info("connectors.watched", connectors=names, url=settings.connect.url)
        on_live()

        def over() -> bool:
            beat()
            alerts.check()
            return stop()

        watchdog.run(over, every_s=every_s)
    logger().info("connectors.left")
