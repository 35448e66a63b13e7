"""What hangs under a cluster and has no effect on node pools: collections that are always empty
here, and commands, which have nowhere to run.

A read of such a collection is answered, because clients list before they write; a write is refused
in words, because storing a private endpoint that does not exist would be a lie.

Source: facts aks-api §2.3; paths and api-versions of azure-mgmt-containerservice 41.9.0b1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from poolwright.arm.agent_pools import CLUSTER
from poolwright.arm.agent_pools_accept import CLUSTER_STOPPED
from poolwright.arm.agent_pools_read import get_cluster
from poolwright.arm.api_versions import CONTAINER_SERVICE, since
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import ENTITY_NOT_FOUND, KnownError
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.model.errors import InvalidRequest, Unsupported

NOT_HERE = KnownError(
    "NotSupported",
    Unsupported,
    "Resources of type 'Microsoft.ContainerService/managedClusters/{type}' are not supported by "
    "this server; it manages clusters and their agent pools.",
)
NO_COMMANDS = KnownError(
    "NotSupported",
    Unsupported,
    "Running commands through the API is not supported by this server: it has nowhere to run them. "
    "Use 'az aks get-credentials' and kubectl instead.",
    "command",
)
COMMAND_REQUIRED = KnownError(
    "InvalidParameter",
    InvalidRequest,
    "Required parameter command is missing (null).",
    "command",
)


@dataclass(frozen=True, slots=True)
class _Collection:
    """``verbs``: what one of it takes beside GET. A DELETE answers 204: there is none."""

    name: str
    versions: tuple[str, ...]
    verbs: tuple[str, ...] = ("PUT", "DELETE")


_COLLECTIONS: tuple[_Collection, ...] = (
    _Collection("trustedAccessRoleBindings", since("2022-04-02-preview", "2023-09-01")),
    _Collection("privateEndpointConnections", since("2020-06-01", "2020-06-01")),
    _Collection("privateLinkResources", since("2020-09-01", "2020-09-01"), verbs=()),
    _Collection("meshUpgradeProfiles", since("2023-07-02-preview", "2024-02-01"), verbs=()),
    _Collection("managedNamespaces", since("2024-10-02-preview", "2025-09-01")),
    _Collection("identityBindings", since("2025-06-02-preview", "2026-04-01")),
    _Collection("loadBalancers", since("2024-03-02-preview")),
    _Collection("meshMemberships", since("2025-08-02-preview")),
    _Collection("jwtAuthenticators", since("2025-05-02-preview")),
)


async def list_none(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET a collection that a cluster has none of here."""
    await get_cluster(context, request)
    return listing([])


async def get_none(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET one of such a collection.

    Raises:
        NotFound: always.
    """
    await get_cluster(context, request)
    raise ENTITY_NOT_FOUND()


async def delete_none(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """DELETE one of such a collection: 204, it is gone."""
    del context, request
    return ArmResponse(204)


async def refuse(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """A write to such a collection.

    Raises:
        InvalidRequest: no JSON object. Unsupported: else, with the type.
    """
    request.json_object()
    await get_cluster(context, request)
    _, _, below = request.path.partition("/managedClusters/")
    raise NOT_HERE(type=below.split("/")[1] if "/" in below else below)


async def run_command(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``runCommand``.

    Raises:
        InvalidRequest: no command. Conflict: the cluster is stopped. Unsupported: else.
    """
    command = request.json_object().get("command")
    cluster = await get_cluster(context, request)
    if not isinstance(command, str) or not command:
        raise COMMAND_REQUIRED()
    if cluster.spec.is_stopped:
        raise CLUSTER_STOPPED()
    raise NO_COMMANDS()


_WRITES = {"PUT": refuse, "DELETE": delete_none}


def _routes() -> Iterator[Route]:
    for kind in _COLLECTIONS:
        path = f"{CLUSTER}/{kind.name}"
        yield Route("GET", path, list_none, kind.versions)
        yield Route("GET", f"{path}/{{child}}", get_none, kind.versions)
        for verb in kind.verbs:
            yield Route(verb, f"{path}/{{child}}", _WRITES[verb], kind.versions)


ROUTES: tuple[Route, ...] = (
    *_routes(),
    Route("POST", f"{CLUSTER}/runCommand", run_command, CONTAINER_SERVICE),
    Route("GET", f"{CLUSTER}/commandResults/{{command}}", get_none, CONTAINER_SERVICE),
    Route("POST", f"{CLUSTER}/resolvePrivateLinkServiceId", refuse, CONTAINER_SERVICE),
    Route(
        "POST",
        f"{CLUSTER}/managedNamespaces/{{child}}/listCredential",
        get_none,
        since("2024-10-02-preview", "2025-09-01"),
    ),
)
