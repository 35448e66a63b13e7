"""Operations, pools, clusters and nodes as metrics, kept up to date by changes of records."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from random import Random

from prometheus_client import CollectorRegistry

from poolwright.model.agent_pool import (
    AGENT_POOL,
    OPERATION,
    AgentPoolSpec,
    AgentPoolStatus,
    OperationSpec,
    OperationState,
    OperationStatus,
    ProvisioningState,
)
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import ErrorDetail
from poolwright.model.managed_cluster import (
    MANAGED_CLUSTER,
    ManagedClusterSpec,
    ManagedClusterStatus,
    Outage,
)
from poolwright.ports.store import Create, Delete, Update
from poolwright.sim.clock import SimClock
from poolwright.sim.loop import run
from poolwright.store.sql_store import SqlStore
from poolwright.telemetry.record_metrics import RecordMetrics

KEY = ClusterKey("s", "rg", "c")
CLUSTER_SPEC = ManagedClusterSpec("s", "rg", "c", "eastus", "1.35", "1.35.4", "c", "MC_rg_c")
POOL_SPEC = AgentPoolSpec("np", "Standard_DS2_v2", 3, "1.35.4", "image")


class Story:
    def __init__(self, wrap=lambda store: store):
        self.clock = SimClock()
        self.store = SqlStore.open(None, clock=self.clock)
        self.registry = CollectorRegistry()
        self.metrics = RecordMetrics(self.registry, wrap(self.store), self.clock, Random(1))

    def create(self, kind, name, spec, status):
        return Create(kind, name, f"uid-{name}", spec, status, self.clock.now().wall)

    async def write(self, *writes):
        await self.store.transact(KEY.arm_scope, writes)
        await asyncio.sleep(0.1)

    def value(self, name, **labels):
        return self.registry.get_sample_value(name, labels)


def play(scenario):
    async def main():
        story = Story()
        task = asyncio.create_task(story.metrics.run())
        await asyncio.sleep(0.1)
        try:
            await scenario(story)
        finally:
            task.cancel()
            await story.store.close()

    run(main())


def operation(story, name="o1", type_="Updating"):
    status = OperationStatus(OperationState.IN_PROGRESS, story.clock.now().wall)
    return story.create(OPERATION, name, OperationSpec("/x", type_, "np"), status)


def test_operations_by_type_state_and_duration():
    async def scenario(story):
        begun = operation(story)
        await story.write(begun)
        assert story.value("poolwright_operations_running", type="Updating") == 1
        ended = replace(
            begun.status,
            state=OperationState.FAILED,
            ended_at=begun.status.started_at + timedelta(seconds=7),
        )
        await story.write(Update(OPERATION, "o1", status=ended))
        await story.write(Update(OPERATION, "o1", status=replace(ended, message="again")))
        labels = {"type": "Updating", "state": "Failed"}
        assert story.value("poolwright_operations_running", type="Updating") == 0
        assert story.value("poolwright_operations_total", **labels) == 1
        assert story.value("poolwright_operation_seconds_sum", **labels) == 7
        await story.write(Delete(OPERATION, "o1"))
        assert story.value("poolwright_operations_total", **labels) == 1

    play(scenario)


def test_a_running_operation_that_is_forgotten_is_not_running():
    async def scenario(story):
        await story.write(operation(story))
        await story.write(Delete(OPERATION, "o1"))
        assert story.value("poolwright_operations_running", type="Updating") == 0

    play(scenario)


def test_pools_and_nodes_follow_their_records():
    async def scenario(story):
        await story.write(
            story.create(MANAGED_CLUSTER, "c", CLUSTER_SPEC, ManagedClusterStatus()),
            story.create(AGENT_POOL, "np", POOL_SPEC, AgentPoolStatus()),
        )
        assert list(story.metrics.clusters) == [KEY]
        assert story.value("poolwright_agent_pools", state="Creating") == 1
        status = AgentPoolStatus(ProvisioningState.SUCCEEDED, machine_count=3, ready_count=2)
        await story.write(Update(AGENT_POOL, "np", status=status))
        assert story.value("poolwright_agent_pools", state="Creating") == 0
        assert story.value("poolwright_agent_pools", state="Succeeded") == 1
        labels = {"cluster": "s/rg/c", "agent_pool": "np"}
        assert story.value("poolwright_nodes", **labels, state="ready") == 2
        assert story.value("poolwright_nodes", **labels, state="not_ready") == 1
        await story.write(Delete(AGENT_POOL, "np"), Delete(MANAGED_CLUSTER, "c"))
        assert story.value("poolwright_nodes", **labels, state="ready") is None
        assert story.value("poolwright_agent_pools", state="Succeeded") == 0
        assert story.value("poolwright_managed_clusters", state="Creating") == 0
        assert list(story.metrics.clusters) == []

    play(scenario)


def test_what_was_there_before_it_began_is_counted_too():
    async def main():
        story = Story()
        await story.write(
            operation(story), story.create(AGENT_POOL, "np", POOL_SPEC, AgentPoolStatus())
        )
        task = asyncio.create_task(story.metrics.run())
        await asyncio.sleep(0.1)
        assert story.value("poolwright_operations_running", type="Updating") == 1
        assert story.value("poolwright_agent_pools", state="Creating") == 1
        task.cancel()
        await story.store.close()

    run(main())


class SlowToList:
    """A store whose list arrives after the next change has been heard."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def find(self, prefix, kind):
        found = await self._store.find(prefix, kind)
        await asyncio.sleep(1)
        return found


def test_a_look_that_comes_late_does_not_undo_what_was_heard_meanwhile():
    async def main():
        story = Story(SlowToList)
        await story.write(operation(story))
        task = asyncio.create_task(story.metrics.run())
        await asyncio.sleep(2.5)
        await story.write(Delete(OPERATION, "o1"))
        await asyncio.sleep(2)
        assert not story.value("poolwright_operations_running", type="Updating")
        task.cancel()
        await story.store.close()

    run(main())


def test_whether_an_adopted_cluster_can_be_reached():
    async def scenario(story):
        spec = replace(CLUSTER_SPEC, is_adopted=True)
        status = ManagedClusterStatus(ProvisioningState.SUCCEEDED)
        await story.write(story.create(MANAGED_CLUSTER, "c", spec, status))
        assert story.value("poolwright_cluster_reachable", cluster="s/rg/c") == 1
        now = story.clock.now()
        outage = Outage(now.world, now.wall, ErrorDetail("Code", "gone"))
        lost = replace(status, outage=outage)
        await story.write(Update(MANAGED_CLUSTER, "c", status=lost))
        assert story.value("poolwright_cluster_reachable", cluster="s/rg/c") == 0
        await story.write(Delete(MANAGED_CLUSTER, "c"))
        assert story.value("poolwright_cluster_reachable", cluster="s/rg/c") is None

    play(scenario)


def test_nothing_is_said_of_the_reach_of_our_own_clusters():
    async def scenario(story):
        await story.write(story.create(MANAGED_CLUSTER, "c", CLUSTER_SPEC, ManagedClusterStatus()))
        assert story.value("poolwright_cluster_reachable", cluster="s/rg/c") is None

    play(scenario)
