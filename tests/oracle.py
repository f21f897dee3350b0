"""An independent account in plain Python, for one strategy and market orders: what the engine must agree with.

Written from the rules, not from the engine: lists and dicts, Decimal for charges, no arrays. It knows: signals of a
20-tick momentum, a position limit with working orders counted, whole-order fills at the next tick of the instrument at
its last price, average-cost books, charges of intraday equity on NSE.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from tests.tables import TARIFF

MICRO = 1_000_000


@dataclass
class Book:
    position: int = 0
    cost: int = 0
    working: int = 0


@dataclass
class Oracle:
    """`fills`: (tick number, instrument, signed quantity, micro price, micro charges, micro realised, position)."""

    day: date
    window: int = 20
    threshold: float = 0.002
    limit: int = 10
    fills: list[tuple[int, int, int, int, int, int, int]] = field(default_factory=list)
    signals: int = 0
    refused: int = 0
    realised: int = 0
    charges: int = 0

    def __post_init__(self) -> None:
        self.prices = defaultdict(lambda: deque(maxlen=self.window))
        self.books = defaultdict(Book)
        self.waiting = defaultdict(list)
        self.last = {}
        self._charges = {}

    def tick(self, n: int, instrument: int, price: float) -> None:
        micro = int(Decimal(str(price)) * MICRO)
        self.last[instrument] = micro
        for quantity in self.waiting.pop(instrument, []):
            self.fill(n, instrument, quantity, micro)
        prices = self.prices[instrument]
        prices.append(price)
        if len(prices) < self.window:
            return
        change = price / prices[0] - 1.0
        if abs(change) > self.threshold:
            self.signal(instrument, 1 if change > 0 else -1)

    def signal(self, instrument: int, quantity: int) -> None:
        self.signals += 1
        book = self.books[instrument]
        exposed = book.position + book.working
        leaves = exposed * quantity < 0 or abs(exposed + quantity) <= self.limit
        if not leaves:
            self.refused += 1
            return
        book.working += quantity
        self.waiting[instrument].append(quantity)

    def fill(self, n: int, instrument: int, quantity: int, price: int) -> None:
        book = self.books[instrument]
        book.working -= quantity
        realised = 0
        if book.position * quantity >= 0:
            book.cost += quantity * price
        else:
            closed = min(abs(quantity), abs(book.position))
            sign = 1 if book.position > 0 else -1
            released = book.cost * closed // abs(book.position)
            realised = sign * closed * price - released
            book.cost -= released
            if abs(quantity) > closed:
                book.cost += (quantity + sign * closed) * price
        book.position += quantity
        charged = self.charge("BUY" if quantity > 0 else "SELL", abs(quantity) * price)
        self.realised += realised
        self.charges += charged
        self.fills.append((n, instrument, quantity, price, charged, realised, book.position))

    def charge(self, side: str, turnover: int) -> int:
        if (side, turnover) not in self._charges:
            total = TARIFF.contract_note("intraday", "NSE", side, Decimal(turnover) / MICRO, self.day).total * MICRO
            self._charges[side, turnover] = int(total.to_integral_value(ROUND_HALF_EVEN))
        return self._charges[side, turnover]

    @property
    def unrealised(self) -> int:
        return sum(book.position * self.last[i] - book.cost for i, book in self.books.items())
