"""``ports.Kube`` over an httpx transport.

The transport is called directly: redirects, cookies and auth flows of ``httpx.AsyncClient`` are
nothing that an API server needs, and cost three quarters of an in-process request (ADR 0002).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, Protocol, TypedDict, cast
from urllib.parse import quote, urlencode

import httpx
import msgspec

from poolwright.kube.failure import answer_error, read_status, transport_error
from poolwright.model.errors import Expired, NotFound, Transient, Unknown
from poolwright.model.json_value import child
from poolwright.model.kubernetes import NODES, PODS, Resource
from poolwright.model.object_meta import UnownedMetadata
from poolwright.ports.kube import Object, ObjectList, PatchKind, WatchEvent

FIELD_MANAGER = "poolwright"
PAGE = 500
"""Objects per page of a list. Source: client-go tools/pager."""
WATCH = timedelta(minutes=9)
"""How long a watch is asked for. Source: client-go asks for 5 to 10 minutes."""
SILENCE = timedelta(seconds=90)
"""How long a watch may say nothing until it is asked for anew: longer than from one bookmark to the
next, which is about a minute (k8s.io/apiserver pkg/storage/cacher). A connection that is dead and
was never closed is found out so; one that had nothing to say costs one request."""
LINE_BYTES_MAX = 16 * 2**20
"""The longest event that is read; etcd's objects are at most 1.5 MiB."""

_URLS_KNOWN = 1_024
_JSON = "application/json"
_WATCH_METHOD = "WATCH"
_READS = frozenset({"GET", _WATCH_METHOD})
_encode = msgspec.json.Encoder().encode


class _Unowned(TypedDict, total=False):
    """A node or pod without its managedFields; or the Status of an error."""

    kind: Any
    apiVersion: Any
    metadata: UnownedMetadata
    spec: Any
    status: Any
    code: Any
    details: Any
    message: Any
    reason: Any


class _UnownedList(TypedDict, total=False):
    metadata: Any
    items: list[_Unowned] | None


class _Event(msgspec.Struct):
    type: str
    object: dict[str, Any]


class _UnownedEvent(msgspec.Struct):
    type: str
    object: _Unowned


_Decode = Callable[[bytes], dict[str, Any]]
_decode: _Decode = msgspec.json.Decoder(dict[str, Any]).decode
_decode_unowned = cast("_Decode", msgspec.json.Decoder(_Unowned).decode)
_decode_unowned_list = cast("_Decode", msgspec.json.Decoder(_UnownedList).decode)
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_unowned_event = msgspec.json.Decoder(_UnownedEvent).decode
_UNOWNED = frozenset({NODES, PODS})
"""Whose owners of fields nobody here asks for: they are half of a node, and are passed over."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an API server is reached, how, and as whom: by the transport's certificate if there is
    no token.
    """

    transport: httpx.AsyncBaseTransport
    server_url: str
    token: str = field(repr=False)
    _headers: dict[str, httpx.Headers] = field(
        default_factory=dict[str, httpx.Headers], init=False, compare=False, repr=False
    )

    def headers(self, content_type: str) -> httpx.Headers:
        """The headers of every request with that content type, built once."""
        made = self._headers.get(content_type)
        if made is None:
            known = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            made = self._headers[content_type] = httpx.Headers(
                {
                    "Host": httpx.URL(self.server_url).netloc.decode(),
                    "User-Agent": "poolwright",
                    "Accept": _JSON,
                    "Content-Type": content_type,
                    **known,
                }
            )
        return made


Connect = Callable[[], Awaitable[Endpoint]]
"""Finds the API server; may raise `Transient`. Asked again after it could not be reached."""


class Traffic(Protocol):
    """Is told what goes over the wire: bytes as HTTP/1.1 writes them, without TLS."""

    def sent(self, method: str, path: str, size: int) -> None:
        """One request; the method of a watch is ``WATCH``."""
        ...

    def received(self, size: int) -> None:
        """A part of an answer."""
        ...


class _Unobserved:
    """Nobody wants to know."""

    def sent(self, method: str, path: str, size: int) -> None:
        del method, path, size

    def received(self, size: int) -> None:
        del size


def resource_path(
    resource: Resource, *, namespace: str = "", name: str = "", subresource: str = ""
) -> str:
    """The URL path of a collection or object."""
    path = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    if namespace:
        path += f"/namespaces/{quote(namespace, safe='')}"
    path += f"/{resource.plural}"
    if name:
        path += f"/{quote(name, safe='')}"
    return f"{path}/{subresource}" if subresource else path


class HttpKube:
    """One cluster. ``timeout`` bounds a whole request, real time; watches live longer, but are
    silent for no longer than ``silence``.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        timeout: timedelta = timedelta(seconds=30),
        silence: timedelta = SILENCE,
        traffic: Traffic | None = None,
    ) -> None:
        self._connect = connect
        self._timeout = timeout.total_seconds()
        # What httpcore gives up by itself it also closes, unlike what is cancelled amid a TLS
        # handshake: a server that never answers one would cost a socket each time.
        self._extensions = {"timeout": {"connect": self._timeout / 3}}
        self._silence = silence.total_seconds()
        self._traffic = traffic or _Unobserved()
        self._endpoint: Endpoint | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the server is known and nothing has failed with it since."""
        return self._endpoint is not None

    async def version(self) -> str:
        """The server's gitVersion."""
        said: object = child(await self._call("GET", "/version")).get("gitVersion")
        if not isinstance(said, str):
            raise Transient("what answers is no Kubernetes API server")
        return said

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Object:
        """One object (K1)."""
        path = resource_path(resource, namespace=namespace, name=name)
        return await self._call("GET", path, decode=_decode_of(resource))

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """All objects that match (K2)."""
        path = resource_path(resource, namespace=namespace)
        query = _selectors(label_selector, field_selector)
        items: list[Object] = []
        page: dict[str, str] = {"limit": str(PAGE)}
        decode = _decode_unowned_list if resource in _UNOWNED else _decode
        while True:
            try:
                answer = await self._call("GET", path, {**query, **page}, decode=decode)
            except Expired:
                if "continue" not in page:
                    raise
                # The snapshot was compacted between two pages: ask for everything at once.
                items, page = [], {}
                continue
            items += answer.get("items") or ()
            meta = child(answer, "metadata")
            if not meta.get("continue"):
                return ObjectList(items, meta.get("resourceVersion", ""))
            page["continue"] = meta["continue"]

    async def watch(
        self,
        resource: Resource,
        *,
        after: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Events after a resourceVersion (K3)."""
        query = {
            **_selectors(label_selector, field_selector),
            "watch": "1",
            "resourceVersion": after,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(WATCH.total_seconds())),
        }
        path = resource_path(resource, namespace=namespace)
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._admitted(_WATCH_METHOD, path, query, None, _JSON)
        except httpx.TransportError as error:
            raise transport_error(error, is_write=False) from error
        except TimeoutError:
            self._endpoint = None
            raise Transient("the API server did not begin to answer a watch") from None
        try:
            async with aclosing(self._lines(response)) as lines:
                decode = _decode_unowned_event if resource in _UNOWNED else _decode_event
                async for line in lines:
                    yield _event(line, decode)
        except httpx.TransportError as error:
            raise transport_error(error, is_write=False) from error
        finally:
            await _close(response)

    async def create(self, resource: Resource, body: Object, *, namespace: str = "") -> Object:
        """Create (K4)."""
        path = resource_path(resource, namespace=namespace)
        decode = _decode_of(resource)
        return await self._call("POST", path, _MANAGED, _encode(body), decode=decode)

    async def replace(
        self,
        resource: Resource,
        name: str,
        body: Object,
        *,
        namespace: str = "",
        subresource: str = "",
    ) -> Object:
        """PUT, guarded by a resourceVersion in the body (K5)."""
        path = resource_path(resource, namespace=namespace, name=name, subresource=subresource)
        decode = _decode_of(resource)
        return await self._call("PUT", path, _MANAGED, _encode(body), decode=decode)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: object,
        *,
        kind: PatchKind = PatchKind.MERGE,
        namespace: str = "",
        subresource: str = "",
        force: bool = False,
    ) -> Object:
        """PATCH as our field manager (K6)."""
        path = resource_path(resource, namespace=namespace, name=name, subresource=subresource)
        query = {**_MANAGED, "force": "true"} if force else _MANAGED
        decode = _decode_of(resource)
        return await self._call("PATCH", path, query, _encode(body), str(kind), decode=decode)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        uid: str | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Delete; a missing object is fine (K7)."""
        path = resource_path(resource, namespace=namespace, name=name)
        body = _encode(_delete_options(uid, grace_seconds))
        try:
            await self._call("DELETE", path, content=body)
        except NotFound:
            return

    async def evict(self, namespace: str, pod: str, *, uid: str) -> None:
        """Ask for a pod's eviction; a missing pod is fine (K8)."""
        path = resource_path(PODS, namespace=namespace, name=pod, subresource="eviction")
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
            "deleteOptions": _delete_options(uid, None),
        }
        try:
            await self._call("POST", path, _MANAGED, _encode(body))
        except NotFound:
            return

    async def proxy_node(self, node: str, port: int, path: str) -> bytes:
        """GET an HTTP endpoint on a node (K18)."""
        nodes = resource_path(NODES, name=f"{node}:{port}", subresource="proxy")
        return await self._bytes("GET", f"{nodes}{path}")

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
        content_type: str = _JSON,
        *,
        decode: _Decode = _decode,
    ) -> dict[str, Any]:
        body = await self._bytes(method, path, query, content, content_type)
        try:
            return decode(body)
        except msgspec.DecodeError as error:
            kind = Transient if method == "GET" else Unknown
            raise kind(f"{method} {path}: the answer is not JSON, or no object") from error

    async def _bytes(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
        content_type: str = _JSON,
    ) -> bytes:
        is_write = method != "GET"
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._admitted(method, path, query, content, content_type)
                return await self._body(response)
        except httpx.TransportError as error:
            self._endpoint = None
            raise transport_error(error, is_write=is_write) from error
        except TimeoutError:
            self._endpoint = None
            kind = Unknown if is_write else Transient
            raise kind(f"{method} {path} took longer than {self._timeout:g} s") from None

    async def _admitted(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        content: bytes | None,
        content_type: str,
    ) -> httpx.Response:
        """The answer of a server that did not refuse, its body not yet read. A server that is
        busy says when to come back, and we do, if that is in time.
        """
        in_time = asyncio.get_running_loop().time() + self._timeout
        while True:
            response = await self._send(method, path, query, content, content_type)
            if response.status_code < 400:
                return response
            body = await self._body(response)
            error = answer_error(
                response.status_code,
                read_status(body),
                is_write=method not in _READS,
                retry_after=response.headers.get("retry-after", ""),
            )
            wait = error.retry_after if isinstance(error, Transient) else None
            if not wait or asyncio.get_running_loop().time() + wait >= in_time:
                raise error
            await asyncio.sleep(wait)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        content: bytes | None,
        content_type: str,
    ) -> httpx.Response:
        endpoint = self._endpoint
        if endpoint is None:
            endpoint = self._endpoint = await self._connect()
        url = f"{path}?{urlencode(query)}" if query else path
        headers = endpoint.headers(content_type)
        request = httpx.Request(
            "GET" if method == _WATCH_METHOD else method,
            _url(endpoint.server_url + url),
            headers=headers,
            content=content,
            extensions=self._extensions,
        )
        self._traffic.sent(method, path, len(url) + _size(request.headers) + len(content or b""))
        try:
            response = await endpoint.transport.handle_async_request(request)
        except httpx.TransportError:
            self._endpoint = None
            raise
        self._traffic.received(_size(response.headers))
        if response.status_code == 401:
            self._endpoint = None  # the token ran out: the next call gets a fresh one
        return response

    async def _body(self, response: httpx.Response) -> bytes:
        stream = cast("httpx.AsyncByteStream", response.stream)
        try:
            body = b"".join([chunk async for chunk in stream])
        finally:
            await stream.aclose()
        self._traffic.received(len(body))
        return body

    async def _lines(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """The lines of a stream, without their ends, until it ends or falls silent."""
        chunks = cast("httpx.AsyncByteStream", response.stream).__aiter__()
        rest = b""
        while True:
            try:
                async with asyncio.timeout(self._silence):
                    chunk = await anext(chunks)
            except (StopAsyncIteration, TimeoutError):
                return
            self._traffic.received(len(chunk))
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield line
            if len(rest) > LINE_BYTES_MAX:
                raise Transient("an event of a watch is too long")


_MANAGED: Mapping[str, str] = {"fieldManager": FIELD_MANAGER}


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    given = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: text for name, text in given.items() if text}


def _delete_options(uid: str | None, grace_seconds: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if uid is not None:
        options["preconditions"] = {"uid": uid}
    if grace_seconds is not None:
        options["gracePeriodSeconds"] = grace_seconds
    return options


async def _close(response: httpx.Response) -> None:
    await cast("httpx.AsyncByteStream", response.stream).aclose()


def _size(headers: httpx.Headers) -> int:
    """Bytes of the headers, and of a first line but for its URL."""
    return 17 + sum(len(name) + len(value) + 4 for name, value in headers.raw)


@lru_cache(maxsize=_URLS_KNOWN)
def _url(text: str) -> httpx.URL:
    """A URL parsed once: what is created and listed goes to few of them."""
    return httpx.URL(text)


def _decode_of(resource: Resource) -> _Decode:
    return _decode_unowned if resource in _UNOWNED else _decode


def _event(line: bytes, decode: Callable[[bytes], _Event | _UnownedEvent]) -> WatchEvent:
    try:
        event = decode(line)
    except msgspec.DecodeError as error:
        raise Transient("a watch sent something that is no event") from error
    if event.type == "ERROR":
        status = read_status(_encode(event.object))
        raise answer_error(status.code or 500, status, is_write=False)
    return WatchEvent(event.type, cast("Object", event.object))
