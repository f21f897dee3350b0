"""The environment of our own processes: declared here, whoever starts them and from whatever shell.

A flow is given this, its settings, and what its supervisor tells it about itself (`connectors.settings.OF_THE_SUPERVISOR`);
of the shell that deploys it is given nothing, so two shells deploy the same.

| name | why |
|---|---|
| `PATH` | the system's programs; none of ours is found by it, the interpreter stands in the command |
| `HOME` | compiled kernels lie in `~/.cache`; that of the user in the system's list, not the shell's |
| `LANG` | text is UTF-8, numbers have a point |
| `TZ` | no local time: whatever is not told in India's time is UTC |
| `PYTHONPATH` | our sources |
| `OPENBLAS_NUM_THREADS` | a flow is one worker on one core: threads of a library under it would wait for each other |
"""

import os
import pwd
from pathlib import Path
from typing import Final

from deploy.services.places import PROJECT

_FIXED: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONPATH": str(PROJECT),
    "OPENBLAS_NUM_THREADS": "1",
}


def declared_environment() -> dict[str, str]:
    """What every process of ours gets besides its settings.

    >>> sorted(declared_environment())
    ['HOME', 'LANG', 'OPENBLAS_NUM_THREADS', 'PATH', 'PYTHONPATH', 'TZ']
    """
    return _FIXED | {"HOME": str(_home())}


def _home() -> Path:
    """A user that the system does not list, as a container may run as, or one without a home, lives where it works."""
    try:
        listed = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path.cwd()
    return listed if listed.is_dir() else Path.cwd()
