"""Answers: what a strategy may want, checked before it counts.

However a strategy is written, its wishes become SIGNAL rows here or not at all: a quantity of at most ten million, a kind
and a product that exist, prices that are prices where the kind needs one. A wish that is none costs its own tick.
"""

import re
from typing import Any, Final

import msgspec
import numpy as np

from functions.configuration import MAX_QUANTITY
from functions.kernel import COMPILED, kernel
from functions.orders import KINDS, LIMIT, PRODUCTS, SL, SLM
from functions.signals import DEFAULT_PRODUCT, SIGNAL
from functions.ticks import Rows

MAX_PRICE: Final = 10_000_000.0  # rupees, of a limit or a trigger
MAX_SIGNALS: Final = 1_000  # of a strategy for one tick
_MAX_MICRO: Final = int(MAX_PRICE) * 1_000_000
_LEAST: Final = 0.5e-6  # rupees: less is rounded to none
_MAX_QUANTITY: Final = np.int64(MAX_QUANTITY)
_KIND_COUNT, _PRODUCT_COUNT = np.int64(len(KINDS)), np.int64(len(PRODUCTS))


class Signal(msgspec.Struct, frozen=True):
    """What `on_tick` may return where a signed quantity says too little; prices in rupees."""

    quantity: int  # signed
    kind: str = "MARKET"
    limit: float = 0.0
    trigger: float = 0.0
    product: str | None = None
    instrument_token: int | None = None  # another instrument of the strategy; None = the tick's


# --- what is wrong with a wish ----------------------------------------------------------------------------------------

# fmt: off
FINE, BAD_QUANTITY, BAD_KIND, BAD_PRODUCT, BAD_LIMIT, BAD_TRIGGER, NO_LIMIT, NO_TRIGGER = (np.int64(n) for n in range(8))
# fmt: on

_PRICE: Final = f"a price from 0 to {MAX_PRICE:.0f} rupees"
_WORDS: Final = {
    BAD_QUANTITY: f"a quantity is from -{MAX_QUANTITY} to {MAX_QUANTITY}, was {{quantity}}",
    BAD_KIND: f"an order's kind is one of 0 to {len(KINDS) - 1} ({', '.join(KINDS)}), was {{kind}}",
    BAD_PRODUCT: f"an order's product is -1 or one of 0 to {len(PRODUCTS) - 1} ({', '.join(PRODUCTS)}), was {{product}}",
    BAD_LIMIT: f"a limit is {_PRICE}, was {{limit}}",
    BAD_TRIGGER: f"a trigger is {_PRICE}, was {{trigger}}",
    NO_LIMIT: "an order of this kind needs a limit, had none",
    NO_TRIGGER: "an order of this kind needs a trigger, had none",
}


@kernel
def quantity_fault(quantity):
    """BAD_QUANTITY or FINE."""
    return FINE if -_MAX_QUANTITY <= quantity <= _MAX_QUANTITY else BAD_QUANTITY


@kernel
def fault_of(quantity, kind, product, limit, trigger):
    """What is wrong with a wish, the first of it; FINE where nothing is. Prices are rupees, 0 is none.

    It calls no other kernel, so that Python can ask it too.
    """
    if not -_MAX_QUANTITY <= quantity <= _MAX_QUANTITY:
        return BAD_QUANTITY
    if not (0 <= kind < _KIND_COUNT and kind == int(kind)):
        return BAD_KIND
    if not (DEFAULT_PRODUCT <= product < _PRODUCT_COUNT and product == int(product)):
        return BAD_PRODUCT
    if not 0.0 <= limit <= MAX_PRICE:  # as not a number is not either
        return BAD_LIMIT
    if not 0.0 <= trigger <= MAX_PRICE:
        return BAD_TRIGGER
    if kind in (LIMIT, SL) and limit < _LEAST:
        return NO_LIMIT
    if kind in (SL, SLM) and trigger < _LEAST:
        return NO_TRIGGER
    return FINE


def in_words(fault: int, **facts: Any) -> str:
    """What is wrong, with the value."""
    return _WORDS[np.int64(fault)].format(**facts)


_fault_of: Any = getattr(fault_of, "py_func", fault_of)  # as Python calls it


# --- of a compiled function -------------------------------------------------------------------------------------------

if COMPILED:

    @kernel
    def units(answer):
        """What a compiled function returned, as a number; `None` asks for nothing. Its type is checked when it is compiled."""
        return np.int64(0) if answer is None else int(answer)

else:

    def units(answer: Any) -> Any:
        """The same of one that is not compiled. Raises: `TypeError` for what could not have been compiled."""
        if answer is None:
            return 0
        if isinstance(answer, bool | np.bool_) or not isinstance(answer, int | np.integer):
            raise TypeError(f"the function returned {shown(answer)}, wanted a signed int or None")
        return answer


# --- of on_tick -------------------------------------------------------------------------------------------------------


def wanted(answer: Any) -> list[Any]:
    """What `on_tick` has returned, as a list. Raises: `ValueError` where it is too long."""
    answers = (
        list.copy(answer) if isinstance(answer, list) else [answer]
    )  # whatever a list of its own says that it holds
    if len(answers) > MAX_SIGNALS:
        raise ValueError(f"on_tick returned {len(answers)} signals, at most {MAX_SIGNALS} for one tick")
    return answers


def signal_row(row: int, nth: int, instrument: int, answer: Any, index_of: dict[int, int]) -> tuple[int, ...] | None:
    """One SIGNAL row for one wish of a tick; `None` where it asks for nothing.

    `index_of` knows the strategy's own instruments. Raises: `TypeError`, `ValueError` for what is no wish.
    """
    if not isinstance(answer, Signal):
        if not isinstance(answer, int) or isinstance(answer, bool):
            raise TypeError(f"on_tick returned {shown(answer)}, wanted a signed int, a Signal, a list of them or None")
        answer = Signal(answer)
    quantity = _whole("quantity", answer.quantity)
    limit, trigger = _price("limit", answer.limit), _price("trigger", answer.trigger)
    kind, product, token = answer.kind, answer.product, answer.instrument_token
    if kind not in KINDS:
        raise ValueError(f"order kind {shown(kind)} is none of {', '.join(KINDS)}")
    if product is not None and product not in PRODUCTS:
        raise ValueError(f"product {shown(product)} is none of {', '.join(PRODUCTS)}")
    if token is not None:
        if isinstance(token, bool) or token not in index_of:
            raise ValueError(f"instrument {shown(token)} is not one of the strategy's own")
        instrument = index_of[token]
    if quantity == 0:
        return None
    number = KINDS.index(kind)
    traded = int(DEFAULT_PRODUCT) if product is None else PRODUCTS.index(product)
    fault = int(_fault_of(quantity, number, traded, limit, trigger))
    if fault:
        raise ValueError(in_words(fault, quantity=shown(quantity), limit=limit, trigger=trigger))
    return (
        row, abs(quantity), _micro(limit), _micro(trigger), 0, 0, instrument, 1 if quantity > 0 else -1, number, traded,
        nth, 0, 0,
    )  # fmt: skip


def _whole(what: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a {what} is a signed int, was {shown(value)}")
    return int(value)


def _price(what: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"a {what} is a number of rupees, was {shown(value)}")
    return float(value)


def _micro(price: float) -> int:
    return int(price * 1e6 + 0.5)


# --- of on_batch ------------------------------------------------------------------------------------------------------


def own_rows(answer: Any, ticks: int) -> Rows:
    """What `on_batch` has returned for so many ticks, as SIGNAL rows of our own. Raises: `TypeError`, `ValueError`.

    Only whether it is an array that can be read; what its rows say is for `bad_rows`.
    """
    if answer is None:
        return np.empty(0, SIGNAL)
    if not isinstance(answer, np.ndarray) or answer.ndim != 1 or answer.dtype != SIGNAL:
        what = f"an array of {answer.dtype}" if isinstance(answer, np.ndarray) else shown(answer)
        raise TypeError(f"on_batch returned {shown(what, quoted=False)}, wanted one array of functions.signals.SIGNAL")
    rows = np.array(answer, SIGNAL, subok=False)
    at = rows["row"]
    if len(at) and (at.min() < 0 or at.max() >= ticks):
        raise ValueError(f"on_batch returned rows from {at.min()} to {at.max()} for {ticks} ticks")
    if (at[1:] < at[:-1]).any():
        raise ValueError("on_batch returned rows that are not sorted by row")
    rows["nth"] = np.arange(len(rows)) - np.searchsorted(at, at)
    rows["price"] = rows["strategy"] = rows["spare"] = 0
    return rows


def bad_rows(rows: Rows, instruments: int) -> list[tuple[int, str]]:
    """(row of the tick, what is wrong) for every tick with a wish that is none, in order."""
    needs_limit = np.isin(rows["kind"], (LIMIT, SL))
    needs_trigger = np.isin(rows["kind"], (SL, SLM))
    fine = (
        _within(rows["quantity"], 1, MAX_QUANTITY) & (abs(rows["side"].astype("i8")) == 1)
        & _within(rows["kind"], 0, len(KINDS) - 1) & _within(rows["product"], -1, len(PRODUCTS) - 1)
        & _within(rows["limit"], needs_limit, _MAX_MICRO) & _within(rows["trigger"], needs_trigger, _MAX_MICRO)
        & _within(rows["instrument"], 0, instruments - 1) & (rows["follower"] == 0) & (rows["nth"] < MAX_SIGNALS)
    )  # fmt: skip
    first: dict[int, str] = {}
    for signal in rows[~fine]:
        first.setdefault(int(signal["row"]), _wrong(signal, instruments))
    return sorted(first.items())


def _within(values: Any, least: Any, most: int) -> Any:
    return (values >= least) & (values <= most)


def _wrong(signal: Any, instruments: int) -> str:
    """What is wrong with one row of an array."""
    quantity, kind, product = int(signal["quantity"]), int(signal["kind"]), int(signal["product"])
    limit, trigger = int(signal["limit"]) / 1e6, int(signal["trigger"]) / 1e6
    if signal["nth"] >= MAX_SIGNALS:
        return f"on_batch returned more than {MAX_SIGNALS} signals for one tick"
    if quantity < 1:
        return f"the quantity of a SIGNAL row is from 1 to {MAX_QUANTITY}, was {quantity}"
    if abs(int(signal["side"])) != 1:
        return f"a side is 1 or -1, was {signal['side']}"
    if not 0 <= signal["instrument"] < instruments:
        return f"instrument {signal['instrument']} is not one of the strategy's own"
    if signal["follower"]:
        return f"follower is 0, was {signal['follower']}: which accounts follow is configuration"
    fault = int(_fault_of(quantity, kind, product, limit, trigger))
    return in_words(fault, quantity=quantity, kind=kind, product=product, limit=limit, trigger=trigger)


# --- words ------------------------------------------------------------------------------------------------------------

_MAX_SHOWN: Final = 100
_MAX_WORDS: Final = 500
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{5,}")  # another one in every process: a replay must say the same


def shown(value: Any, *, quoted: bool = True) -> str:
    """A value of a strategy's in a message. It never raises, and is short, one line and the same in every process."""
    try:
        text = repr(value) if quoted else str(value)
    except BaseException:  # it is the strategy's own code that runs here
        text = f"something of class {_name(type(value))} that cannot be shown"
    return _plain(text, _MAX_SHOWN)


def words_of(error: BaseException) -> tuple[str, str]:
    """The class of an error and what it says; of one that cannot even be asked, that."""
    try:
        said = str(error)
    except BaseException:  # it is the strategy's own code that runs here
        said = "an error that cannot be shown"
    return _plain(_name(type(error)), _MAX_SHOWN), _plain(said, _MAX_WORDS)


def _name(kind: type) -> str:
    """Of a class, whatever its own class makes of the question."""
    return type.__dict__["__name__"].__get__(kind)


def _plain(text: str, most: int) -> str:
    """One line of so many characters, without what another process would write otherwise."""
    cut = str.__str__(text)[: 4 * most].encode(errors="backslashreplace").decode()
    line = " ".join(_ADDRESS.sub("0x…", cut).split())
    return line if len(line) <= most else line[: most - 1] + "…"
