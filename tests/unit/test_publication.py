"""Publication: every row becomes the event that the structs would make, byte for byte, in the order it was decided."""

from collections import Counter

import msgspec
import numpy as np
import pytest

from functions import topics
from functions.alerts import ALERT, ILLEGAL_TRANSITION
from functions.codec import decode, encode
from functions.configuration import validate_strategy
from functions.events import PaperVenue
from functions.ids import event_id
from functions.press import average_price
from functions.publication import Publication, Publisher
from functions.shard import NO_DECISIONS, Decisions, Shard
from functions.signals import NO_SIGNALS
from functions.ticks import NO_TICKS
from tests.desk import FREE, TEN, account, instrument, lax, signal_rows, strategy, tick, tick_name, tick_rows
from tests.market import orders_for, walk
from tests.tables import TABLES

TIGHT = lax(max_position=15, max_orders_per_second=6, duplicate_window_ms=40, max_daily_loss="300", max_open_orders=30)


class Wire:
    """One shard and its publisher; `run` answers with the events of a batch."""

    def __init__(self, *, venue=FREE, limits=None, capital="1000000", accounts=("a",), names=("s",), instruments=None):
        self.shard = Shard(
            instruments or [instrument(1), instrument(2)],
            [account(a, venue=venue, limits=limits or lax(), capital=capital) for a in accounts],
            [strategy(name, (1, 2), accounts) for name in names],
            TABLES,
        )
        self.publisher = Publisher(self.shard, "paper")
        self.raw: list[Publication] = []

    def run(self, *ticks):
        rows, signals = tick_rows(ticks), signal_rows(ticks)
        decided = self.shard.run(rows, signals)
        self.raw = self.publisher.publish(rows, signals, decided, tick_name)
        return [decode(value) for _, _, value, _ in self.raw]

    @property
    def told(self):
        return [topic.removeprefix("paper.") for topic, _, _, _ in self.raw]


def only(events, type):
    return [event.data for event in events if event.type == type]


# --- bytes ------------------------------------------------------------------------------------------------------------


def busy_day():
    """Two accounts, two strategies, all kinds of orders, refusals, expiries and a halt."""
    tokens = list(range(1, 6))
    shard = Shard(
        [instrument(t) for t in tokens],
        [
            account("a", limits=TIGHT, venue=PaperVenue(slippage_bps="3", latency_ms=12)),
            account("b", venue=PaperVenue()),
        ],
        [strategy("s0", tokens, ["a", "b"]), strategy("s1", tokens, ["b"], product="CNC")],
        TABLES,
    )
    ticks = walk(2_000, 5, 0.002, 3, step_ns=7_000_000)
    ticks["time"][1_000:] += 86_400 * 10**9
    signals = orders_for(ticks, 1_500, 2, 5)
    decided = shard.run(ticks, signals)
    return Publisher(shard, "paper").publish(ticks, signals, decided, tick_name)


BUSY = busy_day()


def test_the_assembled_json_is_what_the_structs_would_encode():
    for topic, _, raw, _ in BUSY:
        assert encode(decode(raw)) == raw, topic


def test_the_busy_day_has_every_kind_of_event():
    kinds = Counter(decode(raw).type for _, _, raw, _ in BUSY)

    assert set(kinds) == {
        "trading_signal", "signal_validated", "signal_rejected", "order_submitted", "order_ack", "order_placed",
        "order_filled", "order_failed", "pnl_snapshot", "system_alert",
    }  # fmt: skip


def test_no_two_events_share_an_id():
    ids = [decode(raw).id for _, _, raw, _ in BUSY]

    assert len(set(ids)) == len(ids)


def test_every_event_goes_to_the_topic_that_carries_it():
    carries = {t.of("paper").name: t.payloads for t in topics.SHARED + topics.PER_BROKER}

    assert all(decode(raw).type in carries[topic] for topic, _, raw, _ in BUSY)


def test_every_cause_is_told_before_its_effect():
    seen = set()
    for _, _, raw, _ in BUSY:
        event = decode(raw)
        assert event.causation_id is None or event.causation_id in seen or event.causation_id.endswith(tick_name(0)[8:])
        seen.add(event.id)


def test_the_events_of_one_order_share_its_key_so_that_they_keep_their_order():
    keys: dict[str, set[bytes]] = {}
    for topic, key, raw, _ in BUSY:
        if ".orders." in topic:
            keys.setdefault(decode(raw).data.order_id, set()).add(key)

    assert all(len(k) == 1 for k in keys.values())
    assert len(keys) > 100


# --- one event of each kind, written out ------------------------------------------------------------------------------


def test_a_signal_says_what_is_wanted_and_at_what_price():
    wire = Wire()

    signal, *_ = wire.run(tick(100.05, 1).buy(7, kind="SL", limit=101.0, trigger=100.5, product="CNC"))

    assert wire.raw[0][:2] == ("paper.signals.raw", b"s:1")
    assert signal.id == signal.data.signal_id == event_id(TEN + 10**9, tick_name(0), "signal:s:0")
    assert signal.correlation_id == signal.causation_id == tick_name(0)
    data = {f: getattr(signal.data, f) for f in signal.data.__struct_fields__ if f != "signal_id"}
    assert data == {
        "strategy": "s", "instrument_token": 1, "side": "BUY", "quantity": 7, "kind": "SL", "product": "CNC",
        "price": 100.05, "limit_price": 101.0, "trigger_price": 100.5,
    }  # fmt: skip


def test_a_signal_without_prices_has_none_and_its_strategys_product():
    [data] = only(Wire().run(tick(100.0, 1).sell(1)), "trading_signal")

    assert (data.side, data.kind, data.product, data.limit_price, data.trigger_price) == (
        "SELL",
        "MARKET",
        "MIS",
        None,
        None,
    )


def test_an_accepted_order_is_told_through_all_its_stages_to_the_trade():
    wire = Wire()

    events = wire.run(tick(100.0, 1).buy(5), tick(100.5, 1.5))

    assert wire.told == [
        "signals.raw", "signals.validated", "orders.submitted", "orders.ack", "orders.placed", "orders.filled",
    ]  # fmt: skip
    signal, validated, submitted, ack, placed, filled = events
    order = validated.data.order_id
    assert order == submitted.id == submitted.data.order_id == ack.data.order_id == placed.data.order_id
    assert validated.data.signal_id == submitted.data.signal_id == signal.id
    assert (submitted.data.tradingsymbol, submitted.data.exchange, submitted.data.validity) == ("S1", "NSE", "DAY")
    assert (ack.data.broker_order_id, placed.data.broker_order_id, placed.data.quantity) == (order, order, 5)
    data = {f: getattr(filled.data, f) for f in filled.data.__struct_fields__ if f != "order_id"}
    assert data == {
        "account": "a", "strategy": "s", "instrument_token": 1, "tradingsymbol": "S1", "side": "BUY", "quantity": 5,
        "remaining": 0, "price": "100.50", "value": "502.50", "charges": "0.00", "realised_pnl": "0.00", "position": 5,
        "average_price": "100.50", "slippage": "0.50",
    }  # fmt: skip


def test_a_sale_that_closes_realises_and_slips_the_other_way():
    wire = Wire()
    wire.run(tick(100.0, 1).buy(5), tick(100.0, 2))

    [sale] = only(wire.run(tick(103.0, 3).sell(5), tick(102.5, 3.5)), "order_filled")

    assert (sale.side, sale.realised_pnl, sale.position, sale.average_price, sale.slippage) == (
        "SELL", "12.50", 0, "0.00", "0.50",
    )  # fmt: skip


def test_a_late_venue_places_the_order_when_it_has_arrived():
    wire = Wire(venue=PaperVenue(price="last", charges=False, latency_ms=100))

    wire.run(tick(100.0, 1).buy(5), tick(100.0, 1.05))
    first = wire.told
    wire.run(tick(101.0, 1.1))

    assert first == ["signals.raw", "signals.validated", "orders.submitted", "orders.ack"]
    assert wire.told == ["orders.placed", "orders.filled"]


def test_an_order_that_its_session_did_not_fill_ends_under_its_old_key():
    wire = Wire()
    wire.run(tick(100.0, 1).buy(5, kind="LIMIT", limit=90.0, product="CNC"))
    key = wire.raw[-1][1]

    events = wire.run(tick(100.0, 86_400))

    [failed] = only(events, "order_failed")
    assert (failed.reason, failed.remaining) == ("session_end", 5)
    assert (
        [k for topic, k, _, _ in wire.raw if topic == "paper.orders.failed"]
        == [key]
        == [f"s:1:{TEN // 1000 + 10**6}".encode()]
    )
    assert wire.publisher.working == []


def test_each_fill_of_one_order_is_an_event_of_its_own():
    wire = Wire(venue=PaperVenue(charges=False))
    quoted = {"bid": 100.0, "ask": 100.05, "bid_quantity": 2, "ask_quantity": 2}

    events = wire.run(tick(100.0, 1, **quoted).buy(5), *(tick(100.0, 1.1 + 0.1 * n, **quoted) for n in range(4)))

    fills = [event for event in events if event.type == "order_filled"]
    assert [(f.data.quantity, f.data.remaining, f.data.position) for f in fills] == [(2, 3, 2), (2, 1, 4), (1, 0, 5)]
    assert len({f.id for f in fills}) == 3
    assert {f.causation_id for f in fills} == {fills[0].data.order_id}


def test_a_refusal_names_every_rule_with_its_limit_and_what_was_observed():
    wire = Wire(limits=lax(max_quantity=10, max_order_value="500"))

    signal, refused = wire.run(tick(100.0, 1).buy(11))

    assert wire.told == ["signals.raw", "signals.rejected"]
    assert (refused.causation_id, refused.data.signal_id, refused.data.quantity, refused.data.side) == (
        signal.id,
        signal.id,
        11,
        "BUY",
    )
    assert [(r.rule, r.limit, r.observed) for r in refused.data.reasons] == [
        ("max_quantity", "10", "11"), ("max_order_value", "500.00", "1100.00"),
    ]  # fmt: skip


def test_one_signal_is_told_once_and_answered_by_each_account():
    wire = Wire(accounts=("a", "b"))

    events = wire.run(tick(100.0, 1).buy(5))

    assert wire.told == ["signals.raw"] + ["signals.validated", "orders.submitted", "orders.ack", "orders.placed"] * 2
    assert [v.account for v in only(events, "signal_validated")] == ["a", "b"]
    assert len({e.id for e in events}) == 9


def test_a_signal_that_no_account_follows_is_told_all_the_same():
    shard = Shard([instrument(1)], [account("a")], [strategy("s", (1,), ())], TABLES)
    ticks = [tick(100.0, 1).buy(5)]
    signals = signal_rows(ticks)

    out = Publisher(shard, "paper").publish(
        tick_rows(ticks), signals, shard.run(tick_rows(ticks), signals), lambda row: tick_name(0)
    )

    assert [topic for topic, _, _, _ in out] == ["paper.signals.raw"]


def test_two_signals_of_one_strategy_on_one_tick_are_two_events():
    first, second = only(Wire().run(tick(100.0, 1).buy(5).sell(2)), "trading_signal")

    assert first.signal_id != second.signal_id


def test_a_snapshot_shows_the_account_its_strategies_and_their_open_positions():
    wire = Wire(names=("s", "t"))
    wire.run(
        tick(100.0, 0.1).buy(4, strategy=0).sell(2, strategy=1), tick(50.0, 0.2, instrument=1).buy(3, strategy=0),
        tick(100.0, 0.3), tick(50.0, 0.4, instrument=1), tick(101.0, 0.5),
    )  # fmt: skip

    [snapshot] = only(wire.run(tick(51.0, 1.5, instrument=1)), "pnl_snapshot")

    account_level = {f: getattr(snapshot, f) for f in snapshot.__struct_fields__ if f != "strategies"}
    assert account_level == {
        "account": "a", "cash": "999650.00", "realised": "0.00", "unrealised": "2.00", "charges": "0.00", "net_pnl": "2.00",
        "equity": "1000002.00", "gross_exposure": "756.00", "peak_equity": "1000002.00", "max_drawdown": "0.00",
    }  # fmt: skip
    assert wire.raw[0][:2] == ("paper.pnl.snapshots", b"a")
    by_strategy = {
        s.strategy: [(p.instrument_token, p.quantity, p.average_price, p.last_price, p.unrealised) for p in s.positions]
        for s in snapshot.strategies
    }
    assert {name: sorted(held) for name, held in by_strategy.items()} == {
        "s": [(1, 4, "100.00", "101.00", "4.00"), (2, 3, "50.00", "50.00", "0.00")],
        "t": [(1, -2, "100.00", "101.00", "-2.00")],
    }
    assert {s.strategy: s.net_pnl for s in snapshot.strategies} == {"s": "4.00", "t": "-2.00"}


def test_a_daily_loss_is_told_to_a_human_once():
    wire = Wire(limits=lax(max_daily_loss="10"))

    events = wire.run(tick(100.0, 0.1).buy(5), tick(100.0, 0.2), tick(97.9, 0.5), tick(97.0, 1.5), tick(96.0, 2.5))

    [alert] = only(events, "system_alert")
    assert (alert.severity, alert.code, alert.subject) == ("critical", "daily_loss_halt", "a")
    assert alert.message == "lost 10.50 today, the limit is 10.00: no new exposure until tomorrow"


def test_an_illegal_transition_is_told_with_the_order_and_the_event():
    alerts = np.zeros(1, ALERT)
    alerts[0] = (TEN, 7, 42, 5, ILLEGAL_TRANSITION, -1)
    wire = Wire()

    [(topic, _, raw, _)] = wire.publisher.publish(
        NO_TICKS, NO_SIGNALS, Decisions(*NO_DECISIONS[:4], alerts), lambda row: "never"
    )

    assert topic == "system.alerts"
    alert = decode(raw).data
    assert (alert.code, alert.subject) == ("illegal_transition", "shard")
    assert alert.message == "order 42 met an event its state does not allow (5)"


def test_an_alert_may_quote_anything():
    message = 'he said "no"\n\\ ₹ \x00'

    _, _, raw, _ = Wire().publisher.alert(TEN, "x", "info", "odd", message, 'sub"ject')

    assert (decode(raw).data.message, decode(raw).data.subject) == (message, 'sub"ject')
    assert encode(decode(raw)) == raw


def test_a_symbol_may_have_any_characters():
    odd = msgspec.structs.replace(instrument(1), tradingsymbol='M&M "5"\\')
    wire = Wire(instruments=[odd, instrument(2)])

    events = wire.run(tick(100.0, 1).buy(1), tick(100.0, 2))

    assert only(events, "order_filled")[0].tradingsymbol == 'M&M "5"\\'


@pytest.mark.parametrize("name", ["s", "mean-reversion_21", "0", "a" * 40])
def test_a_strategys_name_is_told_as_configured(name):
    assert not [fault for fault in validate_strategy(strategy(name)) if fault.startswith("strategy")]
    wire = Wire(names=(name,))

    events = wire.run(tick(100.0, 1).buy(1).buy(2_000_000), tick(100.0, 2), tick(100.0, 3))

    assert {e.data.strategy for e in events if hasattr(e.data, "strategy")} == {name}


def test_nothing_decided_is_nothing_published():
    wire = Wire()

    assert wire.run(tick(100.0, 1), tick(101.0, 2)) == []


# --- numbers and state ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "position", "average"),
    [(300, 3, 100), (301, 3, 100), (302, 3, 101), (-301, -2, 151), (1, 2, 1), (0, 0, 0), (5, 0, 0)],
)
def test_an_average_price_is_rounded_half_up_and_nothing_when_flat(cost, position, average):
    assert average_price(cost, position) == average


def test_an_order_of_the_cut_off_says_so_and_follows_from_the_alert_of_its_account():
    wire = Wire()
    wire.run(tick(100.0, 1).buy(5), tick(100.0, 2))

    events = wire.run(tick(101.0, 19_201))

    [alert] = [event for event in events if event.type == "system_alert"]
    [order] = [event for event in events if event.type == "order_submitted"]
    assert (alert.data.code, alert.data.subject) == ("square_off_at_market", "a")
    assert (order.data.origin, order.data.signal_id, order.causation_id) == ("square_off", alert.id, alert.id)
    assert (order.data.side, order.data.quantity, order.data.product) == ("SELL", 5, "MIS")
    assert only(wire.run(tick(101.0, 86_400).buy(6)), "order_submitted")[0].origin is msgspec.UNSET


def test_of_another_publishers_orders_those_are_taken_over_that_move_and_no_others():
    theirs, mine = Wire(), Wire()
    resting = (
        tick(100.0, 1)
        .buy(5, kind="LIMIT", limit=99.0)
        .buy(6, kind="LIMIT", limit=98.0)
        .buy(7, kind="LIMIT", limit=97.0)
    )
    theirs.run(resting)
    mine.shard.shard["numbered"] = 10
    mine.run(tick(100.0, 1).buy(5, kind="LIMIT", limit=99.0))

    mine.publisher.add(theirs.publisher.to_bytes(), {2})

    assert theirs.publisher.working == [1, 2, 3]
    assert mine.publisher.working == [2, 11]


def test_working_orders_are_known_again_after_a_restart():
    first = Wire()
    first.run(tick(100.0, 1).buy(5, kind="LIMIT", limit=99.0))
    again = Wire()
    again.shard.load(first.shard.to_bytes())
    again.publisher.load(first.publisher.to_bytes())

    assert first.run(tick(98.0, 2)) == again.run(tick(98.0, 2))
    assert "orders.filled" in again.told
    assert again.publisher.working == first.publisher.working == []
