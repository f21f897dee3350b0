"""Connectors: what is declared, what differs, and what the watchdog does about failures."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
import structlog

from connectors.connect import Connect, Connector, Task
from connectors.errors import ConfigError, DependencyError, RetryableError
from connectors.settings import DatabaseSettings, Settings
from deploy.connect.declared import columns, columns_of, declared
from deploy.plan.connectors import Connectors, differences
from deploy.plan.steps import Context
from deploy.watchdog import Watchdog
from functions.events import OrderFilled, Payload, PnlSnapshot
from functions.topics import all_topics

FAILED = Task(0, "FAILED", "org.apache.kafka.ConnectException: stopped\n\tat x\nCaused by: java.io.Error: no slot\n")
RUNNING = Task(0, "RUNNING")


# --- declared ---------------------------------------------------------------------------------------------------------


def test_each_broker_has_its_own_sinks_and_one_outbox_serves_all():
    assert list(declared(["paper", "zerodha"])) == [
        "panda-outbox",
        "panda-paper-fills",
        "panda-paper-pnl",
        "panda-zerodha-fills",
        "panda-zerodha-pnl",
    ]


def test_a_sink_reads_and_writes_what_belongs_to_its_broker_alone():
    config = declared(["zerodha"])["panda-zerodha-fills"]
    assert {key: config[key] for key in config if "zerodha" in config[key].lower()} == {
        "topics": "zerodha.orders.filled",
        "connection.username": "zerodha",
        "connection.password": "${env:PG_ZERODHA_PASSWORD}",
        "collection.name.format": "zerodha.fills",
        "errors.deadletterqueue.topic.name": "zerodha.orders.filled.dlq",
    }


def test_every_topic_that_a_connector_names_is_declared():
    names = {topic.name for topic in all_topics(("paper", "zerodha"))}
    sinks = [config for name, config in declared(["paper", "zerodha"]).items() if name != "panda-outbox"]
    assert {sink[key] for sink in sinks for key in ("topics", "errors.deadletterqueue.topic.name")} <= names


def test_no_configuration_holds_a_password():
    for config in declared(["paper", "zerodha"]).values():
        secrets = [value for key, value in config.items() if key.endswith("password")]
        assert secrets
        assert all(value.startswith("${env:PG_") for value in secrets)


def test_the_schema_of_a_fill_comes_from_the_event():
    config = declared(["paper"])["panda-paper-fills"]
    schema = json.loads(config["value.converter.schema.content"])
    assert [field["field"] for field in schema["fields"]] == ["id", "timestamp", "data"]
    fields = {field["field"]: field["type"] for field in schema["fields"][2]["fields"]}
    assert list(fields) == list(OrderFilled.__struct_fields__)
    assert (fields["side"], fields["quantity"], fields["price"]) == ("string", "int64", "string")
    assert "data_price:price" in config["transforms.names.renames"].split(",")


def test_lists_and_parts_of_an_event_have_no_column_and_what_may_be_null_says_so():
    class Sample(Payload, frozen=True):
        price: float
        limit: float | None
        parts: list[int]
        either: int | str

    assert columns(Sample) == {"price": ("double", False), "limit": ("double", True)}
    assert set(PnlSnapshot.__struct_fields__) - set(columns(PnlSnapshot)) == {"strategies"}


def test_a_report_has_the_columns_of_every_version_of_its_event_and_one_type_for_each(monkeypatch):
    class Now(Payload, frozen=True):
        order: str
        price: int
        venue: str | None = None

    class Before(Payload, frozen=True):
        order: str
        cost: int

    class Odd(Payload, frozen=True):
        order: int

    monkeypatch.setattr("deploy.connect.declared.payloads_of", lambda name: [Before, Now])
    assert columns_of("fill") == {
        "order": ("string", False), "price": ("int64", True), "venue": ("string", True), "cost": ("int64", True),
    }  # fmt: skip

    monkeypatch.setattr("deploy.connect.declared.payloads_of", lambda name: [Odd, Now])
    with pytest.raises(ConfigError, match="field order of fill is int64 and string in its versions"):
        columns_of("fill")


# --- what differs -----------------------------------------------------------------------------------------------------


WANTED = {"panda-a": {"connector.class": "io.debezium.Sink", "batch.size": "500"}}


def found(*tasks, state="RUNNING", name="panda-a", **config):
    return {name: Connector(name, state, WANTED["panda-a"] | config, tasks)}


def lines(changes):
    return [change.line for change in changes]


def test_a_connector_that_is_as_declared_and_runs_is_left_alone():
    assert differences(WANTED, found(RUNNING)) == []


def test_a_connector_that_is_not_there_is_added():
    assert lines(differences(WANTED, {})) == ["+ connector panda-a: Sink"]


def test_a_change_names_its_keys_and_never_a_password():
    there = found(RUNNING, **{"batch.size": "1", "password": "hunter2", "x.password": "hunter3"})
    assert lines(differences(WANTED, there)) == [
        "~ connector panda-a: batch.size 1 → 500, password differs, x.password differs"
    ]


def test_a_failed_connector_is_restarted_and_a_stopped_one_goes_on():
    (failed,) = differences(WANTED, found(FAILED))
    assert (failed.line, failed.doing) == (
        "~ connector panda-a: restart: task 0 failed: ConnectException: stopped (Error: no slot)",
        "restart",
    )
    (stopped,) = differences(WANTED, found(state="STOPPED"))
    assert (stopped.line, stopped.doing) == ("~ connector panda-a: stopped → running", "resume")


def test_a_connector_of_ours_that_is_no_longer_declared_goes_and_one_of_others_stays():
    there = found(RUNNING) | found(RUNNING, name="panda-old") | found(RUNNING, name="theirs")
    assert lines(differences(WANTED, there)) == ["- connector panda-old"]


def test_a_store_on_sqlite_needs_no_connect(tmp_path):
    step = Connectors(Context(Settings(database=DatabaseSettings(url=f"sqlite:///{tmp_path}/panda.sqlite"))))
    (note,) = step.plan()
    assert note.kind == "note"
    step.apply([])
    assert [state.ok for state in step.status()] == [True]


# --- Connect over the wire --------------------------------------------------------------------------------------------


@pytest.fixture
def answers():
    """A server that gives each path its answers in turn, the last for ever, and Connect's client for it."""
    given, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            asked.append((self.command, path, json.loads(body) if body else None))
            queue = given[path]
            status, said = queue.pop(0) if len(queue) > 1 else queue[0]
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - as the library wants them

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    with Connect(f"http://127.0.0.1:{server.server_port}") as connect:
        yield given, asked, connect
    server.shutdown()
    thread.join()
    server.server_close()


def status(*tasks, state="RUNNING"):
    said = {"connector": {"state": state}, "tasks": [msgspec.to_builtins(task) for task in tasks]}
    return 200, {"panda-a": {"status": said, "info": {"config": {"name": "panda-a", **WANTED["panda-a"]}}}}


def test_a_connect_that_is_down_says_how_to_start_it():
    with Connect("http://127.0.0.1:1") as connect, pytest.raises(RetryableError, match="does not answer") as caught:
        connect.connectors()
    assert "panda services up connect" in caught.value.remedy
    assert caught.value.exit_code == 3


def test_a_plugin_that_is_not_installed_is_named(answers):
    given, _, connect = answers
    given["/connector-plugins"] = [(200, [{"class": "io.debezium.Other"}])]
    with pytest.raises(DependencyError, match=r"has no plugin io\.debezium\.Sink, which connector panda-a needs"):
        connect.validate("panda-a", WANTED["panda-a"])


def test_a_wrong_configuration_names_each_field_and_no_value(answers):
    given, _, connect = answers
    given["/connector-plugins"] = [(200, [{"class": "io.debezium.Sink"}])]
    fields = [
        {"value": {"name": "batch.size", "value": "hunter2", "errors": ["A number is wanted"]}},
        {"value": {"name": "topics", "value": None, "errors": ["A value is required"]}},
        {"value": {"name": "name", "value": "panda-a", "errors": []}},
    ]
    given["/connector-plugins/io.debezium.Sink/config/validate"] = [(200, {"configs": fields})]
    with pytest.raises(ConfigError) as caught:
        connect.validate("panda-a", WANTED["panda-a"])
    assert caught.value.message == (
        "connector panda-a is refused by Connect:\n  batch.size: A number is wanted\n  topics: A value is required"
    )


def test_what_connect_refuses_is_told_in_its_own_words(answers):
    given, _, connect = answers
    given["/connectors/panda-a/config"] = [(500, {"error_code": 500, "message": "no leader"})]
    with pytest.raises(DependencyError, match=r"refused PUT /connectors/panda-a/config \(500\): no leader"):
        connect.put("panda-a", {})


def test_a_busy_cluster_is_asked_again(answers):
    given, asked, connect = answers
    given["/connectors/panda-a"] = [(409, {"message": "rebalance"}), (409, {"message": "rebalance"}), (204, None)]
    connect.delete("panda-a")
    assert len(asked) == 3


def test_waiting_restarts_what_fails_and_ends_when_all_tasks_have_run_a_while(answers):
    given, asked, connect = answers
    given["/connectors"] = [status(), status(FAILED), status(RUNNING)]
    given["/connectors/panda-a/restart"] = [(202, {})]
    connect.await_running(["panda-a"], settled_s=0.3, after_failure_s=0.6)
    assert [path for method, path, _ in asked if method == "POST"] == ["/connectors/panda-a/restart"]


def test_waiting_for_what_fails_again_and_again_ends_with_the_reason(answers):
    given, asked, connect = answers
    given["/connectors"] = [status(FAILED)]
    given["/connectors/panda-a/restart"] = [(202, {})]
    with pytest.raises(DependencyError, match=r"panda-a: task 0 failed: ConnectException: stopped \(Error: no slot\)"):
        connect.await_running(["panda-a"], restarts=1)
    assert sum(method == "POST" for method, _, _ in asked) == 1


# --- the watchdog -----------------------------------------------------------------------------------------------------


class Cluster:
    """A Connect of which a test says how it is."""

    def __init__(self):
        self.states, self.restarted, self.down, self.notes = found(RUNNING), 0, False, []

    def connectors(self):
        if self.down:
            raise RetryableError("no answer", remedy="start it")
        return self.states

    def restart_failed(self, name):
        self.restarted += 1


@pytest.fixture
def watched():
    structlog.reset_defaults()
    yield from _watched()
    structlog.reset_defaults()


def _watched():
    cluster, alerts, clock = Cluster(), [], [0.0]
    notes = cluster.notes
    watchdog = Watchdog(
        cluster, ["panda-a"], lambda alert: alerts.append((alert.severity, alert.code)), limit=3, now=lambda: clock[0],
        note=lambda alert: notes.append(alert.message),
    )  # fmt: skip

    def look(after_s=0.0):
        clock[0] += after_s
        watchdog.look()

    yield cluster, alerts, look, watchdog


def test_a_failed_task_is_restarted_with_longer_and_longer_waits_then_a_human_is_called_once(watched):
    cluster, alerts, look, _ = watched
    cluster.states = found(FAILED)
    restarts = []
    for _second in range(60):
        look(1)
        restarts.append(cluster.restarted)
    assert [restarts.index(n) for n in (1, 2, 3)] == [0, 2, 6]
    assert cluster.restarted == 3
    assert alerts == [("critical", "connect.given_up")]


def test_every_restart_is_told_with_its_number_and_the_reason(watched):
    cluster, alerts, look, _ = watched
    cluster.states = found(FAILED)
    look()
    look(2)
    assert cluster.notes == [
        f"connector panda-a restarted, {n} of 3: task 0 failed: ConnectException: stopped (Error: no slot)"
        for n in (1, 2)
    ]
    assert alerts == []


def test_what_was_given_up_and_runs_again_is_looked_after_again(watched):
    cluster, alerts, look, _ = watched
    cluster.states = found(FAILED)
    for _ in range(60):
        look(1)
    cluster.states = found(RUNNING)
    look(1)
    cluster.states = found(FAILED)
    look(1)
    assert cluster.restarted == 4
    assert [code for _, code in alerts] == ["connect.given_up", "connect.given_up_over"]


def test_failures_are_forgotten_after_a_calm_time_and_not_before(watched):
    cluster, _, look, watchdog = watched
    cluster.states = found(FAILED)
    look()
    cluster.states = found(RUNNING)
    look(1)
    look(500)
    assert watchdog._records["panda-a"].restarts == 1
    look(100)
    assert watchdog._records["panda-a"].restarts == 0


def test_a_connect_that_is_down_and_a_connector_that_is_gone_are_told_once_each_and_once_that_it_is_over(watched):
    cluster, alerts, look, _ = watched
    cluster.down = True
    look()
    look()
    cluster.down, cluster.states = False, {}
    look()
    look()
    cluster.states = found(RUNNING)
    look()
    assert alerts == [
        ("critical", "connect.down"),
        ("info", "connect.down_over"),
        ("critical", "connect.missing"),
        ("info", "connect.missing_over"),
    ]


def test_trouble_that_shows_in_no_task_is_told(watched):
    _, alerts, look, watchdog = watched

    def lost():
        raise DependencyError("replication slot panda_outbox is lost", remedy="drop it")

    watchdog.check = lost
    look()
    look()
    watchdog.check = lambda: None
    look()
    assert alerts == [("critical", "connect.check"), ("info", "connect.check_over")]


@pytest.mark.parametrize(("kind", "called"), [(float, "double"), (bool, "boolean")])
def test_a_report_with_a_number_that_connect_would_misread_is_refused(monkeypatch, kind, called):
    fields = msgspec.defstruct("Fill", [("quantity", int), ("share", kind)])
    monkeypatch.setattr("deploy.connect.declared.payloads_of", lambda event: (fields,))

    with pytest.raises(ConfigError, match=f"field share of fill is {called}, of which Connect makes 0 or false"):
        columns_of("fill")
