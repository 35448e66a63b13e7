"""The Node that a machine registers: names, labels, capacity, conditions, node info, lease.

Sources: facts gpu-stack §1 and §5.1, data/node_labels.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from poolwright.model.catalog import VmSize
from poolwright.model.gpu import InstallProfile
from poolwright.model.instant import wall_text, wall_text_micro
from poolwright.model.json_value import child
from poolwright.model.kubernetes import RENDERED_ANNOTATION
from poolwright.model.machine import Machine
from poolwright.model.node import AGENT_POOL_ANNOTATION, AGENT_POOL_LABEL
from poolwright.model.node_capacity import (
    gpu_resources,
    has_driver,
    node_allocatable,
    node_capacity,
)
from poolwright.model.quantity import resource_text

LEASE_NAMESPACE = "kube-node-lease"
DCGM_LABEL = "kubernetes.azure.com/dcgm-exporter"
_SINGLE = re.compile(r"-vm\d+$")
_DIGITS = re.compile(r"^(.*-vmss)[0-9a-z]{6}$")


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """What ``nodeInfo`` says of an image family."""

    os_image: str
    kernel: str
    container_runtime: str
    sku_effective: str


# Versions: assumed, as of the images of July 2026; the families are facts gpu-stack §7.2.
_OPERATING_SYSTEMS: Mapping[str, OperatingSystem] = {
    "AKSUbuntu-2204": OperatingSystem(
        "Ubuntu 22.04.5 LTS", "5.15.0-1102-azure", "containerd://1.7.30-1", "Ubuntu2204"
    ),
    "AKSUbuntu-2404": OperatingSystem(
        "Ubuntu 24.04.3 LTS", "6.8.0-1052-azure", "containerd://2.1.6-1", "Ubuntu2404"
    ),
    "AKSAzureLinux-V3": OperatingSystem(
        "Microsoft Azure Linux 3.0", "6.6.126.1-1.azl3", "containerd://2.0.0", "AzureLinux3"
    ),
    "AKSWindows-2022": OperatingSystem(
        "Windows Server 2022 Datacenter", "10.0.20348.4529", "containerd://1.7.20", "Windows2022"
    ),
    "AKSWindows": OperatingSystem(
        "Windows Server 2025 Datacenter", "10.0.26100.7171", "containerd://2.0.4", "Windows2025"
    ),
}
_DEFAULT_OS = _OPERATING_SYSTEMS["AKSUbuntu-2204"]


def operating_system(image_version: str) -> OperatingSystem:
    """The operating system of a node image, by the longest family that fits."""
    fitting = [family for family in _OPERATING_SYSTEMS if image_version.startswith(family)]
    return _OPERATING_SYSTEMS[max(fitting, key=len)] if fitting else _DEFAULT_OS


def system_uuid(node: Mapping[str, Any]) -> str:
    """The incarnation of the machine that registered the Node."""
    return child(node, "status", "nodeInfo").get("systemUUID", "")


HostPort = tuple[str, str, int]
"""Protocol, address of the node (empty: all of them), port."""


@dataclass(slots=True)
class NodeState:
    """A node as its kubelet knows it. ``written`` is what the API server was told last."""

    machine: Machine
    size: VmSize
    index: int
    is_registered: bool = False
    is_alive: bool = False
    has_plugin: bool = False
    has_exporter: bool = False
    written: tuple[bool, bool, bool] = (False, False, False)
    used: dict[str, int] = field(default_factory=dict[str, int])
    images: set[str] = field(default_factory=set[str])
    addresses: set[int] = field(default_factory=set[int])
    devices: dict[int, str] = field(default_factory=dict[int, str])
    """Which pod (uid) holds which GPU or MIG instance."""
    ports: dict[HostPort, str] = field(default_factory=dict[HostPort, str])
    """Which pod (uid) holds which port of the node."""
    offer: dict[str, int] = field(init=False)
    """Allocatable, without GPUs; in our units."""

    def __post_init__(self) -> None:
        bootstrap = self.machine.bootstrap
        self.offer = node_allocatable(
            self.size, max_pods=bootstrap.max_pods, os_disk_gb=bootstrap.os_disk_size_gb
        )

    def recognise(self, node: Mapping[str, Any], *, is_alive: bool) -> None:
        """Take over from a Node that an earlier run registered."""
        self.is_registered, self.is_alive = True, is_alive
        allocatable = child(node, "status", "allocatable")
        self.has_plugin = any(allocatable.get(key, "0") != "0" for key in self.gpu_offer)
        self.has_exporter = DCGM_LABEL in child(node, "metadata", "labels")
        self.written = self.facts

    @property
    def minor_version(self) -> int:
        """The kubelet's, after ``1.``."""
        return int(self.machine.bootstrap.kubernetes_version.removeprefix("v").split(".")[1])

    @property
    def facts(self) -> tuple[bool, bool, bool]:
        """What ``written`` should be."""
        return (self.is_alive, self.has_plugin, self.has_exporter)

    @property
    def gpu_offer(self) -> Mapping[str, int]:
        """What a device plugin on this node advertises; nothing without a driver."""
        bootstrap = self.machine.bootstrap
        if self.size.is_nvidia and not has_driver(bootstrap.install_profile):
            return {}
        return gpu_resources(
            self.size, mig_profile=bootstrap.mig_profile, mig_strategy=bootstrap.mig_strategy
        )

    @property
    def pod_network(self) -> str:
        """The first three numbers of its pods' addresses: a /24 per node.

        10.244.0.0/16 and on is AKS's default for overlay networks; the rest is shared space.
        """
        index = self.index
        if index < 12 * 256:
            return f"10.{244 + index // 256}.{index % 256}"
        return f"100.{64 + (index // 256 - 12) % 64}.{index % 256}"


def placement(machine: Machine) -> tuple[str, str]:
    """The scale set of a machine, and the resource group that it lives in."""
    match = _DIGITS.match(machine.name)
    cluster = machine.cluster
    group = f"MC_{cluster.resource_group}_{cluster.name}_{machine.region}"
    return (match[1] if match else machine.name[:-6] or machine.name), group


def provider_id(machine: Machine) -> str:
    """``spec.providerID``, as Azure's cloud provider writes it: resource group in lower case."""
    scale_set, group = placement(machine)
    compute = (
        f"azure:///subscriptions/{machine.cluster.subscription}/resourceGroups/{group.lower()}"
        "/providers/Microsoft.Compute"
    )
    if _SINGLE.search(machine.name):
        return f"{compute}/virtualMachines/{machine.name}"
    return f"{compute}/virtualMachineScaleSets/{scale_set}/virtualMachines/{machine.instance_id}"


def os_name(machine: Machine) -> str:
    """Linux or Windows, as Go names them."""
    return "windows" if machine.bootstrap.os_sku.startswith("Windows") else "linux"


def node_labels(machine: Machine, size: VmSize) -> dict[str, str]:
    """The labels that the node registers with; the bootstrap's own win over AKS's defaults,
    the kubelet's own over both.
    """
    bootstrap = machine.bootstrap
    system = operating_system(bootstrap.node_image_version)
    _, group = placement(machine)
    zone = f"{machine.region}-{machine.zone}" if machine.zone else "0"
    labels = {
        "agentpool": machine.pool,
        AGENT_POOL_LABEL: machine.pool,
        "kubernetes.azure.com/cluster": group,
        "kubernetes.azure.com/managedby": "aks",
        "kubernetes.azure.com/role": "agent",
        "kubernetes.azure.com/mode": "user",
        "kubernetes.azure.com/node-image-version": bootstrap.node_image_version,
        "kubernetes.azure.com/nodepool-type": "VirtualMachineScaleSets",
        "kubernetes.azure.com/os-sku": bootstrap.os_sku,
        "kubernetes.azure.com/os-sku-effective": system.sku_effective,
        "kubernetes.azure.com/os-sku-requested": bootstrap.os_sku,
        "kubernetes.azure.com/priority": "spot" if machine.spot else "regular",
        "kubernetes.azure.com/storageprofile": "managed",
        "kubernetes.azure.com/storagetier": "Premium_LRS",
        "kubernetes.azure.com/sku-cpu": str(size.vcpus),
        "kubernetes.azure.com/sku-memory": str(size.memory_mib // 1024),
        "storageprofile": "managed",
        "storagetier": "Premium_LRS",
    }
    if machine.spot:
        labels["kubernetes.azure.com/scalesetpriority"] = "spot"
    if size.gpu is not None:
        labels["accelerator"] = labels["kubernetes.azure.com/accelerator"] = size.gpu.vendor
    labels |= bootstrap.labels
    return labels | {
        "beta.kubernetes.io/arch": size.architecture,
        "beta.kubernetes.io/instance-type": machine.vm_size,
        "beta.kubernetes.io/os": os_name(machine),
        "failure-domain.beta.kubernetes.io/region": machine.region,
        "failure-domain.beta.kubernetes.io/zone": zone,
        "kubernetes.io/arch": size.architecture,
        "kubernetes.io/hostname": machine.name,
        "kubernetes.io/os": os_name(machine),
        "node.kubernetes.io/instance-type": machine.vm_size,
        "topology.kubernetes.io/region": machine.region,
        "topology.kubernetes.io/zone": zone,
    }


def _texts(amounts: Mapping[str, int]) -> dict[str, str]:
    return {name: resource_text(name, amount) for name, amount in amounts.items()}


def gpu_status(state: NodeState) -> dict[str, Any]:
    """The GPU part of capacity and allocatable. Without the plugin, what it advertised before
    stays in capacity with nothing allocatable, as the kubelet does.
    """
    offer = state.gpu_offer
    if not state.has_plugin:
        return {"allocatable": dict.fromkeys(offer, "0")}
    return {"capacity": _texts(offer), "allocatable": _texts(offer)}


@dataclass(frozen=True, slots=True)
class _Condition:
    type: str
    status: str
    reason: str
    message: str

    def wire(self, now: datetime) -> dict[str, str]:
        return {
            "type": self.type,
            "status": self.status,
            "lastHeartbeatTime": wall_text(now),
            "lastTransitionTime": wall_text(now),
            "reason": self.reason,
            "message": self.message,
        }


_HEALTHY: tuple[_Condition, ...] = (
    _Condition(
        "MemoryPressure",
        "False",
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
    ),
    _Condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    _Condition(
        "PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"
    ),
)
_READY = _Condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
_LOST = "Kubelet stopped posting node status."

# Wording: facts gpu-stack §5.1; NVLink's good wording and the XID reason are assumed there too.
_DRIVER_CONDITIONS: tuple[_Condition, ...] = (
    _Condition("GPUMissing", "False", "NoGPUMissing", "All GPUs are present"),
    _Condition(
        "XIDErrors", "False", "NoXIDErrors", "No recent GPU XID errors found in system logs"
    ),
)
_NVLINK = _Condition(
    "NVLinkStatusInactive", "False", "NVLinkStatusActive", "All NVLinks are active"
)
_INFINIBAND = _Condition("IBLinkFlapping", "False", "NoIBLinkFlapping", "IB link is stable")
_GRID = _Condition(
    "NVIDIAGRIDStatusInvalid", "False", "NVIDIAGRIDStatusValid", "NVIDIA Grid Status Valid"
)

# Ours: components are pods (decisions §1), so the bad wording names pods, not systemd units.
_PLUGIN: Mapping[bool, _Condition] = {
    True: _Condition(
        "UnhealthyNvidiaDevicePlugin",
        "False",
        "HealthyNvidiaDevicePlugin",
        "NVIDIA device plugin is running properly",
    ),
    False: _Condition(
        "UnhealthyNvidiaDevicePlugin",
        "True",
        "UnhealthyNvidiaDevicePlugin",
        "Pod nvidia-device-plugin is not ready",
    ),
}
_EXPORTER: Mapping[bool, _Condition] = {
    True: _Condition(
        "UnhealthyNvidiaDCGMServices",
        "False",
        "HealthyNvidiaDCGMServices",
        "NVIDIA DCGM services are running properly",
    ),
    False: _Condition(
        "UnhealthyNvidiaDCGMServices",
        "True",
        "UnhealthyNvidiaDCGMServices",
        "Pod nvidia-dcgm-exporter is not ready",
    ),
}


_RDMA = re.compile(r"^standard_n[cd]\d+[a-z]*r[a-z]*(_|$)", re.IGNORECASE)
_NVLINK_MODELS = ("A100", "H100", "H200", "GB200", "GB300", "V100 32GB SXM2")


def has_nvlink(size: VmSize) -> bool:
    """Whether the GPUs of a size are linked: the ND sizes, and pairs of H100 NVL.

    Source: facts gpu-stack §5.1, §11.
    """
    if size.gpu is None or size.gpu.count < 2:
        return False
    is_listed = any(model in size.gpu.model for model in _NVLINK_MODELS)
    return is_listed and (size.name.lower().startswith("standard_nd") or "NVL" in size.gpu.model)


def _detected(state: NodeState) -> list[_Condition]:
    """The conditions of the problem detector at first: what a driver lets it see."""
    if not (state.size.is_nvidia and has_driver(state.machine.bootstrap.install_profile)):
        return []
    assert state.size.gpu is not None
    found = list(_DRIVER_CONDITIONS)
    if has_nvlink(state.size):
        found.append(_NVLINK)
    if _RDMA.match(state.size.name):
        found.append(_INFINIBAND)
    if (state.size.gpu.driver_flavour or "").startswith("grid"):
        found.append(_GRID)
    return found


def node_object(state: NodeState, now: datetime) -> dict[str, Any]:
    """The Node at registration, with its status: one request makes a ready node."""
    machine, bootstrap = state.machine, state.machine.bootstrap
    capacity = node_capacity(
        state.size, max_pods=bootstrap.max_pods, os_disk_gb=bootstrap.os_disk_size_gb
    )
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": machine.name,
            "labels": node_labels(machine, state.size),
            "annotations": {
                AGENT_POOL_ANNOTATION: machine.pool,
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
        },
        "spec": {
            "podCIDR": f"{state.pod_network}.0/24",
            "podCIDRs": [f"{state.pod_network}.0/24"],
            "providerID": provider_id(machine),
            **({"taints": _taints(machine)} if bootstrap.taints else {}),
        },
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": machine.private_ip},
                {"type": "Hostname", "address": machine.name},
            ],
            "capacity": _texts(capacity),
            "allocatable": _texts(state.offer),
            "conditions": [c.wire(now) for c in (*_detected(state), *_HEALTHY, _READY)],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": node_info(machine, state.size),
        },
    }


def _taints(machine: Machine) -> list[dict[str, Any]]:
    return [taint.to_object() for taint in machine.bootstrap.taints]


def node_info(machine: Machine, size: VmSize) -> dict[str, str]:
    """``status.nodeInfo``. The system's UUID is the machine's uid, its incarnation."""
    bootstrap = machine.bootstrap
    system = operating_system(bootstrap.node_image_version)
    version = f"v{bootstrap.kubernetes_version.removeprefix('v')}"
    return {
        "machineID": machine.uid.replace("-", ""),
        "systemUUID": machine.uid,
        "bootID": machine.uid[::-1].replace("-", "")[:8] + machine.uid[8:],
        "kernelVersion": system.kernel,
        "osImage": system.os_image,
        "containerRuntimeVersion": system.container_runtime,
        "kubeletVersion": version,
        "kubeProxyVersion": version if bootstrap.kubernetes_version < "1.33" else "",
        "operatingSystem": os_name(machine),
        "architecture": size.architecture,
    }


def status_patch(state: NodeState, now: datetime) -> dict[str, Any]:
    """A strategic merge patch of the status: liveness, GPUs, and what the detector sees."""
    was_alive, had_plugin, had_exporter = state.written
    status: dict[str, Any] = {}
    conditions: list[dict[str, str]] = []
    if state.is_alive != was_alive:
        conditions += _liveness(now, alive=state.is_alive)
    if state.has_plugin != had_plugin:
        status |= gpu_status(state)
    if state.machine.bootstrap.install_profile is InstallProfile.EVERYTHING:
        if state.has_plugin != had_plugin:
            conditions.append(_PLUGIN[state.has_plugin].wire(now))
        if state.has_exporter != had_exporter:
            conditions.append(_EXPORTER[state.has_exporter].wire(now))
    if conditions:
        status["conditions"] = conditions
    return status


def _liveness(now: datetime, *, alive: bool) -> list[dict[str, str]]:
    if alive:
        return [c.wire(now) for c in (*_HEALTHY, _READY)]
    return [
        _Condition(c.type, "Unknown", "NodeStatusUnknown", _LOST).wire(now)
        for c in (*_HEALTHY, _READY)
    ]


def lease_object(name: str, node_uid: str, now: datetime) -> dict[str, Any]:
    """The heartbeat lease of a living node."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": LEASE_NAMESPACE,
            "annotations": {RENDERED_ANNOTATION: "true"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid}
            ],
        },
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": 40,
            "renewTime": wall_text_micro(now),
        },
    }
