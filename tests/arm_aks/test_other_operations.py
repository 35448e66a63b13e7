"""What this server does not do is said in words; what is empty reads as empty."""

import pytest

from arm_aks.world import CLUSTER, GROUP, NEWEST, PREVIEW, SUBSCRIPTION, run

POOL = f"{CLUSTER}/agentPools/nodepool1"
LOCATION = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerService/locations/eastus"

COLLECTIONS = [
    ("trustedAccessRoleBindings", True),
    ("privateEndpointConnections", True),
    ("privateLinkResources", False),
    ("meshUpgradeProfiles", False),
    ("managedNamespaces", True),
    ("identityBindings", True),
    ("loadBalancers", True),
    ("meshMemberships", True),
    ("jwtAuthenticators", True),
]


@pytest.mark.parametrize(("name", "is_writable"), COLLECTIONS)
def test_collections_are_empty_and_writes_are_refused(name, is_writable):
    async def story(world):
        await world.cluster()
        listed = await world.get(f"{CLUSTER}/{name}", version=PREVIEW)
        assert (listed.status, listed.body) == (200, {"value": []})
        one = await world.get(f"{CLUSTER}/{name}/x", version=PREVIEW)
        assert (one.status, one.body["code"]) == (404, "NotFound")
        put = await world.put(f"{CLUSTER}/{name}/x", {"properties": {}}, version=PREVIEW)
        if is_writable:
            assert (put.status, put.body["code"]) == (400, "NotSupported")
            assert name in put.body["message"]
            assert (await world.delete(f"{CLUSTER}/{name}/x", version=PREVIEW)).status == 204
        else:
            assert put.status == 405

    run(story)


REFUSED = [
    # path, body, status, code
    (f"{CLUSTER}/runCommand", {"command": "kubectl get pods"}, 400, "NotSupported"),
    (f"{CLUSTER}/runCommand", {}, 400, "InvalidParameter"),
    (f"{CLUSTER}/resolvePrivateLinkServiceId", {"name": "x"}, 400, "NotSupported"),
    (f"{POOL}/completeUpgrade", None, 409, "OperationNotAllowed"),
    (f"{POOL}/listBootstrapData", None, 400, "BadRequest"),
]


@pytest.mark.parametrize(("path", "body", "status", "code"), REFUSED)
def test_refused_actions(path, body, status, code):
    async def story(world):
        await world.cluster()
        answer = await world.post(path, body, version=PREVIEW)
        assert (answer.status, answer.body["code"]) == (status, code)
        assert "azure-asyncoperation" not in answer.headers

    run(story)


def test_results_of_commands_are_not_there():
    async def story(world):
        await world.cluster()
        answer = await world.get(f"{CLUSTER}/commandResults/1234")
        assert (answer.status, answer.body["code"]) == (404, "NotFound")

    run(story)


def test_no_command_on_a_stopped_cluster():
    async def story(world):
        await world.cluster()
        await world.post(f"{CLUSTER}/stop")
        await world.settle()
        answer = await world.post(f"{CLUSTER}/runCommand", {"command": "kubectl get pods"})
        assert (answer.status, answer.body["code"]) == (409, "OperationNotAllowed")

    run(story)


def test_machines_are_not_put():
    async def story(world):
        await world.cluster()
        path = f"{POOL}/machines/m1"
        answer = await world.put(path, {"properties": {}}, version=PREVIEW)
        assert (answer.status, answer.body["code"]) == (400, "BadRequest")
        assert "'System'" in answer.body["message"]
        assert (await world.put(path, {"properties": {}}, version=NEWEST)).status == 400

    run(story)


@pytest.mark.parametrize(
    ("properties", "code", "target"),
    [
        ({"type": "FlexNodes"}, "InvalidAgentPoolType", "agentPoolProfile.type"),
        ({"upgradeStrategy": "BlueGreen"}, "NotSupported", "agentPoolProfile.upgradeStrategy"),
        ({"mode": "Machines"}, "InvalidParameter", "agentPoolProfile.mode"),
    ],
)
def test_refused_pools(properties, code, target):
    async def story(world):
        await world.cluster()
        answer = await world.put_pool("np", properties, version=PREVIEW)
        assert answer.status == 400
        assert (answer.body["code"], answer.body["target"]) == (code, target)
        assert (await world.get_pool("np")).status == 404

    run(story)


def test_blue_green_settings_alone_change_nothing():
    async def story(world):
        await world.cluster()
        settings = {"drainBatchSize": "50%"}
        sent = {"upgradeStrategy": "Rolling", "upgradeSettingsBlueGreen": settings}
        made = await world.put_pool("np", sent, version=PREVIEW)
        assert made.status == 201
        assert made.properties["upgradeSettingsBlueGreen"] == settings

    run(story)


def test_mesh_revisions_by_mode():
    async def story(world):
        await world.group()
        assert GROUP
        one = await world.get(f"{LOCATION}/meshRevisionProfiles/istio")
        listed = await world.get(f"{LOCATION}/meshRevisionProfiles")
        assert listed.body["value"] == [one.body]
        assert (await world.get(f"{LOCATION}/meshRevisionProfiles/other")).status == 404

    run(story)
