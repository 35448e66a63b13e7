"""The ASGI application: from bytes to a handler and back.

Plain ASGI without middleware: reading one agent pool is the hot path, and between socket and
handler lie one token look-up, one walk through the route tree and one dict of headers.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

import msgspec
import structlog

from poolwright.arm.api_versions import check_api_version
from poolwright.arm.authority import Authority
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import (
    AUTHORIZATION_MISSING,
    BAD_HOST,
    BAD_PATH,
    BODY_TOO_LARGE,
    BODY_TOO_SLOW,
    FRONT_DOOR_CODES,
    METHOD_NOT_ALLOWED,
    MISSING_API_VERSION,
    AuthenticationFailed,
    Shape,
    Throttled,
    shown,
    status_of,
    wire_error,
)
from poolwright.arm.parents import check_parents, check_subscription
from poolwright.arm.providers import unknown_path
from poolwright.arm.request import ArmRequest, Caller
from poolwright.arm.response import ArmResponse, Headers
from poolwright.arm.routes import ROUTES
from poolwright.arm.routing import Access, Match, Route, RouteTable
from poolwright.arm.throttling import Throttle
from poolwright.arm.tokens import TokenKeys, TokenVerifier
from poolwright.model.errors import NotFound, PoolwrightError, Transient

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_logger: Any = structlog.get_logger("poolwright.arm")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?")
_DRAIN_FACTOR = 16
_SHORT_QUERY = 64
_ENCODER = msgspec.json.Encoder()
_NOBODY = Caller("", "")
_COMMON_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-cache"),
    (b"pragma", b"no-cache"),
    (b"expires", b"-1"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
)
_JSON = (b"content-type", b"application/json; charset=utf-8")
# How many requests are left, as ARM counts them; recorded values (facts aks-api §5.1).
_REMAINING: Mapping[str, tuple[tuple[bytes, bytes], ...]] = {
    kind: (
        (f"x-ms-ratelimit-remaining-subscription-{kind}".encode(), str(own).encode()),
        (f"x-ms-ratelimit-remaining-subscription-global-{kind}".encode(), str(whole).encode()),
    )
    for kind, own, whole in (
        ("reads", 1099, 16499),
        ("writes", 799, 11999),
        ("deletes", 799, 11999),
    )
}
_KIND_OF_METHOD = {"GET": "reads", "HEAD": "reads", "OPTIONS": "reads", "DELETE": "deletes"}


class _ClientGone(Exception):
    """The client closed the connection before its body was complete."""


class ArmApp:
    """The ARM front as an ASGI application."""

    def __init__(self, context: ArmContext, keys: TokenKeys) -> None:
        self._context = context
        self._table = RouteTable((*ROUTES, *Authority(keys).routes()))
        self._verifier = TokenVerifier(keys, context.settings, context.clock)
        self._throttle = Throttle(context.clock) if context.settings.is_throttling else None

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every route that is served."""
        return self._table.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "lifespan":
            await _answer_lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        method: str = scope["method"]
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = self._context.identity.uid()
        started = self._context.clock.monotonic()
        try:
            response = await self._answer(scope, receive, method, headers, request_id)
        except _ClientGone:
            return
        if method not in _READS or response.status >= 500:
            self._log(scope["path"], method, headers, request_id, response, started)
        body = b"" if response.content is None else _ENCODER.encode(response.content)
        wire = [
            *_COMMON_HEADERS,
            *_REMAINING[_KIND_OF_METHOD.get(method, "writes")],
            *self._identifiers(headers, request_id),
            *((name.encode(), value.encode("latin-1")) for name, value in response.headers),
        ]
        if body:
            wire.append(_JSON)
        if response.status not in {204, 304}:
            wire.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": wire})
        sent = b"" if method == "HEAD" else body
        await send({"type": "http.response.body", "body": sent})

    def _log(
        self,
        path: str,
        method: str,
        headers: Mapping[bytes, bytes],
        request_id: str,
        response: ArmResponse,
        started: float,
    ) -> None:
        """The canonical line of a request that may have changed something, or failed here.

        Neither bodies nor queries nor credentials are logged; reads are left to the access log.
        """
        content: Any = response.content
        code: Any = None
        if response.status >= 400 and isinstance(content, dict):
            body = cast("dict[str, Any]", content)
            inner = body.get("error")
            code = cast("dict[str, Any]", inner).get("code") if isinstance(inner, dict) else inner
            code = code or body.get("code")
        _logger.info(
            "answered",
            method=method,
            path=path,
            status=response.status,
            code=code,
            command=headers.get(b"commandname", b"").decode("latin-1") or None,
            request_id=request_id,
            seconds=round(self._context.clock.monotonic() - started, 4),
        )

    def _identifiers(
        self, headers: Mapping[bytes, bytes], request_id: str
    ) -> list[tuple[bytes, bytes]]:
        own = request_id.encode()
        correlation = headers.get(b"x-ms-correlation-request-id", own)
        moment = _moment(self._context.clock.now().wall.replace(microsecond=0))
        found = [
            (b"x-ms-request-id", own),
            (b"x-ms-correlation-request-id", correlation),
            (b"x-ms-routing-request-id", f"LOCAL:{moment}:{request_id}".encode()),
        ]
        if headers.get(b"x-ms-return-client-request-id", b"").lower() == b"true":
            client = headers.get(b"x-ms-client-request-id")
            if client is not None:
                found.append((b"x-ms-client-request-id", client))
        return found

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        method: str,
        headers: Mapping[bytes, bytes],
        request_id: str,
    ) -> ArmResponse:
        path: str = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        path = path.partition("?")[0]
        base_url = ""
        match = self._table.match(method, path)
        try:
            base_url = _base_url(scope["scheme"], headers.get(b"host", b""))
            if method == "OPTIONS" and match is not None:
                return ArmResponse(200, None, _allow(match))
            caller = _NOBODY
            if match is None or match.route is None or match.route.access is Access.TOKEN:
                caller = self._authenticate(headers, base_url)
            if "%00" in path:  # no database takes it, and no name has it
                raise BAD_PATH()
            query = _query(scope["query_string"])
            route, names = self._find(method, path, match, query)
            self._check(route, names, query)
            body = b""
            if route.has_body:
                body = await self._read_body(receive, headers)
            request = ArmRequest(
                method=method,
                path=unquote(path),
                query=query,
                headers=_Texts(headers),
                names=names,
                api_version=query.get("api-version", "").lower(),
                base_url=base_url,
                caller=caller,
                request_id=request_id,
                raw_body=body,
                send=lambda verb, to, content: self._send(request, verb, to, content),
            )
            return await self._call(route, request)
        except PoolwrightError as error:
            shape = match.route.shape if match and match.route else Shape.WRAPPED
            return self._refusal(shown(error), shape, base_url, match)

    def _authenticate(self, headers: Mapping[bytes, bytes], base_url: str) -> Caller:
        authorization = headers.get(b"authorization")
        if authorization is None:
            raise AUTHORIZATION_MISSING()
        return self._verifier.verify(authorization, base_url)

    def is_authenticated(self, scope: Scope) -> bool:
        """Whether a connection to a neighbour of ours carries a token that we would accept."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            base_url = _base_url(scope["scheme"], headers.get(b"host", b""))
            self._authenticate(headers, base_url)
        except PoolwrightError:
            return False
        return True

    def _find(
        self, method: str, path: str, match: Match | None, query: Mapping[str, str]
    ) -> tuple[Route, dict[str, str]]:
        """The route, or the refusal that fits a path or method which has none."""
        if match is None:
            raise unknown_path(self._context, unquote(path), query.get("api-version", ""))
        if match.route is None:
            raise METHOD_NOT_ALLOWED(method=method)
        return match.route, match.names

    def _check(self, route: Route, names: dict[str, str], query: Mapping[str, str]) -> None:
        """What needs neither the body nor the store: api-version, subscription (whose own casing
        replaces the sent one in ``names``), throttling.
        """
        if route.access is Access.PUBLIC:
            return
        version = query.get("api-version")
        if not version:
            raise MISSING_API_VERSION()
        subscription = names.get("subscription")
        if subscription is not None:
            names["subscription"] = check_subscription(self._context, subscription)
        check_api_version(
            version,
            route.versions,
            resource_type=route.resource_type,
            location=names.get("location", ""),
        )
        if self._throttle is not None:
            self._throttle.take(route, names)

    async def _call(self, route: Route, request: ArmRequest) -> ArmResponse:
        context = self._context
        if route.access is Access.PUBLIC:
            return await route.handler(context, request)
        if route.parents_first:
            await check_parents(context, route, request.method, request.names)
            return await route.handler(context, request)
        try:
            return await route.handler(context, request)
        except NotFound:
            # The resource is not there: perhaps because what it hangs under is not.
            await check_parents(context, route, request.method, request.names)
            raise

    async def perform(self, method: str, target: str, content: Any, base_url: str) -> ArmResponse:
        """Ask the front door as the server itself: path with query, JSON-able content, and the
        base URL that answers shall name.

        Raises:
            PoolwrightError: what a client would have got as an error answer.
        """
        origin = ArmRequest(
            method=method,
            path="",
            query={},
            headers={},
            names={},
            api_version="",
            base_url=base_url,
            caller=Caller(self._context.settings.tenant, "", "poolwright"),
            request_id=self._context.identity.uid(),
            raw_body=b"",
            send=self._unsendable,
        )
        return await self._send(origin, method, target, content)

    async def _unsendable(self, method: str, target: str, content: Any) -> ArmResponse:
        raise AssertionError("the server's own request has no handler that could send")

    async def _send(
        self, origin: ArmRequest, method: str, target: str, content: Any
    ) -> ArmResponse:
        """Answer a handler's own request, as the same caller; errors are raised."""
        path, _, query_text = target.partition("?")
        query = {"api-version": origin.api_version, **_query(query_text.encode())}
        route, names = self._find(method, path, self._table.match(method, path), query)
        self._check(route, names, query)
        request = ArmRequest(
            method=method,
            path=path,
            query=query,
            headers=_Texts({b"content-type": b"application/json"}),
            names=names,
            api_version=query["api-version"].lower(),
            base_url=origin.base_url,
            caller=origin.caller,
            request_id=origin.request_id,
            raw_body=b"" if content is None else _ENCODER.encode(content),
            send=lambda verb, to, content: self._send(request, verb, to, content),
        )
        return await self._call(route, request)

    async def _read_body(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        """The whole body, within the limits of the settings.

        A body that is too long is read on and thrown away for a while, because most clients
        see a reset connection instead of the answer if nobody reads what they send.
        """
        settings = self._context.settings
        limit = settings.body_bytes_max
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(settings.body_timeout.total_seconds()):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _ClientGone
                    chunk: bytes = message.get("body", b"")
                    size += len(chunk)
                    if size <= limit:
                        chunks.append(chunk)
                    else:
                        chunks.clear()
                    if not message.get("more_body", False) or size > limit * _DRAIN_FACTOR:
                        break
        except TimeoutError:
            seconds = int(settings.body_timeout.total_seconds())
            raise BODY_TOO_SLOW(seconds=seconds) from None
        if size > limit:
            raise BODY_TOO_LARGE(limit=limit)
        return b"".join(chunks)

    def _refusal(
        self, error: PoolwrightError, shape: Shape, base_url: str, match: Match | None
    ) -> ArmResponse:
        status = status_of(error)
        headers: Headers = ()
        if status == 401 and isinstance(error, AuthenticationFailed):
            headers = (("WWW-Authenticate", self._challenge(error, base_url)),)
        elif isinstance(error, Throttled):
            headers = (("Retry-After", str(error.retry_after)),)
        elif isinstance(error, Transient):
            headers = (("Retry-After", str(max(1, round(error.retry_after or 1)))),)
        elif status == 405 and match is not None:
            headers = _allow(match)
        elif status == 404 and error.code in FRONT_DOOR_CODES:
            headers = (("x-ms-failure-cause", "gateway"),)
        elif status in {408, 413}:
            headers = (("Connection", "close"),)
        return ArmResponse(status, wire_error(error, shape), headers)

    def _challenge(self, error: AuthenticationFailed, base_url: str) -> str:
        """``WWW-Authenticate``. A token that was refused gets a claims challenge, on which az and
        the SDKs fetch a new one and repeat the request (real-clients §3.3).
        """
        authorize = f'authorization_uri="{base_url}/adfs/oauth2/authorize"'
        if error.code == AUTHORIZATION_MISSING.code:
            return f'Bearer {authorize}, error="invalid_token"'
        now = int(self._context.clock.now().wall.timestamp())
        claims = _ENCODER.encode({"access_token": {"nbf": {"essential": True, "value": str(now)}}})
        encoded = base64.b64encode(claims).decode()
        return f'Bearer realm="", {authorize}, error="insufficient_claims", claims="{encoded}"'


class _Texts(Mapping[str, str]):
    """Headers as text, decoded when they are looked at."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        return self._raw[name.encode()].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


@lru_cache(maxsize=64)
def _base_url(scheme: str, host: bytes) -> str:
    text = host.decode("latin-1")
    if _HOST.fullmatch(text) is None:
        raise BAD_HOST()
    return f"{scheme}://{text}"


@lru_cache(maxsize=8)
def _moment(second: datetime) -> str:
    return second.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _query(text: bytes) -> Mapping[str, str]:
    """Query parameters by name in lower case; the first of equal names counts."""
    return _short_query(text) if len(text) <= _SHORT_QUERY else _parse_query(text)


@lru_cache(maxsize=512)
def _short_query(text: bytes) -> Mapping[str, str]:
    """Most requests have the same query: an api-version and nothing else."""
    return _parse_query(text)


def _parse_query(text: bytes) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(text.decode("latin-1"), keep_blank_values=True):
        found.setdefault(name.lower(), value)
    return found


def _allow(match: Match) -> Headers:
    methods = [*match.methods, "OPTIONS"]
    if "GET" in methods and "HEAD" not in methods:
        methods.append("HEAD")
    return (("Allow", ", ".join(sorted(methods))),)


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def create_app(context: ArmContext, keys: TokenKeys) -> ArmApp:
    """The ARM front of this context, signing and verifying tokens with these keys."""
    return ArmApp(context, keys)
