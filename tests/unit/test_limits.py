"""Limits by name: every rule with a limit has one, the loosest is as far as the engine counts, and which one held."""

import numpy as np
import pytest
from msgspec.structs import asdict, replace

from functions.configuration import validate_limits
from functions.events import RiskLimits
from functions.limits import LIMIT_OF, LOOSEST, LimitedBy, limited_by, with_limits
from functions.money import micro, rupees
from functions.risk import BIT, RULES


def test_every_limit_is_held_by_one_rule_and_the_other_rules_have_none():
    assert sorted(LIMIT_OF.values()) == sorted(asdict(RiskLimits()))
    assert set(RULES) - set(LIMIT_OF) == {
        "kill_switch", "mode", "session", "instrument", "lot_multiple", "tick_multiple", "no_price", "mis_cut_off",
        "holdings",
    }  # fmt: skip


def test_the_loosest_limits_may_enter_and_leave_the_money_alone():
    assert validate_limits(LOOSEST) == []
    assert LOOSEST.margin_bps == RiskLimits().margin_bps == 2_000


@pytest.mark.parametrize("name", sorted(set(asdict(LOOSEST)) - {"margin_bps"}))
def test_no_limit_can_be_looser_than_the_loosest(name):
    loosest = getattr(LOOSEST, name)
    step = -1 if name == "duplicate_window_ms" else 1
    looser = loosest + step if isinstance(loosest, int) else rupees(micro(loosest) + 1)

    assert len(validate_limits(replace(LOOSEST, **{name: looser}))) == 1


def test_limits_are_set_by_their_names_and_the_others_stay():
    limits = with_limits(RiskLimits(), {"max_position": "5", "max_daily_loss": "750.50", "duplicate_window_ms": "0"})

    assert limits == RiskLimits(max_position=5, max_daily_loss="750.50", duplicate_window_ms=0)


@pytest.mark.parametrize("text", ["", "x", "1e5", "2.0", "1_000", "--1", "٣", "9" * 100])
def test_what_is_no_whole_number_is_no_limit_of_shares(text):
    with pytest.raises(ValueError, match="limit max_position takes a whole number, was '"):
        with_limits(RiskLimits(), {"max_position": text})


def test_an_unknown_limit_is_told_with_those_there_are():
    with pytest.raises(ValueError, match=r"no limit is named 'max_orders'; there is max_quantity, .*, max_open_orders"):
        with_limits(RiskLimits(), {"max_orders": "5"})


def held(*refusals, signals):
    """Each refusal: (second, rules that refused)."""
    masks = np.array([sum(BIT[rule] for rule in rules) for _, rules in refusals], np.int64)
    return limited_by(masks, np.array([second for second, _ in refusals], np.int64), signals)


def test_half_of_the_signals_refused_is_no_reason_to_speak_and_one_more_is():
    refusals = [(n, ["orders_per_day"]) for n in (30, 40, 50)]

    assert held(*refusals, signals=6) is None
    assert held(*refusals, signals=5) == LimitedBy("max_orders_per_day", 30, 3)


def test_the_limit_that_refused_most_is_named_since_its_own_first_refusal():
    refusals = [(10, ["cash"]), (20, ["position_limit", "cash"]), (30, ["position_limit"]), (40, ["position_limit"])]

    assert held(*refusals, signals=4) == LimitedBy("max_position", 20, 3)


def test_limits_count_together_and_a_signal_with_two_refusals_once():
    assert held((1, ["cash"]), (2, ["drawdown"]), signals=3) == LimitedBy("margin_bps", 1, 1)
    assert held((1, ["cash", "drawdown"]), signals=2) is None


def test_what_has_no_limit_limits_nothing():
    assert held((1, ["session"]), (2, ["lot_multiple"]), (3, ["mis_cut_off"]), signals=3) is None
