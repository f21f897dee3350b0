"""Postgres: the config store and the report tables, with a role for each who writes."""

import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from connectors.errors import ConfigError, DependencyError
from deploy.services.places import PROJECT, Ports
from deploy.services.private import write_private
from deploy.services.processes import Launch, User, plain_environment
from deploy.services.service import Site

OLDEST: Final = 15
DATABASE: Final = "panda"
SUPER_USER: Final = "postgres"
RIGHTS: Final = PROJECT / "deploy" / "postgres" / "rights.sql"
ROLES: Final[dict[str, tuple[str, LiteralString]]] = {  # role -> where its password is, and what it may be
    "panda": ("POSTGRES_PANDA_PASSWORD", "LOGIN NOREPLICATION"),
    "paper": ("POSTGRES_PAPER_PASSWORD", "LOGIN NOREPLICATION"),
    "zerodha": ("POSTGRES_ZERODHA_PASSWORD", "LOGIN NOREPLICATION"),
    "debezium": ("POSTGRES_DEBEZIUM_PASSWORD", "LOGIN REPLICATION"),
    "lease": ("POSTGRES_LEASE_PASSWORD", "LOGIN NOREPLICATION"),
}


def binaries() -> Path:
    """The folder of Postgres's programs: of the one on the PATH, or of the newest that Debian has.

    Raises: `DependencyError`.
    """
    found = shutil.which("postgres")
    installed = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    versions = sorted((p for p in installed if p.parts[-3].isdecimal()), key=lambda p: int(p.parts[-3]))
    places = ([Path(found).resolve()] if found else []) + versions[::-1]
    for program in places:
        if (program.parent / "initdb").exists() and _major(program) >= OLDEST:
            return program.parent
    raise DependencyError(
        f"there is no Postgres {OLDEST} or newer (postgres and initdb)",
        remedy="install it (Debian: apt-get install postgresql), or put its bin folder on the PATH",
    )


def _major(program: Path) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(found[1]) if found else 0


def server_user() -> User | None:
    """Postgres refuses to run as root: then it runs as its own user. Raises: `DependencyError` where there is none."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        raise DependencyError(
            "Postgres does not run as root, and there is no user postgres", remedy="useradd --system postgres"
        ) from None
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def refuse_closed_folders(folder: Path) -> None:
    """Raises: `ConfigError` for a folder on the way that the user postgres cannot pass."""
    for parent in folder.resolve().parents:
        if parent.exists() and not parent.stat().st_mode & 0o001:
            raise ConfigError(
                f"the user postgres cannot pass {parent}, its data would lie beneath", remedy=f"chmod o+x {parent}"
            )


class Postgres:
    """The store of what people configure, and of what reports are made from."""

    name = "postgres"
    needs: tuple[str, ...] = ()
    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait for every client to leave
    stop_s = 20.0

    def ports(self, ports: Ports) -> tuple[int, ...]:
        return (ports.postgres,)

    def check(self, site: Site) -> None:
        binaries()
        if server_user() is not None:
            refuse_closed_folders(site.places.data / "postgres")

    def prepare(self, site: Site) -> Launch:
        programs, data, user = binaries(), site.places.data / "postgres", server_user()
        if (data / "PG_VERSION").exists():
            self._refuse_other_version(programs, data)
        else:
            self._initialise(site, programs, data, user)
        options = {
            "listen_addresses": "127.0.0.1", "port": site.ports.postgres, "unix_socket_directories": "",
            "wal_level": "logical", "max_slot_wal_keep_size": "1GB", "password_encryption": "scram-sha-256",
            "shared_buffers": "64MB",
        }  # fmt: skip
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return Launch([str(programs / "postgres"), "-D", str(data), *words], plain_environment(), user)

    def _refuse_other_version(self, programs: Path, data: Path) -> None:
        kept, ours = (data / "PG_VERSION").read_text().strip(), _major(programs / "postgres")
        if kept != str(ours):
            raise ConfigError(
                f"{data} was made by Postgres {kept}, installed is {ours}",
                remedy=f"install Postgres {kept}, or dump and restore; to begin afresh remove {data}",
            )

    def _initialise(self, site: Site, programs: Path, data: Path, user: User | None) -> None:
        """Makes the data folder, whole or not at all; the super user's password goes in by a file that is then gone."""
        owner = (user.uid, user.gid) if user else None
        part, password = data.with_name("postgres.part"), site.places.run / "initdb.password"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        if owner:
            os.chown(part, *owner)
        write_private(password, site.password("POSTGRES_ADMIN_PASSWORD") + "\n", owner=owner)
        command = [
            str(programs / "initdb"), "-D", str(part), "-U", SUPER_USER, "--auth=scram-sha-256", f"--pwfile={password}",
            "-E", "UTF8", "--locale=C.UTF-8",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=plain_environment(), cwd="/",
                user=user.uid if user else None, group=user.gid if user else None, extra_groups=[] if user else None,
            )  # fmt: skip
        finally:
            password.unlink()
        if done.returncode != 0:
            last = "\n".join(f"  | {line}" for line in (done.stdout + done.stderr).splitlines()[-5:])
            raise DependencyError(f"Postgres's data folder could not be made:\n{last}", remedy=f"look at {part}")
        part.rename(data)

    def _connection(self, site: Site, database: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(
            host="127.0.0.1", port=site.ports.postgres, user=SUPER_USER, dbname=database,
            password=site.password("POSTGRES_ADMIN_PASSWORD"), connect_timeout=2, autocommit=True,
        )  # fmt: skip

    def answers(self, site: Site, pid: int) -> bool:
        try:
            with self._connection(site, SUPER_USER) as connection:
                return connection.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise ConfigError(
                    "Postgres does not take the super user's password",
                    remedy=f"restore the {site.places.credentials} that its data was made with",
                ) from error
            return False

    def furnish(self, site: Site) -> None:
        """Roles, database, one schema a broker. Tables are what migrations make, as the role `panda`."""
        with self._connection(site, SUPER_USER) as server:
            self._roles(server, site)
            if not server.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
                server.execute(sql.SQL("create database {} owner panda").format(sql.Identifier(DATABASE)))
        with self._connection(site, DATABASE) as database, database.transaction():
            database.execute(RIGHTS.read_bytes())

    def _roles(self, server: "psycopg.Connection[Any]", site: Site) -> None:
        """The server is given verifiers, not passwords: a statement may end in its log."""
        for role, (secret, powers) in ROLES.items():
            verifier = server.pgconn.encrypt_password(
                site.password(secret).encode(), role.encode(), b"scram-sha-256"
            ).decode()
            known = server.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone()
            server.execute(
                sql.SQL("{verb} role {role} with {powers} password {verifier}").format(
                    verb=sql.SQL("alter" if known else "create"),
                    role=sql.Identifier(role),
                    powers=sql.SQL(powers),
                    verifier=sql.Literal(verifier),
                )
            )
