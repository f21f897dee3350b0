"""The archive: every record of the log in Parquet once, whatever is cut, killed or broken."""

import resource
import signal as signals
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import duckdb
import msgspec
import pytest
from bytewax.run import cli_main
from bytewax.testing import TestingSource, run_main
from structlog.testing import capture_logs

from connectors.dependencies import ATTEMPTS
from connectors.errors import ConfigError, DependencyError
from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing, Record
from connectors.kafka.sink import Writer
from connectors.kafka.source import end_offsets
from connectors.lake.archive import COMPACT_AT, Archive
from connectors.lake.files import Files
from connectors.lake.records import LakeRecords
from connectors.lake.stores import store_at
from connectors.settings import KafkaSettings, LakeSettings, Settings
from dataflows import archive as flow
from dataflows.process import READY_FILE
from functions.codec import encode
from functions.events import Bar
from functions.topics import MARKET_TICKS
from functions.topics import archived as archived_topics
from tests.history import SECOND, TEN, TOKEN, Log, filled, outgoing, signal, snapshot, submitted, tick

RAW, FILLED, TICKS, DLQ = "paper.signals.raw", "paper.orders.filled", MARKET_TICKS.name, "market.ticks.dlq"
TOPICS = [RAW, FILLED, TICKS, DLQ, "config.accounts"]
DAY_S = 86_400.0


def archived(lake: Path, batches: Sequence[Sequence[Record]]) -> None:
    """One run of the real flow over these batches."""
    source = TestingSource([("shard-0", list(batch)) for batch in batches])
    run_main(flow.build(source, flow.LakeSink(Archive(lake, TOPICS))))


def rows(lake: Path, topic: str, what: str = 'partition, "offset", id') -> list[tuple[Any, ...]]:
    query = f"SELECT {what} FROM read_parquet('{lake}/{topic}/*/*.parquet') ORDER BY partition, \"offset\""
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


def offsets(lake: Path, topic: str) -> list[int]:
    return [offset for (offset,) in rows(lake, topic, '"offset"')]


def names(lake: Path, topic: str) -> list[str]:
    """Files with rows, as `date/name`."""
    paths = (lake / topic).glob("date=*/*")
    return sorted(f"{p.parent.name[5:]}/{p.name}" for p in paths if p.name != "schema.parquet")


def many(count: int, log: Log, at: float = 0.0) -> list[Record]:
    return [record for n in range(count) for record in log.append(signal(f"g{n}-{at}", at=at + n))]


def test_a_files_name_is_its_partition_and_its_first_and_last_offset(tmp_path: Path):
    archived(tmp_path, [many(5, Log())])

    assert names(tmp_path, RAW) == ["2026-05-06/0-0-4.parquet"]
    assert offsets(tmp_path, RAW) == [0, 1, 2, 3, 4]


def test_a_row_holds_the_envelope_the_payload_and_the_whole_event(tmp_path: Path):
    event = filled()
    archived(tmp_path, [Log().append(event)])

    what = "topic, key, id, type, strftime(timestamp, '%H:%M:%S.%f'), broker, event, data, raw, date::text"
    [row] = rows(tmp_path, FILLED, what)

    raw = encode(event).decode()
    assert row == (
        FILLED, "k", event.id, "order_filled", "04:30:00.300000", "paper", raw, encode(event.data).decode(), None,
        "2026-05-06",
    )  # fmt: skip


def test_a_tick_has_typed_columns(tmp_path: Path):
    archived(tmp_path, [Log().append(tick(100.5, 1.0, sequence=7))])

    [row] = rows(tmp_path, TICKS, "instrument_token, last_price, bid, ask, bid_quantity, volume_traded, sequence, raw")

    assert row == (TOKEN, 100.5, 100.45, 100.55, 5, 100, 7, None)


def test_a_print_of_a_bar_comes_back_to_the_byte_and_a_tick_as_our_feed_wrote_it(tmp_path: Path):
    log = Log()
    plain = tick(100.5, 1.0, sequence=7)
    closing = msgspec.structs.replace(plain.data, bar=Bar("close", plain.data.exchange_timestamp - 60, 101.0, 99.0))
    archived(tmp_path, [log.append(plain, msgspec.structs.replace(plain, data=closing))])

    lake = LakeRecords(tmp_path)
    try:
        values = [record.value for record in lake.take(TICKS, 0, 0, 1)]
    finally:
        lake.close()

    assert values == [encode(plain), encode(msgspec.structs.replace(plain, data=closing))]
    assert rows(tmp_path, TICKS, "last_price") == [(100.5,), (100.5,)]


def test_the_date_is_that_of_the_event_in_india(tmp_path: Path):
    midnight = (TEN // SECOND + 5.5 * 3600) // DAY_S * DAY_S - 5.5 * 3600 - TEN // SECOND  # seconds after ten

    archived(tmp_path, [Log().append(signal("g1", at=midnight - 0.000001), signal("g2", at=midnight))])

    assert names(tmp_path, RAW) == ["2026-05-05/0-0-0.parquet", "2026-05-06/0-1-1.parquet"]


def test_what_is_no_event_is_kept_as_its_bytes_under_the_date_before_it(tmp_path: Path):
    log = Log()
    good = log.append(signal())
    bad = [log.append_raw(RAW, raw) for raw in (b"{", b"\xff\x00", b"", None)]
    huge = tick(1.0, 1.0)
    strange = encode(huge).replace(b'"exchange_timestamp":', b'"exchange_timestamp":99')
    ticks = [*log.append(huge), log.append_raw(TICKS, strange, b"\xfe")]

    archived(tmp_path, [good + bad + ticks])

    assert rows(tmp_path, RAW, '"offset", raw, id IS NULL, date::text')[1:] == [
        (1, b"{", True, "2026-05-06"), (2, b"\xff\x00", True, "2026-05-06"), (3, b"", True, "2026-05-06"),
        (4, None, True, "2026-05-06"),
    ]  # fmt: skip
    assert rows(tmp_path, TICKS, "key, raw")[1] == ("\\xfe", strange)


def test_a_dead_letter_keeps_its_bytes_and_headers(tmp_path: Path):
    letter = Log().append_raw(DLQ, b"\x00{", b"738561", [("topic", b"market.ticks"), ("error", b"DecodeError")])

    archived(tmp_path, [[letter]])

    assert rows(tmp_path, DLQ, "raw, headers->>'topic', headers->>'error'") == [
        (b"\x00{", "market.ticks", "DecodeError")
    ]


def test_a_topic_without_a_record_has_all_its_columns(tmp_path: Path):
    archived(tmp_path, [[]])

    assert rows(tmp_path, TICKS, "instrument_token, last_price, timestamp, date") == []
    assert names(tmp_path, TICKS) == []


# --- going on ---------------------------------------------------------------------------------------------------------


def test_a_replay_from_the_start_adds_nothing(tmp_path: Path):
    records = many(10, Log())
    archived(tmp_path, [records])
    before = names(tmp_path, RAW)

    archived(tmp_path, [records[:4], records[2:]])

    assert names(tmp_path, RAW) == before
    assert offsets(tmp_path, RAW) == list(range(10))


def test_it_goes_on_after_the_highest_offset_of_each_partition(tmp_path: Path):
    log = Log()
    archived(tmp_path, [[*many(3, log), Record(RAW, 4, 17, b"k", encode(signal()))]])
    archive = Archive(tmp_path, TOPICS)

    assert archive.open() == {(RAW, 0): 3, (RAW, 4): 18}
    archive.close()


@pytest.mark.parametrize("cut", range(1, 12, 2))
def test_a_cut_anywhere_and_a_restart_with_overlap_give_each_record_once(tmp_path: Path, cut: int):
    records = many(12, Log())

    archived(tmp_path, [records[:cut]])
    archived(tmp_path, [records[max(0, cut - 3) :]])

    assert offsets(tmp_path, RAW) == list(range(12))


def test_offsets_that_no_record_has_are_covered_by_the_names(tmp_path: Path):
    """A compacted topic has holes; a restart must not take them for gaps."""
    records = many(12, Log())
    archived(tmp_path, [[records[0], records[1], records[5]]])
    archived(tmp_path, [[records[9], records[11]]])
    archive = Archive(tmp_path, TOPICS)

    assert names(tmp_path, RAW) == ["2026-05-06/0-0-5.parquet", "2026-05-06/0-6-11.parquet"]
    assert archive.open() == {(RAW, 0): 12}
    archive.close()


def test_records_of_two_dates_between_each_other_are_written_in_the_order_of_their_offsets(tmp_path: Path):
    mixed = [
        Record(RAW, 0, offset, b"k", encode(signal(f"g{offset}", at=offset + DAY_S * day)))
        for offset, day in enumerate([0, 0, 1, 0, 1, 1])
    ]

    archived(tmp_path, [mixed])

    assert names(tmp_path, RAW) == [
        "2026-05-06/0-0-1.parquet", "2026-05-06/0-3-3.parquet", "2026-05-07/0-2-2.parquet", "2026-05-07/0-4-5.parquet",
    ]  # fmt: skip
    assert offsets(tmp_path, RAW) == list(range(6))


def test_it_flushes_when_enough_records_came_or_enough_time_has_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("connectors.lake.archive.FLUSH_RECORDS", 3)
    now = 0.0
    archive = Archive(tmp_path, TOPICS, clock=lambda: now)
    archive.open()
    records = many(4, Log())

    archive.add(records[:2])
    assert not archive.due
    archive.add(records[2:3])
    assert archive.due
    archive.flush()
    assert not archive.due
    archive.add(records[3:])
    now = 60.0
    assert archive.due
    archive.close()


# --- damage -----------------------------------------------------------------------------------------------------------


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _scratched(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40:140] = b"\xa5" * 100
    path.write_bytes(bytes(content))


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_truncated, _scratched, _emptied])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_damaged_file_is_named_set_aside_and_read_again(tmp_path: Path, damage: Any, part: int):
    records = many(9, Log())
    for n in range(3):
        archived(tmp_path, [records[3 * n : 3 * n + 3]])
    damage(tmp_path / RAW / "date=2026-05-06" / f"0-{3 * part}-{3 * part + 2}.parquet")

    with capture_logs() as logged:
        archive = Archive(tmp_path, TOPICS)
        position = archive.open()[RAW, 0]
        archive.close()
    archived(tmp_path, [records[position:]])

    assert position == 3 * part
    [told] = [line for line in logged if line["event"] == "lake.corrupt"]
    assert (told["first_offset"], told["last_offset"]) == (3 * part, 3 * part + 2)
    assert f"2026-05-06/0-{3 * part}-{3 * part + 2}.parquet.corrupt" in names(tmp_path, RAW)
    assert offsets(tmp_path, RAW) == list(range(9))


@pytest.mark.parametrize("day", [1, 2])
def test_of_the_two_newest_dates_a_file_that_is_damaged_within_is_found_at_the_start(tmp_path: Path, day: int):
    log = Log()
    for n in range(3):
        archived(tmp_path, [many(3, log, at=n * DAY_S)])
    _scratched(tmp_path / RAW / f"date=2026-05-0{6 + day}" / f"0-{3 * day}-{3 * day + 2}.parquet")

    with capture_logs() as logged:
        archive = Archive(tmp_path, TOPICS)
        position = archive.open()[RAW, 0]
        archive.close()

    assert position == 3 * day
    assert [(line["event"], line["first_offset"], line["last_offset"]) for line in logged] == [
        ("lake.corrupt", 3 * day, 3 * day + 2)
    ]


def test_a_file_whose_rows_are_not_those_of_its_name_is_set_aside(tmp_path: Path):
    records = many(6, Log())
    archived(tmp_path, [records[:3]])
    archived(tmp_path, [records[3:]])
    path = tmp_path / RAW / "date=2026-05-06" / "0-0-2.parquet"
    path.with_name("0-3-5.parquet").write_bytes(path.read_bytes())

    archived(tmp_path, [records])

    assert offsets(tmp_path, RAW) == list(range(6))


def test_what_neither_the_log_nor_the_lake_has_is_told_as_lost_and_does_not_stop_the_rest(tmp_path: Path):
    records = many(9, Log())
    for n in range(3):
        archived(tmp_path, [records[3 * n : 3 * n + 3]])
    (tmp_path / RAW / "date=2026-05-06" / "0-3-5.parquet").unlink()

    with capture_logs() as logged:
        archive = Archive(tmp_path, TOPICS)
        assert archive.open() == {(RAW, 0): 3}
        assert archive.lost({(RAW, 0): 7}) == {(RAW, 0): 9}
        assert archive.open() == {(RAW, 0): 9}
        archive.close()

    assert [(line["event"], line["first_offset"], line["last_offset"]) for line in logged] == [("lake.lost", 3, 5)]


@contextmanager
def full_disk() -> Iterator[Callable[[], None]]:
    """No file of this process grows beyond 4 KiB, until what is yielded is called."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signals.signal(signals.SIGXFSZ, signals.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signals.signal(signals.SIGXFSZ, ignored)


def test_a_full_disk_is_waited_for_until_the_stop_and_leaves_no_half_file(tmp_path: Path):
    archived(tmp_path, [[]])
    archive = Archive(tmp_path, TOPICS, stop=lambda: True)
    archive.open()
    archive.add(many(2000, Log()))
    with full_disk(), pytest.raises(DependencyError, match="stopped while the lake could not be used"):
        archive.flush()
    archive.close()

    assert names(tmp_path, RAW) == []


def test_when_a_full_disk_has_room_again_everything_is_written(tmp_path: Path):
    archived(tmp_path, [[]])
    with full_disk() as make_room, capture_logs() as logged:
        asked: list[int] = []

        def stop() -> bool:
            asked.append(1)
            if len(asked) == ATTEMPTS + 1:
                make_room()
            return False

        archive = Archive(tmp_path, TOPICS, stop=stop)
        archive.open()
        archive.add(many(2000, Log()))
        archive.flush()
        archive.close()

    assert offsets(tmp_path, RAW) == list(range(2000))
    assert [line["event"] for line in logged] == ["lake.unavailable", "lake.available"]


def test_a_second_archive_on_the_same_lake_is_refused(tmp_path: Path):
    first = Archive(tmp_path, TOPICS)
    first.open()

    with pytest.raises(ConfigError, match="another process archives into"):
        Archive(tmp_path, TOPICS).open()
    first.close()


# --- compaction -------------------------------------------------------------------------------------------------------


def _in_parts(lake: Path, count: int) -> list[Record]:
    records = many(count, Log())
    for record in records:
        archived(lake, [[record]])
    return records


def test_a_dates_files_become_one_and_hold_the_same(tmp_path: Path):
    _in_parts(tmp_path, 5)
    before = rows(tmp_path, RAW, "*")
    archive = Archive(tmp_path, TOPICS)
    archive.open()

    assert archive.compact(RAW, "2026-05-06") == 4
    archive.close()

    assert names(tmp_path, RAW) == ["2026-05-06/0-0-4.parquet"]
    assert rows(tmp_path, RAW, "*") == before


def test_files_with_a_gap_between_them_are_not_joined(tmp_path: Path):
    _in_parts(tmp_path, 5)
    (tmp_path / RAW / "date=2026-05-06" / "0-2-2.parquet").unlink()
    archive = Archive(tmp_path, TOPICS)
    archive.open()
    archive.compact(RAW, "2026-05-06")
    archive.close()

    assert names(tmp_path, RAW) == ["2026-05-06/0-0-1.parquet", "2026-05-06/0-3-4.parquet"]


@pytest.mark.parametrize("removed", range(4))
def test_a_crash_within_compaction_is_tidied_at_the_next_start(tmp_path: Path, removed: int):
    """The joined file is there, of its parts the first few are gone."""
    _in_parts(tmp_path, 4)
    directory = tmp_path / RAW / "date=2026-05-06"
    parts = sorted(directory.glob("0-*.parquet"))
    files = Files(store_at(tmp_path))
    here = PurePosixPath(RAW, "date=2026-05-06")
    files.copy(here / "0-0-3.parquet", [here / part.name for part in parts])
    files.close()
    for part in parts[:removed]:
        part.unlink()
    (directory / ".0-4-9.parquet.tmp").write_bytes(b"half")

    archived(tmp_path, [[]])

    assert [p.name for p in directory.iterdir()] == ["0-0-3.parquet"]
    assert offsets(tmp_path, RAW) == [0, 1, 2, 3]


def test_a_part_is_not_removed_in_favour_of_a_file_that_cannot_be_read(tmp_path: Path):
    _in_parts(tmp_path, 3)
    directory = tmp_path / RAW / "date=2026-05-06"
    (directory / "0-0-2.parquet").write_bytes(b"PAR1 not really PAR1")

    archived(tmp_path, [[]])

    assert offsets(tmp_path, RAW) == [0, 1, 2]


def test_ranges_that_overlap_in_part_are_cut_exactly(tmp_path: Path):
    records = many(8, Log())
    for lake, part in (("one", records[:5]), ("two", records[3:])):
        archived(tmp_path / lake, [part])
    directory = tmp_path / "one" / RAW / "date=2026-05-06"
    (tmp_path / "two" / RAW / "date=2026-05-06" / "0-3-7.parquet").replace(directory / "0-3-7.parquet")

    archived(tmp_path / "one", [[]])

    assert sorted(p.name for p in directory.iterdir()) == ["0-0-4.parquet", "0-5-7.parquet"]
    assert offsets(tmp_path / "one", RAW) == list(range(8))


def test_small_files_are_joined_while_the_archive_runs(tmp_path: Path):
    archive = Archive(tmp_path, TOPICS)
    archive.open()
    for record in many(COMPACT_AT + 3, Log()):
        archive.add([record])
        archive.flush()
    archive.close()

    assert len(names(tmp_path, RAW)) == 4
    assert offsets(tmp_path, RAW) == list(range(COMPACT_AT + 3))


# --- kills ------------------------------------------------------------------------------------------------------------

_ARCHIVING = """
import sys
from pathlib import Path, PurePosixPath
from connectors.kafka.records import Record
from connectors.lake.archive import Archive
import connectors.lake.archive
connectors.lake.archive.COMPACT_AT = 5
from functions.codec import encode
from tests.history import signal
archive = Archive(Path(sys.argv[1]), ["paper.signals.raw"])
position = archive.open().get(("paper.signals.raw", 0), 0)
print("open", flush=True)
while True:
    numbers = range(position, position + 20)
    archive.add([Record("paper.signals.raw", 0, n, b"k", encode(signal(f"g{n}", at=n))) for n in numbers])
    archive.flush()
    position += 20
"""


def test_killed_at_any_moment_it_has_every_record_once_up_to_where_it_goes_on(tmp_path: Path):
    for delay_s in (0.03, 0.11, 0.2):
        with subprocess.Popen([sys.executable, "-c", _ARCHIVING, str(tmp_path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            time.sleep(delay_s)
            process.send_signal(signals.SIGKILL)

    archive = Archive(tmp_path, [RAW])
    position = archive.open()[RAW, 0]
    archive.close()

    assert position > 0
    assert offsets(tmp_path, RAW) == list(range(position))


# --- from a real log --------------------------------------------------------------------------------------------------


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[KafkaSettings]:
    with start_embedded(tmp_path / "kafka") as embedded:
        yield embedded.settings


@pytest.mark.kafka
def test_the_live_flow_archives_every_topic_of_the_log_and_ends_with_everything_on_disk(
    kafka: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ready = tmp_path / "ready"
    monkeypatch.setenv(READY_FILE, str(ready))
    writer = Writer(kafka)
    events = [signal(f"g{n}", at=n) for n in range(50)] + [submitted(), filled(), snapshot(1.0)]
    writer.write([outgoing(event) for event in events])
    writer.write([outgoing(tick(100.0, n, token=n), key=str(n).encode()) for n in range(300)])
    writer.write([Outgoing("config.accounts", b"gone", None), Outgoing(DLQ, b"k", b"\x00", [("error", b"E")])])
    writer.flush()
    lake = tmp_path / "lake"
    settings = Settings(kafka=kafka, lake=LakeSettings(path=str(lake)))

    def worked() -> bool:
        """Live for longer than a flow sends nothing to its sink, which is closed when it has had something."""
        return ready.exists() and time.time() - ready.stat().st_mtime > 0.5

    for _ in range(2):  # the second run finds nothing new
        ready.unlink(missing_ok=True)
        cli_main(flow.live(settings, stop=worked))

    assert sorted(id for _, _, id in rows(lake, RAW)) == sorted(event.id for event in events[:50])
    assert len(rows(lake, TICKS)) == 300
    assert len({partition for partition, _, _ in rows(lake, TICKS)}) > 6
    assert rows(lake, "config.accounts", "key, raw, event") == [("gone", None, None)]
    assert rows(lake, DLQ, "raw, headers->>'error'") == [(b"\x00", "E")]
    topics = archived_topics(("paper",))
    archive = Archive(lake, topics)
    ends = end_offsets(kafka, topics)
    assert archive.open() == {at: end for at, end in ends.items() if end}
    archive.close()
