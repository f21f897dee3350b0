"""A strategy is a guest: what it writes to what it is shown nobody else sees, and what it raises costs its tick alone."""

import numpy as np
import pytest

from functions.kernel import COMPILED, kernel
from functions.signals import SIGNAL
from strategies.protocol import strategy
from strategies.roster import Roster
from tests.desk import strategy as following
from tests.strategies import INSTRUMENTS, MARKET_DAY, SAMPLES, TOKENS, prices, signed

HERE = __name__


def beside(*implementations, ticks, whole=True):
    """What an innocent strategy wants beside these guests, the failures, and the ticks as they are left.

    Where the guests do not take all instruments the roster hands out copies of its own; else everybody gets the same rows.
    """
    guests = [
        following(f"a{n}", TOKENS if whole else TOKENS[:2], implementation=implementation)
        for n, implementation in enumerate(implementations)
    ]
    made = Roster(INSTRUMENTS, [*guests, following("z", TOKENS, implementation=f"{SAMPLES}:Counter")])
    signals, failures = made.on_batch(ticks)
    return signed(signals[signals["strategy"] == made.names.index("z")]), failures, ticks


# --- what it is shown -------------------------------------------------------------------------------------------------


@kernel
def halve(row):
    row.price = row.price / 2.0
    return row.price


@strategy(state=[("seen", "i8")])
def writes(state, tick, params):
    tick.price = tick.price / 100.0
    tick.instrument = 7
    tick.time = 0
    tick.bid_quantity = -1
    return 0


@strategy(state=[("seen", "i8")])
def writes_to_an_alias(state, tick, params):
    other = tick
    third = other
    third.price = -1.0
    return 0


@strategy(state=[("seen", "i8")])
def has_it_written_to(state, tick, params):
    return 1 if halve(tick) < 0.0 else 0


@strategy(state=[("seen", "i8")])
def writes_now_and_then(state, tick, params):
    """On a path that most ticks do not take."""
    state.seen += 1
    if state.seen % 7 == 3:
        tick.ask = 0.25
    return 0


class Overwrites:
    """A model of whole batches that writes to all that it is given."""

    def start(self, instruments):
        return []

    def on_batch(self, state, ticks):
        ticks["price"] = 1.0
        ticks["instrument"] = 0
        ticks.flags.writeable = True
        state.append(ticks)  # it keeps it, too
        state[0][:] = 0
        ticks.base[...] = 0


WRITERS = [
    *(f"{HERE}:{name}" for name in ("writes", "writes_to_an_alias", "has_it_written_to", "writes_now_and_then")),
    f"{HERE}:Overwrites",
]


@pytest.mark.parametrize("whole", [True, False], ids=["all instruments", "some"])
@pytest.mark.parametrize("guest", WRITERS)
def test_whatever_a_strategy_writes_to_its_ticks_nobody_else_sees_it(guest, whole):
    alone, _, _ = beside(ticks=MARKET_DAY.copy())

    wanted, failures, left = beside(guest, ticks=MARKET_DAY.copy(), whole=whole)

    assert (wanted, failures) == (alone, [])
    assert left.tobytes() == MARKET_DAY.tobytes()


@strategy(state=[("seen", "i8")], quantity=1)
def raises_its_own_quantity(state, tick, params):
    params.quantity = params.quantity + 1
    return params.quantity


def test_what_a_strategy_writes_to_its_parameters_is_gone_with_the_tick():
    made = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:raises_its_own_quantity")])

    signals, _ = made.on_batch(prices(1, 1, 1))

    assert signals["quantity"].tolist() == [2, 2, 2]


@strategy(state=[("seen", "i8")])
def goes_where_it_points(state, tick, params):
    """Writes to the tick's instrument, and wants something of the tick's all the same."""
    tick.instrument = 2
    return 1


def test_a_signal_is_for_the_ticks_own_instrument_whatever_is_written_there():
    made = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:goes_where_it_points")])

    signals, _ = made.on_batch(prices(1, 1, instrument=1))

    assert signals["instrument"].tolist() == [1, 1]


class Keeps:
    """Keeps the rows that it has returned and changes them with the next batch."""

    def start(self, instruments):
        return []

    def on_batch(self, state, ticks):
        for rows in state:
            rows["quantity"] = 9
        rows = np.zeros(len(ticks), SIGNAL)
        rows["row"], rows["quantity"], rows["side"], rows["product"] = np.arange(len(ticks)), 1, 1, -1
        state.append(rows)
        return rows


def test_what_a_strategy_has_answered_is_out_of_its_hands():
    made = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:Keeps")])

    first, _ = made.on_batch(prices(1, 1))
    made.on_batch(prices(1, 1))

    assert first["quantity"].tolist() == [1, 1]


# --- indexes ----------------------------------------------------------------------------------------------------------


@kernel
def _at(values, n):
    return values[n]


@strategy(state=[("seen", "i8"), ("window", "f8", 4)], place=4)
def reads_beyond(state, tick, params):
    state.seen += 1
    if tick.price == 13.0:
        return int(state.window[params.place])
    return 1


@strategy(state=[("seen", "i8"), ("window", "f8", 4)], place=4)
def writes_beyond(state, tick, params):
    state.seen += 1
    if tick.price == 13.0:
        state.window[params.place] = 1e9
    return 1


@strategy(state=[("seen", "i8"), ("window", "f8", 4)], place=4)
def has_another_read_beyond(state, tick, params):
    state.seen += 1
    if tick.price == 13.0:
        return int(_at(state.window, params.place))
    return 1


@pytest.mark.parametrize("place", [4, 10**12, -5, -(2**63)])
@pytest.mark.parametrize("name", ["reads_beyond", "writes_beyond", "has_another_read_beyond"])
def test_an_index_out_of_bounds_costs_the_tick_and_touches_nothing(name, place):
    made = Roster(
        INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:{name}", parameters={"place": place})]
    )  # fmt: skip

    signals, failures = made.on_batch(prices(1, 13, 1))

    assert signed(signals) == [(0, 0, 1), (2, 0, 1)]
    assert [(f.row, f.error) for f in failures] == [(1, "IndexError")]
    state = made._members[0].state
    assert (state["seen"].tolist(), state["window"].tolist()) == ([3, 0, 0], [[0.0] * 4] * 3)


@pytest.mark.parametrize("name", ["reads_beyond", "writes_beyond", "has_another_read_beyond"])
@pytest.mark.parametrize("place", [3, -4])
def test_the_first_and_the_last_index_are_within_bounds(name, place):
    made = Roster(
        INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:{name}", parameters={"place": place})]
    )  # fmt: skip

    _, failures = made.on_batch(prices(1, 13, 1))

    assert failures == []


# --- what it raises ---------------------------------------------------------------------------------------------------

RAISED = {
    error.__name__: error
    for error in (
        SystemExit,
        GeneratorExit,
        StopIteration,
        StopAsyncIteration,
        MemoryError,
        RecursionError,
        AssertionError,
    )
}


class Own(BaseException):
    """Nothing that anybody expects."""


RAISED["Own"] = Own


class Raises:
    """Buys one on every tick, and raises on the third."""

    fields = ("price",)

    def __init__(self, what: str = "SystemExit") -> None:
        self.what = what

    def on_tick(self, tick):
        if tick.price == 3.0:
            raise RAISED[self.what]
        return 1


class RaisesInTheMiddle(Raises):
    """What is raised while its answer is looked at is its own, too."""

    def on_tick(self, tick):
        return [1, *self._rest()] if tick.price == 3.0 else 1

    def _rest(self):
        what = self.what

        class Answer(list):
            def __len__(self):
                raise RAISED[what]

        yield Answer()


@pytest.mark.parametrize("what", RAISED)
@pytest.mark.parametrize("name", ["Raises", "RaisesInTheMiddle"])
def test_whatever_a_strategy_raises_costs_it_the_tick(name, what):
    made = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:{name}", parameters={"what": what})])

    signals, failures = made.on_batch(prices(1, 2, 3, 4))

    assert signed(signals) == [(0, 0, 1), (1, 0, 1), (3, 0, 1)]
    assert [f.row for f in failures] == [2]
    assert failures[0].error in (what, "TypeError")


class Recurses:
    fields = ("price",)

    def on_tick(self, tick):
        return self.on_tick(tick) if tick.price == 3.0 else 1


class Shadow:
    """Objects whose handler cannot even be looked up."""

    @property
    def on_tick(self):
        raise SystemExit(0)


def test_a_strategy_that_calls_itself_for_ever_loses_the_tick():
    made = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:Recurses")])

    signals, failures = made.on_batch(prices(1, 3, 1))

    assert (signed(signals), [(f.row, f.error) for f in failures]) == ([(0, 0, 1), (2, 0, 1)], [(1, "RecursionError")])


def test_a_strategy_without_a_handler_loses_every_tick_up_to_its_tenth():
    _, failures = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:Shadow")]).on_batch(
        prices(*range(1, 20))
    )

    assert [f.row for f in failures] == list(range(10))


def test_a_users_ctrl_c_is_not_the_strategys():
    made = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:Interrupted")])

    with pytest.raises(KeyboardInterrupt):
        made.on_batch(prices(1))


class Interrupted:
    def on_tick(self, tick):
        raise KeyboardInterrupt


def test_a_division_by_zero_is_infinity_when_compiled():
    if COMPILED:
        signals, failures = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:divides")]).on_batch(
            prices(1, 3, 1)
        )

        assert (signed(signals), failures) == ([(0, 0, 1), (1, 0, 1), (2, 0, 1)], [])


@strategy(state=[("seen", "i8")])
def divides(state, tick, params):
    return 1 if 1.0 / (tick.price - 3.0) > 0.0 or tick.price == 1.0 else 0
