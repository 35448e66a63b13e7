"""An httpx transport into an ASGI application of the same process, with streaming answers.

``httpx.ASGITransport`` returns only after the whole body: a watch would never arrive.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import httpx

from poolwright.reconcile.loop import contain

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

_CHUNKS_MAX = 16
"""Chunks of one answer that wait for their reader; a slow reader slows the application down."""


class _ClientGone(OSError):
    """What `send` raises once the client hung up, as ASGI says."""


class _Exchange(httpx.AsyncByteStream):
    """One request and its answer; this stream is the answer's body."""

    def __init__(self, app: AsgiApp, scope: Message, body: bytes) -> None:
        self._app = app
        self._scope = scope
        self._body: bytes | None = body
        self._chunks: deque[bytes] = deque()
        self._news = asyncio.Event()  # for the reader
        self._room = asyncio.Event()  # for the application
        self._gone = asyncio.Event()  # the client hung up, or has all it asked for
        self._is_complete = False
        self._is_over = False
        self.head: tuple[int, list[tuple[bytes, bytes]]] | None = None

    async def run(self) -> None:
        """Let the application answer."""
        try:
            await self._app(self._scope, self._receive, self._send)
        except* _ClientGone:
            pass  # also within the task groups of the application
        finally:
            self._is_over = True
            self._news.set()

    async def answered(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Wait for status and headers."""
        try:
            while self.head is None:
                if self._is_over:
                    raise httpx.RemoteProtocolError("the application ended without an answer")
                await self._wait_for_news()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        return self.head

    async def _wait_for_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._chunks:
                chunk = self._chunks.popleft()
                self._room.set()
                yield chunk
            elif self._is_complete:
                return
            elif self._is_over:
                raise httpx.RemoteProtocolError("the application ended within its answer")
            else:
                await self._wait_for_news()

    async def aclose(self) -> None:
        """Hang up, as a client that closes its connection: the application goes on until it
        looks, or sends.
        """
        self._gone.set()
        self._room.set()
        self._chunks.clear()

    async def _receive(self) -> Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            raise _ClientGone("the client is gone")
        if message["type"] == "http.response.start":
            self.head = (message["status"], list(message.get("headers") or ()))
            self._news.set()
        elif message["type"] == "http.response.body":
            if chunk := message.get("body"):
                self._chunks.append(chunk)
            if not message.get("more_body"):
                self._is_complete = True
                self._gone.set()
            self._news.set()
            if len(self._chunks) >= _CHUNKS_MAX and not self._gone.is_set():
                self._room.clear()
                await self._room.wait()


class AsgiTransport(httpx.AsyncBaseTransport):
    """Calls the application in tasks that live inside ``async with transport``.

    A request whose caller is cancelled goes on, as on a server: its fate is unknown to the caller.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        raise_bugs: bool = False,
    ) -> None:
        self._app = app
        self._raise_bugs = raise_bugs
        self._group = asyncio.TaskGroup()
        self._running: dict[asyncio.Task[None], None] = {}  # a dict keeps the order

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        for task in list(self._running):
            task.cancel()
        await self._group.__aexit__(exc_type, exc_value, traceback)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Start the application on a request; returns when it began to answer."""
        scope = _scope(request)
        exchange = _Exchange(self._app, scope, await request.aread())

        async def answer() -> None:
            await contain("asgi application", exchange.run, raise_bugs=self._raise_bugs)

        task = self._group.create_task(answer())
        self._running[task] = None
        task.add_done_callback(self._forget)
        status, headers = await exchange.answered()
        return httpx.Response(status, headers=headers, stream=exchange, request=request)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)


def _scope(request: httpx.Request) -> Message:
    path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        # As uvicorn says; from 2.4 on Starlette would notice a lost client only when it sends.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 0),
    }
