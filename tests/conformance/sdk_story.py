"""The Azure SDK's own clients against a server; executed by the Python of az's environment.

Prints one JSON object of what it saw.
"""

import json
import os
import warnings

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
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


def main():
    credential = ClientSecretCredential(
        "adfs", os.environ["AZURE_CLIENT_ID"], os.environ["AZURE_CLIENT_SECRET"], authority=ENDPOINT
    )
    options = {"base_url": ENDPOINT, "credential_scopes": [f"{ENDPOINT}/.default"]}
    resources = ResourceManagementClient(credential, SUBSCRIPTION, **options)
    aks = ContainerServiceClient(credential, SUBSCRIPTION, **options)
    seen = {}
    resources.resource_groups.create_or_update("sdkrg", {"location": "eastus"})
    cluster = aks.managed_clusters.begin_create_or_update(
        "sdkrg",
        "c1",
        {
            "location": "eastus",
            "identity": {"type": "SystemAssigned"},
            "properties": {
                "dnsPrefix": "c1",
                "agentPoolProfiles": [
                    {"name": "sys", "count": 1, "vmSize": "Standard_DS2_v2", "mode": "System"}
                ],
            },
        },
    ).result()
    seen["cluster"] = cluster.provisioning_state
    pools = aks.agent_pools
    pool = pools.begin_create_or_update("sdkrg", "c1", "gpu", {"properties": POOL}).result()
    seen["pool"] = [pool.provisioning_state, pool.count, pool.gpu_profile.driver]
    seen["pools"] = sorted(p.name for p in pools.list("sdkrg", "c1"))
    seen["machines"] = [m.name for m in aks.machines.list("sdkrg", "c1", "gpu")]
    pool.count = 2
    seen["scaled"] = pools.begin_create_or_update("sdkrg", "c1", "gpu", pool).result().count
    pool.vm_size = "Standard_NC48ads_A100_v4"
    try:
        pools.begin_create_or_update("sdkrg", "c1", "gpu", pool)
    except HttpResponseError as error:
        seen["immutable"] = [error.status_code, error.error.code]
    try:
        pools.get("sdkrg", "c1", "nope")
    except ResourceNotFoundError as error:
        seen["missing"] = error.status_code
    pools.begin_delete("sdkrg", "c1", "gpu").result()
    seen["left"] = [p.name for p in pools.list("sdkrg", "c1")]
    resources.resource_groups.begin_delete("sdkrg").result()
    seen["group"] = resources.resource_groups.check_existence("sdkrg")
    print(json.dumps(seen))


main()
