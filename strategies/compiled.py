"""Strategies as compiled functions: one scalar function over a state, a tick and parameters.

    state, a copy of the tick, a copy of the parameters ─► the author's function ─► checked ─► SIGNAL row

What the author writes to its tick or its parameters is gone with the tick, indexes are checked, and what is returned is
looked at before it counts. With the compiler off the same source does the same as plain Python.
"""

import dis
import hashlib
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import numba
import numpy as np

from functions.events import InstrumentConfig
from functions.kernel import checked_indexes, kernel, records, unlocked
from functions.kernel_cache import fingerprint
from functions.signals import DEFAULT_PRODUCT, NO_SIGNALS, SIGNAL
from functions.ticks import NO_TICKS, TICK, Rows
from strategies.answers import in_words, words_of
from strategies.guest import EVERYTHING, Answered, Lost
from strategies.parameters import Parameter, StrategyError, Value, checked

# Of numbers, so that what an author sets is seen as it was set: a kind of 1.5 is no kind.
REQUEST: Final = np.dtype([("limit", "f8"), ("trigger", "f8"), ("kind", "f8"), ("product", "f8")], align=True)
PROGRESS: Final = 3  # the row it is at, signals so far, what is wrong with the last answer

# A module of its own per strategy: Numba would compile a function that is passed as an argument anew in each process.
_LOOP: Final = '''"""Generated: the loop over a batch of one strategy, whose compiled function is put here as `decide`."""

from functions.instruments import micro_price
from functions.kernel import borrow, note, own
from strategies.answers import {check}, units


def loop(states, ticks, parameters, out, requests, progress):
    states = borrow(states)
    ticks = borrow(ticks)
    out = borrow(out)
    progress = borrow(progress)
    params = parameters[0]
    request = requests[0]
    count = 0
    for row in range(progress[0], ticks.shape[0]):
        note(progress, row)
        tick = ticks[row]
        instrument = tick.instrument
{reset}        quantity = units(decide(states[instrument], own(tick), own(params){request}))
        if quantity != 0:
            fault = {check}(quantity{facts})
            if fault != 0:
                progress[2] = fault
                return quantity
            signal = out[count]
            signal.row = row
            signal.quantity = abs(quantity)
            signal.limit = micro_price(request.limit)
            signal.trigger = micro_price(request.trigger)
            signal.price = 0
            signal.strategy = 0
            signal.instrument = instrument
            signal.side = 1 if quantity > 0 else -1
            signal.kind = int(request.kind)
            signal.product = int(request.product)
            signal.nth = 0
            signal.follower = 0
            signal.spare = 0
            count += 1
            progress[1] = count
    return 0
'''

_WITH_REQUEST: Final = {
    "check": "fault_of",
    "facts": ", request.kind, request.product, request.limit, request.trigger",
    "request": ", request",
    "reset": """\
        request.limit = 0.0
        request.trigger = 0.0
        request.kind = 0.0
        request.product = -1.0
""",
}
_WITHOUT_REQUEST: Final = {"check": "quantity_fault", "facts": "", "request": "", "reset": ""}

StateFields = Sequence[tuple[Any, ...]] | Callable[[Any], Sequence[tuple[Any, ...]]]


class CompiledStrategy:
    """A scalar function with its state and parameters; `configure` makes the strategy."""

    def __init__(self, function: Callable[..., int], state: StateFields, parameters: Mapping[str, Parameter]) -> None:
        self.function = function
        self.state = state
        self.parameters = dict(parameters)
        self.__name__ = function.__name__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__
        self.takes_request = len(inspect.signature(function).parameters) == 4
        self.decide: Any = kernel(function)
        self._loop: Callable[..., int] | None = None

    def __call__(self, *arguments: Any) -> int:
        return self.function(*arguments)

    def configure(self, given: Mapping[str, Value]) -> "_Compiled":
        """The strategy with these parameters. Raises: `StrategyError`."""
        reached(self.function)
        return _Compiled(self, checked(self.parameters, given))

    @property
    def loop(self) -> Callable[..., int]:
        """The loop over a batch, compiled when it is first called and nothing is kept of before."""
        if self._loop is None:
            self._loop = unlocked(_generated(self).loop, self._compile)
        return self._loop

    def _compile(self, kinds_of_arguments: Any) -> None:
        """The function with all that it calls, for a loop over such arguments: indexes are checked, a quantity is returned."""
        states, ticks, parameters, _, requests, _ = (array.dtype for array in kinds_of_arguments)
        kinds = (states, ticks, parameters, requests) if self.takes_request else (states, ticks, parameters)
        with checked_indexes():
            self.decide.compile(kinds)
        returned = self.decide.overloads[kinds].signature.return_type
        if not _is_quantity(returned):
            raise StrategyError(f"{self.__name__} returns {returned}, wanted a signed whole number: wrap it in int(…)")


def strategy(state: StateFields, **parameters: Value | Parameter) -> Callable[[Callable[..., int]], CompiledStrategy]:
    """Makes a strategy of a scalar function `(state, tick, params[, order]) -> signed quantity`.

    `state` lists the fields of one instrument's memory as NumPy fields, or is a function of the parameters that does.
    Parameters are ints or floats with defaults. A function that takes `order` may set `order.kind`, `order.limit`,
    `order.trigger` (rupees) and `order.product` before it returns a quantity; they hold for that one signal.
    """
    specification = {name: p if isinstance(p, Parameter) else Parameter(p) for name, p in parameters.items()}
    return lambda function: CompiledStrategy(function, state, specification)


def _refuse_names(strategy: str, what: str, names: Sequence[str]) -> None:
    """Fields named as NumPy's own attributes read as those when the compiler is off."""
    clash = [name for name in names if hasattr(np.recarray, name) or hasattr(np.record, name)]
    if clash:
        raise StrategyError(f"{strategy}: {what} {', '.join(clash)} is a name of NumPy's, choose another")


class _Compiled:
    """A compiled strategy with its parameters."""

    most = EVERYTHING
    is_python = False

    def __init__(self, author: CompiledStrategy, values: dict[str, Value]) -> None:
        self.author = author
        _refuse_names(author.__name__, "parameter", tuple(values))
        fields = [(name, "i8" if isinstance(value, int) else "f8") for name, value in values.items()]
        self._parameters = (
            np.array([tuple(values.values())], fields or [("none", "i8")]) if values else np.zeros(1, REQUEST)
        )
        row = self._parameters.view(np.recarray)[0]
        declared = author.state(row) if callable(author.state) else author.state
        self._state = np.dtype([(field[0], *field[1:]) for field in declared], align=True)
        _refuse_names(author.__name__, "state field", self._state.names or ())
        self._requests = np.zeros(1, REQUEST)
        self._requests["product"] = DEFAULT_PRODUCT
        self._progress = np.zeros(PROGRESS, np.int64)
        self._out = np.empty(256, SIGNAL)

    def start(self, instruments: Sequence[InstrumentConfig]) -> Rows:
        """Compiles as well, so that the first tick does not wait, and a function that cannot be is refused here."""
        state = np.zeros(len(instruments), self._state)
        try:
            self._loop(state, NO_TICKS)
        except StrategyError:
            raise
        except Exception as error:  # the compiler's, and whatever of the author's it met
            raise StrategyError(f"{self.author.__name__} cannot be compiled: {': '.join(words_of(error))}") from error
        return state

    def ask(self, state: Rows, ticks: Rows) -> Answered:
        """All ticks in one call, up to the first that is lost."""
        if len(ticks) > len(self._out):
            self._out = np.empty(2 * len(ticks), SIGNAL)
        try:
            quantity = self._loop(state, ticks)
            row, count, fault = self._progress.tolist()
            lost = Lost(row, "ValueError", self._wrong(fault, quantity)) if fault else None
        except BaseException as error:  # the author's: anything may come
            row, count, _ = self._progress.tolist()
            lost = Lost.of(row, error)
        signals = self._out[:count].copy() if count else NO_SIGNALS
        return Answered(signals, (), len(ticks)) if lost is None else Answered(signals, [lost], row + 1)

    def at(self) -> int:
        return int(self._progress[0])

    def _loop(self, state: Rows, ticks: Rows) -> int:
        """Asks on one tick after the other; `_progress` says how far it came, and why not further."""
        self._progress[:] = 0
        return self.author.loop(
            records(state), records(ticks), records(self._parameters), records(self._out), records(self._requests),
            self._progress,
        )  # fmt: skip

    def _wrong(self, fault: int, quantity: int) -> str:
        asked = dict(zip(REQUEST.names or (), self._requests[0].item(), strict=True))
        return in_words(fault, quantity=quantity, **asked)


def _is_quantity(returned: Any) -> bool:
    """Whether a compiled function's type is that of a whole number, or of nothing."""
    kind = getattr(returned, "type", returned)  # of an optional, what it is if it is something
    return isinstance(kind, numba.types.Integer | numba.types.NoneType)


# --- the loop of one strategy -----------------------------------------------------------------------------------------


def _code_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_of(constant)


def _used(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function finds by name outside of itself: globals, what modules among them hold, and what it closes over."""
    steps = [step for code in _code_of(function.__code__) for step in dis.get_instructions(code)]
    names = dict.fromkeys(step.argval for step in steps if step.opname == "LOAD_GLOBAL")
    found = [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    yield from found
    attributes = dict.fromkeys(step.argval for step in steps if step.opname in ("LOAD_ATTR", "LOAD_METHOD"))
    for module, value in found:
        if isinstance(value, ModuleType) and not _is_versioned(value.__name__):
            yield from ((f"{module}.{name}", value.__dict__[name]) for name in attributes if name in value.__dict__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # empty
            yield name, cell.cell_contents


def _is_versioned(module: str) -> bool:
    """Whether a module belongs to what the fingerprint knows by its version."""
    return module.partition(".")[0] in ("numpy", "numba")


def reached(function: Any, path: tuple[Any, ...] = (), seen: dict[Any, None] | None = None) -> dict[Any, None]:
    """A function and every function that it calls, once each, in the order in which they are met.

    Raises: `StrategyError` where one calls itself: compiled, it would overrun the stack and end the process.
    """
    seen = {} if seen is None else seen
    function = getattr(function, "py_func", function)
    if not isinstance(function, FunctionType) or _is_versioned(function.__module__ or ""):
        return seen
    if function in path:
        names = " → ".join(each.__name__ for each in (*path, function))
        raise StrategyError(f"a compiled strategy may not call itself ({names}): write a loop, or a plain class")
    if function not in seen:
        seen[function] = None
        for _, value in _used(function):
            reached(value, (*path, function), seen)
    return seen


def sources(function: Callable[..., Any]) -> set[Path]:
    """Files of a function and of every function that it reaches: what its compiled form depends on."""
    files = (inspect.getsourcefile(each) for each in reached(function))
    return {Path(file) for file in files if file is not None}


def _constants(function: Callable[..., Any]) -> bytes:
    """What machine code holds beside its sources: the places of functions, and values that are constants to the compiler."""
    parts: list[bytes] = []
    for each in reached(function):
        parts.append(f"{each.__module__}.{each.__qualname__}:{each.__code__.co_firstlineno}".encode())
        for name, value in _used(each):
            if isinstance(value, np.ndarray):
                parts.append(f"{name} {value.dtype} {value.shape} ".encode() + value.tobytes())
            elif isinstance(value, int | float | complex | str | bytes | tuple | np.generic):
                parts.append(f"{name} {value!r}".encode(errors="backslashreplace"))
    return b"\0".join(parts)


def _generated(author: CompiledStrategy) -> Any:
    """The strategy's loop in a module, named after everything its code depends on."""
    text = _LOOP.format(**(_WITH_REQUEST if author.takes_request else _WITHOUT_REQUEST))
    made_of = hashlib.blake2b(text.encode() + _constants(author.function), digest_size=8).hexdigest()
    name = f"loop_{author.__name__}_{fingerprint(*sources(author.function))}_{made_of}"
    module = ModuleType(name)
    module.__file__ = f"<{name}>"
    module.__dict__["decide"] = author.decide
    linecache.cache[module.__file__] = (len(text), None, text.splitlines(keepends=True), module.__file__)
    sys.modules[name] = module
    exec(compile(text, module.__file__, "exec"), module.__dict__)
    return module


assert "instrument" in (TICK.names or ()), "the loop reads the tick's instrument"
