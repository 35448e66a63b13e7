"""Publishes the cluster's certificate authority in every namespace, as ``kube-root-ca.crt``.

Source: k8s.io/kubernetes v1.35 pkg/controller/certificates/rootcacertpublisher.
"""

from __future__ import annotations

from poolwright.kubesim.registry import Registry
from poolwright.kubesim.status import StatusError
from poolwright.model.kubernetes import CONFIG_MAPS, NAMESPACES

NAME = "kube-root-ca.crt"
_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal"
    " endpoints such as the internal service IP or kubernetes.default.svc."
    " No other usage is guaranteed across distributions of Kubernetes clusters."
)


async def publish_root_certificate(registry: Registry, ca_pem: bytes) -> None:
    """Give every namespace the ConfigMap; runs until cancelled."""
    async with registry.changes((NAMESPACES,)) as queue:
        for entry in registry.list(NAMESPACES):
            await _publish(registry, entry.name, ca_pem)
        while True:
            change = await queue.get()
            if change.type == "ADDED":
                await _publish(registry, change.new.name, ca_pem)


async def _publish(registry: Registry, namespace: str, ca_pem: bytes) -> None:
    if registry.entry(CONFIG_MAPS, NAME, namespace) is not None:
        return
    body = {
        "metadata": {"name": NAME, "annotations": {"kubernetes.io/description": _NOTE}},
        "data": {"ca.crt": ca_pem.decode()},
    }
    try:
        await registry.create(CONFIG_MAPS, body, namespace=namespace)
    except StatusError as error:
        if error.reason not in {"AlreadyExists", "NotFound", "Forbidden"}:
            raise
