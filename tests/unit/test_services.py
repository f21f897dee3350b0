"""The native services' rules, without starting one."""

import os
import signal
import socket
import stat
import sys
import time

import psutil
import pytest

from connectors.errors import ConfigError, DependencyError
from deploy.services import java as java_machine
from deploy.services.credentials import NAMES, credentials
from deploy.services.environment import differences, environment, write_once
from deploy.services.java import java, maven
from deploy.services.native import Native
from deploy.services.places import COMPOSE, Ports
from deploy.services.postgres import refuse_closed_folders
from deploy.services.processes import Launch, Processes, port_is_free, refuse_taken_port

SLEEPER = Launch([sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(60)"], {})


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path, tmp_path)
    yield made
    made.stop("sleeper", signal.SIGTERM, 5)


def program(folder, name, says):
    """A program that prints to its errors, as `java -version` does."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    path.chmod(0o755)


# --- processes --------------------------------------------------------------------------------------------------------


def test_a_process_is_found_again_by_another_command_and_stopped(processes, tmp_path):
    processes.start("sleeper", SLEEPER)

    found = Processes(tmp_path, tmp_path).find("sleeper")
    assert found is not None
    assert processes.stop("sleeper", signal.SIGTERM, 5)
    assert processes.find("sleeper") is None
    assert not found.is_running()


def test_a_process_that_took_over_the_number_of_ours_is_never_signalled(processes, tmp_path):
    processes.start("sleeper", SLEEPER)
    stranger = processes.find("sleeper")
    (tmp_path / "other.pid").write_text(f"{stranger.pid} {stranger.create_time() - 100:.2f}\n")

    assert processes.find("other") is None
    assert processes.stop("other", signal.SIGKILL, 1)
    assert stranger.is_running()


def test_a_process_that_ignores_the_signal_is_killed(processes):
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    processes.start("sleeper", Launch([sys.executable, "-c", deaf], {}))
    while not processes.output("sleeper").read_text():
        time.sleep(0.01)

    assert not processes.stop("sleeper", signal.SIGTERM, 0.2)
    assert processes.find("sleeper") is None


def test_a_process_runs_while_any_thread_of_it_holds_its_port_though_the_first_has_ended(processes):
    headless = """
import ctypes, socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=time.sleep, args=(60,)).start()
print(server.getsockname()[1], flush=True)
libc = ctypes.CDLL(None)
libc.pthread_exit.argtypes = [ctypes.c_void_p]
libc.pthread_exit(None)
"""
    processes.start("sleeper", Launch([sys.executable, "-c", headless], {}))
    found = processes.find("sleeper")
    while found.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    port = int(processes.output("sleeper").read_text())

    assert not port_is_free(port)
    assert processes.find("sleeper") == found
    assert processes.stop("sleeper", signal.SIGKILL, 5)
    assert port_is_free(port)


def test_the_environment_of_a_service_holds_no_setting_of_ours(processes, monkeypatch):
    monkeypatch.setenv("PANDA_DEPLOY__SECRET", "hidden")
    processes.start("sleeper", SLEEPER)

    assert "PANDA_DEPLOY__SECRET" not in processes.find("sleeper").environ()


def test_a_taken_port_is_refused_by_the_name_of_the_process_that_holds_it():
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]

        with pytest.raises(DependencyError, match=rf"redis cannot start: port {port} .* process {os.getpid()} \(.+\)"):
            refuse_taken_port("redis", port)


# --- what must be there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "refused"),
    [
        ('openjdk version "17.0.15"', None),
        ('openjdk version "11.0.2"', "newer, .* is 11"),
        ('java version "1.8.0_392"', "newer, .* is 8"),
    ],
)
def test_a_java_older_than_17_is_refused_with_its_version(tmp_path, monkeypatch, says, refused):
    program(tmp_path, "java", says)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    java.cache_clear()
    try:
        if refused:
            with pytest.raises(DependencyError, match=refused):
                java()
        else:
            assert java() == str(tmp_path / "java")
    finally:
        java.cache_clear()


def test_without_java_or_maven_the_remedy_is_an_installation(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    java.cache_clear()
    try:
        with pytest.raises(DependencyError, match="no java on the PATH") as no_java:
            java_machine.java()
        with pytest.raises(DependencyError, match="no mvn on the PATH") as no_maven:
            maven()
    finally:
        java.cache_clear()
    assert "install" in no_java.value.remedy
    assert no_maven.value.exit_code == 3


def test_a_full_disk_is_refused_before_anything_starts(tmp_path, monkeypatch):
    class Full:
        free = 999_999_999

    monkeypatch.setattr("shutil.disk_usage", lambda path: Full)

    with pytest.raises(DependencyError, match="999 MB are free"):
        Native(tmp_path).up(["redis"])


def test_an_unknown_service_is_refused_with_the_names_that_there_are(tmp_path):
    with pytest.raises(ConfigError, match="no service 'kafak'") as refused:
        Native(tmp_path).up(["kafak"])
    assert refused.value.remedy == "one of kafka, postgres, redis, connect"


def test_a_folder_that_postgres_cannot_pass_is_named(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o700)

    with pytest.raises(ConfigError, match="cannot pass"):
        refuse_closed_folders(tmp_path / "closed" / "data")


def test_services_keep_the_ports_that_they_were_first_started_with(tmp_path):
    Native(tmp_path, Ports(1, 2, 3, 4, 5)).environment()

    assert Native(tmp_path).ports == Ports(1, 2, 3, 4, 5)
    with pytest.raises(ConfigError, match="belongs to ports"):
        Native(tmp_path, Ports())


# --- passwords and settings -------------------------------------------------------------------------------------------


def test_passwords_are_made_once_and_only_their_owner_reads_them(tmp_path):
    path = tmp_path / "secrets.env"
    made = credentials(path, data_exists=False)

    assert {name: len(secret.get_secret_value()) for name, secret in made.items()} == dict.fromkeys(NAMES, 40)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert credentials(path, data_exists=True) == made


def test_an_older_file_of_passwords_grows_by_what_it_lacks_and_keeps_the_rest(tmp_path):
    path = tmp_path / "secrets.env"
    path.write_text("DEPLOY_SECRET=abc\n")
    path.chmod(0o600)

    made = credentials(path, data_exists=True)
    assert made["DEPLOY_SECRET"].get_secret_value() == "abc"
    assert set(made) == set(NAMES)


def test_data_without_its_passwords_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is gone, and the services' data was made with its passwords"):
        credentials(tmp_path / "secrets.env", data_exists=True)


def test_passwords_that_others_can_read_are_refused(tmp_path):
    path = tmp_path / "secrets.env"
    path.write_text("DEPLOY_SECRET=abc\n")
    path.chmod(0o644)

    with pytest.raises(ConfigError, match=r"can be read by others \(mode 0644\)"):
        credentials(path, data_exists=True)


def test_an_env_file_that_is_there_is_left_alone_and_its_differences_are_told_without_secrets(tmp_path):
    wanted = environment(credentials(tmp_path / "secrets.env", data_exists=False), COMPOSE)
    env = tmp_path / ".env"
    kept = "PANDA_KAFKA__BOOTSTRAP=elsewhere:9092\nexport PANDA_KAFKA__PASSWORD='other'\n# PANDA_CONNECT__URL=x\n"
    env.write_text(kept)

    assert not write_once(env, wanted)
    assert env.read_text() == kept
    assert differences(env, wanted) == [
        "PANDA_KAFKA__BOOTSTRAP differs, should be 127.0.0.1:9092",
        "PANDA_KAFKA__SECURITY_PROTOCOL is missing, should be SASL_PLAINTEXT",
        "PANDA_KAFKA__USERNAME is missing, should be admin",
        "PANDA_KAFKA__PASSWORD differs (secret, not shown)",
        "PANDA_REDIS__URL is missing",
        "PANDA_DATABASE__URL is missing",
        "PANDA_CONNECT__URL is missing, should be http://127.0.0.1:8083",
        "PANDA_DEPLOY__SECRET is missing",
        "PANDA_DEPLOY__FLOWS is missing, should be here",
        "PANDA_DEPLOY__LEASE_URL is missing",
        "PANDA_DEPLOY__API_REDIS_URL is missing",
    ]


def test_the_env_file_that_is_written_is_one_that_the_settings_read(tmp_path, monkeypatch):
    from connectors.settings import load

    for name in [name for name in os.environ if name.startswith("PANDA_")]:
        monkeypatch.delenv(name)
    env = tmp_path / ".env"
    wanted = environment(credentials(tmp_path / "secrets.env", data_exists=False), COMPOSE)

    assert write_once(env, wanted)
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    settings = load(env)
    assert settings.kafka.username == "admin"
    assert settings.connect.url == "http://127.0.0.1:8083"
    assert differences(env, wanted) == []


def test_another_env_file_can_be_named_and_tests_name_an_empty_one(tmp_path, monkeypatch):
    from connectors.settings import load

    assert os.environ["PANDA_ENV_FILE"] == os.devnull
    (tmp_path / "other.env").write_text("PANDA_CONNECT__URL=http://there:1\n")
    monkeypatch.setenv("PANDA_ENV_FILE", str(tmp_path / "other.env"))
    assert load().connect.url == "http://there:1"


def test_a_failed_fetch_tells_mavens_last_words_and_leaves_no_half_of_the_jars(tmp_path, monkeypatch):
    from deploy.services.jars import fetch

    program(tmp_path, "java", 'openjdk version "17.0.15"')
    program(tmp_path, "mvn", "never asked")
    (tmp_path / "mvn").write_text("#!/bin/sh\necho Could not transfer artifact\nexit 1\n")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    java.cache_clear()
    try:
        with pytest.raises(DependencyError, match=r"exit code 1\):\n  \| Could not transfer artifact"):
            fetch(tmp_path / "kafka")
    finally:
        java.cache_clear()
    assert not (tmp_path / "kafka").exists()
