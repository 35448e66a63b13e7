"""A cluster that somebody else made, as ARM shows and changes it."""

from dataclasses import replace

import pytest

from arm_aks.world import CLUSTER, GROUP, SUBSCRIPTION, run
from poolwright.arm.adoption import Adoption, adopt_cluster, check_adoption
from poolwright.model.errors import Conflict, ErrorDetail, PoolwrightError
from poolwright.model.managed_cluster import MANAGED_CLUSTER, Outage
from poolwright.ports.store import Update

ADOPTION = Adoption(SUBSCRIPTION, "rg1", "c1", "eastus")
POOL = {"count": 1, "vmSize": "Standard_D4s_v3"}


def test_it_is_a_managed_cluster_in_a_group():
    async def story(world):
        await adopt_cluster(world.context, ADOPTION, "1.35.4")
        await adopt_cluster(world.context, ADOPTION, "1.35.4")
        assert (await world.get(GROUP, version="2024-11-01")).status == 200
        shown = (await world.get(CLUSTER)).properties
        assert shown["provisioningState"] == "Succeeded"
        assert shown["currentKubernetesVersion"] == "1.35.4"

    run(story)


def test_its_version_follows_the_server():
    async def story(world):
        await adopt_cluster(world.context, ADOPTION, "1.35.4")
        await adopt_cluster(world.context, ADOPTION, "1.36.1")
        assert (await world.get(CLUSTER)).properties["currentKubernetesVersion"] == "1.36.1"

    run(story)


def test_its_last_pool_may_go():
    async def story(world):
        await adopt_cluster(world.context, ADOPTION, "1.35.4")
        assert (await world.put_pool("one", POOL)).status == 201
        assert (await world.delete(f"{CLUSTER}/agentPools/one")).status == 202

    run(story)


def test_its_control_plane_is_left_alone():
    async def story(world):
        await adopt_cluster(world.context, ADOPTION, "1.35.4")
        newer = {"location": "eastus", "properties": {"kubernetesVersion": "1.36.1"}}
        for answer in (
            await world.post(f"{CLUSTER}/stop"),
            await world.post(f"{CLUSTER}/start"),
            await world.post(f"{CLUSTER}/rotateClusterCertificates"),
            await world.post(f"{CLUSTER}/rotateServiceAccountSigningKeys"),
            await world.put(CLUSTER, newer),
        ):
            assert answer.status == 400, answer
            assert "OperationNotAllowed" in repr(answer)
            assert "was not made by this service" in repr(answer)

    run(story)


def test_no_other_cluster_is_made_beside_it():
    async def story(world):
        await world.group()
        object.__setattr__(
            world.context, "settings", replace(world.context.settings, makes_clusters=False)
        )
        answer = await world.put(CLUSTER, {"location": "eastus", "properties": {}})
        assert answer.status == 400
        assert "OperationNotAllowed" in repr(answer)

    run(story)


def test_a_cluster_made_here_is_not_taken():
    async def story(world):
        await world.cluster()
        with pytest.raises(Conflict):
            await adopt_cluster(world.context, ADOPTION, "1.35.4")

    run(story)


@pytest.mark.parametrize("wrong", [{"name": "-c"}, {"resource_group": "rg."}, {"location": "moon"}])
def test_names_are_those_of_arm(wrong):
    async def story(world):
        check_adoption(world.context, ADOPTION)
        with pytest.raises(PoolwrightError):
            check_adoption(world.context, replace(ADOPTION, **wrong))

    run(story)


def test_a_lost_cluster_says_so_and_nothing_else_lies():
    async def story(world):
        await adopt_cluster(world.context, ADOPTION, "1.35.4")
        found = await world.context.store.get(ADOPTION.key.arm_scope, MANAGED_CLUSTER, "c1")
        now = world.context.clock.now()
        gone = Outage(now.world, now.wall, ErrorDetail("KubernetesOperationError", "no route"))
        lost = replace(found.status, outage=gone)
        write = Update(MANAGED_CLUSTER, "c1", status=lost)
        await world.context.store.transact(ADOPTION.key.arm_scope, [write])
        shown = (await world.get(CLUSTER)).properties
        assert shown["status"]["provisioningError"] == {
            "code": "KubernetesOperationError",
            "message": "no route",
        }
        assert shown["provisioningState"] == "Succeeded"
        assert shown["powerState"] == {"code": "Running"}
        write = Update(MANAGED_CLUSTER, "c1", status=found.status)
        await world.context.store.transact(ADOPTION.key.arm_scope, [write])
        assert "status" not in (await world.get(CLUSTER)).properties

    run(story)
