"""Finding a strategy: by name, as a module, a file or an entry point; what cannot be loaded says why."""

import sys
from importlib.metadata import EntryPoint

import pytest

from strategies import registry
from strategies.protocol import StrategyError
from strategies.registry import configure, load
from tests.strategies import SAMPLES, asked, prices

HERE = __name__


class Unstarted:
    def on_batch(self, state, ticks):
        return ticks


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(
        StrategyError, match="unknown strategy 'momentun'; built in are mean_reversion, momentum, moving"
    ):
        load("momentun")


def test_a_strategy_outside_the_tree_is_found_as_a_module_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "my_module_idea.py").write_text("class Mine:\n    def on_tick(self, tick):\n        return 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    assert asked("my_module_idea:Mine", prices(1)) == [(0, 0, 1)]


def test_a_strategy_outside_the_tree_is_found_as_a_file_and_compiled_like_any(tmp_path):
    (tmp_path / "my_file_idea.py").write_text(
        "from strategies.protocol import strategy\n"
        "def twice(x):\n"
        "    return 2 * x\n"
        "@strategy(state=[('seen', 'i8')], every=2)\n"
        "def mine(state, tick, params):\n"
        "    state.seen = state.seen + 1\n"
        "    return params.every if state.seen % params.every == 0 else 0\n"
    )
    implementation = f"{tmp_path}/my_file_idea.py:mine"

    assert asked(implementation, prices(1, 1, 1, 1)) == [(1, 0, 2), (3, 0, 2)]
    assert load(implementation) is load(implementation)


def test_an_installed_packages_entry_point_is_found(monkeypatch):
    point = EntryPoint("my_point", f"{SAMPLES}:Counter", registry.GROUP)
    monkeypatch.setattr(
        registry, "entry_points", lambda group, name: [point] if (group, name) == (point.group, point.name) else []
    )

    assert asked("my_point", prices(1, 1)) == [(1, 0, 1)]


@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        ("no_such_module:Idea", "no module 'no_such_module'.*looked in"),
        ("momentum:", "unknown strategy 'momentum:'"),
        ("/nowhere/idea.py:Idea", "no file '/nowhere/idea.py', looked from"),
        (f"{HERE}:Missing", "the module has no Missing"),
        (f"{HERE}:HERE", "is no strategy: wanted @strategy, a class with on_tick, or one with start and on_batch"),
        (f"{HERE}:Unstarted", "has on_batch but no start"),
    ],
)
def test_what_cannot_be_loaded_says_why(implementation, message):
    with pytest.raises(StrategyError, match=message):
        configure(implementation, {})


def test_a_module_or_a_file_that_fails_to_import_says_with_what(tmp_path, monkeypatch):
    (tmp_path / "broken_idea.py").write_text("1 / 0\n")
    (tmp_path / "needs_idea.py").write_text("import no_such_library_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(StrategyError, match="cannot be imported: ZeroDivisionError"):
        load("broken_idea:X")
    with pytest.raises(StrategyError, match="no module 'needs_idea': No module named 'no_such_library_anywhere'"):
        load("needs_idea:X")
    with pytest.raises(StrategyError, match="cannot be imported: ZeroDivisionError"):
        load(f"{tmp_path}/broken_idea.py:X")
    assert "broken_idea" not in sys.modules


def test_a_file_named_as_a_module_that_is_loaded_already_is_refused(tmp_path):
    (tmp_path / "json.py").write_text("class X:\n    def on_tick(self, tick):\n        return 1\n")

    with pytest.raises(StrategyError, match=r"a module named 'json' is already loaded from .*: rename the file"):
        load(f"{tmp_path}/json.py:X")
