"""Resource providers: what they are, and whether a subscription is registered to use them.

Source: facts aks-api §5.8. A provider that was never registered shows as Registered where
registration is not required (the default), so that nothing says No to what then works.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from poolwright.arm.api_versions import ARM_VERSIONS, CONTAINER_SERVICE, since
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import (
    INVALID_RESOURCE_NAMESPACE,
    INVALID_RESOURCE_TYPE,
    MISSING_SUBSCRIPTION,
)
from poolwright.arm.parents import check_subscription
from poolwright.arm.records import PROVIDER
from poolwright.arm.region import display_name, regions
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.model.cluster_key import subscription_scope
from poolwright.model.errors import Precondition, Refused
from poolwright.model.managed_cluster import DocumentSpec, DocumentStatus
from poolwright.model.record import Stored
from poolwright.ports.store import Create, Update

_COMPUTE_VERSIONS = ("2019-04-01", "2021-07-01", "2024-07-01", "2024-11-01")

_TYPES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # namespace: {resource type: api-versions, oldest first}
    "Microsoft.ContainerService": {
        "managedClusters": CONTAINER_SERVICE,
        "managedClusters/agentPools": CONTAINER_SERVICE,
        "managedClusters/agentPools/machines": CONTAINER_SERVICE,
        "managedClusters/maintenanceConfigurations": CONTAINER_SERVICE,
        "snapshots": CONTAINER_SERVICE,
        "locations": CONTAINER_SERVICE,
        "locations/kubernetesVersions": CONTAINER_SERVICE,
        "locations/nodeImageVersions": since("2023-10-02-preview"),
        "locations/operations": CONTAINER_SERVICE,
        "locations/operationresults": CONTAINER_SERVICE,
        "locations/vmSkus": since("2026-01-02-preview"),
        "operations": CONTAINER_SERVICE,
    },
    "Microsoft.Resources": {
        "deployments": ARM_VERSIONS,
        "resourceGroups": ARM_VERSIONS,
        "subscriptions": ARM_VERSIONS,
        "tenants": ARM_VERSIONS,
        "providers": ARM_VERSIONS,
        "resources": ARM_VERSIONS,
        "tags": ARM_VERSIONS,
    },
    "Microsoft.Features": {
        "features": ("2015-12-01", "2021-07-01"),
        "featureProviders/subscriptionFeatureRegistrations": ("2021-07-01",),
    },
    "Microsoft.Compute": {
        "skus": _COMPUTE_VERSIONS,
        "locations": _COMPUTE_VERSIONS,
        "locations/usages": _COMPUTE_VERSIONS,
        "locations/vmSizes": _COMPUTE_VERSIONS,
    },
    "Poolwright.Cloud": {"locations/scarcity": ("2026-01-01",)},
    # What scripts for AKS register along the way; nothing of it is served here.
    "Microsoft.AlertsManagement": {},
    "Microsoft.Authorization": {},
    "Microsoft.ContainerRegistry": {},
    "Microsoft.Dashboard": {},
    "Microsoft.Insights": {},
    "Microsoft.KeyVault": {},
    "Microsoft.KubernetesConfiguration": {},
    "Microsoft.ManagedIdentity": {},
    "Microsoft.Monitor": {},
    "Microsoft.Network": {},
    "Microsoft.OperationalInsights": {},
    "Microsoft.OperationsManagement": {},
    "Microsoft.PolicyInsights": {},
    "Microsoft.Quota": {},
    "Microsoft.Storage": {},
}
_FREE = frozenset(
    {"Microsoft.Resources", "Microsoft.Features", "Microsoft.Authorization", "Poolwright.Cloud"}
)
"""Providers that need no registration."""
_NAMES = {namespace.lower(): namespace for namespace in _TYPES}

ProviderRecord = Stored[DocumentSpec, DocumentStatus]


def namespace_name(namespace: str) -> str:
    """A namespace in its own casing.

    Raises:
        NotFound: no such namespace (``InvalidResourceNamespace``).
    """
    name = _NAMES.get(namespace.lower())
    if name is None:
        raise INVALID_RESOURCE_NAMESPACE(namespace=namespace)
    return name


def unknown_path(context: ArmContext, path: str, version: str) -> Refused:
    """Why there is no route for a path: subscription, namespace or type, in ARM's order."""
    segments = [segment for segment in path.split("/") if segment]
    lower = [segment.lower() for segment in segments]
    if lower and lower[0] == "subscriptions" and len(lower) > 1:
        try:
            check_subscription(context, segments[1])
        except Refused as refused:
            return refused
    if "providers" in lower[:-1]:
        after = len(lower) - lower[::-1].index("providers")
        namespace = segments[after]
        if namespace.lower() not in _NAMES:
            return INVALID_RESOURCE_NAMESPACE(namespace=namespace)
        types = "/".join(segments[after + 1 :: 2]) or namespace
        return INVALID_RESOURCE_TYPE(type=types, namespace=namespace, version=version)
    if lower and lower[0] == "subscriptions":
        types = "/".join(segments[::2])
        return INVALID_RESOURCE_TYPE(type=types, namespace="Microsoft.Resources", version=version)
    return MISSING_SUBSCRIPTION()


def registration_state(context: ArmContext, namespace: str, record: ProviderRecord | None) -> str:
    """The state now; a change under way ends by the clock, without anybody writing it."""
    if record is None:
        needs = context.settings.is_registration_required and namespace not in _FREE
        return "NotRegistered" if needs else "Registered"
    state = record.status.state
    since_then = record.status.since
    if since_then is not None:
        passed = context.clock.now().world.since(since_then)
        if passed < context.settings.provider_registration:
            return {"Registered": "Registering", "Unregistered": "Unregistering"}[state]
    return state


def _wire_provider(
    context: ArmContext, subscription: str, namespace: str, record: ProviderRecord | None
) -> dict[str, Any]:
    locations = [display_name(region) for region in regions(context)]
    return {
        "id": f"/subscriptions/{subscription}/providers/{namespace}",
        "namespace": namespace,
        "registrationPolicy": (
            "RegistrationFree" if namespace in _FREE else "RegistrationRequired"
        ),
        "registrationState": registration_state(context, namespace, record),
        "resourceTypes": [
            {
                "resourceType": kind,
                "locations": locations,
                "apiVersions": list(reversed(versions)),
                "defaultApiVersion": next(
                    (v for v in reversed(versions) if not v.endswith("-preview")), versions[-1]
                ),
                "capabilities": "None",
            }
            for kind, versions in _TYPES[namespace].items()
        ],
    }


async def list_providers(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``/subscriptions/{subscription}/providers``."""
    found, _ = await context.store.list(subscription_scope(request.subscription), PROVIDER)
    records = {record.name: record for record in found}
    return listing(
        [
            _wire_provider(context, request.subscription, name, records.get(name.lower()))
            for name in sorted(_TYPES)
        ]
    )


async def get_provider(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``/subscriptions/{subscription}/providers/{namespace}``."""
    namespace = namespace_name(request.names["namespace"])
    record = await context.store.get(
        subscription_scope(request.subscription), PROVIDER, namespace.lower()
    )
    return ArmResponse(200, _wire_provider(context, request.subscription, namespace, record))


async def _set_state(context: ArmContext, request: ArmRequest, state: str) -> ArmResponse:
    namespace = namespace_name(request.names["namespace"])
    scope = subscription_scope(request.subscription)
    record = await context.store.get(scope, PROVIDER, namespace.lower())
    shown = registration_state(context, namespace, record)
    if (
        namespace not in _FREE
        and shown != state
        and (record is None or record.status.state != state)
    ):
        now = context.clock.now()
        status = DocumentStatus(state=state, since=now.world, since_wall=now.wall)
        write: Create | Update
        if record is None:
            write = Create(
                kind=PROVIDER,
                name=namespace.lower(),
                uid=context.identity.uid(),
                spec=DocumentSpec(namespace),
                status=status,
                created_at=now.wall,
            )
        else:
            write = Update(
                kind=PROVIDER,
                name=record.name,
                status=status,
                expect_revision=record.revision,
            )
        with suppress(Precondition):  # somebody else changes it now: their word is as good
            await context.store.transact(scope, [write])
        record = await context.store.get(scope, PROVIDER, namespace.lower())
    return ArmResponse(200, _wire_provider(context, request.subscription, namespace, record))


async def register_provider(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``…/providers/{namespace}/register``."""
    return await _set_state(context, request, "Registered")


async def unregister_provider(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``…/providers/{namespace}/unregister``."""
    return await _set_state(context, request, "Unregistered")


_PROVIDERS = "/subscriptions/{subscription}/providers"

ROUTES: tuple[Route, ...] = (
    Route("GET", _PROVIDERS, list_providers),
    Route("GET", f"{_PROVIDERS}/{{namespace}}", get_provider),
    Route("POST", f"{_PROVIDERS}/{{namespace}}/register", register_provider),
    Route("POST", f"{_PROVIDERS}/{{namespace}}/unregister", unregister_provider),
)
