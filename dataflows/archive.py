"""Archive: every record of every topic, in the Parquet lake.

    records ─► lake

Goes on where the names of the lake's files end. A restart reads again what was not yet in a file.
"""

from collections.abc import Callable
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import FixedPartitionedSink, Sink, StatefulSinkPartition

from connectors.kafka.records import Record
from connectors.kafka.source import KafkaSource, first_offsets
from connectors.lake.archive import Archive
from connectors.settings import Settings
from connectors.settings import load as load_settings
from dataflows.process import ready, stopping
from functions.topics import archived


class _LakePartition(StatefulSinkPartition[list[Record], None]):
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._failed = False

    def write_batch(self, values: list[list[Record]]) -> None:
        self._failed = True
        for records in values:
            self._archive.add(records)
        if self._archive.due:
            self._archive.flush()
        self._failed = False

    def snapshot(self) -> None:
        """Nothing: the names of the files are the state."""

    def close(self) -> None:
        """What has come so far is right however the flow ended: the log cannot change it."""
        if not self._failed:
            self._archive.flush()
        self._archive.close()


class LakeSink(FixedPartitionedSink[list[Record], None]):
    """Writes items `(key, list[Record])`; a record read again changes nothing."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def list_parts(self) -> list[str]:
        return ["lake"]

    def part_fn(self, item_key: str) -> int:
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _LakePartition:
        self._archive.open()
        return _LakePartition(self._archive)


def build(records: Source[tuple[str, list[Record]]], lake: Sink[tuple[str, list[Record]]]) -> Dataflow:
    """The graph of this module's docstring."""
    flow = Dataflow("archive")
    op.output("lake", op.input("records", flow, records), lake)
    return flow


def live(settings: Settings, *, stop: Callable[[], bool] = stopping) -> Dataflow:
    """The flow from the log into the lake of these settings."""
    topics = archived(settings.active_brokers)
    archive = Archive(settings.lake, topics, stop=stop)

    def positions() -> dict[tuple[str, int], int]:
        archive.open()
        return archive.lost(first_offsets(settings.kafka, topics))

    source = KafkaSource(settings.kafka, topics, group="archive", positions=positions, stop=stop, on_live=ready)
    return build(source, LakeSink(archive))


def __getattr__(name: str) -> Any:
    """`flow`, made when it is asked for, so that `python -m bytewax.run dataflows.archive` works."""
    if name == "flow":
        return live(load_settings())
    raise AttributeError(name)
