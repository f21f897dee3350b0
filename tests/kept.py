"""Flows for tests of those that keep them: small programs with a ready file."""

import sys

from deploy.flows.declared import Flow
from deploy.services.places import PROJECT

LIVE = "import os, pathlib, signal, time; pathlib.Path(os.environ['PANDA_READY_FILE']).write_text('')"
STAYS = f"{LIVE}; time.sleep(600)"
LEAVES = f"import signal; signal.signal(15, lambda *_: (print('left cleanly', flush=True), exit(0))); {STAYS}"


def flow(name, program, **changes):
    return Flow(name, [sys.executable, "-c", program], changes, str(PROJECT), "v1")
