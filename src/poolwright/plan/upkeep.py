"""Keeping living nodes as their pool wants them: labels, taints, cordon, startup taint.

Only what the pool owns is touched. What was applied last is remembered in annotations of the node,
so that a label that the pool gives up goes away and a foreign one stays.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from poolwright.model.agent_pool import AgentPoolSpec
from poolwright.model.node import Node
from poolwright.model.taint import Taint
from poolwright.plan.actions import DeleteNode, NodeEvent, PatchNode
from poolwright.plan.bootstrap import STARTUP_TAINT, ZONE_LABEL, pool_taints
from poolwright.plan.world import Member, PoolWorld, Recall

APPLIED_LABELS = "poolwright.dev/applied-labels"
APPLIED_TAINTS = "poolwright.dev/applied-taints"
CORDONED = "poolwright.dev/cordoned"
"""Set together with the cordon: a cordon without it is a user's and stays."""


def _remembered(node: Node, annotation: str) -> tuple[str, ...] | None:
    try:
        value: Any = json.loads(node.annotations[annotation])
    except (KeyError, ValueError):
        return None
    return tuple(map(str, cast("list[Any]", value))) if isinstance(value, list) else None


def _label_changes(member: Member, node: Node) -> dict[str, str | None]:
    changes: dict[str, str | None] = {}
    if not member.labels.items() <= node.labels.items():
        changes |= {k: v for k, v in member.labels.items() if node.labels.get(k) != v}
    applied = _remembered(node, APPLIED_LABELS)
    if applied is None:
        applied = tuple(member.machine.bootstrap.labels)
    for key in applied:
        if key not in member.labels and key in node.labels and key != ZONE_LABEL:
            changes[key] = None
    return changes


def _applied_taints(member: Member, node: Node, spec: AgentPoolSpec) -> frozenset[str]:
    applied = _remembered(node, APPLIED_TAINTS)
    if applied is not None:
        return frozenset(applied)
    passing = (*spec.node_initialization_taints, STARTUP_TAINT)
    return frozenset(str(t) for t in member.machine.bootstrap.taints if t not in passing)


def _wanted_taints(member: Member, node: Node, spec: AgentPoolSpec) -> tuple[Taint, ...]:
    wanted = pool_taints(spec)
    applied = _applied_taints(member, node, spec)
    kept = [
        taint
        for taint in node.taints
        if (taint in wanted or str(taint) not in applied)
        and not (taint == STARTUP_TAINT and member.is_proven)
    ]
    return tuple(dict.fromkeys((*kept, *wanted)))


def plan_upkeep(
    members: Iterable[Member],
    spec: AgentPoolSpec,
    *,
    cordons: Mapping[str, NodeEvent],
    quarantine: frozenset[str] = frozenset(),
    recall: Recall | None = None,
) -> list[PatchNode]:
    """At most one patch per node. ``cordons`` are the nodes that shall be cordoned, with the event
    that says so; other cordons of ours are taken back.
    """
    patches: list[PatchNode] = []
    settled = recall.settled if recall is not None else {}
    for member in members:
        node, name = member.node, member.machine.name
        if node is None or node.deleting:
            continue
        is_plain = name not in cordons and name not in quarantine
        if is_plain and settled.get(name) is member:
            continue
        patch = _patch(member, node, spec, cordons, quarantine)
        if patch is not None:
            patches.append(patch)
        elif is_plain:
            settled[name] = member
    return patches


def plan_strays(world: PoolWorld) -> list[DeleteNode]:
    """The nodes whose machine does not exist, as a cloud provider's node controller removes them.

    Only one whose kubelet is silent, or never spoke: a node that joined after the machines were
    listed says how it is.

    Source: kubernetes cloud-provider, controllers/nodelifecycle.
    """
    machines = {machine.name for machine in world.machines}
    nodes = (world.nodes or {}).values()
    return [
        _without_machine(node) for node in nodes if _is_lost(node, machines) and _is_silent(node)
    ]


def plan_left_behind(nodes: Iterable[Node], machines: Collection[str]) -> list[DeleteNode]:
    """The nodes that our machines registered on a cluster of somebody else, of whichever pool, and
    whose machine does not exist: what was deleted while the cluster was out of reach. Whoever
    plays kubelets there may keep them ready for ever. The machines must have been listed after
    the nodes were seen.
    """
    return [_without_machine(node) for node in nodes if node.pool and _is_lost(node, machines)]


def _without_machine(node: Node) -> DeleteNode:
    event = NodeEvent(
        "DeletingNode",
        f"Deleting node {node.name} because it does not exist in the cloud provider",
    )
    return DeleteNode(node.name, node.uid, "its machine does not exist", event)


def _is_lost(node: Node, machines: Collection[str]) -> bool:
    return node.name not in machines and not node.deleting


def _is_silent(node: Node) -> bool:
    ready = node.conditions.get("Ready")
    return ready is None or ready.status == "Unknown"


def _patch(
    member: Member,
    node: Node,
    spec: AgentPoolSpec,
    cordons: Mapping[str, NodeEvent],
    quarantine: frozenset[str],
) -> PatchNode | None:
    because: list[str] = []
    labels = _label_changes(member, node)
    annotations: dict[str, str | None] = {}
    taints = _wanted_taints(member, node, spec)
    changes_taints = taints != node.taints
    if STARTUP_TAINT in node.taints and STARTUP_TAINT not in taints:
        because.append("all checks of its install profile hold")
    if labels or (changes_taints and not because):
        because.append("labels and taints follow the pool")
        annotations[APPLIED_LABELS] = json.dumps(sorted(spec.node_labels))
        annotations[APPLIED_TAINTS] = json.dumps([str(t) for t in pool_taints(spec)])
    unschedulable: bool | None = None
    event: NodeEvent | None = None
    if member.name in quarantine:
        labels["kubernetes.azure.com/upgrade-status"] = "Quarantined"
        because.append("it could not be drained in time")
    elif member.name in cordons:
        if not node.unschedulable:
            unschedulable, event = True, cordons[member.name]
            annotations[CORDONED] = "drain"
            because.append("it is being drained")
    elif CORDONED in node.annotations and not member.is_quarantined:
        unschedulable = False
        annotations[CORDONED] = None
        because.append("it stays")
    if not because:
        return None
    return PatchNode(
        name=node.name,
        uid=node.uid,
        because="; ".join(because),
        labels=labels,
        annotations=annotations,
        taints=taints if changes_taints else None,
        unschedulable=unschedulable,
        revision=node.revision if changes_taints else None,
        event=event,
    )
