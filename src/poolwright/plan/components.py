"""The managed GPU components as Kubernetes objects: one DaemonSet each per cluster and vendor.

Their versions come with the node image, as on AKS: of the newest image among the managed pools.
Sources: decisions §1 "Delivery"; facts on AKS' managed GPU stack (port 19400, so that a user's own
exporter can keep 9400); NVIDIA's published images.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from poolwright.model.agent_pool import AgentPoolSpec
from poolwright.model.catalog import NodeImage, node_images
from poolwright.model.gpu import InstallProfile
from poolwright.plan.bootstrap import MANAGED_GPU_LABEL
from poolwright.plan.readiness import DCGM_EXPORTER, DEVICE_PLUGIN, NAME_LABEL

EXPORTER_PORT = 19400
MANAGER_LABEL = "app.kubernetes.io/managed-by"
MANAGER = "poolwright"
COMPONENTS = (DEVICE_PLUGIN, DCGM_EXPORTER)


def has_managed_gpus(pools: Iterable[AgentPoolSpec]) -> bool:
    """Whether any of the pools gets everything installed."""
    return any(pool.install_profile is InstallProfile.EVERYTHING for pool in pools)


def _component(image_release: str, name: str) -> str:
    """The version of a component in an image; of the nearest newer one that names it, else of the
    newest that does.
    """
    images: list[NodeImage] = [i for i in node_images() if name in i.components]
    for image in images:
        if image.version >= image_release:
            return image.components[name]
    return images[-1].components[name]


def managed_components(
    pools: Iterable[AgentPoolSpec], namespace: str
) -> tuple[dict[str, Any], ...]:
    """The objects to apply for a cluster with these pools; none without a managed GPU pool."""
    releases = sorted(
        pool.node_image_version.rpartition("-")[2]
        for pool in pools
        if pool.install_profile is InstallProfile.EVERYTHING
    )
    if not releases:
        return ()
    release = releases[-1]
    dcgm = _component(release, "dcgm_core").partition(":")[2].partition("-")[0]
    exporter = _component(release, "dcgm_exporter")
    return (
        _device_plugin(_component(release, "device_plugin"), namespace),
        _dcgm_exporter(f"{dcgm}-{exporter}", exporter, namespace),
    )


def _device_plugin(version: str, namespace: str) -> dict[str, Any]:
    container = {
        "name": DEVICE_PLUGIN,
        "image": f"mcr.microsoft.com/oss/v2/nvidia/k8s-device-plugin:v{version}",
        "args": ["--pass-device-specs"],
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "device-plugin", "mountPath": "/var/lib/kubelet/device-plugins"}],
    }
    volume = {"name": "device-plugin", "hostPath": {"path": "/var/lib/kubelet/device-plugins"}}
    return _daemon_set(DEVICE_PLUGIN, version, namespace, container, volume)


def _dcgm_exporter(tag: str, version: str, namespace: str) -> dict[str, Any]:
    container = {
        "name": DCGM_EXPORTER,
        "image": f"nvcr.io/nvidia/k8s/dcgm-exporter:{tag}-ubuntu22.04",
        "args": ["-f", "/etc/dcgm-exporter/default-counters.csv"],
        "env": [{"name": "DCGM_EXPORTER_LISTEN", "value": f":{EXPORTER_PORT}"}],
        "ports": [
            {
                "name": "metrics",
                "containerPort": EXPORTER_PORT,
                "hostPort": EXPORTER_PORT,
                "protocol": "TCP",
            }
        ],
        "securityContext": {"privileged": True},
        "volumeMounts": [
            {
                "name": "pod-resources",
                "mountPath": "/var/lib/kubelet/pod-resources",
                "readOnly": True,
            }
        ],
    }
    volume = {"name": "pod-resources", "hostPath": {"path": "/var/lib/kubelet/pod-resources"}}
    return _daemon_set(DCGM_EXPORTER, version, namespace, container, volume)


def _daemon_set(
    name: str, version: str, namespace: str, container: dict[str, Any], volume: dict[str, Any]
) -> dict[str, Any]:
    labels = {NAME_LABEL: name}
    described = {**labels, "app.kubernetes.io/version": version, MANAGER_LABEL: MANAGER}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": namespace, "labels": described},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {
                "metadata": {"labels": described},
                "spec": {
                    "nodeSelector": {MANAGED_GPU_LABEL: "enabled"},
                    "tolerations": [{"operator": "Exists"}],
                    "priorityClassName": "system-node-critical",
                    "containers": [container],
                    "volumes": [volume],
                },
            },
        },
    }
