"""Runs the node life-cycle: conditions to taints, silence, eviction, nodes that are gone."""

from __future__ import annotations

from datetime import timedelta

from poolwright.kubesim.controllers.perform import Performer
from poolwright.kubesim.controllers.state import ClusterState, Following
from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.model.instant import Instant
from poolwright.model.kubernetes import LEASES, NODES, RENDERED_ANNOTATION
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.model.taint import Taint
from poolwright.plan.kubernetes.action import Plan, RecordEvent, Target, earliest
from poolwright.plan.kubernetes.node_lifecycle import (
    CONTROLLER,
    TERMINATED_MAX,
    NodeTaints,
    no_execute,
    plan_gone_node,
    plan_node,
    plan_pods_not_ready,
    plan_taint_eviction,
    plan_terminated,
)
from poolwright.ports.clock import Clock
from poolwright.reconcile.loop import Loop, note

LEASE_NAMESPACE = "kube-node-lease"
_RENDERED = RENDERED_ANNOTATION.encode()
_SWEEP = timedelta(seconds=20)  # gc_controller.go, gcCheckPeriod


class NodeLifecycleController:
    """One key per node, also for nodes that are gone while pods still name them.

    Since when a node is silent, tainted or gone is observed and kept in memory: after a restart
    the patience of its pods starts anew, which errs on the safe side.
    """

    name = "node_lifecycle"

    def __init__(
        self, registry: Following, state: ClusterState, performer: Performer, clock: Clock
    ) -> None:
        self._registry = registry
        self._state = state
        self._performer = performer
        self._clock = clock
        self._silent_since: dict[str, Instant] = {}
        self._gone_since: dict[str, Instant] = {}
        self._tainted: dict[str, dict[Taint, Instant]] = {}

    def start(self, loop: Loop[str]) -> None:
        """Look at every node once, and at each again when it, its lease or its pods change."""
        self._loop = loop
        self._registry.subscribe(self._on_lease, (LEASES,))
        self._state.on_node(self._on_node)
        self._state.on_pod(self._on_pod)
        for entry in self._registry.list(LEASES, LEASE_NAMESPACE):
            self._hear(entry)
        for name in self._state.nodes:
            loop.wake(name)
        for name in self._state.names_of_placed():
            if name not in self._state.nodes:
                self._gone(name)

    def _hear(self, entry: Entry) -> None:
        if _RENDERED in entry.data:
            self._silent_since.pop(entry.name, None)
        else:
            self._silent_since[entry.name] = self._clock.now().world

    def _on_lease(self, change: ObjectChange) -> None:
        if change.new.namespace != LEASE_NAMESPACE:
            return
        if change.type == "DELETED":
            self._silent_since.pop(change.new.name, None)
        else:
            self._hear(change.new)
            if change.new.name in self._silent_since:
                self._loop.wake(change.new.name)

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        node = new or old
        if node is None:
            return
        if old is None or new is None or old.uid != new.uid:
            words = (
                "Registered Node {} in Controller" if new else "Removing Node {} from Controller"
            )
            reason = "RegisteredNode" if new else "RemovingNode"
            message = f"Node {node.name} event: {words.format(node.name)}"
            target = Target(NODES, "", node.name, node.uid)
            self._performer.tell(RecordEvent(target, reason, message, CONTROLLER))
        if new is None:
            self._tainted.pop(node.name, None)
            self._gone(node.name)
            return
        self._gone_since.pop(new.name, None)
        if old is None or _matters(old) != _matters(new):
            if old is not None and old.is_ready and not new.is_ready:
                target = Target(NODES, "", new.name, new.uid)
                message = f"Node {new.name} status is now: NodeNotReady"
                self._performer.tell(RecordEvent(target, "NodeNotReady", message, CONTROLLER))
            self._loop.wake(new.name)

    def _gone(self, name: str) -> None:
        if self._state.on(name):
            self._gone_since.setdefault(name, self._clock.now().world)
            self._loop.wake(name)

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if new is None or not new.node_name:
            return
        node = self._state.nodes.get(new.node_name)
        if node is None:
            self._gone(new.node_name)
        elif node.taints and no_execute(node.taints):
            self._loop.wake(node.name)

    async def reconcile(self, key: str) -> Instant | None:
        """Bring one node's taints and its pods in line with what is known about it."""
        now = self._clock.now()
        node = self._state.nodes.get(key)
        entry = self._registry.entry(NODES, key)
        pods = [p for p in self._state.on(key) if p.node_name == key]
        if node is None or entry is None:
            since = self._gone_since.get(key)
            if since is None:
                return None
            if not pods:
                self._gone_since.pop(key, None)
                return None
            return await self._perform(plan_gone_node(pods, since, now))
        mine = plan_node(entry.seen(), self._silent_since.get(key), now)
        plans = [mine]
        if not node.is_ready and node.conditions.get("Ready") is not None:
            plans.append(plan_pods_not_ready(key, pods))
        driving = no_execute(node.taints)
        if driving:
            seen = self._tainted.get(key, {})
            since_by_taint = {t: seen.get(t, now.world) for t in driving}
            self._tainted[key] = since_by_taint
            plans.append(plan_taint_eviction(NodeTaints(key, since_by_taint), pods, now))
        else:
            self._tainted.pop(key, None)
        actions = tuple(a for plan in plans for a in plan.actions)
        return await self._perform(Plan(actions, earliest(*(p.wake_at for p in plans))))

    async def _perform(self, plan: Plan) -> Instant | None:
        if plan.actions:
            note(planned=len(plan.actions))
            await self._performer.perform(plan)
        return plan.wake_at

    async def sweep_terminated(self) -> None:
        """Delete finished pods beyond the number that is kept, now and then; until cancelled."""
        while True:
            await self._clock.sleep(_SWEEP)
            if len(self._state.pods) <= TERMINATED_MAX:
                continue
            finished = [p for p in self._state.pods.values() if p.is_finished]
            await self._performer.perform(plan_terminated(finished))


def _matters(node: Node) -> tuple[object, ...]:
    statuses = tuple(sorted((k, c.status) for k, c in node.conditions.items()))
    return node.taints, node.unschedulable, statuses
