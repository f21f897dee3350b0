"""What tests on the real services share."""

import psycopg
import pytest


@pytest.fixture
def admin(platform):
    """Postgres's super user, in the database of the store."""
    password = platform.native.site.password("POSTGRES_ADMIN_PASSWORD")
    with psycopg.connect(
        host="127.0.0.1", port=platform.native.ports.postgres, user="postgres", password=password, dbname="panda",
        autocommit=True,
    ) as connection:  # fmt: skip
        yield connection
