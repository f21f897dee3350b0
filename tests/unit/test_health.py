"""What the API says of a Redis that is away and of the flows beside it, and how long it takes to say so."""

import json
import time

import pytest
import redis
from fastapi.testclient import TestClient

from api.app import create_app
from api.desk import _age_s
from api.flows import REPORT
from connectors.dependencies import ATTEMPTS
from connectors.heartbeat import boot_id
from connectors.settings import Settings
from tests.waiting import until


class Gone:
    """A Redis that refuses every connection, and counts who tried."""

    def __init__(self):
        self.asked = 0

    def __getattr__(self, name):
        def refuse(*_arguments, **_options):
            self.asked += 1
            raise redis.ConnectionError("Connection refused")

        return refuse


class Lake:
    """A lake that answers."""

    def check(self):
        return {}


@pytest.fixture
def gone():
    return Gone()


@pytest.fixture
def client(gone):
    with TestClient(create_app(Settings(), gone, Lake()), base_url="http://127.0.0.1") as client:
        yield client


def test_after_four_failures_nobody_waits_for_redis_and_one_question_a_second_tries_it(client, gone):
    for _ in range(ATTEMPTS):
        assert client.get("/api/v1/strategies").status_code == 503
    asked, began = gone.asked, time.monotonic()

    refused = [client.get("/api/v1/strategies") for _ in range(10)]

    assert {answer.status_code for answer in refused} == {503}
    assert "redis has been away for" in refused[0].json()["detail"]
    assert gone.asked - asked <= 1 + (time.monotonic() - began)
    [found] = [one for one in client.get("/health").json()["dependencies"] if one["name"] == "redis"]
    assert (found["state"], found["circuit"]) == ("down", "open")

    asked = gone.asked
    until(lambda: client.get("/ready") and gone.asked > asked, 30, "a question that tries it")


def test_health_says_how_each_flow_does_and_for_what_it_waits(client, tmp_path, monkeypatch):
    report = tmp_path / "flows.json"
    live = {
        "name": "archive",
        "state": "live",
        "pid": 1,
        "restarts": 2,
        "since": "2026-11-21T10:00:00+00:00",
        "stuck": 1,
    }
    waiting = {"name": "lake", "since": "2026-11-21T11:00:00+00:00", "reason": "No space left on device"}
    report.write_text(json.dumps({"request": "r", "version": "v", "flows": [live | {"waits_for": [waiting]}]}))
    monkeypatch.setenv(REPORT, str(report))

    said = client.get("/health").json()

    assert said["status"] == "degraded"
    assert said["flows"] == {
        "archive": {
            "state": "live", "since": "2026-11-21T10:00:00+00:00", "restarts": 2, "stuck": 1, "reason": "",
            "waits_for": [waiting],
        }
    }  # fmt: skip

    report.unlink()
    assert client.get("/health").json()["flows"] == {}


def test_the_cache_s_age_is_by_the_monotonic_clock_where_both_share_it_whatever_the_wall_clock_says(monkeypatch):
    said = {"written_at": time.time(), "monotonic": time.monotonic() - 2.0, "boot": boot_id()}
    for jump in (-3600.0, 3600.0):
        monkeypatch.setattr("time.time", lambda jump=jump: said["written_at"] + jump)
        assert 2.0 <= _age_s(said) < 4.0

    assert _age_s(said | {"boot": "another machine"}) == 3600.0
