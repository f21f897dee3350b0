"""Processes of flows for end-to-end tests: started, waited for, and ended with the test."""

import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

from connectors.kafka.source import committed, end_offsets
from dataflows.process import READY_FILE
from functions.topics import MARKET_CLOCK, MARKET_TICKS
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
INPUTS = [MARKET_TICKS.name, MARKET_CLOCK.name]


@contextmanager
def pipeline_process(ground, *command):
    """A live pipeline; killed if the test has not ended it."""
    ready = ground.directory / f"{uuid.uuid4().hex}.ready"
    command = command or ("-m", "cli", "run", "pipeline")
    environment = ground.environment("pipeline") | {READY_FILE: str(ready)}
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment)
    try:
        until(lambda: ready.exists() or process.poll() is not None, 300, "the pipeline's start")
        assert process.poll() is None, f"exit code {process.returncode}"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_until_read(kafka, group="pipeline-paper-0"):
    """Until a pipeline has worked on everything that is on its input topics now."""
    ends = end_offsets(kafka, INPUTS)

    def caught_up():
        done = committed(kafka, group, INPUTS)
        return all(done.get(at, 0) >= end for at, end in ends.items())

    until(caught_up, 300, "the end of the input")


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
