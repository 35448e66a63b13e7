"""Deletes a pool with the Azure SDK, in two processes; executed by the Python of az's environment.

Without a further argument it begins, and prints what another process needs to go on; with that as
its argument it waits for the end.
"""

import os
import sys
import warnings

from azure.identity import ClientSecretCredential
from azure.mgmt.containerservice import ContainerServiceClient

warnings.simplefilter("ignore")


def main():
    group, cluster, pool, *token = sys.argv[1:]
    endpoint = os.environ["POOLWRIGHT_ENDPOINT"]
    credential = ClientSecretCredential(
        "adfs",
        os.environ["AZURE_CLIENT_ID"],
        os.environ["AZURE_CLIENT_SECRET"],
        authority=endpoint,
    )
    pools = ContainerServiceClient(
        credential,
        os.environ["AZURE_SUBSCRIPTION_ID"],
        base_url=endpoint,
        credential_scopes=[f"{endpoint}/.default"],
    ).agent_pools
    if token:
        pools.begin_delete(group, cluster, pool, continuation_token=token[0]).result()
    else:
        print(pools.begin_delete(group, cluster, pool).continuation_token())


main()
