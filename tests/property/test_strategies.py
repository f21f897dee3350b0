"""What holds for every market and every way to cut it: strategies see ticks, never batches, and only their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.protocol import Parameter, Signal, StrategyError, checked
from strategies.registry import built_ins, parameters_of
from strategies.registry import load as load_strategy
from strategies.roster import MAX_FAILURES, Roster
from tests.desk import instrument, strategy
from tests.effort import examples
from tests.market import walk

HERE = __name__
TOKENS = [11, 22, 33]
INSTRUMENTS = [instrument(t) for t in TOKENS]
COUNT = 300


class Moody:
    """Raises on every `nth` tick of an instrument, asks for something on every other one."""

    fields = ("price", "instrument_token")

    def __init__(self, nth: int = 5) -> None:
        self.nth, self.seen = nth, 0

    def on_tick(self, tick):
        self.seen += 1
        if self.seen % self.nth == 0:
            raise ArithmeticError(str(self.seen))
        return [Signal(self.seen, instrument_token=tick.instrument_token), -1] if self.seen % 2 else None


class Spread:
    """One object for two instruments: sells the one that has become dearer than the other."""

    per_instrument = False
    fields = ("price", "instrument_token")

    def __init__(self) -> None:
        self.first: dict[int, float] = {}
        self.now: dict[int, float] = {}

    def on_tick(self, tick):
        self.first.setdefault(tick.instrument_token, tick.price)
        self.now[tick.instrument_token] = tick.price / self.first[tick.instrument_token]
        return -1 if self.now[tick.instrument_token] > min(self.now.values()) else 1


def roster(nth: int = 50) -> Roster:
    return Roster(
        INSTRUMENTS,
        [
            *(strategy(name, TOKENS, implementation=name, parameters={"quantity": 2}) for name in built_ins()),
            strategy("a-moody", [22], implementation=f"{HERE}:Moody", parameters={"nth": nth}),
            strategy("z-spread", [33, 11], implementation=f"{HERE}:Spread"),
        ],
    )


def market(seed: int) -> np.ndarray:
    ticks = walk(COUNT, 3, 0.001, seed)
    chance = np.random.default_rng(seed)
    ticks["instrument"] = chance.integers(0, 3, COUNT)  # the walks change places: prices jump, everybody has an opinion
    ticks["instrument"][chance.random(COUNT) < 0.1] = -2  # clocks
    return ticks


def fold(ticks: np.ndarray, cuts: list[int], *, restart: bool = False, nth: int = 50):
    """(all signals and failures with rows of the whole, the state at the end) for these cuts."""
    made = roster(nth)
    told = []
    for first, last in zip([0, *cuts], [*cuts, len(ticks)], strict=True):
        signals, failures = made.on_batch(ticks[first:last].copy())
        signals = signals.copy()
        signals["row"] += first
        told += signals.tolist() + [(f.row + first, *f[1:]) for f in failures]
        if restart:
            again = roster(nth)
            again.load(made.to_bytes())
            made = again
    return sorted(map(repr, told)), made.to_bytes()


@settings(max_examples=examples(30), deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, COUNT), max_size=12).map(sorted), st.booleans())
def test_any_split_with_or_without_restarts_gives_the_same_signals_failures_and_state(seed, cuts, restart):
    ticks = market(seed)

    assert fold(ticks, cuts, restart=restart) == fold(ticks, [])


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, COUNT), max_size=12).map(sorted))
def test_a_suspension_falls_on_the_same_tick_whatever_the_batches_are(seed, cuts):
    ticks = market(seed)

    assert fold(ticks, cuts, nth=4) == fold(ticks, [], nth=4)


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 10**6))
def test_what_a_strategy_wants_does_not_depend_on_who_else_is_there(seed):
    ticks = market(seed)
    together, _ = roster().on_batch(ticks.copy())

    for s, name in enumerate(roster().names):
        config = {
            "a-moody": strategy(name, [22], implementation=f"{HERE}:Moody", parameters={"nth": 50}),
            "z-spread": strategy(name, [33, 11], implementation=f"{HERE}:Spread"),
        }.get(name) or strategy(name, TOKENS, implementation=name, parameters={"quantity": 2})
        alone, _ = Roster(INSTRUMENTS, [config]).on_batch(ticks.copy())
        mine = together[together["strategy"] == s].copy()
        mine["strategy"] = 0
        assert mine.tobytes() == alone.tobytes(), name


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 10**6))
def test_signals_stand_in_total_order_and_are_for_the_strategys_own_instruments(seed):
    ticks = market(seed)
    made = roster()

    signals, _ = made.on_batch(ticks)

    order = signals[["row", "strategy", "nth"]].tolist()
    assert order == sorted(order)
    assert len(set(order)) == len(order) > 20
    assert (signals["quantity"] > 0).all()
    assert np.isin(signals["side"], [-1, 1]).all()
    of_spread = signals[signals["strategy"] == made.names.index("z-spread")]
    assert set(of_spread["instrument"].tolist()) <= {0, 2}


@settings(max_examples=examples(50), deadline=None)
@given(st.integers(1, 40), st.integers(1, 60))
def test_a_strategy_fails_ten_times_and_not_once_more(nth, count):
    made = Roster(INSTRUMENTS, [strategy("m", [11], implementation=f"{HERE}:Moody", parameters={"nth": nth})])
    ticks = walk(count, 1, 0.001, 1)

    _, failures = made.on_batch(ticks)

    assert len(failures) == min(count // nth, MAX_FAILURES)
    assert [f.suspended for f in failures] == [n == MAX_FAILURES - 1 for n in range(len(failures))]


@given(st.sampled_from(built_ins()), st.data())
def test_parameters_within_their_bounds_are_taken_as_they_are_and_others_refused(name, data):
    specification = parameters_of(load_strategy(name))
    field = data.draw(st.sampled_from(sorted(specification)))
    parameter: Parameter = specification[field]
    low, high = parameter.minimum, parameter.maximum
    assert low is not None
    assert high is not None
    whole = type(parameter.default) is int
    given_value = data.draw(st.integers(int(low), int(high)) if whole else st.floats(low, high))

    assert checked(specification, {field: given_value})[field] == given_value
    for beyond in (low - 1, high + 1):
        with pytest.raises(StrategyError, match=field):
            checked(specification, {field: int(beyond) if whole else beyond})
