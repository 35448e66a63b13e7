"""Ended operations are forgotten after a week, and the oldest beyond a number."""

from dataclasses import replace
from datetime import timedelta

from poolwright.arm.operation_retention import KEPT_FOR, KEPT_MAX, OperationRetention, expired
from poolwright.arm.operations import create_operation
from poolwright.model.agent_pool import OPERATION, OperationState
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.record import Stored
from poolwright.ports.store import Update

from .world import SUBSCRIPTION, World, play

SCOPE = ClusterKey.of(SUBSCRIPTION, "rg1", "c1").arm_scope


def operation(world, name, *, ended_after=None):
    """An operation that began now, and ended so much later."""
    write = create_operation(world.context, resource_id="/x", type_="Updating", region="eastus")
    status = write.status
    if ended_after is not None:
        status = replace(
            status, state=OperationState.SUCCEEDED, ended_at=status.started_at + ended_after
        )
    return Stored(OPERATION, SCOPE, name, name, 1, 1, write.spec, status, status.started_at, None)


def test_a_week_after_their_end():
    world = World()
    now = world.clock.now().wall + KEPT_FOR
    young = operation(world, "young", ended_after=timedelta())
    old = operation(world, "old", ended_after=-timedelta(microseconds=1))
    running = operation(world, "running")
    assert expired([young, running, old], now) == [old]
    assert expired([young, running, old], now + timedelta(days=900)) == [old, young]


def test_the_oldest_beyond_the_number():
    world = World()
    many = [
        operation(world, f"o{index:05}", ended_after=timedelta(seconds=index))
        for index in range(KEPT_MAX + 3)
    ]
    found = expired([operation(world, "running"), *reversed(many)], world.clock.now().wall)
    assert [one.name for one in found] == ["o00000", "o00001", "o00002"]


def test_a_pass_forgets_what_is_due_and_comes_back_while_anything_is_left():
    async def scenario(world):
        writes = [
            create_operation(world.context, resource_id="/x", type_="Updating", region="eastus")
            for _ in range(3)
        ]
        await world.store.transact(SCOPE, writes)
        controller = OperationRetention(world.store, world.clock)
        for write in writes[:2]:
            status = replace(
                write.status, state=OperationState.FAILED, ended_at=world.clock.now().wall
            )
            await world.store.transact(SCOPE, [Update(OPERATION, write.name, status=status)])
        waits = [await controller.reconcile(SCOPE)]
        before, _ = await world.store.list(SCOPE, OPERATION)
        world.clock.advance(KEPT_FOR + timedelta(seconds=1))
        waits.append(await controller.reconcile(SCOPE))
        after, _ = await world.store.list(SCOPE, OPERATION)
        status = replace(
            writes[2].status, state=OperationState.CANCELED, ended_at=world.clock.now().wall
        )
        await world.store.transact(SCOPE, [Update(OPERATION, writes[2].name, status=status)])
        world.clock.advance(KEPT_FOR * 2)
        waits.append(await controller.reconcile(SCOPE))
        last, _ = await world.store.list(SCOPE, OPERATION)
        names = [one.name for one in after]
        return len(before), names == [writes[2].name], list(last), [w is None for w in waits]

    assert play(scenario) == (3, True, [], [False, False, True])
