"""One HTTP request to one cluster, and the ways to answer it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from poolwright.kubesim import status
from poolwright.kubesim.api import compress, negotiate
from poolwright.kubesim.api.negotiate import BODY_MAX_BYTES, Form
from poolwright.kubesim.cluster import Cluster
from poolwright.kubesim.entry import decode, encode
from poolwright.kubesim.meta import WriteOptions
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.user import User

Query = Mapping[str, str]

_MANAGER_MAX = 128  # k8s.io/apimachinery pkg/apis/meta/v1/validation FieldManagerMaxLength

_FIELD_VALIDATIONS = ("", "Ignore", "Strict", "Warn")


class Disconnected(Exception):
    """The client went away before its request was read."""


class Call:
    """A request with its cluster and user; header names are lower-case bytes as in ASGI."""

    __slots__ = (
        "_headers",
        "_query",
        "cluster",
        "duplicates",
        "method",
        "receive",
        "scope",
        "segments",
        "send",
        "sent",
        "user",
        "warnings",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        cluster: Cluster,
        user: User,
        segments: list[str],
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.cluster = cluster
        self.user = user
        self.segments = segments
        self.method: str = scope.get("method", "GET")
        self.warnings: list[str] = []
        self.duplicates: list[str] = []
        self.sent = b""
        self._headers: dict[bytes, bytes] | None = None
        self._query: dict[str, str] | None = None

    @property
    def is_socket(self) -> bool:
        """Whether it is the handshake of a WebSocket."""
        return self.scope["type"] == "websocket"

    @property
    def registry(self) -> Registry:
        """The cluster's objects."""
        return self.cluster.registry

    def header(self, name: bytes) -> str:
        """A request header, or the empty text."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def query(self) -> Query:
        """The query's parameters, the last of each name."""
        if self._query is None:
            raw: bytes = self.scope.get("query_string", b"")
            self._query = (
                dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else {}
            )
        return self._query

    def watch_always(self) -> None:
        """Treat the request as a watch (the old ``/watch/`` paths)."""
        self._query = {**self.query, "watch": "true"}

    def flag(self, name: str) -> bool:
        """A boolean parameter as Go's strconv reads it (anything but a false is true)."""
        return self.query.get(name, "false").lower() not in {"false", "0", "f"}

    def form(self) -> Form:
        """How the client wants objects.

        Raises:
            StatusError: 406.
        """
        form = negotiate.accepted(self.header(b"accept"))
        if form is None:
            raise negotiate.not_acceptable()
        return form

    async def body(self) -> bytes:
        """The request's whole body.

        Raises:
            StatusError: 413.
            Disconnected: the client went away.
        """
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > BODY_MAX_BYTES:
                raise negotiate.too_large()
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks)

    async def object(self, kind: str = "") -> dict[str, Any]:
        """The request's body as an object, of the kind that is named in refusals."""
        data = await self.body()
        if self.header(b"content-type").partition(";")[0].strip().lower() in {"", negotiate.JSON}:
            data = negotiate.mended(data)
        try:
            body = negotiate.read_object(data, self.header(b"content-type"))
        except status.StatusError as error:
            if kind and error.status == 400:
                raise negotiate.unrecognized(kind, error.message, data) from None
            raise
        self.note_duplicates(data, body)
        return body

    def note_duplicates(self, data: bytes, value: Any) -> None:
        """Remember which members a body names twice."""
        self.duplicates = negotiate.duplicates(data, value)
        self.sent = data if data.startswith(b"{") else b""

    def manager(self) -> str:
        """The field manager: named, or the first word of the user agent for tracked objects.

        Raises:
            StatusError: 400, a name longer than 128 characters.
        """
        name = self.query.get("fieldManager", "")
        causes = [status.too_long("fieldManager", _MANAGER_MAX)] if len(name) > _MANAGER_MAX else []
        for position, sign in enumerate(name):
            if not sign.isprintable():
                shown = f"invalid character U+{ord(sign):04X} (at position {position})"
                causes.append(status.invalid("fieldManager", name, shown))
        if causes:
            kind = _OPTIONS_KINDS.get(self.method, "CreateOptions")
            raise status.unprocessable("meta.k8s.io", kind, "", causes)
        return name

    def caller_options(self) -> WriteOptions:
        """Who asks, for a write without a field manager."""
        return WriteOptions(user=self.user.info(), warn=self.warnings.append)

    def write_options(self) -> WriteOptions:
        """Field manager and dry run of a write.

        Raises:
            StatusError: 422, an unknown dryRun or fieldValidation.
        """
        dry_run = self.query.get("dryRun", "")
        if dry_run not in {"", "All"}:
            raise status.unprocessable(
                "meta.k8s.io",
                _OPTIONS_KINDS.get(self.method, "CreateOptions"),
                "",
                [status.not_supported("dryRun", [dry_run], ("All",))],
            )
        validation = self.query.get("fieldValidation", "")
        if validation not in _FIELD_VALIDATIONS:
            raise status.unprocessable(
                "meta.k8s.io",
                _OPTIONS_KINDS.get(self.method, "CreateOptions"),
                "",
                [status.not_supported("fieldValidation", validation, _FIELD_VALIDATIONS)],
            )
        agent = "".join(filter(str.isprintable, self.header(b"user-agent").partition("/")[0]))
        return WriteOptions(
            self.manager(),
            bool(dry_run),
            agent=agent[:_MANAGER_MAX] or "unknown",
            user=self.user.info(),
            warn=self.warnings.append,
        )

    async def answer(
        self,
        code: int,
        data: bytes,
        content_type: str = negotiate.JSON,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Send a whole response; a large one compressed, if the client takes that."""
        if len(data) > compress.THRESHOLD and self._takes_compressed(content_type):
            await self._start(code, content_type, (*headers, *compress.HEADERS))
            await self._rest(compress.parts(_whole(data)))
            return
        length = (b"content-length", str(len(data)).encode())
        await self._start(code, content_type, (*headers, length))
        await self.send({"type": "http.response.body", "body": data})

    async def answer_parts(self, parts: AsyncGenerator[bytes], content_type: str) -> None:
        """Send 200 and a body while it is made, so that a long one is never whole in memory."""
        begun = b""
        async with aclosing(parts):
            async for part in parts:
                begun += part
                if len(begun) > compress.THRESHOLD:
                    break
            else:
                await self.answer(200, begun, content_type)
                return
            if self._takes_compressed(content_type):
                await self._start(200, content_type, compress.HEADERS)
                await self._rest(compress.parts(_whole(begun), parts))
            else:
                await self._start(200, content_type)
                await self.send({"type": "http.response.body", "body": begun, "more_body": True})
                await self._rest(parts)

    def _takes_compressed(self, content_type: str) -> bool:
        accepted = self.header(b"accept-encoding")
        return content_type in compress.TYPES and compress.is_taken(accepted)

    async def _start(
        self, code: int, content_type: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        headers = [
            *headers,
            (b"content-type", content_type.encode()),
            (b"cache-control", b"no-cache, private"),
            *((b"warning", _warning(text)) for text in self.warnings),
        ]
        await self.send({"type": "http.response.start", "status": code, "headers": headers})

    async def _rest(self, parts: AsyncGenerator[bytes]) -> None:
        """The body after its start, part by part."""
        async with aclosing(parts):
            async for part in parts:
                await self.send({"type": "http.response.body", "body": part, "more_body": True})
        await self.send({"type": "http.response.body", "body": b""})

    async def answer_object(self, body: Mapping[str, Any], code: int = 200) -> None:
        """Send an object in JSON, or YAML where that was asked for."""
        form = negotiate.accepted(self.header(b"accept"))
        if form is not None and form.media == negotiate.YAML:
            await self.answer(code, negotiate.to_yaml(decode(encode(body))), negotiate.YAML)
        else:
            await self.answer(code, encode(body))

    async def refuse(self, error: status.StatusError) -> None:
        """Send a ``Status``."""
        if not error.reason:  # not an answer of the API: plain text
            await self.answer(error.status, f"{error.message}\n".encode(), "text/plain")
            return
        data = encode(error.body())
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(data)).encode()),
            (b"cache-control", b"no-cache, private"),
            *((b"warning", _warning(text)) for text in self.warnings),
        ]
        if error.retry_after is not None:
            headers.append((b"retry-after", str(error.retry_after).encode()))
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": data})


_OPTIONS_KINDS = {
    "POST": "CreateOptions",
    "PUT": "UpdateOptions",
    "PATCH": "PatchOptions",
    "DELETE": "DeleteOptions",
}


async def _whole(data: bytes) -> AsyncGenerator[bytes]:
    yield data


def _warning(text: str) -> bytes:
    """A Warning header's value (RFC 7234), as k8s.io/apiserver writes it."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'299 - "{quoted}"'.encode("latin-1", "replace")
