"""Postgres: who else may do what in the config store's database.

Kafka Connect enters as three users. `debezium` reads the outbox. `paper` and `zerodha` write the report tables of their
own schema, so that a connector of one broker cannot touch what belongs to the other. `lease` may connect and nothing else:
as it pipelines take their lease, and the watch over the connectors looks at the replication slot.
"""

from typing import Final

from sqlalchemy import Connection, text

SCHEMAS: Final = ("paper", "zerodha")  # of the report tables, one a broker; its one writer has the same name
OUTBOX_READER: Final = "debezium"
LEASE_HOLDER: Final = "lease"


def _grants(role: str, database: str) -> tuple[str, ...]:
    """`database` quoted."""
    if role == LEASE_HOLDER:
        return (f"GRANT CONNECT ON DATABASE {database} TO {role}",)
    if role == OUTBOX_READER:
        return (f"GRANT USAGE ON SCHEMA public TO {role}", f"GRANT SELECT ON public.outbox TO {role}")
    return (
        f"GRANT USAGE ON SCHEMA {role} TO {role}",
        f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {role} TO {role}",
    )


def grant(connection: Connection) -> list[str]:
    """Gives each user its rights and returns those that the server does not have. Doing it again changes nothing."""
    roles = (OUTBOX_READER, *SCHEMAS, LEASE_HOLDER)
    database = connection.dialect.identifier_preparer.quote(str(connection.scalar(text("SELECT current_database()"))))
    there = set(
        connection.scalars(text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles)"), {"roles": [*roles]})
    )
    for role in roles:
        if role in there:
            for statement in _grants(role, database):
                connection.execute(text(statement))
    return [role for role in roles if role not in there]
