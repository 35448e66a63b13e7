"""Resource groups, lists of resources, and the deletion that takes clusters along."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from poolwright.arm.background import run_background
from poolwright.arm.resource_group_deletion import ResourceGroupDeletion, ResourceGroupKey
from poolwright.arm.response import ArmResponse
from poolwright.arm.snapshots import SNAPSHOT
from poolwright.model.cluster_key import ClusterKey, subscription_scope
from poolwright.model.errors import Conflict
from poolwright.model.managed_cluster import (
    MANAGED_CLUSTER,
    DocumentSpec,
    DocumentStatus,
    ManagedClusterSpec,
    ManagedClusterStatus,
)
from poolwright.ports.store import Create, Delete, Update

from .world import BASE, ROOT, SUBSCRIPTION, play

GROUPS = f"{ROOT}/resourcegroups"
KEY = ResourceGroupKey(SUBSCRIPTION, "rg1")
SCOPE = subscription_scope(SUBSCRIPTION)


async def add_cluster(world, name, group="rg1", tags=None):
    key = ClusterKey.of(SUBSCRIPTION, group, name)
    spec = ManagedClusterSpec(
        subscription=SUBSCRIPTION,
        resource_group=group,
        name=name,
        location="eastus",
        kubernetes_version="1.35",
        current_kubernetes_version="1.35.4",
        dns_prefix=name,
        node_resource_group=f"MC_{group}_{name}_eastus",
        tags=tags or {},
    )
    await world.store.transact(
        key.arm_scope,
        [
            Create(
                MANAGED_CLUSTER,
                key.name,
                world.context.identity.uid(),
                spec,
                ManagedClusterStatus(),
                world.clock.now().wall,
            )
        ],
    )
    return key


def test_create_get_update_and_list():
    async def scenario(world):
        created = await world.put(f"{GROUPS}/rg1", {"location": "East US", "tags": {"a": "b"}})
        again = await world.put(f"{GROUPS}/RG1", {"location": "eastus"})
        patched = await world.call("PATCH", f"{GROUPS}/rg1", {"tags": {"c": "d"}})
        untouched = await world.call("PATCH", f"{GROUPS}/rg1", {})
        await world.put(f"{GROUPS}/rg2", {"location": "westus2", "tags": {"x": "1"}})
        listed = await world.get(GROUPS)
        tagged = await world.get(f"{GROUPS}?$filter=tagName eq 'c' and tagValue eq 'd'")
        top = await world.get(f"{GROUPS}?$top=1")
        rest = await world.get(top.json["nextLink"].removeprefix(BASE), version=None)
        exists = await world.call("HEAD", f"{GROUPS}/rg1")
        return created, again, patched, untouched, listed, tagged, top, rest, exists

    created, again, patched, untouched, listed, tagged, top, rest, exists = play(scenario)
    assert created.status == 201
    assert created.json == {
        "id": f"{ROOT}/resourceGroups/rg1",
        "name": "rg1",
        "type": "Microsoft.Resources/resourceGroups",
        "location": "eastus",
        "tags": {"a": "b"},
        "properties": {"provisioningState": "Succeeded"},
    }
    assert (again.status, again.json["name"], again.json["tags"]) == (200, "rg1", {})
    assert patched.json["tags"] == {"c": "d"}
    assert untouched.json["tags"] == {"c": "d"}
    assert [group["name"] for group in listed.json["value"]] == ["rg1", "rg2"]
    assert [group["name"] for group in tagged.json["value"]] == ["rg1"]
    assert [group["name"] for group in top.json["value"]] == ["rg1"]
    assert [group["name"] for group in rest.json["value"]] == ["rg2"]
    assert "nextLink" not in rest.json
    assert "nextLink" not in listed.json
    assert (exists.status, exists.body) == (204, b"")


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("rg1", {}, 400, "LocationRequired"),
        ("rg1", {"location": ""}, 400, "LocationRequired"),
        ("rg1", {"location": 7}, 400, "InvalidRequestContent"),
        ("rg1", {"location": "../.."}, 400, "LocationNotAvailableForResourceGroup"),
        ("rg1", {"location": "mars"}, 400, "LocationNotAvailableForResourceGroup"),
        ("rg1", {"location": "eastus", "tags": []}, 400, "InvalidRequestContent"),
        ("rg1", {"location": "eastus", "tags": {"a": 1}}, 400, "InvalidRequestContent"),
        ("rg1", {"location": "eastus", "tags": {"a<": "x"}}, 400, "InvalidTagNameCharacters"),
        ("rg1", {"location": "eastus", "tags": {"": "x"}}, 400, "InvalidTagNameLength"),
        ("rg1", {"location": "eastus", "tags": {"a" * 513: "x"}}, 400, "InvalidTagNameLength"),
        ("rg1", {"location": "eastus", "tags": {"a": "x" * 257}}, 400, "InvalidTagValueLength"),
        (
            "rg1",
            {"location": "eastus", "tags": {str(n): "" for n in range(51)}},
            400,
            "TooManyTags",
        ),
        ("rg1", {"location": "eastus", "managedBy": 1}, 400, "InvalidRequestContent"),
        ("r" * 91, {"location": "eastus"}, 400, "ResourceGroupNameTooLong"),
        ("rg.", {"location": "eastus"}, 400, "InvalidResourceGroup"),
        ("rg$1", {"location": "eastus"}, 400, "InvalidResourceGroup"),
    ],
)
def test_bad_groups_are_refused_and_not_written(name, body, status, code):
    async def scenario(world):
        answer = await world.put(f"{GROUPS}/{name}", body)
        return answer, await world.store.revision(SCOPE)

    answer, revision = play(scenario)
    assert (answer.status, answer.code) == (status, code)
    assert revision == 0


def test_a_group_stays_where_it_is():
    async def scenario(world):
        await world.put(f"{GROUPS}/rg1", {"location": "eastus"})
        return await world.put(f"{GROUPS}/rg1", {"location": "westus2"})

    answer = play(scenario)
    assert (answer.status, answer.code) == (409, "InvalidResourceGroupLocation")


@pytest.mark.parametrize(
    "query", ["$filter=nonsense", "$filter=size eq '1'", "$top=0", "$top=x", "$skiptoken=x"]
)
def test_bad_queries_of_lists(query):
    async def scenario(world):
        return await world.get(f"{GROUPS}?{query}")

    assert play(scenario).status == 400


def test_node_resource_groups_are_shown_and_cannot_be_written():
    async def scenario(world):
        await world.put(f"{GROUPS}/rg1", {"location": "eastus"})
        await add_cluster(world, "c1")
        node_group = f"{GROUPS}/mc_rg1_c1_eastus"
        return (
            await world.get(node_group),
            (await world.call("HEAD", node_group)).status,
            await world.get(GROUPS),
            await world.call("DELETE", node_group),
            await world.put(node_group, {"location": "eastus"}),
        )

    shown, head, listed, deleted, put = play(scenario)
    assert shown.json["managedBy"].endswith("/managedClusters/c1")
    assert head == 204
    assert [group["name"] for group in listed.json["value"]] == ["MC_rg1_c1_eastus", "rg1"]
    assert deleted.status == put.status == 403


def test_resources_are_listed_by_filter():
    async def scenario(world):
        await world.put(f"{GROUPS}/rg1", {"location": "eastus"})
        await world.put(f"{GROUPS}/rg2", {"location": "eastus"})
        await add_cluster(world, "c1", tags={"team": "a"})
        await add_cluster(world, "c2", group="rg2")
        queries = {
            "all": f"{ROOT}/resources",
            "group": f"{ROOT}/resources?$filter=resourceGroup eq 'RG1'&$expand=createdTime",
            "own": f"{ROOT}/resourceGroups/rg2/resources?$expand=provisioningState&$top=10",
            "tag": f"{ROOT}/resources?$filter=tagName eq 'team' and tagValue eq 'a'",
            "type": f"{ROOT}/resources?$filter=resourceType eq 'Microsoft.Compute/disks'",
            "not": f"{ROOT}/resources?$filter=name ne 'c1'",
        }
        return {name: (await world.get(query)).json["value"] for name, query in queries.items()}

    lists = play(scenario)
    names = {which: [resource["name"] for resource in found] for which, found in lists.items()}
    assert names == {
        "all": ["c1", "c2"],
        "group": ["c1"],
        "own": ["c2"],
        "tag": ["c1"],
        "type": [],
        "not": ["c2"],
    }
    assert "createdTime" in lists["group"][0]
    assert "createdTime" not in lists["all"][0]
    assert lists["own"][0]["provisioningState"] == "Creating"


def test_deleting_is_accepted_once_and_blocks_writes():
    async def scenario(world):
        await world.put(f"{GROUPS}/rg1", {"location": "eastus"})
        missing = await world.call("DELETE", f"{GROUPS}/nope")
        first = await world.call("DELETE", f"{GROUPS}/rg1")
        second = await world.call("DELETE", f"{GROUPS}/rg1")
        blocked = await world.put(f"{GROUPS}/rg1", {"location": "eastus"})
        polled = await world.get(first.headers["location"].removeprefix(BASE), version=None)
        shown = await world.get(f"{GROUPS}/rg1")
        return missing, first, second, blocked, polled, shown

    missing, first, second, blocked, polled, shown = play(scenario)
    assert (missing.status, missing.code) == (404, "ResourceGroupNotFound")
    assert (first.status, first.body) == (202, b"")
    assert first.headers["retry-after"] == "1"
    assert second.headers["location"] == first.headers["location"]
    assert (blocked.status, blocked.code) == (409, "ResourceGroupBeingDeleted")
    assert (polled.status, polled.headers["location"]) == (202, first.headers["location"])
    assert shown.json["properties"]["provisioningState"] == "Deleting"


def test_deletion_asks_for_each_cluster_and_ends_when_none_is_left():
    async def scenario(world):
        asked = []

        async def perform(method, target, content, base_url):
            asked.append((method, target.partition("?")[0]))
            key = ClusterKey.of(SUBSCRIPTION, "rg1", target.partition("?")[0].rsplit("/", 1)[1])
            await world.store.transact(
                key.arm_scope,
                [Update(MANAGED_CLUSTER, key.name, deleted_at=world.clock.now().wall)],
            )
            return ArmResponse(202)

        await world.put(f"{GROUPS}/rg1", {"location": "eastus"})
        keys = [await add_cluster(world, "c1"), await add_cluster(world, "c2")]
        await add_cluster(world, "other", group="rg10")
        await world.store.transact(
            SCOPE,
            [
                Create(
                    SNAPSHOT,
                    f"{group}/s",
                    f"uid-{group}",
                    DocumentSpec("s"),
                    DocumentStatus(),
                    world.clock.now().wall,
                )
                for group in ("rg1", "rg10")
            ],
        )
        accepted = await world.call("DELETE", f"{GROUPS}/rg1")
        poll = accepted.headers["location"].removeprefix(BASE)
        controller = ResourceGroupDeletion(world.context, perform)
        waits = [await controller.reconcile(KEY), await controller.reconcile(KEY)]
        running = await world.get(poll, version=None)
        for key in keys:
            await world.store.transact(key.arm_scope, [Delete(MANAGED_CLUSTER, key.name)])
        waits.append(await controller.reconcile(KEY))
        ended = await world.get(poll, version=None)
        waits.append(await controller.reconcile(KEY))
        gone = await world.get(f"{GROUPS}/rg1")
        left, _ = await world.store.list(SCOPE, SNAPSHOT)
        return asked, waits, running, ended, gone, [record.name for record in left]

    asked, waits, running, ended, gone, left = play(scenario)
    root = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg1/providers"
    assert asked == [
        ("DELETE", f"{root}/Microsoft.ContainerService/managedClusters/{name}")
        for name in ("c1", "c2")
    ]
    assert [wait is None for wait in waits] == [False, False, True, True]
    assert running.status == 202
    assert (ended.status, ended.body) == (200, b"")
    assert gone.status == 404
    assert left == ["rg10/s"]


def test_deletion_tries_again_when_the_front_door_refuses():
    async def scenario(world):
        async def perform(method, target, content, base_url):
            raise Conflict("busy")

        await world.put(f"{GROUPS}/rg1", {"location": "eastus"})
        await add_cluster(world, "c1")
        await world.call("DELETE", f"{GROUPS}/rg1")
        with pytest.raises(Conflict):
            await ResourceGroupDeletion(world.context, perform).reconcile(KEY)
        return (await world.get(f"{GROUPS}/rg1")).json["properties"]["provisioningState"]

    assert play(scenario) == "Deleting"


@pytest.mark.parametrize("is_late", [False, True])
def test_background_deletes_groups_asked_for_before_and_after_it_starts(is_late):
    async def scenario(world):
        world.context = replace(world.context, clock=RealTime())
        app_context = world.context
        await world.put(f"{GROUPS}/rg1", {"location": "eastus"})
        if not is_late:
            await world.call("DELETE", f"{GROUPS}/rg1")
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            task = group.create_task(
                run_background(app_context, world.app.perform, Random(1), holder="one")
            )
            await asyncio.sleep(0)
            if is_late:
                await world.call("DELETE", f"{GROUPS}/rg1")
            while (await world.call("HEAD", f"{GROUPS}/rg1")).status != 404:  # noqa: ASYNC110
                await asyncio.sleep(0)
            task.cancel()
        return True

    assert play(scenario)


def test_a_cluster_that_outlived_its_group_goes_too():
    async def scenario(world):
        await add_cluster(world, "late")
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            world.context = replace(world.context, clock=RealTime())
            task = group.create_task(
                run_background(world.context, world.app.perform, Random(1), holder="one")
            )
            key = ClusterKey.of(SUBSCRIPTION, "rg1", "late")
            while True:
                found = await world.store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
                if found.deleted_at is not None:
                    break
                await asyncio.sleep(0)
            task.cancel()
        return found.status.provisioning_state

    assert play(scenario) == "Deleting"


class RealTime:
    """The loop's own time, for work that waits for milliseconds."""

    def __init__(self):
        from .world import ManualClock

        self._still = ManualClock()

    def now(self):
        return self._still.now()

    def monotonic(self):
        return asyncio.get_running_loop().time()

    async def sleep(self, duration):
        await asyncio.sleep(duration.total_seconds())

    async def sleep_until(self, at):
        await asyncio.Event().wait()


def test_deletion_goes_through_the_real_front_door():
    async def scenario(world):
        await world.put(f"{GROUPS}/rg1", {"location": "eastus"})
        key = await add_cluster(world, "c1")
        await world.call("DELETE", f"{GROUPS}/rg1")
        controller = ResourceGroupDeletion(world.context, world.app.perform)
        waits = [await controller.reconcile(KEY), await controller.reconcile(KEY)]
        cluster = await world.store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
        return waits, cluster.deleted_at, cluster.status.provisioning_state

    waits, deleted_at, state = play(scenario)
    assert None not in waits
    assert deleted_at is not None
    assert state == "Deleting"


def test_settings_add_locations():
    async def scenario(world):
        made = await world.put(f"{GROUPS}/rg1", {"location": "Mars"})
        return made, await world.get(f"{ROOT}/locations")

    made, listed = play(scenario, locations=("mars", "East US"))
    assert (made.status, made.json["location"]) == (201, "mars")
    names = [each["name"] for each in listed.json["value"]]
    assert (names.count("mars"), names.count("eastus")) == (1, 1)
