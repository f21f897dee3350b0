"""Momentum as a plain Python class, a tick at a time: what an author without the compiler pays."""

from collections import deque


class PlainMomentum:
    """The very signals of `strategies/momentum.py`."""

    fields = ("price",)

    def __init__(self, window: int = 20, threshold: float = 0.002, quantity: int = 1) -> None:
        self.threshold = threshold
        self.quantity = quantity
        self.window = window
        self.prices: deque[float] = deque(maxlen=window)

    def on_tick(self, tick):
        price = tick.price
        prices = self.prices
        prices.append(price)
        if len(prices) < self.window:
            return 0
        change = price / prices[0] - 1.0
        if change > self.threshold:
            return self.quantity
        if change < -self.threshold:
            return -self.quantity
        return 0
