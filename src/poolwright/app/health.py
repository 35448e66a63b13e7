"""What a load balancer or a kubelet asks: whether the process works, and whether to send it work.

::

    GET /livez, /healthz   200: the process answers
    GET /readyz            200: it serves and reaches its store; 503: why not
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from poolwright.model.errors import PoolwrightError
from poolwright.ports.store import Store

Scope = MutableMapping[str, Any]
Send = Callable[[Scope], Awaitable[None]]

_ALIVE = frozenset({"/livez", "/healthz"})
_READY = "/readyz"
_STORE_SECONDS = 2.0
"""How long the store may take to answer."""
_PROBED = "server/probe"
"""A scope without records: reading it asks the database, and nothing is kept of it."""


class Health:
    """Answers probes. They carry no credentials: with some, these paths are a cluster's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._not_serving = "starting"

    def serve(self) -> None:
        """Everything is there; be ready from now on."""
        self._not_serving = ""

    def drain(self) -> None:
        """The process is about to end; be not ready from now on."""
        self._not_serving = "stopping"

    @staticmethod
    def is_asked(scope: Scope) -> bool:
        """Whether a connection is a probe."""
        return (
            scope["type"] == "http"
            and (scope["path"] in _ALIVE or scope["path"] == _READY)
            and not any(name == b"authorization" for name, _ in scope["headers"])
        )

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer a probe."""
        del receive
        if scope["method"] not in {"GET", "HEAD"}:
            await _answer(send, 405, "use GET", allow=b"GET, HEAD")
            return
        trouble = "" if scope["path"] in _ALIVE else await self._trouble()
        status = 503 if trouble else 200
        await _answer(send, status, trouble or "ok", is_head=scope["method"] == "HEAD")

    async def _trouble(self) -> str:
        """Why the process should get no work; empty if it should."""
        if self._not_serving:
            return self._not_serving
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._store.revision(_PROBED)
        except TimeoutError:
            return f"the store did not answer within {_STORE_SECONDS:g} s"
        except PoolwrightError:
            return "the store cannot be reached"  # whoever asks need not know where it is
        return ""


async def _answer(
    send: Send, status: int, text: str, *, is_head: bool = False, allow: bytes = b""
) -> None:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if allow:
        headers.append((b"allow", allow))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else body})
