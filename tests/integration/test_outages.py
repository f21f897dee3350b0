"""A lake's disk that is full or slow, a broker that is not there, and how a process that waits comes to its end."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from connectors.heartbeat import READY_FILE, heartbeat_file, read
from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.lake.archive import Archive
from functions.topics import MARKET_CLOCK, archived
from tests.waiting import until

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).resolve().parents[2]
ENDS_S = 12.0  # five seconds by itself; here both cores have other work. Its exit code says that it ended by itself
TOPIC = MARKET_CLOCK.name  # of one partition

# The archive as it runs in production, on a disk that is full while there is a file `full`, and slow while there is `slow`.
ARCHIVE = """
import errno, os, pathlib, sys, time
from connectors import logging
from connectors.errors import exit_code_of
from connectors.lake import stores
from connectors.settings import load
from dataflows import archive, process

real = stores.sync

def sync(path):
    if pathlib.Path("full").exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if pathlib.Path("slow").exists():
        time.sleep(0.3)
    real(path)

def main():
    settings = load()
    logging.configure(settings.log, "archive")
    process.stop_on_signals()
    process.run(archive.live(settings))

stores.sync = sync
sys.exit(exit_code_of(main))
"""


@pytest.fixture
def broker(tmp_path):
    with start_embedded(tmp_path / "broker") as broker:
        yield broker.settings


def publish(kafka, first, count):
    writer = Writer(kafka)
    writer.write([Outgoing(TOPIC, b"clock", b"%d" % number) for number in range(first, first + count)])
    writer.flush()


class Process:
    """A flow as its supervisor starts it."""

    def __init__(self, folder, command, **environment):
        self.folder = folder
        self.ready = folder / "flow.ready"
        for file in (self.ready, heartbeat_file(self.ready)):
            file.unlink(missing_ok=True)
        told = {READY_FILE: str(self.ready), "PANDA_ENV_FILE": os.devnull, "PYTHONPATH": str(ROOT), **environment}
        self.log = (folder / "flow.log").open("ab")
        self.popen = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=os.environ | told, stdout=self.log, stderr=self.log
        )

    def live(self):
        until(lambda: self.ready.exists() or self.popen.poll() is not None, what="readiness")
        assert self.popen.poll() is None, self.said
        return self

    @property
    def said(self):
        return (self.folder / "flow.log").read_text()

    @property
    def waits_for(self):
        beat = read(heartbeat_file(self.ready))
        return [] if beat is None else [one.name for one in beat.waits_for]

    @property
    def resident_mb(self):
        return psutil.Process(self.popen.pid).memory_info().rss / 1e6

    def hears(self):
        """Until it has come so far that it handles SIGTERM; before, the system ends it, and nothing has been begun."""
        status = Path(f"/proc/{self.popen.pid}/status")
        until(lambda: int(re.findall(r"SigCgt:\s*(\w+)", status.read_text())[0], 16) & 1 << signal.SIGTERM - 1)
        time.sleep(1.0)
        assert self.popen.poll() is None, self.said

    def ends(self, number=signal.SIGTERM):
        """Its exit code, and the seconds from the signal on."""
        self.popen.send_signal(number)
        began = time.monotonic()
        return self.popen.wait(60), time.monotonic() - began


@contextmanager
def started(folder, command, **environment):
    process = Process(folder, command, **environment)
    try:
        yield process
    finally:
        process.popen.kill()
        process.popen.wait()
        process.log.close()


@pytest.fixture
def archive(tmp_path, broker):
    def start():
        return started(
            tmp_path, ["-c", ARCHIVE], PANDA_KAFKA__BOOTSTRAP=broker.bootstrap, PANDA_KAFKA__EMBEDDED="true",
            PANDA_DATA_DIR=str(tmp_path / "data"),
        )  # fmt: skip

    return start


def in_the_lake(tmp_path):
    """The values of all records that the lake holds, and how many offsets it covers."""
    from tests.integration.test_lake import rows

    lake = tmp_path / "data" / "lake"
    opened = Archive(lake, archived(("paper",)))
    covered = opened.open().get((TOPIC, 0), 0)
    opened.close()
    return sorted(int(raw) for (raw,) in rows(lake, TOPIC, "raw")), covered


def test_a_full_disk_is_waited_for_in_bounded_memory_and_health_says_it_and_nothing_is_lost(tmp_path, broker, archive):
    with archive() as flow:
        flow.live()
        publish(broker, 0, 2_000)
        (tmp_path / "full").touch()
        until(lambda: flow.waits_for == ["lake"], what="that the heartbeat says it")
        held = flow.resident_mb
        for first in range(2_000, 42_000, 10_000):
            publish(broker, first, 10_000)
        time.sleep(3.0)
        assert flow.popen.poll() is None
        assert flow.resident_mb - held < 60
        beat = heartbeat_file(flow.ready).stat().st_mtime_ns
        until(lambda: heartbeat_file(flow.ready).stat().st_mtime_ns > beat, 5, "a beat while it waits")

        (tmp_path / "full").unlink()
        back = time.monotonic()
        until(lambda: flow.waits_for == [], 30, "the return")
        print(f"disk full: recovered {time.monotonic() - back:.1f} s after there was room")
        until(lambda: in_files(tmp_path, 42_000), 60, "the last record's way into the lake")
        code, _ = flow.ends()

    assert code == 0, flow.said
    assert in_the_lake(tmp_path) == (list(range(42_000)), 42_000)
    told = [event for event in ("lake.unavailable", "lake.available") if flow.said.count(f'"event":"{event}"') == 1]
    assert told == ["lake.unavailable", "lake.available"]


def in_files(tmp_path, count):
    """Whether files cover so many offsets, by their names."""
    lasts = [int(path.stem.split("-")[2]) for path in (tmp_path / "data" / "lake" / TOPIC).glob("date=*/0-*-*.parquet")]
    return bool(lasts) and max(lasts) == count - 1


def test_a_stop_while_the_disk_is_full_takes_five_seconds_and_a_restart_has_it_all(tmp_path, broker, archive):
    publish(broker, 0, 2_000)
    (tmp_path / "full").touch()
    with archive() as flow:
        until(lambda: flow.waits_for == ["lake"], what="that the heartbeat says it")
        code, took = flow.ends()
    assert (code, took < ENDS_S) == (3, True), (took, flow.said)

    (tmp_path / "full").unlink()
    with archive() as again:
        again.live()
        until(lambda: in_files(tmp_path, 2_000), 60, "the last record's way into the lake")
        assert again.ends()[0] == 0
    assert in_the_lake(tmp_path) == (list(range(2_000)), 2_000)


def test_a_slow_disk_is_no_outage_and_a_stop_writes_all_of_it(tmp_path, broker, archive):
    (tmp_path / "slow").touch()
    with archive() as flow:
        flow.live()
        publish(broker, 0, 5_000)
        time.sleep(1.0)
        code, took = flow.ends()

    print(f"slow disk (0.3 s a sync): ended after {took:.1f} s")
    assert code == 0, flow.said
    assert "unavailable" not in flow.said
    with archive() as again:
        again.live()
        until(lambda: in_files(tmp_path, 5_000), 60, "the last record's way into the lake")
        again.ends()
    assert in_the_lake(tmp_path) == (list(range(5_000)), 5_000)


def test_a_second_interrupt_ends_at_once_whatever_is_waited_for(tmp_path, broker, archive):
    publish(broker, 0, 100)
    (tmp_path / "full").touch()
    with archive() as flow:
        until(lambda: flow.waits_for == ["lake"], what="that the heartbeat says it")
        flow.popen.send_signal(signal.SIGINT)
        time.sleep(0.05)
        code, took = flow.ends(signal.SIGINT)

    assert code in (3, 130)  # 3 where the first has been enough
    assert took < 4.5


@pytest.mark.parametrize("flow", ["pipeline", "cache", "archive", "config"])
def test_a_flow_that_waits_for_its_broker_at_its_start_ends_within_five_seconds(tmp_path, flow):
    """The main thread is within the Kafka library then, where Python hears no signal."""
    nowhere = {"PANDA_KAFKA__BOOTSTRAP": "127.0.0.1:9", "PANDA_DATA_DIR": str(tmp_path)}
    with started(tmp_path, ["-m", "cli", "run", flow], **nowhere) as process:
        process.hears()
        code, took = process.ends()

    assert (code, took < ENDS_S) == (3, True), (took, process.said)


def test_two_interrupts_end_a_process_that_waits_within_a_library(tmp_path):
    nowhere = {"PANDA_KAFKA__BOOTSTRAP": "127.0.0.1:9", "PANDA_DATA_DIR": str(tmp_path)}
    with started(tmp_path, ["-m", "cli", "run", "cache"], **nowhere) as process:
        process.hears()
        process.popen.send_signal(signal.SIGINT)
        time.sleep(0.5)
        code, took = process.ends(signal.SIGINT)

    assert (code, took < 4.5) == (130, True), process.said
