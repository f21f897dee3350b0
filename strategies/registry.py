"""Finding a strategy by the name that a configuration or a command gives it.

momentum                      a built-in: strategies/momentum.py
my_module:MyStrategy          anything importable, the working directory included
ideas/my file.py:MyStrategy   a file, of any name
my_entry_point                an installed package's entry point of the group `alpha_panda.strategies`
"""

import hashlib
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import strategies
from functions.events import StrategyConfig
from strategies.answers import shown
from strategies.batches import BatchStrategy, Strategy
from strategies.compiled import CompiledStrategy
from strategies.guest import Guest, refused_if_it_raises
from strategies.parameters import Parameter, StrategyError, Value, checked, declared
from strategies.plain import PlainStrategy

GROUP: Final = "alpha_panda.strategies"
_NOT_STRATEGIES: Final = {
    "answers", "batches", "compiled", "guest", "parameters", "plain", "protocol", "registry", "roster", "states",
}  # fmt: skip


def built_ins() -> list[str]:
    """Names of the strategies in the tree."""
    return sorted(m.name for m in pkgutil.iter_modules(strategies.__path__) if m.name not in _NOT_STRATEGIES)


def load(implementation: str) -> Any:
    """The object a strategy is made of. Raises: `StrategyError` telling what was looked for and what there is."""
    module, _, attribute = implementation.rpartition(":")
    if module and attribute:
        return _attribute(_module(module), attribute, implementation)
    if implementation in built_ins():
        return _attribute(importlib.import_module(f"strategies.{implementation}"), implementation, implementation)
    for point in entry_points(group=GROUP, name=implementation):
        with refused_if_it_raises(f"entry point {implementation!r}"):
            return point.load()
    raise StrategyError(
        f"unknown strategy {implementation!r}; built in are {', '.join(built_ins())}; "
        "one of your own is module:Name or file.py:Name"
    )


def _module(name: str) -> Any:
    if name.endswith(".py"):
        return _module_of_file(name)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with refused_if_it_raises(f"module {name!r} cannot be imported: it"):
            return importlib.import_module(name)
    except StrategyError as error:
        if isinstance(error.__cause__, ModuleNotFoundError):
            raise StrategyError(
                f"no module {name!r}: {error.__cause__}; looked in {Path.cwd()} and the installed packages"
            ) from error
        raise


def module_name(path: str) -> str:
    """Under which name the file of an implementation is a module, whatever it is called: the same in every process.

    >>> module_name("ideas/my-clean v1.2.py"), module_name("class.py")
    ('my_clean_v1_2_da773936', 'class_026dbb96')
    """
    stem = re.sub(r"\W", "_", Path(path).stem, flags=re.ASCII)
    return f"{stem}_{hashlib.blake2b(path.encode(errors='surrogateescape'), digest_size=4).hexdigest()}"


def _module_of_file(path: str) -> Any:
    """A file as a module under a name of its own, so that files of any name, and several of one name, are taken."""
    try:
        file = Path(path).resolve()
        found = file.is_file()
    except (OSError, ValueError) as error:
        raise StrategyError(f"{path!r} cannot be the name of a file: {error}") from error
    if not found:
        raise StrategyError(f"no file {path!r}, looked from {Path.cwd()}")
    name = module_name(path)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(file):
        return known
    specification = importlib.util.spec_from_file_location(name, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        with refused_if_it_raises(f"{path!r} cannot be imported: it"):
            specification.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _attribute(module: Any, name: str, implementation: str) -> Any:
    with refused_if_it_raises(f"{implementation!r}: its module"):
        if hasattr(module, name):
            return getattr(module, name)
    raise StrategyError(f"{implementation!r}: the module has no {name}")


def parameters_of(author: Any) -> dict[str, Parameter]:
    """The parameters that a strategy takes. Raises: `StrategyError` for something that is no strategy."""
    if isinstance(author, CompiledStrategy):
        return author.parameters
    with refused_if_it_raises(f"{shown(author)} cannot be asked for its parameters: it"):
        if isinstance(author, type) and hasattr(author, "on_tick"):
            return PlainStrategy.specification(author)
        if isinstance(author, type) and hasattr(author, "on_batch"):
            return declared(author)
    raise StrategyError(
        f"{shown(author)} is no strategy: wanted @strategy, a class with on_tick, or one with start and on_batch"
    )


def check(config: StrategyConfig) -> None:
    """Refuses a configuration whose strategy cannot be loaded or takes other parameters. Raises: `StrategyError`."""
    checked(parameters_of(load(config.implementation)), config.parameters)


def configure(implementation: str, given: Mapping[str, Value]) -> Guest:
    """A strategy with its parameters, ready to start. Raises: `StrategyError`."""
    author = load(implementation)
    values = checked(parameters_of(author), given)
    with refused_if_it_raises(f"{implementation!r} cannot be made: it"):
        if isinstance(author, CompiledStrategy):
            return author.configure(values)
        if hasattr(author, "on_tick"):
            return PlainStrategy(author, values)
        made = author(**values)
    if not isinstance(made, Strategy):
        raise StrategyError(f"{implementation!r} has on_batch but no start")
    return BatchStrategy(made)
