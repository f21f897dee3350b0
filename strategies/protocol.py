"""What a strategy is, and how each style of writing one becomes it.

Under every strategy lies one protocol over batches: `start(instruments) -> state`, `on_batch(state, ticks) -> signal
rows`. Authors never see a batch. They write one scalar function,

    @strategy(state=[("seen", "i8"), ("average", "f8")], alpha=0.05, quantity=1)
    def fade(state, tick, params):
        ...
        return -params.quantity        # signed; 0 = nothing

which is compiled (and is plain Python with the compiler off), or a plain Python class with `on_tick(tick)`, in which
any library may be used. Whatever keeps the protocol itself (a model that scores whole batches, pairs) is a strategy too.
"""

import hashlib
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, Protocol, runtime_checkable

import msgspec
import numpy as np

from functions.events import InstrumentConfig
from functions.kernel import records
from functions.kernel_cache import fingerprint
from functions.orders import KINDS, PRODUCTS
from functions.signals import DEFAULT_PRODUCT, NO_SIGNALS, SIGNAL
from functions.ticks import NO_TICKS, TICK, Rows

Value = int | float | bool | str


class StrategyError(ValueError):
    """A strategy that cannot be loaded or configured: which, why, and what would do."""


class StrategyFailed(Exception):
    """A strategy raised on one tick. `signals` are those of the ticks before it; `row` is the tick's."""

    def __init__(self, row: int, signals: Rows, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.row = row
        self.signals = signals
        self.cause = cause


@runtime_checkable
class Strategy(Protocol):
    """A configured strategy. It keeps nothing itself: its memory is the state that `start` makes."""

    def start(self, instruments: Sequence[InstrumentConfig]) -> Any:
        """The state before the first tick; `instruments` are the strategy's own, in the order of their index."""

    def on_batch(self, state: Any, ticks: Rows) -> Rows:
        """SIGNAL rows sorted by row, for TICK rows whose `instrument` counts the strategy's own instruments.

        `strategy` is left 0 and `instrument` counts as in the ticks. Raises: `StrategyFailed`.
        """


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a strategy: its default gives the type, the bounds are inclusive."""

    default: Value
    minimum: float | None = None
    maximum: float | None = None
    summary: str = ""

    def check(self, name: str, value: Value) -> Value:
        """The value in the parameter's type. Raises: `StrategyError`."""
        wanted = type(self.default)
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise StrategyError(f"parameter {name} takes {wanted.__name__}, was {value!r}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                raise StrategyError(f"parameter {name} is at least {self.minimum:g}, was {value!r}")
            if self.maximum is not None and value > self.maximum:
                raise StrategyError(f"parameter {name} is at most {self.maximum:g}, was {value!r}")
            if value != value:
                raise StrategyError(f"parameter {name} must be a number, was {value!r}")
        return value


def checked(specification: Mapping[str, Parameter], given: Mapping[str, Value]) -> dict[str, Value]:
    """All parameters with their values, in the order of the specification. Raises: `StrategyError`.

    >>> checked({"window": Parameter(20, minimum=2)}, {"window": 50})
    {'window': 50}
    """
    unknown = sorted(set(given) - set(specification))
    if unknown:
        raise StrategyError(f"unknown parameter {', '.join(unknown)}; known: {', '.join(specification) or 'none'}")
    return {name: p.check(name, given.get(name, p.default)) for name, p in specification.items()}


# --- compiled strategies ----------------------------------------------------------------------------------------------

REQUEST: Final = np.dtype([("limit", "f8"), ("trigger", "f8"), ("kind", "i8"), ("product", "i8")], align=True)

# A module of its own per strategy: Numba would compile a function that is passed as an argument anew in each process.
_LOOP: Final = '''"""Generated: the loop over a batch for {module}.{name}."""

from {module} import {name} as author

from functions.instruments import micro_price
from functions.kernel import borrow, entry, kernel

decide = kernel(author.function)


@entry
def loop(states, ticks, parameters, out, requests, progress):
    states = borrow(states)
    ticks = borrow(ticks)
    out = borrow(out)
    progress = borrow(progress)
    params = parameters[0]
    request = requests[0]
    count = 0
    for row in range(progress[0], ticks.shape[0]):
        progress[0] = row
        tick = ticks[row]
{reset}        quantity = decide(states[tick.instrument], tick, params{request})
        if quantity != 0:
            signal = out[count]
            signal.row = row
            signal.quantity = abs(quantity)
            signal.limit = micro_price(request.limit)
            signal.trigger = micro_price(request.trigger)
            signal.price = 0
            signal.strategy = 0
            signal.instrument = tick.instrument
            signal.side = 1 if quantity > 0 else -1
            signal.kind = request.kind
            signal.product = request.product
            signal.nth = 0
            signal.follower = 0
            signal.spare = 0
            count += 1
            progress[1] = count
    return count
'''

_RESET: Final = """\
        request.limit = 0.0
        request.trigger = 0.0
        request.kind = 0
        request.product = -1
"""

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
        self._loop: ModuleType | None = None

    def __call__(self, *arguments: Any) -> int:
        return self.function(*arguments)

    def configure(self, given: Mapping[str, Value]) -> "_Compiled":
        """The strategy with these parameters. Raises: `StrategyError`."""
        return _Compiled(self, checked(self.parameters, given))

    @property
    def loop(self) -> Callable[..., int]:
        if self._loop is None:
            self._loop = _generated(self)
        return self._loop.loop


def _refuse_names(strategy: str, what: str, names: Sequence[str]) -> None:
    """Fields named as NumPy's own attributes read as those when the compiler is off."""
    clash = [name for name in names if hasattr(np.recarray, name) or hasattr(np.record, name)]
    if clash:
        raise StrategyError(f"{strategy}: {what} {', '.join(clash)} is a name of NumPy's, choose another")


class _Compiled:
    """A compiled strategy with its parameters."""

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
        clash = [name for name in self._state.names or () if hasattr(np.recarray, name) or hasattr(np.record, name)]
        if clash:
            raise StrategyError(
                f"{author.__name__}: state field {', '.join(clash)} is a name of NumPy's, choose another"
            )
        self._requests = np.zeros(1, REQUEST)
        self._requests["product"] = DEFAULT_PRODUCT
        self._progress = np.zeros(2, np.int64)
        self._out = np.empty(256, SIGNAL)

    def start(self, instruments: Sequence[InstrumentConfig]) -> Rows:
        """Compiles as well, so that the first tick does not wait, and a function that cannot be is refused here."""
        state = np.zeros(len(instruments), self._state)
        try:
            self.on_batch(state, NO_TICKS)
        except StrategyFailed as error:
            raise StrategyError(f"{self.author.__name__} cannot be compiled: {error}") from error
        return state

    def on_batch(self, state: Rows, ticks: Rows) -> Rows:
        if len(ticks) > len(self._out):
            self._out = np.empty(2 * len(ticks), SIGNAL)
        self._progress[:] = 0
        try:
            count = self.author.loop(
                records(state), records(ticks), records(self._parameters), records(self._out), records(self._requests),
                self._progress,
            )  # fmt: skip
        except Exception as error:  # the author's: anything may come
            row, count = self._progress.tolist()
            raise StrategyFailed(row, self._out[:count].copy(), error) from error
        return self._out[:count].copy() if count else NO_SIGNALS


def strategy(state: StateFields, **parameters: Value | Parameter) -> Callable[[Callable[..., int]], CompiledStrategy]:
    """Makes a strategy of a scalar function `(state, tick, params[, order]) -> signed quantity`.

    `state` lists the fields of one instrument's memory as NumPy fields, or is a function of the parameters that does.
    Parameters are ints or floats with defaults. A function that takes `order` may set `order.kind`, `order.limit`,
    `order.trigger` (rupees) and `order.product` before it returns a quantity; they hold for that one signal.
    """
    specification = {name: p if isinstance(p, Parameter) else Parameter(p) for name, p in parameters.items()}
    return lambda function: CompiledStrategy(function, state, specification)


def _code_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_of(constant)


def sources(function: Callable[..., Any], seen: set[Path] | None = None) -> set[Path]:
    """Files of a function and of every function it reaches through its globals: what its compiled form depends on."""
    seen = set() if seen is None else seen
    function = getattr(function, "py_func", function)
    file = inspect.getsourcefile(function)
    if file is None or Path(file) in seen:
        return seen
    seen.add(Path(file))
    for code in _code_of(function.__code__):
        for name in code.co_names:
            value = function.__globals__.get(name)
            value = getattr(value, "py_func", value)
            if inspect.isfunction(value):
                sources(value, seen)
    return seen


def _generated(author: CompiledStrategy) -> ModuleType:
    """The strategy's loop as a module, named after everything its code depends on."""
    text = _LOOP.format(
        module=author.__module__, name=author.__name__, request=", request" if author.takes_request else "",
        reset=_RESET if author.takes_request else "",
    )  # fmt: skip
    name = f"loop_{author.__name__}_{fingerprint(*sources(author.function))}"
    name += hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    module = ModuleType(name)
    module.__file__ = f"<{name}>"
    linecache.cache[module.__file__] = (len(text), None, text.splitlines(keepends=True), module.__file__)
    sys.modules[name] = module
    exec(compile(text, module.__file__, "exec"), module.__dict__)
    return module


# --- plain Python, a tick at a time -----------------------------------------------------------------------------------


class Signal(msgspec.Struct, frozen=True):
    """What `on_tick` may return where a signed quantity says too little; prices in rupees."""

    quantity: int  # signed
    kind: str = "MARKET"
    limit: float = 0.0
    trigger: float = 0.0
    product: str | None = None
    instrument_token: int | None = None  # another instrument of the strategy; None = the tick's


TICK_FIELDS: Final = (
    "instrument_token", "time", "price", "bid", "ask", "bid_quantity", "ask_quantity", "volume", "open_interest",
)  # fmt: skip


class PlainStrategy:
    """A Python class with `on_tick(self, tick) -> int | Signal | list[Signal] | None`, made one object an instrument.

    `tick` has the attributes TICK_FIELDS (`time` in ns, prices in rupees). The class may name the ones it needs in
    `fields`, which makes it faster, and may set `per_instrument = False` to be one object for all its instruments.
    Objects must be picklable: they are the state.
    """

    def __init__(self, author: type, values: Mapping[str, Value]) -> None:
        self.author = author
        self.values = dict(values)
        self.per_instrument: bool = getattr(author, "per_instrument", True)
        self.fields: tuple[str, ...] = tuple(getattr(author, "fields", TICK_FIELDS))
        unknown = [field for field in self.fields if field not in TICK_FIELDS]
        if unknown:
            raise StrategyError(f"{author.__name__}: no tick has {', '.join(unknown)}; known: {', '.join(TICK_FIELDS)}")
        self._tick = msgspec.defstruct("Tick", [(field, Any) for field in self.fields], gc=False, frozen=True)
        self._tokens: list[int] = []
        self._state: list[Any] | None = None
        self._handlers: list[Any] = []

    @staticmethod
    def specification(author: type) -> dict[str, Parameter]:
        """The parameters of a class: its `parameters`, else the arguments of `__init__` that have plain defaults."""
        declared: dict[str, Parameter] = dict(getattr(author, "parameters", {}))
        for name, argument in inspect.signature(author).parameters.items():
            if name not in declared and isinstance(argument.default, int | float | bool | str):
                declared[name] = Parameter(argument.default)
            elif name not in declared:
                raise StrategyError(
                    f"{author.__name__}: argument {name} needs a default that is a number, text or bool"
                )
        return declared

    def start(self, instruments: Sequence[InstrumentConfig]) -> list[Any]:
        self._tokens = [instrument.instrument_token for instrument in instruments]
        make = len(instruments) if self.per_instrument else 1
        return [self.author(**self.values) for _ in range(make)]

    def on_batch(self, state: list[Any], ticks: Rows) -> Rows:
        rows: list[tuple[int, ...]] = []
        instruments = ticks["instrument"].tolist()
        columns = [self._column(ticks, field) for field in self.fields]
        if state is not self._state:  # bound once, not once a batch
            self._state = state
            self._handlers = [each.on_tick for each in state] * (1 if self.per_instrument else len(self._tokens))
        handlers = self._handlers
        make = self._tick
        row = -1
        try:
            for row, values in enumerate(zip(*columns, strict=True)):
                answer = handlers[instruments[row]](make(*values))
                if answer:  # an answer that is no signal fails its own tick, before the next one is asked
                    rows += self._converted(row, instruments[row], answer)
        except Exception as error:  # the author's: anything may come
            raise StrategyFailed(row, _signal_rows(rows), error) from error
        return _signal_rows(rows)

    def _column(self, ticks: Rows, field: str) -> list[Any]:
        if field == "instrument_token":
            tokens = self._tokens
            return [tokens[i] for i in ticks["instrument"].tolist()]
        return ticks[field].tolist()

    def _converted(self, row: int, instrument: int, answer: Any) -> list[tuple[int, ...]]:
        if type(answer) is int:
            return [(row, abs(answer), 0, 0, 0, 0, instrument, 1 if answer > 0 else -1, 0, -1, 0, 0, 0)]
        answers = answer if isinstance(answer, list) else [answer]
        return [self._row(row, nth, instrument, each) for nth, each in enumerate(answers)]

    def _row(self, row: int, nth: int, instrument: int, answer: Any) -> tuple[int, ...]:
        """One SIGNAL row. Raises: `TypeError`, `ValueError` for an answer that is no signal."""
        if isinstance(answer, int):
            answer = Signal(answer)
        if not isinstance(answer, Signal):
            raise TypeError(f"on_tick returned {answer!r}, wanted a signed int, a Signal, a list of them or None")
        if answer.kind not in KINDS:
            raise ValueError(f"order kind {answer.kind!r} is none of {', '.join(KINDS)}")
        if answer.product is not None and answer.product not in PRODUCTS:
            raise ValueError(f"product {answer.product!r} is none of {', '.join(PRODUCTS)}")
        if answer.instrument_token is not None:
            if answer.instrument_token not in self._tokens:
                raise ValueError(f"instrument {answer.instrument_token} is not one of the strategy's own")
            instrument = self._tokens.index(answer.instrument_token)
        product = DEFAULT_PRODUCT if answer.product is None else PRODUCTS.index(answer.product)
        return (
            row, abs(answer.quantity), int(answer.limit * 1e6 + 0.5), int(answer.trigger * 1e6 + 0.5), 0, 0, instrument,
            1 if answer.quantity > 0 else -1, KINDS.index(answer.kind), int(product), nth, 0, 0,
        )  # fmt: skip


def _signal_rows(rows: list[tuple[int, ...]]) -> Rows:
    return np.array(rows, SIGNAL) if rows else NO_SIGNALS


assert set(TICK_FIELDS) - {"instrument_token"} <= set(TICK.names or ()), "a tick field that no row has"
