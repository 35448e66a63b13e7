"""Preview features (AFEC): which exist, and which a subscription has registered.

A registration takes a few minutes of world time; that it has ended is computed when somebody
looks, not written. Source: facts aks-api §5.8; decisions §1 and §3 for the names that gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.errors import FEATURE_NOT_FOUND
from poolwright.arm.providers import namespace_name
from poolwright.arm.records import FEATURE
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.model.cluster_key import subscription_scope
from poolwright.model.errors import Precondition
from poolwright.model.managed_cluster import DocumentSpec, DocumentStatus
from poolwright.model.record import Stored
from poolwright.ports.store import Create, Update

CONTAINER_SERVICE = "Microsoft.ContainerService"

_KNOWN: Mapping[str, tuple[str, ...]] = {
    # Names from AKS's documentation of its previews; the first three gate the managed GPU
    # experience (one feature with three names), those of 2019 gate nothing any more.
    CONTAINER_SERVICE: (
        "ManagedGPUExperiencePreview",
        "ManagedGPUExperience",
        "ManagedGPU",
        "AAD-V2",
        "AKS-ConfidentialLedger",
        "AKS-Dapr",
        "AKS-ExtensionManager",
        "AKS-GitOps",
        "AKS-IngressApplicationGatewayAddon",
        "AKS-KedaPreview",
        "AKS-OMSAppMonitoring",
        "AKS-PrometheusAddonPreview",
        "AKS-VPAPreview",
        "AKSAuditLog",
        "AKSAzureStandardLoadBalancer",
        "AKSFlatcarPreview",
        "AKSHTTPCustomFeatures",
        "AKSInfinibandSupport",
        "APIServerSecurityPreview",
        "AgentPoolVMSSResize",
        "ArtifactStreamingPreview",
        "AutoUpgradePreview",
        "AutomaticSKUPreview",
        "AvailabilityZonePreview",
        "AzureLinuxOSGuardPreview",
        "AzureOverlayPreview",
        "AzureServiceMeshPreview",
        "BlueGreenUpgradePreview",
        "CiliumDataplanePreview",
        "ControlPlaneMetricsPreview",
        "CustomCATrustPreview",
        "CustomNodeConfigPreview",
        "DisableLocalAccountsPreview",
        "DisableSSHPreview",
        "EnableAPIServerVnetIntegrationPreview",
        "EnableAzureDiskFileCSIDriver",
        "EnableEncryptionAtHostPreview",
        "EnableImageCleanerPreview",
        "EnableImageIntegrityPreview",
        "EnableMultipleStandardLoadBalancers",
        "EnablePodIdentityPreview",
        "EnablePrivateClusterPublicFQDN",
        "EnableUltraSSD",
        "EnableWorkloadIdentityPreview",
        "EntraIDSSHPreview",
        "EphemeralOSDiskDataPreview",
        "FIPSImagePreview",
        "GPUDedicatedVHDPreview",
        "HTTPProxyConfigPreview",
        "IMDSRestrictionPreview",
        "IgnorePodDisruptionBudgetPreview",
        "IstioNativeSidecarModePreview",
        "KataVMIsolationPreview",
        "KubeProxyConfigurationPreview",
        "LocalDNSPreview",
        "LowPriorityPoolPreview",
        "MachinesPreview",
        "ManagedNamespacePreview",
        "ManagedSystemPoolPreview",
        "MultiAgentpoolPreview",
        "NRGLockdownPreview",
        "NodeAutoProvisioningPreview",
        "NodeImageUpgradePreview",
        "NodeInitializationTaintsPreview",
        "NodeOsUpgradeChannelPreview",
        "NodePublicIPPreview",
        "NodePublicIPTagsPreview",
        "NodesubnetIsolationPreview",
        "PodSubnetPreview",
        "PodSecurityPolicyPreview",
        "PreviewStartStopAgentPool",
        "RunCommandPreview",
        "SafeguardsPreview",
        "SnapshotPreview",
        "SpotPoolPreview",
        "StartStopPreview",
        "StaticEgressGatewayPreview",
        "TrustedAccessPreview",
        "TrustedLaunchPreview",
        "Ubuntu2404Preview",
        "UserAssignedIdentityPreview",
        "VMSSPreview",
        "VMsAgentPoolPreview",
        "WasmNodePoolPreview",
        "WindowsGPUPreview",
        "WindowsNetworkPolicyPreview",
        "WindowsPreview",
    ),
    "Microsoft.Compute": (
        "EncryptionAtHost",
        "AutomaticZoneRebalancing",
        "UseStandardSecurityType",
    ),
    "Microsoft.Network": ("AllowPrivateEndpointNSG", "AllowAppGwStaticSPIP"),
}

_FEATURES = "/subscriptions/{subscription}/providers/Microsoft.Features"
_FEATURE = f"{_FEATURES}/providers/{{namespace}}/features"
_REGISTRATION = f"{_FEATURES}/featureProviders/{{namespace}}/subscriptionFeatureRegistrations"

FeatureRecord = Stored[DocumentSpec, DocumentStatus]


def _known_features(context: ArmContext) -> dict[str, dict[str, str]]:
    """namespace → name in lower case → name, with the settings' own."""
    known = {namespace: list(names) for namespace, names in _KNOWN.items()}
    for namespace, names in context.settings.feature_names.items():
        known.setdefault(namespace, []).extend(names)
    return {
        namespace: {name.lower(): name for name in sorted(set(names), key=str.lower)}
        for namespace, names in known.items()
    }


def feature_state(context: ArmContext, record: FeatureRecord | None) -> str:
    """The state now: what was asked for, once enough world time has passed since."""
    if record is None:
        return "NotRegistered"
    since = record.status.since
    state = record.status.state
    if since is not None:
        passed = context.clock.now().world.since(since)
        if passed < context.settings.feature_registration:
            return {"Registered": "Registering", "Unregistered": "Unregistering"}[state]
    return state


async def registered_features(
    context: ArmContext, subscription: str, request: ArmRequest | None = None
) -> frozenset[str]:
    """The features of Microsoft.ContainerService that a request may use, without the namespace.

    Registered ones of the subscription, and those that the request itself opts in to with its
    header ``AKSHTTPCustomFeatures: Microsoft.ContainerService/<Feature>[,…]``.
    """
    prefix = f"{CONTAINER_SERVICE.lower()}/"
    found, _ = await context.store.list(subscription_scope(subscription), FEATURE, prefix=prefix)
    names = {record.spec.name for record in found if feature_state(context, record) == "Registered"}
    asked = request.headers.get("akshttpcustomfeatures", "") if request is not None else ""
    if asked:
        known = _known_features(context)[CONTAINER_SERVICE]
        for item in asked.split(","):
            name = known.get(item.strip().lower().removeprefix(prefix))
            if name is not None:
                names.add(name)
    return frozenset(names)


def _names(context: ArmContext, request: ArmRequest) -> tuple[str, str]:
    """Namespace and feature of the path in their own casing."""
    namespace = namespace_name(request.names["namespace"])
    sent = request.names["feature"]
    name = _known_features(context).get(namespace, {}).get(sent.lower())
    if name is None:
        raise FEATURE_NOT_FOUND(feature=sent)
    return namespace, name


async def _find(
    context: ArmContext, subscription: str, namespace: str, name: str
) -> FeatureRecord | None:
    key = f"{namespace}/{name}".lower()
    return await context.store.get(subscription_scope(subscription), FEATURE, key)


async def _set_state(
    context: ArmContext, subscription: str, namespace: str, name: str, state: str
) -> FeatureRecord | None:
    """Ask for a state; asking again for the same one changes nothing."""
    record = await _find(context, subscription, namespace, name)
    current = record.status.state if record is not None else "Unregistered"
    if current == state:
        return record
    now = context.clock.now()
    status = DocumentStatus(state=state, since=now.world, since_wall=now.wall)
    write: Create | Update
    if record is None:
        write = Create(
            kind=FEATURE,
            name=f"{namespace}/{name}".lower(),
            uid=context.identity.uid(),
            spec=DocumentSpec(name),
            status=status,
            created_at=now.wall,
        )
    else:
        write = Update(
            kind=FEATURE, name=record.name, status=status, expect_revision=record.revision
        )
    with suppress(Precondition):  # somebody else changes it at this moment: theirs holds
        await context.store.transact(subscription_scope(subscription), [write])
    return await _find(context, subscription, namespace, name)


# --- features ----------------------------------------------------------------------------------


def _wire_feature(subscription: str, namespace: str, name: str, state: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{subscription}/providers/Microsoft.Features/providers/{namespace}"
        f"/features/{name}",
        "name": f"{namespace}/{name}",
        "type": "Microsoft.Features/providers/features",
        "properties": {"state": state},
    }


async def _list(context: ArmContext, request: ArmRequest, only: str | None) -> ArmResponse:
    scope = subscription_scope(request.subscription)
    found, _ = await context.store.list(scope, FEATURE)
    records = {record.name: record for record in found}
    return listing(
        [
            _wire_feature(
                request.subscription,
                namespace,
                name,
                feature_state(context, records.get(f"{namespace}/{name}".lower())),
            )
            for namespace, names in _known_features(context).items()
            if only is None or namespace == only
            for name in names.values()
        ]
    )


async def list_all_features(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``Microsoft.Features/features``: of every namespace."""
    return await _list(context, request, None)


async def list_features(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``…/providers/{namespace}/features``."""
    return await _list(context, request, namespace_name(request.names["namespace"]))


async def get_feature(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``…/features/{feature}``."""
    namespace, name = _names(context, request)
    record = await _find(context, request.subscription, namespace, name)
    state = feature_state(context, record)
    return ArmResponse(200, _wire_feature(request.subscription, namespace, name, state))


async def _change(context: ArmContext, request: ArmRequest, wanted: str) -> ArmResponse:
    namespace, name = _names(context, request)
    record = await _set_state(context, request.subscription, namespace, name, wanted)
    state = feature_state(context, record)
    return ArmResponse(200, _wire_feature(request.subscription, namespace, name, state))


async def register_feature(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``…/features/{feature}/register``."""
    return await _change(context, request, "Registered")


async def unregister_feature(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``…/features/{feature}/unregister``."""
    return await _change(context, request, "Unregistered")


# --- subscription feature registrations, the newer form of the same ----------------------------


def _wire_registration(
    context: ArmContext, subscription: str, namespace: str, record: FeatureRecord
) -> dict[str, Any]:
    name = record.spec.name
    properties: dict[str, Any] = {
        "tenantId": context.settings.tenant,
        "subscriptionId": subscription,
        "providerNamespace": namespace,
        "featureName": name,
        "displayName": name,
        "approvalType": "AutoApproval",
        "state": feature_state(context, record),
        "shouldFeatureDisplayInPortal": False,
    }
    if record.status.since_wall is not None:
        properties["registrationDate"] = record.status.since_wall.isoformat()
    return {
        "id": f"/subscriptions/{subscription}/providers/Microsoft.Features/featureProviders"
        f"/{namespace}/subscriptionFeatureRegistrations/{name}",
        "name": name,
        "type": "Microsoft.Features/featureProviders/subscriptionFeatureRegistrations",
        "properties": properties,
    }


async def list_registrations(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``subscriptionFeatureRegistrations`` of one namespace, or of all."""
    only = request.names.get("namespace")
    prefix = "" if only is None else f"{namespace_name(only).lower()}/"
    found, _ = await context.store.list(
        subscription_scope(request.subscription), FEATURE, prefix=prefix
    )
    return listing(
        [
            _wire_registration(
                context,
                request.subscription,
                namespace_name(record.name.partition("/")[0]),
                record,
            )
            for record in found
            if record.status.state == "Registered"
        ]
    )


async def get_registration(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET one; 404 if the feature is not registered."""
    namespace, name = _names(context, request)
    record = await _find(context, request.subscription, namespace, name)
    if record is None or record.status.state != "Registered":
        raise FEATURE_NOT_FOUND(feature=name)
    return ArmResponse(200, _wire_registration(context, request.subscription, namespace, record))


async def put_registration(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PUT: register."""
    namespace, name = _names(context, request)
    record = await _set_state(context, request.subscription, namespace, name, "Registered")
    assert record is not None, "a registration that was written is there"
    return ArmResponse(200, _wire_registration(context, request.subscription, namespace, record))


async def delete_registration(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """DELETE: unregister; 204 if it was not registered."""
    namespace, name = _names(context, request)
    record = await _find(context, request.subscription, namespace, name)
    if record is None or record.status.state != "Registered":
        return ArmResponse(204)
    await _set_state(context, request.subscription, namespace, name, "Unregistered")
    return ArmResponse(200)


ROUTES: tuple[Route, ...] = (
    Route("GET", f"{_FEATURES}/features", list_all_features),
    Route("GET", _FEATURE, list_features),
    Route("GET", f"{_FEATURE}/{{feature}}", get_feature),
    Route("POST", f"{_FEATURE}/{{feature}}/register", register_feature),
    Route("POST", f"{_FEATURE}/{{feature}}/unregister", unregister_feature),
    Route("GET", f"{_FEATURES}/subscriptionFeatureRegistrations", list_registrations),
    Route("GET", _REGISTRATION, list_registrations),
    Route("GET", f"{_REGISTRATION}/{{feature}}", get_registration),
    Route("PUT", f"{_REGISTRATION}/{{feature}}", put_registration),
    Route("DELETE", f"{_REGISTRATION}/{{feature}}", delete_registration),
)
