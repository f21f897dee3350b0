"""What a strategy is, and what an author needs to write one.

Under every strategy lies one protocol over batches: `start(instruments) -> state`, `on_batch(state, ticks) -> signal
rows`. Authors need not see a batch. They write one scalar function,

    @strategy(state=[("seen", "i8"), ("average", "f8")], alpha=0.05, quantity=1)
    def fade(state, tick, params):
        ...
        return -params.quantity        # signed; 0 = nothing

which is compiled (`strategies.compiled`; plain Python with the compiler off), or a plain Python class with `on_tick(tick)`
(`strategies.plain`), in which any library may be used. Whatever keeps the protocol itself (a model that scores whole
batches, pairs) is a strategy too (`strategies.batches`).
"""

from strategies.answers import Signal
from strategies.batches import Strategy
from strategies.compiled import CompiledStrategy, strategy
from strategies.parameters import Parameter, StrategyError, Value, checked
from strategies.plain import PlainStrategy

__all__ = [
    "CompiledStrategy", "Parameter", "PlainStrategy", "Signal", "Strategy", "StrategyError", "Value", "checked", "strategy",
]  # fmt: skip
