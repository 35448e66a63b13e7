"""uvicorn's HTTP protocol, with the small writes of one turn of the loop joined into one.

uvicorn writes the head and the body of an answer one after the other: over TLS that is two
records, two system calls and two packets. Here they leave together, as do the events that a watch
sends in one turn.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_JOINED_BYTES_MAX = 65_536
"""What waits is written at once when it is as long as this, so that nothing is kept for long and
the transport's own flow control still works."""


class _JoinedWrites:
    """A transport that writes at the end of the loop's turn; the rest is the real one's."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write soon, and in order."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= _JOINED_BYTES_MAX:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
            self._transport.write(data)

    def writelines(self, list_of_data: list[bytes]) -> None:
        """Write soon, and in order."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Close the writing end after what waits."""
        self._flush()
        self._transport.write_eof()

    def get_write_buffer_size(self) -> int:
        """What is not yet with the system."""
        return self._size + self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Close after what waits is written."""
        self._flush()
        self._transport.close()


class JoinedHttpProtocol(HttpToolsProtocol):
    """`HttpToolsProtocol` over a transport that joins writes."""

    def connection_made(  # type: ignore[override]  # as the base, which narrows it too
        self, transport: asyncio.Transport
    ) -> None:
        """Start to speak HTTP over a connection."""
        super().connection_made(cast("asyncio.Transport", _JoinedWrites(transport)))
