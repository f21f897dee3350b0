"""Kafka's jars: one run of Maven from Maven Central, done again only when the list of jars changes."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

from connectors.errors import DependencyError
from deploy.services.java import java, maven
from deploy.services.places import TEMPLATES

POM: Final = TEMPLATES / "pom.xml"
_OF: Final = "pom.sha256"  # which list the jars were fetched by


def _digest() -> str:
    return hashlib.sha256(POM.read_bytes()).hexdigest()


def have_jars(folder: Path) -> bool:
    """Whether a folder holds all the jars of today's list."""
    mark = folder / _OF
    return mark.exists() and mark.read_text().strip() == _digest()


def fetch(folder: Path) -> bool:
    """Brings `libs` and `plugins` into a folder, whole or not at all; False: they were there.

    Raises: `DependencyError` without Java or Maven, or with Maven's last words.
    """
    if have_jars(folder):
        return False
    java()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several roots may share the jars
        if have_jars(folder):
            return False
        _download(folder, folder.with_name(folder.name + ".part").resolve())
    return True


def _download(folder: Path, part: Path) -> None:
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    command = [maven(), "-q", "-B", "-ntp", "-f", str(POM), f"-Ddist={part}", "package"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=part)
    if done.returncode != 0:
        last = "\n".join(f"  | {line}" for line in (done.stdout + done.stderr).splitlines()[-8:])
        raise DependencyError(
            f"Maven could not fetch Kafka's jars (exit code {done.returncode}):\n{last}",
            remedy="is Maven Central reachable? a mirror goes into ~/.m2/settings.xml",
        )
    (part / _OF).write_text(_digest() + "\n")
    if folder.exists():
        shutil.rmtree(folder)
    part.rename(folder)
