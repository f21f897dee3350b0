"""The Java machine and Maven: found, old enough, and what every JVM of ours is started with."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from connectors.errors import DependencyError

OLDEST_JAVA: Final = 17
JVM: Final = ("-XX:+UseSerialGC", "-Xms64m", "-Djava.awt.headless=true")
QUICK: Final = "-XX:TieredStopAtLevel=1"  # the fast compiler alone: starts sooner, runs at half the speed


def major(version_text: str) -> int | None:
    """The major version in what `java -version` prints.

    >>> major('openjdk version "17.0.15" 2025-04-15'), major('java version "1.8.0_392"'), major("no")
    (17, 8, None)
    """
    found = re.search(r'version "(\d+)(?:\.(\d+))?', version_text)
    if not found:
        return None
    return int(found[2]) if found[1] == "1" and found[2] else int(found[1])


@cache
def java() -> str:
    """The path of a Java that is new enough. Raises: `DependencyError`."""
    home = os.environ.get("JAVA_HOME", "")
    path = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    path = path or shutil.which("java")
    if path is None:
        raise DependencyError(
            "Kafka needs Java, and there is no java on the PATH",
            remedy=f"install a JRE {OLDEST_JAVA} or newer (Debian: apt-get install openjdk-17-jre-headless)",
        )
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
    version = major(said.stderr + said.stdout)
    if version is None or version < OLDEST_JAVA:
        raise DependencyError(
            f"Kafka needs Java {OLDEST_JAVA} or newer, {path} is {version or 'none that says its version'}",
            remedy=f"install a JRE {OLDEST_JAVA} or newer, or set JAVA_HOME to one",
        )
    return path


def maven() -> str:
    """The path of Maven. Raises: `DependencyError`."""
    path = shutil.which("mvn")
    if path is None:
        raise DependencyError(
            "Kafka's jars come from Maven Central, and there is no mvn on the PATH",
            remedy="install Maven (Debian: apt-get install maven)",
        )
    return path
