"""Credentials of a cluster: kubeconfig files that kubectl can use as they are.

Source: facts aks-api §2.3, §2.6 (names of contexts and users).
"""

from __future__ import annotations

import base64
from typing import Any

import yaml

from poolwright.arm.agent_pools import CLUSTER
from poolwright.arm.agent_pools_read import Cluster, get_cluster
from poolwright.arm.api_versions import CONTAINER_SERVICE
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import ENTITY_NOT_FOUND, KnownError
from poolwright.arm.parents import cluster_id_of
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse
from poolwright.arm.routing import Handler, Route
from poolwright.model.errors import Conflict, InvalidRequest

NOT_READY = KnownError(
    "OperationNotAllowed",
    Conflict,
    "Operation is not allowed: the control plane of managed cluster {cluster} is not available "
    "yet. Please retry once its provisioning state is Succeeded.",
)
LOCAL_ACCOUNTS_DISABLED = KnownError(
    "BadRequest",
    InvalidRequest,
    "Getting static credential is not allowed because this cluster is set to disable local "
    "accounts.",
)


async def kubeconfig(context: ArmContext, request: ArmRequest, cluster: Cluster, role: str) -> str:
    """The kubeconfig of a role as YAML.

    Raises:
        Conflict: there is no control plane yet.
    """
    key = request.cluster_key
    control_plane = await context.control_planes.get(key)
    if control_plane is None:
        raise NOT_READY(cluster=cluster.spec.name)
    is_admin = role == "clusterAdmin"
    login = await context.control_planes.kubeconfig_user(key, admin=is_admin)
    spec = cluster.spec
    name = spec.name  # of the admin's context too: az itself adds "-admin" where it merges
    user = f"{role}_{spec.resource_group}_{spec.name}"
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "clusters": [
            {
                "cluster": {
                    "certificate-authority-data": base64.b64encode(control_plane.ca_pem).decode(),
                    "server": control_plane.server_url,
                },
                "name": spec.name,
            }
        ],
        "contexts": [{"context": {"cluster": spec.name, "user": user}, "name": name}],
        "current-context": name,
        "kind": "Config",
        "preferences": {},
        "users": [{"name": user, "user": dict(login)}],
    }
    return yaml.safe_dump(document, sort_keys=False)


async def _encoded(context: ArmContext, request: ArmRequest, role: str) -> tuple[Cluster, str]:
    cluster = await get_cluster(context, request)
    if role == "clusterAdmin" and cluster.spec.accepted.get("disableLocalAccounts") is True:
        raise LOCAL_ACCOUNTS_DISABLED()
    text = await kubeconfig(context, request, cluster, role)
    return cluster, base64.b64encode(text.encode()).decode()


def _credential(role: str) -> Handler:
    async def handler(context: ArmContext, request: ArmRequest) -> ArmResponse:
        _, value = await _encoded(context, request, role)
        return ArmResponse(200, {"kubeconfigs": [{"name": role, "value": value}]})

    handler.__doc__ = f"POST: the kubeconfig of {role}."
    return handler


async def get_access_profile(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``accessProfiles/{role}/listCredential`` (and GET of the profile): the old form."""
    sent = request.names["role"]
    roles = {"clusteruser": "clusterUser", "clusteradmin": "clusterAdmin"}
    role = roles.get(sent.lower())
    if role is None:
        raise ENTITY_NOT_FOUND()
    cluster, value = await _encoded(context, request, role)
    body: dict[str, Any] = {
        "id": f"{cluster_id_of(cluster.spec)}/accessProfiles/{role}",
        "name": role,
        "type": "Microsoft.ContainerService/ManagedClusters/AccessProfiles",
        "location": cluster.spec.location,
        "properties": {"kubeConfig": value},
    }
    return ArmResponse(200, body)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        f"{CLUSTER}/listClusterUserCredential",
        _credential("clusterUser"),
        CONTAINER_SERVICE,
    ),
    Route(
        "POST",
        f"{CLUSTER}/listClusterAdminCredential",
        _credential("clusterAdmin"),
        CONTAINER_SERVICE,
    ),
    Route(
        "POST",
        f"{CLUSTER}/listClusterMonitoringUserCredential",
        _credential("clusterMonitoringUser"),
        CONTAINER_SERVICE,
    ),
    Route(
        "POST",
        f"{CLUSTER}/accessProfiles/{{role}}/listCredential",
        get_access_profile,
        CONTAINER_SERVICE,
    ),
)
