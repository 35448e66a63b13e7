"""Who asks for a WebSocket and may not have it is told so in HTTP, and nobody else is."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.server import ServerState

from poolwright.app.header_deadline import TimelyHttpProtocol
from poolwright.app.server import _uvicorn

BODY = b'{"kind":"Status","code":403}'
UPGRADES = {
    "websocket": "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "SPDY/3.1": "",
}


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": f"{kind}.start", "status": 403, "headers": headers})
    await send({"type": f"{kind}.body", "body": BODY})


@pytest.mark.parametrize("wanted", UPGRADES)
def test_a_refused_upgrade_is_answered_and_not_logged(wanted, caplog):
    caplog.set_level(logging.WARNING)

    async def scenario() -> bytes:
        config = _uvicorn(refuse, None).config
        config.load()
        make = lambda: TimelyHttpProtocol(config, ServerState(), {})  # noqa: E731
        running = asyncio.get_running_loop()
        async with await running.create_server(make, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            head = f"GET /exec HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
            writer.write(f"{head}Upgrade: {wanted}\r\n{UPGRADES[wanted]}\r\n".encode())
            answer = await reader.readuntil(BODY)
            await asyncio.sleep(0)
            writer.close()
            return answer

    answer = asyncio.run(scenario())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert [record.getMessage() for record in caplog.records] == []
