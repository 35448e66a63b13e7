"""Performing planned actions: bounded parallelism, each checked against the spec just before it is
sent, each refused or retried by what kind of error comes back.

What cannot be excluded here: the spec moves on between the check and the arrival of the call at a
provider that knows no generations. The machine then carries its generation, and the next pass, or
the search for orphans, finds it.
"""

from __future__ import annotations

from asyncio import TaskGroup
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from poolwright.model.cluster_key import ClusterKey, PoolKey
from poolwright.model.errors import (
    Conflict,
    ErrorDetail,
    InvalidRequest,
    NoCapacity,
    NotFound,
    PoolwrightError,
    QuotaExceeded,
    Refused,
    Transient,
    Unknown,
)
from poolwright.model.instant import Instant, wall_text
from poolwright.model.kubernetes import EVENTS, NODES
from poolwright.plan.actions import (
    Action,
    CreateMachine,
    DeleteMachine,
    DeleteNode,
    EvictPod,
    NodeEvent,
    PatchNode,
    ReimageMachine,
    StartMachine,
    StopMachine,
)
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.kube import Clusters, Kube, PatchKind
from poolwright.ports.machine_provider import MachineProvider
from poolwright.reconcile.insistence import Insistence

_log: Any = structlog.get_logger("poolwright.audit")

POOL_API = "containerservice.azure.com/v1"
"""Stands for ARM in an Event's ``involvedObject``: agent pools are no Kubernetes objects."""
EVENT_SOURCE = "poolwright"


@dataclass(slots=True)
class Performed:
    """What came of a batch. ``refusal`` is a machine that quota, capacity or the region refused;
    ``retry`` is the first error after which the batch should be looked at again, ``again_at`` when
    the first patch may be repeated that somebody else keeps undoing.
    """

    done: int = 0
    stale: int = 0
    refusal: ErrorDetail | None = None
    retry: PoolwrightError | None = None
    again_at: Instant | None = None


class Actor:
    """Performs actions on one provider and many clusters."""

    def __init__(
        self,
        provider: MachineProvider,
        clusters: Clusters,
        clock: Clock,
        identity: Identity,
        *,
        parallel: int = 16,
    ) -> None:
        self._provider = provider
        self._clusters = clusters
        self._clock = clock
        self._identity = identity
        self._parallel = parallel
        self._insistence: Insistence[tuple[ClusterKey, str]] = Insistence()

    async def perform(
        self,
        cluster: ClusterKey,
        actions: Sequence[Action],
        *,
        is_current: Callable[[], Awaitable[bool]],
        **context: object,
    ) -> Performed:
        """Perform the actions in order of start. ``is_current`` says whether the spec that they
        were planned from still holds; once it does not, the rest is left to the next pass.
        """
        performed = Performed()
        queue = iter(actions)
        async with TaskGroup() as group:
            for _ in range(min(self._parallel, len(actions))):
                group.create_task(self._work(cluster, queue, performed, is_current, context))
        return performed

    async def _work(
        self,
        cluster: ClusterKey,
        queue: Iterator[Action],
        performed: Performed,
        is_current: Callable[[], Awaitable[bool]],
        context: dict[str, object],
    ) -> None:
        for action in queue:
            if performed.stale:
                return
            if performed.refusal is not None and isinstance(action, CreateMachine | StartMachine):
                continue
            if isinstance(action, PatchNode) and self._is_put_off(cluster, action, performed):
                continue
            try:
                if not await is_current():
                    performed.stale += 1
                    return
                await self._send(cluster, action)
            except (QuotaExceeded, NoCapacity, InvalidRequest) as error:
                self._note(cluster, action, context, error)
                if isinstance(action, CreateMachine | StartMachine):
                    performed.refusal = performed.refusal or error.detail()
            except Refused as error:  # the world moved on: the next pass sees how
                self._note(cluster, action, context, error)
            except (Transient, Unknown) as error:
                self._note(cluster, action, context, error)
                performed.retry = performed.retry or error
            else:
                performed.done += 1
                self._note(cluster, action, context, None)
                if action.event is not None:
                    await self._tell(cluster, action.name, action.event)

    def _is_put_off(self, cluster: ClusterKey, action: PatchNode, performed: Performed) -> bool:
        """Whether the node got this very patch so lately that somebody must have undone it."""
        now = self._clock.now().world
        at = self._insistence.may_at((cluster, action.name), _substance(action), now)
        if at > now:
            performed.again_at = min(at, performed.again_at or at)
        return at > now

    async def _send(self, cluster: ClusterKey, action: Action) -> None:
        provider = self._provider
        match action:
            case CreateMachine(request=request):
                await provider.create_machine(request)
            case DeleteMachine(name=name, uid=uid):
                await provider.delete_machine(cluster, name, uid=uid)
            case ReimageMachine(name=name, uid=uid):
                if action.lacks_node:
                    await self._check_no_node(cluster, name)
                await provider.reimage_machine(
                    cluster,
                    name,
                    uid=uid,
                    generation=action.generation,
                    bootstrap=action.bootstrap,
                )
            case StopMachine(name=name, uid=uid):
                await provider.stop_machine(cluster, name, uid=uid)
            case StartMachine(name=name, uid=uid):
                await provider.start_machine(cluster, name, uid=uid)
            case EvictPod(namespace=namespace, name=name, uid=uid):
                await self._clusters.kube(cluster).evict(namespace, name, uid=uid)
            case DeleteNode(name=name, uid=uid):
                await self._clusters.kube(cluster).delete(NODES, name, uid=uid)
            case PatchNode():
                await _patch_node(self._clusters.kube(cluster), action)
                now = self._clock.now().world
                self._insistence.wrote((cluster, action.name), _substance(action), now)

    async def _check_no_node(self, cluster: ClusterKey, name: str) -> None:
        """Raises Conflict where the Node is there."""
        try:
            await self._clusters.kube(cluster).get(NODES, name)
        except NotFound:
            return
        raise Conflict(f"the Node {name} is there")

    def _note(
        self,
        cluster: ClusterKey,
        action: Action,
        context: dict[str, object],
        error: PoolwrightError | None,
    ) -> None:
        line: dict[str, object] = {
            "action": type(action).__name__,
            "target": action.name,
            "because": action.because,
            "cluster": str(cluster),
            **context,
        }
        if error is None:
            _log.info("performed", **line)
        else:
            _log.info("not performed", error=f"{type(error).__name__}: {error}", **line)

    async def tell_of_pool(self, key: PoolKey, uid: str, event: NodeEvent) -> None:
        """Write a Kubernetes Event about a whole pool."""
        about = {"apiVersion": POOL_API, "kind": "AgentPool", "name": key.pool, "uid": uid}
        await self._write(key.cluster, about, event)

    async def _tell(self, cluster: ClusterKey, node: str, event: NodeEvent) -> None:
        """Write a Kubernetes Event about a node."""
        about = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node}
        await self._write(cluster, about, event)

    async def _write(self, cluster: ClusterKey, about: dict[str, Any], event: NodeEvent) -> None:
        """Write an Event; losing one changes nothing."""
        kube = self._clusters.kube(cluster)
        try:
            await write_event(kube, self._clock, self._identity, about, event)
        except PoolwrightError as error:
            name, reason = about["name"], event.reason
            _log.info("event not written", about=name, reason=reason, error=str(error))


def _substance(action: PatchNode) -> Hashable:
    """What a patch does to which object, whatever else is in the node meanwhile."""
    return (
        action.uid,
        tuple(sorted(action.labels.items())),
        tuple(sorted(action.annotations.items())),
        action.taints,
        action.unschedulable,
    )


async def _patch_node(kube: Kube, action: PatchNode) -> None:
    metadata: dict[str, Any] = {"uid": action.uid}
    if action.revision is not None:
        metadata["resourceVersion"] = action.revision
    if action.labels:
        metadata["labels"] = dict(action.labels)
    if action.annotations:
        metadata["annotations"] = dict(action.annotations)
    body: dict[str, Any] = {"metadata": metadata}
    spec: dict[str, Any] = {}
    if action.taints is not None:
        spec["taints"] = [taint.to_object() for taint in action.taints] or None
    if action.unschedulable is not None:
        spec["unschedulable"] = action.unschedulable or None
    if spec:
        body["spec"] = spec
    await kube.patch(NODES, action.name, body, kind=PatchKind.MERGE)


async def write_event(
    kube: Kube,
    clock: Clock,
    identity: Identity,
    about: dict[str, Any],
    event: NodeEvent,
    *,
    component: str = EVENT_SOURCE,
) -> None:
    """Create an Event; those about cluster-scoped objects go to ``default``, as in Kubernetes."""
    namespace = about.get("namespace") or "default"
    now = clock.now().wall
    wall = wall_text(now)
    # Names grow with time: clients that sort by whole seconds keep their order within one.
    name = f"{about['name']}.{int(now.timestamp() * 1e6) * 1000:x}{identity.suffix(4)}"
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": about,
        "reason": event.reason,
        "message": event.message,
        "type": event.type,
        "source": {"component": component},
        "reportingComponent": component,
        "firstTimestamp": wall,
        "lastTimestamp": wall,
        "count": 1,
    }
    await kube.create(EVENTS, body, namespace=namespace)
