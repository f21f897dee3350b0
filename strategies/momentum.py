"""Momentum: follow a move."""

from strategies.protocol import Parameter, strategy


@strategy(
    state=lambda params: [("seen", "i8"), ("prices", "f8", int(params.window))],
    window=Parameter(20, minimum=2, maximum=10_000, summary="ticks"),
    threshold=Parameter(0.002, minimum=0.0, maximum=1.0, summary="return over the window, a fraction"),
    quantity=Parameter(1, minimum=1, maximum=10_000_000, summary="units a signal"),
)
def momentum(state, tick, params):
    """Follow a move of more than `threshold` over the last `window` ticks; returns a signed quantity.

    Source: Jegadeesh and Titman (1993), J. Finance 48(1), at the scale of ticks.
    """
    state.prices[state.seen % params.window] = tick.price
    state.seen += 1
    if state.seen < params.window:
        return 0
    change = tick.price / state.prices[state.seen % params.window] - 1.0
    if change > params.threshold:
        return params.quantity
    if change < -params.threshold:
        return -params.quantity
    return 0
