"""The cache: from the log into a real Redis, each event exactly once."""

import json
import os
import random
import signal as signals
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from bytewax.run import cli_main
from bytewax.testing import run_main
from pydantic import SecretStr
from structlog.testing import capture_logs

from api import desk as read_side
from api.models import Page
from api.pages import Cursor, read
from connectors.errors import DependencyError, FatalError
from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing, Record
from connectors.kafka.sink import Writer
from connectors.kafka.source import KafkaSource, fetch_all
from connectors.redis import REMEMBERED, Desk, EmbeddedRedis, connect, start_redis
from connectors.settings import KafkaSettings, RedisSettings
from dataflows import cache
from functions.blotter import LAYOUT
from functions.codec import decode, encode
from tests.cached import DAY, KEYS, Letters, fold
from tests.history import (
    Log,
    failed,
    filled,
    outgoing,
    pairs,
    rejected,
    signal,
    snapshot,
    submitted,
)  # fmt: skip
from tests.interleaved import day, read_otherwise, records
from tests.waiting import until

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with start_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[Any]:
    with connect(RedisSettings(url=SecretStr(server.url))) as connected:
        connected.flushdb()
        yield connected


def tables(client: Any) -> dict[str, Any]:
    """Everything in Redis but the heartbeat."""
    content: dict[str, Any] = {}
    for key in sorted(client.keys("*")):
        kind = client.type(key)
        if key == KEYS.heartbeat:
            continue
        if kind == "hash":
            content[key] = client.hgetall(key)
        elif kind == "list":
            content[key] = client.lrange(key, 0, -1)
        elif kind == "set":
            content[key] = client.smembers(key)
        elif kind == "string":
            content[key] = client.get(key)
        else:
            assert kind == "zset", key
            content[key] = client.zrange(key, 0, -1, withscores=True)
    return content


def test_a_day_comes_to_its_tables_and_the_offsets_behind_it(client: Any):
    fold(client, [Log().append(*DAY)])

    strategy = json.loads(client.hget(KEYS.strategies, "momentum"))
    assert [strategy[name] for name in ("signals", "rejected", "orders", "fills")] == [2, 1, 2, 2]
    orders = {o: json.loads(text)["status"] for o, text in client.hgetall(KEYS.orders("a")).items()}
    assert orders == {"o1": "filled", "o2": "failed"}
    assert client.hget(KEYS.account("a"), "timestamp") == "2026-05-06T04:30:03.000000Z"
    assert client.hget(KEYS.offsets, "paper.orders.filled:0") == "2"
    assert client.zcard(KEYS.fills("a")) == 2
    assert client.smembers(KEYS.accounts) == {"a"}


def test_a_record_read_again_changes_nothing(client: Any):
    records = Log().append(*DAY)
    fold(client, [records])
    before = tables(client)

    fold(client, [records[:9], records])

    assert tables(client) == before


def test_a_second_copy_of_every_event_on_the_log_changes_nothing_but_the_offsets(client: Any):
    log = Log()
    fold(client, [log.append(*DAY)])
    before = tables(client)

    fold(client, [log.append(*DAY)])  # a new process: the ids come from Redis

    after = tables(client)
    assert after.pop(KEYS.offsets) == {at: str(2 * int(n)) for at, n in before.pop(KEYS.offsets).items()}
    assert after == before


def test_a_copy_within_one_batch_counts_once(client: Any):
    log = Log()

    fold(client, [log.append(signal("g1"), signal("g1"))])

    assert json.loads(client.hget(KEYS.strategies, "momentum"))["signals"] == 1
    assert client.hget(KEYS.offsets, "paper.signals.raw:0") == "2"


@pytest.mark.parametrize("cut", range(1, len(DAY), 3))
def test_a_cut_anywhere_and_a_restart_leave_the_same_tables(client: Any, cut: int):
    records = Log().append(*DAY)
    fold(client, [records])
    whole = tables(client)
    client.flushdb()

    fold(client, [records[:cut]])
    fold(client, [[r] for r in records[max(0, cut - 3) :]])

    assert tables(client) == whole


def test_what_cannot_be_read_is_dead_lettered_whole_before_its_offset_is_in_redis(client: Any):
    log, letters = Log(), Letters(client)
    good = log.append(signal("g1"))
    bad = [log.append_raw("paper.signals.raw", raw) for raw in (b"{", b"\xff", None)]
    no_money = log.append(filled("o1", charges="1e9"))

    fold(client, [good + bad + no_money + log.append(signal("g2"))], letters)

    assert [(o.topic, o.value, dict(o.headers or [])["offset"]) for o in letters.written] == [
        ("paper.signals.raw.dlq", b"{", b"1"), ("paper.signals.raw.dlq", b"\xff", b"2"),
        ("paper.signals.raw.dlq", None, b"3"), ("paper.orders.filled.dlq", no_money[0].value, b"0"),
    ]  # fmt: skip
    assert letters.offsets_when_flushed == [{}]
    assert client.hget(KEYS.offsets, "paper.signals.raw:0") == "5"
    momentum = json.loads(client.hget(KEYS.strategies, "momentum"))
    assert (momentum["signals"], momentum["fills"]) == (2, 0)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"id":"', b'"id":"a ', "is no id of an event - at `$.id`"), (b'"id":"0', b'"id":"', "is no id of an event"),
        (b"2026-05-06T", b"yesterday", "is no time of an event - at `$.timestamp`"),
        (b"2026-05-06T", b"0001-05-06T", "is no time of an event"), (b"2026", b"", "is no time of an event"),
    ],
)  # fmt: skip
def test_an_event_without_a_place_in_a_list_is_a_dead_letter(client: Any, old: bytes, new: bytes, says: str):
    log, letters = Log(), Letters(client)
    raw = encode(filled("o1"))
    assert raw.count(old) >= 1

    fold(client, [[log.append_raw("paper.orders.filled", raw.replace(old, new, 1))], log.append(filled("o2"))], letters)

    assert [says in dict(o.headers or [])["message"].decode() for o in letters.written] == [True]
    assert [fill.order_id for fill in read_side.Desk(client, "paper").fills(None, None, None, 9).items] == ["o2"]


def test_more_dead_letters_within_a_minute_than_the_limit_are_told_once_with_their_causes(client: Any):
    log, letters = Log(), Letters(client)
    first = [*log.append(signal("g1", at=1.0)), log.append_raw("paper.signals.raw", b"{")]
    soon = [*log.append(signal("g2", at=60.5)), *(log.append_raw("paper.orders.filled", b"[]") for _ in range(4))]
    later = [*log.append(signal("g3", at=120.6)), *(log.append_raw("paper.signals.raw", b"{") for _ in range(3))]

    fold(client, [first, soon, later], letters, alert_above=3)

    alerts = [decode(o.value or b"") for o in letters.written if o.topic == "system.alerts"]
    assert [(a.data.severity, a.data.code, a.data.subject, a.data.message) for a in alerts] == [
        (
            "warning", "dead_letters_growing", "cache-paper",
            "4 dead letters within a minute of event time, up to paper.orders.filled:0:2: "
            "paper.orders.filled ValidationError 3, paper.signals.raw DecodeError 1",
        )
    ]  # fmt: skip
    assert len(letters.written) == 8 + 1


def test_those_who_listen_are_told_each_event_once(client: Any):
    log = Log()
    with client.pubsub() as listening:
        listening.subscribe(KEYS.channel)
        fold(client, [log.append(signal("g1"), submitted("o1")), log.append(signal("g1"))])
        told = []
        while (message := listening.get_message(timeout=0.2)) is not None:
            told.append(message)

    assert [json.loads(m["data"])["type"] for m in told if m["type"] == "message"] == [
        "trading_signal", "order_submitted",
    ]  # fmt: skip


def test_the_ids_kept_against_copies_are_bounded(client: Any):
    log = Log()
    client.set(KEYS.layout, LAYOUT)
    client.rpush(KEYS.ids("paper.signals.raw", 0), *[f"id{n}" for n in range(REMEMBERED)])
    client.hset(KEYS.offsets, "paper.signals.raw:0", 0)

    desk = fold(client, [log.append(signal("g1"), signal("g2"))])

    assert client.llen(KEYS.ids("paper.signals.raw", 0)) == REMEMBERED
    newest = [event.id for event, _ in pairs(signal("g1"), signal("g2"))]
    assert client.lrange(KEYS.ids("paper.signals.raw", 0), -2, -1) == newest
    assert len(desk._ids["paper.signals.raw", 0].known) == REMEMBERED


def test_a_second_writer_is_refused(client: Any):
    log = Log()
    first, second = Desk(client, "paper"), Desk(client, "paper")
    first.open()
    second.open()
    records = log.append(signal("g1"), signal("g2"))
    first.write([(records[0], *pairs(signal("g1"))[0])])

    with pytest.raises(FatalError, match="another process writes paper:cache:offsets"):
        second.write([(records[0], *pairs(signal("g1"))[0]), (records[1], *pairs(signal("g2"))[0])])


def test_a_redis_that_lost_its_tables_is_not_written_on_but_rebuilt_from_the_start(client: Any):
    log = Log()
    desk = Desk(client, "paper")
    desk.open()
    records = log.append(signal("g1"), signal("g2"))
    desk.write([(records[0], *pairs(signal("g1"))[0])])
    client.flushdb()

    with pytest.raises(DependencyError, match="no longer holds"):
        desk.write([(records[1], *pairs(signal("g2"))[0])])

    fold(client, [records])
    assert json.loads(client.hget(KEYS.strategies, "momentum"))["signals"] == 2


def pages(client: Any) -> dict[str, Any]:
    """All that the API's lists say, page by page, some items at a time."""
    desk = read_side.Desk(client, "paper")

    def paged(ask: Callable[[Cursor | None], Page[Any]]) -> list[str]:
        told, after = [], None
        while True:
            page = ask(after)
            told.append(page.model_dump_json())
            if page.next is None:
                return told
            after = read(page.next)

    return {
        "fills": paged(lambda after: desk.fills(None, None, after, 4)),
        "signals": paged(lambda after: desk.signals(None, None, after, 7)),
        "allowed": paged(lambda after: desk.signals("b", None, after, 3)),
        "rejections": paged(lambda after: desk.rejections(None, None, None, after, 5)),
        "alerts": paged(lambda after: desk.alerts(after, 1)),
        "orders": paged(lambda after: desk.orders(None, None, None, after, 6)),
        "positions": [desk.positions(None, None, flat=True).model_dump_json()],
        "portfolio": [desk.portfolio().model_dump_json()],
        "strategies": [desk.strategies().model_dump_json()],
        "pnl": [point.model_dump_json() for name in "ab" for point in desk.recent_pnl(name)],
    }


@pytest.mark.parametrize("kept", [5, 10_000])
def test_tables_and_pages_are_the_same_to_the_byte_however_the_partitions_were_read(
    client: Any, monkeypatch: pytest.MonkeyPatch, kept: int
):
    monkeypatch.setattr("functions.blotter.KEPT", kept)
    monkeypatch.setattr("connectors.redis.CLOSED_ORDERS", kept)
    log = records(day(seed=7, orders=40))
    fold(client, [log])
    whole, told = tables(client), pages(client)
    assert client.zcard(KEYS.fills("a")) == min(
        kept, sum(b"order_filled" in r.value and b'"a"' in r.value for r in log)
    )

    for seed in (1, 2):
        client.flushdb()  # a rebuild
        fold(client, list(read_otherwise(log, lambda r: (r.topic, r.partition), random.Random(seed))))

        assert tables(client) == whole
        assert pages(client) == told


def test_pages_go_from_the_newest_event_to_the_oldest_by_their_ids(client: Any):
    late_first = [filled(f"o{n}", position=n, at=n / 10, account="ab"[n % 2]) for n in (5, 2, 9, 4, 7, 1)]
    fold(client, [[record] for record in Log().append(*late_first)])

    page = read_side.Desk(client, "paper").fills(None, None, None, 4)
    rest = read_side.Desk(client, "paper").fills(None, None, read(page.next or ""), 4)

    assert [fill.order_id for fill in [*page.items, *rest.items]] == ["o9", "o7", "o5", "o4", "o2", "o1"]
    assert rest.next is None


def test_tables_of_an_earlier_layout_are_made_anew_from_the_log_and_nothing_else_is_touched(client: Any):
    log = Log()
    log_records = log.append(*DAY)
    fold(client, [log_records])
    whole = tables(client)
    client.delete(KEYS.layout, KEYS.fills("a"), KEYS.signals("-"))  # as the version before had them
    client.xadd(KEYS.fills("a"), {"event": "{}"})
    client.xadd(KEYS.signals("-"), {"event": "{}"})
    client.hset(KEYS.positions("a"), "momentum:1", "{}")
    client.set("paper:mine", "a key of somebody else")
    client.set("zerodha:accounts", "another broker's")

    with capture_logs() as logged:
        fold(client, [log_records])

    assert client.get("paper:mine") == "a key of somebody else"
    assert client.get("zerodha:accounts") == "another broker's"
    client.delete("paper:mine", "zerodha:accounts")
    assert tables(client) == whole
    assert [
        (line["layout_before"], line["layout"]) for line in logged if line["event"] == "redis.tables_made_anew"
    ] == [("1", "2")]


class LosesAnswers:
    """A client whose transactions go through while their answer is lost, as when the line breaks."""

    def __init__(self, client: Any, losses: int) -> None:
        self._client = client
        self.losses = losses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pipeline(self, transaction: bool = True) -> Any:
        pipeline = self._client.pipeline(transaction=transaction)
        if transaction and self.losses:
            execute = pipeline.execute

            def lost(*arguments: Any) -> Any:
                execute(*arguments)
                self.losses -= 1
                raise redis.ConnectionError("the line broke before the answer")

            pipeline.execute = lost
        return pipeline


def test_a_transaction_whose_answer_was_lost_is_not_done_twice(client: Any):
    lossy = LosesAnswers(client, losses=1)

    fold(lossy, [Log().append(*DAY)])

    assert lossy.losses == 0
    strategy = json.loads(client.hget(KEYS.strategies, "momentum"))
    assert [strategy[name] for name in ("signals", "rejected", "orders", "fills")] == [2, 1, 2, 2]
    assert client.zcard(KEYS.fills("a")) == 2


class BeforeExec:
    """A Redis client whose transactions see `rival` act between what they have read and their EXEC."""

    def __init__(self, client: Any, rival: Callable[[], Any]) -> None:
        self._client = client
        self._rival = rival

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pipeline(self, transaction: bool = True) -> Any:
        pipeline = self._client.pipeline(transaction=transaction)
        if transaction:
            execute = pipeline.execute

            def interrupted(*arguments: Any) -> Any:
                self._rival()
                return execute(*arguments)

            pipeline.execute = interrupted
        return pipeline


def test_what_a_rival_writes_between_the_reading_and_the_exec_leaves_nothing_of_ours(client: Any):
    log = Log()
    records = log.append(signal("g1"), signal("g2"))
    fold(client, [records[:1]])
    before = tables(client)
    desk = Desk(BeforeExec(client, lambda: client.hset(KEYS.offsets, "paper.signals.raw:0", 2)), "paper")
    desk.open()

    with pytest.raises(FatalError, match="another process writes paper:cache:offsets"):
        desk.write([(records[1], *pairs(signal("g2"))[0])])

    assert tables(client) == {**before, KEYS.offsets: {"paper.signals.raw:0": "2"}}


_CACHING = """
import sys
from pydantic import SecretStr
from connectors.redis import Desk, connect
from connectors.settings import RedisSettings
from dataflows.cache import Decoder
from tests.integration.test_cache import long_day
records = long_day()
desk = Desk(connect(RedisSettings(url=SecretStr(sys.argv[1]))), "paper")
desk.open()
print("open", flush=True)
for n in range(0, len(records), 7):
    desk.write(Decoder("paper")(records[n : n + 7]).taken)
print("done", flush=True)
"""


def long_day() -> list[Record]:
    """Two thousand events, each on the log a second time three hundred records later."""
    log, events = Log(), []
    for n in range(400):
        events += [signal(f"g{n}", at=n), submitted(f"o{n}", at=n), filled(f"o{n}", position=n, at=n + 0.5)]
        events += [rejected(f"g{n}", at=n), snapshot(n + 1.0, charges=f"{n}.00")]
    doubled = [event for n in range(0, len(events), 300) for event in (events[n : n + 300] * 2)]
    return log.append(*doubled)


def test_killed_at_any_moment_it_ends_in_the_tables_of_a_run_without_a_kill(server: EmbeddedRedis, client: Any):
    fold(client, [long_day()])
    whole = tables(client)
    client.flushdb()
    offsets = []

    for delay_s in (0.02, 0.07, 0.12):
        with subprocess.Popen([sys.executable, "-c", _CACHING, server.url], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            time.sleep(delay_s)
            process.send_signal(signals.SIGKILL)
        offsets.append(sum(map(int, client.hvals(KEYS.offsets))))
    fold(client, [long_day()])

    assert offsets == sorted(offsets)
    assert tables(client) == whole


# --- from a real log --------------------------------------------------------------------------------------------------


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[KafkaSettings]:
    with start_embedded(tmp_path / "kafka") as embedded:
        yield embedded.settings


def follow(kafka: KafkaSettings, client: Any, **source: Any) -> None:
    """The live graph over the real log."""
    desk = Desk(client, "paper", stop=source.get("stop", lambda: False))
    names = [topic.name for topic in cache.input_topics("paper")]
    records = KafkaSource(kafka, names, group="cache-paper", key="paper", positions=desk.open, **source)
    run_main(cache.build(records, cache.DeskSink(desk, lambda: Writer(kafka)), cache.Decoder("paper")))


def publish(kafka: KafkaSettings, *records: Outgoing) -> None:
    writer = Writer(kafka)
    writer.write(list(records))
    writer.flush()


@pytest.mark.kafka
def test_from_the_log_to_redis_and_again_after_a_flush(kafka: KafkaSettings, client: Any):
    publish(kafka, *[outgoing(event) for event in DAY], Outgoing("paper.orders.ack", b"k", b"not json"))
    follow(kafka, client, until_end=True)
    first = tables(client)
    client.flushdb()

    follow(kafka, client, until_end=True)

    assert json.loads(first[KEYS.strategies]["momentum"])["fills"] == 2
    again = tables(client)
    for table in (KEYS.strategies, KEYS.orders("a"), KEYS.account("a"), KEYS.fills("a"), KEYS.pnl("a"), KEYS.offsets):
        assert again[table] == first[table]
    letters = list(fetch_all(kafka, ["paper.orders.ack.dlq"]))
    assert [letter.value for letter in letters] == [b"not json", b"not json"]  # one for each time it was read


@pytest.mark.kafka
def test_a_redis_that_stands_still_is_waited_for_and_nothing_is_lost(
    kafka: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("connectors.redis.TIMEOUT_S", 0.2)
    count, done = 400, threading.Event()
    with start_redis(tmp_path / "redis") as server, capture_logs() as logged:
        own = connect(RedisSettings(url=SecretStr(server.url)))
        publish(kafka, *[outgoing(signal(f"a{n}")) for n in range(count)])
        flow = threading.Thread(target=follow, args=(kafka, own), kwargs={"stop": done.is_set, "batch_size": 50})
        flow.start()
        try:
            until(lambda: own.exists(KEYS.strategies) == 1)
            os.kill(server.pid, signals.SIGSTOP)
            publish(kafka, *[outgoing(signal(f"b{n}")) for n in range(count)])
            until(lambda: any(line["event"] == "redis.unreachable" for line in logged))
            os.kill(server.pid, signals.SIGCONT)
            until(lambda: _signals(own) == 2 * count)
        finally:
            os.kill(server.pid, signals.SIGCONT)
            done.set()
            flow.join()
            own.close()

    events = [line["event"] for line in logged]
    assert events.count("redis.unreachable") == events.count("redis.reachable") == 1


def _signals(client: Any) -> int:
    with suppress(redis.TimeoutError):
        return json.loads(client.hget(KEYS.strategies, "momentum"))["signals"]
    return -1


def test_a_stop_while_redis_is_away_ends_the_flow_and_says_what_is_not_written(tmp_path: Path):
    with start_redis(tmp_path) as server:
        client = connect(RedisSettings(url=SecretStr(server.url)))
        asked = threading.Event()
        desk = Desk(client, "paper", stop=asked.is_set)
        desk.open()
    asked.set()
    record = Log().append(signal("g1"))[0]

    with pytest.raises(DependencyError, match="1 records are not in it"):
        desk.write([(record, *pairs(signal("g1"))[0])])
    client.close()


@pytest.mark.kafka
def test_the_live_flow_is_built_from_settings_alone(kafka: KafkaSettings, server: EmbeddedRedis, client: Any):
    from connectors.settings import Settings

    publish(kafka, outgoing(signal("g1")))
    settings = Settings(kafka=kafka, redis=RedisSettings(url=SecretStr(server.url)))

    def told() -> bool:  # an idle moment at the start may beat first, and the next beat comes a second later
        return '"newest_event":"' in (client.get(KEYS.heartbeat) or "").replace(" ", "")

    cli_main(cache.live(settings, stop=told))

    assert json.loads(client.hget(KEYS.strategies, "momentum"))["signals"] == 1
    assert json.loads(client.get(KEYS.heartbeat))["newest_event"] == "2026-05-06T04:30:00.000000Z"


def test_an_account_keeps_its_last_closed_orders_and_every_open_one(client: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("connectors.redis.CLOSED_ORDERS", 2)
    log = Log()
    batches = [log.append(submitted("open"))]
    for n in range(4):
        batches.append(log.append(submitted(f"o{n}", at=n), failed(f"o{n}", at=n + 0.5)))
    batches.append(log.append(submitted("last", at=9.0)))

    fold(client, batches)

    assert set(client.hgetall(KEYS.orders("a"))) == {"open", "o2", "o3", "last"}
