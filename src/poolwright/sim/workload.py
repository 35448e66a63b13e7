"""What runs in a simulated cluster, so that drains have something to move."""

from __future__ import annotations

from typing import Any

from poolwright.model.kubernetes import DEPLOYMENTS, POD_DISRUPTION_BUDGETS
from poolwright.model.node import AGENT_POOL_LABEL
from poolwright.ports.kube import Kube

_LABELS = {"app": "web"}


def _deployment(pool: str, replicas: int) -> dict[str, Any]:
    container = {
        "name": "web",
        "image": "nginx",
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {"nodeSelector": {AGENT_POOL_LABEL: pool}, "containers": [container]},
            },
        },
    }


def _budget(least: int) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"minAvailable": least, "selector": {"matchLabels": _LABELS}},
    }


async def deploy(kube: Kube, pool: str, *, replicas: int, least: int) -> None:
    """Run a web service on a pool's nodes; its budget lets ``least`` replicas never go."""
    await kube.create(DEPLOYMENTS, _deployment(pool, replicas), namespace="default")
    await kube.create(POD_DISRUPTION_BUDGETS, _budget(least), namespace="default")
