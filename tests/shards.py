"""Three accounts for several shards, what moves the market for them, and what was decided: for specs of shards."""

import msgspec

from connectors.kafka.source import fetch_all
from functions.codec import decode
from functions.events import PaperVenue
from functions.topics import ORDERS_FILLED, outputs
from tests.desk import account, lax
from tests.market import walk
from tests.recorded import config_events, tick_events
from tests.traded import INSTRUMENTS, STRATEGIES, TOKENS

TIGHT = lax(max_position=30, max_orders_per_second=9, max_daily_loss="200")
ACCOUNTS = [
    account("paper-1", limits=TIGHT, venue=PaperVenue(slippage_bps="1")),
    account("paper-2", limits=lax(max_position=12), venue=PaperVenue()),
    msgspec.structs.replace(account("paper-3", limits=TIGHT, venue=PaperVenue()), shard=2),
]
EVERYBODY = [account.account for account in ACCOUNTS]
FOLLOWED = [msgspec.structs.replace(s, accounts=EVERYBODY) for s in STRATEGIES]
EVENTS = tick_events(walk(6_000, len(TOKENS), 0.0006, 5, step_ns=20_000_000), TOKENS)
CONFIGURATION = config_events(INSTRUMENTS, ACCOUNTS, FOLLOWED)
FILLED = ORDERS_FILLED.of("paper").name


def decided(kafka):
    """Every event of a broker's topics, by topic and id; a signal that two shards tell is told twice, with one content."""
    found: dict[tuple[str, str], bytes] = {}
    for topic in outputs("paper"):
        for record in fetch_all(kafka, [topic.name]):
            id = decode(record.value).id
            assert found.setdefault((topic.name, id), record.value) == record.value, "one id, two contents"
    return found


def everybody_traded(found):
    """Whether each of the accounts has had a fill."""
    return {decode(value).data.account for (topic, _), value in found.items() if topic == FILLED} == set(EVERYBODY)
