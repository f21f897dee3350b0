"""Moving-average crossover: follow the faster average when it crosses the slower one."""

from strategies.protocol import Parameter, strategy


@strategy(
    state=[("seen", "i8"), ("fast", "f8"), ("slow", "f8"), ("above", "i8")],
    fast=Parameter(30, minimum=2, maximum=100_000, summary="ticks of the fast exponential average"),
    slow=Parameter(120, minimum=3, maximum=100_000, summary="ticks of the slow exponential average"),
    band=Parameter(
        0.0002, minimum=0.0, maximum=1.0, summary="distance that counts as crossed, a fraction of the price"
    ),
    quantity=Parameter(1, minimum=1, maximum=10_000_000, summary="units a signal"),
)
def moving_average_crossover(state, tick, params):
    """Buy when the fast average rises above the slow one by `band`, sell when it falls as far below; signed quantity.

    Source: Brock, Lakonishok and LeBaron (1992), J. Finance 47(5), variable-length moving averages with a band.
    """
    if state.seen == 0:
        state.fast = tick.price
        state.slow = tick.price
    state.seen += 1
    state.fast += 2.0 / (params.fast + 1) * (tick.price - state.fast)
    state.slow += 2.0 / (params.slow + 1) * (tick.price - state.slow)
    if state.seen < params.slow:
        return 0
    distance = state.fast - state.slow
    above = state.above
    if distance > params.band * tick.price:
        above = 1
    elif distance < -params.band * tick.price:
        above = -1
    if above == state.above:
        return 0
    entered = state.above == 0
    state.above = above
    return 0 if entered else above * params.quantity
