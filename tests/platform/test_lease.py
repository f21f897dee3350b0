"""The lease of a shard on Postgres: across machines, and over a restart of Postgres."""

import os
import subprocess
import sys
import time

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from connectors import lease
from connectors.database.lock import LOOK_S
from connectors.errors import DependencyError, FatalError
from connectors.settings import DatabaseSettings, Settings
from tests.integration.test_lease import HOLD
from tests.waiting import until

pytestmark = [pytest.mark.platform, pytest.mark.timeout(180)]


def settings(url):
    return Settings(database=DatabaseSettings(url=SecretStr(url)))


def refused(url):
    try:
        with lease.hold(settings(url), "paper-0"):
            return ""
    except FatalError as error:
        return error.message


def test_a_second_worker_is_refused_by_name_and_a_killed_one_holds_nothing(platform):
    url = platform.postgres_url
    environment = os.environ | {"PANDA_DATABASE__URL": url}
    with subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert refused(url).startswith("shard paper-0 is held by panda pipeline paper-0 (connection ")
        with lease.hold(settings(url), "paper-0of2"):
            pass
        other.kill()

    until(lambda: not refused(url))


def test_a_worker_keeps_its_lease_over_a_restart_of_postgres(platform):
    url = platform.postgres_url
    with capture_logs() as lines, lease.hold(settings(url), "paper-0"):
        platform.native.down(["postgres"])
        time.sleep(2 * LOOK_S)
        platform.native.up(["postgres"])
        until(lambda: any(line["event"] == "lease.reachable" for line in lines))  # who asks before may take it away
        assert refused(url)


def test_without_postgres_nobody_starts(platform):
    url = platform.postgres_url.replace(str(platform.native.ports.postgres), "1")

    with (
        pytest.raises(DependencyError, match="cannot be asked for at postgresql"),
        lease.hold(settings(url), "paper-0"),
    ):
        pytest.fail("held")
