"""The observed world of one agent pool, and its machines joined with their nodes and pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from poolwright.model.agent_pool import AgentPoolSpec, AgentPoolStatus, DrainMemory
from poolwright.model.cluster_key import PoolKey
from poolwright.model.gpu import InstallProfile
from poolwright.model.instant import Instant
from poolwright.model.machine import Bootstrap, Machine, MachinePhase
from poolwright.model.managed_cluster import ManagedClusterSpec, ManagedClusterStatus
from poolwright.model.node import Node
from poolwright.model.pod import Budget, Pod
from poolwright.model.record import Stored
from poolwright.plan.bootstrap import (
    STARTUP_TAINT,
    bootstrap,
    is_outdated,
    node_labels,
    pool_taints,
)
from poolwright.plan.machine_name import machine_index
from poolwright.plan.readiness import (
    Candidate,
    Unmet,
    ready_within,
    unmet_check,
    unmet_machine,
)

QUARANTINE_LABEL = "kubernetes.azure.com/upgrade-status"
QUARANTINED = "Quarantined"


@dataclass(frozen=True, slots=True)
class PoolWorld:
    """All that planning one pool needs. ``nodes`` is None while the cluster cannot be seen;
    ``pods`` are by node name, ``budgets`` by namespace. ``actions_max`` bounds one pass.
    """

    key: PoolKey
    cluster: ManagedClusterSpec
    cluster_status: ManagedClusterStatus
    pool: Stored[AgentPoolSpec, AgentPoolStatus]
    machines: Sequence[Machine]
    nodes: Mapping[str, Node] | None = field(default_factory=dict[str, Node])
    pods: Mapping[str, Sequence[Pod]] = field(default_factory=dict[str, Sequence[Pod]])
    budgets: Mapping[str, Sequence[Budget]] = field(default_factory=dict[str, Sequence[Budget]])
    actions_max: int = 100
    recall: Recall | None = field(default=None, compare=False)
    """What the last passes found out; planning with and without it is the same but for the work."""


class Recall:
    """Members as earlier passes made them, used again while everything they were made of is the
    same: a pool of a thousand of which three changed costs three.
    """

    def __init__(self) -> None:
        self._made_for: tuple[object, ...] = ()
        self._known: dict[str, Member] = {}
        self.settled: dict[str, Member] = {}
        """Members whose nodes have nothing to be patched, without a cordon."""

    def begin(self, world: PoolWorld) -> None:
        """Forget everything if the pool or the cluster is another."""
        made_for = (world.pool.spec, world.cluster, world.cluster_status.outage_ended_at)
        if made_for != self._made_for:
            self._made_for = made_for
            self._known = {}
            self.settled = {}

    def member(
        self,
        machine: Machine,
        node: Node | None,
        pods: Sequence[Pod],
        memory: DrainMemory | None,
    ) -> Member | None:
        """The member, if it was made of just these."""
        known = self._known.get(machine.name)
        if (
            known is not None
            and known.machine is machine
            and known.node is node
            and known.pods is pods
            and known.memory is memory
        ):
            return known
        return None

    def keep(self, members: Sequence[Member]) -> None:
        """Remember these, and nobody else."""
        self._known = {m.name: m for m in members}
        if len(self.settled) > 2 * len(members):
            self.settled = {n: m for n, m in self.settled.items() if self._known.get(n) is m}


def later(began_at: Instant, outage_ended_at: Instant | None) -> Instant:
    """From when on something may take its time, of which an outage of the cluster took none."""
    return began_at if outage_ended_at is None else max(began_at, outage_ended_at)


@dataclass(frozen=True, slots=True)
class Member:
    """A machine of the pool with what is known about it. ``unmet`` is the first check it fails;
    ``is_proven`` says that only the startup taint is left. ``memory`` is of this incarnation.
    """

    machine: Machine
    node: Node | None
    pods: Sequence[Pod]
    index: int
    is_outdated: bool
    labels: Mapping[str, str]
    unmet: Unmet | None
    is_proven: bool
    memory: DrainMemory | None
    late_at: Instant
    """When it should have been a ready node at the latest."""

    @property
    def name(self) -> str:
        """The machine's and the node's name."""
        return self.machine.name

    @property
    def is_ready(self) -> bool:
        """Whether every check of its install profile holds."""
        return self.unmet is None

    @property
    def is_quarantined(self) -> bool:
        """Whether an upgrade gave up on it and left it to the user."""
        return self.node is not None and self.node.labels.get(QUARANTINE_LABEL) == QUARANTINED

    @property
    def is_failed(self) -> bool:
        """Whether the provider gave up on it."""
        return self.machine.phase is MachinePhase.FAILED


class _Wanted:
    """Labels by what a machine runs, made once per combination and pass."""

    def __init__(self, cluster: ManagedClusterSpec, spec: AgentPoolSpec) -> None:
        self._cluster = cluster
        self._spec = spec
        self._labels: dict[tuple[str, str, InstallProfile, str], Mapping[str, str]] = {}

    def labels(self, have: Bootstrap, vm_size: str) -> Mapping[str, str]:
        size = vm_size if self._spec.sizes else self._spec.vm_size
        key = (have.node_image_version, have.os_sku, have.install_profile, size)
        labels = self._labels.get(key)
        if labels is None:
            as_it_runs = replace(
                self._spec,
                node_image_version=have.node_image_version,
                os_sku=have.os_sku,
                install_profile=have.install_profile,
                vm_size=size,
            )
            labels = self._labels[key] = node_labels(self._cluster, as_it_runs)
        return labels


def observe_members(world: PoolWorld) -> list[Member]:
    """The pool's machines by index, each joined with its node, pods and memory."""
    status = world.pool.status
    recall = world.recall or Recall()
    recall.begin(world)
    observe = _Observer(world)
    nodes = world.nodes or {}
    members: list[Member] = []
    for machine in world.machines:
        node = nodes.get(machine.name)
        pods = world.pods.get(machine.name, ())
        memory = status.drains.get(machine.name)
        if memory is not None and memory.uid != machine.uid:
            memory = None
        known = recall.member(machine, node, pods, memory)
        members.append(known or observe.member(machine, node, pods, memory))
    members.sort(key=_place)
    recall.keep(members)
    return members


def _place(member: Member) -> tuple[int, str]:
    return member.index, member.machine.name


class _Observer:
    """Makes members of what is seen; what they share is made once a pass."""

    def __init__(self, world: PoolWorld) -> None:
        self._want = bootstrap(world.cluster, world.pool.spec)
        self._wanted = _Wanted(world.cluster, world.pool.spec)
        self._taints = pool_taints(world.pool.spec)
        self._outage_ended_at = world.cluster_status.outage_ended_at

    def member(
        self,
        machine: Machine,
        node: Node | None,
        pods: Sequence[Pod],
        memory: DrainMemory | None,
    ) -> Member:
        """One machine joined with what is known about it."""
        want = self._want
        labels = self._wanted.labels(machine.bootstrap, machine.vm_size)
        outdated = is_outdated(machine.bootstrap, want)
        unmet = unmet_machine(machine, node)
        if unmet is None and node is not None:
            own = machine.bootstrap if outdated else want
            unmet = unmet_check(Candidate(machine, node, pods, own, labels, self._taints))
        proven = unmet is None
        if proven and node is not None and STARTUP_TAINT in node.taints:
            unmet = Unmet("StartupTaint", "the startup taint is being lifted")
        return Member(
            machine=machine,
            node=node,
            pods=pods,
            index=machine_index(machine.name),
            is_outdated=outdated,
            labels=labels,
            unmet=unmet,
            is_proven=proven,
            memory=memory,
            late_at=later(machine.phase_since, self._outage_ended_at).after(
                ready_within(machine.bootstrap)
            ),
        )
