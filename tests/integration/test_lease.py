"""The lease of a shard on one machine: one worker holds it, a second is refused, a dead one holds nothing."""

import os
import subprocess
import sys
import time

import pytest
from pydantic import SecretStr

from connectors import lease
from connectors.errors import DependencyError, FatalError
from connectors.settings import DatabaseSettings, Settings

HOLD = """
import sys, time
from connectors import lease
from connectors.settings import load
with lease.hold(load(), "paper-0"):
    print("held", flush=True)
    time.sleep(60)
"""


def settings(directory):
    return Settings(data_dir=directory, database=DatabaseSettings(url=SecretStr(f"sqlite:///{directory}/panda.sqlite")))


def test_a_second_worker_of_a_shard_is_refused_with_the_first_ones_pid(tmp_path):
    mine = f"shard paper-0 is held by another worker, pid {os.getpid()}"
    with lease.hold(settings(tmp_path), "paper-0"), pytest.raises(FatalError, match=mine) as refused:
        lease.hold(settings(tmp_path), "paper-0").__enter__()

    assert refused.value.exit_code == 4
    assert "--shard" in refused.value.remedy


def test_another_shard_is_free_and_a_lease_given_back_is_free_again(tmp_path):
    with lease.hold(settings(tmp_path), "paper-0"), lease.hold(settings(tmp_path), "paper-0of2"):
        pass
    with lease.hold(settings(tmp_path), "paper-0"):
        pass


def test_a_worker_that_was_killed_holds_nothing(tmp_path):
    environment = os.environ | {"PANDA_DATA_DIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(FatalError, match=f"pid {other.pid}"), lease.hold(settings(tmp_path), "paper-0"):
            pytest.fail("two hold it")
        other.kill()

    began = time.monotonic()
    with lease.hold(settings(tmp_path), "paper-0"):
        assert time.monotonic() - began < 10


def test_a_directory_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "leases").write_text("a file in the way")

    with pytest.raises(DependencyError, match="cannot be opened"), lease.hold(settings(tmp_path), "paper-0"):
        pytest.fail("held")
