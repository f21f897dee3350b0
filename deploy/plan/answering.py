"""Which of the services that the settings name do answer."""

from collections.abc import Callable

from redis import RedisError
from sqlalchemy import text

from connectors.connect import Connect
from connectors.database.address import is_postgres
from connectors.database.schema import open_engine, shown, translated
from connectors.errors import DependencyError, PipelineError
from connectors.kafka.admin import Administrator
from connectors.redis import connect
from connectors.settings import Settings
from deploy.plan.steps import State

PATIENCE_S = 3.0


def answering(settings: Settings) -> list[State]:
    """Asks Kafka, the config store, Redis and, where the store is Postgres, Connect; none of it raises."""
    database = settings.database.url.get_secret_value()
    asked: dict[str, Callable[[], object]] = {
        f"kafka {settings.kafka.bootstrap}": lambda: Administrator(settings.kafka, timeout_s=PATIENCE_S).partitions(),
        "redis": lambda: _ping(settings),
    }
    if is_postgres(database):
        asked[f"config store {shown(database)}"] = lambda: _select(database)
        asked[f"connect {settings.connect.url}"] = lambda: _workers(settings.connect.url)
    return [_state(what, ask) for what, ask in asked.items()]


def _state(what: str, ask: Callable[[], object]) -> State:
    try:
        ask()
    except PipelineError as error:
        return State(what, False, error.message)
    return State(what, True, "answers")


def _ping(settings: Settings) -> None:
    with connect(settings.redis) as client:
        try:
            client.ping()
        except RedisError as error:
            raise DependencyError(f"Redis does not answer: {error}") from error


def _select(database: str) -> None:
    engine = open_engine(database)
    try:
        with translated(database), engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    finally:
        engine.dispose()


def _workers(url: str) -> None:
    with Connect(url) as workers:
        workers.connectors()
