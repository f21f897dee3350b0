"""What integration tests share: one embedded broker, with a fresh name for every topic a test makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.kafka.embedded import start_embedded
from connectors.settings import KafkaSettings


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """The settings of a running embedded broker that has every declared topic of paper and zerodha."""
    directory: Path = tmp_path_factory.mktemp("kafka")
    with start_embedded(directory, ("paper", "zerodha")) as embedded:
        yield embedded.settings
