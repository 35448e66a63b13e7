"""Builders of pool worlds, and a perfect executor of plans: what was asked for happens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from poolwright.model.agent_pool import (
    AGENT_POOL,
    AgentPoolSpec,
    AgentPoolStatus,
    ProvisioningState,
)
from poolwright.model.cluster_key import ClusterKey, PoolKey
from poolwright.model.gpu import InstallProfile
from poolwright.model.instant import Instant
from poolwright.model.machine import Bootstrap, Machine, MachinePhase
from poolwright.model.managed_cluster import ManagedClusterSpec, ManagedClusterStatus
from poolwright.model.node import Node, NodeCondition
from poolwright.model.pod import Budget, Owner, Pod
from poolwright.model.record import Stored
from poolwright.plan.actions import (
    Action,
    CreateMachine,
    DeleteMachine,
    DeleteNode,
    EvictPod,
    PatchNode,
    ReimageMachine,
    StartMachine,
    StopMachine,
)
from poolwright.plan.bootstrap import bootstrap, in_zone
from poolwright.plan.machine_name import machine_name, vmss_number
from poolwright.plan.plan import PoolPlan
from poolwright.plan.pool import plan_agent_pool
from poolwright.plan.readiness import DCGM_EXPORTER, DEVICE_PLUGIN, NAME_LABEL, expected_gpus
from poolwright.plan.world import PoolWorld

CLUSTER_KEY = ClusterKey("sub-1", "rg1", "aks1")
IMAGE = "AKSUbuntu-2204gen2containerd-202607.09.0"
OLD_IMAGE = "AKSUbuntu-2204gen2containerd-202606.19.0"
EPOCH = Instant(10_000_000_000)
WALL = datetime(2026, 6, 1, tzinfo=UTC)
CLUSTER = ManagedClusterSpec(
    subscription="sub-1",
    resource_group="rg1",
    name="aks1",
    location="eastus",
    kubernetes_version="1.35",
    current_kubernetes_version="1.35.4",
    dns_prefix="aks1",
    node_resource_group="MC_rg1_aks1_eastus",
)
CLUSTER_STATUS = ManagedClusterStatus(
    provisioning_state=ProvisioningState.SUCCEEDED, running_kubernetes_version="1.35.4"
)


def pool_spec(**changes: Any) -> AgentPoolSpec:
    spec = AgentPoolSpec(
        name="np1",
        vm_size="Standard_DS2_v2",
        count=3,
        kubernetes_version="1.35.4",
        node_image_version=IMAGE,
        orchestrator_version="1.35",
    )
    return replace(spec, **changes)


def gpu_spec(**changes: Any) -> AgentPoolSpec:
    return pool_spec(
        vm_size="Standard_NC24ads_A100_v4",
        install_profile=InstallProfile.EVERYTHING,
        **changes,
    )


def name_of(index: int, pool: str = "np1") -> str:
    return machine_name(pool, vmss_number(CLUSTER_KEY), index)


def operation(state: ProvisioningState, **changes: Any) -> AgentPoolStatus:
    return replace(AgentPoolStatus(provisioning_state=state, operation_id="op-1"), **changes)


SUCCEEDED = AgentPoolStatus(provisioning_state=ProvisioningState.SUCCEEDED)


def node_of(machine: Machine, **changes: Any) -> Node:
    """The node as its kubelet registers it, ready at once."""
    boot = machine.bootstrap
    capacity = {"cpu": 2000, "memory": 7 * 2**30, "pods": boot.max_pods}
    if boot.install_profile is InstallProfile.EVERYTHING:
        capacity |= expected_gpus(boot, machine.vm_size)
    node = Node(
        name=machine.name,
        uid=f"node-{machine.uid}",
        revision="1",
        labels=boot.labels,
        taints=boot.taints,
        capacity=capacity,
        allocatable=capacity,
        conditions={"Ready": NodeCondition("True")},
        kubelet_version=f"v{boot.kubernetes_version}",
    )
    return replace(node, **changes)


def pod(name: str, node: str, **changes: Any) -> Pod:
    return replace(
        Pod(
            namespace="default",
            name=name,
            uid=f"uid-{name}",
            revision="1",
            node_name=node,
            phase="Running",
            is_ready=True,
            labels={"app": "web"},
            owners=(Owner("ReplicaSet", "web", "rs-1", controller=True),),
        ),
        **changes,
    )


def component_pods(node: str) -> list[Pod]:
    return [
        pod(
            f"{name}-{node}",
            node,
            labels={NAME_LABEL: name},
            owners=(Owner("DaemonSet", name, name, controller=True),),
        )
        for name in (DEVICE_PLUGIN, DCGM_EXPORTER)
    ]


@dataclass
class Sandbox:
    """A pool whose world does at once what a plan asks. ``boot`` is how long a machine takes."""

    spec: AgentPoolSpec
    status: AgentPoolStatus = field(default_factory=lambda: operation(ProvisioningState.CREATING))
    cluster: ManagedClusterSpec = CLUSTER
    cluster_status: ManagedClusterStatus = CLUSTER_STATUS
    machines: dict[str, Machine] = field(default_factory=dict[str, Machine])
    nodes: dict[str, Node] = field(default_factory=dict[str, Node])
    pods: dict[str, list[Pod]] = field(default_factory=dict[str, "list[Pod]"])
    budgets: dict[str, list[Budget]] = field(default_factory=dict[str, "list[Budget]"])
    now: Instant = field(default_factory=lambda: EPOCH)
    generation: int = 1
    deleted: bool = False
    is_gone: bool = False
    boot: timedelta = timedelta(minutes=2)
    actions_max: int = 100
    uids: int = 0
    log: list[str] = field(default_factory=list[str])

    # -- setting up ----------------------------------------------------------------------------

    def uid(self) -> str:
        self.uids += 1
        return f"vm-{self.uids}"

    def want(self) -> Bootstrap:
        return in_zone(bootstrap(self.cluster, self.spec), self.cluster.location, "")

    def add(self, index: int, **changes: Any) -> Machine:
        """A running machine with a ready node."""
        machine = Machine(
            cluster=CLUSTER_KEY,
            pool=self.spec.name,
            name=name_of(index, self.spec.name),
            uid=self.uid(),
            region="eastus",
            vm_size=self.spec.vm_size,
            phase=MachinePhase.RUNNING,
            phase_since=self.now.after(-timedelta(hours=1)),
            created_at=WALL,
            generation=self.generation,
            bootstrap=self.want(),
        )
        machine = replace(machine, **changes)
        self.machines[machine.name] = machine
        if machine.phase is MachinePhase.RUNNING:
            self.join(machine)
        return machine

    def join(self, machine: Machine) -> None:
        self.nodes[machine.name] = node_of(machine)
        if machine.bootstrap.install_profile is InstallProfile.EVERYTHING:
            self.pods[machine.name] = component_pods(machine.name)

    def settled(self, count: int) -> Sandbox:
        """As many ready machines as given, and no operation."""
        for index in range(count):
            self.add(index)
            node = self.nodes[name_of(index, self.spec.name)]
            self.nodes[node.name] = replace(
                node, taints=tuple(t for t in node.taints if "startup-taint" not in t.key)
            )
        self.status = replace(
            SUCCEEDED, next_machine_index=count, vmss_number=vmss_number(CLUSTER_KEY)
        )
        return self

    def change(self, state: ProvisioningState, **changes: Any) -> Sandbox:
        """An accepted write."""
        self.spec = replace(self.spec, **changes)
        self.generation += bool(changes)
        self.status = replace(
            self.status, provisioning_state=state, operation_id="op-2", is_halted=False
        )
        return self

    # -- running -------------------------------------------------------------------------------

    def world(self) -> PoolWorld:
        return PoolWorld(
            key=PoolKey(CLUSTER_KEY, self.spec.name),
            cluster=self.cluster,
            cluster_status=self.cluster_status,
            pool=Stored(
                kind=AGENT_POOL,
                scope=CLUSTER_KEY.arm_scope,
                name=self.spec.name,
                uid="pool-uid",
                revision=1,
                generation=self.generation,
                spec=self.spec,
                status=self.status,
                created_at=WALL,
                deleted_at=WALL if self.deleted else None,
            ),
            machines=[self.machines[name] for name in sorted(self.machines)],
            nodes=dict(self.nodes),
            pods={name: list(pods) for name, pods in self.pods.items()},
            budgets=self.budgets,
            actions_max=self.actions_max,
        )

    def plan(self) -> PoolPlan:
        return plan_agent_pool(self.world(), self.now)

    def step(self) -> PoolPlan:
        """Plan, record, perform; then let time pass until something happens."""
        plan = self.plan()
        if plan.is_gone:
            self.is_gone = True
            return plan
        self.status = plan.status
        if plan.spec is not None:
            self.spec, self.generation = plan.spec, self.generation + 1
        for action in plan.actions:
            self.log.append(self._line(action))
            self.perform(action)
        if plan.end is not None:
            code = f" {plan.end.error.code}" if plan.end.error else ""
            self.log.append(f"{self._clock()} operation {plan.end.state}{code}")
        self.pass_time()
        return plan

    def run(self, *, steps: int = 200) -> PoolPlan:
        """Until the operation has ended and nothing is left to do."""
        ended: PoolPlan | None = None
        for _ in range(steps):
            plan = self.step()
            if self.is_gone:
                return plan
            if plan.end is not None:
                ended = plan
            if self.is_at_rest():
                return ended or plan
        raise AssertionError("the pool does not come to rest:\n" + "\n".join(self.log[-30:]))

    def is_at_rest(self) -> bool:
        """Whether another pass would change nothing."""
        if self.deleted or not self.status.provisioning_state.is_terminal:
            return False
        moving = {MachinePhase.CREATING, MachinePhase.BOOTSTRAPPING, MachinePhase.DELETING}
        if any(m.phase in moving for m in self.machines.values()):
            return False
        plan = self.plan()
        return not plan.actions and plan.status == self.status and plan.wake_at is None

    def pass_time(self) -> None:
        """One minute passes: machines boot, deletions end."""
        self.now = self.now.after(timedelta(minutes=1))
        for machine in list(self.machines.values()):
            age = self.now.since(machine.phase_since)
            if machine.phase is MachinePhase.DELETING:
                del self.machines[machine.name]
            elif machine.phase is MachinePhase.CREATING and age >= self.boot:
                running = replace(machine, phase=MachinePhase.RUNNING, phase_since=self.now)
                self.machines[machine.name] = running
                self.join(running)

    def perform(self, action: Action) -> None:
        match action:
            case CreateMachine(request=request):
                if request.name not in self.machines:
                    self.machines[request.name] = Machine(
                        cluster=request.cluster,
                        pool=request.pool,
                        name=request.name,
                        uid=self.uid(),
                        region=request.region,
                        vm_size=request.vm_size,
                        phase=MachinePhase.CREATING,
                        phase_since=self.now,
                        created_at=WALL,
                        generation=request.generation,
                        bootstrap=request.bootstrap,
                        zone=request.zone,
                    )
            case EvictPod(name=name, uid=uid):
                for pods in self.pods.values():
                    pods[:] = [p for p in pods if (p.name, p.uid) != (name, uid)]
            case PatchNode():
                self._patch(action)
            case DeleteNode(name=name):
                self.nodes.pop(name, None)
            case _:
                machine = self.machines.get(action.name)
                if machine is not None and machine.uid == action.uid:
                    self._change_machine(machine, action)

    def _change_machine(
        self,
        machine: Machine,
        action: DeleteMachine | ReimageMachine | StopMachine | StartMachine,
    ) -> None:
        self.nodes.pop(machine.name, None)
        self.pods.pop(machine.name, None)
        changes: dict[str, Any] = {
            DeleteMachine: {"phase": MachinePhase.DELETING},
            StopMachine: {"phase": MachinePhase.STOPPED},
            StartMachine: {"phase": MachinePhase.CREATING},
            ReimageMachine: {"phase": MachinePhase.CREATING},
        }[type(action)]
        if isinstance(action, ReimageMachine):
            changes |= {"uid": self.uid(), "bootstrap": action.bootstrap}
        self.machines[machine.name] = replace(machine, phase_since=self.now, **changes)

    def _patch(self, action: PatchNode) -> None:
        node = self.nodes.get(action.name)
        if node is None or node.uid != action.uid:
            return

        def merged(old: Any, new: Any) -> dict[str, str]:
            return {k: v for k, v in {**old, **new}.items() if v is not None}

        self.nodes[node.name] = replace(
            node,
            labels=merged(node.labels, action.labels),
            annotations=merged(node.annotations, action.annotations),
            taints=node.taints if action.taints is None else action.taints,
            unschedulable=(
                node.unschedulable if action.unschedulable is None else action.unschedulable
            ),
        )

    # -- telling -------------------------------------------------------------------------------

    def ready(self) -> list[str]:
        """Names of nodes that take workloads."""
        return [n.name for n in self.nodes.values() if n.is_ready and not n.unschedulable]

    def _clock(self) -> str:
        minutes = self.now.since(EPOCH) // timedelta(minutes=1)
        return f"{minutes:4d} min"

    def _line(self, action: Action) -> str:
        name = action.name.rpartition("-vmss")[2].lstrip("0") or "0"
        target = action.name if isinstance(action, EvictPod) else f"machine {name}"
        return f"{self._clock()} {type(action).__name__} {target}: {action.because}"
