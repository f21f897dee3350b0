"""A pipeline as its own process on an embedded broker, configured with the benchmarks' desk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.workload import desk
from connectors.kafka.embedded import start_embedded
from connectors.kafka.sink import Writer
from connectors.settings import KafkaSettings
from tests.e2e.processes import pipeline_process, stop
from tests.recorded import config_events


@contextmanager
def live_pipeline() -> Iterator[tuple[KafkaSettings, "Popen[Any]"]]:
    """(where its broker is, the process), from the moment it is live; it must end cleanly."""
    with TemporaryDirectory() as folder, start_embedded(Path(folder)) as broker:
        made = desk()
        writer = Writer(broker.settings)
        writer.write(config_events(made.instruments, made.accounts, made.strategies))
        writer.flush()
        with pipeline_process(broker.settings, Path(folder)) as process:
            yield broker.settings, process
            stop(process)
