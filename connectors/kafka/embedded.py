"""The embedded broker: librdkafka's own test cluster as a process, for a laptop without Java.

    python -m connectors.kafka.embedded --port-file FILE --brokers paper

It speaks the protocol and keeps the order; it keeps only the last 5 MiB of each partition, in memory, and has no admin
interface, no compaction, no security. For a demonstration and for tests, not for money.
"""

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, get_args

import confluent_kafka.cimpl

from connectors.errors import ConfigError, DependencyError, exit_code_of
from connectors.settings import Broker, KafkaSettings
from functions.topics import Topic, all_topics

START_S: Final = 15.0
STOP_S: Final = 5.0
HUGE_PAGES: Final = "glibc.malloc.hugetlb=1"  # it walks lists of tens of megabytes; other C libraries ignore this


class Cluster:
    """One broker in this process, with some topics. Close it: its threads end with it.

    Source: rdkafka_mock.h, an interface that librdkafka calls experimental; reached through the library that the
    Python client is linked with, so that there is one copy of it.
    """

    def __init__(self, topics: Iterable[Topic]) -> None:
        self._library = _library()
        self._host = self._library.rd_kafka_new(0, _quiet(self._library), None, 0)
        if not self._host:
            raise DependencyError("librdkafka did not start a client for the embedded broker")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._host, 1)
        if not self._cluster:
            raise DependencyError(
                "the embedded broker could not listen on a loopback port", remedy="free some ports or file descriptors"
            )
        # A group of one need not wait three seconds for a second member.
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.bootstrap: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        with self._woken():
            for topic in topics:
                self.create(topic.name, topic.partitions)

    @contextmanager
    def _woken(self) -> Iterator[None]:
        """The broker's thread now and then misses the call that an order has come, and sleeps on for a second; a
        connection wakes it."""
        done = threading.Event()
        host, _, port = self.bootstrap.rpartition(":")

        def call() -> None:
            while not done.wait(0.02):
                with suppress(OSError):  # the broker is closing
                    socket.create_connection((host, int(port)), timeout=1).close()

        caller = threading.Thread(target=call, daemon=True)
        caller.start()
        try:
            yield
        finally:
            done.set()
            caller.join()

    def create(self, topic: str, partitions: int) -> None:
        """A topic, before anybody asks for it: asking creates it too, with four partitions."""
        error = self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)
        if error:
            raise DependencyError(f"the embedded broker refused topic {topic}: error {error}")

    def refuse(self, request: int, errors: Sequence[int]) -> None:
        """The next requests of this kind (0: produce, 1: fetch) are answered with these errors, one each."""
        codes = (ctypes.c_int * len(errors))(*errors)
        with self._woken():
            self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(errors), codes)

    def forget(self, topic: str, partition: int, before: int) -> None:
        """Retention: the partition no longer holds what lies before this offset."""
        with self._woken():
            error = self._library.rd_kafka_mock_partition_delete_records(
                self._cluster, topic.encode(), partition, before
            )
        if error:
            raise DependencyError(f"the embedded broker kept {topic} [{partition}]: error {error}")

    def close(self) -> None:
        """Ends the broker and drops what it holds."""
        if self._cluster:
            with self._woken():
                self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._host)
            self._cluster = self._host = None


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(confluent_kafka.cimpl.__file__)  # symbols of what it is linked with are found too
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_push_request_errors_array": (
            None, [pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(number)],
        ),
        "rd_kafka_mock_partition_delete_records": (number, [pointer, text, ctypes.c_int32, ctypes.c_int64]),
    }  # fmt: skip
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name, None)
        if function is None:
            raise DependencyError(
                f"this librdkafka ({confluent_kafka.libversion()[0]}) has no {name}: no embedded broker",
                remedy="install the confluent-kafka of the lock file, or use a Kafka broker",
            )
        function.restype, function.argtypes = result, arguments
    return library


def _quiet(library: ctypes.CDLL) -> int:
    configuration = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(configuration, b"log_level", b"3", None, 0)
    return configuration


# --- as a process -----------------------------------------------------------------------------------------------------


def serve(port_file: Path, topics: Iterable[Topic], *, until_stdin_ends: bool = False) -> None:
    """Runs a broker until SIGTERM or SIGINT; its address is in `port_file` from the moment it can be used.

    Raises: `ConfigError` where the file cannot be written.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    cluster = Cluster(topics)
    try:
        _publish(port_file, cluster.bootstrap)
        if until_stdin_ends:
            threading.Thread(target=_set_when_stdin_ends, args=(ended,), daemon=True).start()
        ended.wait()
        port_file.unlink(missing_ok=True)
    finally:
        cluster.close()


def _publish(port_file: Path, bootstrap: str) -> None:
    """A reader sees the whole address or no file."""
    unfinished = port_file.with_name(f"{port_file.name}.{os.getpid()}")
    try:
        unfinished.write_text(f"{bootstrap}\n")
        unfinished.replace(port_file)
    except OSError as error:
        raise ConfigError(
            f"cannot write the address of the embedded broker to {port_file}: {error.strerror}",
            remedy="name a file in a directory that exists and can be written",
        ) from error


def _set_when_stdin_ends(ended: threading.Event) -> None:
    """The starter holds the other end of standard input; however it goes, the kernel closes it."""
    while os.read(0, 4096):
        pass
    ended.set()


@dataclass
class Embedded:
    """A running embedded broker of this process; also a context manager that stops it."""

    process: subprocess.Popen[bytes]
    bootstrap: str

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def settings(self) -> KafkaSettings:
        """What a client needs to know."""
        return KafkaSettings(bootstrap=self.bootstrap, embedded=True)

    def stop(self) -> int:
        """Ends the broker and returns its exit code; what it held is gone."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()
        self.process.send_signal(signal.SIGCONT)  # a paused process does not hear SIGTERM
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def __enter__(self) -> "Embedded":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def start_embedded(directory: Path, brokers: tuple[str, ...] = ("paper",)) -> Embedded:
    """Starts a broker with all declared topics, which ends with this process at the latest.

    `directory` takes its port file and its log. Raises: `DependencyError` where it does not come up.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port_file, log_file = directory / "kafka.port", directory / "kafka.log"
    port_file.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "connectors.kafka.embedded", "--port-file", str(port_file),
        "--brokers", ",".join(brokers), "--until-stdin-ends",
    ]  # fmt: skip
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=Path(__file__).resolve().parents[2],
            start_new_session=True,  # Ctrl-C is for the starter
            env={"GLIBC_TUNABLES": HUGE_PAGES} | os.environ,
        )  # fmt: skip
    deadline = time.monotonic() + START_S
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            code = process.wait()
            said = log_file.read_text(errors="replace")[-2000:]
            raise DependencyError(
                f"the embedded broker did not come up (exit code {code}): {said}",
                remedy=f"read {log_file}",
            )
        time.sleep(0.01)
    return Embedded(process, port_file.read_text().strip())


def _known(brokers: list[str]) -> tuple[str, ...]:
    for name in brokers:
        if name not in get_args(Broker):
            raise ConfigError(f"no broker {name}", remedy=f"name some of {', '.join(get_args(Broker))}")
    return tuple(brokers)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m connectors.kafka.embedded", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--port-file", type=Path, required=True, help="file that takes the address host:port")
    parser.add_argument("--brokers", default="paper", help="brokers whose topics exist, joined by commas")
    parser.add_argument("--until-stdin-ends", action="store_true", help="also end when standard input does")
    given = parser.parse_args()
    topics = all_topics(_known(given.brokers.split(",")))
    serve(given.port_file, topics, until_stdin_ends=given.until_stdin_ends)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
