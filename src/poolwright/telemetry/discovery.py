"""Where Prometheus finds the DCGM exporters: an HTTP service-discovery document.

One target per GPU node, reached through the API server of its cluster, so that no node needs to be
reachable from where Prometheus runs. Prometheus authenticates with a token of the cluster.

Source: Prometheus "HTTP SD" and the labels ``__scheme__`` and ``__metrics_path__`` of targets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from poolwright.model.cluster_key import ClusterKey
from poolwright.plan.components import EXPORTER_PORT
from poolwright.ports.kube import Clusters, ControlPlanes
from poolwright.telemetry.gpu_metrics import has_exporter


async def exporter_targets(
    clusters: Clusters, control_planes: ControlPlanes, keys: Iterable[ClusterKey]
) -> list[dict[str, Any]]:
    """The target groups of the exporters of these clusters."""
    groups: list[dict[str, Any]] = []
    for key in keys:
        plane = await control_planes.get(key)
        if plane is None or not plane.is_running:
            continue
        url = urlsplit(plane.server_url)
        for node in clusters.view(key).nodes():
            if not has_exporter(node):
                continue
            path = f"/api/v1/nodes/{quote(node.name)}:{EXPORTER_PORT}/proxy/metrics"
            groups.append(
                {
                    "targets": [url.netloc],
                    "labels": {
                        "__scheme__": url.scheme,
                        "__metrics_path__": f"{url.path.rstrip('/')}{path}",
                        "instance": node.name,
                        "cluster": str(key),
                        "agent_pool": node.pool,
                    },
                }
            )
    return groups
