"""Nasty strategies at random: whatever they do, the run goes on, and the two that behave beside them notice nothing."""

from random import Random

import pytest

from tests.effort import examples
from tests.nasty.grammar import FORMS, Deed, Effect, Nasty, any_nasty, expected
from tests.nasty.judge import FAILED, SUSPENDED, faults_of
from tests.nasty.places import PLACES, TICKS, Seen

COUNT = 30
QUICK = {Effect.TIME, Effect.STUBBORN, Effect.UNKEPT}  # what these cost waits for a limit, or is for a pipeline to find


def made(seed, count):
    """So many that come to an end."""
    taken: set[str] = set()
    found = (any_nasty(Random(f"{seed} {n}"), f"n{n:05}", taken) for n in range(10 * count))
    return [nasty for nasty in found if nasty.deed.effect not in QUICK and nasty.form != "compiled"][:count]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return PLACES["backtest"]([], tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize("seed", range(examples(1)))
def test_a_backtest_goes_on_beside_nasty_strategies_and_the_others_want_the_same(seed, alone, tmp_path):
    nasties = made(seed, COUNT)

    assert len(alone.good) > 100
    assert faults_of(nasties, PLACES["backtest"](nasties, tmp_path), alone, live=False) == []


# --- the judge sees what it is to see ---------------------------------------------------------------------------------


def nasty(effect, every=7, at=1):
    return Nasty("n", "instrument", Deed("?", effect), every, at)


def left_by(one, live=True):
    """What it leaves where everything is as it must be."""
    due = expected(one, TICKS["instrument"].tolist(), live=live)
    lost = list(range(len(due.lost) and due.lost[0]))
    told = [FAILED] * bool(lost) + [SUSPENDED] * bool(due.suspended)
    return Seen({"n": sorted(due.sure.items())}, {"n": lost}, {"n": told}, ["good"])


GOOD = Seen(good=["good"])


@pytest.mark.parametrize("effect", [Effect.NOTHING, Effect.SILENT, Effect.LOST, Effect.TIME])
def test_the_judge_finds_nothing_where_all_is_well(effect):
    one = nasty(effect)

    assert faults_of([one], left_by(one), GOOD, live=True) == []


SPOILT = {
    "the others did not want the same": lambda seen: seen.good.append("more"),
    "wanted nothing on 1 ticks": lambda seen: seen.signals["n"].pop(3),
    "wanted something twice": lambda seen: seen.signals["n"].append(seen.signals["n"][0]),
    "wanted (tick, quantity, due)": lambda seen: seen.signals["n"].__setitem__(0, (0, 2)),
    "ticks, range": lambda seen: seen.lost["n"].pop(),
    "lost a tick twice": lambda seen: seen.lost["n"].__setitem__(0, 1),
    "told more than once": lambda seen: seen.told["n"].append(FAILED),
    "was not told of": lambda seen: seen.told["n"].clear(),
    "suspended: True, False was due": lambda seen: seen.told["n"].append(SUSPENDED),
    "stranger was told of": lambda seen: seen.told.update(stranger=[FAILED]),
    "the run did not go on": lambda seen: setattr(seen, "broken", "ended with 1"),
}


@pytest.mark.parametrize("words", SPOILT)
def test_the_judge_names_what_is_not_as_it_must_be(words):
    one = nasty(Effect.LOST, every=60, at=2)
    seen = left_by(one)
    SPOILT[words](seen)

    assert any(words in fault for fault in faults_of([one], seen, GOOD, live=True))


def test_every_deed_is_python():
    for form, deeds in FORMS.items():
        for deed in deeds:
            compile(Nasty("n", form, deed, 7, 1).source(), "nasty", "exec")
