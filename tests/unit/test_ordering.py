"""The feed's order, restored: what is early waits, what is late goes at once, a new session begins at its zero."""

import numpy as np
import pytest

from functions.ordering import UNORDERED, Reorder
from functions.ticks import TICK


def push(reorder, *numbers, session=1):
    """Pushes records named by their number (a pair names the session as well); answers with what is now in order."""
    pairs = [number if isinstance(number, tuple) else (session, number) for number in numbers]
    rows = np.zeros(len(pairs), TICK)
    rows["volume"] = [sequence for _, sequence in pairs]
    names = [sequence if s == session else (s, sequence) for s, sequence in pairs]
    return in_order(reorder.push(rows, names, [s for s, _ in pairs], [n for _, n in pairs]))


def in_order(ordered):
    """The records; their rows have come along with them."""
    numbers = [record[1] if isinstance(record, tuple) else record for record in ordered.records]
    assert ordered.rows["volume"].tolist() == numbers
    assert ordered.rows.dtype == TICK
    return ordered.records


def test_what_comes_in_order_goes_through_as_it_is():
    reorder = Reorder()

    assert push(reorder, 0, 1, 2) == [0, 1, 2]
    assert push(reorder, 3, 4) == [3, 4]
    assert (reorder.held, reorder.session, reorder.following) == (0, 1, 5)


def test_what_is_early_waits_until_the_missing_one_is_there():
    reorder = Reorder()

    assert push(reorder, 0, 2, 3) == [0]
    assert (reorder.held, reorder.waiting) == (2, [2, 3])
    assert push(reorder, 5) == []
    assert push(reorder, 1) == [1, 2, 3]
    assert push(reorder, 4) == [4, 5]


def test_nothing_happens_when_nothing_comes():
    reorder = Reorder(1, 5)

    assert push(reorder) == []
    assert (reorder.session, reorder.following) == (1, 5)


def test_a_repeated_or_late_number_goes_on_at_once_for_the_gate_to_judge():
    reorder = Reorder()
    push(reorder, 0, 1, 2)

    assert push(reorder, 1) == [1]
    assert push(reorder, 2, 3) == [2, 3]
    assert reorder.following == 4


def test_a_repeated_number_among_those_that_wait_comes_twice_in_order_of_arrival():
    reorder = Reorder()
    push(reorder, 0, 2, 2, 3)

    assert push(reorder, 1, 4) == [1, 2, 2, 3, 4]
    assert reorder.following == 5


def test_a_session_begins_with_its_zero():
    reorder = Reorder()

    assert push(reorder, 1, 2) == []
    assert push(reorder, 0) == [0, 1, 2]


def test_a_new_session_goes_on_after_the_old_one():
    reorder = Reorder()

    assert push(reorder, 0, 1, (2, 0), (2, 1)) == [0, 1, (2, 0), (2, 1)]
    assert (reorder.session, reorder.following) == (2, 2)
    assert push(reorder, 7) == [7]  # of a session that is over: late


def test_a_session_whose_zero_has_not_come_waits():
    reorder = Reorder()

    assert push(reorder, 0, (2, 1)) == [0]
    assert push(reorder, (2, 0)) == [(2, 0), (2, 1)]


def test_a_new_session_waits_behind_a_gap_of_the_old_one():
    reorder = Reorder()

    assert push(reorder, 0, 2, (2, 0), (2, 1)) == [0]
    assert push(reorder, 1) == [1, 2, (2, 0), (2, 1)]


def test_giving_up_hands_out_everything_held_and_goes_on_after_it():
    reorder = Reorder()
    push(reorder, 0, 2, 5, 4)

    assert in_order(reorder.release()) == [2, 4, 5]
    assert (reorder.held, reorder.following) == (0, 6)
    assert push(reorder, 3, 6) == [3, 6]  # three came too late and is judged by the gate


def test_giving_up_when_nothing_is_held_changes_nothing():
    reorder = Reorder(3, 7)

    assert in_order(reorder.release()) == []
    assert (reorder.session, reorder.following) == (3, 7)


def test_giving_up_moves_to_the_newest_session_held():
    reorder = Reorder()
    push(reorder, 0, 2, (2, 3))

    assert in_order(reorder.release()) == [2, (2, 3)]
    assert (reorder.session, reorder.following) == (2, 4)


def test_a_record_without_a_number_keeps_its_place_among_those_that_arrived():
    reorder = Reorder()

    assert push(reorder, 0, UNORDERED, 1) == [0, UNORDERED, 1]
    assert push(reorder, UNORDERED, UNORDERED) == [UNORDERED, UNORDERED]
    assert push(reorder, 2) == [2]


def test_a_record_without_a_number_pushes_what_is_held_before_it():
    reorder = Reorder()

    assert push(reorder, 0, 3, UNORDERED, 1) == [0, 3, UNORDERED, 1]
    assert reorder.held == 0


def test_a_market_without_numbers_keeps_its_order_of_arrival():
    reorder = Reorder()

    assert push(reorder, *[UNORDERED] * 3) == [UNORDERED] * 3
    assert (reorder.held, reorder.following) == (0, 0)


@pytest.mark.parametrize("numbers", [(5, 7, 6), (5, 6, 8), (5, 6, 6), (6, 5, 7), (4, 5, 6)])
def test_a_batch_that_only_looks_continuous_is_not_waved_through(numbers):
    reorder = Reorder(1, 5)

    handed = push(reorder, *numbers)
    assert handed + in_order(reorder.release()) == sorted(numbers)


def test_a_batch_of_two_sessions_with_running_numbers_is_not_one_session():
    reorder = Reorder(1, 5)

    assert push(reorder, 5, (2, 6), 7) == [5]
    assert push(reorder, 6) == [6, 7]


def test_a_restart_goes_on_where_the_snapshot_ended():
    reorder = Reorder(session=4, following=100)

    assert push(reorder, 101, 102, session=4) == []
    assert push(reorder, 100, session=4) == [100, 101, 102]
