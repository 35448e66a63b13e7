"""The pool planner, case by case."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from plan.pool_world import (
    CLUSTER_STATUS,
    IMAGE,
    OLD_IMAGE,
    Sandbox,
    gpu_spec,
    name_of,
    node_of,
    operation,
    pod,
    pool_spec,
)
from poolwright.model.agent_pool import (
    OperationState,
    ProvisioningState,
    SizeCount,
    UndrainableNodeBehavior,
    UpgradeSettings,
)
from poolwright.model.errors import ErrorDetail
from poolwright.model.machine import MachinePhase
from poolwright.model.node import NodeCondition
from poolwright.model.pod import Budget
from poolwright.model.taint import Taint
from poolwright.plan.actions import (
    CreateMachine,
    DeleteMachine,
    DeleteNode,
    PatchNode,
    ReimageMachine,
)
from poolwright.plan.bootstrap import STARTUP_TAINT
from poolwright.plan.machine_name import machine_index, machine_name
from poolwright.plan.pool import plan_refusal
from poolwright.plan.upkeep import CORDONED, plan_left_behind

STATE = ProvisioningState
BLOCKING = {"default": [Budget("default", "web", {"app": "web"}, 0)]}


def test_a_new_pool_gets_its_machines_and_succeeds():
    sandbox = Sandbox(pool_spec())
    first = sandbox.step()
    assert [a.name for a in first.actions] == [name_of(0), name_of(1), name_of(2)]
    assert sandbox.status.next_machine_index == 3
    plan = sandbox.run()
    assert plan.end.state is OperationState.SUCCEEDED
    assert sandbox.status.operation_id is None
    assert (sandbox.status.machine_count, sandbox.status.ready_count) == (3, 3)
    assert sandbox.status.current_kubernetes_version == "1.35.4"


def test_an_empty_pool_is_ready_at_once():
    sandbox = Sandbox(pool_spec(count=0))
    assert sandbox.step().end.state is OperationState.SUCCEEDED


@pytest.mark.parametrize("count", [0, 3])
def test_the_pass_after_a_success_changes_nothing(count):
    """A write after the end would move the ETag that clients have just read."""
    sandbox = Sandbox(pool_spec(count=count))
    while (plan := sandbox.step()).end is None:
        pass
    assert plan.end.state is OperationState.SUCCEEDED
    assert plan.status.message == f"{count}/{count} nodes ready"
    after = sandbox.plan()
    assert after.status == sandbox.status
    assert not after.actions


def test_an_unseen_creation_is_repeated_under_the_same_name():
    sandbox = Sandbox(pool_spec(count=2))
    first = sandbox.plan()
    sandbox.status = first.status  # recorded, but the process died before the provider was asked
    assert [a.name for a in sandbox.plan().actions] == [a.name for a in first.actions]


def test_a_managed_gpu_node_is_ready_when_its_startup_taint_is_lifted():
    sandbox = Sandbox(gpu_spec(count=1))
    sandbox.step()
    sandbox.pass_time()
    node = sandbox.nodes[name_of(0)]
    assert STARTUP_TAINT in node.taints
    assert node.labels["kubernetes.azure.com/dcgm-exporter"] == "enabled"
    plan = sandbox.step()
    assert [type(a) for a in plan.actions] == [PatchNode]
    assert STARTUP_TAINT not in sandbox.nodes[name_of(0)].taints
    assert sandbox.run().end.state is OperationState.SUCCEEDED


def test_a_managed_gpu_node_waits_for_its_components():
    sandbox = Sandbox(gpu_spec(count=1))
    sandbox.step()
    sandbox.pass_time()
    sandbox.pods.clear()
    plan = sandbox.step()
    assert plan.actions == ()
    assert "DevicePlugin" in plan.status.message


def test_scaling_down_drains_the_newest_and_keeps_the_rest():
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.pods[name_of(2)] = [pod("web-1", name_of(2))]
    sandbox.change(STATE.SCALING, count=2)
    sandbox.run()
    assert sorted(sandbox.machines) == [name_of(0), name_of(1)]
    kinds = [line.split()[2] for line in sandbox.log]
    assert kinds == ["PatchNode", "EvictPod", "DeleteMachine", "operation"]


def test_scaling_down_respects_a_budget_until_the_deadline():
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.pods[name_of(2)] = [pod("web-1", name_of(2))]
    sandbox.budgets = BLOCKING
    sandbox.change(STATE.SCALING, count=2)
    for _ in range(25):
        sandbox.step()
    assert len(sandbox.machines) == 3
    assert not any("EvictPod" in line for line in sandbox.log)
    sandbox.run()
    assert len(sandbox.machines) == 2


def test_growing_again_gives_a_draining_node_back():
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.pods[name_of(2)] = [pod("web-1", name_of(2))]
    sandbox.budgets = BLOCKING
    sandbox.change(STATE.SCALING, count=2)
    sandbox.step()
    assert CORDONED in sandbox.nodes[name_of(2)].annotations
    sandbox.change(STATE.SCALING, count=3)
    sandbox.run()
    assert len(sandbox.ready()) == 3
    assert sandbox.status.drains == {}


def test_a_user_cordon_stays():
    sandbox = Sandbox(pool_spec()).settled(3)
    name = name_of(1)
    sandbox.nodes[name] = replace(sandbox.nodes[name], unschedulable=True)
    assert sandbox.plan().actions == ()


def test_delete_machines_takes_the_named_ones_without_a_drain():
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.pods[name_of(0)] = [pod("web-1", name_of(0))]
    sandbox.change(STATE.DELETING, count=2, doomed_machines=(name_of(0),))
    sandbox.run()
    assert sorted(sandbox.machines) == [name_of(1), name_of(2)]
    assert sandbox.spec.doomed_machines == ()
    assert not any("PatchNode" in line or "EvictPod" in line for line in sandbox.log)


def test_labels_and_taints_follow_the_pool_and_leave_foreign_ones():
    mine, foreign = Taint.parse("sku=gpu:NoSchedule"), Taint.parse("user=x:NoExecute")
    sandbox = Sandbox(pool_spec(node_labels={"a": "1", "b": "2"}, node_taints=(mine,))).settled(1)
    sandbox.spec = replace(sandbox.spec, count=1)
    name = name_of(0)
    node = sandbox.nodes[name]
    sandbox.nodes[name] = replace(
        node, labels={**node.labels, "mine": "yes"}, taints=(*node.taints, foreign)
    )
    sandbox.change(STATE.UPDATING, node_labels={"b": "3", "c": "4"}, node_taints=())
    sandbox.run()
    labels = sandbox.nodes[name].labels
    assert (labels.get("a"), labels["b"], labels["c"], labels["mine"]) == (None, "3", "4", "yes")
    assert sandbox.nodes[name].taints == (foreign,)
    sandbox.change(STATE.UPDATING, node_labels={}, node_taints=(mine,))
    sandbox.run()
    assert "b" not in sandbox.nodes[name].labels
    assert set(sandbox.nodes[name].taints) == {foreign, mine}


def test_an_upgrade_reimages_each_node_and_removes_the_surge_machine():
    sandbox = Sandbox(pool_spec(node_image_version=OLD_IMAGE)).settled(3)
    for index in range(3):
        sandbox.pods[name_of(index)] = [pod(f"web-{index}", name_of(index))]
    sandbox.change(STATE.UPGRADING_NODE_IMAGE, node_image_version=IMAGE)
    plan = sandbox.run()
    assert plan.end.state is OperationState.SUCCEEDED
    assert sorted(sandbox.machines) == [name_of(0), name_of(1), name_of(2)]
    assert {m.bootstrap.node_image_version for m in sandbox.machines.values()} == {IMAGE}
    assert sum("ReimageMachine" in line for line in sandbox.log) == 3
    assert sum("CreateMachine" in line for line in sandbox.log) == 1


def test_an_upgrade_soaks_a_drained_node():
    sandbox = Sandbox(
        pool_spec(
            node_image_version=OLD_IMAGE,
            count=1,
            upgrade_settings=UpgradeSettings(node_soak_duration_in_minutes=10),
        )
    ).settled(1)
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    sandbox.run()
    drained, reimaged = (
        next(int(line.split()[0]) for line in sandbox.log if word in line)
        for word in ("PatchNode", "ReimageMachine")
    )
    assert reimaged - drained >= 10


def test_an_upgrade_without_surge_goes_in_place():
    sandbox = Sandbox(
        pool_spec(
            node_image_version=OLD_IMAGE,
            upgrade_settings=UpgradeSettings(max_surge="0", max_unavailable="1"),
        )
    ).settled(3)
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    least = 3
    while not sandbox.status.provisioning_state.is_terminal:
        sandbox.step()
        least = min(least, len(sandbox.ready()))
    assert least == 2
    assert not any("CreateMachine" in line for line in sandbox.log)


def test_an_undrainable_node_fails_the_upgrade_and_is_given_back():
    sandbox = Sandbox(pool_spec(node_image_version=OLD_IMAGE, count=1)).settled(1)
    sandbox.pods[name_of(0)] = [pod("web-1", name_of(0))]
    sandbox.budgets = BLOCKING
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    sandbox.run()
    error = sandbox.status.error
    assert sandbox.status.provisioning_state is STATE.FAILED
    assert error.code == "PodDrainFailure"
    assert name_of(0) in error.message
    assert "default/web-1" in error.message
    assert not sandbox.nodes[name_of(0)].unschedulable
    sandbox.budgets = {}
    sandbox.change(STATE.UPGRADING)
    assert sandbox.run().end.state is OperationState.SUCCEEDED


def test_an_undrainable_node_is_quarantined_if_asked():
    sandbox = Sandbox(
        pool_spec(
            node_image_version=OLD_IMAGE,
            count=2,
            upgrade_settings=UpgradeSettings(
                undrainable_node_behavior=UndrainableNodeBehavior.CORDON
            ),
        )
    ).settled(2)
    sandbox.pods[name_of(0)] = [pod("web-1", name_of(0))]
    sandbox.budgets = BLOCKING
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    sandbox.run()
    node = sandbox.nodes[name_of(0)]
    assert node.labels["kubernetes.azure.com/upgrade-status"] == "Quarantined"
    assert node.unschedulable
    assert sandbox.status.provisioning_state is STATE.FAILED
    assert sandbox.status.error.code == "UpgradeFailed"
    new = [m for m in sandbox.machines.values() if m.bootstrap.node_image_version == IMAGE]
    assert len(new) == 2


def blocked_upgrade(count, blocked, **settings):
    """An upgrade of ``count`` nodes, the first ``blocked`` of which cannot be drained."""
    behavior = UndrainableNodeBehavior.CORDON
    sandbox = Sandbox(
        pool_spec(
            node_image_version=OLD_IMAGE,
            count=count,
            upgrade_settings=UpgradeSettings(undrainable_node_behavior=behavior, **settings),
        )
    ).settled(count)
    for index in range(blocked):
        sandbox.pods[name_of(index)] = [pod(f"web-{index}", name_of(index))]
    sandbox.budgets = BLOCKING
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    sandbox.run(steps=1000)
    return sandbox


def quarantined(sandbox):
    label = "kubernetes.azure.com/upgrade-status"
    return sorted(n.name for n in sandbox.nodes.values() if n.labels.get(label) == "Quarantined")


def renewed(sandbox):
    return [m for m in sandbox.machines.values() if m.bootstrap.node_image_version == IMAGE]


def test_as_many_nodes_as_allowed_may_stay_blocked():
    sandbox = blocked_upgrade(6, 2, max_blocked_nodes="2")
    assert quarantined(sandbox) == [name_of(0), name_of(1)]
    assert len(renewed(sandbox)) == 6
    assert sandbox.status.error.code == "UpgradeFailed"
    assert "maxBlockedNodes" not in sandbox.status.error.message


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({"max_blocked_nodes": "1"}, 1),
        ({"max_blocked_nodes": "0"}, 0),
        ({"max_surge": "2"}, 2),
        ({"max_surge": "0", "max_unavailable": "1"}, 1),
        ({}, 1),
    ],
)
def test_one_blocked_node_more_fails_the_upgrade_and_leaves_the_rest(settings, most):
    sandbox = blocked_upgrade(6, 5, **settings)
    error = sandbox.status.error
    assert error.code == "UpgradeFailed"
    assert f"maxBlockedNodes ({most})" in error.message
    assert most < len(quarantined(sandbox)) <= most + 2
    assert all(name in error.message for name in quarantined(sandbox))
    others = [n for n in sandbox.nodes.values() if n.name not in quarantined(sandbox)]
    assert not any(node.unschedulable for node in others)


def test_an_operation_that_is_no_upgrade_succeeds_beside_quarantined_nodes():
    sandbox = blocked_upgrade(4, 1, max_blocked_nodes="1")
    sandbox.change(STATE.SCALING, count=5)
    assert sandbox.run().end.state is OperationState.SUCCEEDED
    assert quarantined(sandbox) == [name_of(0)]


@pytest.mark.parametrize("state", [STATE.SUCCEEDED, STATE.FAILED, STATE.CANCELED])
def test_a_node_whose_machine_is_gone_is_removed_once_it_is_silent(state):
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.status = replace(sandbox.status, provisioning_state=state)
    node = sandbox.nodes[name_of(0)]
    strangers = {
        "silent": {"Ready": NodeCondition("Unknown")},
        "empty": {},
        "joining": {"Ready": NodeCondition("False")},
        "alive": {"Ready": NodeCondition("True")},
    }
    for name, conditions in strangers.items():
        sandbox.nodes[name] = replace(node, name=name, uid=name, conditions=conditions)
    removed = [a for a in sandbox.plan().actions if isinstance(a, DeleteNode)]
    assert [(a.name, a.uid, a.event.reason) for a in removed] == [
        ("silent", "silent", "DeletingNode"),
        ("empty", "empty", "DeletingNode"),
    ]
    sandbox.step()
    assert {"joining", "alive", *sandbox.machines} == set(sandbox.nodes)


def test_nodes_of_pools_without_a_machine_are_left_behind_however_ready_they_are():
    sandbox = Sandbox(pool_spec()).settled(3)
    one = sandbox.nodes[name_of(0)]
    nodes = [
        *sandbox.nodes.values(),
        replace(one, name="left", uid="left"),
        replace(one, name="going", uid="going", deleting=True),
        replace(one, name="theirs", uid="theirs", is_foreign=True),
    ]
    left = plan_left_behind(nodes, set(sandbox.machines))
    assert [(a.name, a.uid) for a in left] == [("left", "left")]


def test_an_abort_gives_cordoned_nodes_back():
    sandbox = Sandbox(pool_spec(node_image_version=OLD_IMAGE, count=2)).settled(2)
    sandbox.pods[name_of(0)] = [pod("web-1", name_of(0))]
    sandbox.budgets = BLOCKING
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    for _ in range(6):
        sandbox.step()
    assert any(node.unschedulable for node in sandbox.nodes.values())
    assert sandbox.status.drains
    sandbox.status = replace(sandbox.status, is_halted=True, provisioning_state=STATE.CANCELING)
    sandbox.step()
    assert not sandbox.status.drains  # or the next operation would find their time over
    machines = sorted(sandbox.machines)
    sandbox.step()
    assert sandbox.status.provisioning_state is STATE.CANCELED
    assert not any(node.unschedulable for node in sandbox.nodes.values())
    assert sorted(sandbox.machines) == machines


def test_a_thousand_nodes_are_upgraded_in_place_a_tenth_at_a_time():
    settings = UpgradeSettings(max_surge="0", max_unavailable="10%")
    spec = pool_spec(node_image_version=OLD_IMAGE, count=1000, upgrade_settings=settings)
    sandbox = Sandbox(spec, actions_max=100).settled(1000)
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    away: list[int] = []
    for _ in range(200):
        plan = sandbox.step()
        ready = [
            node.name
            for node in sandbox.nodes.values()
            if not node.unschedulable and sandbox.machines[node.name].phase is MachinePhase.RUNNING
        ]
        away.append(1000 - len(ready))
        assert len(sandbox.machines) == 1000
        if plan.end is not None:
            break
    assert plan.end.state is OperationState.SUCCEEDED
    assert max(away) == 100
    assert len(away) < 120  # ten waves of some minutes each: not node by node


def test_stop_and_start():
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.change(STATE.STOPPING, is_stopped=True)
    assert sandbox.run().end.state is OperationState.SUCCEEDED
    assert {m.phase for m in sandbox.machines.values()} == {MachinePhase.STOPPED}
    sandbox.change(STATE.STARTING, is_stopped=False)
    assert sandbox.run().end.state is OperationState.SUCCEEDED
    assert len(sandbox.ready()) == 3
    assert sandbox.status.next_machine_index == 3


def test_deallocated_machines_are_started_first():
    sandbox = Sandbox(pool_spec(scale_down_mode="Deallocate")).settled(3)
    sandbox.change(STATE.SCALING, count=1)
    sandbox.run()
    phases = [sandbox.machines[name_of(i)].phase for i in range(3)]
    assert phases == [MachinePhase.RUNNING, MachinePhase.STOPPED, MachinePhase.STOPPED]
    sandbox.change(STATE.SCALING, count=2)
    sandbox.run()
    assert sandbox.machines[name_of(1)].phase is MachinePhase.RUNNING
    assert len(sandbox.machines) == 3


def test_deleting_removes_machines_and_then_the_record():
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.deleted = True
    plan = sandbox.plan()
    assert [type(a) for a in plan.actions] == [DeleteMachine] * 3
    assert sandbox.run().is_gone
    assert sandbox.machines == {}


def test_an_abort_stops_planning_and_rolls_nothing_back():
    sandbox = Sandbox(pool_spec()).settled(1)
    sandbox.change(STATE.SCALING, count=3)
    sandbox.step()
    sandbox.status = replace(sandbox.status, is_halted=True, provisioning_state=STATE.CANCELING)
    plan = sandbox.step()
    assert plan.end.state is OperationState.CANCELED
    assert plan.end.error.code == "Canceled"
    assert len(sandbox.machines) == 3
    assert sandbox.plan().actions == ()


def test_a_failed_machine_fails_the_operation_and_is_replaced_by_the_next():
    sandbox = Sandbox(pool_spec(count=2))
    sandbox.step()
    bad = sandbox.machines[name_of(1)]
    failure = ErrorDetail("VMExtensionProvisioningError", "exit status 84")
    sandbox.machines[bad.name] = replace(
        bad,
        phase=MachinePhase.FAILED,
        phase_since=sandbox.now,
        step="DriverInstall",
        failure=failure,
    )
    sandbox.run()
    assert sandbox.status.provisioning_state is STATE.FAILED
    assert sandbox.status.error == failure
    assert bad.name in sandbox.machines
    sandbox.change(STATE.UPDATING)
    assert sandbox.run().end.state is OperationState.SUCCEEDED
    assert sorted(sandbox.machines) == [name_of(0), name_of(2)]


def test_a_node_that_never_comes_fails_the_operation_by_name():
    sandbox = Sandbox(pool_spec(count=1), boot=timedelta(hours=3))
    sandbox.run()
    assert sandbox.status.error.code == "NodesNotReady"
    assert name_of(0) in sandbox.status.error.message
    assert "Expected: 1, Actual: 0" in sandbox.status.error.message


def test_a_pool_waits_for_the_control_plane():
    sandbox = Sandbox(
        pool_spec(),
        cluster_status=replace(CLUSTER_STATUS, running_kubernetes_version=""),
    )
    assert sandbox.plan().actions == ()
    sandbox.cluster_status = replace(CLUSTER_STATUS, running_kubernetes_version="1.34.2")
    assert sandbox.plan().actions == ()


def test_a_machine_that_vanished_is_replaced_without_an_operation():
    sandbox = Sandbox(pool_spec()).settled(3)
    for things in (sandbox.machines, sandbox.nodes):
        del things[name_of(1)]
    sandbox.run()
    assert sorted(sandbox.machines) == [name_of(0), name_of(2), name_of(3)]


def test_the_autoscalers_choice_goes_first():
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.spec = replace(sandbox.spec, count=2)
    sandbox.status = replace(sandbox.status, leaving=(name_of(0),))
    sandbox.run()
    assert sorted(sandbox.machines) == [name_of(1), name_of(2)]
    assert sandbox.status.leaving == ()


def test_a_refused_creation_fails_the_operation_with_the_code():
    sandbox = Sandbox(pool_spec())
    plan = plan_refusal(sandbox.world(), ErrorDetail("QuotaExceeded", "no cores"), sandbox.now)
    assert plan.end.state is OperationState.FAILED
    assert plan.status.error.code == "QuotaExceeded"


def test_a_refused_surge_shrinks_to_what_fits_then_goes_in_place():
    error = ErrorDetail("AllocationFailed", "full")
    settings = UpgradeSettings(max_surge="2", max_unavailable="1")
    sandbox = Sandbox(pool_spec(node_image_version=OLD_IMAGE, upgrade_settings=settings)).settled(3)
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    plan = plan_refusal(sandbox.world(), error, sandbox.now)
    assert plan.status.surge_limit == 0
    sandbox.status = plan.status
    assert sandbox.run().end.state is OperationState.SUCCEEDED
    assert not any("CreateMachine" in line for line in sandbox.log)
    assert sandbox.status.surge_limit is None


def test_a_refused_scale_out_without_operation_gives_the_count_back():
    sandbox = Sandbox(pool_spec(enable_auto_scaling=True, min_count=1, max_count=9)).settled(3)
    sandbox.spec = replace(sandbox.spec, count=5)
    plan = plan_refusal(sandbox.world(), ErrorDetail("QuotaExceeded", "no"), sandbox.now)
    assert plan.spec.count == 3
    assert plan.status.scale_up_backoff_until > sandbox.now
    assert plan.end is None


def test_actions_are_bounded_and_names_are_not_lost():
    sandbox = Sandbox(pool_spec(count=25), actions_max=10)
    first = sandbox.step()
    assert len(first.actions) == 10
    assert first.wake_at is not None
    sandbox.run()
    assert sorted(sandbox.machines) == [name_of(i) for i in range(25)]


def test_nothing_is_decided_about_nodes_that_cannot_be_seen():
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.change(STATE.SCALING, count=1)
    world = replace(sandbox.world(), nodes=None)
    from poolwright.plan.pool import plan_agent_pool

    assert plan_agent_pool(world, sandbox.now).actions == ()


def test_a_reimage_that_raced_is_planned_again_for_the_new_incarnation():
    sandbox = Sandbox(pool_spec(node_image_version=OLD_IMAGE, count=1)).settled(1)
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    while not any(isinstance(a, ReimageMachine) for a in sandbox.plan().actions):
        sandbox.step()
    machine = sandbox.machines[name_of(0)]
    sandbox.machines[machine.name] = replace(machine, uid="vm-other")
    assert sandbox.run().end.state is OperationState.SUCCEEDED


def test_zones_take_turns_and_label_their_nodes():
    sandbox = Sandbox(pool_spec(availability_zones=("1", "2")))
    requests = [a.request for a in sandbox.plan().actions if isinstance(a, CreateMachine)]
    assert [r.zone for r in requests] == ["1", "2", "1"]
    assert requests[1].bootstrap.labels["topology.kubernetes.io/zone"] == "eastus-2"


def test_a_node_that_registers_twice_is_one_node():
    sandbox = Sandbox(pool_spec(count=1)).settled(1)
    machine = sandbox.machines[name_of(0)]
    sandbox.nodes[machine.name] = node_of(machine, uid="another")
    assert sandbox.plan().actions == ()


def test_operation_message_counts_nodes():
    sandbox = Sandbox(pool_spec(count=2), operation(STATE.CREATING))
    assert sandbox.step().operation_message == "CreatingAgentPool: 0/2 nodes completed"


def test_a_node_is_cordoned_until_it_is_reimaged_or_gone():
    sandbox = Sandbox(pool_spec(count=2, node_image_version=OLD_IMAGE)).settled(2)
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    ended = []
    while not sandbox.status.provisioning_state.is_terminal:
        for action in sandbox.plan().actions:
            if isinstance(action, ReimageMachine | DeleteMachine):
                assert sandbox.nodes[action.name].unschedulable
                ended.append(action.name)
            if isinstance(action, PatchNode) and action.unschedulable is False:
                assert action.name not in ended
        sandbox.step()
    assert len(ended) == 3


# -- several sizes ---------------------------------------------------------------------------------

SMALL, BIG = "Standard_D2s_v3", "Standard_D4s_v3"


def sized(**changes):
    """A settled pool of type VirtualMachines: two small machines."""
    return with_sizes(Sandbox(pool_spec(**changes)), (SMALL, 2)).settled(2)


def with_sizes(sandbox, *sizes, state=None):
    spec = replace(
        sandbox.spec,
        pool_type="VirtualMachines",
        sizes=tuple(SizeCount(size, count) for size, count in sizes),
        vm_size=sizes[0][0],
        count=sum(count for _, count in sizes),
    )
    if state is None:
        sandbox.spec = spec
        return sandbox
    return sandbox.change(
        state, sizes=spec.sizes, vm_size=spec.vm_size, count=spec.count, pool_type=spec.pool_type
    )


def sizes_of(sandbox):
    return dict(Counter(machine.vm_size for machine in sandbox.machines.values()))


def test_every_size_of_a_pool_gets_its_machines():
    sandbox = with_sizes(Sandbox(pool_spec()), (SMALL, 1), (BIG, 2))
    assert sandbox.run().end.state is OperationState.SUCCEEDED
    assert sizes_of(sandbox) == {SMALL: 1, BIG: 2}
    assert sorted(name.rpartition("-")[2] for name in sandbox.machines) == ["vm0", "vm1", "vm2"]
    labels = {n.labels["node.kubernetes.io/instance-type"] for n in sandbox.nodes.values()}
    assert labels == {SMALL, BIG}


@pytest.mark.parametrize("index", [0, 7, 10, 35, 36, 1000])
def test_names_carry_the_index_whatever_their_form(index):
    plain = machine_name("np1", "12345678", index)
    single = machine_name("np1", "12345678", index, is_single=True)
    windows = machine_name("win", "12345678", index, os_type="Windows")
    assert plain.startswith("aks-np1-12345678-vmss")
    assert single == f"aks-np1-12345678-vm{index}"
    assert [machine_index(name) for name in (plain, single, windows)] == [index] * 3


def test_a_size_is_added_and_another_taken_without_fewer_ready_nodes():
    sandbox = with_sizes(sized(), (SMALL, 1), (BIG, 1), state=STATE.SCALING)
    ready = []
    for _ in range(30):
        plan = sandbox.step()
        ready.append(sum(not node.unschedulable for node in sandbox.nodes.values()))
        if plan.end is not None:
            break
    assert plan.end.state is OperationState.SUCCEEDED
    assert min(ready) == 2
    assert sizes_of(sandbox) == {SMALL: 1, BIG: 1}


def test_a_size_is_scaled_to_nothing():
    sandbox = with_sizes(sized(), (SMALL, 0), (BIG, 1), state=STATE.SCALING)
    assert sandbox.run().end.state is OperationState.SUCCEEDED
    assert sizes_of(sandbox) == {BIG: 1}


def test_an_upgrade_of_several_sizes_keeps_their_counts():
    settings = UpgradeSettings(max_surge="1")
    sandbox = sized(node_image_version=OLD_IMAGE, upgrade_settings=settings)
    sandbox.spec = with_sizes(sandbox, (SMALL, 2), (BIG, 1)).spec
    sandbox.add(2, vm_size=BIG)
    sandbox.status = replace(sandbox.status, next_machine_index=3)
    sandbox.change(STATE.UPGRADING, node_image_version=IMAGE)
    most = 0
    for _ in range(100):
        plan = sandbox.step()
        most = max(most, len(sandbox.machines))
        if plan.end is not None:
            break
    assert plan.end.state is OperationState.SUCCEEDED
    assert most == 4
    assert sizes_of(sandbox) == {SMALL: 2, BIG: 1}
    assert len(renewed(sandbox)) == 3
