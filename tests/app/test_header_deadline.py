"""A client must say what it wants in time; one that does is not disturbed."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from poolwright.app.header_deadline import HEAD_SECONDS, TimelyHttpProtocol
from poolwright.sim.loop import run

from .test_joined_writes import REQUEST, Recorder


async def app(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(HEAD_SECONDS * 3)  # an answer may take as long as it takes
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


def connect() -> tuple[TimelyHttpProtocol, Recorder]:
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_keep_alive=1000)
    protocol = TimelyHttpProtocol(config, ServerState(), {})
    transport = Recorder()
    protocol.connection_made(transport)
    return protocol, transport


def test_a_client_that_says_nothing_is_left_without_a_word():
    async def scenario() -> None:
        _, transport = connect()
        await asyncio.sleep(HEAD_SECONDS - 1)
        assert not transport.is_closed
        await asyncio.sleep(2)
        assert transport.is_closed
        assert transport.written == []

    run(scenario())


def test_headers_a_byte_at_a_time_are_408():
    async def scenario() -> None:
        protocol, transport = connect()
        for index in range(len(REQUEST) - 1):
            if transport.is_closed:
                break
            protocol.data_received(REQUEST[index : index + 1])
            await asyncio.sleep(2)
        assert transport.is_closed
        assert b"".join(transport.written).startswith(b"HTTP/1.1 408 ")

    run(scenario())


def test_a_request_in_time_is_answered_however_long_that_takes():
    async def scenario() -> None:
        protocol, transport = connect()
        await asyncio.sleep(HEAD_SECONDS - 1)
        protocol.data_received(REQUEST)
        await asyncio.sleep(HEAD_SECONDS * 4)
        assert b"done" in b"".join(transport.written)
        assert not transport.is_closed

    run(scenario())


def test_a_later_request_on_the_connection_has_its_own_deadline():
    async def scenario() -> None:
        protocol, transport = connect()
        protocol.data_received(REQUEST)
        await asyncio.sleep(HEAD_SECONDS * 4)
        transport.written.clear()
        await asyncio.sleep(HEAD_SECONDS * 4)
        assert not transport.is_closed  # between requests uvicorn's own timeout counts
        protocol.data_received(REQUEST[:10])
        await asyncio.sleep(HEAD_SECONDS + 1)
        assert transport.is_closed
        assert b"".join(transport.written).startswith(b"HTTP/1.1 408 ")

    run(scenario())


def test_a_lost_connection_is_waited_for_no_more():
    async def scenario() -> None:
        protocol, transport = connect()
        protocol.connection_lost(None)
        await asyncio.sleep(HEAD_SECONDS * 2)
        assert transport.written == []

    run(scenario())
