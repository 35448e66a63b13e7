"""Managed-identity tokens, as a small application of their own on plain HTTP and loopback only.

Two styles: App Service (``IDENTITY_ENDPOINT``, header ``X-IDENTITY-HEADER``) and IMDS
(``AZURE_POD_IDENTITY_AUTHORITY_HOST``, header ``Metadata: true``). Source: real-clients §3.2–3.3.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from poolwright.arm.authority import Authority
from poolwright.arm.context import ArmContext
from poolwright.arm.tokens import TokenKeys

_PATHS = {"/msi/token": "app-service", "/metadata/identity/oauth2/token": "imds"}
_ANSWER = tuple[int, dict[str, Any]]


class ManagedIdentityApp:
    """The two routes. ``base_url`` is the ARM front's own, which tokens are for."""

    def __init__(self, context: ArmContext, keys: TokenKeys, *, base_url: str) -> None:
        self._context = context
        self._authority = Authority(keys)
        self._base_url = base_url

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer one ASGI connection; lifespan is not supported, which servers accept."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        status, content = self._answer(scope["method"], scope["path"], headers, query)
        body = msgspec.json.encode(content)
        wire = [
            (b"content-type", b"application/json; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": wire})
        await send({"type": "http.response.body", "body": body})

    def _answer(
        self, method: str, path: str, headers: Mapping[str, bytes], query: Mapping[str, str]
    ) -> _ANSWER:
        style = _PATHS.get(path.lower().rstrip("/"))
        if style is None:
            return 404, _error("not_found", "No such endpoint.")
        if method != "GET":
            return 405, _error("method_not_allowed", "Only GET is supported.")
        if style == "imds" and headers.get("metadata", b"").lower() != b"true":
            return 400, _error("bad_request_102", "Required metadata header not specified")
        if not self._may_have(style, headers):
            return 401, _error("unauthorized", "The X-IDENTITY-HEADER header is missing or wrong.")
        resource = query.get("resource", "")
        if not resource:
            return 400, _error("invalid_request", "Required query variable 'resource' is missing")
        return 200, self._token(style, resource, query)

    def _may_have(self, style: str, headers: Mapping[str, bytes]) -> bool:
        """Outside development mode only a caller that shows the secret gets a token."""
        settings = self._context.settings
        if not settings.identity_header:
            return settings.is_development
        if style == "imds" and settings.is_development:
            return True  # this style has no way to carry a secret
        shown = headers.get("x-identity-header", b"")
        return hmac.compare_digest(shown, settings.identity_header.encode())

    def _token(self, style: str, resource: str, query: Mapping[str, str]) -> dict[str, Any]:
        client_id = query.get("client_id") or query.get("clientid") or ""
        token, start, end = self._authority.managed_identity_token(
            self._context, base_url=self._base_url, resource=resource, client_id=client_id
        )
        answer = {
            "access_token": token,
            "client_id": client_id,
            "expires_on": str(end),
            "not_before": str(start),
            "resource": resource,
            "token_type": "Bearer",
        }
        if style == "imds":
            answer |= {"expires_in": str(end - start), "ext_expires_in": str(end - start)}
        return answer


def _error(code: str, text: str) -> dict[str, Any]:
    return {"error": code, "error_description": text}
