"""The services' passwords: made once, at random, kept in one file that only its owner reads."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from connectors.errors import ConfigError
from deploy.services.private import write_private

NAMES: Final = (
    "KAFKA_ADMIN_PASSWORD",
    "POSTGRES_ADMIN_PASSWORD",
    "POSTGRES_PANDA_PASSWORD",
    "POSTGRES_PAPER_PASSWORD",
    "POSTGRES_ZERODHA_PASSWORD",
    "POSTGRES_DEBEZIUM_PASSWORD",
    "POSTGRES_LEASE_PASSWORD",
    "REDIS_ADMIN_PASSWORD",
    "REDIS_CACHE_PASSWORD",
    "REDIS_API_PASSWORD",
    "UI_PASSWORD",
    "DEPLOY_SECRET",
)

Credentials = Mapping[str, SecretStr]


def _read(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, assigned, value = line.partition("=")
        if not assigned or not value.isalnum():
            raise ConfigError(
                f"line {number} of {path} is no NAME=value of letters and digits", remedy="restore the file from a copy"
            )
        found[name] = value
    return found


def _refuse_if_others_read(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigError(f"{path} can be read by others (mode {mode:04o})", remedy=f"chmod 600 {path}")


def credentials(path: Path, *, data_exists: bool) -> Credentials:
    """What the file holds; names it lacks are made and added, so that an older file grows.

    Raises: `ConfigError` where there is data but no file: that data was made with passwords nobody has any more.
    """
    if path.exists():
        _refuse_if_others_read(path)
    elif data_exists:
        raise ConfigError(
            f"{path} is gone, and the services' data was made with its passwords",
            remedy=f"restore it, or begin afresh: remove {path.parent / 'data'}",
        )
    found = _read(path) if path.exists() else {}
    missing = [name for name in NAMES if name not in found]
    if missing:
        found |= {name: secrets.token_hex(20) for name in missing}
        head = "# Passwords of the native services; made by `panda services up`. Keep it, share it with nobody.\n"
        write_private(path, head + "".join(f"{name}={value}\n" for name, value in found.items()))
    return {name: SecretStr(value) for name, value in found.items()}
