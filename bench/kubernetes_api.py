"""A small client of the Kubernetes API, the same for every server that is measured.

HTTP/1.1 on asyncio's streams: what it costs itself is little and the same for all.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

JSON = "application/json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
LINE_MAX = 64 * 2**20
CREATORS = 8

_encode = msgspec.json.encode


class Condition(msgspec.Struct):
    type: str
    status: str


class _Metadata(msgspec.Struct, rename={"revision": "resourceVersion"}):
    name: str = ""
    namespace: str = ""
    revision: str = ""


class _Spec(msgspec.Struct):
    taints: list[dict[str, Any]] | None = None


class _Status(msgspec.Struct):
    phase: str = ""
    conditions: list[Condition] | None = None


class Object(msgspec.Struct):
    """What is asked of nodes and pods."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class Event(msgspec.Struct):
    type: str
    object: Object


_decode_event = msgspec.json.Decoder(Event).decode


def is_ready(node: Object) -> bool:
    """A node is ready and says so to the scheduler."""
    tainted = any(t["key"] == "node.kubernetes.io/not-ready" for t in node.spec.taints or ())
    ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions or ())
    return ready and not tainted


def is_running(pod: Object) -> bool:
    return pod.status.phase == "Running"


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(slots=True)
class Api:
    """One API server; connections are kept."""

    host: str
    port: int
    context: ssl.SSLContext
    prefix: str = ""
    token: str = ""
    _idle: list[_Connection] = field(default_factory=list)

    async def request(
        self, method: str, path: str, body: Any = None, *, accept: str = JSON, content: str = JSON
    ) -> bytes:
        """One answer, whole.

        Raises:
            OSError: not 2xx.
        """
        connection = self._kept() or await self._connect()
        status, chunks = await self._send(connection, method, path, body, accept, content)
        data = b"".join([chunk async for chunk in chunks])
        self._idle.append(connection)
        if status >= 300:
            raise OSError(f"{method} {path}: {status} {data[:400].decode()}")
        return data

    async def get(self, path: str) -> Any:
        return msgspec.json.decode(await self.request("GET", path))

    async def create_all(self, path: str, bodies: Iterable[Any]) -> None:
        """Create objects, eight at once."""
        waiting = iter(bodies)

        async def create() -> None:
            for body in waiting:
                await self.request("POST", path, body)

        async with asyncio.TaskGroup() as group:
            for _ in range(CREATORS):
                group.create_task(create())

    async def watch(
        self, path: str, after: str, opened: Callable[[], None] | None = None
    ) -> AsyncGenerator[Event, None]:
        """What changes after a resourceVersion; a watch that the server ends or cuts off (as the
        real one does with who reads too slowly) is taken up again where it was.
        """
        joined = "&" if "?" in path else "?"
        while True:
            connection = await self._connect()
            asked = f"{path}{joined}watch=1&resourceVersion={after}&timeoutSeconds=1800"
            status, chunks = await self._send(connection, "GET", asked, None, JSON, JSON)
            if status != 200:
                raise OSError(f"watch {path}: {status}")
            if opened is not None:
                opened()
            opened = None
            try:
                async for line in _lines(chunks):
                    event = _decode_event(line)
                    if event.type == "ERROR":
                        raise OSError(f"watch {path}: {line[:300].decode()}")
                    after = event.object.metadata.revision
                    yield event
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                connection.writer.transport.abort()

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().writer.transport.abort()

    def _kept(self) -> _Connection | None:
        """A connection that the server has not closed while nobody used it."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.writer.transport.abort()
        return None

    async def _connect(self) -> _Connection:
        reader, writer = await asyncio.open_connection(
            self.host, self.port, ssl=self.context, limit=LINE_MAX
        )
        return _Connection(reader, writer)

    async def _send(
        self,
        connection: _Connection,
        method: str,
        path: str,
        body: Any,
        accept: str,
        content: str,
    ) -> tuple[int, AsyncIterator[bytes]]:
        data = b"" if body is None else _encode(body)
        head = f"{method} {self.prefix}{path} HTTP/1.1\r\nHost: {self.host}\r\nAccept: {accept}\r\n"
        head += f"Content-Type: {content}\r\nContent-Length: {len(data)}\r\nUser-Agent: bench\r\n"
        if self.token:
            head += f"Authorization: Bearer {self.token}\r\n"
        connection.writer.write(head.encode() + b"\r\n" + data)
        reader = connection.reader
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), _chunks(reader, headers)


async def _chunks(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    if headers.get("transfer-encoding") != "chunked":
        yield await reader.readexactly(int(headers.get("content-length", "0")))
        return
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        chunk = await reader.readexactly(size + 2)
        if not size:
            return
        yield chunk[:-2]


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a stream."""
    rest: list[bytes] = []
    async for chunk in chunks:
        *ends, last = chunk.split(b"\n")
        for end in ends:
            yield b"".join((*rest, end))
            rest = []
        if last:
            rest.append(last)


async def until(
    api: Api,
    path: str,
    holds: Callable[[Object], bool],
    count: int,
    *,
    begin: Callable[[], Any],
    seconds: float,
) -> tuple[int, float]:
    """Begin something and watch until so many objects are as they shall be.

    Returns how many are, and after how many seconds the last one was.
    """
    listed = await api.get(f"{path}{'&' if '?' in path else '?'}limit=1")
    found: set[tuple[str, str]] = set()
    began = last = time.monotonic()
    started = asyncio.Event()

    async def work() -> None:
        await started.wait()
        await begin()

    task = asyncio.ensure_future(work())
    try:
        async with asyncio.timeout(seconds):
            events = api.watch(path, listed["metadata"]["resourceVersion"], started.set)
            async with aclosing(events):
                async for event in events:
                    key = (event.object.metadata.namespace, event.object.metadata.name)
                    if event.type != "DELETED" and holds(event.object) and key not in found:
                        found.add(key)
                        last = time.monotonic()
                        if len(found) >= count:
                            break
            await task
    except TimeoutError:
        task.cancel()
    return len(found), last - began
