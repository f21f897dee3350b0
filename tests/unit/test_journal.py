"""The journal: its lines, what of them counts, its snapshots of today and of the version before, and second copies."""

import msgspec
import pytest

from functions.journal import (
    MARK,
    Batch,
    Copies,
    Entry,
    Opening,
    Snapshot,
    Start,
    Suspension,
    UnknownFormat,
    checksum,
    decode_line,
    decode_snapshot,
    encode_line,
    encode_snapshot,
    mark_prefix,
    marks,
    named,
    packed,
    standing,
)  # fmt: skip

TICKS, COMMANDS = "market.ticks", "paper.commands"


@pytest.mark.parametrize(
    "line",
    [
        Start(7, (TICKS, COMMANDS)),
        Opening(7, b"\x00state"),
        Entry(7, (Batch((0, 3, 10, 12), 3), Batch((), 0, given_up=True)), 2, 99),
        Suspension(7, "fade", "had not come to an end on market.ticks[3] at offset 17 after 5 s"),
    ],
)
def test_a_line_comes_back_as_it_was_written(line):
    assert decode_line(encode_line(line)) == line


def test_an_entry_of_one_batch_without_outputs_takes_few_bytes():
    entry = Entry(2**55, (Batch((0, 11, 5_000_000, 5_000_000), 1),), 0, 0)

    assert len(encode_line(entry)) < 32


@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", b"{}", msgspec.msgpack.encode([9, 1, 2]), msgspec.msgpack.encode([0, "x", []])]
)
def test_what_is_no_line_is_refused(raw):
    with pytest.raises(UnknownFormat, match="no line of a journal"):
        decode_line(raw)


@pytest.mark.parametrize("numbers", [1, 2, 3, 5, 6, 7])
def test_a_run_that_is_not_four_numbers_is_refused(numbers):
    whole, torn = Batch((0, 3, 10, 12), 3), Batch(tuple(range(numbers)), 1)

    for batches in ((torn,), (whole, torn), (torn, whole)):
        with pytest.raises(UnknownFormat, match="a run is four numbers"):
            decode_line(encode_line(Entry(7, batches, 0, 0)))
    for runs in ((), (0, 3, 10, 12), (0, 3, 10, 12, 1, 0, 5, 5)):
        assert decode_line(encode_line(Entry(7, (Batch(runs, 4),), 0, 0))) == Entry(7, (Batch(runs, 4),), 0, 0)


def test_a_line_of_a_later_version_is_refused_by_its_number():
    later = msgspec.msgpack.encode([2, 7, [], 0, 0, 3])

    with pytest.raises(UnknownFormat, match="version 3, this code knows up to 2"):
        decode_line(later)


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ([0, 7, [TICKS, COMMANDS], 1], Start(7, (TICKS, COMMANDS), version=1)),
        ([1, 7, b"\x00state", 1, False], Opening(7, b"\x00state", version=1)),
        ([2, 7, [[[0, 3, 10, 12], 3, False]], 2, 99, 1], Entry(7, (Batch((0, 3, 10, 12), 3),), 2, 99, version=1)),
    ],
)
def test_a_line_of_before_there_were_suspensions_is_read_still(raw, line):
    assert decode_line(msgspec.msgpack.encode(raw)) == line


def entry(session):
    return Entry(session, (), 0, 0)


def test_what_a_replaced_worker_writes_is_void():
    void = Suspension(1, "fade", "")
    lines = list(
        enumerate([entry(1), Start(2, ()), entry(1), entry(2), Opening(1, b""), void, Start(3, ()), entry(2), entry(3)])
    )

    assert [at for at, _ in standing(lines, 1)] == [0, 1, 3, 6, 8]


def test_lines_before_the_first_start_count_for_the_session_that_was_writing_alone():
    lines = [(5, entry(1)), (6, entry(9))]

    assert [at for at, _ in standing(lines, 1)] == [5]
    assert [at for at, _ in standing(lines, 9)] == [6]


def test_runs_carry_the_names_of_their_topics():
    assert named(Batch((1, 0, 5, 5, 0, 3, 10, 12), 4), (TICKS, COMMANDS)) == [(COMMANDS, 0, 5, 5), (TICKS, 3, 10, 12)]


def test_places_with_a_hole_between_them_are_two_runs():
    assert packed([("a", 0, 4), ("a", 0, 6), ("a", 1, 7)]) == [("a", 0, 4, 4), ("a", 0, 6, 6), ("a", 1, 7, 7)]


def test_a_checksum_tells_outputs_in_another_order_apart_and_takes_a_deletion_for_nothing():
    assert checksum([b"ab", b"cd"]) != checksum([b"cd", b"ab"])
    assert checksum([b"ab", None]) == checksum([b"ab"])


# --- snapshots --------------------------------------------------------------------------------------------------------

SNAPSHOT = Snapshot(
    positions=[(TICKS, 3, 13)], held=[(TICKS, 3, 11, 12)], feed_session=1, following=40, topics=(TICKS, COMMANDS),
    partition=2, journal=17, session=7, tails=[("paper.orders.filled", 0, 4)], state={"gate": b"\x01"},
)  # fmt: skip


def test_a_snapshot_comes_back_as_it_was_written():
    assert decode_snapshot(encode_snapshot(SNAPSHOT)) == SNAPSHOT


def test_a_snapshot_of_the_version_before_is_read_with_nothing_of_a_journal_behind_it():
    """As version 2 wrote it, before there was a journal."""
    written = msgspec.msgpack.encode(
        {"version": 2, "positions": [[TICKS, 3, 11]], "session": 1, "following": 40, "state": {"gate": b"\x01"}}
    )

    read = decode_snapshot(written)

    assert (read.positions, read.held, read.feed_session, read.following) == ([(TICKS, 3, 11)], [], 1, 40)
    assert (read.journal, read.state) == (-1, {"gate": b"\x01"})


@pytest.mark.parametrize("version", [1, 4])
def test_a_snapshot_of_any_other_version_is_refused_by_its_number(version):
    kept = msgspec.msgpack.decode(encode_snapshot(SNAPSHOT)) | {"version": version}

    with pytest.raises(UnknownFormat, match=f"a snapshot of version {version}, this code knows up to 3"):
        decode_snapshot(msgspec.msgpack.encode(kept))


@pytest.mark.parametrize(
    "raw", [b"", b"no snapshot", msgspec.msgpack.encode([1]), msgspec.msgpack.encode({"version": 3})]
)
def test_what_is_no_snapshot_is_refused(raw):
    with pytest.raises(UnknownFormat, match="no snapshot"):
        decode_snapshot(raw)


# --- copies -----------------------------------------------------------------------------------------------------------


def test_marks_of_a_worker_sort_as_its_outputs_do():
    made = [mark for offset in (9, 10, 2_000_000_000) for mark in marks(mark_prefix("paper-0", offset), 0, 5_000)]

    assert made == sorted(made)
    assert len(set(made)) == 15_000


def headers(worker, offset, ordinal):
    return [("topic", b"t"), (MARK, marks(mark_prefix(worker, offset), ordinal, 1)[0])]


def test_a_second_copy_is_found_and_what_comes_after_it_is_not_one():
    copies = Copies()

    seen = [copies.is_copy("t", 0, headers("w", 4, n)) for n in (0, 1, 0, 1, 2)]

    assert seen == [False, False, True, True, False]


def test_each_partition_and_each_worker_is_looked_at_alone():
    copies = Copies()

    assert not copies.is_copy("t", 0, headers("paper-0", 4, 3))
    assert not copies.is_copy("t", 1, headers("paper-0", 4, 0))
    assert not copies.is_copy("u", 0, headers("paper-0", 4, 0))
    assert not copies.is_copy("t", 0, headers("paper-1of2", 4, 0))


def test_a_record_without_a_mark_is_no_copy():
    copies = Copies()

    assert [copies.is_copy("t", 0, None), copies.is_copy("t", 0, [("a", b"b")]), copies.seen] == [False, False, {}]


def test_what_has_been_seen_is_kept_by_the_reader():
    first = Copies()
    first.is_copy("t", 0, headers("w", 4, 0))

    assert Copies(dict(first.seen)).is_copy("t", 0, headers("w", 4, 0))
