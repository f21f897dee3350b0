"""`.env`: the settings by which our flows find the native services, written once and never touched again."""

from collections.abc import Mapping
from pathlib import Path

from connectors.settings import FIELDS
from deploy.services.private import write_private

_HEAD = (
    "# Settings for the native services, made by `panda services up`; docs/settings.md says what each means.\n"
    "# Holds passwords: readable by its owner only, in no repository.\n"
)


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
