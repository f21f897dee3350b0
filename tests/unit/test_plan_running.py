"""Running a plan: in order, no further than a refusal or a failure, and clear about what is done."""

from dataclasses import dataclass, field

import pytest
from typer.testing import CliRunner

from cli.commands import app
from cli.deploy import document, lines
from connectors.errors import ConfigError, DependencyError
from connectors.settings import FIELDS, load
from deploy.plan import STEPS, Change, Context, State
from deploy.plan.running import apply, exit_code, plan, status

NEW = Change("add", "topic a", "1 partition")
REFUSED = Change("change", "topic b", "retention.ms 2 → 1", "records would go")
NOTE = Change("note", "topics that are not declared", "c")


@dataclass
class Part:
    """A step whose differences go away when they are applied."""

    name: str
    differs: list[Change] = field(default_factory=list)
    error: Exception | None = None
    applied: list[Change] = field(default_factory=list)

    def plan(self):
        if self.error:
            raise self.error
        return [change for change in self.differs if change not in self.applied]

    def apply(self, changes):
        self.applied += changes

    def status(self):
        if self.error:
            raise self.error
        return [State("things", not self.plan(), f"{len(self.plan())} differ")]


def outcomes(results):
    return [result.outcome for result in results]


def test_a_second_apply_has_nothing_to_do():
    steps = [Part("topics", [NEW]), Part("access", [NEW])]

    assert outcomes(apply(steps)) == ["applied", "applied"]
    assert outcomes(apply(steps)) == ["nothing to do", "nothing to do"]
    assert exit_code(apply(steps)) == 0


def test_a_plan_changes_nothing():
    steps = [Part("topics", [NEW])]

    assert outcomes(plan(steps)) == ["planned"]
    assert steps[0].applied == []
    assert exit_code(plan(steps)) == 0


def test_a_step_with_a_refusal_changes_nothing_and_nothing_behind_it_is_tried():
    steps = [Part("migrations", [NEW]), Part("topics", [NEW, REFUSED]), Part("access", [NEW])]

    results = apply(steps)

    assert outcomes(results) == ["applied", "refused", "not tried"]
    assert [step.applied for step in steps] == [[NEW], [], []]
    assert exit_code(results) == 1


def test_a_failure_ends_with_its_own_exit_code_and_leaves_what_is_done():
    steps = [
        Part("migrations", [NEW]),
        Part("topics", error=DependencyError("Kafka did not answer")),
        Part("access", [NEW]),
    ]

    results = apply(steps)

    assert outcomes(results) == ["applied", "failed", "not tried"]
    assert exit_code(results) == 3


def test_a_plan_goes_on_behind_what_cannot_tell():
    results = plan([Part("migrations", error=ConfigError("no such store")), Part("topics", [REFUSED]), Part("access")])

    assert outcomes(results) == ["failed", "refused", "nothing to do"]
    assert exit_code(results) == 2


def test_a_note_is_told_and_is_nothing_to_do():
    step = Part("topics", [NOTE])

    assert outcomes(apply([step])) == ["nothing to do"]
    assert step.applied == []


def test_a_status_that_differs_ends_with_one():
    assert exit_code(status([Part("topics", [NEW])])) == 1
    assert exit_code(status([Part("topics")])) == 0


def test_people_read_a_diff_and_what_to_do():
    told = lines(apply([Part("topics", [NEW, REFUSED, NOTE]), Part("access")]))

    assert told == [
        "topics: refused",
        "  + topic a: 1 partition",
        "  ~ topic b: retention.ms 2 → 1\n    refused: records would go",
        "  · topics that are not declared: c",
        "access: not tried",
        "put the reason right, then apply again: what is done stays done",
    ]


def test_programs_read_the_same():
    assert document(apply([Part("topics", [REFUSED])])) == {
        "ok": False,
        "steps": [
            {
                "step": "topics",
                "outcome": "refused",
                "changes": [
                    {"kind": "change", "what": "topic b", "detail": "retention.ms 2 → 1", "refusal": "records would go"}
                ],
                "states": [],
                "error": None,
            }
        ],
    }


# --- the real steps, with a store in a folder and no broker --------------------------------------------------------------


@pytest.fixture
def desk(monkeypatch, tmp_path):
    """Settings of an empty folder and of a broker that nobody started."""
    monkeypatch.chdir(tmp_path)
    for name in FIELDS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PANDA_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setattr("connectors.kafka.admin.START_S", 0.5)
    return tmp_path


def step(name):
    return next(made for made in (step(Context(load())) for step in STEPS) if made.name == name)


def test_the_schema_comes_before_configuration_and_topics_and_these_before_rights():
    assert [step(Context(load())).name for step in STEPS][:4] == ["migrations", "configuration", "topics", "access"]


def test_a_store_that_is_not_made_yet_has_no_account_to_refuse(desk):
    configuration = step("configuration")

    assert configuration.plan() == []
    assert [state.detail for state in configuration.status()] == ["0 enabled"]
    assert not (desk / ".panda").exists()


def test_a_store_is_planned_without_being_made_then_made_once(desk):
    migrations = step("migrations")

    planned = migrations.plan()
    assert [(change.kind, change.detail.partition(" →")[0]) for change in planned] == [("add", "revision none")]
    assert not (desk / ".panda").exists()
    assert [state.ok for state in migrations.status()] == [False]

    migrations.apply(planned)
    assert migrations.plan() == []
    assert [state.ok for state in migrations.status()] == [True]


def test_a_broker_that_is_down_ends_with_three_and_says_what_is_done(desk):
    ran = CliRunner().invoke(app, ["deploy", "apply"])

    assert isinstance(ran.exception, DependencyError)
    assert ran.exception.exit_code == 3
    assert "just up" in ran.exception.remedy
    assert [line for line in ran.stdout.splitlines() if not line.startswith(" ")] == [
        "migrations: applied",
        "configuration: nothing to do",
        "topics: failed",
        *(f"{made.name}: not tried" for made in (made(Context(load())) for made in STEPS[3:])),
        "put the reason right, then apply again: what is done stays done",
    ]
