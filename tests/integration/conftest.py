"""What integration tests share: one embedded broker, and a config store in a file of the test."""

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.database.store import ConfigStore
from connectors.kafka.embedded import start_embedded
from connectors.settings import KafkaSettings
from tests.store import TEN_O_CLOCK


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """The settings of a running embedded broker that has every declared topic of paper and zerodha."""
    directory: Path = tmp_path_factory.mktemp("kafka")
    with start_embedded(directory, ("paper", "zerodha")) as embedded:
        yield embedded.settings


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/data/panda.sqlite"


@pytest.fixture
def store(url):
    with ConfigStore(url, now=lambda: TEN_O_CLOCK) as store:
        store.upgrade()
        yield store


@pytest.fixture
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged during a test."""
    with capture_logs() as lines:
        yield lines
