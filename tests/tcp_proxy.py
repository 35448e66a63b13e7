"""A network between a client and a server that fails: connections close, or die without a word."""

from __future__ import annotations

import asyncio
import contextlib


class TcpProxy:
    """Carries bytes to a port of this machine; ``async with`` gives it a port of its own."""

    def __init__(self, target: int):
        self._target = target
        self._pairs: dict[int, _Pair] = {}
        self._count = 0
        self.is_cut_off = False
        """Whether new connections are taken and then left without an answer."""

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error):
        self._server.close()
        self.close_all()
        await self._server.wait_closed()

    @property
    def open(self) -> int:
        """Connections that neither side closed."""
        return len(self._pairs)

    def close_all(self) -> None:
        """As a load balancer that restarts."""
        for pair in self._pairs.values():
            pair.close()

    def stall_all(self) -> None:
        """As a link that lost its state: nothing more comes through what is open now."""
        for pair in self._pairs.values():
            pair.is_stalled = True

    async def _serve(self, reader, writer):
        number, self._count = self._count, self._count + 1
        pair = self._pairs[number] = _Pair(self.is_cut_off)
        pair.writers.append(writer)
        try:
            with contextlib.suppress(OSError):
                there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
                pair.writers.append(there)
                async with asyncio.TaskGroup() as group:
                    group.create_task(pair.carry(reader, there))
                    group.create_task(pair.carry(there_reader, writer))
        finally:
            pair.close()
            del self._pairs[number]


class _Pair:
    def __init__(self, is_stalled: bool):
        self.is_stalled = is_stalled
        self.writers = []

    def close(self):
        for writer in self.writers:
            writer.close()

    async def carry(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self.is_stalled:
                    writer.write(data)
                    await writer.drain()
        self.close()
