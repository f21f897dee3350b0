"""What the demo trades: eight NSE-like instruments, one paper account, three strategies.

Limits are tight enough that in a normal minute some signals are refused: an account that refuses nothing shows nothing.
"""

from functions.events import AccountConfig, InstrumentConfig, PaperVenue, RiskLimits, Sizing, StrategyConfig

RELIANCE, TCS, HDFCBANK, INFY, SBIN, ICICIBANK = 738561, 2953217, 341249, 408065, 779521, 1270529
NIFTY_50, NIFTY_FUTURE = 256265, 13_056_002


def demo_instruments() -> list[InstrumentConfig]:
    """Six shares with derivatives (hence with a closing auction), the index, and one future on it.

    Tick sizes by price band, NSE from 2025-04-15: 0.05 up to 1000 rupees, 0.10 up to 5000; index futures 0.10.
    """
    shares = (
        (RELIANCE, "RELIANCE", "0.10"), (TCS, "TCS", "0.10"), (HDFCBANK, "HDFCBANK", "0.05"),
        (INFY, "INFY", "0.10"), (SBIN, "SBIN", "0.05"), (ICICIBANK, "ICICIBANK", "0.10"),
    )  # fmt: skip
    return [
        *(InstrumentConfig(token, name, "NSE", "EQ", tick, 1, closing_auction=True) for token, name, tick in shares),
        InstrumentConfig(NIFTY_50, "NIFTY 50", "NSE", "INDEX", "0", 0),
        InstrumentConfig(NIFTY_FUTURE, "NIFTY26DECFUT", "NFO", "FUT", "0.10", 65),
    ]


def demo_accounts() -> list[AccountConfig]:
    """One paper account of ten lakh rupees, with room for a handful of positions."""
    limits = RiskLimits(
        max_quantity=500, max_order_value="60000", max_position=45, max_gross_exposure="450000",
        max_orders_per_second=4, duplicate_window_ms=3_000, max_daily_loss="20000", max_open_orders=8,
    )  # fmt: skip
    return [AccountConfig("paper-1", "paper", capital="1000000", limits=limits, venue=PaperVenue(slippage_bps="1"))]


def demo_strategies() -> list[StrategyConfig]:
    """Three ideas over the shares, an order of some twenty to fifty thousand rupees each, lively enough to watch."""
    shares = [RELIANCE, TCS, HDFCBANK, INFY, SBIN, ICICIBANK]
    ideas: list[tuple[str, str, dict[str, int | float | str | bool]]] = [
        ("momentum", "25000", {"window": 20, "threshold": 0.0008}),
        ("mean_reversion", "30000", {"window": 60, "deviations": 2.5}),
        ("moving_average_crossover", "45000", {"fast": 20, "slow": 80, "band": 0.0001}),
    ]
    return [
        StrategyConfig(name, name, parameters, shares, ["paper-1"], sizing=Sizing("value", amount))
        for name, amount, parameters in ideas
    ]


def demo_seed() -> tuple[list[InstrumentConfig], list[AccountConfig], list[StrategyConfig]]:
    """The whole demo configuration, for `ConfigStore.seed`."""
    return demo_instruments(), demo_accounts(), demo_strategies()
