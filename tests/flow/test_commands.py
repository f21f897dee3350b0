"""Commands: a human's order acts before the ticks of its batch, or is dead-lettered."""

from functions.codec import encode, envelope
from functions.topics import (
    COMMANDS,
    SYSTEM_ALERTS,
)  # fmt: skip
from tests.desk import TEN, account, tick
from tests.flow.script import Log, dead, desk, loop, told, topics_of


def test_a_kill_acts_before_the_ticks_of_its_batch_and_resume_undoes_it(run):
    log = Log()
    items = [
        log.command("kill", "a", tick(101.0, 1)),
        log.command("resume"),
        log.ticks(tick(101.0, 2), tick(101.5, 2.5)),
    ]

    batches = run(desk(), items)

    rejected = [e.data for topic, e in told(batches) if topic == "signals.rejected"]
    assert [[r.rule for r in x.reasons] for x in rejected] == [["kill_switch"]]
    assert topics_of(batches).count("orders.filled") == 1
    alerts = [e.data for topic, e in told(batches) if topic == SYSTEM_ALERTS.name]
    assert [(a.code, a.message, a.subject) for a in alerts] == [
        ("command_kill", "kill by desk: drill", "a"), ("command_resume", "resume by desk: drill", "a"),
    ]  # fmt: skip


def test_arm_and_disarm_reach_the_account():
    made, log = desk(), Log()

    loop(made, [log.command("arm")])
    armed = int(made.account.shard.accounts["armed"][0])
    loop(made, [log.command("disarm")])

    assert (armed, int(made.account.shard.accounts["armed"][0])) == (1, 0)


def test_a_command_for_another_shards_account_is_not_ours(run):
    batches = run(desk(), [Log().command("kill", "b", tick(101.0, 1))])

    assert topics_of(batches) == [
        "signals.raw", "signals.validated", "orders.submitted", "orders.ack", "orders.placed",
    ]  # fmt: skip


def test_a_command_that_the_account_does_not_know_is_dead_lettered(run):
    received = Log().command("flatten")
    raw = received.events[0][0].value

    assert dead(run(desk(), [received])) == [("account", "unsupported_command", "flatten", raw)]


def test_an_event_of_another_kind_among_the_commands_is_dead_lettered_and_the_flow_goes_on(run):
    log = Log()
    stray = envelope(account("a", "5"), id="x", time_ns=TEN, source="config", broker="shared")
    received = log.ticks(tick(101.0, 1))
    received.events.append((log.record(COMMANDS.of("paper").name, b"a", encode(stray)), stray))

    batches = run(desk(), [received])

    assert [(step, raw) for step, _, _, raw in dead(batches)] == [("account", encode(stray))]
    assert "signals.raw" in topics_of(batches)
