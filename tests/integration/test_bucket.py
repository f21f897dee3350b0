"""The lake in a bucket: the same promises against a server that speaks S3."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import obstore
import pytest
from bytewax.testing import TestingSource, run_main
from pydantic import SecretStr
from structlog.testing import capture_logs

from analytics.queries import Queries, connect, sql
from connectors.dependencies import ATTEMPTS
from connectors.errors import ConfigError, DependencyError, FatalError
from connectors.kafka.records import Record
from connectors.lake import bucket
from connectors.lake.archive import Archive
from connectors.lake.bucket import _client
from connectors.lake.stores import store_at
from connectors.settings import LakeSettings
from dataflows import archive as flow
from functions.topics import archived as archived_topics
from tests.history import Log, filled, signal, submitted

RAW = "paper.signals.raw"
TOPICS = archived_topics(("paper",))
DAY = "date=2026-05-06"


class Server:
    """A server of S3's protocol in a process of its own; what it holds goes with it."""

    def __init__(self, port: int = 0) -> None:
        code = (
            "import sys, time; from moto.server import ThreadedMotoServer as S; "
            f"s = S('127.0.0.1', {port}, verbose=False); s.start(); print(s.get_host_and_port()[1], flush=True); "
            "sys.stdin.read(); s.stop()"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def make(self, name: str) -> None:
        # the first request imports all that the server is made of: seconds, where nothing of it is compiled yet
        assert httpx2.put(f"{self.url}/{name}", timeout=60).status_code == 200

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def lake(server: Server, request: pytest.FixtureRequest) -> LakeSettings:
    """A bucket of this test's own, with the lake below a prefix."""
    name = f"lake-{abs(hash(request.node.name))}"
    server.make(name)
    return settings(server, f"s3://{name}/desk/one")


def settings(server: Server, path: str) -> LakeSettings:
    return LakeSettings(path=path, endpoint=server.url, key_id="id", secret=SecretStr("hidden-secret"))


def archived(lake: LakeSettings, batches: list[list[Record]]) -> None:
    source = TestingSource([("shard-0", batch) for batch in batches])
    run_main(flow.build(source, flow.LakeSink(Archive(lake, TOPICS))))


def names(lake: LakeSettings, topic: str = RAW) -> list[str]:
    """Files with rows, as `date/name`."""
    found = [item["path"] for batch in obstore.list(_client(lake), prefix=topic) for item in batch]
    return sorted(path.removeprefix(f"{topic}/") for path in found if not path.endswith("schema.parquet"))


def offsets(lake: LakeSettings) -> list[int]:
    rows = sql(connect(lake), f"SELECT \"offset\" FROM read_parquet('{lake.path}/{RAW}/*/*.parquet') ORDER BY 1")[1]
    return [offset for (offset,) in rows]


def many(count: int) -> list[Record]:
    log = Log()
    return [record for n in range(count) for record in log.append(signal(f"g{n}", at=n))]


def test_a_files_name_is_its_range_and_a_replay_adds_nothing(lake: LakeSettings):
    records = many(10)

    archived(lake, [records[:4]])
    archived(lake, [records])

    assert names(lake) == [f"{DAY}/0-0-3.parquet", f"{DAY}/0-4-9.parquet"]
    assert offsets(lake) == list(range(10))


def test_the_views_and_the_read_functions_answer_from_a_bucket(lake: LakeSettings):
    archived(lake, [Log().append(submitted("o1"), filled("o1", 10, left=0))])

    queries = Queries(lake)

    assert [(fill.order_id, fill.quantity) for fill in queries.fills("paper")] == [("o1", 10)]
    order = queries.order("paper", "o1")
    assert order is not None
    assert order["status"] == "filled"
    assert {topic: n for topic, n in queries.counts().items() if n} == {
        "paper.orders.filled": 1, "paper.orders.submitted": 1,
    }  # fmt: skip
    queries.close()


def test_an_empty_bucket_is_no_lake_and_stays_empty(lake: LakeSettings):
    with pytest.raises(ConfigError, match=f"there is no lake at {lake.path}"):
        connect(lake)
    queries = Queries(lake, awaited=True)
    assert (queries.fills("paper"), queries.counts()) == ([], {})
    queries.close()

    assert [str(item.name) for item in store_at(lake).listed("")] == []


def test_a_query_cannot_read_beyond_the_lake(lake: LakeSettings):
    archived(lake, [many(1)])

    with pytest.raises(ConfigError, match="the query cannot run"):
        sql(connect(lake), f"SELECT * FROM read_parquet('s3://{lake.bucket}/other/*.parquet')")


def test_a_dates_files_become_one_and_hold_the_same(lake: LakeSettings):
    for record in many(5):
        archived(lake, [[record]])
    archive = Archive(lake, TOPICS)
    archive.open()

    assert archive.compact(RAW, "2026-05-06") == 4
    archive.close()

    assert names(lake) == [f"{DAY}/0-0-4.parquet"]
    assert offsets(lake) == [0, 1, 2, 3, 4]


def test_parts_that_a_crash_left_beside_their_joined_file_are_tidied(lake: LakeSettings):
    records = many(4)
    archived(lake, [records[:2]])
    archived(lake, [records[2:]])
    archive = Archive(lake, TOPICS)
    archive.open()
    part = bytes(obstore.get(_client(lake), f"{RAW}/{DAY}/0-0-1.parquet").bytes())
    archive.compact(RAW, "2026-05-06")
    archive.close()
    obstore.put(_client(lake), f"{RAW}/{DAY}/0-0-1.parquet", part)

    archived(lake, [[]])

    assert names(lake) == [f"{DAY}/0-0-3.parquet"]


def test_a_damaged_file_is_set_aside_and_read_again(lake: LakeSettings):
    records = many(6)
    archived(lake, [records[:3]])
    archived(lake, [records[3:]])
    obstore.put(_client(lake), f"{RAW}/{DAY}/0-0-2.parquet", b"PAR1 not really PAR1")

    with capture_logs() as logged:
        archived(lake, [records])

    assert [line["event"] for line in logged] == ["lake.corrupt"]
    assert names(lake) == [f"{DAY}/0-0-2.parquet", f"{DAY}/0-0-2.parquet.corrupt", f"{DAY}/0-3-5.parquet"]
    assert offsets(lake) == list(range(6))


def test_a_large_file_is_read_by_ranges(lake: LakeSettings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bucket, "WHOLE_BYTES", 512)

    archived(lake, [many(300)])

    assert offsets(lake) == list(range(300))


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_bucket_that_does_not_exist_is_named(server: Server):
    nowhere = settings(server, "s3://nowhere/desk")

    for attempt in (lambda: Archive(nowhere, TOPICS).open(), lambda: connect(nowhere)):
        with pytest.raises(ConfigError, match="there is no bucket s3://nowhere at http") as refused:
            attempt()
        assert "PANDA_LAKE__PATH" in refused.value.remedy


def test_a_key_that_the_store_refuses_is_named_without_its_secret(lake: LakeSettings, server: Server):
    reset = f"{server.url}/moto-api/reset-auth"
    assert httpx2.post(reset, content="0").status_code == 200  # from now on every key is checked
    try:
        with pytest.raises(ConfigError, match="refuses the key id: ") as refused:
            Archive(lake, TOPICS).open()
    finally:
        assert httpx2.post(reset, content="inf").status_code == 200
    assert "hidden-secret" not in str(refused.value)
    assert "PANDA_LAKE__KEY_ID" in refused.value.remedy


def test_a_store_that_is_away_is_waited_for_said_once_and_nothing_is_lost():
    first = Server()
    first.make("away")
    lake = settings(first, "s3://away")
    archive = Archive(lake, TOPICS, stop=lambda: returns(first.port))
    archive.open()
    archive.add(many(20))
    first.stop()
    servers: list[Server] = []
    asked: list[int] = []

    def returns(port: int) -> bool:
        asked.append(port)
        if not servers and len(asked) > ATTEMPTS:
            servers.append(Server(port))
            servers[0].make("away")
        return False

    try:
        with capture_logs() as logged:
            archive.flush()
        assert [line["event"] for line in logged] == ["lake.unavailable", "lake.available"]
        assert names(lake) == [f"{DAY}/0-0-19.parquet"]
        archive.close()
    finally:
        for server in servers:
            server.stop()


def test_stopped_while_the_store_is_away_it_says_so_and_a_reader_does_too(lake: LakeSettings):
    away = lake.model_copy(update={"endpoint": "http://127.0.0.1:1"})

    with pytest.raises(DependencyError, match="stopped while the lake could not be used"):
        Archive(away, TOPICS, stop=lambda: True).open()
    with pytest.raises(DependencyError, match="does not answer"):
        connect(away)


def test_a_question_while_the_store_is_away_is_no_wrong_query_and_no_damage():
    server = Server()
    server.make("gone")
    lake = settings(server, "s3://gone")
    archived(lake, [many(2)])
    queries = Queries(lake)
    server.stop()

    for ask in (lambda: queries.sql("SELECT count(*) FROM signals"), lambda: queries.fills("paper")):
        with pytest.raises(DependencyError, match="does not answer"):
            ask()
    queries.close()


def test_files_are_not_set_aside_because_the_store_is_away(lake: LakeSettings):
    archived(lake, [many(3)])
    archive = Archive(lake, TOPICS, stop=lambda: True)
    archive.open()
    archive._store._objects = _client(lake.model_copy(update={"endpoint": "http://127.0.0.1:1"}))

    with pytest.raises(DependencyError, match="does not answer"):
        archive._files.fault(_files(lake), whole=True)

    assert names(lake) == [f"{DAY}/0-0-2.parquet"]


def _files(lake: LakeSettings) -> list[Any]:
    archive = Archive(lake, TOPICS)
    return archive._files.of(RAW)


# --- one writer -------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "LEASE_S", 0.5)
    monkeypatch.setattr(bucket, "RENEW_S", 0.0)


@pytest.mark.usefixtures("quick")
def test_a_second_archive_is_refused_while_the_first_one_renews_its_lease(lake: LakeSettings):
    first, second = Archive(lake, TOPICS), Archive(lake, TOPICS)
    first.open()
    sleep = time.sleep

    def renewing(seconds: float) -> None:
        first.add([])
        sleep(seconds)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bucket.time, "sleep", renewing)
        with pytest.raises(ConfigError, match="another process archives into"):
            second.open()
    first.close()

    second.open()  # at once: the lease was given back
    second.close()


@pytest.mark.usefixtures("quick")
def test_a_renewal_whose_answer_was_lost_is_no_other_writer(lake: LakeSettings, monkeypatch: pytest.MonkeyPatch):
    archive = Archive(lake, TOPICS)
    archive.open()
    put = obstore.put

    def lossy(*arguments: Any, **how: Any) -> Any:
        put(*arguments, **how)
        monkeypatch.setattr(obstore, "put", put)
        raise obstore.exceptions.GenericError("the line broke before the answer")

    monkeypatch.setattr(obstore, "put", lossy)
    with capture_logs() as logged:
        archive.add([])
        archive.add(many(1))
    archive.flush()
    archive.close()

    assert logged == []
    assert offsets(lake) == [0]


@pytest.mark.usefixtures("quick")
def test_a_lease_that_is_not_renewed_is_taken_and_its_holder_stops(lake: LakeSettings):
    first, second = Archive(lake, TOPICS), Archive(lake, TOPICS)
    first.open()

    second.open()

    with pytest.raises(FatalError, match="another process has taken the lake"):
        first.add([])
    second.add([])
    first.close()
    second.close()


def test_the_lease_of_a_process_of_this_machine_that_is_no_more_is_taken_at_once(lake: LakeSettings, tmp_path: Path):
    code = f"""
import os
from pydantic import SecretStr
from connectors.lake.archive import Archive
from connectors.settings import LakeSettings
lake = LakeSettings(path={lake.path!r}, endpoint={lake.endpoint!r}, key_id="id", secret=SecretStr("hidden-secret"))
Archive(lake, []).open()
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    began = time.monotonic()

    archived(lake, [many(2)])

    assert time.monotonic() - began < 15
    assert offsets(lake) == [0, 1]
