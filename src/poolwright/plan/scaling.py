"""The first autoscaler: which pools grow for pods that fit nowhere, and which nodes nobody needs.

Behaviour follows the cluster autoscaler: pods are fitted on a pool's template node; a node is
unneeded while little is asked of it and all its pods would fit elsewhere.
Source: kubernetes/autoscaler FAQ; AKS cluster-autoscaler (2026-08).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from poolwright.model.agent_pool import (
    AgentPoolSpec,
    AgentPoolStatus,
    PoolMode,
    ProvisioningState,
)
from poolwright.model.catalog import autoscaler_profile_defaults, vm_size
from poolwright.model.gpu import InstallProfile
from poolwright.model.instant import Instant
from poolwright.model.managed_cluster import ManagedClusterSpec
from poolwright.model.node import Node
from poolwright.model.node_capacity import gpu_resources, node_allocatable
from poolwright.model.pod import Pod
from poolwright.model.record import Stored
from poolwright.plan.bootstrap import STARTUP_TAINT, bootstrap, in_zone
from poolwright.plan.expander import Option, Priorities, choose
from poolwright.plan.fit import misfit, usage

Pool = Stored[AgentPoolSpec, AgentPoolStatus]

PRIORITY_CUTOFF = -10
"""Pods below it trigger nothing. Source: cluster autoscaler, expendable-pods-priority-cutoff."""

PROVISION_TIME = timedelta(minutes=15)
"""How long nodes that were asked for count as coming. Source: max-node-provision-time."""

MOVES_MAX = 30
"""Nodes with pods to move that one scan tries. Source: scale-down-non-empty-candidates-count."""

PODS_MAX = 1000
"""Pods looked at in one pass; the rest waits for the next."""

AT_MAX = "max node group size reached"
IN_BACKOFF = "in backoff after failed scale-up"

_SAFE = "cluster-autoscaler.kubernetes.io/safe-to-evict"
_KEEP = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(text: str) -> timedelta:
    """A duration in Go's text form, such as ``10m`` or ``1h30m``; a bare number is seconds."""
    parts = _DURATION.findall(text)
    if not parts:
        return timedelta(seconds=float(text or 0))
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


@dataclass(frozen=True, slots=True)
class ScalingProfile:
    """The part of the cluster's ``autoScalerProfile`` that is followed."""

    after_add: timedelta
    after_delete: timedelta
    unneeded: timedelta
    unready: timedelta
    threshold: float
    empty_max: int
    skip_system_pods: bool
    ignore_daemon_sets: bool
    new_pod_delay: timedelta
    expander: str

    @classmethod
    def of(cls, cluster: ManagedClusterSpec) -> ScalingProfile:
        """The cluster's strings over the defaults of AKS."""
        given, defaults = cluster.autoscaler_profile, autoscaler_profile_defaults()

        def text(name: str) -> str:
            value: Any = given.get(name)
            if value is None:
                row: Mapping[str, Any] = defaults.get(name, {})
                value = row.get("aks_default", "")
            return str(value)

        def time(name: str) -> timedelta:
            value = text(name)
            return duration(text("scan-interval") if value.startswith("=") else value)

        return cls(
            after_add=time("scale-down-delay-after-add"),
            after_delete=time("scale-down-delay-after-delete"),
            unneeded=time("scale-down-unneeded-time"),
            unready=time("scale-down-unready-time"),
            threshold=float(text("scale-down-utilization-threshold") or 0.5),
            empty_max=int(float(text("max-empty-bulk-delete") or 10)),
            skip_system_pods=text("skip-nodes-with-system-pods").lower() != "false",
            ignore_daemon_sets=text("ignore-daemonsets-utilization").lower() == "true",
            new_pod_delay=time("new-pod-scale-up-delay"),
            expander=text("expander"),
        )


@dataclass(frozen=True, slots=True)
class ScalingWorld:
    """All that one scan needs: every pool, every node with its pods, and the pods that wait."""

    cluster: ManagedClusterSpec
    pools: Sequence[Pool]
    nodes: Sequence[Node]
    pods: Mapping[str, Sequence[Pod]]
    pending: Sequence[Pod]
    priorities: Priorities = field(default_factory=dict[int, tuple[str, ...]])
    """What the priority expander was told."""


def _group(pool: Pool) -> str:
    """The pool's name as the cluster autoscaler tells it."""
    return f"aks-{pool.spec.name}-{pool.status.vmss_number}-vmss"


@dataclass(frozen=True, slots=True)
class Growth:
    """One pool gets more nodes for these pods."""

    pool: Pool
    count: int
    pods: tuple[Pod, ...]

    @property
    def message(self) -> str:
        """As the cluster autoscaler tells it."""
        pool = self.pool
        return (
            f"pod triggered scale-up: [{{{_group(pool)} {pool.spec.count}->{self.count} "
            f"(max: {pool.spec.max_count})}}]"
        )


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """One pool gives these nodes up."""

    pool: Pool
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScalingPlan:
    """``hopeless`` are pods that no pool can take, with the reason; ``unneeded`` is the memory of
    each pool that has to be recorded where it changed.
    """

    growths: tuple[Growth, ...] = ()
    hopeless: tuple[tuple[Pod, str], ...] = ()
    shrinkages: tuple[Shrinkage, ...] = ()
    unneeded: Mapping[str, Mapping[str, Instant]] = field(
        default_factory=dict[str, "Mapping[str, Instant]"]
    )
    wake_at: Instant | None = None


@dataclass(slots=True)
class _Bin:
    """A node, real or to come, that is being filled."""

    node: Node
    used: dict[str, int]
    pool: str = ""

    def take(self, pod: Pod) -> bool:
        """Put the pod here if it fits."""
        if misfit(pod, self.node, self.used) is not None:
            return False
        for name, amount in pod.requests.items():
            self.used[name] = self.used.get(name, 0) + amount
        return True


def template_node(cluster: ManagedClusterSpec, spec: AgentPoolSpec) -> Node | None:
    """The node that a new machine of the pool would be once it is ready; None for unknown sizes."""
    size = vm_size(spec.vm_size)
    if size is None:
        return None
    zone = spec.availability_zones[0] if spec.availability_zones else ""
    boot = in_zone(bootstrap(cluster, spec), cluster.location, zone)
    allocatable = node_allocatable(size, max_pods=spec.max_pods, os_disk_gb=spec.os_disk_size_gb)
    if spec.install_profile in {InstallProfile.EVERYTHING, InstallProfile.DRIVER_ONLY}:
        # A driver-only pool has a plugin once its user installed one: assume so.
        allocatable |= gpu_resources(
            size, mig_profile=boot.mig_profile, mig_strategy=boot.mig_strategy
        )
    return Node(
        name=f"template-of-{spec.name}",
        uid="",
        revision="",
        labels={**boot.labels, "kubernetes.io/hostname": f"template-of-{spec.name}"},
        taints=tuple(t for t in boot.taints if t != STARTUP_TAINT),
        capacity=allocatable,
        allocatable=allocatable,
    )


def is_scaled(pool: Pool) -> bool:
    """Whether the autoscaler may change the pool now (records.md R11)."""
    return (
        pool.spec.enable_auto_scaling
        and not pool.spec.sizes
        and pool.deleted_at is None
        and not pool.spec.is_stopped
        and not pool.status.is_halted
        and pool.status.provisioning_state is ProvisioningState.SUCCEEDED
    )


def plan_scaling(world: ScalingWorld, now: Instant) -> ScalingPlan:
    """One scan. A cluster that grows does not shrink in the same scan."""
    scaled = [pool for pool in world.pools if is_scaled(pool)]
    if not scaled or world.cluster.is_stopped:
        return ScalingPlan()
    profile = ScalingProfile.of(world.cluster)
    templates = _templates(world)
    bins = _bins(world, templates, now)
    waiting = _left_over(_candidates(world.pending), bins)
    growths, hopeless = _grow(world, scaled, waiting, templates, now)
    if growths:
        return ScalingPlan(growths=growths, hopeless=hopeless, unneeded=_forget(scaled))
    plan = _shrink(world, scaled, profile, now)
    backoffs = [p.status.scale_up_backoff_until for p in scaled if waiting]
    wakes = [at for at in (plan.wake_at, *backoffs) if at is not None and at > now]
    return replace(plan, hopeless=hopeless, wake_at=min(wakes, default=None))


def _templates(world: ScalingWorld) -> dict[str, Node]:
    templates: dict[str, Node] = {}
    for pool in world.pools:
        node = template_node(world.cluster, pool.spec)
        if node is not None and pool.deleted_at is None and not pool.spec.is_stopped:
            templates[pool.name] = node
    return templates


def _candidates(pending: Iterable[Pod]) -> list[Pod]:
    found = [
        pod
        for pod in pending
        if pod.unschedulable
        and not pod.deleting
        and not pod.is_daemon
        and pod.priority >= PRIORITY_CUTOFF
    ]
    found.sort(key=lambda p: (-p.priority, p.namespace, p.name))
    return found[:PODS_MAX]


def _serves(node: Node) -> bool:
    return node.is_ready and not node.deleting and STARTUP_TAINT not in node.taints


def _is_growing(pool: Pool, now: Instant) -> bool:
    """Whether nodes of the pool that do not serve yet can be expected to."""
    if not pool.status.provisioning_state.is_terminal:
        return True
    grown_at = pool.status.last_scale_up_at
    return grown_at is not None and grown_at.after(PROVISION_TIME) > now


def _bins(world: ScalingWorld, templates: Mapping[str, Node], now: Instant) -> list[_Bin]:
    """Room that exists, and room that is on its way: nodes asked for that do not serve yet."""
    bins: list[_Bin] = []
    serving: dict[str, int] = {}
    for node in world.nodes:
        if _serves(node):
            bins.append(_Bin(node, usage(world.pods.get(node.name, ())), node.pool))
            serving[node.pool] = serving.get(node.pool, 0) + 1
    for pool in world.pools:
        template = templates.get(pool.name)
        if template is not None and _is_growing(pool, now):
            coming = pool.spec.count - serving.get(pool.name, 0)
            bins += [_Bin(template, {}, pool.name) for _ in range(coming)]
    return bins


def _shape(pod: Pod) -> tuple[object, ...]:
    """Pods of one shape fit the same nodes."""
    return (
        pod.namespace,
        tuple(sorted(pod.requests.items())),
        tuple(sorted(pod.node_selector.items())),
        pod.node_terms,
        pod.tolerations,
        pod.host_ports,
    )


def _left_over(pods: Sequence[Pod], bins: Sequence[_Bin]) -> list[Pod]:
    """The pods that fit none of the bins, filling them on the way. A bin that refused one shape
    is not asked for it again.
    """
    starts: dict[tuple[object, ...], int] = {}
    left: list[Pod] = []
    for pod in pods:
        shape = _shape(pod)
        for index in range(starts.get(shape, 0), len(bins)):
            if bins[index].take(pod):
                starts[shape] = index
                break
        else:
            starts[shape] = len(bins)
            left.append(pod)
    return left


def _fill(
    pods: Sequence[Pod], template: Node, room: int
) -> tuple[list[_Bin], list[Pod], list[Pod]]:
    """As many template nodes as the pods need, at most ``room``; who is placed and who is not."""
    bins: list[_Bin] = []
    placed: list[Pod] = []
    left: list[Pod] = []
    full: dict[tuple[object, ...], int] = {}
    for pod in pods:
        shape = _shape(pod)
        start = full.get(shape, 0)
        for index in range(start, len(bins)):
            if bins[index].take(pod):
                full[shape] = index
                placed.append(pod)
                break
        else:
            fresh = _Bin(template, {})
            if len(bins) < room and fresh.take(pod):
                full[shape] = len(bins)
                bins.append(fresh)
                placed.append(pod)
            else:
                left.append(pod)
    return bins, placed, left


def _waste(bins: Sequence[_Bin]) -> tuple[float, float]:
    """GPUs first, then cpu and memory: the share of the new nodes that would stay unused."""

    def unused(names: Iterable[str]) -> float:
        offered = used = 0.0
        for name in names:
            whole = sum(b.node.allocatable.get(name, 0) for b in bins)
            if whole:
                offered += 1
                used += sum(b.used.get(name, 0) for b in bins) / whole
        return (offered - used) / offered if offered else 0.0

    gpus = sorted({n for b in bins for n in b.node.allocatable if n.startswith("nvidia.com/")})
    return unused(gpus), unused(("cpu", "memory"))


def _grow(
    world: ScalingWorld,
    scaled: Sequence[Pool],
    waiting: list[Pod],
    templates: Mapping[str, Node],
    now: Instant,
) -> tuple[tuple[Growth, ...], tuple[tuple[Pod, str], ...]]:
    """As the expander chooses, pool by pool, until nobody who can be helped is left."""
    expander = ScalingProfile.of(world.cluster).expander
    growths: list[Growth] = []
    open_pools = {
        pool.name: pool
        for pool in scaled
        if pool.name in templates
        and pool.spec.count < (pool.spec.max_count or 0)
        and (pool.status.scale_up_backoff_until or now) <= now
    }
    left = waiting
    while left and open_pools:
        found: dict[str, tuple[Growth, list[Pod]]] = {}
        options: list[Option] = []
        for name, pool in open_pools.items():
            room = (pool.spec.max_count or 0) - pool.spec.count
            bins, placed, rest = _fill(left, templates[name], room)
            if placed:
                found[name] = (Growth(pool, pool.spec.count + len(bins), tuple(placed)), rest)
                options.append(Option(name, _group(pool), _waste(bins), len(placed)))
        if not options:
            break
        chosen = choose(options, expander, world.priorities, seed=left[0].uid)
        growth, left = found[chosen.pool]
        growths.append(growth)
        del open_pools[chosen.pool]
    return tuple(growths), tuple((pod, _reasons(pod, scaled, templates)) for pod in left)


def _reasons(pod: Pod, scaled: Sequence[Pool], templates: Mapping[str, Node]) -> str:
    """Why no pool helps, counted by reason, in the cluster autoscaler's words."""
    counts: dict[str, int] = {}
    for pool in scaled:
        template = templates.get(pool.name)
        wrong = misfit(pod, template, {}) if template is not None else None
        if wrong is None:
            at_most = pool.spec.count >= (pool.spec.max_count or 0)
            reasons = (
                ("max node group size reached",)
                if at_most
                else ("in backoff after failed scale-up",)
            )
        else:
            reasons = wrong.reasons
        for reason in reasons:
            counts[reason] = counts.get(reason, 0) + 1
    told = ", ".join(f"{counts[reason]} {reason}" for reason in sorted(counts))
    return f"pod didn't trigger scale-up: {told}"


# -- fewer -----------------------------------------------------------------------------------------


def _forget(scaled: Sequence[Pool]) -> dict[str, Mapping[str, Instant]]:
    """Nothing is unneeded while the cluster grows."""
    return {pool.name: {} for pool in scaled if pool.status.unneeded_since}


def utilisation(node: Node, pods: Iterable[Pod], *, ignore_daemon_sets: bool) -> float:
    """How much of a node is asked for: of its GPUs if it has any, else of cpu or memory."""
    counted = [p for p in pods if not (ignore_daemon_sets and p.is_daemon)]
    used = usage(counted)
    gpus = [name for name in sorted(node.allocatable) if name.startswith("nvidia.com/")]
    names = [name for name in gpus if node.allocatable[name]] or ["cpu", "memory"]
    return max(
        (used.get(n, 0) / node.allocatable[n] for n in names if node.allocatable.get(n)),
        default=0.0,
    )


def _is_pinned(pod: Pod, profile: ScalingProfile) -> bool:
    """Whether a pod keeps its node: nobody would make it again, or it says so."""
    safe = pod.annotations.get(_SAFE)
    if safe is not None:
        return safe == "false"
    if pod.controller is None:
        return True
    return profile.skip_system_pods and pod.namespace == "kube-system"


def _shrink(
    world: ScalingWorld, scaled: Sequence[Pool], profile: ScalingProfile, now: Instant
) -> ScalingPlan:
    pools = {pool.name: pool for pool in scaled}
    bins = {
        node.name: _Bin(node, usage(world.pods.get(node.name, ())), node.pool)
        for node in world.nodes
        if _serves(node) and not node.unschedulable
    }
    unneeded: dict[str, dict[str, Instant]] = {pool.name: {} for pool in scaled}
    chosen: dict[str, list[str]] = {}
    wakes: list[Instant] = []
    pause_until = _pause(world.pools, profile)
    empties = busies = tried = 0
    for node in world.nodes:
        pool = pools.get(node.pool)
        if pool is None or node.name in pool.status.leaving:
            bins.pop(node.name, None)
            continue
        moving = _movable(world, node, profile)
        tried += bool(moving)
        if moving is None or tried > MOVES_MAX or not _fit_elsewhere(node, moving, bins):
            continue
        since = pool.status.unneeded_since.get(node.name, now)
        unneeded[pool.name][node.name] = since
        due = max(since.after(profile.unneeded if node.is_ready else profile.unready), pause_until)
        if due > now:
            wakes.append(due)
            continue
        is_empty = not moving
        if pool.spec.count - len(chosen.get(pool.name, ())) <= _least(pool):
            continue
        if empties >= profile.empty_max if is_empty else busies >= 1:
            continue
        empties, busies = empties + is_empty, busies + (not is_empty)
        chosen.setdefault(pool.name, []).append(node.name)
    for pool in scaled:
        if pool.spec.count <= _least(pool):
            unneeded[pool.name] = {}
    changed: dict[str, Mapping[str, Instant]] = {
        pool.name: unneeded[pool.name]
        for pool in scaled
        if unneeded[pool.name] != pool.status.unneeded_since
    }
    return ScalingPlan(
        shrinkages=tuple(Shrinkage(pools[n], tuple(names)) for n, names in chosen.items()),
        unneeded=changed,
        wake_at=min(wakes, default=None),
    )


def _least(pool: Pool) -> int:
    return max(pool.spec.min_count or 0, int(pool.spec.mode is PoolMode.SYSTEM))


def _pause(pools: Iterable[Pool], profile: ScalingProfile) -> Instant:
    """Until when nothing shrinks: a while after the last growth and the last removal."""
    until = Instant(0)
    for pool in pools:
        if pool.status.last_scale_up_at is not None:
            until = max(until, pool.status.last_scale_up_at.after(profile.after_add))
        if pool.status.last_scale_down_at is not None:
            until = max(until, pool.status.last_scale_down_at.after(profile.after_delete))
    return until


def _movable(world: ScalingWorld, node: Node, profile: ScalingProfile) -> list[Pod] | None:
    """The pods that would have to move; None if the node is needed where it is."""
    if node.annotations.get(_KEEP) == "true" or node.deleting:
        return None
    pods = world.pods.get(node.name, ())
    if node.is_ready:
        used = utilisation(node, pods, ignore_daemon_sets=profile.ignore_daemon_sets)
        if used >= profile.threshold:
            return None
        if STARTUP_TAINT in node.taints:
            return None
    moving = [pod for pod in pods if not pod.is_daemon and not pod.is_finished]
    return None if any(_is_pinned(pod, profile) for pod in moving) else moving


def _fit_elsewhere(node: Node, pods: Sequence[Pod], bins: dict[str, _Bin]) -> bool:
    """Whether all pods would fit on other nodes; if so they are counted there from now on, and
    nobody moves onto this one.
    """
    own = bins.pop(node.name, None)
    undo: list[tuple[_Bin, Pod]] = []
    for pod in pods:
        free = replace(pod, node_name="")
        target = next((b for b in bins.values() if b.take(free)), None)
        if target is None:
            for bin_, moved in undo:
                for name, amount in moved.requests.items():
                    bin_.used[name] -= amount
            if own is not None:
                bins[node.name] = own
            return False
        undo.append((target, pod))
    return True
