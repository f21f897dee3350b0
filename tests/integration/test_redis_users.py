"""Users of Redis: each does what it is for, and is told what it may not."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from api.desk import Desk as ApiDesk
from connectors.errors import ConfigError
from connectors.redis import Desk, connect, start_redis
from connectors.settings import RedisSettings
from dataflows import cache
from deploy.services.redis import executable
from tests.cached import DAY, KEYS, fold
from tests.history import Log
from tests.waiting import until

pytestmark = pytest.mark.redis

USERS = Path(__file__).resolve().parents[2] / "deploy" / "redis" / "users.acl"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The socket of a server with the platform's users, each with its name as its password."""
    directory = tmp_path_factory.mktemp("guarded")
    users = USERS.read_text().replace("#@ADMIN@", ">admin").replace("#@CACHE@", ">cache").replace("#@API@", ">api")
    (directory / "users.acl").write_text(users + "user stranger on >stranger ~other:* +@all\n")
    socket = directory / "redis.sock"
    command = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--aclfile", str(directory / "users.acl")]
    with subprocess.Popen([executable(), *command], stdout=subprocess.DEVNULL) as process:
        until(socket.exists)
        yield str(socket)
        process.terminate()


def entered(guarded: str, user: str, password: str | None = None) -> Any:
    return connect(RedisSettings(url=SecretStr(f"unix://{user}:{password or user}@{guarded}")))


def test_the_cache_writes_a_day_with_no_more_rights_than_the_platform_gives_it(guarded: str):
    with entered(guarded, "cache") as cache_user, entered(guarded, "default", "admin") as admin:
        desk = fold(cache_user, [Log().append(*DAY)])
        desk.beat()

        assert [key for key in admin.keys("*") if not key.startswith("paper:")] == []
        assert KEYS.offsets in admin.keys("*")


def test_the_user_of_the_api_reads_a_desk_and_cannot_write_one(guarded: str):
    with entered(guarded, "cache") as cache_user, entered(guarded, "api") as api_user:
        fold(cache_user, [Log().append(*DAY)])

        assert [item.account for item in ApiDesk(api_user, "paper").accounts().items] == ["a"]
        with pytest.raises(ConfigError, match="Redis user 'api' lacks a right") as refused:
            Desk(api_user, "paper").beat()
        assert "deploy/redis/users.acl" in refused.value.remedy


def test_a_user_without_rights_on_a_brokers_keys_is_named_before_and_while_writing(guarded: str):
    with entered(guarded, "stranger") as stranger, entered(guarded, "default", "admin") as admin:
        with pytest.raises(ConfigError, match="Redis user 'stranger' lacks a right"):
            Desk(stranger, "paper").open()

        admin.flushall()
        admin.execute_command("ACL", "SETUSER", "half", "on", ">half", "~paper:cache:*", "%R~paper:*", "+@all")
        with entered(guarded, "half") as half:
            desk = Desk(half, "paper")
            desk.open()
            with pytest.raises(ConfigError, match="Redis user 'half' lacks a right"):
                desk.write(cache.Decoder("paper")(Log().append(*DAY)).taken)


def test_a_wrong_password_and_none_at_all_are_told_apart(guarded: str):
    wrong, nobody = entered(guarded, "cache", "wrong"), connect(RedisSettings(url=SecretStr(f"unix://{guarded}")))

    with wrong, pytest.raises(ConfigError, match="refuses these credentials of user 'cache'"):
        Desk(wrong, "paper").open()
    with nobody, pytest.raises(ConfigError, match="asks for a user and a password") as refused:
        Desk(nobody, "paper").open()

    assert "PANDA_REDIS__URL" in refused.value.remedy


def test_an_encrypted_connection_is_chosen_by_the_address():
    with connect(RedisSettings(url=SecretStr("rediss://cache:pw@127.0.0.1:6380/0"))) as client:
        assert client.connection_pool.connection_class is redis.SSLConnection


def test_wrong_credentials_are_a_matter_of_configuration(tmp_path: Path):
    with start_redis(tmp_path) as server, connect(RedisSettings(url=SecretStr(server.url))) as client:
        client.config_set("requirepass", "right")
        wrong = RedisSettings(url=SecretStr(server.url.replace("unix://", "unix://:wrong@")))
        with connect(wrong) as other, pytest.raises(ConfigError, match="refuses these credentials"):
            Desk(other, "paper").open()
