"""A relay between a worker and its broker: what the network may do to a worker, it does.

    worker ─► relay ─► broker          cut: connections break, nobody gets through
           ◄─ (its own address         hold: what the worker says is kept, even after its death, until it is delivered
               for the broker's)

A broker tells clients where brokers are; the relay puts its own port for the broker's there, which is as long (a host of
this machine, then the port as four bytes), so a worker that knows the relay knows nothing else.
"""

import asyncio
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

HOST: Final = b"127.0.0.1"
PIECE: Final = 65_536

T = TypeVar("T")


def address(port: int) -> bytes:
    """Host and port as they stand in the answers of a broker."""
    return HOST + struct.pack(">i", port)


class Renaming:
    """Replaces one address by another of the same length in the answers of a broker, each of which begins with its length.

    >>> renaming, answer = Renaming(9092, 7000), struct.pack(">i", 15) + b"at" + address(9092)
    >>> renaming.piece(answer[:9]), renaming.piece(answer[9:])[6:] == address(7000)
    (b'', True)
    """

    def __init__(self, broker: int, relay: int) -> None:
        self._theirs, self._ours = address(broker), address(relay)
        self._begun = bytearray()

    def piece(self, data: bytes) -> bytes:
        """The answers that are whole by now."""
        self._begun += data
        end = 0
        while len(self._begun) >= end + 4:
            (length,) = struct.unpack_from(">i", self._begun, end)
            if len(self._begun) < end + 4 + length:
                break
            end += 4 + length
        whole = bytes(self._begun[:end])
        del self._begun[:end]
        return whole.replace(self._theirs, self._ours)


class _Connection:
    """One connection of the worker, and the one to the broker that stands for it."""

    def __init__(self, relay: "Relay", worker: asyncio.StreamWriter, broker: asyncio.StreamWriter) -> None:
        self._relay = relay
        self.worker, self.broker = worker, broker
        self.kept = bytearray()  # what the worker has said and the broker is not yet to hear
        self.ended = False  # the worker is gone

    async def up(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(PIECE):
                if self._relay.holds:
                    self.kept += data
                else:
                    self.broker.write(data)
                    await self.broker.drain()
        self.ended = True
        if not self._relay.holds:
            self.broker.close()

    async def down(self, reader: asyncio.StreamReader) -> None:
        renaming = Renaming(self._relay.broker, self._relay.port)
        with suppress(ConnectionError):
            while data := await reader.read(PIECE):
                if not self.ended:
                    self.worker.write(renaming.piece(data))
                    await self.worker.drain()
        self.worker.close()

    def deliver(self) -> int:
        count = len(self.kept)
        with suppress(ConnectionError):
            self.broker.write(bytes(self.kept))
        self.kept.clear()
        return count

    def abort(self) -> None:
        for side in (self.worker, self.broker):
            side.transport.abort()


class Network:
    """The loop of all relays, in a thread of its own. Close it."""

    def __init__(self) -> None:
        self._relays: list[Relay] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    def relay(self, broker: int) -> "Relay":
        """A new relay to this port of this machine, open."""
        relay = Relay(self, broker)
        self.do(relay.open())
        self._relays.append(relay)
        return relay

    def close(self) -> None:
        self.do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for relay in self._relays:
            await relay.end()
        tasks = asyncio.all_tasks() - {task for task in [asyncio.current_task()] if task}
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await asyncio.sleep(0.05)  # closed connections are told so

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Relay:
    """One port that stands for the broker's."""

    def __init__(self, network: Network, broker: int) -> None:
        self.broker = broker
        self.port = 0
        self.holds = False
        self._cut = False
        self._network = network
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def bootstrap(self) -> str:
        return f"{HOST.decode()}:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, HOST.decode(), 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, worker: asyncio.StreamWriter) -> None:
        if self._cut:
            worker.transport.abort()
            return
        try:
            answers, broker = await asyncio.open_connection(HOST.decode(), self.broker)
        except OSError:
            worker.transport.abort()
            return
        connection = _Connection(self, worker, broker)
        self._connections.add(connection)
        try:
            await asyncio.gather(connection.up(reader), connection.down(answers))
        finally:
            self._connections.discard(connection)

    def cut(self) -> None:
        """Breaks every connection; new ones are refused until it is healed."""
        self._network.do(self._break())

    async def _break(self) -> None:
        self._cut = True
        for connection in list(self._connections):
            connection.abort()

    def heal(self) -> None:
        self._cut = False

    def hold(self) -> None:
        """From now on the broker hears nothing of what the worker says."""
        self._network.do(self._hold(True))

    async def _hold(self, holds: bool) -> int:
        self.holds = holds
        return 0 if holds else sum(connection.deliver() for connection in list(self._connections))

    @property
    def kept(self) -> int:
        """How many bytes are held back."""
        return sum(len(connection.kept) for connection in list(self._connections))

    def deliver(self) -> int:
        """The broker hears all that was held back, whether or not the worker lives; returns how many bytes."""
        return self._network.do(self._hold(False))

    def dead(self) -> None:
        """The worker dies, as far as the broker can tell: what it has said is kept, it says nothing more."""
        self._network.do(self._die())

    async def _die(self) -> None:
        self._cut = True
        for connection in list(self._connections):
            connection.ended = True
            connection.worker.transport.abort()

    def close(self) -> None:
        """Nobody gets through any more; what is held back is gone."""
        self._network.do(self.end())

    async def end(self) -> None:
        await self._break()
        if self._server is not None:
            self._server.close()
