"""For all worlds, reachable or not: total, idempotent, safe, order-free."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plan.pool_world import IMAGE, OLD_IMAGE, Sandbox, pod, pool_spec
from poolwright.model.agent_pool import (
    DrainMemory,
    ProvisioningState,
    SizeCount,
    UpgradeSettings,
)
from poolwright.model.machine import MachinePhase
from poolwright.model.node import NodeCondition
from poolwright.plan.actions import CreateMachine, ReimageMachine
from poolwright.plan.plan import PoolPlan
from poolwright.plan.pool import plan_agent_pool
from poolwright.plan.upgrade import roll_rule
from poolwright.plan.upkeep import CORDONED
from poolwright.plan.world import QUARANTINE_LABEL

STATES = [
    ProvisioningState.CREATING,
    ProvisioningState.SCALING,
    ProvisioningState.UPGRADING,
    ProvisioningState.SUCCEEDED,
]


@st.composite
def worlds(draw: st.DrawFn) -> Sandbox:
    """Any pool: machines of any phase and version, nodes there or not, memories right or wrong."""
    spec = pool_spec(
        count=draw(st.integers(0, 5)),
        node_image_version=IMAGE,
        scale_down_mode=draw(st.sampled_from(["Delete", "Deallocate"])),
        upgrade_settings=UpgradeSettings(
            max_surge=draw(st.sampled_from([None, "0", "1", "2", "50%"])),
            max_unavailable=draw(st.sampled_from([None, "1", "2"])),
            node_soak_duration_in_minutes=draw(st.sampled_from([None, 3])),
        ),
    )
    box = Sandbox(spec)
    drains: dict[str, DrainMemory] = {}
    leaving: list[str] = []
    for index in draw(st.lists(st.integers(0, 9), max_size=7, unique=True)):
        box.spec = replace(spec, node_image_version=draw(st.sampled_from([IMAGE, OLD_IMAGE])))
        age = timedelta(minutes=draw(st.sampled_from([0, 1, 10, 90])))
        machine = box.add(
            index,
            phase=draw(st.sampled_from(MachinePhase)),
            phase_since=box.now.after(-age),
            generation=draw(st.integers(0, 2)),
        )
        name = machine.name
        node = box.nodes.get(name)
        if node is not None:
            cordon = draw(st.sampled_from(["no", "ours", "theirs"]))
            box.nodes[name] = replace(
                node,
                unschedulable=cordon != "no",
                annotations={CORDONED: "drain"} if cordon == "ours" else {},
                conditions={
                    "Ready": NodeCondition(draw(st.sampled_from(["True", "True", "False"])))
                },
            )
            if draw(st.booleans()):
                box.pods[name] = [pod(f"web-{index}", name)]
            if draw(st.integers(0, 5)) == 0:
                del box.nodes[name]
        memory = draw(st.sampled_from(["none", "right", "soaking", "wrong"]))
        if memory != "none":
            drains[name] = DrainMemory(
                uid="gone" if memory == "wrong" else machine.uid,
                started_at=box.now.after(-age),
                soak_until=box.now.after(timedelta(minutes=2)) if memory == "soaking" else None,
            )
        if draw(st.integers(0, 3)) == 0:
            leaving.append(name)
    state = draw(st.sampled_from(STATES))
    box.spec, box.generation = spec, 2
    box.status = replace(
        box.status,
        provisioning_state=state,
        operation_id=None if state.is_terminal else "op-1",
        next_machine_index=draw(st.integers(0, 4)),
        pending_machines=tuple(draw(st.lists(st.integers(0, 12), max_size=3, unique=True))),
        surge_limit=draw(st.sampled_from([None, None, 0, 1])),
        drains=drains,
        leaving=tuple(leaving),
    )
    return box


def heal(box: Sandbox) -> None:
    """A perfect world: kubelets get ready, lost nodes come back, bootstraps end."""
    for machine in list(box.machines.values()):
        if machine.phase is MachinePhase.BOOTSTRAPPING:
            box.machines[machine.name] = replace(
                machine, phase=MachinePhase.CREATING, phase_since=box.now
            )
        if machine.phase is MachinePhase.RUNNING and machine.name not in box.nodes:
            box.join(machine)
    for name, node in box.nodes.items():
        if not node.is_ready:
            box.nodes[name] = replace(node, conditions={"Ready": NodeCondition("True")})


def check_safe(box: Sandbox, plan: PoolPlan, before: Sandbox) -> None:
    rule = roll_rule(before.spec, before.status)
    most = before.spec.count + max(rule.surge, 0)
    quarantined = [n for n in before.nodes.values() if QUARANTINE_LABEL in n.labels]
    parked = [m for m in before.machines.values() if m.phase is MachinePhase.STOPPED]
    created = sum(isinstance(a, CreateMachine) for a in plan.actions)
    if created:
        there = len(before.machines) - len(quarantined) - len(parked)
        assert there + created <= most, "more than count and surge"
    serving = [
        a.name
        for a in plan.actions
        if isinstance(a, ReimageMachine)
        and a.name in before.nodes
        and not before.nodes[a.name].unschedulable
        and before.pods.get(a.name)
        and before.machines[a.name].phase is MachinePhase.RUNNING
        and before.status.drains.get(a.name) is None
    ]
    assert not serving, "reimaged without a drain"


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_every_world_comes_to_rest_at_the_goal(box: Sandbox):
    for _ in range(6):
        for _ in range(120):
            before = replace(
                box,
                machines=dict(box.machines),
                nodes=dict(box.nodes),
                pods={k: list(v) for k, v in box.pods.items()},
            )
            plan = box.plan()
            check_safe(box, plan, before)
            box.step()
            heal(box)
            if box.is_at_rest():
                break
        else:
            pytest.fail("no rest:\n" + "\n".join(box.log[-20:]))
        if box.status.provisioning_state is ProvisioningState.SUCCEEDED:
            break
        box.change(ProvisioningState.UPDATING)  # the user tries again
    assert box.status.provisioning_state is ProvisioningState.SUCCEEDED, box.log[-20:]
    running = [m for m in box.machines.values() if m.phase is MachinePhase.RUNNING]
    assert len(running) == box.spec.count
    assert all(m.bootstrap.node_image_version == IMAGE for m in running)
    assert not any(CORDONED in n.annotations for n in box.nodes.values())
    assert box.status.drains == {}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_seen_does_not_matter(box: Sandbox, rng):
    world = box.world()
    machines, nodes = list(world.machines), list((world.nodes or {}).items())
    rng.shuffle(machines)
    rng.shuffle(nodes)
    shuffled = replace(world, machines=machines, nodes=dict(nodes))
    assert plan_agent_pool(shuffled, box.now) == plan_agent_pool(world, box.now)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_planning_an_applied_plan_again_adds_no_machine_and_no_destruction(box: Sandbox):
    plan = box.plan()
    box.status = plan.status
    for action in plan.actions:
        box.perform(action)
    again = {(type(a), a.name) for a in box.plan().actions}
    destructive = {
        (type(a), a.name) for a in plan.actions if isinstance(a, CreateMachine | ReimageMachine)
    }
    assert not again & destructive


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 6), st.sampled_from(["1", "2", "33%"]), st.sampled_from(["1", "2", "50%"]))
def test_an_upgrade_never_has_fewer_ready_than_promised(count: int, surge: str, away: str):
    for upgrade in (
        UpgradeSettings(max_surge=surge),
        UpgradeSettings(max_surge="0", max_unavailable=away),
    ):
        box = Sandbox(
            pool_spec(count=count, node_image_version=OLD_IMAGE, upgrade_settings=upgrade)
        ).settled(count)
        box.change(ProvisioningState.UPGRADING, node_image_version=IMAGE)
        rule = roll_rule(box.spec, box.status)
        while not box.status.provisioning_state.is_terminal:
            box.step()
            assert len(box.ready()) >= count - rule.unavailable
            assert len(box.machines) <= count + rule.surge
        assert box.status.provisioning_state is ProvisioningState.SUCCEEDED


SMALL, BIG, OTHER = "Standard_D2s_v3", "Standard_D4s_v3", "Standard_D8s_v3"


@st.composite
def sized_worlds(draw: st.DrawFn) -> Sandbox:
    """Any pool of type VirtualMachines, whatever the sizes of its machines."""
    box = draw(worlds())
    sizes = (
        SizeCount(SMALL, draw(st.integers(0, 3))),
        SizeCount(BIG, draw(st.integers(0, 3))),
    )
    box.spec = replace(
        box.spec,
        pool_type="VirtualMachines",
        sizes=sizes,
        vm_size=SMALL,
        count=sum(entry.count for entry in sizes),
    )
    for name, machine in list(box.machines.items()):
        size = draw(st.sampled_from([SMALL, BIG, OTHER]))
        box.machines[name] = replace(machine, vm_size=size)
    return box


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sized_worlds())
def test_every_world_of_sizes_comes_to_rest_with_the_counts_asked_for(box: Sandbox):
    for _ in range(6):
        for _ in range(150):
            box.step()
            heal(box)
            if box.is_at_rest():
                break
        else:
            pytest.fail("no rest:\n" + "\n".join(box.log[-20:]))
        if box.status.provisioning_state is ProvisioningState.SUCCEEDED:
            break
        box.change(ProvisioningState.UPDATING)
    assert box.status.provisioning_state is ProvisioningState.SUCCEEDED
    running = [
        machine.vm_size
        for machine in box.machines.values()
        if machine.phase is not MachinePhase.STOPPED
        and QUARANTINE_LABEL not in box.nodes[machine.name].labels
    ]
    for entry in box.spec.sizes:
        assert running.count(entry.size) == entry.count
    assert len(running) == box.spec.count
