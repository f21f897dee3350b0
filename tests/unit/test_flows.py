"""Flows of a deployment: what is declared of them, what a plan says of them, and their status."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from cli.commands import app
from connectors.errors import ConfigError
from connectors.settings import (
    DatabaseSettings,
    DeploySettings,
    KafkaSettings,
    LakeSettings,
    LogSettings,
    RedisSettings,
    Settings,
    load,
    principal_password,
)
from deploy.flows import declared as declared_module
from deploy.flows.control import Control
from deploy.flows.declared import code_version, declared
from deploy.flows.records import Report
from deploy.plan.answering import answering
from deploy.plan.flows import Flows, differences
from deploy.plan.steps import Context
from deploy.services.places import PROJECT
from tests.kept import STAYS, flow

SECRET = SecretStr("not a real one")


def settings(**changes):
    kafka = KafkaSettings(security_protocol="SASL_PLAINTEXT", username="admin", password=SecretStr("of the admin"))
    return Settings(**({"kafka": kafka, "deploy": DeploySettings(secret=SECRET, flows="here")} | changes))


# --- declared ---------------------------------------------------------------------------------------------------------


def test_a_deployment_on_sqlite_runs_config_first_and_the_pipeline_last_and_never_the_feed():
    assert [f.name for f in declared(settings())] == ["config", "archive", "cache-paper", "api", "pipeline-paper"]


def test_with_postgres_no_flow_publishes_the_outbox_one_watches_the_connectors_and_every_broker_has_its_cache_and_shards():
    postgres = DatabaseSettings(url=SecretStr("postgresql+psycopg://panda:x@127.0.0.1/panda"))
    two = settings(
        database=postgres, active_brokers=("paper", "zerodha"),
        deploy=DeploySettings(secret=SECRET, flows="here", shards=2),
    )  # fmt: skip

    assert [f.name for f in declared(two)] == [
        "connectors", "archive", "cache-paper", "cache-zerodha", "api",
        "pipeline-paper-1", "pipeline-paper-2", "pipeline-zerodha-1", "pipeline-zerodha-2",
    ]  # fmt: skip
    assert declared(two)[-1].command[-4:] == ["--broker", "zerodha", "--shard", "2/2"]


def test_a_flow_enters_kafka_as_its_own_user_and_knows_no_secret_that_it_does_not_need():
    told = {f.name: f.environment for f in declared(settings())}

    assert told["pipeline-paper"]["PANDA_KAFKA__USERNAME"] == "pipeline-paper"
    password = principal_password(SECRET, "cache").get_secret_value()
    assert told["cache-paper"]["PANDA_KAFKA__PASSWORD"] == password
    assert [name for name, env in told.items() if "PANDA_DATABASE__URL" in env] == ["config", "pipeline-paper"]
    assert [name for name, env in told.items() if "PANDA_REDIS__URL" in env] == ["cache-paper", "api"]
    assert [name for name, env in told.items() if "PANDA_LAKE__PATH" in env] == ["archive", "api"]
    assert not any(name.startswith("PANDA_DEPLOY__") for env in told.values() for name in env)
    assert all(env["PANDA_ENV_FILE"] == os.devnull for env in told.values())


def test_flows_that_need_less_than_the_deployer_enter_the_config_store_and_redis_as_whom_that_is_allowed():
    owner, reader = "postgresql+psycopg://panda:x@127.0.0.1/panda", "redis://api:y@127.0.0.1/0"
    here = DeploySettings(
        secret=SECRET, flows="here", lease_url=SecretStr(owner.replace("panda:x", "lease:z")),
        api_redis_url=SecretStr(reader),
    )  # fmt: skip
    given = settings(
        deploy=here, database=DatabaseSettings(url=SecretStr(owner)),
        redis=RedisSettings(url=SecretStr("redis://cache:y@127.0.0.1/0")),
    )  # fmt: skip
    told = {f.name: f.environment for f in declared(given)}

    assert {name: env["PANDA_DATABASE__URL"] for name, env in told.items() if "PANDA_DATABASE__URL" in env} == dict.fromkeys(
        ("connectors", "pipeline-paper"), "postgresql+psycopg://lease:z@127.0.0.1/panda"
    )  # fmt: skip
    assert told["api"]["PANDA_REDIS__URL"] == reader
    assert told["cache-paper"]["PANDA_REDIS__URL"] == "redis://cache:y@127.0.0.1/0"
    assert told["connectors"]["PANDA_CONNECT__URL"] == given.connect.url


def test_with_sqlite_no_flow_is_sent_to_a_postgres_for_its_lease():
    lease = SecretStr("postgresql+psycopg://lease:z@127.0.0.1/panda")
    told = {
        f.name: f.environment
        for f in declared(settings(deploy=DeploySettings(secret=SECRET, flows="here", lease_url=lease)))
    }

    assert told["pipeline-paper"]["PANDA_DATABASE__URL"].startswith("sqlite:///")


def test_a_flow_reads_the_settings_that_deploy_was_given(monkeypatch, tmp_path):
    given = settings(
        data_dir=tmp_path, active_brokers=("paper", "zerodha"), redis=RedisSettings(url=SecretStr("redis://x:y@there/3")),
        log=LogSettings(level="DEBUG"), kafka=KafkaSettings(bootstrap="a:1,b:2"),
    )  # fmt: skip
    api = next(f for f in declared(given) if f.name == "api")
    for name in list(os.environ):
        if name.startswith("PANDA_"):
            monkeypatch.delenv(name)
    for name, value in api.environment.items():
        monkeypatch.setenv(name, value)

    read = load()

    for part in ("data_dir", "active_brokers", "kafka", "redis", "lake", "api", "log"):
        assert getattr(read, part) == getattr(given, part)


def test_two_shells_one_with_an_activated_environment_deploy_the_same_flows(tmp_path):
    (tmp_path / ".env").write_text("PANDA_LOG__LEVEL=DEBUG\nPANDA_DEPLOY__FLOWS=here\n")
    tell = (
        "import json\nfrom connectors.settings import load\nfrom deploy.flows.declared import declared\n"
        "print(json.dumps({f.name: [f.fingerprint, sorted(f.environment)] for f in declared(load())}))"
    )
    programs = Path(sys.prefix) / "bin"
    bare = {"PYTHONPATH": str(PROJECT)}
    activated = bare | {
        "VIRTUAL_ENV": sys.prefix, "PATH": f"{programs}:/opt/tools/bin:/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "dumb",
        "LANG": "de_DE.UTF-8", "LC_ALL": "C", "TZ": "Asia/Tokyo", "OPENBLAS_NUM_THREADS": "7", "OMP_NUM_THREADS": "3",
        "PYTHONPATH": f"{PROJECT}:{tmp_path}", "XDG_CACHE_HOME": str(tmp_path / "cache"), "NUMBA_DISABLE_JIT": "1",
        "JAVA_HOME": "/opt/java", "LD_LIBRARY_PATH": "/opt/lib", "TMPDIR": str(tmp_path), "EDITOR": "ed",
    }  # fmt: skip

    def deployed(python, environment):
        command = ["env", "-i", *(f"{name}={value}" for name, value in environment.items()), python, "-c", tell]
        return json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)

    told = deployed(sys.executable, bare)

    assert deployed("python3", activated) == told
    assert all(fingerprint["PANDA_LOG__LEVEL"] for fingerprint, _ in told.values())
    ours = {name for _, names in told.values() for name in names if not name.startswith(("PANDA_", "ACTIVE_"))}
    assert ours == {"HOME", "LANG", "OPENBLAS_NUM_THREADS", "PATH", "PYTHONPATH", "TZ"}
    assert deployed(sys.executable, bare | {"PANDA_LOG__LEVEL": "INFO"}) != told


def test_what_stands_in_a_file_that_a_setting_names_is_part_of_every_flow_that_is_told_of_it(monkeypatch, tmp_path):
    days = tmp_path / "days.csv"
    monkeypatch.setattr(declared_module, "_NAMING_FILES", ("PANDA_LAKE__PATH",))  # any setting that names a file
    given = settings(lake=LakeSettings(path=str(days)))
    with pytest.raises(ConfigError, match=f"PANDA_LAKE__PATH names {days}, which cannot be read: No such file"):
        declared(given)

    days.write_text("2027-01-26\n")
    before = declared(given)
    assert differences(declared(given), reported(*before), "v1") == []

    days.write_text("2027-01-26\n2027-03-22\n")

    assert [change.line for change in differences(declared(given), reported(*before), "v1")] == [
        f"~ flow {name}: file of PANDA_LAKE__PATH changed: start anew" for name in ("archive", "api")
    ]


def test_code_is_every_source_and_data_file_and_the_pinned_libraries_and_nothing_that_an_editor_leaves(tmp_path):
    def put(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return code_version(tmp_path)

    seen = [put("functions/risk.py", "a"), put("functions/risk.py", "b"), put("functions/holidays/2027.csv", "d")]
    seen += [
        put("analytics/views.sql", "v"),
        put("requirements/core.txt", "numpy==2"),
        put("requirements/core.txt", "numpy==3"),
    ]

    assert len(set(seen)) == 6
    assert put("functions/__pycache__/risk.pyc", "x") == seen[-1]
    assert put("functions/.risk.py.swp", "x") == put("functions/risk.py~", "x") == put("docs/x.md", "x") == seen[-1]


def test_a_broker_with_users_and_no_secret_is_refused():
    with pytest.raises(ConfigError, match="PANDA_DEPLOY__SECRET is empty"):
        declared(settings(deploy=DeploySettings(flows="here")))


def test_neither_a_flow_nor_its_fingerprint_shows_a_password():
    made = declared(settings())[0]

    password = made.environment["PANDA_KAFKA__PASSWORD"]
    assert password not in repr(made)
    assert password not in str(made.fingerprint)


# --- planned ----------------------------------------------------------------------------------------------------------


def reported(*flows, state="live"):
    standing = [
        {"name": f.name, "state": state, "pid": 1, "restarts": 0, "since": "then", "fingerprint": f.fingerprint}
        for f in flows
    ]
    return msgspec.convert({"request": "r", "version": "v1", "flows": standing}, Report)


def test_a_plan_tells_new_changed_fallen_and_unwanted_flows_by_the_names_of_what_differs():
    a, b, c, d = (flow(name, STAYS, PANDA_LOG__LEVEL="INFO") for name in "abcd")
    found = reported(b, c)
    louder = replace(b, environment={"PANDA_LOG__LEVEL": "DEBUG"})

    assert [x.line for x in differences([a, louder], found, "v1")] == [
        "+ flow a",
        "~ flow b: PANDA_LOG__LEVEL changed: start anew",
        "- flow c",
    ]
    assert [x.line for x in differences([d], reported(d, state="failed"), "v1")] == ["~ flow d: failed → live"]
    assert differences([b, c], found, "v1") == []


def test_other_code_changes_the_supervisor_and_every_flow():
    a = flow("a", STAYS)

    assert [x.line for x in differences([replace(a, version="v2")], reported(a), "v2")] == [
        "~ flows' supervisor: code",
        "~ flow a: code changed: start anew",
    ]


def test_flows_that_others_keep_are_told_and_left_alone(tmp_path):
    step = Flows(Context(settings(deploy=DeploySettings(secret=SECRET)), root=tmp_path))

    assert [change.kind for change in step.plan()] == ["note"]
    assert [state.ok for state in step.status()] == [True]


def test_status_tells_what_runs_what_does_not_and_that_a_broker_which_is_down_does_not_tell_the_lag(
    monkeypatch, tmp_path
):
    monkeypatch.setattr("connectors.kafka.client.START_S", 0.2)
    monkeypatch.setattr("connectors.kafka.source.START_S", 0.2)
    here = settings(kafka=KafkaSettings(bootstrap="127.0.0.1:1"))
    wanted = declared(here)
    fallen = replace(
        reported(wanted[1], state="restarting").flows[0], reason="killed by signal 9", last_lines="  | so much"
    )
    report = replace(reported(wanted[2]), flows=[*reported(wanted[2]).flows, fallen])
    monkeypatch.setattr(Control, "report", lambda self: report)

    assert [(s.what, s.ok, s.detail) for s in Flows(Context(here, root=tmp_path)).status()] == [
        ("flow config", False, "not running: panda deploy apply"),
        ("flow archive", False, "restarting since then: killed by signal 9\n  | so much"),
        ("flow cache-paper", True, "live since then, pid 1, 0 restarts, lag not known"),
        ("flow api", False, "not running: panda deploy apply"),
        ("flow pipeline-paper", False, "not running: panda deploy apply"),
    ]


def test_down_where_nothing_runs_says_so(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    ran = CliRunner().invoke(app, ["deploy", "down"])

    assert (ran.exit_code, ran.output) == (0, "no flow was running\n")


def test_services_that_do_not_answer_are_told_and_raise_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("deploy.plan.answering.PATIENCE_S", 0.2)
    nobody = settings(
        kafka=KafkaSettings(bootstrap="127.0.0.1:1"), redis=RedisSettings(url=SecretStr("redis://127.0.0.1:1/0"))
    )

    assert [(s.what, s.ok) for s in answering(nobody)] == [("kafka 127.0.0.1:1", False), ("redis", False)]
