"""The Azure SDK's own clients against a server; executed by the Python of az's environment.

Prints one JSON object of what it saw.
"""

import json
import os
import time
import warnings

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from azure.identity import ClientSecretCredential
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.resource import ResourceManagementClient

warnings.simplefilter("ignore")
ENDPOINT, SUBSCRIPTION = os.environ["POOLWRIGHT_ENDPOINT"], os.environ["AZURE_SUBSCRIPTION_ID"]
POOL = {
    "count": 1,
    "vmSize": "Standard_NC24ads_A100_v4",
    "mode": "User",
    "gpuProfile": {"driver": "None"},
}


CLUSTER = {
    "location": "eastus",
    "identity": {"type": "SystemAssigned"},
    "properties": {
        "dnsPrefix": "c1",
        "kubernetesVersion": "1.35.1",
        "agentPoolProfiles": [
            {"name": "sys", "count": 1, "vmSize": "Standard_DS2_v2", "mode": "System"}
        ],
    },
}
NVIDIA = {"nvidia": {"managementMode": "Managed", "migStrategy": "Mixed"}}


def refused(call):
    """Status and code of a refusal."""
    try:
        call()
    except HttpResponseError as error:
        missing = isinstance(error, ResourceNotFoundError)
        return [error.status_code, error.error.code, *(["missing"] if missing else [])]
    return "accepted"


def clusters(aks, seen):
    poller = aks.managed_clusters.begin_create_or_update("sdkrg", "c1", CLUSTER)
    seen["creating"] = poller.status()
    cluster = poller.result()
    seen["cluster"] = [cluster.provisioning_state, cluster.kubernetes_version, poller.done()]
    seen["identity"] = bool(cluster.identity.principal_id)
    seen["clusters"] = [each.name for each in aks.managed_clusters.list()]
    seen["of group"] = [each.name for each in aks.managed_clusters.list_by_resource_group("SDKRG")]
    tagged = aks.managed_clusters.begin_update_tags("sdkrg", "c1", {"tags": {"a": "b"}}).result()
    seen["tags"] = tagged.tags
    found = aks.managed_clusters.list_cluster_user_credentials("sdkrg", "c1").kubeconfigs[0]
    seen["credentials"] = [found.name, found.value[:15].decode()]
    profile = aks.managed_clusters.get_upgrade_profile("sdkrg", "c1").control_plane_profile
    seen["upgrades"] = [each.kubernetes_version for each in profile.upgrades]
    versions = aks.managed_clusters.list_kubernetes_versions("eastus").values_property
    seen["default"] = [each.version for each in versions if each.is_default]
    seen["no cluster"] = refused(lambda: aks.managed_clusters.get("sdkrg", "nope"))
    seen["no group"] = refused(lambda: aks.managed_clusters.get("nope", "nope"))


def agent_pools(aks, seen):
    pools = aks.agent_pools
    pool = pools.begin_create_or_update("sdkrg", "c1", "gpu", {"properties": POOL}).result()
    seen["pool"] = [pool.provisioning_state, pool.count, pool.gpu_profile.driver]
    seen["power"] = pool.power_state.code
    seen["pools"] = sorted(p.name for p in pools.list("sdkrg", "c1"))
    seen["machines"] = [m.name for m in aks.machines.list("sdkrg", "c1", "gpu")]
    machine = aks.machines.get("sdkrg", "c1", "gpu", seen["machines"][0])
    seen["machine"] = machine.properties.network.ip_addresses[0].family
    pool.count = 2
    seen["scaled"] = pools.begin_create_or_update("sdkrg", "c1", "gpu", pool).result().count
    seen["stale"] = refused(
        lambda: pools.begin_create_or_update(
            "sdkrg", "c1", "gpu", pool, etag="stale", match_condition=MatchConditions.IfNotModified
        )
    )
    pool = pools.get("sdkrg", "c1", "gpu")
    pool.node_labels = {"a": "b"}
    fresh = pools.begin_create_or_update(
        "sdkrg", "c1", "gpu", pool, etag=pool.e_tag, match_condition=MatchConditions.IfNotModified
    ).result()
    seen["fresh"] = [fresh.node_labels, fresh.e_tag != pool.e_tag]
    pool.vm_size = "Standard_NC48ads_A100_v4"
    seen["immutable"] = refused(lambda: pools.begin_create_or_update("sdkrg", "c1", "gpu", pool))
    seen["missing"] = refused(lambda: pools.get("sdkrg", "c1", "nope"))
    seen["unknown size"] = refused(
        lambda: pools.begin_create_or_update(
            "sdkrg", "c1", "bad", {"properties": {**POOL, "vmSize": "Standard_Nope"}}
        )
    )
    upgrade = pools.get_upgrade_profile("sdkrg", "c1", "gpu")
    seen["pool version"] = upgrade.kubernetes_version
    pools.begin_upgrade_node_image_version("sdkrg", "c1", "gpu").result()
    seen["image"] = pools.get("sdkrg", "c1", "gpu").provisioning_state
    seen["nothing to abort"] = refused(
        lambda: pools.begin_abort_latest_operation("sdkrg", "c1", "gpu")
    )
    names = {"machineNames": seen["machines"]}
    pools.begin_delete_machines("sdkrg", "c1", "gpu", names).result()
    seen["fewer"] = pools.get("sdkrg", "c1", "gpu").count


def newest(aks, preview, seen):
    """A field that the released models do not know, through a preview version and a dict."""
    feature = "/subscriptions/{}/providers/Microsoft.Features/providers/Microsoft.ContainerService"
    feature += "/features/ManagedGPUExperiencePreview"
    ask = {"params": {"api-version": "2021-07-01"}}
    base = ENDPOINT + feature.format(SUBSCRIPTION)
    aks.send_request(HttpRequest("POST", base + "/register", **ask)).raise_for_status()
    while (
        aks.send_request(HttpRequest("GET", base, **ask)).json()["properties"]["state"]
        != "Registered"
    ):
        time.sleep(0.1)
    properties = {**POOL, "gpuProfile": NVIDIA, "gpuInstanceProfile": "MIG2g"}
    pool = preview.agent_pools.begin_create_or_update(
        "sdkrg", "c1", "mig", {"properties": properties}
    ).result()
    seen["mig"] = [pool.provisioning_state, pool.as_dict()["properties"]["gpuProfile"]["nvidia"]]


def scarce(aks, seen):
    url = f"{ENDPOINT}/subscriptions/{SUBSCRIPTION}"
    url += "/providers/Poolwright.Cloud/locations/eastus/scarcity"
    ask = {"params": {"api-version": "2026-01-01"}}
    failure = {"code": "AllocationFailed", "pool": "unlucky"}
    body = {"properties": {"failures": [failure]}}
    aks.send_request(HttpRequest("PUT", url, json=body, **ask)).raise_for_status()
    poller = aks.agent_pools.begin_create_or_update("sdkrg", "c1", "unlucky", {"properties": POOL})
    seen["failed"] = refused(poller.result)[1]
    seen["failed pool"] = aks.agent_pools.get("sdkrg", "c1", "unlucky").provisioning_state
    aks.send_request(HttpRequest("DELETE", url, **ask)).raise_for_status()


def main():
    credential = ClientSecretCredential(
        "adfs", os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"], authority=ENDPOINT
    )
    options = {"base_url": ENDPOINT, "credential_scopes": [f"{ENDPOINT}/.default"]}
    resources = ResourceManagementClient(credential, SUBSCRIPTION, **options)
    aks = ContainerServiceClient(credential, SUBSCRIPTION, **options)
    seen = {}
    group = resources.resource_groups.create_or_update("sdkrg", {"location": "eastus"})
    seen["state"] = group.properties.provisioning_state
    clusters(aks, seen)
    agent_pools(aks, seen)
    version = {"api_version": "2026-01-02-preview"}
    newest(aks, ContainerServiceClient(credential, SUBSCRIPTION, **options, **version), seen)
    scarce(aks, seen)
    listed = resources.resources.list_by_resource_group("sdkrg")
    seen["resources"] = [[each.name, each.type] for each in listed]
    seen["provider"] = resources.providers.get("Microsoft.ContainerService").registration_state
    for name in ("gpu", "mig", "unlucky"):
        aks.agent_pools.begin_delete("sdkrg", "c1", name).result()
    seen["left"] = [p.name for p in aks.agent_pools.list("sdkrg", "c1")]
    aks.managed_clusters.begin_stop("sdkrg", "c1").result()
    seen["stopped"] = aks.managed_clusters.get("sdkrg", "c1").power_state.code
    aks.managed_clusters.begin_start("sdkrg", "c1").result()
    aks.managed_clusters.begin_delete("sdkrg", "c1").result()
    resources.resource_groups.begin_delete("sdkrg").result()
    seen["group"] = resources.resource_groups.check_existence("sdkrg")
    print(json.dumps(seen))


main()
