"""Momentum in plain Python: buy what has risen, sell what has fallen, over the last `window` ticks."""

from collections import deque
from typing import ClassVar

from strategies.protocol import Parameter


class MyMomentum:
    """One object an instrument, so it remembers only its own instrument's prices."""

    fields = ("price",)  # what `tick` shall have; naming it makes a tick cheaper
    parameters: ClassVar = {"window": Parameter(20, minimum=2), "threshold": Parameter(0.002, minimum=0.0)}

    def __init__(self, window=20, threshold=0.002, quantity=1):
        self.prices = deque(maxlen=window)
        self.window = window
        self.threshold = threshold
        self.quantity = quantity

    def on_tick(self, tick):
        """A signed quantity: positive buys, negative sells, 0 does nothing."""
        self.prices.append(tick.price)
        if len(self.prices) < self.window:
            return 0
        change = tick.price / self.prices[0] - 1.0
        if change > self.threshold:
            return self.quantity
        if change < -self.threshold:
            return -self.quantity
        return 0
