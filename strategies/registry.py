"""Finding a strategy by the name that a configuration or a command gives it.

momentum                      a built-in: strategies/momentum.py
my_module:MyStrategy          anything importable, the working directory included
ideas/my_file.py:MyStrategy   a file
my_entry_point                an installed package's entry point of the group `alpha_panda.strategies`
"""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import strategies
from functions.events import StrategyConfig
from strategies.batches import BatchStrategy, Strategy
from strategies.compiled import CompiledStrategy
from strategies.guest import Guest
from strategies.parameters import Parameter, StrategyError, Value, checked
from strategies.plain import PlainStrategy

GROUP: Final = "alpha_panda.strategies"
_NOT_STRATEGIES: Final = {
    "answers", "batches", "compiled", "guest", "parameters", "plain", "protocol", "registry", "roster",
}  # fmt: skip


def built_ins() -> list[str]:
    """Names of the strategies in the tree."""
    return sorted(m.name for m in pkgutil.iter_modules(strategies.__path__) if m.name not in _NOT_STRATEGIES)


def load(implementation: str) -> Any:
    """The object a strategy is made of. Raises: `StrategyError` telling what was looked for and what there is."""
    module, _, attribute = implementation.partition(":")
    if attribute:
        return _attribute(_module(module), attribute, implementation)
    if implementation in built_ins():
        return _attribute(importlib.import_module(f"strategies.{implementation}"), implementation, implementation)
    for point in entry_points(group=GROUP, name=implementation):
        return point.load()
    raise StrategyError(
        f"unknown strategy {implementation!r}; built in are {', '.join(built_ins())}; "
        "one of your own is module:Name or file.py:Name"
    )


def _module(name: str) -> Any:
    if name.endswith(".py"):
        return _module_of_file(Path(name))
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise StrategyError(
            f"no module {name!r}: {error}; looked in {Path.cwd()} and the installed packages"
        ) from error
    except Exception as error:
        raise StrategyError(f"module {name!r} cannot be imported: {type(error).__name__}: {error}") from error


def _module_of_file(path: Path) -> Any:
    """A file as a module under its own name: a compiled loop imports it by that name."""
    if not path.is_file():
        raise StrategyError(f"no file {str(path)!r}, looked from {Path.cwd()}")
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path.resolve()):
        return known
    if known is not None:
        raise StrategyError(
            f"a module named {name!r} is already loaded from {getattr(known, '__file__', '?')}: rename the file"
        )
    specification = importlib.util.spec_from_file_location(name, path.resolve())
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise StrategyError(f"{str(path)!r} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _attribute(module: Any, name: str, implementation: str) -> Any:
    if not hasattr(module, name):
        raise StrategyError(f"{implementation!r}: the module has no {name}")
    return getattr(module, name)


def parameters_of(author: Any) -> dict[str, Parameter]:
    """The parameters that a strategy takes. Raises: `StrategyError` for something that is no strategy."""
    if isinstance(author, CompiledStrategy):
        return author.parameters
    if isinstance(author, type) and hasattr(author, "on_tick"):
        return PlainStrategy.specification(author)
    if isinstance(author, type) and hasattr(author, "on_batch"):
        return dict(getattr(author, "parameters", {}))
    raise StrategyError(
        f"{author!r} is no strategy: wanted @strategy, a class with on_tick, or one with start and on_batch"
    )


def check(config: StrategyConfig) -> None:
    """Refuses a configuration whose strategy cannot be loaded or takes other parameters. Raises: `StrategyError`."""
    checked(parameters_of(load(config.implementation)), config.parameters)


def configure(implementation: str, given: Mapping[str, Value]) -> Guest:
    """A strategy with its parameters, ready to start. Raises: `StrategyError`."""
    author = load(implementation)
    values = checked(parameters_of(author), given)
    if isinstance(author, CompiledStrategy):
        return author.configure(values)
    if hasattr(author, "on_tick"):
        return PlainStrategy(author, values)
    made = author(**values)
    if not isinstance(made, Strategy):
        raise StrategyError(f"{implementation!r} has on_batch but no start")
    return BatchStrategy(made)
