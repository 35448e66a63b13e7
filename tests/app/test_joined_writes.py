"""Answers leave in one write; long ones are not kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from poolwright.app.joined_writes import JoinedHttpProtocol

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Recorder(asyncio.Transport):
    """What was written, in order, with the end."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        assert not self.is_closed
        self.written.append(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def answered(chunks: list[bytes], request: bytes = REQUEST) -> Recorder:
    """A connection on which one request was answered by these chunks."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> Recorder:
        config = uvicorn.Config(app, lifespan="off", log_config=None, server_header=False)
        protocol = JoinedHttpProtocol(config, ServerState(), {})
        transport = Recorder()
        protocol.connection_made(transport)
        protocol.data_received(request)
        for _ in range(5):
            await asyncio.sleep(0)
        return transport

    return asyncio.run(run())


def test_head_and_body_are_one_write():
    (written,) = answered([b"one", b"two"]).written

    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert written.index(b"one") < written.index(b"two")
    assert written.endswith(b"0\r\n\r\n")


def test_a_connection_that_ends_is_closed_after_the_answer():
    transport = answered([b"one"], REQUEST.replace(b"host: x", b"host: x\r\nconnection: close"))

    assert b"".join(transport.written).endswith(b"0\r\n\r\n")
    assert transport.is_closed


@pytest.mark.parametrize("chunk", [b"x" * 65_536, b"x" * 1_000_000])
def test_long_answers_are_written_as_they_come(chunk: bytes):
    written = answered([chunk, chunk]).written

    assert len(written) == 3
    assert b"".join(written).count(b"x") == 2 * len(chunk)
