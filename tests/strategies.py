"""Strategies for specs: one of every form an author may choose, and what a strategy asks for."""

import numpy as np

from functions.signals import SIGNAL
from strategies.protocol import Parameter, Signal, strategy
from strategies.registry import configure
from tests.desk import instrument, tick, tick_rows
from tests.market import walk

SAMPLES = __name__
TOKENS = [11, 22, 33]
INSTRUMENTS = [instrument(t) for t in TOKENS]
MARKET_DAY = walk(1_500, 3, 0.0012, 21, step_ns=20_000_000)


def asked(implementation, ticks, instruments=INSTRUMENTS, **parameters):
    """(row, instrument, signed quantity) of every signal of one strategy over one batch."""
    made = configure(implementation, parameters)
    return signed(made.ask(made.start(instruments), ticks).signals)


def signed(signals):
    return [(int(s["row"]), int(s["instrument"]), int(s["side"] * s["quantity"])) for s in signals]


def prices(*values, instrument=0):
    return tick_rows([tick(price, 0.1 * n, instrument=instrument) for n, price in enumerate(values)])


# --- compiled ---------------------------------------------------------------------------------------------------------


@strategy(state=[("seen", "i8")])
def every_third(state, tick, params):
    """Buys on every third tick."""
    state.seen += 1
    return 1 if state.seen % 3 == 0 else 0


@strategy(state=[("seen", "i8")])
def every_tick(state, tick, params):
    """Buys on every tick."""
    state.seen += 1
    return 1


@strategy(state=[("seen", "i8")], lots=3)
def breaks_on_thirteen(state, tick, params):
    if tick.price == 13.0:
        raise ValueError("thirteen")
    state.seen += 1
    return params.lots


# --- plain Python classes ---------------------------------------------------------------------------------------------


class Counter:
    """Buys on every tick from the `start`-th on."""

    def __init__(self, start: int = 2, quantity: int = 1) -> None:
        self.start, self.quantity, self.seen = start, quantity, 0

    def on_tick(self, tick):
        self.seen += 1
        return self.quantity if self.seen >= self.start else None


class Talker:
    """Answers in every way there is."""

    fields = ("price", "instrument_token")

    def on_tick(self, tick):
        match tick.price:
            case 1.0:
                return Signal(-4, "LIMIT", limit=99.95, product="CNC")
            case 2.0:
                return [Signal(1), -2, Signal(3, "SL", limit=5.0, trigger=4.9)]
            case 3.0:
                return Signal(1, instrument_token=33 if tick.instrument_token == 11 else 11)
            case 4.0:
                return "buy"
        return 0


class Pair:
    """One object for both instruments: buys the one that is cheaper than the other was."""

    per_instrument = False

    def __init__(self) -> None:
        self.last = {}

    def on_tick(self, tick):
        self.last[tick.instrument_token] = tick.price
        return 1 if tick.price < max(self.last.values()) else None


# --- a model of whole batches -----------------------------------------------------------------------------------------


class Scored:
    """A model that scores whole batches: the protocol itself."""

    def __init__(self, above: float = 0.0) -> None:
        self.above = above

    parameters = {"above": Parameter(0.0)}  # noqa: RUF012 - a plain class, as an author would write it

    def start(self, instruments):
        return {"batches": 0}

    def on_batch(self, state, ticks):
        state["batches"] += 1
        if (ticks["price"] == 13.0).any():
            raise RuntimeError("thirteen in the batch")
        rows = np.flatnonzero(ticks["price"] > self.above)
        signals = np.zeros(len(rows), SIGNAL)
        signals["row"], signals["instrument"] = rows, ticks["instrument"][rows]
        signals["quantity"], signals["side"], signals["product"] = 1, 1, -1
        return signals
