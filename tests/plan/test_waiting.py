"""What an operation says while its pool is in trouble, and how it ends then."""

from datetime import timedelta

from plan.pool_world import IMAGE, OLD_IMAGE, Sandbox, name_of, pod, pool_spec
from poolwright.model.agent_pool import OperationState, ProvisioningState
from poolwright.model.pod import Budget

STATE = ProvisioningState


def upgrading():
    sandbox = Sandbox(pool_spec(count=1, node_image_version=OLD_IMAGE)).settled(1)
    sandbox.pods[name_of(0)] = [pod("web-1", name_of(0))]
    sandbox.budgets = {"default": [Budget("default", "web", {"app": "web"}, 0)]}
    sandbox.change(STATE.UPGRADING_NODE_IMAGE, node_image_version=IMAGE)
    return sandbox


def test_a_drain_that_a_budget_holds_up_is_told():
    sandbox = upgrading()
    said = []
    for _ in range(100):
        plan = sandbox.step()
        said.append(plan.operation_message)
        if plan.end is not None:
            break
    word = f"WaitingForDrain: {name_of(0)} still has default/web-1; budget default/web allows none"
    assert word in said
    assert said[0] == ""
    assert plan.end.error.code == "PodDrainFailure"
    assert plan.end.error.message == (
        f"Drain node {name_of(0)} failed when evicting pod default/web-1. "
        "Too Many Requests: budget default/web."
    )


def test_a_machine_that_never_joins_is_told_once_it_is_slow():
    sandbox = Sandbox(pool_spec(count=2))
    sandbox.join = lambda machine: None
    said = {}
    for _ in range(100):
        plan = sandbox.step()
        said[sandbox.now] = plan.operation_message
        if plan.end is not None:
            break
    words = list(dict.fromkeys(said.values()))
    assert words[:2] == [
        "CreatingAgentPool: 0/2 nodes completed",
        f"WaitingForNodes: 0/2 nodes ready; {name_of(0)}: Registration, "
        "the node has not registered yet",
    ]
    assert plan.end.state is OperationState.FAILED
    assert "Registration" in plan.end.error.message


def test_a_node_that_somebody_deleted_is_told_and_leaves_first():
    sandbox = Sandbox(pool_spec()).settled(3)
    del sandbox.nodes[name_of(0)]
    sandbox.change(STATE.UPDATING, node_labels={"a": "b"})
    assert sandbox.step().operation_message == (
        f"WaitingForNodes: 0/3 nodes ready; {name_of(0)}: Registration, its Node was deleted, "
        "the machine is reimaged"
    )
    assert sandbox.plan().operation_message == (
        f"WaitingForNodes: 2/3 nodes ready; {name_of(0)}: Allocation, its Node was deleted, "
        "the machine is reimaged"
    )
    sandbox.change(STATE.SCALING, count=2)
    assert sandbox.run().end.state is OperationState.SUCCEEDED
    assert name_of(0) not in sandbox.machines
    assert len(sandbox.machines) == 2


def test_machines_in_their_usual_time_are_nothing_to_tell():
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.change(STATE.SCALING, count=4)
    before = sandbox.now
    assert sandbox.step().operation_message == ""
    sandbox.now = before.after(timedelta(seconds=119))
    assert sandbox.plan().operation_message == ""
