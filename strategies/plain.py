"""Strategies in plain Python, a tick at a time: a class with `on_tick`, in which any library may be used."""

import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from functions.configuration import MAX_QUANTITY
from functions.events import InstrumentConfig
from functions.signals import NO_SIGNALS, SIGNAL
from functions.ticks import TICK, Rows
from strategies.answers import shown, signal_row, wanted
from strategies.guest import Answered, Lost, refused_if_it_raises
from strategies.parameters import Parameter, StrategyError, Value, declared

TICK_FIELDS: Final = (
    "instrument_token", "time", "price", "bid", "ask", "bid_quantity", "ask_quantity", "volume", "open_interest",
)  # fmt: skip
AT_ONCE: Final = 1_000  # ticks: as many as a pipeline reads at once


class PlainStrategy:
    """A Python class with `on_tick(self, tick) -> int | Signal | list[Signal] | None`, made one object an instrument.

    `tick` has the attributes TICK_FIELDS (`time` in ns, prices in rupees). The class may name the ones it needs in
    `fields`, which makes it faster, and may set `per_instrument = False` to be one object for all its instruments.
    Objects must be picklable: they are the state.
    """

    most = AT_ONCE
    is_python = True

    def __init__(self, author: type, values: Mapping[str, Value]) -> None:
        self.author = author
        self.values = dict(values)
        self.per_instrument: bool = getattr(author, "per_instrument", True)
        self.fields = _fields(author)
        self._tick = msgspec.defstruct("Tick", [(field, Any) for field in self.fields], gc=False, frozen=True)
        self._tokens: list[int] = []
        self._index_of: dict[int, int] = {}
        self._state: list[Any] | None = None
        self._handlers: list[Any] = []

    @staticmethod
    def specification(author: type) -> dict[str, Parameter]:
        """The parameters of a class: its `parameters`, else the arguments of `__init__` that have plain defaults."""
        known = declared(author)
        for name, argument in inspect.signature(author).parameters.items():
            if name not in known and isinstance(argument.default, int | float | bool | str):
                known[name] = Parameter(argument.default)
            elif name not in known:
                raise StrategyError(
                    f"{author.__name__}: argument {name} needs a default that is a number, text or bool"
                )
        return known

    def start(self, instruments: Sequence[InstrumentConfig]) -> list[Any]:
        self._tokens = [instrument.instrument_token for instrument in instruments]
        self._index_of = {token: n for n, token in enumerate(self._tokens)}
        make = len(instruments) if self.per_instrument else 1
        with refused_if_it_raises(f"{self.author.__name__}.__init__"):
            return [self.author(**self.values) for _ in range(make)]

    def ask(self, state: list[Any], ticks: Rows) -> Answered:
        """Shows tick after tick, each a new object, up to the first that is lost."""
        rows: list[tuple[int, ...]] = []
        instruments = ticks["instrument"].tolist()
        columns = [self._column(ticks, field) for field in self.fields]
        make = self._tick
        row = 0
        try:
            handlers = self._bound(state)
            for row, values in enumerate(zip(*columns, strict=True)):
                answer = handlers[instruments[row]](make(*values))
                if answer:  # one that is no signal fails its own tick, before the next one is asked
                    rows += self._converted(row, instruments[row], answer)
        except BaseException as error:  # the author's: anything may come
            before = [each for each in rows if each[0] < row]
            return Answered(_signal_rows(before), [Lost.of(row, error)], row + 1)
        return Answered(_signal_rows(rows), (), len(ticks))

    def at(self) -> int:
        """The row of the tick that is being answered: a local of `ask`, in whichever thread that runs."""
        for top in sys._current_frames().values():
            for frame, _ in traceback.walk_stack(top):
                if frame.f_code is PlainStrategy.ask.__code__ and frame.f_locals.get("self") is self:
                    return frame.f_locals.get("row", 0)
        return 0

    def _bound(self, state: list[Any]) -> list[Any]:
        """`on_tick` of each instrument's object, looked up once and not once a batch."""
        if state is not self._state:
            self._handlers = [each.on_tick for each in state] * (1 if self.per_instrument else len(self._tokens))
            self._state = state
        return self._handlers

    def _column(self, ticks: Rows, field: str) -> list[Any]:
        if field == "instrument_token":
            tokens = self._tokens
            return [tokens[i] for i in ticks["instrument"].tolist()]
        return ticks[field].tolist()

    def _converted(self, row: int, instrument: int, answer: Any) -> list[tuple[int, ...]]:
        if type(answer) is int and -MAX_QUANTITY <= answer <= MAX_QUANTITY:
            return [(row, abs(answer), 0, 0, 0, 0, instrument, 1 if answer > 0 else -1, 0, -1, 0, 0, 0)]
        rows: list[tuple[int, ...]] = []
        for each in wanted(answer):
            made = signal_row(row, len(rows), instrument, each, self._index_of)
            if made is not None:
                rows.append(made)
        return rows


def _fields(author: type) -> tuple[str, ...]:
    """Which fields a class names; one that wants none gets one, as it is asked all the same."""
    named = getattr(author, "fields", TICK_FIELDS)
    if isinstance(named, str) or not all(isinstance(field, str) for field in named):
        raise StrategyError(f"{author.__name__}: fields is a tuple of names, e.g. ('price',), was {shown(named)}")
    unknown = [field for field in named if field not in TICK_FIELDS]
    if unknown:
        raise StrategyError(f"{author.__name__}: no tick has {', '.join(unknown)}; known: {', '.join(TICK_FIELDS)}")
    return tuple(dict.fromkeys(named)) or TICK_FIELDS[:1]


def _signal_rows(rows: list[tuple[int, ...]]) -> Rows:
    return np.array(rows, SIGNAL) if rows else NO_SIGNALS


assert set(TICK_FIELDS) - {"instrument_token"} <= set(TICK.names or ()), "a tick field that no row has"
