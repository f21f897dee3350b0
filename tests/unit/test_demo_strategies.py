"""A user's strategies in the demo: files of any name get names that may be configured, or are refused before it starts."""

import pytest

from connectors.errors import ConfigError
from deploy.demo import DemoOptions, _configured
from functions.configuration import validate_strategy

PLAIN = "class {name}:\n    def on_tick(self, tick):\n        return 1\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, text in {
        "my-clean.py": PLAIN.format(name="Idea"),
        "a/same.py": PLAIN.format(name="Idea"),
        "b/same.py": PLAIN.format(name="Idea"),
        "c/same.py": PLAIN.format(name="Idea"),
        "long.py": PLAIN.format(name="I" * 60),
        "ideé v1.2.py": PLAIN.format(name="Idée"),
        "moody.py": "class Moody:\n    def __init__(self):\n        raise SystemExit(3)\n    def on_tick(self, t): ...\n",
        "ends.py": "import sys\nsys.exit(0)\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)


def names(*strategies):
    """Of the strategies of one's own, all of which may be configured."""
    _, _, configured = _configured(DemoOptions(strategies=strategies))
    mine = configured[-len(strategies) :]
    assert [fault for each in mine for fault in validate_strategy(each)] == []
    return [each.strategy for each in mine]


def test_strategies_are_named_after_their_class_or_their_file_or_by_number(files):
    assert names("my-clean.py:Idea", "a/same.py:Idea", "b/same.py:Idea", "c/same.py:Idea") == [
        "idea", "same_idea", "idea_2", "idea_3",
    ]  # fmt: skip


def test_a_name_is_short_and_plain_whatever_the_class_is_called(files):
    assert names(f"long.py:{'I' * 60}", "ideé v1.2.py:Idée") == ["i" * 40, "id_e"]


def test_a_built_in_may_run_a_second_time(files):
    assert names("momentum") == ["_momentum"]


@pytest.mark.parametrize(
    ("strategies", "words"),
    [
        (("moody.py:Moody",), "Moody.__init__ raised SystemExit: 3"),
        (("ends.py:X",), "'ends.py' cannot be imported: it raised SystemExit: 0"),
        (("my-clean.py:Idea", "my-clean.py:Idea"), "--strategy my-clean.py:Idea is given twice"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(files, strategies, words):
    with pytest.raises(ConfigError, match=words) as refused:
        names(*strategies)

    assert refused.value.remedy
