"""What reads bytes of others takes them or says why not, whatever they are: the targets, driven by Hypothesis."""

import pickle
import random
import time

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.errors import FatalError
from dataflows import steps
from functions.kernel import COMPILED
from tests.effort import examples
from tests.fuzz.mutations import MUTATIONS, mutated
from tests.fuzz.targets import KEY, TARGETS, state

SLOWEST_S = 20.0
EXAMPLES = {"event": 1_500, "inputs": 800, "steps": 150, "journal": 800, "snapshot": 800, "state": 250, "recording": 20}
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_valid_bytes_are_taken(target):
    assert all(target.attempt(raw) for raw in target.seeds())


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_spoilt_bytes_are_taken_or_refused_as_declared(target):
    seeds = target.seeds()

    @settings(UNHURRIED, max_examples=examples(EXAMPLES[target.name] if COMPILED else 10))
    @given(st.sampled_from(seeds), st.integers(0, 2**32))
    def spoilt(seed, chance):
        began = time.monotonic()
        target.attempt(mutated(seed, random.Random(chance)))
        assert time.monotonic() - began < SLOWEST_S

    spoilt()


@pytest.mark.parametrize("target", [t for t in TARGETS if t.name != "recording"], ids=lambda target: target.name)
def test_any_bytes_are_taken_or_refused_as_declared(target):
    @settings(UNHURRIED, max_examples=examples(50 if COMPILED else 10))
    @given(st.binary(max_size=200))
    def any_bytes(raw):
        target.attempt(raw)

    any_bytes()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_every_mutation_changes_something_and_a_seed_does_so_again(mutation):
    seeds = TARGETS[0].seeds()
    changed = [mutation(raw, random.Random(n)) for n in range(5) for raw in seeds]

    assert any(new != old for new, old in zip(changed, seeds * 5, strict=True))
    assert changed == [mutation(raw, random.Random(n)) for n in range(5) for raw in seeds]


def _states(blob):
    """The strategies' states with another one for the first of them."""
    [kept, *others] = msgspec.msgpack.decode(state()["signals"])
    return msgspec.msgpack.encode([[*kept[:4], blob], *others])


@pytest.mark.parametrize(
    "blob",
    [b"", b"\x80\x05.", pickle.dumps(7), pickle.dumps({}), pickle.dumps(np.zeros(99)), b"\x80\x05cnobody\nhere\n."],
)
def test_a_strategys_state_that_is_none_is_refused(blob):
    with pytest.raises(FatalError, match="cannot be restored"):
        steps.restored(state() | {"signals": _states(blob)}, "paper", KEY)


@pytest.mark.parametrize("blob", [b"", b"\xc1", msgspec.msgpack.encode([1]), msgspec.msgpack.encode({"a": 1})])
@pytest.mark.parametrize("part", ["signals", "account", "desk"])
def test_bytes_that_are_no_state_are_refused(part, blob):
    with pytest.raises(FatalError, match="cannot be restored"):
        steps.restored(state() | {part: blob}, "paper", KEY)
