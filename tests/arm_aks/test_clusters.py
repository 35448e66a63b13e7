"""Managed clusters through the API: creation with pools, updates, upgrades, actions, lists."""

import base64
from dataclasses import replace

import pytest
import yaml

from arm_aks.world import CLUSTER, GROUP, KEY, PREVIEW, SUBSCRIPTION, cluster_body, run
from poolwright.arm.app import create_app
from poolwright.arm.records import RESOURCE_GROUP
from poolwright.arm.tokens import TokenKeys
from poolwright.model.cluster_key import ClusterKey, subscription_scope
from poolwright.model.managed_cluster import DocumentStatus
from poolwright.ports.store import Update

SCOPE = ClusterKey.of(SUBSCRIPTION, "rg1", "c1").arm_scope


def test_defaults_of_a_new_cluster():
    async def story(world):
        made = await world.cluster()
        properties = made.properties
        assert made.body["type"] == "Microsoft.ContainerService/ManagedClusters"
        assert properties["provisioningState"] == "Creating"
        assert properties["kubernetesVersion"] == "1.35"
        assert properties["currentKubernetesVersion"] == "1.35.4"
        assert properties["nodeResourceGroup"] == "MC_rg1_c1_eastus"
        assert properties["maxAgentPools"] == 100
        assert properties["fqdn"].startswith("c1-rg1-")
        assert properties["fqdn"].endswith(".hcp.eastus.azmk8s.io")
        network = properties["networkProfile"]
        assert (network["networkPlugin"], network["networkPluginMode"]) == ("azure", "overlay")
        assert network["podCidr"] == "10.244.0.0/16"
        assert network["loadBalancerProfile"]["managedOutboundIPs"] == {"count": 1}
        assert made.body["identity"]["principalId"]
        assert made.body["sku"] == {"name": "Base", "tier": "Free"}
        pool = properties["agentPoolProfiles"][0]
        assert (pool["name"], pool["vmSize"], pool["mode"]) == (
            "nodepool1",
            "Standard_DS2_v2",
            "System",
        )
        read = await world.get(CLUSTER)
        assert read.properties["provisioningState"] == "Succeeded"
        lists = [
            f"{GROUP}/providers/Microsoft.ContainerService/managedClusters",
            f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerService/managedClusters",
        ]
        for path in lists:
            assert [one["name"] for one in (await world.get(path)).body["value"]] == ["c1"]

    run(story)


def test_first_pool_is_a_system_pool_by_itself():
    async def story(world):
        made = await world.cluster(pools=[{"name": "one"}])
        assert made.properties["agentPoolProfiles"][0]["mode"] == "System"

    run(story)


REFUSED = [
    # what differs from a good body, code, target
    ({"agentPoolProfiles": None}, "InvalidParameter", "agentPoolProfiles"),
    ({"agentPoolProfiles": []}, "InvalidParameter", "agentPoolProfiles"),
    ({"agentPoolProfiles": [{"name": "a", "mode": "User"}]}, "BadRequest", "agentPoolProfiles"),
    ({"agentPoolProfiles": [{"count": 1}]}, "InvalidParameter", "agentPoolProfile.name"),
    (
        {"agentPoolProfiles": [{"name": "a", "mode": "System"}, {"name": "a"}]},
        "InvalidParameter",
        "agentPoolProfile.name",
    ),
    ({"kubernetesVersion": "9.9"}, "K8sVersionNotSupported", "properties.kubernetesVersion"),
    ({"dnsPrefix": "-x"}, "InvalidParameter", "dnsPrefix"),
    ({"nonsense": 1}, "UnmarshalError", "nonsense"),
    ({"networkProfile": {"nonsense": 1}}, "UnmarshalError", "nonsense"),
    ({"networkProfile": 7}, "UnmarshalError", "properties.networkProfile"),
    (
        {"networkProfile": {"networkPlugin": "magic"}},
        "InvalidParameter",
        "properties.networkProfile.networkPlugin",
    ),
    (
        {"networkProfile": {"networkPlugin": "kubenet", "networkPluginMode": "overlay"}},
        "InvalidParameter",
        "networkProfile.networkPluginMode",
    ),
    (
        {"autoScalerProfile": {"scan-interval": "x"}},
        "InvalidParameter",
        "autoScalerProfile.scan-interval",
    ),
    ({"autoScalerProfile": {"expander": "best"}}, "InvalidParameter", "autoScalerProfile.expander"),
]


@pytest.mark.parametrize(("change", "code", "target"), REFUSED)
def test_bad_clusters_are_refused_and_change_nothing(change, code, target):
    async def story(world):
        await world.group()
        body = cluster_body(change)
        answer = await world.put(CLUSTER, body)
        assert (answer.status, answer.body["code"]) == (400, code), answer
        assert answer.body["target"] == target
        assert await world.store.revision(SCOPE) == 0

    run(story)


@pytest.mark.parametrize(
    "body",
    [
        {"identity": {"type": []}},
        {"identity": {"userAssignedIdentities": 5}},
        {"sku": {"tier": []}},
        {"properties": 5},
        {"properties": {"agentPoolProfiles": [5]}},
        {"properties": {"agentPoolProfiles": [{"name": "a", "count": []}]}},
        {"properties": {"networkProfile": {"loadBalancerProfile": {"managedOutboundIPs": 5}}}},
    ],
)
def test_any_json_is_answered(body):
    async def story(world):
        await world.group()
        answer = await world.put(CLUSTER, {**cluster_body(), **body})
        assert answer.status == 400, answer

    run(story)


def test_missing_location_and_group():
    async def story(world):
        missing = await world.put(CLUSTER, cluster_body())
        assert missing.body["error"]["code"] == "ResourceGroupNotFound"
        await world.group()
        body = cluster_body()
        del body["location"]
        answer = await world.put(CLUSTER, body)
        assert answer.body["error"]["code"] == "LocationRequired"
        await world.put(CLUSTER, cluster_body())
        await world.settle()
        elsewhere = await world.put(CLUSTER, {**cluster_body(), "location": "westus2"})
        assert elsewhere.status == 409
        assert elsewhere.body["error"]["code"] == "InvalidResourceLocation"

    run(story)


def test_updates_do_not_add_or_remove_pools():
    async def story(world):
        await world.cluster()
        await world.put_pool("np", {"count": 1})
        body = (await world.get(CLUSTER)).body
        pools = body["properties"]["agentPoolProfiles"]
        more = {
            **body,
            "properties": {**body["properties"], "agentPoolProfiles": [*pools, {"name": "x"}]},
        }
        added = await world.put(CLUSTER, more)
        assert (added.status, added.body["code"]) == (400, "BadRequest")
        assert added.body["message"].startswith("A new agent pool was introduced.")
        less = {**body, "properties": {**body["properties"], "agentPoolProfiles": pools[:1]}}
        removed = await world.put(CLUSTER, less)
        assert (removed.status, removed.body["target"]) == (400, "agentPoolProfiles")

    run(story)


def test_scale_by_the_cluster():
    async def story(world):
        await world.cluster()
        body = (await world.get(CLUSTER)).body
        body["properties"]["agentPoolProfiles"][0]["count"] = 3
        answer = await world.put(CLUSTER, body)
        assert (answer.status, answer.properties["provisioningState"]) == (200, "Updating")
        pool = answer.properties["agentPoolProfiles"][0]
        assert (pool["count"], pool["provisioningState"]) == (3, "Scaling")
        busy = await world.put_pool("np", {"count": 1}, settle=False)
        assert busy.status == 409
        assert "Another operation (Updating) is in progress" in busy.body["message"]

    run(story)


def with_versions(body, version):
    for pool in body["properties"]["agentPoolProfiles"]:
        pool["orchestratorVersion"] = version
    return body


def test_upgrade_of_everything_and_of_the_control_plane_only():
    async def story(world):
        await world.cluster(properties={"kubernetesVersion": "1.34.4"})
        body = (await world.get(CLUSTER)).body
        body["properties"]["kubernetesVersion"] = "1.35.4"
        alone = await world.put(CLUSTER, body)
        assert alone.properties["provisioningState"] == "Upgrading"
        assert alone.properties["agentPoolProfiles"][0]["provisioningState"] == "Succeeded"
        assert alone.properties["agentPoolProfiles"][0]["orchestratorVersion"] == "1.34.4"
        await world.settle()
        await world.put_pool("nodepool1", {"count": 1, "orchestratorVersion": "1.35.4"})
        body = (await world.get(CLUSTER)).body
        body["properties"]["kubernetesVersion"] = "1.36.1"
        both = await world.put(CLUSTER, with_versions(body, "1.36.1"))
        assert both.status == 200
        assert both.properties["agentPoolProfiles"][0]["provisioningState"] == "Upgrading"

    run(story)


def test_upgrade_rules():
    async def story(world):
        await world.cluster(properties={"kubernetesVersion": "1.34.4"})
        await world.put_pool("np", {"count": 1})
        body = (await world.get(CLUSTER)).body
        body["properties"]["kubernetesVersion"] = "1.36.1"
        jump = await world.put(CLUSTER, body)
        assert (jump.status, jump.body["code"]) == (400, "K8sVersionNotSupported")
        body["properties"]["kubernetesVersion"] = "1.35.4"
        body["properties"]["agentPoolProfiles"][0]["orchestratorVersion"] = ""
        mixed = await world.put(CLUSTER, body)
        assert mixed.body["code"] == "NotAllAgentPoolOrchestratorVersionSpecifiedAndUnchanged"
        down = {**body, "properties": {**body["properties"], "kubernetesVersion": "1.33.7"}}
        assert (await world.put(CLUSTER, down)).status == 400

    run(story)


def test_tags_are_replaced_and_empty_ones_are_absent():
    async def story(world):
        await world.cluster()
        one = await world.call("PATCH", CLUSTER, {"tags": {"a": "b"}})
        assert one.body["tags"] == {"a": "b"}
        await world.settle()
        two = await world.call("PATCH", CLUSTER, {"tags": {"c": "d"}})
        assert two.body["tags"] == {"c": "d"}
        await world.settle()
        none = await world.call("PATCH", CLUSTER, {"tags": {}})
        assert "tags" not in none.body
        await world.settle()
        bad = await world.call("PATCH", CLUSTER, {"properties": {}})
        assert bad.body["code"] == "UnmarshalError"

    run(story)


def test_autoscaler_profile_resets_to_defaults():
    async def story(world):
        await world.cluster(properties={"autoScalerProfile": {"scan-interval": "30s"}})
        read = (await world.get(CLUSTER)).properties["autoScalerProfile"]
        assert (read["scan-interval"], read["expander"]) == ("30s", "random")
        reset = {"location": "eastus", "properties": {"autoScalerProfile": {}}}
        answer = await world.put(CLUSTER, reset)
        profile = answer.properties["autoScalerProfile"]
        assert (profile["scan-interval"], profile["expander"]) == ("10s", "random")
        assert profile["scale-down-unneeded-time"] == "10m"

    run(story)


def test_outbound_addresses_follow_the_count():
    async def story(world):
        profile = {"managedOutboundIPs": {"count": 3, "countIPv6": 1}, "allocatedOutboundPorts": 0}
        made = await world.cluster(properties={"networkProfile": {"loadBalancerProfile": profile}})
        shown = made.properties["networkProfile"]["loadBalancerProfile"]
        assert len(shown["effectiveOutboundIPs"]) == 4
        assert shown["allocatedOutboundPorts"] == 0
        assert (await world.put(CLUSTER, (await world.get(CLUSTER)).body)).status == 200

    run(story)


def test_azure_without_a_mode_has_no_pod_range():
    async def story(world):
        made = await world.cluster(properties={"networkProfile": {"networkPlugin": "azure"}})
        network = made.properties["networkProfile"]
        assert "networkPluginMode" not in network
        assert "podCidr" not in network
        overlay = {
            "networkPlugin": "azure",
            "networkPluginMode": "overlay",
            "podCidr": "10.9.0.0/16",
        }
        body = {"location": "eastus", "properties": {"networkProfile": overlay}}
        after = (await world.put(CLUSTER, body)).properties["networkProfile"]
        assert after["podCidr"] == "10.9.0.0/16"
        assert after["serviceCidr"] == network["serviceCidr"]

    run(story)


def test_private_clusters():
    async def story(world):
        access = {"enablePrivateCluster": True, "enablePrivateClusterPublicFQDN": False}
        made = await world.cluster(properties={"apiServerAccessProfile": access})
        assert made.properties["privateFQDN"]
        assert "fqdn" not in made.properties
        body = {
            "location": "eastus",
            "properties": {"apiServerAccessProfile": {"enablePrivateClusterPublicFQDN": True}},
        }
        after = await world.put(CLUSTER, body)
        assert after.properties["fqdn"]
        assert after.properties["privateFQDN"]

    run(story)


def test_credentials_are_kubeconfigs():
    async def story(world):
        await world.cluster()
        for action, name, context, token in [
            ("listClusterUserCredential", "clusterUser", "c1", "user-token"),
            ("listClusterAdminCredential", "clusterAdmin", "c1", "admin-token"),
        ]:
            answer = await world.post(f"{CLUSTER}/{action}")
            (entry,) = answer.body["kubeconfigs"]
            assert entry["name"] == name
            config = yaml.safe_load(base64.b64decode(entry["value"]))
            assert config["current-context"] == context
            assert config["users"][0]["name"] == f"{name}_rg1_c1"
            assert config["users"][0]["user"] == {"token": token}
            assert config["clusters"][0]["cluster"]["server"] == "https://localhost/k8s/c1"

    run(story)


def test_static_credentials_can_be_switched_off():
    async def story(world):
        await world.cluster(properties={"disableLocalAccounts": True})
        answer = await world.post(f"{CLUSTER}/listClusterAdminCredential")
        assert answer.status == 400

    run(story)


def test_stop_start_and_rotation():
    async def story(world):
        await world.cluster()
        for action, state, power in [
            ("stop", "Stopping", "Stopped"),
            ("start", "Starting", "Running"),
            ("rotateClusterCertificates", "Updating", "Running"),
        ]:
            answer = await world.post(f"{CLUSTER}/{action}")
            assert (answer.status, answer.body) == (202, None)
            assert "location" in answer.headers
            read = (await world.get(CLUSTER)).properties
            assert (read["provisioningState"], read["powerState"]["code"]) == (state, power)
            if action == "stop":
                assert (await world.post(f"{CLUSTER}/start")).status == 409
            await world.settle()

    run(story)


def test_abort_halts_the_cluster():
    async def story(world):
        await world.cluster()
        idle = await world.post(f"{CLUSTER}/abort")
        assert (idle.status, idle.body["code"]) == (409, "OperationNotAllowed")
        await world.put(CLUSTER, (await world.get(CLUSTER)).body)
        answer = await world.post(f"{CLUSTER}/abort")
        assert answer.status == 202
        assert answer.properties["provisioningState"] == "Updating"
        read = await world.get(CLUSTER)
        assert read.properties["provisioningState"] == "Canceling"
        await world.settle()
        assert (await world.get(CLUSTER)).properties["provisioningState"] == "Canceled"

    run(story)


def test_delete_goes_and_can_be_repeated():
    async def story(world):
        await world.cluster()
        assert (await world.delete(CLUSTER)).status == 202
        assert (await world.get(CLUSTER)).properties["provisioningState"] == "Deleting"
        assert (await world.put_pool("np", {"count": 1}, settle=False)).status == 409
        await world.settle()
        assert (await world.delete(CLUSTER)).status == 204
        assert (await world.get(CLUSTER)).body["error"]["code"] == "ResourceNotFound"

    run(story)


def test_what_only_some_versions_know_is_kept_and_shown():
    async def story(world):
        extra = {"addonProfiles": {"azurepolicy": {"enabled": True, "config": {"version": "v2"}}}}
        made = await world.cluster(properties=extra)
        assert made.properties["addonProfiles"] == extra["addonProfiles"]
        newer = {"location": "eastus", "properties": {"agentSandboxProfile": {"enabled": True}}}
        answer = await world.put(CLUSTER, newer, version=PREVIEW)
        assert answer.properties["agentSandboxProfile"] == {"enabled": True}

    run(story)


def test_profiles_of_versions():
    async def story(world):
        await world.cluster(properties={"kubernetesVersion": "1.35.1"})
        profile = await world.get(f"{CLUSTER}/upgradeProfiles/default")
        offered = [
            one["kubernetesVersion"]
            for one in profile.properties["controlPlaneProfile"]["upgrades"]
        ]
        assert offered == ["1.35.4", "1.36.1", "1.36.3"]
        versions = await world.get(f"{CLUSTER}/availableAgentPoolVersions")
        names = [one["kubernetesVersion"] for one in versions.properties["agentPoolVersions"]]
        assert names[-1] == "1.35.1"
        assert "1.33.0" in names
        preview = await world.get(f"{CLUSTER}/upgradeProfiles/default", version=PREVIEW)
        assert preview.properties["controlPlaneProfile"]["componentsByReleases"]

    run(story)


class GroupGoesMeanwhile:
    """A store in which the resource group begins to go while a cluster is being written."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def transact(self, scope, writes):
        if scope == SCOPE:
            going = DocumentStatus(state="Deleting")
            await self._store.transact(
                subscription_scope(SUBSCRIPTION), [Update(RESOURCE_GROUP, "rg1", status=going)]
            )
        return await self._store.transact(scope, writes)


def test_a_cluster_is_refused_when_its_group_goes_meanwhile():
    async def story(world):
        await world.group()
        store = GroupGoesMeanwhile(world.store)
        world.app = create_app(replace(world.context, store=store), TokenKeys.from_pem(KEY))
        answer = await world.put(CLUSTER, cluster_body())
        assert (answer.status, answer.body["error"]["code"]) == (409, "ResourceGroupBeingDeleted")

    run(story)


@pytest.mark.parametrize(
    ("version", "status"),
    [
        # Source: AKS release notes; unknown fields are refused from 2024-01-01 on.
        ("2023-11-01", 201),
        ("2024-01-01", 400),
        ("2025-10-01", 400),
        ("2026-07-01", 400),
        ("2026-08-01", 400),
        ("2025-10-02-preview", 400),
        ("2026-08-02-preview", 400),
    ],
)
@pytest.mark.parametrize("properties", [{"nonsense": 1}, {"oidcIssuerProfile": {"nonsense": 1}}])
def test_unknown_names_are_refused_by_every_version_since_2024(version, status, properties):
    async def story(world):
        await world.group()
        answer = await world.put(CLUSTER, cluster_body(properties), version=version)
        assert answer.status == status
        if status == 400:
            assert (answer.body["code"], answer.body["target"]) == ("UnmarshalError", "nonsense")

    run(story)


def test_a_name_that_a_preview_lost_again_is_known_to_the_older_preview():
    async def story(world):
        await world.group()
        properties = {"azureMonitorProfile": {"containerInsights": {"disableCustomMetrics": True}}}
        body = cluster_body(properties)
        newest = await world.put(CLUSTER, body, version=PREVIEW)
        assert newest.body["target"] == "disableCustomMetrics"
        assert (await world.put(CLUSTER, body, version="2025-10-02-preview")).status == 201

    run(story)
