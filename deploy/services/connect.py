"""Kafka Connect: one worker, as a Kafka user of its own with no more rights than it needs to run."""

import signal
import urllib.error
import urllib.request
from typing import Final

from pydantic import SecretStr

from connectors.kafka.access import ALL_BROKERS, Grant, create_grants, grants_of, principals
from connectors.kafka.admin import Administrator
from connectors.kafka.users import set_passwords
from connectors.settings import principal_password
from deploy.services.java import QUICK, java
from deploy.services.kafka import admin_settings, fill, jvm
from deploy.services.places import TEMPLATES, Ports
from deploy.services.postgres import DATABASE
from deploy.services.private import write_private
from deploy.services.processes import Launch, plain_environment
from deploy.services.service import Site

PRINCIPAL: Final = "connect"


def worker_rights() -> frozenset[Grant]:
    """What the worker itself must be allowed: its own topics, groups, transactions. What its connectors carry comes with
    `panda deploy`."""
    user = next(principal for principal in principals(ALL_BROKERS) if principal.name == PRINCIPAL)
    return frozenset(grant for grant in grants_of(user, ALL_BROKERS) if grant.prefixed)


class Connect:
    """Carries changes of the config store to the log, and reports from the log to Postgres."""

    name = "connect"
    needs: tuple[str, ...] = ("kafka",)
    stop_signal = signal.SIGTERM
    stop_s = 20.0

    def ports(self, ports: Ports) -> tuple[int, ...]:
        return (ports.connect,)

    def check(self, site: Site) -> None:
        java()

    def prepare(self, site: Site) -> Launch:
        """Before the worker, its Kafka user: it cannot start without."""
        password = principal_password(site.credentials["DEPLOY_SECRET"], PRINCIPAL)
        self._let_in(site, password)
        jaas = (
            "org.apache.kafka.common.security.scram.ScramLoginModule required "
            f'username="{PRINCIPAL}" password="{password.get_secret_value()}";'
        )
        configuration = site.places.run / "connect.properties"
        text = fill(
            TEMPLATES / "connect.properties",
            KAFKA_PORT=site.ports.kafka,
            CONNECT_PORT=site.ports.connect,
            PLUGINS=site.places.jars / "plugins",
            JAAS=jaas,
        )
        write_private(configuration, text)
        command = [
            *jvm(site, self.name, 512, QUICK),
            "org.apache.kafka.connect.cli.ConnectDistributed",
            str(configuration),
        ]
        return Launch(command, plain_environment(**self._postgres(site)))

    def _postgres(self, site: Site) -> dict[str, str]:
        """What connectors name as `${env:PG_HOST}` and so on."""
        return {
            "PG_HOST": "127.0.0.1",
            "PG_PORT": str(site.ports.postgres),
            "PG_DATABASE": DATABASE,
            "PG_DEBEZIUM_PASSWORD": site.password("POSTGRES_DEBEZIUM_PASSWORD"),
            "PG_PAPER_PASSWORD": site.password("POSTGRES_PAPER_PASSWORD"),
            "PG_ZERODHA_PASSWORD": site.password("POSTGRES_ZERODHA_PASSWORD"),
        }

    def _let_in(self, site: Site, password: SecretStr) -> None:
        admin = Administrator(admin_settings(site))
        set_passwords(admin, {PRINCIPAL: password})
        create_grants(admin, worker_rights())

    def answers(self, site: Site, pid: int) -> bool:
        """The port answers 404 before the worker is in its group."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{site.ports.connect}/health", timeout=2.0) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def furnish(self, site: Site) -> None:
        """Nothing: connectors are what `panda deploy` makes."""
