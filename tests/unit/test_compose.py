"""The compose files, judged without an engine: by the schema of the specification, and by what it does not say."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from connectors.settings import FIELDS, LakeSettings
from tests.waiting import until

PROJECT = Path(__file__).resolve().parents[2]
MAIN, TEST, COMMON = "docker-compose.yml", "docker-compose.test.yml", "deploy/compose.services.yml"


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((PROJECT / name).read_text())


def services(name: str) -> dict[str, dict[str, Any]]:
    """The services of a file, with what they extend beneath their own."""
    common = read(COMMON)["services"]
    return {
        service: (common[body["extends"]["service"]] if "extends" in body else {}) | body
        for service, body in read(name)["services"].items()
    }


@pytest.mark.parametrize("name", [MAIN, TEST, COMMON])
def test_a_compose_file_keeps_the_specification(name):
    schema = json.loads((PROJECT / "deploy" / "compose-spec.json").read_text())

    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(read(name))] == []


@pytest.mark.parametrize("name", [MAIN, TEST])
def test_every_service_that_another_waits_for_is_there_and_can_be_waited_for(name):
    there = services(name)
    for service, body in there.items():
        for other, wait in body.get("depends_on", {}).items():
            assert other in there, f"{service} waits for {other}"
            if wait["condition"] == "service_healthy":
                assert "test" in there[other]["healthcheck"], f"{service} waits for the health of {other}"
            else:
                assert there[other]["restart"] == "no", f"{service} waits for the end of {other}"
            profiles = set(there[other].get("profiles", []))
            assert not profiles or profiles >= set(body["profiles"]), f"{other} is not up whenever {service} is"


@pytest.mark.parametrize("name", [MAIN, TEST])
def test_every_volume_and_configuration_is_declared_and_every_file_is_there(name):
    file = read(name)
    for service, body in services(name).items():
        assert {v.partition(":")[0] for v in body.get("volumes", [])} <= set(file.get("volumes", {})), service
        assert {c["source"] for c in body.get("configs", [])} <= set(file["configs"]), service
    assert [c["file"] for c in file["configs"].values() if not (PROJECT / c["file"]).is_file()] == []


@pytest.mark.parametrize("name", [MAIN, TEST])
def test_every_image_is_pinned_and_every_service_limited(name):
    for service, body in services(name).items():
        assert re.search(r":v?\d+\.\d+(\.\d+)?[\w.-]*$", body["image"]), f"{service}: {body['image']}"
        assert set(body["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, service


@pytest.mark.parametrize("name", [MAIN, TEST])
def test_every_port_is_on_loopback_and_taken_once(name):
    ports = [port for body in services(name).values() for port in body.get("ports", [])]

    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_the_platform_for_tests_is_on_the_ports_of_its_own():
    ports = {name: body["ports"][0].split(":")[1] for name, body in services(TEST).items() if "ports" in body}

    assert ports == {"kafka": "19092", "postgres": "5433", "redis": "6380", "connect": "18083"}


def test_every_password_comes_from_the_env_file_that_panda_makes(tmp_path):
    from deploy.services.credentials import credentials
    from deploy.services.environment import write_compose

    write_compose(tmp_path / "compose.env", credentials(tmp_path / "secrets.env", data_exists=False))
    made = {line.partition("=")[0] for line in (tmp_path / "compose.env").read_text().splitlines()}
    for name in (MAIN, TEST, COMMON):
        text = (PROJECT / name).read_text()
        asked = set(re.findall(r"\$\{(\w+):\?", text))
        assert asked <= made
        defaulted = {n for n in re.findall(r"\$\{(\w+)(?!\w|:\?)", text) if not n.startswith("PANDA_LAKE__")}
        assert defaulted <= {"ACTIVE_BROKERS"}, "without it the password is empty"
        assert re.findall(r"(?i)(?:password|secret)\w*: +[^ $\n&*]", text) == []


def test_a_flow_in_a_container_is_told_what_deploy_tells_it_natively_and_enters_as_no_more_than_it_needs():
    told = {name: body["environment"] for name, body in services(MAIN).items() if "flows" in body.get("profiles", [])}
    lake = {name for name in FIELDS if name.startswith("PANDA_LAKE__")}

    assert {name for name, env in told.items() if env.keys() >= lake} == {"archive", "api"}
    roles = {name: re.findall(r"//(\w+):", env.get("PANDA_DATABASE__URL", "")) for name, env in told.items()}
    assert {name: role for name, role in roles.items() if role} == {
        "deploy": ["panda"], "pipeline-paper": ["lease"], "connectors": ["lease"],
    }  # fmt: skip
    readers = {name: re.findall(r"//(\w+):", env.get("PANDA_REDIS__URL", "")) for name, env in told.items()}
    assert {name: user for name, user in readers.items() if user} == {"cache-paper": ["cache"], "api": ["api"]}
    users = {name: env["PANDA_KAFKA__USERNAME"] for name, env in told.items()}
    assert users == {name: name for name in users} | {"deploy": "admin", "cache-paper": "cache"}


# --- a flow that must not be started again ----------------------------------------------------------------------------

CONTAINED = PROJECT / "deploy" / "flows" / "contained.sh"
PANDA = """#!/bin/sh
echo "$*" >> runs
[ "$2" = live ] && trap "kill \\$!; exit $4" TERM
sleep 600 &
touch "$PANDA_READY_FILE"
[ "$2" = live ] && wait $!
kill $!
exit "$4"
"""


class Container:
    """Where the script of the flows' containers runs, started as a restart policy does: in the same file system."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "panda").write_text(PANDA)
        (directory / "panda").chmod(0o755)
        self.environment = {
            "PATH": f"{directory}:/usr/bin:/bin", "PANDA_READY_FILE": str(directory / "ready"),
            "PANDA_HELD_FILE": str(directory / "held"),
        }  # fmt: skip
        self.started = []

    def start(self, *command):
        output = (self.directory / "output").open("w")
        process = subprocess.Popen(
            ["sh", str(CONTAINED), *command], cwd=self.directory, env=self.environment, stderr=output, stdout=output
        )
        output.close()
        self.started.append(process)
        return process

    def says(self):
        return (self.directory / "output").read_text()

    def runs(self):
        path = self.directory / "runs"
        return path.read_text().splitlines() if path.exists() else []

    def healthy(self):
        return (self.directory / "ready").exists()


@pytest.fixture
def container(tmp_path):
    made = Container(tmp_path)
    yield made
    for process in made.started:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("code", ["2", "4"])
def test_a_flow_that_is_wrong_or_unsafe_is_held_unhealthy_over_restarts_until_its_container_is_made_anew(
    container, code
):
    for _ in range(2):
        process = container.start("run", "ends", "with", code)
        until(lambda: "held: " in container.says())
        assert f"`panda run ends with {code}` ended with exit code {code}" in container.says()
        assert (process.poll(), container.runs(), container.healthy()) == (None, [f"run ends with {code}"], False)
        process.terminate()
        assert process.wait(10) == int(code)

    (container.directory / "held").unlink()
    container.start("run", "ends", "with", code)
    until(lambda: len(container.runs()) == 2)


@pytest.mark.parametrize("code", ["0", "1", "3"])
def test_a_flow_that_failed_otherwise_ends_with_its_code_so_that_it_is_started_again(container, code):
    for times in (1, 2):
        assert container.start("run", "ends", "with", code).wait(10) == int(code)
        assert len(container.runs()) == times


@pytest.mark.parametrize("code", ["0", "4"])
def test_a_stop_reaches_the_flow_and_is_no_reason_to_hold_it(container, code):
    process = container.start("run", "live", "with", code)
    until(container.healthy)
    process.terminate()

    assert process.wait(10) == int(code)
    assert not (container.directory / "held").exists()


def test_what_is_no_flow_is_never_held(container):
    assert container.start("deploy", "ends", "with", "4").wait(10) == 4


def test_every_flow_that_is_restarted_is_held_where_it_must_not_be():
    flows = {name: body for name, body in services(MAIN).items() if "flows" in body.get("profiles", [])}

    assert {body["command"][0] for body in flows.values() if body["restart"] != "no"} == {"run", "feed"}
    for name, body in flows.items():
        assert body["entrypoint"] == ["sh", "deploy/flows/contained.sh"], name
    assert "WORKDIR /app\nUSER" in (PROJECT / "Dockerfile").read_text()


def test_without_settings_of_its_own_the_lake_of_the_containers_is_their_volume():
    archive = services(MAIN)["archive"]["environment"]
    defaults = {name: re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", value) for name, value in archive.items() if "LAKE" in name}

    given = {name.removeprefix("PANDA_LAKE__").lower(): value for name, value in defaults.items()}
    assert LakeSettings.model_validate(given) == LakeSettings(path="/data/lake")


def test_the_profiles_are_those_that_the_documentation_names():
    assert {profile for body in services(MAIN).values() for profile in body.get("profiles", [])} == {
        "ui",
        "monitoring",
        "flows",
    }


def test_the_image_of_the_flows_takes_only_what_they_need():
    shown = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")]

    assert (PROJECT / ".dockerignore").read_text().startswith("*\n")
    copied = {line.removeprefix("!").removesuffix("/**") for line in shown}
    assert all((PROJECT / path).exists() for path in copied)
    assert {"cli", "functions", "requirements/core.txt", "pyproject.toml"} <= copied
    assert not copied & {".env", ".services", ".git", "tests"}
