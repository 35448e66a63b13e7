"""The kube-system workloads that every AKS cluster has.

Names, requests and node selection as on an AKS 1.3x cluster with Azure CNI overlay (public
``kubectl -n kube-system describe`` outputs, AKS docs "Resource reservations"); images under
mcr.microsoft.com/oss. What a workload does is not simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poolwright.kubesim.registry import Registry
from poolwright.kubesim.status import StatusError
from poolwright.model.kubernetes import (
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    POD_DISRUPTION_BUDGETS,
    SERVICE_ACCOUNTS,
    Resource,
)

NAMESPACE = "kube-system"
_OSS = "mcr.microsoft.com/oss"
_EVERYWHERE = ({"operator": "Exists"},)
_CRITICAL = (
    {"key": "CriticalAddonsOnly", "operator": "Exists"},
    {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"},
)


@dataclass(frozen=True, slots=True)
class SystemWorkload:
    """One workload: what matters to scheduling, drains and those who look."""

    name: str
    image: str
    cpu: str
    memory: str
    replicas: int | None = None
    """None: a DaemonSet."""
    label: str = "k8s-app"
    label_value: str = ""
    host_network: bool = False
    has_budget: bool = False
    """Whether one of its pods must stay in a drain."""


SYSTEM_WORKLOADS = (
    SystemWorkload(
        "coredns",
        f"{_OSS}/v2/kubernetes/coredns:v1.12.1-8",
        "100m",
        "70Mi",
        2,
        "k8s-app",
        "kube-dns",
        has_budget=True,
    ),
    SystemWorkload(
        "coredns-autoscaler",
        f"{_OSS}/v2/kubernetes/autoscaler/cluster-proportional-autoscaler:v1.9.0-3",
        "20m",
        "10Mi",
        1,
    ),
    SystemWorkload(
        "metrics-server",
        f"{_OSS}/v2/kubernetes/metrics-server:v0.7.2-9",
        "156m",
        "128Mi",
        2,
        has_budget=True,
    ),
    SystemWorkload(
        "konnectivity-agent",
        f"{_OSS}/v2/kubernetes/apiserver-network-proxy/agent:v0.31.4-2",
        "20m",
        "20Mi",
        2,
        "app",
        has_budget=True,
    ),
    SystemWorkload(
        "kube-proxy",
        f"{_OSS}/kubernetes/kube-proxy:v1.35.1",
        "100m",
        "50Mi",
        label="component",
        host_network=True,
    ),
    SystemWorkload(
        "azure-ip-masq-agent",
        f"{_OSS}/v2/azure/ip-masq-agent-v2:v0.1.15-4",
        "100m",
        "50Mi",
        host_network=True,
    ),
    SystemWorkload(
        "cloud-node-manager",
        f"{_OSS}/v2/kubernetes/azure-cloud-node-manager:v1.33.2",
        "50m",
        "50Mi",
        host_network=True,
    ),
    SystemWorkload(
        "csi-azuredisk-node",
        f"{_OSS}/v2/kubernetes-csi/azuredisk-csi:v1.33.5",
        "30m",
        "60Mi",
        label="app",
        host_network=True,
    ),
    SystemWorkload(
        "csi-azurefile-node",
        f"{_OSS}/v2/kubernetes-csi/azurefile-csi:v1.34.1",
        "30m",
        "60Mi",
        label="app",
        host_network=True,
    ),
)


def _affinity(workload: SystemWorkload) -> dict[str, Any]:
    """Everything on Linux nodes; deployments rather on system pools."""
    linux = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
    no_virtual = {
        "key": "type",
        "operator": "NotIn",
        "values": ["virtual-kubelet"],
    }
    node: dict[str, Any] = {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [linux, no_virtual]}]
        }
    }
    if workload.replicas is not None:
        system = {"key": "kubernetes.azure.com/mode", "operator": "In", "values": ["system"]}
        node["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": 100, "preference": {"matchExpressions": [system]}}
        ]
    return {"nodeAffinity": node}


def workload_object(workload: SystemWorkload) -> dict[str, Any]:
    """The DaemonSet or Deployment."""
    labels = {
        workload.label: workload.label_value or workload.name,
        "kubernetes.azure.com/managedby": "aks",
    }
    selector = {workload.label: labels[workload.label]}
    is_daemon = workload.replicas is None
    pod: dict[str, Any] = {
        "serviceAccountName": workload.name,
        "priorityClassName": "system-node-critical",
        "containers": [
            {
                "name": workload.name,
                "image": workload.image,
                "imagePullPolicy": "IfNotPresent",
                "resources": {"requests": {"cpu": workload.cpu, "memory": workload.memory}},
            }
        ],
        "tolerations": list(_EVERYWHERE if is_daemon else _CRITICAL),
        "affinity": _affinity(workload),
    }
    if workload.host_network:
        pod["hostNetwork"] = True
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    if not is_daemon:
        spec["replicas"] = workload.replicas
    marks = {**labels, "addonmanager.kubernetes.io/mode": "Reconcile"}
    return {"metadata": {"name": workload.name, "labels": marks}, "spec": spec}


def _budget(workload: SystemWorkload) -> dict[str, Any]:
    spec: Mapping[str, Any] = {
        "minAvailable": 1,
        "selector": {"matchLabels": {workload.label: workload.label_value or workload.name}},
    }
    return {"metadata": {"name": f"{workload.name}-pdb"}, "spec": spec}


async def install_system_pods(registry: Registry) -> None:
    """Create the workloads that are missing, once their namespace is there; what is there stays
    as users left it.
    """
    async with registry.changes((NAMESPACES,)) as queue:
        while registry.entry(NAMESPACES, NAMESPACE) is None:
            await queue.get()
    for workload in SYSTEM_WORKLOADS:
        account = {"metadata": {"name": workload.name}}
        await _ensure(registry, SERVICE_ACCOUNTS, account)
        kind = DAEMON_SETS if workload.replicas is None else DEPLOYMENTS
        await _ensure(registry, kind, workload_object(workload))
        if workload.has_budget:
            await _ensure(registry, POD_DISRUPTION_BUDGETS, _budget(workload))


async def _ensure(registry: Registry, resource: Resource, body: dict[str, Any]) -> None:
    name = body["metadata"]["name"]
    if registry.entry(resource, name, NAMESPACE) is not None:
        return
    try:
        await registry.create(resource, body, namespace=NAMESPACE)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
