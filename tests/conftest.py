"""What all tests share: none of them, and no process they start, reads the `.env` of whoever runs them.

Nor do they end with the years that the exchange has announced: their calendar goes on.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from connectors import dependencies
from tests.command_line import panda as panda
from tests.ground import entered as entered  # fixtures, for all folders
from tests.ground import ground as ground
from tests.ground import new_ground as new_ground
from tests.platform_services import platform as platform
from tests.platform_services import services as services

os.environ["PANDA_ENV_FILE"] = os.devnull
os.environ["PANDA_CALENDAR"] = str(Path(__file__).with_name("calendar.toml"))
os.environ["JDK_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1"  # a JVM that lives a minute need not optimise for a year


@pytest.fixture(autouse=True)
def _a_log_of_its_own() -> Iterator[None]:
    """A test that configures the log, in its own process, does so for itself alone."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _nothing_is_away() -> None:
    """What one test has left unreachable is of no concern to the next."""
    dependencies.forget()


# What waits for processes comes first, so that the last minutes are short tests on every core. The longest file leads.
FIRST = (
    "tests/platform/test_outages.py",
    "tests/platform",
    "tests/e2e",
    "tests/chaos",
    "tests/integration",
    "tests/property",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: next((n for n, begins in enumerate(FIRST) if item.nodeid.startswith(begins)), len(FIRST))
    )
