"""An account of a broker that no order gateway answers for: refused wherever it comes in, and nothing is made up for it."""

from datetime import timedelta

import msgspec
import pytest
from bytewax.testing import run_main

from connectors.database.seed import demo_seed
from connectors.database.store import ConfigStore
from connectors.errors import ConfigError, FatalError
from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing
from connectors.kafka.source import end_offsets
from connectors.settings import Settings
from dataflows import pipeline, process, rebuilding, resharding
from functions import configuration as rules
from functions.codec import encode, envelope
from functions.events import AccountConfig, Command
from functions.topics import COMMANDS, PIPELINE_JOURNAL, all_topics, outputs
from tests.desk import lax
from tests.market import walk
from tests.recorded import config_events, tick_events
from tests.traded import ACCOUNT, INSTRUMENTS, STRATEGIES, TOKENS, write

pytestmark = pytest.mark.kafka

BOTH = ("paper", "zerodha")
REAL = AccountConfig("AB1234", "zerodha", limits=lax(max_orders_per_second=9, max_orders_per_day=5_000))
PUT_AWAY = msgspec.structs.replace(REAL, enabled=False)
FOLLOWED = [
    msgspec.structs.replace(s, accounts=[ACCOUNT.account, REAL.account], zerodha_trading_enabled=True)
    for s in STRATEGIES
]
TICKS = tick_events(walk(3_000, len(TOKENS), 0.0006, 5, step_ns=20_000_000), TOKENS)
REFUSAL = "account AB1234: no order gateway answers for broker zerodha yet"


@pytest.fixture
def log(tmp_path):
    """An embedded broker, which asks nobody for rights, with a market and an account of each broker that is armed."""
    with start_embedded(tmp_path, BOTH) as broker:
        settings = Settings(data_dir=tmp_path, active_brokers=BOTH, kafka=broker.settings)
        write(settings, config_events(INSTRUMENTS, [ACCOUNT, REAL], FOLLOWED))
        armed = envelope(Command("arm", REAL.account, "desk"), id="c", time_ns=0, source="api", broker="zerodha")
        write(settings, [Outgoing(COMMANDS.of("zerodha").name, REAL.account.encode(), encode(armed)), *TICKS])
        yield settings


@pytest.fixture
def as_before(monkeypatch):
    """Does something as the version that took such accounts did it."""

    def do(what):
        with monkeypatch.context() as patch:
            patch.setattr(rules, "ANSWERED", BOTH)
            patch.setattr("connectors.kafka.journal.DecisionLog._refuse_foreign", lambda log, events: None)
            what()

    return do


def run(settings, broker):
    run_main(pipeline.live(settings, broker=broker, until_end=True), epoch_interval=timedelta(seconds=0.1))


def written(settings, *names):
    return {at: end for at, end in end_offsets(settings.kafka, list(names)).items() if end}


def answers(settings):
    """What lies on the topics of Zerodha but for what humans have commanded."""
    topics = [topic.name for topic in all_topics(("zerodha",)) if topic.name.startswith("zerodha.")]
    return written(settings, *(name for name in topics if name != COMMANDS.of("zerodha").name))


def test_its_pipeline_does_not_start_and_writes_nothing_while_paper_trades(log):
    with pytest.raises(ConfigError, match=REFUSAL) as refused:
        run(log, "zerodha")

    assert refused.value.exit_code == 2
    assert "disable the account in the config store" in refused.value.remedy
    assert answers(log) == written(log, PIPELINE_JOURNAL.name) == {}
    run(log, "paper")
    assert written(log, outputs("paper")[-2].name, *(t.name for t in outputs("paper")))
    assert answers(log) == {}


def test_without_it_the_pipeline_of_its_broker_waits_and_says_what_for(log, lines):
    write(log, config_events([], [PUT_AWAY], []))
    looks = iter(range(3))

    with pytest.raises(SystemExit):
        pipeline.live(log, broker="zerodha", stop=lambda: next(looks, None) is None)

    [waiting] = [line for line in lines if line["event"] == "pipeline.waiting_for_configuration"]
    assert "until an order gateway answers" in waiting["remedy"]
    assert answers(log) == {}


def test_a_state_with_such_an_account_is_not_gone_on_from(log, as_before):
    as_before(lambda: run(log, "zerodha"))
    before = answers(log)
    assert before, "the version before made trades up"

    for go_on in (
        lambda: run(log, "zerodha"),
        lambda: rebuilding.verified(log, "zerodha"),
        lambda: rebuilding.made_anew(log, "zerodha"),
        lambda: rebuilding.from_fills(log, "zerodha"),
        lambda: resharding.reshard(log, "zerodha", 1, 2),
    ):
        with pytest.raises(ConfigError, match=REFUSAL) as refused:
            go_on()
        assert "docs/runbook.md, Add a broker" in refused.value.remedy
    assert answers(log) == before


def test_an_event_on_the_topic_of_another_writer_stops_the_worker_before_anything_is_written(log, monkeypatch):
    """The second lock: were the account taken, nothing of its batches would leave."""
    monkeypatch.setattr(rules, "ANSWERED", BOTH)

    with pytest.raises(FatalError, match=r"shard zerodha-0 would write to zerodha\.orders\.ack"):
        process.run(pipeline.live(log, broker="zerodha", until_end=True))

    assert not {topic for topic, _ in answers(log)} & {
        f"zerodha.orders.{s}" for s in ("ack", "placed", "filled", "failed")
    }


# --- the config store -------------------------------------------------------------------------------------------------


def test_the_store_takes_such_an_account_only_when_it_is_not_enabled(store):
    with pytest.raises(ConfigError, match="account AB1234 is refused: no order gateway answers for broker zerodha yet"):
        store.put_account(REAL)

    assert store.put_account(PUT_AWAY)


def test_a_seed_finds_an_enabled_one_of_before_and_says_what_to_do(store, as_before):
    as_before(lambda: store.put_account(REAL))

    with pytest.raises(
        ConfigError, match="account AB1234, which is there already, is refused: no order gateway"
    ) as refused:
        store.seed(*demo_seed())

    assert refused.value.exit_code == 2
    assert "disable the account in the config store" in refused.value.remedy
    assert store.instruments() == []
    store.put_account(PUT_AWAY)
    assert store.seed(*demo_seed()) == 12


def test_such_an_account_cannot_be_seeded(store):
    instruments, accounts, strategies = demo_seed()

    with pytest.raises(ConfigError, match="account AB1234 is refused"):
        store.seed(instruments, [*accounts, REAL], strategies)

    assert store.accounts() == []


@pytest.mark.parametrize("active", [BOTH, ("paper",)])
def test_a_deploy_plan_refuses_it_where_its_broker_is_active_and_tells_of_it_otherwise(url, store, as_before, active):
    from deploy.plan.configuration import Configuration
    from deploy.plan.running import apply, exit_code, status
    from deploy.plan.steps import Context

    as_before(lambda: store.put_account(REAL))
    step = Configuration(Context(Settings(database={"url": url}, active_brokers=active)))
    [*_, told] = step.plan()

    assert told.what == "account AB1234"
    if active == BOTH:
        assert "no order gateway answers for broker zerodha yet" in told.refusal
        assert "docs/runbook.md, Add a broker" in told.refusal
        assert (exit_code(apply([step])), exit_code(status([step]))) == (1, 1)
    else:
        assert (told.kind, told.refusal) == ("note", "")
        assert (exit_code(apply([step])), exit_code(status([step]))) == (0, 0)
    ConfigStore(url).put_account(PUT_AWAY)
    assert (exit_code(apply([step])), exit_code(status([step]))) == (0, 0)
