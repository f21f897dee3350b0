"""Brokers apart: what befalls Zerodha's worker on a real broker, the paper worker goes on, as if nothing had happened.

No order gateway answers for Zerodha yet, so its worker waits for an account, as its own Kafka user, and trades for none.
"""

from collections import Counter

import msgspec
import pytest

from connectors.errors import DependencyError
from connectors.kafka.access import delete_grants, found_grants
from connectors.kafka.admin import Administrator
from connectors.kafka.sink import Writer
from connectors.kafka.source import end_offsets, fetch_all
from connectors.kafka.users import delete_users
from dataflows import backtest
from deploy.flows.control import Control
from deploy.flows.declared import declared
from deploy.flows.records import read_report
from deploy.plan.access import Access
from deploy.plan.running import apply, exit_code
from deploy.plan.steps import Context
from deploy.supervisor import ChildDied
from functions.codec import decode
from functions.events import AccountConfig
from functions.topics import ORDERS_FILLED, SYSTEM_ALERTS, all_topics, outputs
from tests.desk import lax
from tests.e2e.processes import wait_until_read
from tests.ground import PLACES
from tests.market import walk
from tests.recorded import config_events, tick_events
from tests.traded import ACCOUNT, INSTRUMENTS, STRATEGIES, TOKENS
from tests.waiting import until

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.parametrize("new_ground", PLACES[1:], indirect=True),
]

PAPER, ZERODHA = "pipeline-paper", "pipeline-zerodha"
THERE = AccountConfig("zerodha-1", "zerodha", limits=lax(max_orders_per_second=9, max_orders_per_day=5_000))
BOTH = [msgspec.structs.replace(s, accounts=[ACCOUNT.account, THERE.account]) for s in STRATEGIES]
TICKS = walk(9_000, len(TOKENS), 0.0006, 5, step_ns=20_000_000)
EVENTS = tick_events(TICKS, TOKENS)
FIRST, SECOND, THIRD = EVENTS[:3_000], EVENTS[3_000:6_000], EVENTS[6_000:]


class Desk:
    """The pipelines of both brokers, Zerodha's declared first, kept by one supervisor."""

    def __init__(self, ground, root):
        self.kafka = ground.kafka
        self.settings = ground.settings.model_copy(update={"active_brokers": ("zerodha", "paper")})
        self.admin = Administrator(self.kafka)
        self.root = root
        self.control = Control(root)

    def start(self, patience_s=90.0):
        pipelines = [flow for flow in declared(self.settings) if flow.name in (PAPER, ZERODHA)]
        assert [flow.name for flow in pipelines] == [ZERODHA, PAPER]
        self.control.apply(pipelines, patience_s=patience_s)

    def flow(self, name):
        return next(flow for flow in read_report(self.root / "run").flows if flow.name == name)

    def take_user(self):
        delete_users(self.admin, [ZERODHA])

    def take_rights(self):
        delete_grants(self.admin, frozenset(g for g in found_grants(self.admin) or () if g.principal == ZERODHA))

    def give_back(self):
        results = apply([Access(Context(self.settings))])
        assert exit_code(results) == 0, results

    def write(self, records):
        writer = Writer(self.kafka)
        writer.write(records)
        writer.flush()

    def trade(self, events):
        """How many more orders paper has filled when it has read these events."""
        before = self.fills()
        self.write(events)
        wait_until_read(self.kafka)
        return self.fills() - before

    def zerodha_has_written(self):
        """How many records lie on Zerodha's topics."""
        topics = [topic.name for topic in all_topics(("zerodha",)) if topic.name.startswith("zerodha.")]
        return sum(end_offsets(self.kafka, topics).values())

    def fills(self):
        return sum(1 for _ in fetch_all(self.kafka, [ORDERS_FILLED.of("paper").name]))

    def alerts(self):
        return [decode(record.value).data for record in fetch_all(self.kafka, [SYSTEM_ALERTS.name])]

    def log(self):
        return (self.root / "logs" / "flows" / f"{ZERODHA}.log").read_text()


@pytest.fixture
def desk(new_ground, tmp_path):
    desk = Desk(new_ground(), tmp_path)
    desk.write(config_events(INSTRUMENTS, [ACCOUNT], BOTH))
    try:
        yield desk
        assert desk.zerodha_has_written() == 0
    finally:
        desk.control.down()
        desk.give_back()


def paper_is_as_if_it_were_alone(desk):
    """What paper has published is what a backtest of its account decides, to the byte and each event once."""
    published = []
    backtest.run(TICKS, INSTRUMENTS, ACCOUNT, STRATEGIES, on_events=published.extend)
    for topic in outputs("paper"):
        wanted = Counter(value for name, _, value, _ in published if name == topic.name)
        assert Counter(record.value for record in fetch_all(desk.kafka, [topic.name])) == wanted, topic.name


def test_without_zerodhas_user_its_worker_says_what_to_do_and_paper_fills_orders(desk):
    desk.take_user()

    with pytest.raises(ChildDied) as died:
        desk.start()

    assert died.value.exit_code == 2
    assert f"{ZERODHA} ended with exit code 2" in died.value.message
    assert f"refuses user '{ZERODHA}' or its password" in died.value.message
    assert "made, and its password renewed, by `panda deploy apply`" in died.value.message
    assert desk.flow(ZERODHA).state == "failed"
    paper = desk.flow(PAPER)
    assert paper.state == "live"
    assert desk.trade(FIRST) > 0

    desk.give_back()
    desk.start()

    assert desk.flow(ZERODHA).state == "live"
    assert desk.trade(EVENTS[3_000:]) > 0
    assert desk.flow(PAPER) == paper
    paper_is_as_if_it_were_alone(desk)


def test_while_a_zerodha_worker_without_rights_is_started_again_and_again_paper_fills_orders(desk):
    desk.take_rights()

    with pytest.raises(DependencyError, match=f"{ZERODHA} is (re)?start"):
        desk.start(patience_s=25)

    until(lambda: desk.flow(PAPER).state == "live", 300, "paper's start")
    paper = desk.flow(PAPER)
    assert desk.trade(FIRST) > 0
    until(lambda: desk.flow(ZERODHA).restarts >= 2, 300, "the second restart")
    assert desk.flow(ZERODHA).exit_code == 3
    assert f"that {ZERODHA} may see" in desk.log()
    assert "create topics and rights: `panda deploy apply`" in desk.log()
    assert desk.trade(SECOND) > 0

    desk.give_back()
    until(lambda: desk.flow(ZERODHA).state == "live", 300, "Zerodha's return by itself")

    assert desk.trade(THIRD) > 0
    assert desk.flow(PAPER) == paper
    paper_is_as_if_it_were_alone(desk)


def test_rights_that_are_taken_while_it_waits_and_paper_trades_stop_zerodha_alone(desk):
    desk.start()
    paper = desk.flow(PAPER)
    assert desk.trade(FIRST) > 0
    assert desk.flow(ZERODHA).state == "live"
    assert "until an order gateway answers for this broker" in desk.log()

    desk.take_rights()

    assert desk.trade(SECOND) > 0
    until(lambda: desk.flow(ZERODHA).state not in ("live", "starting"), 300, "the end of Zerodha's worker")
    assert desk.flow(ZERODHA).exit_code == 3
    assert "`panda deploy apply`" in desk.log()
    assert desk.trade(THIRD) > 0
    assert desk.flow(PAPER) == paper
    paper_is_as_if_it_were_alone(desk)


def test_an_account_of_zerodha_ends_its_worker_with_the_remedy_and_paper_fills_orders(desk):
    desk.start()
    paper = desk.flow(PAPER)
    desk.write(config_events([], [THERE], []))

    until(lambda: desk.flow(ZERODHA).state == "failed", 300, "the end of Zerodha's worker")

    assert desk.flow(ZERODHA).exit_code == 2
    assert "account zerodha-1: no order gateway answers for broker zerodha yet" in desk.flow(ZERODHA).last_lines
    assert "docs/runbook.md, Add a broker" in desk.flow(ZERODHA).last_lines
    assert desk.trade(EVENTS) > 0
    [refused] = [a for a in desk.alerts() if a.code == "configuration_refused"]
    assert (refused.subject, refused.severity) == ("zerodha-1", "warning")

    desk.write(config_events([], [msgspec.structs.replace(THERE, enabled=False)], []))
    desk.start()

    assert desk.flow(ZERODHA).state == "live"
    assert desk.flow(PAPER) == paper
    paper_is_as_if_it_were_alone(desk)
