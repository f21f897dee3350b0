"""Twenty kills, each kind of misfortune among them: nothing lost, nothing doubled, nothing contradicted."""

import random

import pytest

from tests.chaos import misfortunes
from tests.chaos.harness import Run

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(900)]

SEED = 7


def test_after_twenty_kills_the_log_is_what_its_journal_says(ground, tmp_path):
    outcome = Run(ground, SEED, 20, 2, tmp_path / "workers", print).go()

    place = "embedded" if ground.kafka.embedded else "platform"
    assert not outcome.faults, "\n".join(
        [*outcome.faults, f"again: just chaos --seed {SEED} --kills 20 --ground {place}"]
    )
    assert outcome.kills >= 20
    assert outcome.inputs > 1_000
    assert outcome.outputs > 500


@pytest.mark.parametrize("kills", [1, 19, 20, 50])
def test_an_agenda_kills_as_often_as_asked_and_twenty_times_in_every_way(kills):
    names = misfortunes.agenda(random.Random(kills), kills)

    assert sum(misfortunes.KILLS.get(name, 1) for name in names) == kills
    if kills >= misfortunes.A_CYCLE:
        assert {*misfortunes.STEPS, *misfortunes.OTHERS} <= {*names, "asked to stop"}
