"""A grammar of nasty strategies: each has a form, moments at which it misbehaves, and one deed that it does then.

Each counts the ticks of an instrument that it is shown, and wants as many shares as it has been shown ticks. So its signals
alone say whether it was shown each tick once. `expected` says what must be left of them.
"""

from collections.abc import Sequence
from enum import Enum
from random import Random
from typing import Final, NamedTuple

from strategies.roster import MAX_FAILURES


class Effect(Enum):
    """What a deed must cost."""

    NOTHING = "nothing"
    SILENT = "it wants nothing on that tick"
    LOST = "the tick"
    EITHER = "the tick, or nothing"
    BATCH = "the batch"
    TIME = "all ticks from there on: it never comes to an end"
    STUBBORN = "all ticks from there on, and it cannot be interrupted"
    UNKEPT = "in a pipeline all ticks from the next snapshot on"


class Deed(NamedTuple):
    """Python that is run instead of an ordinary answer, and what it must cost."""

    code: str
    effect: Effect


def _deeds(effect: Effect, *codes: str) -> list[Deed]:
    return [Deed(code, effect) for code in codes]


# --- what any Python may do -------------------------------------------------------------------------------------------

_RAISED: Final = (
    "raise ValueError('nasty')", "raise Exception", "raise BaseException('nasty')", "raise KeyboardInterrupt",
    "raise SystemExit", "sys.exit(0)", "sys.exit('a text')", "exit()", "quit(3)", "raise GeneratorExit",
    "raise StopIteration", "raise MemoryError", "raise asyncio.CancelledError", "raise Unsayable", "raise Unnamed",
    "raise ExceptionGroup('many', [ValueError(1), TypeError(2)])", "raise BaseExceptionGroup('many', [KeyboardInterrupt()])",
    "raise ValueError('x' * 10**6)", "raise ValueError('two\\nlines\\x00 and \\ud800')", "raise ValueError(object())",
    "raise Exception from SystemExit(4)", "recurse()", "1 / 0", "assert False", "nobody", "[][0]", "{}[0]",
    "warnings.simplefilter('error'); warnings.warn('an error now')", "open('/nowhere/at/all')", "None.price",
    "int('9' * 10_000)", "__import__('no_such_module')", "raise UnicodeDecodeError('utf-8', b'x', 0, 1, 'nasty')",
    "deep = deeply()\nrepr(deep)", "print('before', file=None, flush=True); raise OSError(28, 'No space left on device')",
    "threading.Thread(target=recurse).start(); raise RuntimeError", "raise Cyclic()", "raise type('Ümläut', (Exception,), {})",
)  # fmt: skip

_HARMLESS: Final = (
    "print('a line', flush=True)", "print('a line', file=sys.stderr)", "os.write(1, b'a line\\n')",
    "warnings.warn('a warning')",
    "logging.getLogger().error('an error')", "logging.disable()", "os.chdir('/')",
    "signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "signal.signal(signal.SIGTERM, lambda *a: sys.exit(9))", "sys.setrecursionlimit(10_000)",
    "gc.disable()", "gc.collect()", "random.seed(1)", "np.random.seed(1)", "np.seterr(all='raise')", "np.seterr(all='ignore')",
    "decimal.getcontext().prec = 2", "decimal.getcontext().traps[decimal.Inexact] = True",
    "decimal.setcontext(None or decimal.Context(1))",
    "sys.stdout = None", "sys.stderr = sys.stdout = open(os.devnull, 'w')", "warnings.resetwarnings()",
    "warnings.filters.clear()",
    "sys.settrace(None)", "sys.setprofile(lambda *a: None)", "sys.settrace(lambda *a: None)", "sys.setswitchinterval(0.5)",
    "threading.Thread(target=time.sleep, args=(0.2,)).start()", "threading.Thread(target=nap, daemon=True).start()",
    "threading.Thread(target=lambda: 1 / 0).start()", "threading.Thread(target=sys.exit).start()",
    "signal.setitimer(signal.ITIMER_REAL, 0.001)", "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)", "signal.alarm(1)",
    "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})", "atexit.register(lambda: 1 / 0)",
    "sys.excepthook = sys.unraisablehook = threading.excepthook = None", "Dying()", "os.environ.clear()",
    "time.sleep(0.001)", "np.set_printoptions(precision=1)", "Counted.append(0); del Counted[:]",
    "faulthandler.disable()", "asyncio.run(asyncio.sleep(0))", "subprocess.run(['true'])", "if os.fork() == 0: pass",
)  # fmt: skip

_ENDLESS: Final = (
    "while True: pass", "time.sleep(1e6)", "threading.Event().wait()", "while True: time.sleep(0.001)",
    "for _ in itertools.count(): pass", "while True:\n    try: time.sleep(0.01)\n    except Exception: pass",
    "queue.Queue().get()", "threading.Lock().acquire() and (lock := threading.Lock()).acquire() and lock.acquire()",
    "sum(1 for _ in itertools.count())",
)  # fmt: skip
_STUBBORN: Final = (
    "while True:\n    try: time.sleep(0.01)\n    except BaseException: pass",
    "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
)
_UNKEPT: Final = (
    "self.kept = lambda: 0", "self.kept = threading.Lock()", "self.kept = (n for n in ())", "self.kept = open(os.devnull)",
    "self.kept = Exits()", "self.kept = sys", "self.kept = sys._getframe()", "self.kept = type('Local', (), {})()",
)  # fmt: skip

# --- what on_tick may answer ------------------------------------------------------------------------------------------

_WRONG: Final = (
    "float('nan')", "float('inf')", "-float('inf')", "1.5", "1.0", "True", "10**30", "-10**30", "10**7 + 1", "2**63", "-2**63",
    "'buy'", "b'1'", "object()", "(1,)", "{1: 2}", "{1}", "[float('nan')]", "[1, 'x']", "[[1]]", "[1, None]", "np.int64(1)",
    "np.array([1, 2])",
    "np.float64('nan')", "decimal.Decimal(1)", "fractions.Fraction(3)", "1j", "range(3)", "int", "lambda: 1", "self",
    "Ellipsis", "NotImplemented",
    "Signal(float('nan'))", "Signal(1.5)", "Signal(True)", "Signal('1')", "Signal(None)", "Signal(10**30)",
    "Signal(1, 'LIMIT')",
    "Signal(1, 'LIMIT', limit=float('nan'))", "Signal(1, limit=float('inf'))", "Signal(1, limit=-1.0)",
    "Signal(1, limit=1e300)",
    "Signal(1, limit=10**400)", "Signal(1, 'SL', limit=5.0)", "Signal(1, 'SL-M', trigger=float('nan'))",
    "Signal(1, 'BRACKET')", "Signal(1, None)",
    "Signal(1, [])", "Signal(1, product='X')", "Signal(1, product=[])", "Signal(1, instrument_token=999)",
    "Signal(1, instrument_token=[])",
    "Signal(1, instrument_token=True)", "Signal(1, limit='5')", "[n] * 1001", "(yield_ for yield_ in ())", "generator()",
    "Anything()",
    "Raising()", "memoryview(b'1')", "slice(1)", "type('Int', (), {'__class__': int})()", "Signal(1, trigger=10_000_001.0)",
)  # fmt: skip
_NOTHING_WANTED: Final = (
    "None",
    "0",
    "0.0",
    "''",
    "[]",
    "()",
    "{}",
    "False",
    "[0]",
    "Signal(0)",
    "[Signal(0), 0]",
    "[] * 5",
)
_LYING: Final = (
    "Integer(n)", "Floating(5.0)", "Signal(Integer(n))", "Signal(n, Text('LIMIT'), limit=5.0)", "Signal(n, product=Text('?'))",
    "Signal(n, limit=Floating(5.0))", "Many([n])", "Many([])", "Wish(n)", "Signal(n, instrument_token=Integer(7))",
    "Endless([n])",
)  # fmt: skip

_OF_A_TICK: Final = [
    *_deeds(Effect.LOST, *_RAISED, *(f"return {answer}" for answer in _WRONG), "tick.price = 0.0", "del tick.price"),
    *_deeds(Effect.NOTHING, *_HARMLESS, "Counted.append(tick)", "tick = None",
    "msgspec.structs.force_setattr(tick, 'price', -1.0)"),
    *_deeds(Effect.SILENT, *(f"return {answer}" for answer in _NOTHING_WANTED)),
    *_deeds(Effect.EITHER, *(f"return {answer}" for answer in _LYING), "object.__setattr__(tick, 'price', 0.0)",
            "type(tick).price = 0.0", "tick.__class__ = int"),
    *_deeds(Effect.TIME, *_ENDLESS),
    *_deeds(Effect.STUBBORN, *_STUBBORN),
    *_deeds(Effect.UNKEPT, *_UNKEPT),
]  # fmt: skip

# --- what on_batch may do ---------------------------------------------------------------------------------------------

_BAD_ROW: Final = (
    "rows['quantity'][at] = -1", "rows['quantity'][at] = 0", "rows['quantity'][at] = 2**31 - 1", "rows['side'][at] = 3",
    "rows['side'][at] = -128", "rows['kind'][at] = 9", "rows['kind'][at] = -1", "rows['product'][at] = 77",
    "rows['limit'][at] = -1",
    "rows['kind'][at] = 1", "rows['trigger'][at] = 2**62", "rows['instrument'][at] = 99", "rows['instrument'][at] = -1",
    "rows['follower'][at] = 1",
)  # fmt: skip
_BAD_ROWS: Final = (
    "return 1", "return [1]", "return rows['quantity']", "return rows.reshape(1, -1)", "return rows.tolist()",
    "return (r for r in rows)",
    "return rows.astype('V64')", "rows['row'][at] = 10**6", "rows['row'][at] = -1",
    "return Anything()", "return rows.view(np.recarray).quantity", "return {'row': 1}", "return np.zeros(3)",
    "return float('nan')", "return True",
)  # fmt: skip
_OF_A_BATCH: Final = [
    *_deeds(Effect.BATCH, *_RAISED, *_BAD_ROWS),
    *_deeds(Effect.LOST, *_BAD_ROW),
    *_deeds(
        Effect.NOTHING, *_HARMLESS, "ticks['price'] = -1.0", "ticks.flags.writeable = True; ticks[:] = 0",
        "Counted.append(ticks)",
        "ticks.base[...] = 0", "[kept.fill(0) for kept in Counted if kept is not rows]; Counted.append(rows)",
        "rows['strategy'] = 7",
        "rows['price'] = -5",
        "threading.Thread(target=spoil, args=(ticks,)).start()", "threading.Thread(target=spoil, args=(rows.copy(),)).start()",
        "msgspec.structs.force_setattr(self.instruments[0], 'lot_size', 7)",
        "msgspec.structs.force_setattr(self.instruments[0], 'tick_size', 'none')", "self.instruments.clear()",
    ),
    *_deeds(Effect.TIME, *_ENDLESS),
    *_deeds(Effect.STUBBORN, *_STUBBORN),
]  # fmt: skip

# --- what a compiled function may do ----------------------------------------------------------------------------------

_COMPILED: Final = [
    *_deeds(
        Effect.LOST, "raise ValueError('nasty')", "return 10**7 + 1", "return -2**62", "return int(state.window[n + 9])",
        "state.window[-n - 9] = 1.0", "order.kind = 9", "order.kind = 1.5", "order.kind = 1.0", "order.product = np.nan",
        "order.kind = 1.0; order.limit = np.nan", "order.limit = -np.inf", "order.trigger = 1e300", "assert n < 0",
    ),
    *_deeds(Effect.NOTHING, "tick.price = -1.0", "tick.instrument = 99", "params.at = 0", "tick.time = 0; tick.bid = np.nan"),
    *_deeds(Effect.SILENT, "return 0", "return n - n"),
    *_deeds(Effect.STUBBORN, "while n < 10**9: n = n % 7", "while state.shown > 0: state.window[0] += 1.0"),
]  # fmt: skip

FORMS: Final = {"instrument": _OF_A_TICK, "class": _OF_A_TICK, "batch": _OF_A_BATCH, "compiled": _COMPILED}
SHARES: Final = {"instrument": 55, "class": 20, "batch": 20, "compiled": 5}  # of a hundred


class Nasty(NamedTuple):
    """A strategy: it does its deed on each tick whose number among those of its instrument leaves `at` when divided."""

    name: str
    form: str
    deed: Deed
    every: int
    at: int

    @property
    def attribute(self) -> str:
        return self.name if self.form == "compiled" else self.name.title()

    def misbehaves(self, number: int) -> bool:
        return number % self.every == self.at

    def source(self) -> str:
        """The text of its file."""
        return _HEAD + _BODY[self.form].format(name=self.attribute, every=self.every, at=self.at, deed=_indented(self))


class Expected(NamedTuple):
    """What must be left of a strategy: quantities by place in its instruments' ticks, in the ticks' order."""

    sure: dict[int, int]  # tick → quantity wanted there
    unsure: dict[int, int]  # the same, and it may be missing
    lost: range  # how many ticks, at least and at most
    suspended: bool | None


def any_nasty(chance: Random, name: str, taken: set[str]) -> Nasty:
    """One of them. Each compiled deed has one file, so that it is compiled once: `taken` says which are in use."""
    form = chance.choices(list(SHARES), list(SHARES.values()))[0]
    choices = list(enumerate(FORMS[form]))
    if form == "compiled":
        free = [each for each in choices if f"c{each[0]}" not in taken]
        if free:
            number, deed = chance.choice(free)
            taken.add(f"c{number}")
            return Nasty(f"c{number}", form, deed, 17, 5)
        return any_nasty(chance, name, taken)
    by_effect: dict[Effect, list[Deed]] = {}
    for _, deed in choices:
        by_effect.setdefault(deed.effect, []).append(deed)
    seldom = {Effect.TIME: 2, Effect.STUBBORN: 1, Effect.UNKEPT: 3}
    effects = sorted(by_effect, key=lambda effect: effect.name)
    effect = chance.choices(effects, [seldom.get(e, 6 + len(by_effect[e])) for e in effects])[0]
    every = chance.choice([7, 20, 45, 10**9])
    return Nasty(name, form, chance.choice(by_effect[effect]), every, chance.randrange(1, min(every, 60)))


def expected(nasty: Nasty, instruments: Sequence[int], *, live: bool) -> Expected:
    """What a strategy must leave on ticks of these instruments, in order; `live` where states are kept."""
    numbers: dict[int, int] = {}
    sure: dict[int, int] = {}
    unsure: dict[int, int] = {}
    least = most = 0
    doubtful = False
    effect = nasty.deed.effect
    for row, instrument in enumerate(instruments):
        number = numbers[instrument] = numbers.get(instrument, 0) + 1
        there = unsure if doubtful else sure
        if not nasty.misbehaves(number):
            there[row] = number
        elif effect in (Effect.TIME, Effect.STUBBORN):
            before = sure if not live and nasty.form != "batch" else {}
            return Expected(before, sure | unsure, range(2), suspended=True)
        elif effect is Effect.NOTHING or (effect is Effect.UNKEPT and not live):
            there[row] = number
        elif effect is Effect.LOST:
            least, most = least + 1, most + 1
            if most == MAX_FAILURES:
                return Expected(sure, unsure, range(least, most + 1), suspended=True)
        elif effect is not Effect.SILENT:
            unsure[row], doubtful = number, True
            most += effect is not Effect.UNKEPT
    if effect is Effect.BATCH and most:  # its signals of the same batch are lost with the tick
        sure, unsure = {}, sure | unsure
    return Expected(sure, unsure, range(least, most + 1), suspended=None if doubtful else False)


def _indented(nasty: Nasty) -> str:
    depth = {"batch": 16, "compiled": 8}.get(nasty.form, 12)
    return nasty.deed.code.replace("\n", "\n" + " " * depth)


_HEAD: Final = '''"""A nasty strategy."""

import asyncio, atexit, decimal, faulthandler, fractions, gc, itertools, logging, os, queue, random, signal, subprocess, sys
import threading, time, warnings

import msgspec
import numpy as np

from functions.signals import SIGNAL
from strategies.protocol import Signal, strategy

Counted = []


def recurse():
    return recurse() + 1


def nap():
    time.sleep(0.3)


def spoil(rows):
    time.sleep(0.002)
    rows[:] = 0


def generator():
    yield 1


def deeply():
    made = []
    for _ in range(100_000):
        made = [made]
    return made


class Unsayable(Exception):
    def __str__(self):
        raise SystemExit(5)

    __repr__ = __str__


class Meta(type):
    @property
    def __name__(cls):
        raise KeyboardInterrupt

    def __repr__(cls):
        raise KeyboardInterrupt


class Unnamed(Exception, metaclass=Meta):
    @property
    def __class__(self):
        return KeyboardInterrupt


class Cyclic(Exception):
    def __init__(self):
        self.__cause__ = self


class Dying:
    def __del__(self):
        raise SystemExit(6)


class Exits:
    def __reduce__(self):
        raise SystemExit(7)


class Anything:
    dtype, ndim, shape = SIGNAL, 1, (1,)
    __array_interface__ = {"shape": (1,), "typestr": "<i8", "version": 3}

    def __getattr__(self, name):
        return lambda *arguments: 1

    def __array__(self, *arguments, **more):
        raise SystemExit(8)

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 7

    def __int__(self):
        return 5


class Raising:
    def __bool__(self):
        raise KeyboardInterrupt

    __len__ = __repr__ = __eq__ = __hash__ = __bool__


class Integer(int):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 11

    def __int__(self):
        return 10**30

    def __le__(self, other):
        return True

    __lt__ = __gt__ = __ge__ = __bool__ = lambda self, *other: True
    __abs__ = __neg__ = __index__ = lambda self: 10**30


class Floating(float):
    def __float__(self):
        return float("nan")

    def __le__(self, other):
        return True

    __lt__ = __gt__ = __ge__ = __eq__ = __le__


class Text(str):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


class Many(list):
    def __len__(self):
        return 0

    def __bool__(self):
        return True


class Endless(list):
    def __len__(self):
        return 1

    def __iter__(self):
        return itertools.repeat(1)


class Wish(Signal):
    def __getattribute__(self, name):
        return float("nan") if name in ("limit", "trigger") else object.__getattribute__(self, name)


'''

_BY_TICK: Final = """class {name}:
    {per_instrument}
    def __init__(self):
        self.shown = {{}}

    def on_tick(self, tick):
        n = self.shown[tick.instrument_token] = self.shown.get(tick.instrument_token, 0) + 1
        if n % {every} == {at}:
            {deed}
        return n
"""
_BODY: Final = {
    "instrument": _BY_TICK.replace("{per_instrument}", "fields = ('price', 'instrument_token')\n"),
    "class": _BY_TICK.replace("{per_instrument}", "per_instrument = False\n"),
    "batch": """class {name}:
    def start(self, instruments):
        self.instruments = instruments
        return [0] * len(instruments)

    def on_batch(self, state, ticks):
        numbers = []
        for instrument in ticks["instrument"].tolist():
            state[instrument] += 1
            numbers.append(state[instrument])
        rows = np.zeros(len(ticks), SIGNAL)
        rows["row"], rows["instrument"] = np.arange(len(ticks)), ticks["instrument"]
        rows["quantity"], rows["side"], rows["product"] = numbers, 1, -1
        for at, n in enumerate(numbers):
            if n % {every} == {at}:
                {deed}
        return rows
""",
    "compiled": """@strategy(state=[("shown", "i8"), ("window", "f8", 4)], every={every}, at={at})
def {name}(state, tick, params, order):
    state.shown += 1
    n = state.shown
    if n % params.every == params.at:
        {deed}
    return n
""",
}
