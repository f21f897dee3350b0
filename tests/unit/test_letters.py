"""Dead letters: how they are named and counted, which may be put back, what deleting some of them takes."""

from collections import Counter

import pytest

from connectors.kafka.dead_letters import by_name, put_back
from connectors.kafka.records import Record, dead_letter, replay_of
from functions.letters import Filter, counts, letter, purge, replay
from functions.topics import CONFIG_ACCOUNTS, MARKET_TICKS

TOPICS = by_name(("paper", "zerodha"))


def letters(*outgoing, time_ms=1_000):
    """As they lie in their topics."""
    ends = Counter()
    found = []
    for out in outgoing:
        found.append(letter(out.topic, 0, ends[out.topic], time_ms + len(found), out.key, out.value, out.headers))
        ends[out.topic] += 1
    return found


def refused(offset, error="unknown_instrument", topic=MARKET_TICKS.name, step="gate", key=b"1", headers=None):
    return dead_letter(Record(topic, 3, offset, key, b"{%d" % offset, headers), step, error, f"{error} {offset}")


def put_back_and_refused(one, offset, error="unknown_instrument"):
    """The letter of a record that was put back and failed again."""
    back = put_back(one)
    return dead_letter(Record(back.topic, 3, offset, back.key, back.value, back.headers), "gate", error, error)


def everything(_letter):
    return True


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_record_keeps_its_first_name_and_counts_its_attempts_however_often_it_is_put_back():
    [first] = letters(refused(41))
    [second] = letters(put_back_and_refused(first, 90))
    [third] = letters(put_back_and_refused(second, 95))

    assert [x.original for x in (first, second, third)] == ["market.ticks:3:41"] * 3
    assert [x.attempts for x in (first, second, third)] == [1, 2, 3]
    assert dict(third.headers)["offset"] == b"95"
    assert (third.key, third.value) == (b"1", b"{41")


def test_what_is_put_back_has_its_key_and_bytes_and_says_that_it_was():
    [one] = letters(refused(41))

    back = put_back(one)

    assert (back.topic, back.key, back.value) == (MARKET_TICKS.name, b"1", b"{41")
    assert replay_of(Record(back.topic, 0, 7, back.key, back.value, back.headers)) == ("market.ticks:3:41", 1)


def test_a_record_with_other_headers_was_not_put_back():
    for headers in (None, [], [("q", b"1")], [("replayed", b"x"), ("original", b"t:0:1")], [("replayed", b"1")]):
        assert replay_of(Record("t", 0, 0, None, b"", headers)) is None


def test_what_kafka_connect_says_of_a_letter_is_told_in_the_same_words():
    told = {
        "topic": b"paper.orders.filled", "partition": b"2", "offset": b"17", "connector.name": b"panda-paper-fills",
        "exception.class.name": b"org.apache.kafka.connect.errors.DataException", "exception.message": b"no JSON",
    }  # fmt: skip
    one = letter(
        "paper.orders.filled.dlq", 0, 3, 0, b"k", b"{", [(f"__connect.errors.{name}", v) for name, v in told.items()]
    )

    assert (one.original, one.step, one.error, one.message, one.attempts) == (
        "paper.orders.filled:2:17", "panda-paper-fills", "DataException", "no JSON", 1,
    )  # fmt: skip


def test_a_letter_without_any_headers_is_still_one_of_its_topic():
    one = letter("market.ticks.dlq", 0, 3, 0, None, b"?", [])

    assert (one.of, one.original, one.error) == ("market.ticks", "market.ticks:unknown:unknown", "unknown")


# --- choosing and counting --------------------------------------------------------------------------------------------


def test_letters_are_counted_by_topic_step_and_cause_and_the_records_behind_them():
    """Two shards refused the same tick."""
    found = counts(letters(refused(41), refused(41), refused(42, "bad_price"), refused(43)))

    assert [(c.topic, c.step, c.error, c.letters, c.records, c.first, c.last, c.newest_ms) for c in found] == [
        ("market.ticks", "gate", "unknown_instrument", 3, 2, 0, 3, 1_003),
        ("market.ticks", "gate", "bad_price", 1, 1, 2, 2, 1_002),
    ]


@pytest.mark.parametrize(
    ("filter", "offsets"),
    [
        (Filter(), [0, 1, 2, 3]),
        (Filter(topics=frozenset({"market.ticks"})), [0, 1, 2]),
        (Filter(topics=frozenset({"paper.commands.dlq"})), [3]),
        (Filter(errors=frozenset({"bad_price"})), [1]),
        (Filter(steps=frozenset({"account"})), [3]),
        (Filter(keys=frozenset({b"a"})), [3]),
        (Filter(ids=frozenset({"market.ticks.dlq:0:2", "market.ticks:3:41"})), [0, 2]),
        (Filter(first=1, last=2), [1, 2]),
        (Filter(since_ms=1_001, until_ms=1_003), [1, 2]),
    ],
)  # fmt: skip
def test_letters_are_chosen_by_what_is_known_of_them(filter, offsets):
    found = letters(refused(41), refused(42, "bad_price"), refused(43))
    found.append(
        letters(refused(5, "unsupported_command", "paper.commands", "account", b"a"), time_ms=1_003)[0]._replace(
            offset=3
        )
    )

    assert [x.offset for x in found if filter.takes(x)] == offsets


# --- putting back -----------------------------------------------------------------------------------------------------


def test_each_record_is_put_back_once_with_the_number_of_its_last_attempt():
    found = letters(refused(41), refused(41), refused(42))
    found += [x._replace(offset=9) for x in letters(put_back_and_refused(found[0], 90))]

    plan = replay(found, everything, TOPICS)

    assert [(x.original, x.attempts) for x in plan.letters] == [("market.ticks:3:41", 2), ("market.ticks:3:42", 1)]


@pytest.mark.parametrize(
    ("out", "why"),
    [
        (refused(41, "duplicate"), "no cure makes it usable"),
        (refused(41, "time_backwards"), "no cure makes it usable"),
        (refused(41, "already_replayed", "paper.commands"), "no cure makes it usable"),
        (refused(41, "refused", CONFIG_ACCOUNTS.name), "change it in the config store"),
        (refused(41, "DataException", "paper.orders.filled"), "is no input of a decision"),
        (refused(41, "DecodeError", "zerodha.orders.filled"), "is no input of a decision"),
        (refused(41, "DecodeError", "upstox.commands"), "no topic of this deployment"),
    ],
)
def test_what_must_not_be_put_back_is_left_with_the_reason(out, why):
    plan = replay(letters(out), everything, TOPICS)

    assert plan.letters == []
    [(reason, count)] = plan.left.items()
    assert why in reason
    assert count == 1


def test_a_row_of_a_file_never_was_a_record_and_is_not_put_back():
    row = dead_letter(Record(MARKET_TICKS.name, -1, 7, b"a.csv", b"x,y"), "feed", "unreadable_row", "a.csv row 7")

    assert "never was a record" in "".join(replay(letters(row), everything, TOPICS).left)


def test_a_record_that_was_put_back_too_late_is_not_put_back_again_by_its_older_letter():
    found = letters(refused(41))
    found += [x._replace(offset=9) for x in letters(put_back_and_refused(found[0], 90, "passed_by"))]

    plan = replay(found, lambda each: each.offset == 0, TOPICS)

    assert plan.letters == []
    assert list(plan.left) == ["passed_by: no cure makes it usable"]


# --- deleting ---------------------------------------------------------------------------------------------------------


def test_letters_from_the_beginning_on_can_be_deleted():
    [found] = purge(letters(refused(1), refused(2), refused(3)), lambda each: each.offset <= 1)

    assert (found.topic, found.before, found.letters, found.kept) == ("market.ticks.dlq", 2, 2, 0)


def test_deleting_what_lies_behind_others_would_take_them_too_and_says_how_many():
    [found] = purge(
        letters(refused(1), refused(2, "bad_price"), refused(3), refused(4)), lambda each: each.error != "bad_price"
    )

    assert (found.before, found.letters, found.kept, found.clean) == (4, 3, 1, 1)


def test_topics_are_deleted_apart_and_those_without_a_chosen_letter_not_at_all():
    found = letters(refused(1), refused(2, "x", "paper.commands"), refused(3))

    assert [(p.topic, p.before) for p in purge(found, lambda each: each.of == "paper.commands")] == [
        ("paper.commands.dlq", 1)
    ]
    assert purge(found, lambda each: False) == []
