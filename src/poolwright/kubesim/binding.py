"""Binding a pod to a node, and evicting one: the two writes on pods that carry a decision.

Source: k8s.io/kubernetes pkg/registry/core/pod/storage (storage.go, eviction.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poolwright.kubesim import selector, status
from poolwright.kubesim.entry import Entry
from poolwright.kubesim.meta import REVIEWED, Preconditions
from poolwright.kubesim.registry import Registry
from poolwright.model import kubernetes as names
from poolwright.model.instant import wall_text
from poolwright.model.json_value import child, children

BUDGET_MESSAGE = "Cannot evict pod as it would violate the pod's disruption budget."
DISRUPTED = "DisruptionTarget"
DISRUPTED_MAX = 2000  # MaxDisruptedPodSize


async def bind_pod(
    registry: Registry, namespace: str, name: str, node: str, *, uid: str = ""
) -> dict[str, Any]:
    """Assign a pod to a node and say so in its PodScheduled condition.

    Raises:
        StatusError: NotFound; Conflict: it is bound already, being deleted, or has another uid.
    """
    now = wall_text(registry.clock.now().wall)

    def mutate(old: dict[str, Any]) -> dict[str, Any]:
        spec = old["spec"]
        if "deletionTimestamp" in old["metadata"]:
            raise status.conflict(
                "",
                "pods/binding",
                name,
                f"pod {name} is being deleted, cannot be assigned to a host",
            )
        if spec.get("nodeName"):
            raise status.conflict(
                "",
                "pods/binding",
                name,
                f'pod {name} is already assigned to node "{spec["nodeName"]}"',
            )
        state = dict(child(old, "status"))
        others = [c for c in state.get("conditions") or () if c.get("type") != "PodScheduled"]
        scheduled = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": now,
        }
        state["conditions"] = [*others, scheduled]
        state.pop("nominatedNodeName", None)  # since 1.35; it has served its purpose
        return {**old, "spec": {**spec, "nodeName": node}, "status": state}

    return await registry.update(
        names.PODS,
        name,
        mutate,
        namespace=namespace,
        subresource="binding",
        expect=Preconditions(uid=uid),
        derives=True,
    )


def _budgets_of(registry: Registry, pod: Entry) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for entry in registry.list(names.POD_DISRUPTION_BUDGETS, pod.namespace):
        body = entry.object()
        if selector.matches(body.get("spec", {}).get("selector"), pod.labels):
            found.append(body)
    return found


def _is_ready(pod: Mapping[str, Any]) -> bool:
    return any(
        c.get("type") == "Ready" and c.get("status") == "True"
        for c in children(pod, "status", "conditions")
    )


def _forbidden(budget: str, message: str, retry_after: int | None = None) -> status.StatusError:
    error = status.too_many_requests(
        BUDGET_MESSAGE, details={"causes": [{"reason": "DisruptionBudget", "message": message}]}
    )
    error.retry_after = retry_after
    error.target = budget
    return error


async def _spend(registry: Registry, budget: Mapping[str, Any], pod: str) -> None:
    """Take one disruption from a budget, or raise 429."""
    name, namespace = budget["metadata"]["name"], budget["metadata"]["namespace"]
    now = wall_text(registry.clock.now().wall)

    def mutate(body: dict[str, Any]) -> None:
        state = body.setdefault("status", {})
        if int(state.get("observedGeneration", 0)) < int(body["metadata"].get("generation", 1)):
            raise _forbidden(
                name, f"The disruption budget {name} is still being processed by the server.", 10
            )
        allowed = int(state.get("disruptionsAllowed", 0))
        if allowed <= 0:
            desired, healthy = state.get("desiredHealthy", 0), state.get("currentHealthy", 0)
            raise _forbidden(
                name,
                f"The disruption budget {name} needs {desired} healthy pods and has {healthy}"
                " currently",
            )
        disrupted = state.setdefault("disruptedPods", {})
        if len(disrupted) > DISRUPTED_MAX:
            raise status.StatusError(
                403,
                "Forbidden",
                f'poddisruptionbudgets.policy "{name}" is forbidden: DisruptedPods map too big -'
                " too many evictions not confirmed by PDB controller",
                details={"name": name, "group": "policy", "kind": "poddisruptionbudgets"},
            )
        state["disruptionsAllowed"] = allowed - 1
        disrupted[pod] = now

    await registry.update(
        names.POD_DISRUPTION_BUDGETS, name, mutate, namespace=namespace, subresource="status"
    )


def _needs_no_budget(pod: Mapping[str, Any], budget: Mapping[str, Any]) -> bool:
    """Whether an unready pod may go without spending from its budget."""
    if _is_ready(pod):
        return False
    if child(budget, "spec").get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    state = child(budget, "status")
    desired, healthy = int(state.get("desiredHealthy", 0)), int(state.get("currentHealthy", 0))
    return healthy >= desired > 0


async def evict_pod(
    registry: Registry,
    namespace: str,
    name: str,
    *,
    expect: Preconditions,
    grace_seconds: int | None = None,
    dry_run: bool = False,
) -> None:
    """Delete a pod if its disruption budget allows it.

    Raises:
        StatusError: NotFound; Conflict: another uid; TooManyRequests: the budget says no.
    """
    entry = registry.entry(names.PODS, name, namespace)
    if entry is None:
        raise status.not_found("", "pods", name)
    if expect.uid and expect.uid != entry.uid:
        raise status.conflict(
            "",
            "pods",
            name,
            f"Precondition failed: UID in precondition: {expect.uid}, UID in object meta:"
            f" {entry.uid}",
        )
    pod = entry.object()
    phase = child(pod, "status").get("phase")
    held = phase not in {"Succeeded", "Failed", "Pending"} and (
        "deletionTimestamp" not in pod["metadata"]
    )
    budgets = _budgets_of(registry, entry) if held else []
    if len(budgets) > 1:
        raise status.StatusError(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does"
            " not support.",
        )
    for budget in budgets:
        if not _needs_no_budget(pod, budget) and not dry_run:
            await _spend(registry, budget, name)
    if not dry_run:
        await _mark_disrupted(registry, entry)
    await registry.delete(
        names.PODS,
        name,
        namespace=namespace,
        grace_seconds=grace_seconds,
        expect=Preconditions(uid=entry.uid),
        dry_run=dry_run,
        options=REVIEWED,
    )


async def _mark_disrupted(registry: Registry, pod: Entry) -> None:
    """Say on the pod that it does not end by itself: a job may ignore that."""
    now = wall_text(registry.clock.now().wall)

    def mutate(body: dict[str, Any]) -> None:
        state = body.setdefault("status", {})
        kept = [c for c in state.get("conditions") or () if c.get("type") != DISRUPTED]
        condition = {
            "type": DISRUPTED,
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": now,
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        state["conditions"] = [*kept, condition]

    await registry.update(
        names.PODS,
        pod.name,
        mutate,
        namespace=pod.namespace,
        subresource="status",
        expect=Preconditions(uid=pod.uid),
        options=REVIEWED,
    )
