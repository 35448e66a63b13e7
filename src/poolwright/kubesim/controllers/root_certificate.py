"""Publishes the cluster's certificate authority in every namespace, as ``kube-root-ca.crt``.

Source: k8s.io/kubernetes v1.35 pkg/controller/certificates/rootcacertpublisher.
"""

from __future__ import annotations

import asyncio
from typing import Any

from poolwright.kubesim.entry import ObjectChange
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
    """Give every namespace the ConfigMap, and again if it goes or changes; runs until cancelled."""
    due: asyncio.Queue[str] = asyncio.Queue()

    def listen(change: ObjectChange) -> None:
        if change.kind.resource == NAMESPACES:
            if change.type == "ADDED":
                due.put_nowait(change.new.name)
        elif change.new.name == NAME and change.type != "ADDED":
            due.put_nowait(change.new.namespace)

    async with registry.listening(listen, (NAMESPACES, CONFIG_MAPS)):
        for entry in registry.list(NAMESPACES):
            await _publish(registry, entry.name, ca_pem)
        while True:
            await _publish(registry, await due.get(), ca_pem)


async def _publish(registry: Registry, namespace: str, ca_pem: bytes) -> None:
    data = {"ca.crt": ca_pem.decode()}
    there = registry.get(CONFIG_MAPS, NAME, namespace)
    if there is not None and there.get("data") == data:
        return
    body = {
        "metadata": {"name": NAME, "annotations": {"kubernetes.io/description": _NOTE}},
        "data": data,
    }

    def restore(found: dict[str, Any]) -> None:
        found["data"] = data

    try:
        if there is None:
            await registry.create(CONFIG_MAPS, body, namespace=namespace)
        else:
            await registry.update(CONFIG_MAPS, NAME, restore, namespace=namespace)
    except StatusError as error:
        if error.reason not in {"AlreadyExists", "Conflict", "Forbidden", "Invalid", "NotFound"}:
            raise
