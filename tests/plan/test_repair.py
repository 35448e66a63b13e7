"""A Node that somebody deleted: its machine is reimaged, and registers again."""

from dataclasses import replace
from datetime import timedelta

from plan.pool_world import Sandbox, name_of, node_of, pool_spec
from poolwright.model.agent_pool import OperationState, ProvisioningState
from poolwright.plan.actions import ReimageMachine
from poolwright.plan.repair import REGISTERS_WITHIN, REPAIR_AFTER

STATE = ProvisioningState


def bereft():
    """A pool at rest of whose nodes somebody has just deleted one."""
    sandbox = Sandbox(pool_spec()).settled(3)
    del sandbox.nodes[name_of(0)]
    return sandbox


def reimaged(plan):
    return [action.name for action in plan.actions if isinstance(action, ReimageMachine)]


def play(sandbox, minutes):
    """What was reimaged in so many minutes."""
    return [name for _ in range(minutes) for name in reimaged(sandbox.step())]


def test_an_operation_repairs_at_once_and_waits_no_longer_than_machines_take():
    sandbox = bereft()
    began_at, before = sandbox.now, sandbox.machines[name_of(0)]
    sandbox.change(STATE.SCALING, count=4)
    assert reimaged(sandbox.step()) == [name_of(0)]
    assert sandbox.run().end.state is OperationState.SUCCEEDED
    assert sandbox.now.since(began_at) <= timedelta(minutes=5)
    assert len(sandbox.machines) == len(sandbox.nodes) == 4, "the machine was counted"
    assert sandbox.machines[name_of(0)].uid != before.uid
    assert sandbox.status.missing_since == {}


def test_without_an_operation_it_is_repaired_after_ten_minutes():
    sandbox = bereft()
    lost_at = sandbox.now
    plan = sandbox.step()
    assert (reimaged(plan), plan.wake_at) == ([], lost_at.after(REPAIR_AFTER))
    assert sandbox.status.missing_since == {name_of(0): lost_at}
    sandbox.now = plan.wake_at.after(-timedelta(seconds=1))
    assert reimaged(sandbox.plan()) == []
    sandbox.now = plan.wake_at
    plan = sandbox.step()
    assert reimaged(plan) == [name_of(0)]
    event = next(action.event for action in plan.actions if isinstance(action, ReimageMachine))
    assert event.reason == "NodeReimageStart"
    sandbox.run()
    assert name_of(0) in sandbox.nodes
    assert sandbox.status.missing_since == {}
    assert play(sandbox, 30) == []


def test_what_does_not_register_after_that_is_left_to_people():
    sandbox = bereft()
    sandbox.join = lambda machine: None
    assert play(sandbox, 120) == [name_of(0)]
    sandbox.change(STATE.UPDATING, node_labels={"a": "b"})
    ended = None
    done = []
    while ended is None:
        plan = sandbox.step()
        done += reimaged(plan)
        ended = plan.end
    assert done == [name_of(0)], "once more for who asked"
    assert (ended.state, ended.error.code) == (OperationState.FAILED, "NodesNotReady")


def test_a_node_that_comes_back_by_itself_is_forgotten():
    sandbox = bereft()
    sandbox.step()
    machine = sandbox.machines[name_of(0)]
    sandbox.nodes[machine.name] = node_of(machine)
    sandbox.run()
    assert sandbox.status.missing_since == {}
    assert sandbox.machines[machine.name].uid == machine.uid


def test_a_machine_that_has_just_booted_is_not_missed():
    sandbox = bereft()
    name = name_of(0)
    sandbox.machines[name] = replace(sandbox.machines[name], phase_since=sandbox.now)
    plan = sandbox.plan()
    assert plan.status.missing_since == {}
    assert plan.wake_at == sandbox.now.after(REGISTERS_WITHIN)


def test_an_outage_of_the_cluster_is_no_absence():
    sandbox = bereft()
    sandbox.step()
    sandbox.now = sandbox.now.after(3 * REPAIR_AFTER)
    ended = replace(sandbox.cluster_status, outage_ended_at=sandbox.now)
    sandbox.cluster_status = ended
    plan = sandbox.plan()
    assert reimaged(plan) == []
    assert plan.wake_at == sandbox.now.after(REPAIR_AFTER)


def test_a_pool_that_shrinks_parts_with_it_first_and_repairs_nothing():
    sandbox = bereft()
    sandbox.change(STATE.SCALING, count=2)
    assert play(sandbox, 5) == []
    assert name_of(0) not in sandbox.machines
