"""The answer to a request that a bug of ours left without one.

Every refusal is an error of `model.errors` and answered where it is raised. What is not one is told
to the log, once and with its traceback, and to the client as ARM or Kubernetes would: a client that
reads JSON gets JSON.

Sources: ARM's ``InternalServerError`` (known-text); k8s.io/apimachinery pkg/api/errors,
NewInternalError.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from poolwright.kubesim.api.application import BARE_PATHS, PREFIX
from poolwright.kubesim.status import StatusError
from poolwright.reconcile.loop import contain

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_CLUSTER_PATHS = frozenset({PREFIX, *BARE_PATHS})
_ARM: Mapping[str, Any] = {
    "error": {
        "code": "InternalServerError",
        "message": "Encountered internal server error. The server's log says more.",
    }
}
_KUBERNETES = StatusError(
    500,
    "InternalError",
    "Internal error occurred: the server's log says more",
    details={"causes": [{"message": "the server's log says more"}]},
).body()


class LastAnswer:
    """An application behind which no request stays without an answer."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        work = partial(self._application, scope, receive, send)
        if scope["type"] != "http":
            await work()
            return
        if await contain(f"{scope['method']} {scope['path']}", work):
            return
        with suppress(RuntimeError):  # an answer had begun; the connection is closed then
            await _answer(scope, send)


async def _answer(scope: Scope, send: Send) -> None:
    is_kubernetes = scope["path"].strip("/").partition("/")[0] in _CLUSTER_PATHS
    body = msgspec.json.encode(_KUBERNETES if is_kubernetes else _ARM)
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
