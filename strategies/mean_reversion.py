"""Mean reversion: fade a move away from the average."""

import math

from strategies.protocol import Parameter, strategy


@strategy(
    state=[("seen", "i8"), ("average", "f8"), ("variance", "f8")],
    window=Parameter(20, minimum=2, maximum=100_000, summary="ticks of the exponential average"),
    deviations=Parameter(2.5, minimum=0.1, maximum=20.0, summary="standard deviations from the average"),
    quantity=Parameter(1, minimum=1, maximum=10_000_000, summary="units a signal"),
)
def mean_reversion(state, tick, params):
    """Sell `deviations` above the exponential average of `window` ticks, buy as far below; a signed quantity.

    Source: exponentially weighted mean and variance, Finch (2009), Incremental calculation of weighted mean and variance.
    """
    if state.seen == 0:
        state.average = tick.price
    distance = tick.price - state.average
    alpha = 2.0 / (params.window + 1)
    state.seen += 1
    state.average += alpha * distance
    state.variance = (1.0 - alpha) * (state.variance + alpha * distance * distance)
    if state.seen < params.window or state.variance <= 0.0:
        return 0
    score = distance / math.sqrt(state.variance)  # not ** 0.5: its last bit differs between Numba and Python
    if score > params.deviations:
        return -params.quantity
    if score < -params.deviations:
        return params.quantity
    return 0
