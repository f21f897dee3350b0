"""States of strategies as bytes: what cannot be kept is named, and two states are the same whatever objects they share."""

import pickle
import threading
import time

import pytest

from dataflows.hosts import BacktestHost
from strategies.parameters import StrategyError
from strategies.roster import Roster, same_states
from strategies.states import Unkept, canonical, packed, unpacked
from tests.desk import strategy as following
from tests.strategies import INSTRUMENTS, SAMPLES, TOKENS, prices, signed

HERE = __name__


class Odd(Exception):
    """An error that is written and cannot be read: it is made again of fewer arguments than it takes."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)


class Exits:
    def __reduce__(self):
        raise SystemExit(3)


class Sleeps:
    def __reduce__(self):
        time.sleep(1e6)


MADE = {
    "a lock": threading.Lock,
    "a function": lambda: lambda: 0,
    "a generator": lambda: (n for n in ()),
    "an error": lambda: Odd("a", "b"),
    "one that exits": Exits,
    "one that sleeps": Sleeps,
}
WORDS = {
    "a lock": "TypeError: cannot pickle '_thread.lock' object",
    "a function": "Can't pickle",
    "a generator": "TypeError: cannot pickle 'generator' object",
    "an error": "TypeError: Odd.__init__() missing 1 required positional argument: 'other'",
    "one that exits": "SystemExit: 3",
    "one that sleeps": "Overdue: no end of it within 0.3 s",
}


class Keeps:
    """Keeps something from its second tick on."""

    fields = ("price",)

    def __init__(self, what: str = "", at_once: bool = False) -> None:
        self.what, self.seen = what, 0
        self.kept = MADE[what]() if at_once else None

    def on_tick(self, tick):
        self.seen += 1
        if self.seen == 2:
            self.kept = MADE[self.what]()
        return self.seen


def keeping(what, host=None, **more):
    configured = [
        following("a", TOKENS, implementation=f"{HERE}:Keeps", parameters={"what": what, **more}),
        following("z", TOKENS, implementation=f"{SAMPLES}:Counter"),
    ]
    return Roster(INSTRUMENTS, configured, host)


@pytest.mark.parametrize("what", MADE)
def test_a_strategy_that_keeps_what_cannot_be_kept_is_named_with_the_reason(what):
    with BacktestHost(0.3) as host:
        made = keeping(what, host)
        made.on_batch(prices(1))
        made.to_bytes()
        made.on_batch(prices(1))

        with pytest.raises(Unkept) as unkept:
            made.to_bytes()

    assert unkept.value.strategy == "a"
    assert unkept.value.reason.startswith("keeps what cannot be kept (")
    assert WORDS[what] in unkept.value.reason


def test_one_that_is_suspended_has_no_state_and_the_others_keep_theirs():
    made, again = keeping("a lock"), keeping("a lock")
    made.on_batch(prices(1, 1))

    made.suspend("a")
    again.load(made.to_bytes())

    signals, _ = again.on_batch(prices(1, 1))
    assert signed(signals) == [(0, 0, 1), (1, 0, 1)]  # the other's, which has counted so far
    assert set(signals["strategy"].tolist()) == {1}


def test_a_strategy_that_could_not_be_kept_from_the_beginning_is_refused():
    keeping("a lock").prove()
    with pytest.raises(StrategyError, match=r"strategy a keeps what cannot be kept \(TypeError.*must be picklable"):
        keeping("a lock", at_once=True).prove()


def test_a_roster_that_takes_another_over_goes_on_as_that_one_did():
    """Also with what could not be written: nothing is."""
    made, other = keeping("a function"), keeping("a function")
    made.on_batch(prices(1, 1, 1))

    other.take_over(made)

    signals, _ = other.on_batch(prices(1))
    assert signed(signals) == [(0, 0, 4), (0, 0, 1)]


def test_a_roster_that_takes_another_over_suspends_whom_that_one_had_suspended():
    made, other = keeping("a lock"), keeping("a lock")
    made.suspend("a")

    other.take_over(made)

    signals, _ = other.on_batch(prices(1, 1))
    assert set(signals["strategy"].tolist()) == {1}


class Refuses:
    """Answers nothing that counts."""

    fields = ("price",)

    def on_tick(self, tick):
        return "no"


def test_a_roster_that_takes_another_over_counts_on_from_its_failures():
    made, other = (Roster(INSTRUMENTS, [following("r", TOKENS, implementation=f"{HERE}:Refuses")]) for _ in range(2))
    made.on_batch(prices(1, 1, 1))

    other.take_over(made)

    assert [failure.count for failure in other.on_batch(prices(1))[1]] == [4]


def test_nobody_is_suspended_by_a_name_that_there_is_not():
    made = keeping("a lock")
    made.suspend("nobody")

    assert len(made.on_batch(prices(1))[0]) == 1


# --- the same ---------------------------------------------------------------------------------------------------------


class Says:
    """Keeps text that it finds in its code, or was given in a snapshot: equal, and not one object."""

    fields = ("price",)

    def __init__(self) -> None:
        self.last = "nothing"
        self.pair = ("a", 1)

    def on_tick(self, tick):
        self.last = "calm"
        self.pair = ("calm", 1.5)
        return 0


def says():
    return Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:Says")])


def test_states_are_the_same_whether_their_texts_are_one_object_or_two():
    through, straight = says(), says()
    straight.on_batch(prices(1))
    through.on_batch(prices(1))
    again = says()
    again.load(through.to_bytes())
    for made in (again, straight):
        made.on_batch(prices(1, instrument=1))

    assert again.to_bytes() != straight.to_bytes()
    assert same_states(again.to_bytes(), straight.to_bytes())


def test_states_that_differ_in_anything_are_not_the_same():
    one, other = says(), says()
    other.on_batch(prices(1))
    suspended = says()
    suspended.suspend("s")

    assert not same_states(one.to_bytes(), other.to_bytes())
    assert not same_states(one.to_bytes(), suspended.to_bytes())
    assert not same_states(one.to_bytes(), b"")
    assert not same_states(one.to_bytes(), keeping("a lock").to_bytes())


def test_what_is_shared_and_changes_is_not_taken_for_text():
    shared = [1]
    one, other = [shared, shared], [[1], [1]]

    assert canonical(pickle.dumps(one), "m:X") != canonical(pickle.dumps(other), "m:X")
    assert unpacked(packed(one, "m:X"), "m:X") == one


@pytest.mark.parametrize("kind", [set, frozenset])
def test_sets_of_the_same_elements_are_the_same_whatever_their_order(kind):
    """0 and 8 collide: the one that came first is walked over first."""
    one, other = kind([0, 8]), kind([8, 0])

    assert pickle.dumps(one) != pickle.dumps(other)
    assert canonical(pickle.dumps([one]), "m:X") == canonical(pickle.dumps([other]), "m:X")
    assert canonical(pickle.dumps(one), "m:X") != canonical(pickle.dumps(kind([0, 9])), "m:X")
    assert canonical(pickle.dumps({0}), "m:X") != canonical(pickle.dumps(frozenset({0})), "m:X")


def test_a_tuple_that_holds_itself_is_kept():
    loop: list = []
    loop.append((loop, "text"))

    assert unpacked(canonical(packed(loop, "m:X"), "m:X"), "m:X")[0][1] == "text"


def test_a_set_that_holds_itself_is_kept_and_is_the_same_only_to_the_byte():
    holder = Says()
    holder.last = {holder}

    with pytest.raises(RecursionError):
        canonical(packed(holder, f"{HERE}:Says"), f"{HERE}:Says")
