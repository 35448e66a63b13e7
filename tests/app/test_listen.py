"""Sockets that the server listens on."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from poolwright.app.server import _listen


def test_an_answer_does_not_wait_for_acknowledgements():
    """Nagle's algorithm is off on what is accepted: headers and body are two writes."""

    async def accepted() -> list[int]:
        found: list[int] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            one: Any = writer.get_extra_info("socket")
            found.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        sockets = _listen("localhost", 0)
        for listening in sockets:
            async with await asyncio.start_server(answer, sock=listening):
                host, port = listening.getsockname()[:2]
                reader, writer = await asyncio.open_connection(host, port)
                await reader.read()
                writer.close()
        return found

    found = asyncio.run(accepted())

    assert found
    assert all(found)
