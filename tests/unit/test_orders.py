"""Orders: the whole state machine written out, and that an illegal step is told and is no step."""

from itertools import product

import numpy as np
import pytest

from functions.account import SHARD
from functions.alerts import ALERT, ILLEGAL_TRANSITION, move
from functions.kernel import entry, records
from functions.orders import (
    ACKNOWLEDGE,
    EVENTS,
    FAIL,
    FAILED,
    FILL_ALL,
    FILL_PART,
    FILLED,
    ILLEGAL,
    KINDS,
    NEW,
    ORDER,
    PLACE,
    PLACED,
    PRODUCTS,
    REASONS,
    SENT,
    SENT_AND_PLACED,
    STATES,
    SUBMIT,
    TOLD_ACK,
    TOLD_PLACED,
    TOLD_SUBMITTED,
    TRIGGER,
    advance,
    next_state,
)  # fmt: skip
from tests.desk import Desk, tick

LEGAL = {
    ("new", "submit"): "submitted",
    ("submitted", "acknowledge"): "acknowledged",
    ("submitted", "fail"): "failed",
    ("acknowledged", "place"): "placed",
    ("acknowledged", "fail"): "failed",
    ("placed", "trigger"): "triggered",
    ("placed", "fill_part"): "placed",
    ("placed", "fill_all"): "filled",
    ("placed", "fail"): "failed",
    ("triggered", "fill_part"): "triggered",
    ("triggered", "fill_all"): "filled",
    ("triggered", "fail"): "failed",
}


@entry
def compiled_advance(orders, event):
    return advance(orders[0], event)


@entry
def compiled_move(shards, alerts, orders, event):
    move(shards[0], alerts, orders[0], event)


def order_in(state):
    orders = np.zeros(1, ORDER)
    orders["state"], orders["number"] = state, 17
    return orders


@pytest.mark.parametrize(("state", "event"), list(product(STATES, EVENTS)), ids=lambda name: name)
def test_every_transition_is_legal_or_refused_as_the_table_says(state, event):
    expected = LEGAL.get((state, event))
    orders = order_in(STATES.index(state))

    after = next_state(STATES.index(state), EVENTS.index(event))
    moved = compiled_advance(records(orders), EVENTS.index(event))

    assert (None if after == ILLEGAL else STATES[after]) == expected
    assert (bool(moved), STATES[orders["state"][0]]) == ((True, expected) if expected else (False, state))


@pytest.mark.parametrize("final", [FILLED, FAILED])
def test_nothing_happens_to_an_order_that_is_over(final):
    assert {next_state(int(final), event) for event in range(len(EVENTS))} == {ILLEGAL}


@pytest.mark.parametrize(
    ("history", "ends"),
    [
        ([SUBMIT, ACKNOWLEDGE, PLACE, FILL_ALL], "filled"),
        ([SUBMIT, ACKNOWLEDGE, PLACE, TRIGGER, FILL_PART, FILL_PART, FILL_ALL], "filled"),
        ([SUBMIT, ACKNOWLEDGE, PLACE, FILL_PART, FAIL], "failed"),
        ([SUBMIT, FAIL], "failed"),
    ],
)
def test_the_life_of_an_order(history, ends):
    orders = order_in(NEW)

    assert all(compiled_advance(records(orders), event) for event in history)
    assert STATES[orders["state"][0]] == ends


def test_an_illegal_step_is_an_alert_and_no_step():
    orders, shards, alerts = order_in(FILLED), np.zeros(1, SHARD), np.zeros(2, ALERT)
    shards["now"] = 5

    compiled_move(records(shards), records(alerts), records(orders), FILL_PART)

    assert int(orders["state"][0]) == FILLED
    assert int(shards["alerts_told"][0]) == 1
    told = alerts[0]
    assert [int(told[f]) for f in ("time", "code", "account", "observed", "limit")] == [5, 0, -1, 17, FILL_PART]


def test_beyond_the_room_for_alerts_only_the_repetition_is_lost():
    orders, shards, alerts = order_in(FILLED), np.zeros(1, SHARD), np.zeros(1, ALERT)

    for _ in range(3):
        compiled_move(records(shards), records(alerts), records(orders), FILL_PART)

    assert (int(shards["alerts_told"][0]), int(shards["ordinal"][0])) == (1, 1)


def test_a_desk_that_trades_never_takes_an_illegal_step():
    desk = Desk()

    desk.run(
        tick(100.0, 1).buy(5).sell(5, kind="LIMIT", limit=101.0), tick(101.0, 2).buy(1, kind="SL-M", trigger=102.0),
        tick(102.0, 3), tick(102.0, 86_400),
    )  # fmt: skip

    assert ILLEGAL_TRANSITION not in desk.rows("alerts")["code"]
    assert len(desk.fills) == 4  # the last of them by the broker: the share that was left over


def test_what_is_told_at_once_is_one_row():
    assert TOLD_SUBMITTED | TOLD_ACK == SENT
    assert SENT | TOLD_PLACED == SENT_AND_PLACED


def test_the_words_are_those_of_the_exchange():
    assert KINDS == ("MARKET", "LIMIT", "SL", "SL-M")
    assert PRODUCTS == ("MIS", "CNC", "NRML")
    assert REASONS == ("", "expired", "cancelled", "session_end", "square_off", "at_last_price")
    assert STATES[int(PLACED)] == "placed"
