"""A change of configuration, then a snapshot before the next tick: what it ended is told once, before and after a restart."""

from connectors.kafka.feed import Marker
from dataflows import steps
from functions.events import PaperVenue
from tests.desk import tick
from tests.flow.script import KEY, desk, loop, told
from tests.flow.test_hot_configuration import Market, only, script

LATE = PaperVenue(price="last", charges=False, latency_ms=500)


def marked(received):
    received.marker = Marker({}, 1, 1)
    return received


def test_orders_cancelled_by_a_change_without_a_tick_are_told_with_that_change():
    log = Market()

    ordered, changed = loop(
        desk(venue=LATE), [log.ticks(tick(101.0, 0.1)), log.change(script(enabled=False, on_disable="flatten"))]
    )

    [order] = only([ordered], "order_submitted")
    assert [type(event.data).__name__ for _, event in told([changed])] == ["OrderFailed", "SystemAlert"]
    [failed] = only([changed], "order_failed")
    assert (failed.order_id, failed.reason, failed.remaining) == (order.order_id, "cancelled", 10)


def test_a_restart_between_that_change_and_the_next_tick_tells_nothing_again():
    log = Market()
    before = loop(
        desk(venue=LATE),
        [log.ticks(tick(101.0, 0.1)), marked(log.change(script(enabled=False, on_disable="flatten")))],
    )
    made = steps.restored(before[-1].cut.state, "paper", KEY)

    after = loop(made, [log.ticks(tick(100.0, 0.9), tick(99.0, 1.2))])

    assert len(only(before, "order_failed")) == 1
    assert [event.type for _, event in told(after)] == ["pnl_snapshot"]
