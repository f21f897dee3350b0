"""Settings by which our flows find the services: `.env`, written once and never touched again, and compose's env file."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from connectors.kafka.access import ALL_BROKERS, principals
from connectors.settings import FIELDS, principal_password
from deploy.services.credentials import Credentials
from deploy.services.places import Ports
from deploy.services.postgres import DATABASE
from deploy.services.private import write_private

_HEAD = (
    "# Where the services are, made by `panda services`; docs/settings.md says what each means.\n"
    "# Holds passwords: readable by its owner only, in no repository.\n"
)


def database_url(credentials: Credentials, ports: Ports, role: str) -> SecretStr:
    """The address of the database as one of its roles: panda, paper, zerodha, debezium, lease."""
    password = credentials[f"POSTGRES_{role.upper()}_PASSWORD"].get_secret_value()
    return SecretStr(f"postgresql+psycopg://{role}:{password}@127.0.0.1:{ports.postgres}/{DATABASE}")


def redis_url(credentials: Credentials, ports: Ports, user: str) -> SecretStr:
    """The address of Redis as one of its users: cache, api."""
    password = credentials[f"REDIS_{user.upper()}_PASSWORD"].get_secret_value()
    return SecretStr(f"redis://{user}:{password}@127.0.0.1:{ports.redis}/0")


def environment(credentials: Credentials, ports: Ports) -> dict[str, str]:
    """The settings for services on these ports, secrets in clear: as Kafka's super user, Redis's writer, Postgres's owner.

    With them `deploy` is told whom flows enter as that need less.
    """
    secret = {name: value.get_secret_value() for name, value in credentials.items()}
    return {
        "PANDA_KAFKA__BOOTSTRAP": f"127.0.0.1:{ports.kafka}",
        "PANDA_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "PANDA_KAFKA__USERNAME": "admin",
        "PANDA_KAFKA__PASSWORD": secret["KAFKA_ADMIN_PASSWORD"],
        "PANDA_REDIS__URL": redis_url(credentials, ports, "cache").get_secret_value(),
        "PANDA_DATABASE__URL": database_url(credentials, ports, "panda").get_secret_value(),
        "PANDA_CONNECT__URL": f"http://127.0.0.1:{ports.connect}",
        "PANDA_DEPLOY__SECRET": secret["DEPLOY_SECRET"],
        "PANDA_DEPLOY__FLOWS": "here",
        "PANDA_DEPLOY__LEASE_URL": database_url(credentials, ports, "lease").get_secret_value(),
        "PANDA_DEPLOY__API_REDIS_URL": redis_url(credentials, ports, "api").get_secret_value(),
    }


def write_compose(path: Path, credentials: Credentials) -> None:
    """What docker-compose.yml asks for: the passwords, and of each flow's Kafka user the one it has by the deploy secret."""
    lines = [f"{name}={value.get_secret_value()}" for name, value in credentials.items()]
    for user in principals(ALL_BROKERS):
        password = principal_password(credentials["DEPLOY_SECRET"], user.name).get_secret_value()
        lines.append(f"KAFKA_{user.name.replace('-', '_').upper()}_PASSWORD={password}")
    write_private(path, "\n".join(lines) + "\n")


def write_once(path: Path, wanted: Mapping[str, str]) -> bool:
    """Writes the file if there is none; False: there was one, and it is as it was."""
    if path.exists():
        return False
    write_private(path, _HEAD + "".join(f"{name}={value}\n" for name, value in wanted.items()))
    return True


def _assigned(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, assigned, value in pairs if assigned}


def differences(path: Path, wanted: Mapping[str, str]) -> list[str]:
    """What a file says otherwise than the services need, a line each; no secret is shown.

    >>> differences(Path("/no/such/file"), {"PANDA_CONNECT__URL": "http://127.0.0.1:28083"})
    ['PANDA_CONNECT__URL is missing, should be http://127.0.0.1:28083']
    """
    there = _assigned(path)
    lines = []
    for name, value in wanted.items():
        secret = "SecretStr" in str(FIELDS[name].annotation)
        should = "" if secret else f", should be {value}"
        if name not in there:
            lines.append(f"{name} is missing{should}")
        elif there[name] != value:
            lines.append(f"{name} differs{should or ' (secret, not shown)'}")
    return lines
