"""Configuration that changes while the pipeline runs: at one point of the log, with an event, or not at all."""

import msgspec
import numpy as np
import pytest

from connectors.errors import ConfigError
from connectors.kafka.feed import Marker, Received
from dataflows import steps
from dataflows.desk import Configuration
from functions.codec import encode, envelope
from functions.events import AccountConfig, PaperVenue, Sizing, StrategyConfig
from functions.topics import CONFIG_ACCOUNTS, CONFIG_INSTRUMENTS, CONFIG_STRATEGIES
from tests.desk import TEN, account, instrument, lax, strategy, tick
from tests.flow.script import KEY, SCRIPT, Log, dataflow, dead, desk, loop, told

FREE = PaperVenue(price="last", charges=False)
BOUGHT = (tick(101.0, 0.1), tick(100.0, 0.2))  # the script buys ten at the first, at the second they are filled


@pytest.fixture(params=[loop, dataflow], ids=["loop", "dataflow"])
def run(request):
    return request.param


class Market(Log):
    """Batches of ticks and of configuration."""

    def change(self, payload, *ticks):
        """A batch with one configuration record before its ticks."""
        topic, key, event = record_of(payload)
        received = self.ticks(*ticks) if ticks else Received()
        received.events.append((self.record(topic, key, encode(event)), event))
        return received

    def delete(self, topic, key, *ticks):
        received = self.ticks(*ticks) if ticks else Received()
        received.events.append((self.record(topic, key, None), None))
        return received


def record_of(payload):
    topics = {StrategyConfig: CONFIG_STRATEGIES, AccountConfig: CONFIG_ACCOUNTS}
    topic = topics.get(type(payload), CONFIG_INSTRUMENTS).name
    key = getattr(payload, "strategy", None) or getattr(payload, "account", None) or str(payload.instrument_token)
    event = envelope(payload, id="x", time_ns=TEN, source="config", broker="shared")
    return topic, key.encode(), event


def only(batches, kind):
    return [event.data for _, event in told(batches) if event.type == kind]


def script(**changes):
    return msgspec.structs.replace(strategy("s", (1,), ("a",), implementation=SCRIPT), **changes)


def alerts(batches):
    return [(a.severity, a.code, a.message) for a in only(batches, "system_alert")]


def orders(batches):
    return [(o.strategy, o.side, o.quantity) for o in only(batches, "order_submitted")]


def fills(batches):
    return [(f.strategy, f.side, f.quantity, f.position) for f in only(batches, "order_filled")]


def test_a_strategy_that_is_disabled_gets_no_tick_from_that_point_of_the_log_on(run):
    log = Market()

    batches = run(
        desk(),
        [
            log.ticks(*BOUGHT),
            log.change(script(enabled=False), tick(101.0, 0.3)),
            log.ticks(tick(101.0, 0.4)),
        ],
    )

    assert orders(batches) == [("s", "BUY", 10)]
    assert alerts(batches) == [
        ("info", "configuration_applied", "config.strategies s at offset 0: enabled True → False")
    ]


def test_it_holds_its_position_which_goes_on_being_valued(run):
    log = Market()

    batches = run(
        desk(),
        [
            log.ticks(*BOUGHT),
            log.change(script(enabled=False)),
            log.ticks(tick(105.0, 1.3), tick(105.0, 2.4)),
        ],
    )

    last = only(batches, "pnl_snapshot")[-1]
    assert (last.unrealised, [s.strategy for s in last.strategies]) == ("50.00", ["s"])


def test_with_the_policy_flatten_its_position_is_closed_at_the_next_tick_of_the_instrument(run):
    log = Market()
    end = script(enabled=False, on_disable="flatten")

    batches = run(
        desk(),
        [
            log.ticks(*BOUGHT),
            log.change(end),
            log.ticks(tick(103.0, 0.5)),
            log.ticks(tick(104.0, 0.6), tick(104.0, 0.7)),
        ],
    )

    assert orders(batches) == [("s", "BUY", 10), ("s", "SELL", 10)]
    assert fills(batches)[-1] == ("s", "SELL", 10, 0)
    [closing] = [s for s in only(batches, "trading_signal") if s.side == "SELL"]
    assert closing.price == 103.0


def test_what_still_works_of_it_is_cancelled_and_told_before_the_position_is_closed(run):
    log = Market()
    made = desk(venue=PaperVenue(price="last", charges=False, latency_ms=500))

    batches = run(
        made, [log.ticks(tick(101.0, 0.1)), log.change(script(enabled=False, on_disable="flatten"), tick(100.0, 1.0))]
    )

    [failed] = only(batches, "order_failed")
    assert (failed.reason, failed.remaining) == ("cancelled", 10)
    assert fills(batches) == []


def test_each_account_closes_what_it_holds_itself(run):
    """At 101 rupees, a signal for ten is a tenth of an account's capital: 990 shares for a million, 247 for a quarter."""
    log = Market()
    both = script(accounts=["a", "b"], sizing=Sizing("equity", "0.01"))
    accounts = [account(name, capital, lax(), FREE) for name, capital in (("a", "1000000"), ("b", "250000"))]
    made = steps.parts(Configuration([instrument(1)], accounts, [both]), "paper", KEY)

    batches = run(
        made,
        [
            log.ticks(*BOUGHT),
            log.change(msgspec.structs.replace(both, enabled=False, on_disable="flatten")),
            log.ticks(tick(104.0, 0.6), tick(104.0, 0.7)),
        ],
    )

    assert sorted((f.account, f.side, f.quantity, f.position) for f in only(batches, "order_filled")) == [
        ("a", "BUY", 990, 990),
        ("a", "SELL", 990, 0),
        ("b", "BUY", 247, 247),
        ("b", "SELL", 247, 0),
    ]
    assert len(only(batches, "order_submitted")) == 4
    assert only(batches, "signal_rejected") == []


def test_a_deleted_strategy_ends_as_its_last_configuration_says(run):
    log = Market()
    made = desk(strategies=[script(on_disable="flatten")])

    batches = run(
        made,
        [
            log.ticks(*BOUGHT),
            log.delete(CONFIG_STRATEGIES.name, b"s"),
            log.ticks(tick(104.0, 0.6), tick(104.0, 0.7)),
        ],
    )

    assert fills(batches)[-1] == ("s", "SELL", 10, 0)
    assert alerts(batches)[0][2] == "config.strategies s at offset 0: deleted"


def test_enabled_again_it_starts_anew_and_keeps_its_books(run):
    log = Market()

    batches = run(
        desk(),
        [
            log.ticks(*BOUGHT),
            log.change(script(enabled=False)),
            log.change(script(), tick(102.0, 1.0)),
            log.ticks(tick(102.5, 1.1)),
        ],
    )

    assert fills(batches) == [("s", "BUY", 10, 10), ("s", "SELL", 10, 0)]


def test_a_strategy_moved_to_another_instrument_trades_there_and_no_longer_here(run):
    log = Market({1: 0, 2: 1})
    made = desk(instruments=[instrument(1), instrument(2)])

    batches = run(
        made,
        [
            log.ticks(tick(101.0, 0.1)),
            log.change(script(instruments=[2]), tick(101.0, 0.2), tick(101.0, 0.3, instrument=1)),
        ],
    )

    assert [(o.instrument_token, o.side) for o in only(batches, "order_submitted")] == [(1, "BUY"), (2, "BUY")]


def test_new_parameters_hold_from_their_point_of_the_log_on_and_others_keep_their_state(run):
    log = Market({1: 0, 2: 1})
    follow = strategy("follow", (1,), parameters={"quantity": 2, "window": 2, "threshold": 0.001})
    made = desk(strategies=[follow, script()])
    faster = msgspec.structs.replace(follow, parameters={"quantity": 7, "window": 2, "threshold": 0.001})

    batches = run(
        made,
        [
            log.ticks(tick(50.0, 0.1), tick(51.0, 0.2), tick(52.0, 0.3)),
            log.change(faster, tick(50.0, 3.1), tick(60.0, 3.2), tick(61.0, 3.3)),
        ],
    )

    assert [q for name, _, q in orders(batches) if name == "follow"][-1] == 7
    assert "parameters" in alerts(batches)[0][2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (script(parameters={"speed": 3}, implementation="momentum"), "speed"),
        (script(implementation="nowhere"), "nowhere"),
        (script(instruments=[99]), "99"),
        (account("a", capital="-5"), "capital"),
    ],
)
def test_what_cannot_run_is_refused_with_its_reason_and_the_old_goes_on(run, change, reason):
    log = Market()

    batches = run(desk(), [log.change(change, tick(101.0, 0.1)), log.ticks(tick(100.0, 0.2))])

    [(severity, code, message)] = alerts(batches)
    assert (severity, code) == ("warning", "configuration_refused")
    assert reason in message
    assert message.endswith("what was before goes on")
    assert fills(batches) == [("s", "BUY", 10, 10)]
    assert [(step, error) for step, error, _, _ in dead(batches)] == [("configuration", "refused")]


def test_an_account_that_has_traded_is_not_let_go(run):
    log = Market()
    second = account("b", venue=FREE, limits=lax())
    made = desk(names=("a", "b"))

    batches = run(
        made,
        [log.ticks(*BOUGHT), log.change(msgspec.structs.replace(second, enabled=False))],
    )

    assert alerts(batches)[0][1] == "configuration_refused"
    assert "b/s holds 10" in alerts(batches)[0][2]


def test_tighter_limits_hold_at_once(run):
    log = Market()

    batches = run(desk(), [log.change(account("a", venue=FREE, limits=lax(max_quantity=5)), tick(101.0, 0.1))])

    [refused] = only(batches, "signal_rejected")
    assert [r.rule for r in refused.reasons] == ["max_quantity"]


def test_more_capital_is_money_and_no_profit(run):
    log = Market()
    richer = account("a", venue=FREE, limits=lax(), capital="9000000")
    made = desk()

    run(made, [log.ticks(*BOUGHT), log.change(richer)])

    row = made.desk.shard.accounts[0]
    assert (row["capital"], row["cash"], row["peak"]) == (9 * 10**12, 9 * 10**12 - 1_000 * 10**6, 9 * 10**12)


def test_a_kill_survives_every_change(run):
    log = Market()

    batches = run(
        desk(),
        [log.command("kill"), log.change(account("a", venue=FREE, limits=lax(max_quantity=99)), tick(101.0, 0.1))],
    )

    [refused] = only(batches, "signal_rejected")
    assert [r.rule for r in refused.reasons] == ["kill_switch"]


def test_an_instrument_waits_for_the_next_start(run):
    log = Market()

    batches = run(desk(), [log.change(instrument(2))])

    assert alerts(batches) == [
        (
            "info",
            "configuration_applied",
            "config.instruments 2 at offset 0: instruments change at the next start of the pipeline",
        )
    ]


def test_an_account_of_a_real_broker_is_refused_by_a_desk_of_paper_as_nobody_else_could(run):
    log = Market()
    other = AccountConfig("z", "zerodha")

    batches = run(desk(), [log.change(other, *BOUGHT), log.change(msgspec.structs.replace(other, enabled=False))])

    [(severity, code, message)] = alerts(batches)
    assert (severity, code) == ("warning", "configuration_refused")
    assert "no order gateway answers for broker zerodha yet" in message
    assert [(step, error) for step, error, _, _ in dead(batches)] == [("configuration", "refused")]
    assert fills(batches) == [("s", "BUY", 10, 10)]


# --- restarts ---------------------------------------------------------------------------------------------------------


def marker(log):
    return Received(marker=Marker({}, 1, log.ends.get("market.ticks", 0)))


def test_a_restart_goes_on_under_the_configuration_that_was_in_force_with_what_is_still_to_be_closed(run):
    log = Market()
    end = script(enabled=False, on_disable="flatten")
    items = [log.ticks(*BOUGHT), log.change(end), marker(log)]
    after = [log.ticks(tick(103.0, 0.5)), log.ticks(tick(104.0, 0.6), tick(101.0, 0.7))]
    made = desk()
    state = run(made, items)[-1].cut.state

    again = run(steps.restored(state, "paper", KEY), after)

    assert [p.events for p in again] == [p.events for p in run(made, after)]
    assert fills(again) == [("s", "SELL", 10, 0)]


def test_a_restart_takes_the_instruments_of_today_and_keeps_what_it_holds(run):
    log, later = Market({2: 0}), Market({1: 0, 2: 1, 3: 2})
    made = desk(instruments=[instrument(2)], strategies=[script(instruments=[2])])
    state = run(made, [log.ticks(*BOUGHT), marker(log)])[-1].cut.state

    made = steps.restored(state, "paper", KEY).with_instruments([instrument(1), instrument(2), instrument(3)])
    batches = run(made, [later.ticks(tick(102.0, 0.5, instrument=1), tick(102.5, 0.6, instrument=1))])

    assert fills(batches) == [("s", "SELL", 10, 0)]
    assert made.gate.seen["price"].tolist()[:3] == [0.0, 102.5, 0.0]


def test_a_restart_without_an_instrument_that_is_traded_is_refused(run):
    log = Market()
    made = desk(instruments=[instrument(1), instrument(2)])
    state = run(made, [log.ticks(*BOUGHT), marker(log)])[-1].cut.state

    with pytest.raises(ConfigError, match="1"):
        steps.restored(state, "paper", KEY).with_instruments([instrument(2)])


def test_a_change_that_changes_nothing_leaves_every_byte_of_the_state_as_it_was():
    """Under the same names a handover is a copy."""
    log = Market()
    items = [log.ticks(*BOUGHT, tick(102.0, 0.3))]
    plain, changed = desk(), desk()
    loop(plain, items)
    loop(changed, items)

    changed.desk._become(changed.desk.made_of)

    for name, array in plain.desk.shard.snapshot().items():
        assert np.array_equal(array, changed.desk.shard.snapshot()[name]), name
