"""Operations: the headers of an accepted request, their status, results, and `latest`."""

from dataclasses import replace
from datetime import timedelta

import pytest

from poolwright.arm.app import ArmApp
from poolwright.arm.operations import create_operation, operation_headers, polling_headers
from poolwright.arm.settings import ArmSettings
from poolwright.model.agent_pool import OPERATION, OperationState
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import ErrorDetail
from poolwright.ports.store import Update

from .test_resource_groups import add_cluster
from .world import AKS_VERSION, BASE, ROOT, SUBSCRIPTION, play

KEY = ClusterKey.of(SUBSCRIPTION, "rg1", "c1")
CLUSTER = f"{ROOT}/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c1"


class Asked:
    base_url = BASE
    subscription = SUBSCRIPTION
    api_version = AKS_VERSION


async def begin(world, *, pool="", final_body=False, resource_id=f"{ROOT}/resourceGroups/rg1"):
    write = create_operation(
        world.context,
        resource_id=resource_id,
        type_="Updating",
        region="eastus",
        pool=pool,
        final_body=final_body,
    )
    await world.store.transact(KEY.arm_scope, [write])
    return write


async def end(world, name, state, **more):
    operation = await world.store.get(KEY.arm_scope, OPERATION, name)
    status = replace(operation.status, state=state, ended_at=world.clock.now().wall, **more)
    await world.store.transact(KEY.arm_scope, [Update(OPERATION, name, status=status)])


def test_polling_to_success():
    async def scenario(world):
        write = await begin(world)
        headers = dict(operation_headers(world.context, Asked(), write, KEY, with_location=True))
        status_url = headers["Azure-AsyncOperation"].removeprefix(BASE)
        result_url = headers["Location"].removeprefix(BASE)
        running = await world.get(status_url, version=None)
        waiting = await world.get(result_url, version=None)
        world.clock.advance(timedelta(seconds=2, microseconds=500))
        await end(world, write.name, OperationState.SUCCEEDED)
        ended = await world.get(status_url, version=None)
        done = await world.get(result_url, version=None)
        return write, headers, running, waiting, ended, done

    write, headers, running, waiting, ended, done = play(scenario)
    place = f"{BASE}{ROOT}/providers/Microsoft.ContainerService/locations/eastus"
    assert headers["Azure-AsyncOperation"].startswith(f"{place}/operations/{write.name}?")
    assert headers["Location"].startswith(f"{place}/operationresults/{write.name}?")
    assert running.json["status"] == "InProgress"
    assert running.json["name"] == write.name
    assert running.json["startTime"] == "2026-11-01T12:00:00.0000000Z"
    assert "endTime" not in running.json
    assert running.headers["retry-after"] == "1"
    assert (waiting.status, waiting.headers["location"]) == (202, headers["Location"])
    assert ended.json["status"] == "Succeeded"
    assert ended.json["endTime"] == "2026-11-01T12:00:02.0005000Z"
    assert "retry-after" not in ended.headers
    assert (done.status, done.body) == (204, b"")


def test_failure_carries_code_message_and_details():
    async def scenario(world):
        write = await begin(world)
        await end(
            world,
            write.name,
            OperationState.FAILED,
            error=ErrorDetail("SkuNotAvailable", "No such size.", "sku.name"),
            error_details=(ErrorDetail("AllocationFailed", "Inner."),),
        )
        path = f"{ROOT}/providers/Microsoft.ContainerService/locations/eastus/operations"
        return await world.get(f"{path}/{write.name}", version="2016-03-30")

    answer = play(scenario)
    assert answer.json["status"] == "Failed"
    assert answer.json["error"] == {
        "code": "SkuNotAvailable",
        "message": "No such size.",
        "target": "sku.name",
        "details": [{"code": "AllocationFailed", "message": "Inner."}],
    }


def test_the_hint_in_the_url_is_not_needed_and_not_trusted():
    async def scenario(world):
        write = await begin(world)
        path = f"{ROOT}/providers/Microsoft.ContainerService/locations/eastus/operations"
        hints = ["", "?c=", "?c=%%%", "?c=AAAA", "?c=b3RoZXIvY2x1c3Rlcg"]
        found = [(await world.get(f"{path}/{write.name}{hint}")).status for hint in hints]
        missing = await world.get(f"{path}/00000000-0000-0000-0000-000000000000")
        return found, missing

    found, missing = play(scenario)
    assert set(found) == {200}
    assert (missing.status, missing.code) == (404, "NotFound")


def test_results_with_a_body_are_the_resource_itself():
    async def scenario(world):
        await world.put(f"{ROOT}/resourceGroups/rg1", {"location": "eastus"})
        write = await begin(world, final_body=True)
        await end(world, write.name, OperationState.SUCCEEDED)
        path = f"{ROOT}/providers/Microsoft.ContainerService/locations/eastus/operationresults"
        there = await world.get(f"{path}/{write.name}")
        gone = await begin(world, final_body=True, resource_id=f"{ROOT}/resourceGroups/gone")
        await end(world, gone.name, OperationState.SUCCEEDED)
        return there, await world.get(f"{path}/{gone.name}")

    there, gone = play(scenario)
    assert (there.status, there.json["name"]) == (200, "rg1")
    assert (gone.status, gone.code) == (404, "ResourceGroupNotFound")


def test_operations_of_a_pool_and_of_a_cluster():
    async def scenario(world):
        await world.put(f"{ROOT}/resourceGroups/rg1", {"location": "eastus"})
        await add_cluster(world, "c1")
        first = await begin(world, pool="gpu")
        await end(world, first.name, OperationState.SUCCEEDED)
        world.clock.advance(timedelta(seconds=1))
        second = await begin(world, pool="gpu")
        whole = await begin(world)
        pool = f"{CLUSTER}/agentPools/gpu/operations"
        latest = await world.get(f"{pool}/latest", version=AKS_VERSION)
        by_id = await world.get(f"{pool}/{first.name}", version=AKS_VERSION)
        other = await world.get(f"{pool}/{whole.name}", version=AKS_VERSION)
        active = await world.get(f"{pool}?activeOnly=true", version=AKS_VERSION)
        every = await world.get(pool, version=AKS_VERSION)
        cluster = await world.get(f"{CLUSTER}/operations/latest", version=AKS_VERSION)
        names = (first.name, second.name, whole.name)
        return names, latest, by_id, other, active, every, cluster

    (first, second, whole), latest, by_id, other, active, every, cluster = play(scenario)
    assert latest.json["name"] == second
    assert latest.json["operationType"] == "Updating"
    assert latest.json["id"] == f"{CLUSTER}/agentPools/gpu/operations/{second}"
    assert (by_id.json["status"], by_id.json["percentComplete"]) == ("Succeeded", 100)
    assert other.status == 404
    assert [item["name"] for item in active.json["value"]] == [second]
    assert [item["name"] for item in every.json["value"]] == [first, second]
    assert cluster.json["name"] == whole


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({}, {"Retry-After": "1"}),
        ({"retry_after_seconds": 5}, {"Retry-After": "5"}),
        ({"retry_after_ms": 100}, {"retry-after-ms": "100"}),
    ],
)
def test_how_soon_to_ask_again(settings, headers):
    async def scenario(world):
        return dict(polling_headers(world.context))

    assert play(scenario, **settings) == headers


@pytest.mark.parametrize(
    "setting", [{"retry_after_seconds": 0}, {"retry_after_ms": 1}, {"body_bytes_max": 0}]
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        ArmSettings(**setting)


def test_the_server_can_ask_its_own_front_door():
    async def scenario(world):
        app: ArmApp = world.app
        path = f"{ROOT}/resourceGroups/rg1"
        put = await app.perform(
            "PUT", f"{path}?api-version=2024-11-01", {"location": "eastus"}, BASE
        )
        got = await app.perform("GET", f"{path}?api-version=2024-11-01", None, BASE)
        return put.status, got.content["name"]

    assert play(scenario) == (201, "rg1")
