"""The embedded Redis: no port, nothing kept, and gone with its parent."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from connectors.redis import connect, start_redis
from connectors.settings import RedisSettings
from tests.waiting import runs, until

pytestmark = pytest.mark.redis


def test_the_server_has_no_port_and_keeps_nothing_on_disk(tmp_path: Path):
    with start_redis(tmp_path) as server, connect(RedisSettings(url=SecretStr(server.url))) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("save") == {"save": ""}
        assert psutil.Process(server.pid).net_connections("tcp") == []


def test_a_path_too_long_for_a_socket_is_no_hindrance(tmp_path: Path):
    with start_redis(tmp_path / ("long" * 40)) as long:
        connected = connect(RedisSettings(url=SecretStr(long.url)))
        assert connected.ping()
        connected.close()
    assert not Path(long.url.removeprefix("unix://")).parent.exists()


def test_the_server_dies_with_its_parent(tmp_path: Path):
    code = (
        "import pathlib, sys, time; from connectors.redis import start_redis;"
        "print(start_redis(pathlib.Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()
    until(lambda: not runs(child))
