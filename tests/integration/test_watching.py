"""The flow `connectors` against a Connect that a test speaks for and the embedded broker: restarted, told, ended."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.errors import ConfigError
from connectors.kafka.alerts import Alerts
from connectors.kafka.source import end_offsets, fetch_all
from connectors.settings import ConnectSettings, DatabaseSettings, KafkaSettings, Settings
from deploy.connect.declared import declared
from deploy.watching import watch
from functions.codec import decode
from functions.events import SystemAlert
from functions.topics import SYSTEM_ALERTS
from tests.waiting import until

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).resolve().parents[2]
TOPICS = [SYSTEM_ALERTS.name]
NO_POSTGRES = SecretStr("postgresql+psycopg://lease:x@127.0.0.1:1/panda")
FILLS = "panda-paper-fills"


class Cluster(BaseHTTPRequestHandler):
    """Connect's REST: every declared connector runs but those that have failed; a restart mends one."""

    failed: set[str]
    restarts: list[str]

    def do_GET(self):
        told = {name: self._told(name) for name in declared(["paper"])}
        self._answer(200, told)

    def do_POST(self):
        name = self.path.split("/")[2]
        self.restarts.append(name)
        self.failed.discard(name)
        self._answer(202, {})

    def _told(self, name):
        task = {"id": 0, "state": "RUNNING"}
        if name in self.failed:
            task = {"id": 0, "state": "FAILED", "trace": "a.b.ConnectException: table is gone\n\tat a.b"}
        return {"status": {"connector": {"state": "RUNNING"}, "tasks": [task]}, "info": {"config": {}}}

    def _answer(self, status, said):
        text = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def cluster():
    handler = type("One", (Cluster,), {"failed": set(), "restarts": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_port}"
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def told(broker):
    """The alerts that have come since the test began: severity, code, subject."""
    since = end_offsets(broker, TOPICS)

    def read():
        events = [decode(record.value) for record in fetch_all(broker, TOPICS, since)]
        assert [(event.source, event.broker) for event in events] == [("connectors", "shared")] * len(events)
        assert events, "nothing was told"
        return [(event.data.severity, event.data.code, event.data.subject) for event in events]

    return read


def test_a_failed_connector_is_restarted_and_both_that_and_a_store_that_is_away_lie_on_the_log(broker, cluster, told):
    settings = Settings(
        kafka=broker, database=DatabaseSettings(url=NO_POSTGRES), connect=ConnectSettings(url=cluster.url)
    )
    over, live = threading.Event(), threading.Event()
    watching = threading.Thread(
        target=lambda: watch(settings, stop=over.is_set, on_live=live.set, every_s=0.05), daemon=True
    )
    watching.start()
    try:
        until(live.is_set)
        cluster.failed.add(FILLS)
        until(lambda: cluster.restarts)
    finally:
        over.set()
        watching.join(20)

    assert not watching.is_alive()
    assert cluster.restarts == [FILLS]
    assert told() == [("critical", "connect.check", "outbox"), ("warning", "connect.restarted", FILLS)]


def test_the_process_is_live_when_it_has_looked_and_ends_with_zero_when_it_is_asked_to(broker, cluster, tmp_path):
    environment = os.environ | {
        "PANDA_KAFKA__BOOTSTRAP": broker.bootstrap, "PANDA_KAFKA__EMBEDDED": "true",
        "PANDA_DATABASE__URL": NO_POSTGRES.get_secret_value(), "PANDA_CONNECT__URL": cluster.url,
        "PANDA_READY_FILE": str(tmp_path / "ready"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [sys.executable, "-m", "cli", "run", "connectors"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            until((tmp_path / "ready").exists, 60)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()

    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert events[-1] == "connectors.left"
    assert "connectors.watched" in events


def test_with_sqlite_there_is_nothing_to_look_after(tmp_path):
    sqlite = DatabaseSettings(url=SecretStr(f"sqlite:///{tmp_path}/panda.sqlite"))

    with pytest.raises(ConfigError, match="no connectors to look after") as refused:
        watch(Settings(database=sqlite))
    assert refused.value.exit_code == 2


def test_an_alert_waits_for_nobody_and_one_that_nobody_takes_is_told_at_the_end(monkeypatch, capsys):
    monkeypatch.setattr("connectors.kafka.alerts.LEAVE_S", 0.2)
    began = time.monotonic()

    with Alerts(KafkaSettings(bootstrap="127.0.0.1:1"), "connectors") as alerts:
        alerts.write(SystemAlert("critical", "connect.down", "no answer", "Kafka Connect"))
        alerts.check()

    assert time.monotonic() - began < 5
    assert "alerts.unwritten" in capsys.readouterr().err
