"""The kubelets of one cluster: one watch of pods, one timer, whatever the number of nodes."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import InvalidRequest, NotFound, Precondition, Transient
from poolwright.model.instant import Instant, wall_text
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import EVENTS, PODS
from poolwright.ports.kube import Kube, PatchKind, WatchEvent
from poolwright.ports.store import Create, Delete, Update, Write
from poolwright.providers.simulated.following import follow
from poolwright.providers.simulated.ledger import (
    CHECKPOINT,
    SCOPE_PREFIX,
    Checkpoint,
    region_scope,
)
from poolwright.providers.simulated.mount import read_keys
from poolwright.providers.simulated.node_object import NodeState
from poolwright.providers.simulated.pod_life import PodLife, hold, let_go
from poolwright.providers.simulated.pod_run import (
    EXPORTER_NAME,
    PLUGIN_NAME,
    PodRun,
    Step,
)
from poolwright.providers.simulated.surroundings import Surroundings
from poolwright.providers.simulated.variable import read_sources
from poolwright.providers.simulated.workload import LONGEST

_RETRY = timedelta(milliseconds=200)
_GATHER = timedelta(seconds=2)
"""How long a node gathers what its components do before it reports, in world time."""
_DEADLINE = "the deadline"
"""The step in a pod's life that ends it; no container has such a name."""
_TELLS_GENERATION = 34
"""Since this minor version a pod's status says to which generation it belongs."""
_STATUS_SYNC = timedelta(seconds=10)
"""When a kubelet notices that its pods' status was changed by others, in world time.
Source: k8s.io/kubernetes pkg/kubelet/status, syncPeriod."""


@dataclass(frozen=True, slots=True)
class PodKey:
    """A pod in the outbox."""

    uid: str


@dataclass(frozen=True, slots=True)
class SourcesKey:
    """What the variables of a container come from, in the outbox; without one, a pod's volumes."""

    uid: str
    container: str


class Kubelets:
    """What all kubelets of a cluster know and do about pods."""

    def __init__(
        self,
        cluster: ClusterKey,
        around: Surroundings,
        nodes: dict[str, NodeState],
        write: Callable[[PodKey | SourcesKey | str], None],
    ) -> None:
        self._cluster = cluster
        self._store = around.store
        self._clock = around.clock
        self._agenda = around.agenda
        self._seed = around.seed
        self._settings = around.settings
        self._nodes = nodes
        self._write = write
        self._pods: dict[str, PodRun] = {}
        self._by_node: dict[str, dict[str, PodRun]] = {}
        self._checkpoints: dict[str, tuple[str, Checkpoint]] = {}
        self._event_count = 0

    # ------------------------------------------------------------------ asked by others

    def pod(self, uid: str) -> PodRun | None:
        """A pod by its uid."""
        return self._pods.get(uid)

    def pods_on(self, node: str) -> Iterable[PodRun]:
        """The pods of a node."""
        return self._by_node.get(node, {}).values()

    def life(self, pod: PodRun) -> PodLife | None:
        """What happens to the pod, or None while its node is not there."""
        node = self._nodes.get(pod.node)
        if node is None:
            return None
        rng = random.Random(f"{self._seed}/{pod.uid}")
        return PodLife(pod, node, self._clock, rng, self._settings, self._begin, self._ask)

    # ------------------------------------------------------------------ following the cluster

    async def follow(self, kube: Callable[[], Kube]) -> None:
        """List and watch the cluster's pods, for ever."""
        await self._load_checkpoints()
        await follow(kube, self._clock, PODS, self._reset, self._observe)

    async def _load_checkpoints(self) -> None:
        prefix = f"{self._cluster}/"
        while True:
            try:
                found = await self._store.find(SCOPE_PREFIX, CHECKPOINT)
            except Transient:
                await self._clock.sleep(_RETRY)
                continue
            for record in found:
                if record.name.startswith(prefix):
                    uid = record.name.removeprefix(prefix)
                    self._checkpoints[uid] = (record.scope, record.spec)
            return

    def _reset(self, items: Sequence[Json]) -> None:
        listed = {child(item, "metadata")["uid"] for item in items}
        for uid in [uid for uid in self._pods if uid not in listed]:
            self._forget(uid)
        for item in items:
            self._see(item)

    def _observe(self, event: WatchEvent) -> None:
        match event.type:
            case "DELETED":
                self._forget(child(event.object, "metadata")["uid"])
            case "ADDED" | "MODIFIED":
                self._see(event.object)
            case _:
                pass

    def _see(self, wire: Json) -> None:
        meta = child(wire, "metadata")
        pod = self._pods.get(meta["uid"])
        if pod is None:
            if not child(wire, "spec").get("nodeName"):
                return
            pod = self._take_in(wire)
        pod.is_held = bool(meta.get("finalizers"))
        self._take_note(pod, wire)
        if "deletionTimestamp" in meta:
            pod.deletion = meta["deletionTimestamp"]
            wanted = meta.get("deletionGracePeriodSeconds")
            grace = pod.grace_seconds if wanted is None else float(wanted)
            if not pod.is_deleting or (grace < pod.grace_seconds and not pod.is_doomed):
                self._terminate(pod, grace)
        elif pod.is_ready and not pod.gates and _is_overruled(wire):
            at = self._clock.now().world.after(_STATUS_SYNC)
            self._agenda.note(at, partial(self._write_anew, pod))

    def _take_note(self, pod: PodRun, wire: Json) -> None:
        """Others set conditions, and change what may be changed of a spec."""
        foreign = pod.gate_conditions(wire)
        if foreign != pod.foreign:
            pod.foreign = foreign
            if pod.is_begun:
                self._write(PodKey(pod.uid))
        meta = child(wire, "metadata")
        generation = int(meta.get("generation") or 0)
        pod.generation_seen = generation
        if generation == pod.generation or "deletionTimestamp" in meta:
            return  # that it is to end is no news of its spec; its last word says it
        pod.generation = generation
        life, deadline = self.life(pod), pod.deadline
        changed = pod.respecify(child(wire, "spec"))
        if life is not None and pod.is_begun and not pod.is_finished:
            for run in changed:
                self._begin(pod, run.spec.name, life.renewed(run))
            if pod.deadline != deadline:
                self._limit(pod, life)
        if pod.is_begun:
            self._write(PodKey(pod.uid))

    def _write_anew(self, pod: PodRun) -> None:
        """Somebody else changed the pod's status: say again how it is."""
        pod.written = b""
        self._write(PodKey(pod.uid))

    def _take_in(self, wire: Json) -> PodRun:
        pod = self._pods[child(wire, "metadata")["uid"]] = PodRun.from_object(wire)
        self._by_node.setdefault(pod.node, {})[pod.uid] = pod
        node = self._nodes.get(pod.node)
        if node is not None and node.is_alive:
            self._set_out(pod, node)
        return pod

    def _set_out(self, pod: PodRun, node: NodeState) -> None:
        """Begin the pod's life, or go on with it."""
        if pod.is_finished or pod.is_deleting or pod.is_doomed or pod.steps:
            return
        life = self.life(pod)
        assert life is not None
        known = self._checkpoints.get(pod.uid)
        if known and pod.deadline is not None:
            pod.begun_at = known[1].begun_at
        if not pod.is_begun or not pod.is_initialized:
            self._begin(pod, "", life.whole())
            self._limit(pod, life)
            return
        hold(pod, node)
        network, _, address = pod.ip.rpartition(".")
        is_ours = network == node.pod_network and address.isdecimal() and len(address) <= 3
        if is_ours:  # others may write a status, too
            node.addresses.add(int(address))
        for run in pod.containers:
            if run.state == "running":
                run.world_started = known[1].started_at if known else self._clock.now().world
        life.resumed()
        self._limit(pod, life)
        self._component_changed(pod)

    # ------------------------------------------------------------------ living

    def _limit(self, pod: PodRun, life: PodLife) -> None:
        """Let the pod's deadline run, if it has one."""
        if pod.deadline is not None and not pod.is_finished and not pod.is_deleting:
            self._begin(pod, _DEADLINE, life.expiry())
        else:
            pod.steps.pop(_DEADLINE, None)

    def _ask(self, pod: PodRun, container: str) -> None:
        self._write(SourcesKey(pod.uid, container))

    def _begin(self, pod: PodRun, name: str, step: Step) -> None:
        pod.steps[name] = step
        self._advance(pod, name, step)

    def _advance(self, pod: PodRun, name: str, step: Step) -> None:
        """Let a step go on until it waits again, unless another one took its place."""
        if pod.steps.get(name) is not step:
            return
        was_ready = pod.is_ready
        try:
            seconds = next(step)
        except StopIteration:
            if pod.steps.get(name) is step:
                del pod.steps[name]
        else:
            at = self._clock.now().world.after(timedelta(seconds=min(seconds, LONGEST)))
            self._agenda.note(at, partial(self._advance, pod, name, step))
        self._changed(pod, was_ready=was_ready)

    def _changed(self, pod: PodRun, *, was_ready: bool) -> None:
        node = self._nodes.get(pod.node)
        if pod.is_finished:
            pod.steps.clear()
        if pod.is_finished and node is not None:
            let_go(pod, node)
        if pod.is_ready != was_ready:
            self._component_changed(pod)
        if pod.is_worth_writing or pod.is_doomed:
            self._write(PodKey(pod.uid))

    def _component_changed(self, pod: PodRun) -> None:
        """A plugin or exporter became ready or unready: its node reports that, a bit later."""
        node = self._nodes.get(pod.node)
        if not pod.component or node is None:
            return
        ready = {p.component for p in self.pods_on(pod.node) if p.component and p.is_ready}
        node.has_plugin = node.is_alive and PLUGIN_NAME in ready and bool(node.gpu_offer)
        node.has_exporter = node.is_alive and EXPORTER_NAME in ready and bool(node.gpu_offer)
        at = self._clock.now().world.after(_GATHER)
        self._agenda.note(at, partial(self._write, pod.node))

    def _terminate(self, pod: PodRun, grace: float) -> None:
        pod.is_deleting, pod.grace_seconds = True, grace
        pod.steps.clear()
        node = self._nodes.get(pod.node)
        life = self.life(pod)
        if pod.is_finished or life is None or node is None or not node.is_alive:
            pod.is_doomed = True
            self._write(PodKey(pod.uid))
            return
        self._begin(pod, "termination", life.termination())

    def _forget(self, uid: str) -> None:
        pod = self._pods.pop(uid, None)
        if pod is None:
            return
        was_ready = pod.is_ready
        pod.steps.clear()
        pod.phase = "Succeeded"
        on_node = self._by_node.get(pod.node, {})
        on_node.pop(uid, None)
        if not on_node:
            self._by_node.pop(pod.node, None)
        node = self._nodes.get(pod.node)
        if node is not None:
            let_go(pod, node)
            node.addresses.discard(pod.address)
            if was_ready:
                self._component_changed(pod)
        if uid in self._checkpoints:
            self._write(PodKey(uid))

    # ------------------------------------------------------------------ nodes come and go

    def node_alive(self, name: str) -> None:
        """The kubelet runs: pods that are bound to it begin, pods that stayed begin again."""
        node = self._nodes[name]
        for pod in list(self.pods_on(name)):
            self._set_out(pod, node)

    def node_dead(self, name: str) -> None:
        """The machine was stopped: daemons stay, everything else is gone."""
        for pod in list(self.pods_on(name)):
            if pod.is_finished or not (pod.steps or pod.is_begun):
                continue
            pod.steps.clear()
            if pod.owner_kind == "DaemonSet" and not pod.is_deleting:
                self._fall_asleep(pod)
            else:
                pod.is_doomed = True
            self._write(PodKey(pod.uid))

    def _fall_asleep(self, pod: PodRun) -> None:
        node = self._nodes.get(pod.node)
        if node is not None:
            let_go(pod, node)
        pod.is_begun = pod.is_initialized = False
        pod.phase = "Pending"
        for run in (*pod.inits, *pod.containers):
            if run.state == "running":
                run.restarts += 1
            run.state, run.reason, run.ready = "waiting", "ContainerCreating", False

    def node_gone(self, name: str) -> None:
        """The Node is being removed: so are its pods."""
        for pod in list(self.pods_on(name)):
            pod.steps.clear()
            pod.is_doomed = True
            self._write(PodKey(pod.uid))

    # ------------------------------------------------------------------ writing

    async def write(self, kube: Kube, key: PodKey) -> None:
        """Bring the API server in line with a pod: events, status, or its end."""
        pod = self._pods.get(key.uid)
        if pod is None:
            await self._drop_checkpoint(key.uid)
            return
        try:
            while pod.events:
                await self._write_event(kube, pod, pod.events[0])
                pod.events.pop(0)
            if pod.is_doomed:
                if pod.is_finished and (pod.is_held or not pod.is_quiet):
                    await self._write_status(kube, pod)  # its last word, if it is not said yet
                await kube.delete(
                    PODS, pod.name, namespace=pod.namespace, uid=pod.uid, grace_seconds=0
                )
                self._forget(pod.uid)
                return
            await self._write_status(kube, pod)
        except (NotFound, Precondition):
            self._forget(pod.uid)

    async def read(self, kube: Kube, key: SourcesKey) -> None:
        """Read what the variables of a container come from, or a pod's volumes."""
        pod = self._pods.get(key.uid)
        if pod and not key.container:
            pod.keys = await read_keys(kube, pod.namespace, pod.volumes)
        runs = (*pod.inits, *pod.containers) if pod else ()
        for run in runs:
            if pod and run.spec.name == key.container:
                run.held = await read_sources(kube, pod.namespace, run.spec.sources)

    async def _write_status(self, kube: Kube, pod: PodRun) -> None:
        node = self._nodes.get(pod.node)
        if node is None:
            return
        if pod.wants_checkpoint:
            await self._keep_checkpoint(pod, node)
        now = wall_text(self._clock.now().wall)
        tells = node.minor_version >= _TELLS_GENERATION
        status = pod.status(node.machine.private_ip, now, tells_generation=tells)
        told = msgspec.json.encode(status)
        if told == pod.written:
            return
        before: dict[str, Any] = msgspec.json.decode(pod.written or b"{}")
        body = {"metadata": {"uid": pod.uid}, "status": _difference(before, status)}
        await kube.patch(
            PODS,
            pod.name,
            body,
            kind=PatchKind.STRATEGIC,  # conditions of others stay as they are
            namespace=pod.namespace,
            subresource="status",
        )
        pod.written = told

    async def _write_event(self, kube: Kube, pod: PodRun, told: tuple[str, str, str, str]) -> None:
        kind, reason, message, path = told
        now = self._clock.now().wall
        self._event_count += 1
        stamp = int(now.timestamp() * 1e6) * 1000 + self._event_count % 1000
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{pod.name}.{stamp:x}", "namespace": pod.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod.name,
                "namespace": pod.namespace,
                "uid": pod.uid,
                **({"fieldPath": path} if path else {}),
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": wall_text(now),
            "lastTimestamp": wall_text(now),
            "source": {"component": "kubelet", "host": pod.node},
            "reportingComponent": "kubelet",
            "reportingInstance": pod.node,
        }
        try:
            await kube.create(EVENTS, body, namespace=pod.namespace)
        except (InvalidRequest, NotFound):
            return  # an event is not worth a pod; its namespace may be on the way out

    async def _keep_checkpoint(self, pod: PodRun, node: NodeState) -> None:
        """Remember durably since when a pod that ends by itself runs, before telling anybody."""
        started = [c.world_started for c in pod.containers if c.world_started is not None]
        pod.wants_checkpoint = False
        begun_at = pod.begun_at if pod.deadline is not None else None
        first = min(started, key=_micros) if started else begun_at
        if first is None:
            return
        known = self._checkpoints.get(pod.uid)
        value = Checkpoint(first, sum(c.restarts for c in pod.containers), begun_at)
        scope = region_scope(node.machine.region)
        name, wall = f"{self._cluster}/{pod.uid}", self._clock.now().wall
        write: Write = Create(CHECKPOINT, name, pod.uid, value, None, wall)
        if known is not None:
            write = Update(CHECKPOINT, name, spec=value)
        with contextlib.suppress(Precondition):  # an unclear commit had made it
            await self._store.transact(scope, [write])
        self._checkpoints[pod.uid] = (scope, value)

    async def _drop_checkpoint(self, uid: str) -> None:
        known = self._checkpoints.get(uid)
        if known is None:
            return
        with contextlib.suppress(NotFound):
            await self._store.transact(known[0], [Delete(CHECKPOINT, f"{self._cluster}/{uid}")])
        self._checkpoints.pop(uid, None)


_NOTHING_MORE: dict[str, Any] = {"reason": None, "message": None}
"""A condition that has no reason any more loses the one it had."""


def _difference(before: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    """What a patch of the status has to say, of the kubelet's own conditions those that changed.

    Source: k8s.io/kubernetes pkg/util/pod, PatchPodStatus.
    """
    change: dict[str, Any] = {key: None for key in before if key not in status}
    change |= {key: value for key, value in status.items() if before.get(key) != value}
    if "conditions" in change:
        known = children(before, "conditions")
        changed = [each for each in status["conditions"] if each not in known]
        change["conditions"] = [_NOTHING_MORE | each for each in changed]
    return change


def _is_overruled(wire: Json) -> bool:
    """Whether a node's absence was noted on a pod whose containers are ready: a kubelet without
    readiness gates says the same of both.
    """
    said = {c.get("type"): c.get("status") for c in children(wire, "status", "conditions")}
    return said.get("Ready") == "False" and said.get("ContainersReady") == "True"


def _micros(at: Instant) -> int:
    return at.micros
