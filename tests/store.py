"""A config store in a few words, whichever database it lies in."""

from concurrent.futures import ThreadPoolExecutor

import msgspec

from connectors.database.store import ConfigStore, Pending
from functions.events import AccountConfig, InstrumentConfig, RiskLimits, Sizing, StrategyConfig

TEN_O_CLOCK = 1_795_235_400_123_456_000  # 2026-11-21T04:30:00.123456Z
RELIANCE = InstrumentConfig(738561, "RELIANCE", "NSE", "EQ", "0.10", 1, closing_auction=True)
TCS = InstrumentConfig(2953217, "TCS", "NSE", "EQ", "0.10", 1, closing_auction=True)
PAPER = AccountConfig("paper-1", "paper", capital="1000000.25", limits=RiskLimits(max_order_value="50000.50"))
MOMENTUM = StrategyConfig(
    "momentum", "momentum", {"window": 20, "threshold": 0.5, "loud": True}, [2953217, 738561], ["paper-1"],
    sizing=Sizing("value", "25000"),
)  # fmt: skip


def changed_at_once(store: ConfigStore, account: AccountConfig) -> list[Pending]:
    """An account put once, then ten times by each of four writers at the same time; answers with the outbox."""
    store.put_account(account)

    def change(who: int) -> None:
        for n in range(10):
            store.put_account(msgspec.structs.replace(account, capital=f"{1000 + 10 * n + who}"))

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(change, range(4)))
    return store.pending_outbox()


def configured(store):
    store.put_instrument(RELIANCE)
    store.put_instrument(TCS)
    store.put_account(PAPER)
    store.put_strategy(MOMENTUM)
