"""The API over a real Redis and a real lake, both filled by the flows from a real log."""

import base64
import json
import os
import signal as signals
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import hypothesis
import hypothesis.strategies as st
import pytest
from bytewax.run import cli_main
from bytewax.testing import run_main
from fastapi.testclient import TestClient
from pydantic import SecretStr

from analytics.queries import Queries
from api.__main__ import listening
from api.app import create_app
from connectors.errors import ConfigError
from connectors.kafka.embedded import start_embedded
from connectors.kafka.sink import Writer
from connectors.kafka.source import KafkaSource, end_offsets
from connectors.redis import Desk, connect, start_redis
from connectors.settings import ApiSettings, KafkaSettings, LakeSettings, RedisSettings, Settings
from dataflows import archive, cache
from dataflows.process import READY_FILE
from tests.history import (
    TOKEN,
    ack,
    alert,
    failed,
    filled,
    outgoing,
    placed,
    rejected,
    signal,
    snapshot,
    submitted,
    tick,
    validated,
)  # fmt: skip
from tests.waiting import until

pytestmark = [pytest.mark.redis, pytest.mark.kafka]

LOCAL = "http://127.0.0.1:8000"
DAY = [
    *[signal(f"g{n}", at=n) for n in range(7)], signal("r1", "reversion", at=9.0), validated("g1", at=1.0),
    rejected("g2", at=2.0, rules=("daily_loss", "order_value")), rejected("g3", "b", at=3.0),
    submitted("o1"), ack("o1"), placed("o1"), filled("o1", 4, left=6, at=0.3),
    filled("o1", 6, "101.00", left=0, position=10, at=0.4),
    submitted("o2", at=2.0), failed("o2", at=2.5), submitted("o3", at=3.0), submitted("o4", account="b", at=4.0),
    filled("o4", 10, position=10, account="b", at=4.3),
    snapshot(1.0, positions=((TOKEN, 10, "100.60", "101.00"),), unrealised="4.00", charges="3.00"),
    snapshot(5.0, positions=((TOKEN, 10, "100.60", "102.00"),), unrealised="14.00", charges="3.00"),
    snapshot(5.0, account="b", positions=((TOKEN, 10, "100.00", "102.00"),), unrealised="20.00"),
    alert("daily_loss", at=3.0), alert("stale_feed", at=4.0), tick(100.0, 0.0), tick(101.0, 1.0),
]  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A day on the log, in Redis and in the lake; the lake ends at the fifth second, Redis has two snapshots more."""
    directory = tmp_path_factory.mktemp("api")
    with start_embedded(directory / "kafka") as broker, start_redis(directory / "redis") as server:
        made = Settings(
            kafka=broker.settings, redis=RedisSettings(url=SecretStr(server.url)),
            lake=LakeSettings(path=str(directory / "lake")),
        )  # fmt: skip
        _publish(broker.settings, DAY)
        ready = directory / "ready"
        os.environ[READY_FILE] = str(ready)
        cli_main(archive.live(made, stop=lambda: ready.exists() and time.time() - ready.stat().st_mtime > 0.5))
        del os.environ[READY_FILE]
        _publish(broker.settings, [snapshot(6.0, unrealised="15.00"), snapshot(7.0, unrealised="16.00")])
        _cached(made)
        yield made


def _publish(kafka: KafkaSettings, events: list[Any]) -> None:
    writer = Writer(kafka)
    writer.write([outgoing(event) for event in events])
    writer.flush()


def _cached(settings: Settings) -> None:
    with connect(settings.redis) as client:
        desk = Desk(client, "paper")
        names = [topic.name for topic in cache.input_topics("paper")]
        source = KafkaSource(settings.kafka, names, group="cache", positions=desk.open, until_end=True)
        run_main(cache.build(source, cache.DeskSink(desk, lambda: Writer(settings.kafka)), cache.Decoder("paper")))
        desk._beat = 0.0
        desk.beat()  # at most one a second: the last batch may have come too soon after the one before


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[TestClient]:
    queries, client = Queries(settings.lake.path), connect(settings.redis)

    def ends(broker: str) -> dict[tuple[str, int], int]:
        return end_offsets(settings.kafka, [topic.name for topic in cache.input_topics(broker)])

    with TestClient(create_app(settings, client, queries, ends), base_url=LOCAL) as browser:
        yield browser
    queries.close()
    client.close()


def get(api: TestClient, path: str, **parameters: Any) -> Any:
    answer = api.get(f"/api/v1{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def paged(api: TestClient, path: str, **parameters: Any) -> list[Any]:
    """All items, page by page."""
    items: list[Any] = []
    page = get(api, path, **parameters)
    while True:
        items += page["items"]
        assert len(page["items"]) <= parameters["limit"]
        if page["next"] is None:
            return items
        page = get(api, path, after=page["next"], **parameters)


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_accounts_are_those_that_have_traded(api: TestClient):
    assert get(api, "/accounts")["items"] == [
        {"account": "a", "broker": "paper", "as_of": "2026-05-06T04:30:07.000000Z"},
        {"account": "b", "broker": "paper", "as_of": "2026-05-06T04:30:05.000000Z"},
    ]


def test_the_portfolio_tells_cash_equity_exposure_and_pnl_as_text(api: TestClient):
    b = get(api, "/portfolio")["items"][1]

    assert b == {
        "account": "b", "as_of": "2026-05-06T04:30:05.000000Z", "cash": "999000.00", "equity": "1000000.00",
        "gross_exposure": "1000.00", "realised": "0.00", "unrealised": "20.00", "charges": "1.50", "net_pnl": "18.50",
        "peak_equity": "1000000.00", "max_drawdown": "1.50", "open_positions": 1, "open_orders": 0,
    }  # fmt: skip


def test_positions_are_the_open_ones_unless_the_flat_ones_are_asked_for(api: TestClient):
    [held] = get(api, "/positions")["items"]  # account a's snapshot at second 6 lists none

    assert (held["account"], held["quantity"], held["last_price"], held["unrealised"]) == ("b", 10, "102.00", "20.00")
    assert [p["quantity"] for p in get(api, "/positions", flat=True, account="a")["items"]] == [0]
    assert get(api, "/positions", strategy="reversion")["items"] == []


def test_a_pnl_series_goes_from_the_lake_on_into_what_is_only_in_redis(api: TestClient):
    seconds = [p["timestamp"][17:19] for p in get(api, "/pnl", account="a")["items"]]

    assert seconds == ["01", "05", "06", "07"]


def test_a_pnl_series_is_bounded_and_paged(api: TestClient):
    bounds = {"from": "2026-05-06T10:00:05+05:30", "to": "2026-05-06T04:30:07Z"}

    assert [p["timestamp"][17:19] for p in paged(api, "/pnl", account="a", limit=1, **bounds)] == ["05", "06"]
    assert len(paged(api, "/pnl", account="a", limit=3)) == 4


# --- orders -----------------------------------------------------------------------------------------------------------


def test_orders_come_newest_first_page_by_page(api: TestClient):
    found = [(order["order_id"], order["status"]) for order in paged(api, "/orders", limit=1)]

    assert found == [("o4", "filled"), ("o3", "submitted"), ("o2", "failed"), ("o1", "filled")]


def test_orders_are_chosen_by_status_account_and_strategy(api: TestClient):
    assert [o["order_id"] for o in get(api, "/orders", status="filled")["items"]] == ["o4", "o1"]
    assert [o["order_id"] for o in get(api, "/orders", account="b")["items"]] == ["o4"]
    assert get(api, "/orders", strategy="reversion")["items"] == []


def test_one_order_has_its_whole_story(api: TestClient):
    order = get(api, "/orders/o1")

    assert {name: order[name] for name in ("status", "quantity", "filled_quantity", "average_price", "charges")} == {
        "status": "filled", "quantity": 10, "filled_quantity": 10, "average_price": "100.60", "charges": "3.00",
    }  # fmt: skip


def test_an_order_that_redis_has_let_go_comes_from_the_lake_and_looks_the_same(api: TestClient, settings: Settings):
    before = get(api, "/orders/o1")
    with connect(settings.redis) as client:
        kept = client.hget("paper:orders:a", "o1")
        client.hdel("paper:orders:a", "o1")
        try:
            assert get(api, "/orders/o1") == before
        finally:
            client.hset("paper:orders:a", "o1", kept)


def test_fills_of_all_accounts_are_one_list(api: TestClient):
    fills = paged(api, "/fills", limit=1)

    assert sorted((f["account"], f["order_id"], f["quantity"]) for f in fills) == [
        ("a", "o1", 4), ("a", "o1", 6), ("b", "o4", 10),
    ]  # fmt: skip
    assert [f["quantity"] for f in get(api, "/fills", account="b")["items"]] == [10]
    assert [(f["price"], f["value"], f["tradingsymbol"]) for f in fills] == [
        ("100.00", "1000.00", "RELIANCE"), ("101.00", "606.00", "RELIANCE"), ("100.00", "400.00", "RELIANCE"),
    ]  # fmt: skip


def test_fills_rejections_and_signals_of_a_strategy_are_its_own(api: TestClient):
    momentum, none = {"strategy": "momentum"}, {"strategy": "reversion"}

    assert [f["order_id"] for f in get(api, "/fills", **momentum)["items"]] == ["o4", "o1", "o1"]
    assert get(api, "/fills", **none)["items"] == get(api, "/fills", strategy="nobody")["items"] == []
    assert [f["order_id"] for f in get(api, "/fills", account="b", **momentum)["items"]] == ["o4"]
    assert [r["signal_id"] for r in get(api, "/rejections", **momentum)["items"]] == ["g3", "g2"]
    assert get(api, "/rejections", **none)["items"] == []
    assert get(api, "/signals", account="a", **none)["items"] == []


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9])
def test_pages_of_any_size_hold_every_signal_once(api: TestClient, limit: int):
    found = [s["signal_id"] for s in paged(api, "/signals", limit=limit)]

    assert sorted(found) == ["g0", "g1", "g2", "g3", "g4", "g5", "g6", "r1"]


def test_signals_of_a_strategy_and_those_that_an_account_let_leave(api: TestClient):
    assert [s["signal_id"] for s in get(api, "/signals", strategy="reversion")["items"]] == ["r1"]
    [allowed] = get(api, "/signals", account="a")["items"]
    assert (allowed["signal_id"], allowed["account"], allowed["order_id"]) == ("g1", "a", "o1")


def test_rejections_tell_every_rule_and_are_chosen_by_one(api: TestClient):
    [rejection] = get(api, "/rejections", rule="order_value")["items"]

    assert rejection["reasons"] == [
        {"rule": "daily_loss", "limit": "10", "observed": "11"}, {"rule": "order_value", "limit": "10", "observed": "11"},
    ]  # fmt: skip
    assert len(paged(api, "/rejections", limit=1)) == 2


def test_strategies_have_their_counts_and_pnl(api: TestClient):
    momentum, reversion = get(api, "/strategies")["items"]

    assert {name: momentum[name] for name in ("signals", "rejected", "orders", "fills", "unrealised", "net_pnl")} == {
        "signals": 7, "rejected": 2, "orders": 4, "fills": 3, "unrealised": "36.00", "net_pnl": "33.00",
    }  # fmt: skip
    assert (reversion["strategy"], reversion["signals"], reversion["orders"]) == ("reversion", 1, 0)


# --- the machine ------------------------------------------------------------------------------------------------------


def test_counts_agree_with_the_log(api: TestClient, settings: Settings):
    counts = get(api, "/counts")["items"]

    names = [topic.name for topic in cache.input_topics("paper")]
    expected = dict.fromkeys(names, 0)
    for (topic, _), end in end_offsets(settings.kafka, names).items():
        expected[topic] += end
    assert {name: counts.get(name, 0) for name in names} == expected
    assert counts["market.ticks"] == 2


def test_alerts_are_told_newest_first(api: TestClient):
    assert {a["code"] for a in paged(api, "/alerts", limit=1)} == {"daily_loss", "stale_feed"}


def test_it_is_alive_and_ready_and_says_how_its_dependencies_are(api: TestClient):
    assert api.get("/live").json() == {"status": "alive"}
    assert api.get("/ready").json() == {"status": "ready"}
    health = api.get("/health").json()
    assert [(d["name"], d["state"]) for d in health["dependencies"]] == [
        ("redis", "up"),
        ("lake", "up"),
        ("kafka", "up"),
    ]
    assert health["caches"]["paper"]["lag_records"] == 0
    assert health["caches"]["paper"]["newest_event"] == "2026-05-06T04:30:09.000000Z"


def test_without_redis_it_lives_is_not_ready_and_says_so(settings: Settings, tmp_path: Path):
    gone = connect(RedisSettings(url=SecretStr(f"unix://{tmp_path}/gone.sock")))
    queries = Queries(settings.lake.path)
    with TestClient(create_app(settings, gone, queries), base_url=LOCAL) as api:
        assert api.get("/live").status_code == 200
        for path in ("/ready", "/api/v1/orders", "/api/v1/portfolio"):
            answer = api.get(path)
            assert (answer.status_code, answer.json()["detail"]) == (503, "Redis does not answer")
        health = api.get("/health").json()
    queries.close()
    gone.close()

    assert health["status"] == "degraded"
    assert health["dependencies"][0]["state"] == "down"


# --- refusals ---------------------------------------------------------------------------------------------------------


def _cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize("path", ["/orders", "/fills", "/signals", "/rejections", "/alerts", "/pnl?account=a"])
@pytest.mark.parametrize(
    "cursor",
    [
        "%%%",
        "a",
        "!!!!",
        _cursor({}),
        _cursor(["1-0"]),
        _cursor([1, 2]),
        _cursor(["1-0", 5]),
        _cursor(["1-0", "\ud800"]),
        "é",
    ],
)
def test_a_bad_cursor_is_400(api: TestClient, path: str, cursor: str):
    answer = api.get(f"/api/v1{path}", params={"after": cursor, "account": "a"})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "no cursor" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/fills", "/signals", "/rejections", "/alerts"])
def test_a_cursor_of_another_list_is_400(api: TestClient, path: str):
    cursor = get(api, "/orders", limit=1)["next"]

    assert api.get(f"/api/v1{path}", params={"after": cursor}).status_code == 400
    assert api.get(f"/api/v1{path}", params={"after": _cursor([f"0-{2**64}", "a"])}).status_code == 400


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/orders/nobody", 404, "there is no order 'nobody'"), ("/nowhere", 404, "Not Found"),
        ("/orders?broker=zerodha", 404, "broker 'zerodha' is not active; there is paper"),
        ("/orders?limit=0", 422, "a parameter is wrong"), ("/orders?limit=501", 422, "a parameter is wrong"),
        ("/orders?status=lost", 422, "a parameter is wrong"), ("/pnl", 422, "a parameter is wrong"),
        ("/pnl?account=a&from=yesterday", 400, "from is no RFC 3339 time: 'yesterday'"),
        ("/pnl?account=a&from=", 400, "from is no RFC 3339 time: ''"),
        ("/pnl?account=a&to=2026-05-06", 400, "to has no time zone: '2026-05-06'; end it in Z or +05:30"),
    ],
)  # fmt: skip
def test_a_refusal_is_a_problem_that_says_what_is_wrong(api: TestClient, path: str, status: int, detail: str):
    answer = api.get(f"/api/v1{path}")

    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["detail"]) == (status, status, detail)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["instance"] == f"/api/v1{path}".partition("?")[0]


TIMES = [
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00-14:00", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59+14:00", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z",
    "0000-01-01T00:00:00Z", "2016-12-31T23:59:60Z", "2026-02-30T00:00:00Z", "2026-05-06T24:00:00Z", "2026-W19-3T00:00:00Z",
    "2026-05-06T04:30:00+23:59:59.999999", "2026-05-06T04:30:00+24:00", "20260506T043000Z", "1778041800", "2026-05-06",
    "2026-05-06T04:30:00.1234567891Z", "\u0662\u0660\u0662\u0666-05-06T04:30:00Z", "2026-05-06T04:30:00Z\x00", "now", "NaT",
]  # fmt: skip
TEXTS = [
    "", "\x00", "a\x00b", "nan", "-0", "0", "-1", "1e9", "1.5", "9" * 19, "9" * 400, "true", "null", "[]", "{}", "../a", "a/b",
    "%00", "a" * 100, "a" * 101, "a" * 5_000, "ü", "\u202e", "\U0010ffff", "*", "a' OR '1'='1", "paper", "a", "momentum",
    "filled", "order_value",
]  # fmt: skip
_whole = st.one_of(st.sampled_from(TIMES + TEXTS), st.text(max_size=30))
_cursors = st.one_of(
    st.tuples(_whole, _whole).map(list),
    st.tuples(st.from_regex(r"[0-9]{1,20}-[0-9]{1,20}", fullmatch=True), _whole).map(list),
    st.sampled_from([["\ud800", "a"], ["1-0", "\udfff"], [1e308, None], [[[]]], "1-0", 10**400, {}]),
).map(lambda value: _cursor(value).encode())
_values = st.one_of(_whole.map(lambda text: text.encode(errors="surrogatepass")), _cursors, st.binary(max_size=20))
_OF = {"from": st.sampled_from(TIMES).map(str.encode), "to": st.sampled_from(TIMES).map(str.encode), "after": _cursors}
_ROUTES = [
    "/accounts", "/portfolio", "/positions", "/pnl", "/orders", "/orders/{order_id}", "/fills", "/signals", "/rejections",
    "/strategies", "/alerts", "/counts",
]  # fmt: skip


def test_the_routes_that_are_tried_with_nonsense_are_all_that_take_parameters(api: TestClient):
    assert [path for path in api.get("/openapi.json").json()["paths"] if path.startswith("/api")] == [
        f"/api/v1{path}" for path in _ROUTES
    ]


@pytest.mark.parametrize("path", _ROUTES)
@hypothesis.settings(
    max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(data=st.data())
def test_whatever_is_asked_the_answer_is_an_answer_or_a_problem(api: TestClient, path: str, data: st.DataObject):
    described = api.get("/openapi.json").json()["paths"][f"/api/v1{path}"]["get"]["parameters"]
    names = [parameter["name"] for parameter in described if parameter["in"] == "query"]
    chosen = data.draw(st.sets(st.sampled_from(names), max_size=3))
    given = {name: data.draw(_OF.get(name, _values) | _values, label=name) for name in sorted(chosen)}
    if "account" in names and data.draw(st.integers(0, 3)):
        given["account"] = b"a"
    query = "&".join(f"{name}={quote(value)}" for name, value in given.items())
    url = f"/api/v1{path}".replace("{order_id}", quote(data.draw(_values), safe=""))

    answer = api.get(f"{url}?{query}")

    assert answer.status_code in (200, 400, 404, 422), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert answer.json()["detail"]


@pytest.mark.parametrize("bound", ["from", "to"])
@pytest.mark.parametrize(
    ("time", "status"),
    [
        ("0001-01-01T00:00:00Z", 200), ("0001-01-01T00:00:00+14:00", 400), ("0001-01-01T14:00:00+14:00", 200),
        ("0001-01-01T13:59:59.999999+14:00", 400), ("9999-12-31T23:59:59.999999Z", 200),
        ("9999-12-31T09:59:59.999999-14:00", 200), ("9999-12-31T10:00:00-14:00", 400), ("2016-12-31T23:59:60Z", 400),
    ],
)  # fmt: skip
def test_a_time_can_be_used_from_the_first_moment_of_year_1_to_the_last_of_9999(
    api: TestClient, bound: str, time: str, status: int
):
    answer = api.get("/api/v1/pnl", params={"account": "a", bound: time})

    assert answer.status_code == status
    if status == 200:
        everything = (bound == "from") == time.startswith("0001")
        assert len(answer.json()["items"]) == (4 if everything else 0)
    else:
        assert f"{bound} is" in answer.json()["detail"]


def test_it_only_reads(api: TestClient):
    methods = {method for path in api.get("/openapi.json").json()["paths"].values() for method in path}

    assert methods == {"get"}
    assert api.post("/api/v1/orders").status_code == 405


def test_an_unknown_account_has_nothing(api: TestClient):
    for path in ("/orders", "/fills", "/signals", "/rejections", "/positions", "/pnl"):
        assert get(api, path, account="nobody")["items"] == []


def test_another_sites_name_for_this_address_is_refused(api: TestClient):
    assert api.get("/api/v1/orders", headers={"host": "evil.example"}).status_code == 400
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert api.get("/live", headers={"host": host}).status_code == 200


def test_the_description_has_an_example_for_every_kind_of_answer_and_nothing_from_elsewhere(api: TestClient):
    text = api.get("/openapi.json").text
    described = json.loads(text)

    assert "://" not in text
    assert "HTTPValidationError" not in text
    assert api.get("/docs").status_code == api.get("/redoc").status_code == 404
    schemas = described["components"]["schemas"]
    for name in ("Order", "Fill", "Summary", "Strategy", "Rejection", "Problem", "Counts"):
        assert "example" in json.dumps(schemas[name]), name
    for path, operations in described["paths"].items():
        assert operations["get"]["description"], path


# --- as a process -----------------------------------------------------------------------------------------------------


def _environment(settings: Settings, **more: str) -> dict[str, str]:
    return {
        **os.environ, "PANDA_REDIS__URL": settings.redis.url.get_secret_value(), "PANDA_LAKE__PATH": settings.lake.path,
        "PANDA_KAFKA__BOOTSTRAP": settings.kafka.bootstrap, "PANDA_KAFKA__EMBEDDED": "true", **more,
    }  # fmt: skip


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


_ROOT = Path(__file__).resolve().parents[2]


def test_as_a_process_it_says_when_it_is_live_answers_and_stops_cleanly(settings: Settings, tmp_path: Path):
    port, ready = _free_port(), tmp_path / "ready"
    environment = _environment(settings, PANDA_API__PORT=str(port), PANDA_READY_FILE=str(ready))
    with subprocess.Popen(
        [sys.executable, "-m", "api"], env=environment, cwd=_ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        until(lambda: ready.exists() or process.poll() is not None)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/counts", timeout=60) as answer:
            counts = json.load(answer)["items"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
            health = json.load(answer)
        process.send_signal(signals.SIGTERM)
        assert process.stderr is not None
        said = process.stderr.read()

    assert process.returncode == 0, said
    assert counts["paper.orders.submitted"] == 4
    assert [d["state"] for d in health["dependencies"]] == ["up", "up", "up"]
    assert '"event":"api.listening"' in said


def test_a_port_in_use_is_told_with_exit_code_2(settings: Settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "api"], env=_environment(settings, PANDA_API__PORT=str(port)), cwd=_ROOT,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert ended.returncode == 2
    assert f"port {port} is in use" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])
def test_it_listens_on_loopback_only(host: str):
    with pytest.raises(ConfigError, match="would show the desk to the network"):
        listening(ApiSettings(host=host))
