"""The ASGI application of the metrics endpoints.

::

    GET /metrics                             the exposition
    GET /discovery/dcgm-exporter?cluster=…   the exporters, for Prometheus' HTTP service discovery
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from poolwright.model.cluster_key import ClusterKey
from poolwright.ports.kube import Clusters, ControlPlanes
from poolwright.telemetry.discovery import exporter_targets
from poolwright.telemetry.gpu_metrics import GpuMetrics
from poolwright.telemetry.metrics import Metrics
from poolwright.telemetry.record_metrics import RecordMetrics

Scope = MutableMapping[str, Any]
Send = Callable[[Scope], Awaitable[None]]

METRICS = "/metrics"
EXPORTERS = "/discovery/dcgm-exporter"
PATHS = frozenset({METRICS, EXPORTERS})
"""The paths that this application serves."""


class TelemetryApp:
    """Serves the two documents. ``is_allowed`` says whether a connection may read them."""

    def __init__(
        self,
        metrics: Metrics,
        records: RecordMetrics,
        gpus: GpuMetrics,
        clusters: Clusters,
        control_planes: ControlPlanes,
        is_allowed: Callable[[Scope], bool],
    ) -> None:
        self._metrics = metrics
        self._records = records
        self._gpus = gpus
        self._clusters = clusters
        self._control_planes = control_planes
        self._is_allowed = is_allowed

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer one HTTP connection to one of `PATHS`."""
        del receive
        if scope["method"] not in {"GET", "HEAD"}:
            await _answer(send, 405, "text/plain", b"use GET\n", is_head=False)
            return
        is_head = scope["method"] == "HEAD"
        if not self._is_allowed(scope):
            text = b"a bearer token of this server is needed\n"
            await _answer(send, 401, "text/plain", text, is_head=is_head)
        elif scope["path"] == METRICS:
            self._gpus.want()
            kind, body = self._metrics.content_type, self._metrics.text()
            await _answer(send, 200, kind, body, is_head=is_head)
        else:
            await self._exporters(scope, send, is_head=is_head)

    async def _exporters(self, scope: Scope, send: Send, *, is_head: bool) -> None:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        wanted = {text.lower() for text in query.get("cluster", ())}
        keys = [key for key in self._records.clusters if not wanted or _is_one(key, wanted)]
        groups = await exporter_targets(self._clusters, self._control_planes, sorted(keys))
        body = msgspec.json.encode(groups)
        await _answer(send, 200, "application/json", body, is_head=is_head)


def _is_one(key: ClusterKey, wanted: set[str]) -> bool:
    """Whether a cluster is asked for, by its name or as ``subscription/group/name``."""
    return key.name in wanted or str(key) in wanted


async def _answer(send: Send, status: int, kind: str, body: bytes, *, is_head: bool) -> None:
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else body})
