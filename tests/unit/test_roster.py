"""The roster: every strategy gets its ticks, failures stay apart, a state survives a restart."""

import struct

import msgspec
import numpy as np
import pytest

from functions.ticks import TICK
from strategies.protocol import StrategyError
from strategies.registry import built_ins, module_name
from strategies.roster import MAX_FAILURES, Roster
from tests.desk import bar, clock, tick, tick_rows
from tests.desk import strategy as following
from tests.strategies import INSTRUMENTS, MARKET_DAY, SAMPLES, TOKENS, prices, signed

HERE = __name__


class Moody:
    """Buys, but not at thirteen."""

    fields = ("price",)

    def __init__(self) -> None:
        self.bought = 0

    def on_tick(self, tick):
        if tick.price == 13.0:
            raise KeyError("thirteen")
        self.bought += 1
        return self.bought


def roster(*strategies, instruments=INSTRUMENTS):
    return Roster(instruments, strategies)


def moody(name="m", tokens=TOKENS, **more):
    return following(name, tokens, implementation=f"{HERE}:Moody", **more)


def wanted(made, ticks):
    """(row, strategy, instrument, signed quantity) in the order that the accounts get."""
    signals, _ = made.on_batch(ticks)
    return [
        (int(s["row"]), made.names[s["strategy"]], int(s["instrument"]), int(s["side"] * s["quantity"]))
        for s in signals
    ]


def test_signals_come_by_tick_and_then_by_the_strategies_name():
    made = roster(moody("z"), moody("a", [22]))
    ticks = tick_rows([tick(1.0), tick(1.0, instrument=1), tick(1.0)])

    assert wanted(made, ticks) == [(0, "z", 0, 1), (1, "a", 1, 1), (1, "z", 1, 1), (2, "z", 0, 2)]


def test_a_strategy_sees_its_own_instruments_and_no_other_and_no_clock():
    made = roster(
        moody("m", [33, 11]), following("n", [22], implementation=f"{SAMPLES}:Counter", parameters={"start": 1})
    )
    ticks = tick_rows([tick(1.0, instrument=2), clock(1), tick(1.0, instrument=1), tick(1.0, instrument=0)])

    assert wanted(made, ticks) == [(0, "m", 2, 1), (2, "n", 1, 1), (3, "m", 0, 1)]


def test_a_strategy_alone_on_all_instruments_is_not_given_the_clock_either():
    assert wanted(roster(moody()), tick_rows([tick(1.0), clock(1), tick(1.0, 2)])) == [(0, "m", 0, 1), (2, "m", 0, 2)]


@pytest.mark.parametrize("tokens", [TOKENS, TOKENS[:2]])
@pytest.mark.parametrize("implementation", [f"{HERE}:Moody", f"{SAMPLES}:every_tick"])
def test_of_a_bar_a_strategy_sees_the_close_and_never_the_open(tokens, implementation):
    made = roster(following("m", tokens, implementation=implementation))
    prints = [*bar(0, "1 2 1 2"), *bar(60, "3 4 3 4", traded=False), *bar(0, "5 6 5 6", instrument=1)]

    assert [row for row, *_ in wanted(made, tick_rows(prints))] == [1, 3, 5]
    assert wanted(made, tick_rows(prints[::2])) == []  # a batch of nothing but opens


def test_a_signal_for_another_instrument_of_the_strategy_keeps_its_meaning():
    made = roster(following("t", [33, 11], implementation=f"{SAMPLES}:Talker"), moody("z", [22]))

    assert wanted(made, prices(3)) == [(0, "t", 2, 1)]


def test_a_disabled_strategy_gets_nothing():
    assert wanted(roster(moody("m", enabled=False), moody("n")), prices(1, 1)) == [(0, "n", 0, 1), (1, "n", 0, 2)]


def test_no_ticks_and_no_strategies_want_nothing():
    assert wanted(roster(moody()), prices()) == []
    assert wanted(roster(), prices(1)) == []


def test_more_ticks_than_the_first_buffer_holds_reach_everybody():
    made = roster(moody("m", [11]), moody("n", [11, 22]))

    assert len(wanted(made, prices(*[1.0] * 1_500))) == 3_000


def test_a_strategy_that_raises_loses_that_tick_and_the_others_never_notice():
    made, alone = roster(moody("m"), following("n", TOKENS, implementation=f"{SAMPLES}:every_third")), roster(
        following("n", TOKENS, implementation=f"{SAMPLES}:every_third")
    )  # fmt: skip
    ticks = prices(1, 13, 1, 13, 1, 1)

    signals, failures = made.on_batch(ticks)

    assert [tuple(f) for f in failures] == [
        (1, "m", "KeyError", "'thirteen'", False, 1),
        (3, "m", "KeyError", "'thirteen'", False, 2),
    ]
    assert signed(signals[signals["strategy"] == 0]) == [(0, 0, 1), (2, 0, 2), (4, 0, 3), (5, 0, 4)]
    assert signed(signals[signals["strategy"] == 1]) == signed(alone.on_batch(ticks)[0])


def test_failures_are_counted_in_the_rows_of_the_whole_batch():
    made = roster(moody("m", [22]), moody("n", [11]))
    ticks = tick_rows([tick(1.0), tick(13.0, instrument=1), tick(13.0), tick(1.0, instrument=1)])

    signals, failures = made.on_batch(ticks)

    assert [(f.row, f.strategy) for f in failures] == [(1, "m"), (2, "n")]
    assert signed(signals) == [(0, 0, 1), (3, 1, 1)]


def test_a_strategy_is_suspended_at_its_tenth_failure_and_stays_so():
    made = roster(moody("m"), moody("n", [22]))
    bad = prices(*[13.0] * (MAX_FAILURES - 1), 1.0)

    _, first = made.on_batch(bad)
    signals, last = made.on_batch(prices(13.0, 1.0))

    assert [f.suspended for f in first + last] == [False] * 9 + [True]
    assert made.suspended == ["m"]
    assert signed(signals) == []
    assert wanted(made, prices(1.0, 1.0)) == []
    assert wanted(made, prices(1.0, instrument=1)) == [(0, "n", 1, 1)]


def test_the_others_never_notice_a_suspension_in_the_middle_of_a_batch():
    def counting(name):
        return following(name, [11, 22], implementation=f"{SAMPLES}:Counter", parameters={"start": 1})

    bad = [13.0] * MAX_FAILURES
    made, alone = roster(counting("a"), moody("m", [11]), counting("z")), roster(counting("a"), counting("z"))

    signals = wanted(made, prices(1.0, *bad, 1.0))

    assert [s for s in signals if s[1] != "m"] == wanted(alone, prices(1.0, *bad, 1.0))


def test_a_compiled_strategy_that_raises_loses_that_tick_only():
    signals, failures = roster(following("b", TOKENS, implementation=f"{SAMPLES}:breaks_on_thirteen")).on_batch(
        prices(1, 13, 1)
    )

    assert signed(signals) == [(0, 0, 3), (2, 0, 3)]
    assert [(f.row, f.error, f.message) for f in failures] == [(1, "ValueError", "thirteen")]


def test_a_model_that_raises_on_a_batch_has_seen_it_and_goes_on_with_the_next():
    made = roster(following("q", TOKENS, implementation=f"{SAMPLES}:Scored"))

    signals, failures = made.on_batch(prices(13, 1, 2))
    later, _ = made.on_batch(prices(1, 2))

    assert [(f.row, f.strategy, f.error) for f in failures] == [(0, "q", "RuntimeError")]
    assert (signed(signals), signed(later)) == ([], [(0, 0, 1), (1, 0, 1)])


def test_a_roster_that_cannot_be_made_names_the_strategy():
    with pytest.raises(StrategyError, match="strategy m: unknown instrument 44, 55"):
        roster(moody("m", [11, 44, 55]))
    with pytest.raises(StrategyError, match="strategy f: parameter window is at least 2, was 1"):
        roster(following("f", TOKENS, parameters={"window": 1}))


# --- state ------------------------------------------------------------------------------------------------------------


def everybody():
    return roster(
        *(following(name, TOKENS, implementation=name, parameters={"quantity": 2}) for name in built_ins()),
        moody("plain", [22]), following("pair", TOKENS, implementation=f"{SAMPLES}:Pair"),
    )  # fmt: skip


@pytest.mark.parametrize("cut", [1, 100, 901])
def test_a_roster_restored_from_its_blob_goes_on_as_if_nothing_had_happened(cut):
    made, again = everybody(), everybody()
    made.on_batch(MARKET_DAY[:cut].copy())

    again.load(made.to_bytes())

    rest = MARKET_DAY[cut:]
    assert wanted(again, rest.copy()) == wanted(made, rest.copy())
    assert again.to_bytes() == made.to_bytes()


def test_failures_and_suspension_survive_a_restart():
    made, again, third = roster(moody()), roster(moody()), roster(moody())
    made.on_batch(prices(*[13.0] * 9))
    again.load(made.to_bytes())

    _, failures = again.on_batch(prices(13.0))
    third.load(again.to_bytes())

    assert [f.suspended for f in failures] == [True]
    assert wanted(third, prices(1.0)) == []


def test_a_strategy_disabled_since_the_snapshot_stays_disabled():
    made, again = roster(moody()), roster(moody(enabled=False))

    again.load(made.to_bytes())

    assert wanted(again, prices(1.0)) == []


def test_a_strategy_that_is_new_or_configured_otherwise_starts_anew():
    before = roster(moody("kept"), moody("changed"), moody("gone"))
    after = roster(moody("kept"), moody("changed", [11]), moody("new"))
    before.on_batch(prices(*[13.0] * (MAX_FAILURES - 1), 1.0, 1.0))

    after.load(before.to_bytes())

    assert wanted(after, prices(1.0)) == [(0, "changed", 0, 1), (0, "kept", 0, 3), (0, "new", 0, 1)]
    _, failures = after.on_batch(prices(13.0))
    assert [(f.strategy, f.suspended) for f in failures] == [("changed", False), ("kept", True), ("new", False)]
    assert (after.suspended, roster(moody(enabled=False)).suspended) == (["kept"], [])


def test_a_state_of_another_layout_under_the_same_configuration_is_refused():
    made, again = (roster(following("f", TOKENS, implementation=f"{SAMPLES}:every_third")) for _ in range(2))
    blob = made.to_bytes()
    again._members[0].state = np.zeros(3, [("seen", "i8"), ("since", "i8")])

    with pytest.raises(StrategyError, match="strategy f: its state in the snapshot has another layout"):
        again.load(blob)


COUNTING = """
class Counting:
    fields = ("price",)
    def __init__(self):
        self.seen = 0
    def on_tick(self, tick):
        self.seen += 1
        return self.seen
"""


def test_the_state_of_a_strategy_in_a_file_of_any_name_is_read_again(tmp_path):
    (tmp_path / "my-clean v1.2.py").write_text(COUNTING)
    made, again = (
        roster(following("m", TOKENS, implementation=f"{tmp_path}/my-clean v1.2.py:Counting")) for _ in range(2)
    )
    made.on_batch(prices(1, 1))

    again.load(made.to_bytes())

    assert wanted(again, prices(1)) == [(0, "m", 0, 3)]


def test_a_state_of_when_a_files_module_was_named_as_the_file_is_read_still(tmp_path):
    (tmp_path / "counting_idea.py").write_text(COUNTING)
    made, again = (
        roster(following("m", TOKENS, implementation=f"{tmp_path}/counting_idea.py:Counting")) for _ in range(2)
    )
    made.on_batch(prices(1, 1))
    blob = made.to_bytes()
    name = module_name(f"{tmp_path}/counting_idea.py").encode()
    [(strategy, made_of, enabled, failures, state)] = msgspec.msgpack.decode(blob)
    assert name in state
    before = state.replace(bytes([len(name)]) + name, bytes([len("counting_idea")]) + b"counting_idea")
    before = before[:3] + struct.pack("<Q", len(before) - 12) + before[11:]  # the frame is as much shorter

    again.load(msgspec.msgpack.encode([(strategy, made_of, enabled, failures, before)]))

    assert wanted(again, prices(1)) == [(0, "m", 0, 3)]


def test_a_tick_row_is_lent_and_comes_back_unchanged():
    ticks = MARKET_DAY.copy()
    everybody().on_batch(ticks)

    assert ticks.tobytes() == MARKET_DAY.tobytes()
    assert ticks.dtype == TICK
