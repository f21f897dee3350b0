"""Finding a strategy: by name, as a module, a file or an entry point; what cannot be loaded says why."""

import sys
from importlib.metadata import EntryPoint

import pytest

from functions.kernel import kernel
from strategies import registry
from strategies.protocol import StrategyError, strategy
from strategies.registry import configure, load
from tests.strategies import INSTRUMENTS, SAMPLES, asked, prices, signed

HERE = __name__


class Unstarted:
    def on_batch(self, state, ticks):
        return ticks


class Greedy:
    parameters = 5

    def on_tick(self, tick):
        return 0


class Wordy:
    fields = "price"

    def on_tick(self, tick):
        return 0


class Numbers:
    fields = (1, 2)

    def on_tick(self, tick):
        return 0


class Undemanding:
    """Wants no field at all, and buys all the same."""

    fields = ()

    def on_tick(self, tick):
        return 1


class FailsToBegin:
    def __init__(self, what: str = "RuntimeError"):
        raise {"RuntimeError": RuntimeError, "SystemExit": SystemExit, "GeneratorExit": GeneratorExit}[what](
            "not today"
        )

    def on_tick(self, tick):
        return 0


class FailsToStart(Unstarted):
    def start(self, instruments):
        raise SystemExit(0)


def _no_state(params):
    raise RuntimeError("no state today")


stateless = strategy(state=_no_state)(lambda state, tick, params: 0)
shapeless = strategy(state=[("seen", "zz")])(lambda state, tick, params: 0)
nameless = strategy(state=[("seen", "i8")])(lambda state, tick, params: 1)


@kernel
def down(n):
    return 0 if n == 0 else down(n - 1)


@strategy(state=[("down", "i8")])
def calls_itself(state, tick, params):
    return down(3)


@kernel
def bought(state):
    """Named as the field that it reads, which is no call of itself."""
    return state.bought


@strategy(state=[("bought", "i8")])
def buys_what_it_has(state, tick, params):
    state.bought += 1
    return bought(state)


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
        ("ideas/\0.py:Idea", r"no file 'ideas/\\x00.py'|cannot be the name of a file"),
        (f"{HERE}:Greedy", "Greedy: parameters is a dict of names and Parameter"),
        (f"{HERE}:Wordy", r"Wordy: fields is a tuple of names, e.g. \('price',\), was 'price'"),
        (f"{HERE}:Numbers", r"Numbers: fields is a tuple of names, e.g. \('price',\), was \(1, 2\)"),
        (f"{HERE}:stateless", "cannot be made: it raised RuntimeError: no state today"),
        (f"{HERE}:shapeless", "cannot be made: it raised TypeError: data type 'zz' not understood"),
        (f"{HERE}:calls_itself", r"may not call itself \(calls_itself → down → down\): write a loop"),
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

    with pytest.raises(StrategyError, match="module 'broken_idea' cannot be imported: it raised ZeroDivisionError"):
        load("broken_idea:X")
    with pytest.raises(StrategyError, match="no module 'needs_idea': No module named 'no_such_library_anywhere'"):
        load("needs_idea:X")
    with pytest.raises(StrategyError, match="cannot be imported: it raised ZeroDivisionError: division by zero"):
        load(f"{tmp_path}/broken_idea.py:X")
    assert not [name for name in sys.modules if name.startswith("broken_idea")]


@pytest.mark.parametrize("line", ["import sys; sys.exit(0)", "raise SystemExit", "raise GeneratorExit", "def x(:"])
def test_a_file_that_ends_the_process_or_is_no_python_is_refused(tmp_path, monkeypatch, line):
    (tmp_path / "ends_all.py").write_text(line + "\nclass X:\n    def on_tick(self, tick):\n        return 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    for implementation in (f"{tmp_path}/ends_all.py:X", "ends_all:X"):
        with pytest.raises(
            StrategyError, match=r"ends_all.* cannot be imported: it raised (SystemExit|GeneratorExit|Syntax)"
        ):
            load(implementation)


@pytest.mark.parametrize("what", ["RuntimeError", "SystemExit", "GeneratorExit"])
def test_a_strategy_that_fails_to_begin_is_refused(what):
    with pytest.raises(StrategyError, match=f"FailsToBegin.__init__ raised {what}: not today"):
        asked(f"{HERE}:FailsToBegin", prices(1), what=what)
    with pytest.raises(StrategyError, match=r"FailsToStart.start raised SystemExit: 0"):
        asked(f"{HERE}:FailsToStart", prices(1))


def test_a_strategy_that_wants_no_field_is_asked_all_the_same():
    assert asked(f"{HERE}:Undemanding", prices(1, 1)) == [(0, 0, 1), (1, 0, 1)]


def test_a_function_without_a_name_and_one_named_as_a_field_are_compiled():
    assert asked(f"{HERE}:nameless", prices(1)) == [(0, 0, 1)]
    assert asked(f"{HERE}:buys_what_it_has", prices(1, 1)) == [(0, 0, 1), (1, 0, 2)]


# --- files of any name ------------------------------------------------------------------------------------------------

NAMES = ["my-clean", "class", "2fast", "my idea v1.2", "json", "ünïcode", "-", "momentum", "a'b\"c", "numpy"]
PLAIN = "class Mine:\n    def on_tick(self, tick):\n        return 1\n"
COMPILED_FILE = (
    "from functions.kernel import kernel\n"
    "from strategies.protocol import strategy\n"
    "@kernel\n"
    "def one(x):\n"
    "    return x\n"
    "@strategy(state=[('seen', 'i8')], quantity={quantity})\n"
    "def mine(state, tick, params):\n"
    "    return one(params.quantity)\n"
)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_runs(tmp_path, name):
    (tmp_path / f"{name}.py").write_text(PLAIN)

    assert asked(f"{tmp_path}/{name}.py:Mine", prices(1)) == [(0, 0, 1)]


@pytest.mark.parametrize("name", ["my-clean", "class", "2fast v1.2", "a'b"])
def test_a_compiled_file_of_any_name_runs(tmp_path, name):
    (tmp_path / f"{name}.py").write_text(COMPILED_FILE.format(quantity=3))

    assert asked(f"{tmp_path}/{name}.py:mine", prices(1)) == [(0, 0, 3)]


def test_two_files_of_one_name_in_two_folders_are_two(tmp_path):
    for quantity in (1, 2):
        (tmp_path / str(quantity)).mkdir()
        (tmp_path / str(quantity) / "idea.py").write_text(COMPILED_FILE.format(quantity=quantity))
        (tmp_path / str(quantity) / "plain.py").write_text(PLAIN.replace("return 1", f"return {quantity}"))

    for quantity in (1, 2, 1):
        assert asked(f"{tmp_path}/{quantity}/idea.py:mine", prices(1)) == [(0, 0, quantity)]
        assert asked(f"{tmp_path}/{quantity}/plain.py:Mine", prices(1)) == [(0, 0, quantity)]


def test_the_same_path_from_another_folder_is_another_file(tmp_path, monkeypatch):
    for quantity in (1, 2):
        (tmp_path / str(quantity)).mkdir()
        (tmp_path / str(quantity) / "idea.py").write_text(PLAIN.replace("return 1", f"return {quantity}"))
        monkeypatch.chdir(tmp_path / str(quantity))

        assert asked("idea.py:Mine", prices(1)) == [(0, 0, quantity)]


@strategy(state=[("seen", "i8")])
def with_a_constant(state, tick, params):
    return CONSTANT


CONSTANT = 1


def _made(quantity):
    @strategy(state=[("seen", "i8")])
    def made(state, tick, params):
        return quantity

    return made


def test_functions_that_differ_in_what_they_close_over_are_compiled_apart():
    """All else is the same: the file, the name, the line."""
    for quantity in (4, 5):
        made = _made(quantity).configure({})
        signals = made.ask(made.start(INSTRUMENTS), prices(1)).signals

        assert signed(signals) == [(0, 0, quantity)]


def test_a_constant_that_is_changed_is_compiled_anew(monkeypatch):
    """A process that finds another value must not run the machine code of the first."""
    for value in (1, 2):
        monkeypatch.setattr(sys.modules[HERE], "CONSTANT", value)
        made = strategy(state=[("seen", "i8")])(with_a_constant.function).configure({})

        assert signed(made.ask(made.start(INSTRUMENTS), prices(1)).signals) == [(0, 0, value)]
