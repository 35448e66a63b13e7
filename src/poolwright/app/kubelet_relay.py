"""A kubelet that is named later: the API server and the cloud of the embedded default need each
other, and one of them is built first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from poolwright.model.cluster_key import ClusterKey
from poolwright.ports.kube import ExecResult, Kubelet, Object, ProxyAnswer, StandardInput


class KubeletRelay:
    """A `ports.Kubelet` that passes everything on to ``target``."""

    target: Kubelet

    def logs(
        self,
        cluster: ClusterKey,
        pod: Object,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        timestamps: bool = False,
        previous: bool = False,
    ) -> AsyncIterator[bytes]:
        """As `ports.Kubelet.logs`."""
        return self.target.logs(
            cluster,
            pod,
            container,
            follow=follow,
            tail_lines=tail_lines,
            timestamps=timestamps,
            previous=previous,
        )

    async def execute(
        self,
        cluster: ClusterKey,
        pod: Object,
        container: str,
        command: Sequence[str],
        *,
        standard_input: StandardInput | None = None,
    ) -> ExecResult:
        """As `ports.Kubelet.execute`."""
        return await self.target.execute(
            cluster, pod, container, command, standard_input=standard_input
        )

    async def proxy(self, cluster: ClusterKey, node: str, port: int, path: str) -> ProxyAnswer:
        """As `ports.Kubelet.proxy`."""
        return await self.target.proxy(cluster, node, port, path)
