"""What trades on a real log in these tests: one account, five shares and two strategies on them."""

from connectors.kafka.sink import Writer
from functions.events import PaperVenue, StrategyConfig
from tests.desk import account, instrument, lax

TOKENS = [11, 22, 33, 44, 55]
INSTRUMENTS = [instrument(t) for t in TOKENS]
ACCOUNT = account("paper-1", limits=lax(max_position=30, max_orders_per_second=9), venue=PaperVenue(slippage_bps="1"))
STRATEGIES = [
    StrategyConfig("fade", "mean_reversion", {"quantity": 3}, TOKENS, ["paper-1"]),
    StrategyConfig("follow", "momentum", {"quantity": 2}, TOKENS[:3], ["paper-1"]),
]


def write(settings, records):
    writer = Writer(settings.kafka)
    writer.write(records)
    writer.flush()
