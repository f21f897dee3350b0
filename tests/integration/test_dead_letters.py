"""Dead letters on the embedded broker: put back, they are decided once or not at all; too many of them stop the flow."""

import io
import json
import sys
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from bytewax.testing import run_main

from connectors.errors import FatalError
from connectors.kafka.dead_letters import letter_topics, put_back, read_letters
from connectors.kafka.decisions import Poisoned
from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.kafka.source import fetch_all
from connectors.settings import DeadLetterSettings, Settings
from dataflows import pipeline, rebuilding, steps
from functions.codec import decode, encode, envelope
from functions.events import Command, StrategyConfig
from functions.letters import replay
from functions.topics import COMMANDS, MARKET_TICKS, SYSTEM_ALERTS, all_topics, outputs
from tests.crash import Crash, crash_at
from tests.desk import TEN, account, instrument, lax, tick, tick_rows
from tests.recorded import config_events, tick_events

pytestmark = pytest.mark.kafka

ACCOUNT = account("paper-1", limits=lax())
DEAD = list(letter_topics(("paper",)).values())
TOPICS = {topic.name: topic for topic in all_topics(("paper",))}
LIMIT = DeadLetterSettings(limit=5, among=20, alert_per_minute=3)


class Script:
    """Buys ten at 101, has no answer to 13."""

    fields = ("price",)

    def on_tick(self, tick):
        if tick.price == 13.0:
            raise LookupError("thirteen is not in the script")
        return {101.0: 10}.get(tick.price)


def trading(*tokens):
    return StrategyConfig("s", f"{__name__}:Script", {}, list(tokens), ["paper-1"])


@pytest.fixture
def log(tmp_path):
    """Settings of an embedded broker with one account, instruments 11 and 22, and a strategy on both."""
    with start_embedded(tmp_path) as broker:
        settings = Settings(kafka={"bootstrap": broker.bootstrap, "embedded": True}, dead_letters=LIMIT)
        write(settings, config_events([instrument(11), instrument(22)], [ACCOUNT], [trading(11, 22)]))
        yield settings


def write(settings, records):
    writer = Writer(settings.kafka)
    writer.write(records)
    writer.flush()


def ticks(*prices, token=11, start=0.0, step=1.0, session=1):
    rows = tick_rows([tick(price, start + n * step) for n, price in enumerate(prices)])
    return tick_events(rows, [token], session=session, clocks=False)


def run(settings):
    run_main(pipeline.live(settings, until_end=True), epoch_interval=timedelta(seconds=0.1))


def run_to_its_end(settings, kind):
    """What leaves Bytewax may be no `Exception`; behind it is ours."""
    ended: BaseException | None = None
    try:
        run(settings)
    except BaseException as error:
        ended = error
    while ended is not None and not isinstance(ended, kind):
        ended = ended.__cause__ or ended.__context__
    assert isinstance(ended, kind), "the flow did not end so"
    return ended


def letters(settings):
    return read_letters(settings.kafka, DEAD)


def put_all_back(settings, chosen=lambda each: True):
    """As `panda dlq replay` does; how many there were."""
    plan = replay(letters(settings), chosen, TOPICS)
    write(settings, [put_back(each) for each in plan.letters])
    return len(plan.letters)


def decided(settings):
    """Everything decided, dead letters and alerts apart, by topic."""
    return {
        topic.name: [r.value for r in fetch_all(settings.kafka, [topic.name])] for topic in outputs("paper")
    }  # fmt: skip


def alerts(settings):
    return [decode(record.value).data for record in fetch_all(settings.kafka, [SYSTEM_ALERTS.name])]


def trips(settings):
    return [alert for alert in alerts(settings) if alert.code == "dead_letters_tripped"]


# --- putting back -----------------------------------------------------------------------------------------------------


def test_a_tick_that_was_decided_changes_nothing_when_it_is_put_back(log):
    """A strategy raised on it, so it has a letter; the account has long gone on with it."""
    write(log, ticks(100.0, 101.0, 13.0, 101.5))
    run(log)
    before = decided(log)
    [letter] = letters(log)
    assert (letter.step, letter.attempts) == ("strategy:s", 1)

    assert put_all_back(log) == 1
    run(log)

    assert decided(log) == before
    first, again = letters(log)
    assert (again.error, again.attempts, again.original, again.value) == ("passed_by", 2, first.original, first.value)
    assert put_all_back(log) == 0  # and so it stays


def test_not_even_where_it_is_of_the_same_instant_as_the_last_tick_and_would_pass_as_new(log):
    write(log, ticks(100.0, 13.0, 101.0, 101.5, step=0.0))
    run(log)
    before = decided(log)

    assert put_all_back(log) == 1
    run(log)

    assert decided(log) == before
    assert [x.error for x in letters(log)] == ["LookupError", "passed_by"]


def test_a_tick_whose_cause_is_cured_is_decided_once_however_often_it_is_put_back(log):
    unknown = ticks(101.0, 102.0, 103.0, token=99)
    write(log, unknown)
    run(log)
    assert [x.error for x in letters(log)] == ["unknown_instrument"] * 3
    assert decided(log)["paper.orders.filled"] == []
    write(log, config_events([instrument(99)], [], []))
    run(log)  # instruments change at a start, and a strategy may trade those that there are
    write(log, config_events([], [], [trading(11, 22, 99)]))
    run(log)

    assert put_all_back(log) == 3
    run(log)

    once = decided(log)
    [fill] = [decode(value).data for value in once["paper.orders.filled"]]
    assert (fill.instrument_token, fill.quantity, fill.price) == (99, 10, "102.00")
    assert put_all_back(log) == 3  # their letters are all that says of them
    run(log)
    assert decided(log) == once
    assert Counter(x.error for x in letters(log)) == {"unknown_instrument": 3, "passed_by": 3}
    assert put_all_back(log) == 0


def test_a_letter_that_fails_again_counts_its_attempts_and_keeps_its_name(log):
    write(log, ticks(101.0, token=99))
    for _ in range(3):
        run(log)
        put_all_back(log)

    [first, second, third] = letters(log)
    assert [x.attempts for x in (first, second, third)] == [1, 2, 3]
    assert {x.original for x in (first, second, third)} == {first.original}
    assert {(x.key, x.value) for x in (first, second, third)} == {(first.key, first.value)}


def test_a_command_whose_cause_is_cured_is_decided_once_however_often_it_is_put_back(log, monkeypatch):
    command = envelope(Command("flatten", "paper-1", "desk"), id="c", time_ns=TEN, source="cli", broker="paper")
    write(log, [*ticks(100.0), Outgoing(COMMANDS.of("paper").name, b"paper-1", encode(command))])
    run(log)
    [letter] = letters(log)
    assert (letter.of, letter.error) == ("paper.commands", "unsupported_command")
    assert put_all_back(log) == 1
    run(log)
    assert [x.attempts for x in letters(log)] == [1, 2]  # nothing is cured yet

    known = steps.Account._command
    monkeypatch.setattr(  # the version after this one knows it
        steps.Account,
        "_command",
        lambda self, work, record, _: known(self, work, record, Command("kill", "paper-1", "desk")),
    )
    for _ in range(3):
        assert put_all_back(log) == 1
        run(log)

    assert [a.code for a in alerts(log)] == ["command_kill"]
    assert [(x.error, x.attempts) for x in letters(log)] == [
        ("unsupported_command", 1), ("unsupported_command", 2), ("already_replayed", 2), ("already_replayed", 2),
    ]  # fmt: skip


# --- too many ---------------------------------------------------------------------------------------------------------


def poison(count, start=0.0):
    return [Outgoing(MARKET_TICKS.name, b"11", b"{%d" % n) for n in range(int(start), int(start) + count)]


def test_as_many_poison_records_as_the_limit_are_told_and_borne(log):
    write(log, [*ticks(100.0), *poison(5)])

    run(log)

    assert len(letters(log)) == 5
    [alert] = alerts(log)
    assert (alert.code, alert.severity, alert.subject) == ("dead_letters_growing", "warning", "paper-0")
    assert "market.ticks DecodeError 4" in alert.message


def test_one_more_stops_the_flow_with_exit_code_4_when_its_alert_is_on_the_log(log):
    write(log, [*ticks(100.0, 101.0, 101.5), *poison(6)])

    error = run_to_its_end(log, Poisoned)

    assert error.exit_code == 4
    assert "6 of the last 6 records of market.ticks are of no use, up to market.ticks:" in error.message
    assert "panda dlq list" in error.remedy
    [alert] = trips(log)
    assert (alert.severity, alert.message) == ("critical", error.message)
    assert len(letters(log)) == 6


def test_the_rest_of_the_topic_is_left_and_read_by_who_starts_the_flow_again(log, monkeypatch):
    monkeypatch.setattr(pipeline, "KafkaSource", lambda *a, **k: _source(*a, **k, batch_size=10))
    write(log, [*ticks(100.0), *poison(400)])

    run_to_its_end(log, Poisoned)
    assert 6 <= len(letters(log)) <= 5 + 10  # the limit, and the batch in which it tripped
    run_to_its_end(log, Poisoned)
    assert 12 <= len(letters(log)) <= 2 * (5 + 10)
    unlimited = log.model_copy(update={"dead_letters": DeadLetterSettings(limit=0)})
    run(unlimited)

    found = letters(log)
    assert Counter(x.value for x in found) == Counter({x.value: 1 for x in poison(400)})
    assert len(trips(log)) == 2


_source = pipeline.KafkaSource


@pytest.mark.parametrize("step", ["journalled", "half_written", "written"])
def test_a_crash_while_it_trips_tells_of_the_same_trip_and_of_no_other(log, monkeypatch, step):
    write(log, [*ticks(100.0), *poison(6)])
    crash_at(monkeypatch, step, 1)
    run_to_its_end(log, Crash)
    monkeypatch.undo()

    run(log)  # a start is the consent to read on

    assert len(trips(log)) == 1
    assert len({x.original for x in letters(log)}) == len(letters(log)) == 6


def test_a_state_made_anew_from_the_journal_has_tripped_and_gone_on_as_the_flow_did(log):
    write(log, [*ticks(100.0, 101.0), *poison(6)])
    run_to_its_end(log, Poisoned)
    rebuilding.made_anew(log, "paper")  # which lets nobody read on
    write(log, [*poison(3, start=6), *ticks(102.0, start=5, session=2)])
    run(log.model_copy(update={"dead_letters": DeadLetterSettings(limit=7, among=50)}))

    assert rebuilding.verified(log, "paper").records == 8 + 4
    assert len(letters(log)) == 9


def test_a_limit_that_changes_at_a_start_takes_effect_there(log):
    write(log, [*ticks(100.0), *poison(5)])
    run(log)
    write(log, poison(1, start=5))

    with pytest.raises(AssertionError, match="did not end so"):
        run_to_its_end(log.model_copy(update={"dead_letters": DeadLetterSettings(limit=6, among=20)}), FatalError)

    assert trips(log) == []


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def dlq(log, panda, monkeypatch):
    """`panda dlq` against the embedded broker; returns (exit code, output, errors)."""
    monkeypatch.setenv("PANDA_KAFKA__BOOTSTRAP", log.kafka.bootstrap)
    monkeypatch.setenv("PANDA_KAFKA__EMBEDDED", "true")
    return partial(panda, "dlq")


@pytest.fixture
def refused(log):
    """Three ticks of an unknown instrument, one price that is none, two records that are nothing."""
    write(log, [*ticks(100.0), *ticks(101.0, 102.0, 103.0, token=99, session=2), *ticks(-1.0, start=5, session=3)])
    write(log, [Outgoing(MARKET_TICKS.name, b"11", b"\xff{"), Outgoing(COMMANDS.of("paper").name, b"paper-1", b"?")])
    run(log.model_copy(update={"dead_letters": DeadLetterSettings()}))
    return {x.error: x for x in letters(log)}


def test_list_counts_by_topic_step_and_cause(dlq, refused):
    code, out, _ = dlq("list")

    assert code == 0
    head, first, *rest = out.splitlines()
    assert head.split() == ["letters", "records", "topic", "step", "error", "attempts", "offsets", "newest"]
    assert first.split()[:6] == ["3", "3", "market.ticks", "gate", "unknown_instrument", "1"]
    assert sorted(line.split()[2:5] for line in rest) == [
        ["market.ticks", "gate", "DecodeError"], ["market.ticks", "gate", "bad_price"],
        ["paper.commands", "gate", "DecodeError"],
    ]  # fmt: skip


def test_list_as_json_and_filtered(dlq, refused):
    code, out, _ = dlq("list", "--topic", "paper.commands", "--json")

    [count] = json.loads(out.splitlines()[-1])
    assert code == 0
    assert (count["topic"], count["error"], count["letters"], count["records"]) == (
        "paper.commands",
        "DecodeError",
        1,
        1,
    )
    assert count["newest"].endswith("Z")
    assert json.loads(dlq("list", "--error", "nothing", "--json")[1]) == []


def test_show_has_the_bytes_as_they_were_the_headers_and_the_reason(dlq, refused):
    one = refused["bad_price"]

    code, out, _ = dlq("show", one.original, "--json")

    [shown] = json.loads(out.splitlines()[-1])
    assert code == 0
    assert (shown["id"], shown["original"], shown["error"], shown["attempts"]) == (one.id, one.original, "bad_price", 1)
    assert shown["value"].encode() == one.value
    assert ["step", "gate"] in shown["headers"]
    _, out, _ = dlq("show", "--topic", "market.ticks", "--error", "DecodeError")
    assert "gate: DecodeError:" in out
    assert "2 bytes  \\xff{" in out
    assert out.endswith("1 of 1 dead letters\n")


def test_replay_says_what_it_would_do_and_then_does_it(dlq, refused, log):
    before = len(list(fetch_all(log.kafka, [MARKET_TICKS.name])))

    code, out, _ = dlq("replay", "--error", "unknown_instrument", "--dry-run")
    assert code == 0
    assert out.count("would put back market.ticks:") == 3
    assert out.endswith("3 records would be put back\n")
    assert len(list(fetch_all(log.kafka, [MARKET_TICKS.name]))) == before

    code, out, _ = dlq("replay", "--error", "unknown_instrument", "--json")
    assert code == 0
    done = json.loads(out.splitlines()[-1])
    assert (done["written"], len(done["replayed"])) == (True, 3)
    back = [r for r in fetch_all(log.kafka, [MARKET_TICKS.name]) if r.headers]
    assert sorted(r.value for r in back) == sorted(x.value for x in letters(log) if x.error == "unknown_instrument")


def test_purge_refuses_to_take_letters_that_were_not_chosen_and_asks_before_it_deletes(dlq, refused, monkeypatch):
    code, _, err = dlq("purge", "--topic", "market.ticks", "--error", "bad_price", "--yes")
    if refused["bad_price"].offset > 0:
        assert code == 2
        assert "Kafka deletes from the beginning only" in err
    code, _, err = dlq("purge", "--topic", "paper.commands", "--yes")
    assert code == 2
    assert "the embedded broker deletes no records" in err
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    code, out, _ = dlq("purge", "--topic", "paper.commands")
    assert code == 1
    assert "paper.commands.dlq: 1 letters, all before offset 1" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "--topic", "market.tick"], "no dead letters are kept of market.tick"),
        (["list", "--offsets", "x-3"], "--offsets is FIRST-LAST, was 'x-3'"),
        (["show", "--since", "yesterday"], "--since is an ISO 8601 time, was 'yesterday'"),
    ],
)
def test_what_makes_no_sense_exits_2_with_the_value(dlq, arguments, says):
    code, _, err = dlq(*arguments)

    assert code == 2
    assert says in err
