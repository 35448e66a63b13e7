"""Runs DaemonSets node by node.

A change of a node, pod or set wakes the pairs (set, node) that it concerns; the numbers of a set
follow from its tally, written once per debounce.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from poolwright.kubesim.controllers.perform import Performer
from poolwright.kubesim.controllers.state import ClusterState, Following, node_of
from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.model.instant import Instant
from poolwright.model.kubernetes import CONTROLLER_REVISIONS, DAEMON_SETS
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import Action, Plan, RecordEvent, earliest
from poolwright.plan.kubernetes.daemon_set import (
    FAILED_POD,
    DaemonSet,
    DaemonTally,
    FailureBackOff,
    place_of,
    plan_daemon_node,
    plan_daemon_set,
    runs_on,
)
from poolwright.plan.kubernetes.history import (
    REVISION_LABEL,
    plan_history,
    plan_truncation,
    revision_of,
)
from poolwright.plan.kubernetes.replica_set import available_at
from poolwright.ports.clock import Clock
from poolwright.reconcile.loop import Loop, note

NodeKey = tuple[str, str]
"""A set's ``namespace/name``, and a node."""


class DaemonNodeController:
    """One key per set and node."""

    name = "daemon_set_node"

    def __init__(
        self, registry: Following, state: ClusterState, performer: Performer, clock: Clock
    ) -> None:
        self._registry = registry
        self._state = state
        self._performer = performer
        self._clock = clock
        self.sets: dict[str, DaemonSet] = {}
        self.tallies: dict[str, DaemonTally] = {}
        self._failed: dict[str, dict[str, FailureBackOff]] = {}
        """By set and node, where pods of it failed."""
        self._may_surge: dict[str, dict[str, str]] = {}
        """By set and node, the template of the pod that may come beside the old one."""

    def start(self, loop: Loop[NodeKey], totals: Loop[str]) -> None:
        """Look at every pair once, and at each again when something of it changes."""
        self._loop, self._totals = loop, totals
        self._registry.subscribe(self._on_set, (DAEMON_SETS,))
        self._state.on_node(self._on_node)
        self._state.on_pod(self._on_pod)
        for entry in self._registry.list(DAEMON_SETS):
            self._learn(entry)

    def _learn(self, entry: Entry) -> None:
        wire = entry.object()
        revisions = self._registry.owned_by(CONTROLLER_REVISIONS, wire["metadata"]["uid"])
        new = DaemonSet.from_object(wire, [revision.object() for revision in revisions])
        old = self.sets.get(entry.key)
        self.sets[entry.key] = new
        if old is not None and old.target == new.target and _same_will(old, new):
            self._totals.wake(entry.key)
            return
        names = dict.fromkeys([*self._state.nodes, *self._state.names_of_placed()])
        self.tallies[entry.key] = DaemonTally(names)
        for name in names:
            self._loop.wake((entry.key, name))
        self._totals.wake(entry.key)

    def _on_set(self, change: ObjectChange) -> None:
        if change.type == "DELETED":
            self.sets.pop(change.new.key, None)
            self.tallies.pop(change.new.key, None)
            self._may_surge.pop(change.new.key, None)
            self._failed.pop(change.new.key, None)
        else:
            self._learn(change.new)

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        node = new or old
        if node is None:
            return
        for key, daemon_set in self.sets.items():
            if old is None or new is None or runs_on(daemon_set, old) != runs_on(daemon_set, new):
                self._loop.wake((key, node.name))

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        before, after = _counted(old), _counted(new)
        if before != after:
            for counted in (before, after):
                if counted is not None:
                    self._loop.wake(counted[0])

    async def reconcile(self, key: NodeKey) -> Instant | None:
        """Give a node the pod of a set, or take it away, and count it."""
        set_key, name = key
        daemon_set = self.sets.get(set_key)
        if daemon_set is None:
            return None
        node, pods = self._state.nodes.get(name), self._pods(daemon_set, name)
        plan = plan_daemon_node(
            daemon_set,
            name,
            node,
            pods,
            available=self._available(daemon_set, pods)[0],
            may_surge=self.surging(set_key).get(name) == daemon_set.hash,
            failed_until=self._patience(daemon_set, set_key, name),
        )
        try:
            if plan.actions:
                note(planned=len(plan.actions))
                await self._performer.perform(plan)
        finally:
            wake_at = self._count(set_key, name)  # a pod that is refused keeps no other waiting
        self._may_surge.get(set_key, {}).pop(name, None)  # not before it is counted
        if any(_is_after_failure(action) for action in plan.actions):
            self._be_patient(daemon_set, set_key, name)
        return earliest(plan.wake_at, wake_at)

    def _patience(self, daemon_set: DaemonSet, set_key: str, name: str) -> Instant | None:
        """Until when a node keeps a failed pod of a set."""
        last = self._failed.get(set_key, {}).get(name)
        if last is None or last.hash != daemon_set.hash or last.until <= self._clock.now().world:
            return None
        return last.until

    def _be_patient(self, daemon_set: DaemonSet, set_key: str, name: str) -> None:
        now = self._clock.now().world
        nodes = self._failed.setdefault(set_key, {})
        last = nodes.get(name)
        first = FailureBackOff(daemon_set.hash, now)
        nodes[name] = first if last is None else last.next(daemon_set.hash, now)

    def surging(self, set_key: str) -> Mapping[str, str]:
        """The nodes that may have a new pod of a set and have not got it yet."""
        return self._may_surge.get(set_key, {})

    def let_surge(self, daemon_set: DaemonSet, names: Iterable[str]) -> None:
        """Let nodes have a new pod of a set beside the old one."""
        set_key = f"{daemon_set.target.namespace}/{daemon_set.target.name}"
        for name in names:
            self._may_surge.setdefault(set_key, {})[name] = daemon_set.hash
            self._loop.wake((set_key, name))

    def _pods(self, daemon_set: DaemonSet, node: str) -> list[Pod]:
        uid = daemon_set.target.uid
        return [p for p in self._state.on(node) if p.controller and p.controller.uid == uid]

    def _count(self, set_key: str, name: str) -> Instant | None:
        daemon_set, tally = self.sets.get(set_key), self.tallies.get(set_key)
        if daemon_set is None or tally is None:
            return None
        pods = self._pods(daemon_set, name)
        available, wake_at = self._available(daemon_set, pods)
        tally.set(name, place_of(daemon_set, self._state.nodes.get(name), pods, available))
        self._totals.wake(set_key)
        return wake_at

    def _available(
        self, daemon_set: DaemonSet, pods: Iterable[Pod]
    ) -> tuple[frozenset[str], Instant | None]:
        """The pods that were ready for long enough, and when the next one will have been."""
        minimum, ready_at = daemon_set.min_ready_seconds, self._state.ready_at
        since = {p.uid: available_at(p, ready_at, minimum) for p in pods if p.is_ready}
        if not since:
            return frozenset(), None
        now = self._clock.now().world
        later = min((at for at in since.values() if at > now), default=None)
        return frozenset(uid for uid, at in since.items() if at <= now), later


class DaemonSetController:
    """One key per set: its numbers and its rolling update."""

    name = "daemon_set"

    def __init__(
        self,
        registry: Following,
        state: ClusterState,
        nodes: DaemonNodeController,
        performer: Performer,
    ) -> None:
        self._registry = registry
        self._state = state
        self._nodes = nodes
        self._performer = performer
        self._recorded: dict[str, tuple[str, str]] = {}

    async def reconcile(self, key: str) -> Instant | None:
        """Write the history and the status, and replace what the rolling update allows."""
        daemon_set, tally = self._nodes.sets.get(key), self._nodes.tallies.get(key)
        if daemon_set is None or tally is None:
            self._recorded.pop(key, None)
            return None
        await self._record(key, daemon_set)
        plan = plan_daemon_set(daemon_set, tally)
        await self._perform(plan)
        self._nodes.let_surge(daemon_set, tally.surge(daemon_set, self._nodes.surging(key)))
        return plan.wake_at

    async def _record(self, key: str, daemon_set: DaemonSet) -> None:
        """Keep the template as the newest revision, once for every change."""
        uid = daemon_set.target.uid
        if daemon_set.deleting or self._recorded.get(key) == (uid, daemon_set.hash):
            return
        revisions = [e.object() for e in self._registry.owned_by(CONTROLLER_REVISIONS, uid)]
        wire = daemon_set.wire
        _, actions = plan_history(DAEMON_SETS, wire, revisions, REVISION_LABEL)
        hashes = {p.labels.get(REVISION_LABEL) for p in self._state.owned_by(uid)}
        names = (revision_of(r) for r in revisions)
        used = [r.name for r in names if r.hash in hashes or r.hash == daemon_set.hash]
        actions.extend(plan_truncation(wire, revisions, used))
        await self._perform(Plan(tuple(actions)))
        self._recorded[key] = (uid, daemon_set.hash)

    async def _perform(self, plan: Plan) -> None:
        if plan.actions:
            note(planned=len(plan.actions))
            await self._performer.perform(plan)


def _is_after_failure(action: Action) -> bool:
    return isinstance(action, RecordEvent) and action.reason == FAILED_POD


def _counted(pod: Pod | None) -> tuple[NodeKey, tuple[object, ...]] | None:
    """Whose a pod is, and what its set sees of it; to be bound changes neither."""
    owner = pod.controller if pod is not None else None
    if pod is None or owner is None or owner.kind != "DaemonSet":
        return None
    seen = (owner.uid, pod.uid, pod.phase, pod.is_ready, pod.deleting, pod.labels)
    return (f"{pod.namespace}/{owner.name}", node_of(pod)), seen


def _same_will(old: DaemonSet, new: DaemonSet) -> bool:
    return (old.wire.get("spec"), old.deleting) == (new.wire.get("spec"), new.deleting)
