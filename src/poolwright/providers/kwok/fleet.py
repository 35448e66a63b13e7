"""The nodes of one cluster whose kubelets KWOK plays.

Written are only Nodes that carry our label; leases, pods and readiness are KWOK's.
"""

from __future__ import annotations

from asyncio import TaskGroup
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import (
    Conflict,
    Expired,
    NotFound,
    PoolwrightError,
    Transient,
    Unknown,
)
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import NODES, PODS, Resource
from poolwright.ports.kube import PatchKind
from poolwright.providers.kwok.node_object import (
    FAKE,
    KWOK_ANNOTATION,
    OWNED,
    is_owned,
    is_ready,
    is_ready_pod,
    registered_node,
    revival,
)
from poolwright.providers.simulated.machine_nodes import ATTEMPTS_CUT_OFF, RETRY, MachineNodes
from poolwright.providers.simulated.node_object import (
    DCGM_LABEL,
    NodeState,
    status_patch,
    system_uuid,
)
from poolwright.providers.simulated.node_side import Retire
from poolwright.providers.simulated.outbox import Outbox
from poolwright.providers.simulated.pod_run import EXPORTER_NAME, PLUGIN_NAME
from poolwright.providers.simulated.surroundings import Surroundings
from poolwright.reconcile.insistence import Insistence

_RETRY_MAX = timedelta(seconds=10)
_CUT_OFF = timedelta(seconds=2)
"""Once retries are so far apart the cluster counts as out of reach."""
_NAME_LABEL = "app.kubernetes.io/name"
_COMPONENTS = f"{_NAME_LABEL} in ({PLUGIN_NAME},{EXPORTER_NAME})"

See = Callable[[str, Json], None]
"""Takes in the kind of an event and its object."""


class KwokFleet(MachineNodes):
    """Registers a Node when its machine runs, and takes it away with its machine."""

    selector = OWNED
    retried = (PoolwrightError,)
    """Somebody else's cluster may refuse for a while."""

    def __init__(self, cluster: ClusterKey, around: Surroundings, retire: Retire) -> None:
        super().__init__(cluster, around, retire)
        self._components: dict[str, dict[str, str]] = {}
        """Of each node: the ready component pods, by uid."""
        self._node_of: dict[str, str] = {}
        self._node_uids: dict[str, str] = {}
        """Of the Nodes of our machines as they are now: what is meant by a name when one is
        written, whoever else may have been at work meanwhile.
        """
        self._agenda = around.agenda
        self._insistence: Insistence[str] = Insistence()
        self._contradicted: dict[str, None] = {}
        """Nodes that are to be reported again, for they say something else than we did."""
        self._outbox: Outbox[str] = Outbox(
            around.clock, self._write, parallel=around.settings.requests_parallel
        )

    def machine_changed(self, name: str) -> None:
        """The machine has a new course or began a new segment of it."""
        self._outbox.put(name)

    async def run(self) -> None:
        """Keep the cluster's nodes in line with the machines, for ever."""
        await self._adopt()

        async with TaskGroup() as group:
            group.create_task(self._outbox.run())
            group.create_task(self._follow(NODES, OWNED, self._reset_nodes, self._see_node))
            group.create_task(self._follow(PODS, _COMPONENTS, self._reset_pods, self._see_pod))

    # ------------------------------------------------------------------ following the cluster

    async def _follow(
        self,
        resource: Resource,
        selector: str,
        reset: Callable[[Sequence[Json]], None],
        see: See,
    ) -> None:
        """List and watch, for ever; what cannot be had is asked for again, ever less often."""
        revision, delay = "", RETRY
        while True:
            try:
                if not revision:
                    listed = await self._kube.list(resource, label_selector=selector)
                    reset(listed.items)
                    revision = listed.revision
                    self.is_cut_off = False
                async for event in self._kube.watch(
                    resource, after=revision, label_selector=selector
                ):
                    revision = child(event.object, "metadata").get("resourceVersion") or revision
                    delay = RETRY
                    if event.type != "BOOKMARK":
                        see(event.type, event.object)
            except (Expired, NotFound):
                revision = ""
            except PoolwrightError:
                delay = min(delay * 2, _RETRY_MAX)
                if delay > _CUT_OFF:
                    self.is_cut_off, revision = True, ""
            await self._clock.sleep(delay)

    def _reset_nodes(self, items: Sequence[Json]) -> None:
        for item in items:
            self._see_node("ADDED", item)

    def _see_node(self, kind: str, node: Json) -> None:
        """KWOK may still have had a heartbeat to write when the machine was stopped, and a process
        that was paused a Node to register whose machine is gone.
        """
        name = child(node, "metadata").get("name", "")
        if kind == "DELETED" or not is_owned(node, self._cluster):
            return
        entry = self._books.entry(self._cluster, name)
        if entry is None or entry.course.uid != system_uuid(node):
            self._outbox.put(name)
            return
        self._node_uids[name] = child(node, "metadata").get("uid", "")
        state = self.nodes.get(name)
        if state is None:
            return
        if not state.is_alive and is_ready(node) and name not in self._contradicted:
            self._contradict(name, state)

    def _contradict(self, name: str, state: NodeState) -> None:
        """A node whose machine does not run says that it is ready: say otherwise, ever less often
        if whoever wrote it does not give way (a KWOK that plays every node).
        """
        self._contradicted[name] = None
        now, uid = self._clock.now().world, state.machine.uid
        at = self._insistence.may_at(name, uid, now)
        self._insistence.wrote(name, uid, max(at, now))
        self._agenda.note(at, partial(self._outbox.put, name))

    def _reset_pods(self, items: Sequence[Json]) -> None:
        seen = {child(item, "metadata").get("uid", "") for item in items}
        for uid in [uid for uid in self._node_of if uid not in seen]:
            self._note_component(uid, "", "")
        for item in items:
            self._see_pod("ADDED", item)

    def _see_pod(self, kind: str, pod: Json) -> None:
        meta = child(pod, "metadata")
        is_up = kind != "DELETED" and is_ready_pod(pod)
        node = child(pod, "spec").get("nodeName", "") if is_up else ""
        self._note_component(meta.get("uid", ""), node, child(meta, "labels").get(_NAME_LABEL, ""))

    def _note_component(self, uid: str, node: str, component: str) -> None:
        """A component pod is ready on a node, or (without a node) on none any more."""
        before = self._node_of.get(uid, "")
        if before == node:
            return
        if before:
            self._node_of.pop(uid)
            on_node = self._components[before]
            del on_node[uid]
            if not on_node:
                del self._components[before]
            self._outbox.put(before)
        if node:
            self._node_of[uid] = node
            self._components.setdefault(node, {})[uid] = component
            self._outbox.put(node)

    # ------------------------------------------------------------------ what an earlier run left

    def _is_ours(self, node: Json) -> bool:
        return is_owned(node, self._cluster)

    def _is_alive(self, node: Json) -> bool:
        return child(node, "metadata", "annotations").get(KWOK_ANNOTATION) == FAKE

    # ------------------------------------------------------------------ what is written

    async def _write(self, name: str, attempt: int) -> None:
        try:
            await self._write_node(name, attempt)
        except (Transient, Unknown):
            self.is_cut_off = self.is_cut_off or attempt >= ATTEMPTS_CUT_OFF
            raise
        self.is_cut_off = False

    async def _write_living(self, state: NodeState) -> None:
        name = state.machine.name
        self._contradicted.pop(name, None)
        if not state.is_registered:
            await self._register(state)
        elif not state.is_alive:
            await self._patch(name, revival(self._clock.now().wall))
        state.is_registered = state.is_alive = True
        state.written = (True, *state.written[1:])
        ready = self._components.get(name, {}).values()
        state.has_plugin = PLUGIN_NAME in ready and bool(state.gpu_offer)
        state.has_exporter = EXPORTER_NAME in ready and bool(state.gpu_offer)
        await self._report(state)

    async def _write_dead(self, state: NodeState) -> None:
        if state.machine.name in self._contradicted:
            del self._contradicted[state.machine.name]
            state.written = (True, *state.written[1:])
        await self._report(state)

    async def _register(self, state: NodeState) -> None:
        """Create the Node; one of an earlier life goes, one of somebody else stays."""
        body, name = registered_node(state, self._clock.now().wall), state.machine.name
        try:
            made = await self._kube.create(NODES, body)
        except Conflict:
            made = await self._kube.get(NODES, name)
            if not is_owned(made, self._cluster):
                raise
            if system_uuid(made) != state.machine.uid:
                if not await self._remove_stale(name, made):
                    raise  # it is the machine's, and our books were old
                made = await self._kube.create(NODES, body)
        self._node_uids[name] = child(made, "metadata").get("uid", "")
        state.written = (True, False, False)

    async def _report(self, state: NodeState) -> None:
        """Write what changed since the last report, in one patch."""
        facts, written = state.facts, state.written
        if facts == written:
            return
        meta: dict[str, Any] = {}
        if facts[0] != written[0]:
            meta["annotations"] = {KWOK_ANNOTATION: None}
        if facts[2] != written[2]:
            meta["labels"] = {DCGM_LABEL: "enabled" if facts[2] else None}
        change: dict[str, Any] = {"metadata": meta} if meta else {}
        if status := status_patch(state, self._clock.now().wall):
            change["status"] = status
        if change:
            await self._patch(state.machine.name, change)
        state.written = facts

    async def _patch(self, name: str, change: dict[str, Any]) -> None:
        """A node's status takes its metadata along (nodeStatusStrategy keeps only the spec)."""
        if uid := self._node_uids.get(name):
            change = {**change, "metadata": {**change.get("metadata", {}), "uid": uid}}
        try:
            await self._kube.patch(
                NODES, name, change, kind=PatchKind.STRATEGIC, subresource="status"
            )
        except NotFound:
            return  # somebody deleted the Node; a kubelet does not make it again by itself

    async def _remove(self, name: str) -> None:
        """Delete the Node if it is ours; a missing one is fine."""
        self.nodes.pop(name, None)
        self._node_uids.pop(name, None)
        self._contradicted.pop(name, None)
        try:
            found = await self._kube.get(NODES, name)
        except NotFound:
            return
        if is_owned(found, self._cluster):
            await self._remove_stale(name, found)

    async def _remove_stale(self, name: str, node: Json) -> bool:
        """Delete a Node whose machine is no more; whether it was such a one. The ledger is asked
        after the Node was seen: an incarnation that is gone from it then never comes back.
        """
        await self._refresh()
        entry, world = self._books.entry(self._cluster, name), self._clock.now().world
        here = entry.course.uid if entry is not None and not entry.course.is_gone(world) else ""
        if here == system_uuid(node):
            return False
        await self._kube.delete(NODES, name, uid=child(node, "metadata").get("uid"))
        return True
