"""What all tests share: none of them, and no process they start, reads the `.env` of whoever runs them."""

import os
from collections.abc import Iterator

import pytest
import structlog

from tests.platform_services import platform as platform  # the fixture, for all folders

os.environ["PANDA_ENV_FILE"] = os.devnull


@pytest.fixture(autouse=True)
def _a_log_of_its_own() -> Iterator[None]:
    """A test that configures the log, in its own process, does so for itself alone."""
    yield
    structlog.reset_defaults()
