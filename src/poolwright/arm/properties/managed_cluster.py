"""The property table of ``managedClusters``: what we act on, and what reads show besides.

Every other name that the published models know is kept and shown as sent. Source:
azure-mgmt-containerservice, recordings (facts aks-api §2.6, §7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, cast

from poolwright.arm.etags import etag_of
from poolwright.arm.parents import cluster_id_of
from poolwright.arm.properties import agent_pool
from poolwright.arm.properties.names import possible_names
from poolwright.arm.properties.table import NULL, Change, Property, Table, Wire
from poolwright.model.gpu import ManagementMode
from poolwright.model.limits import limits
from poolwright.model.managed_cluster import ManagedClusterSpec, ManagedClusterStatus
from poolwright.model.record import Stored
from poolwright.plan.admission_merge import Fixed, at_path

Cluster = Stored[ManagedClusterSpec, ManagedClusterStatus]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What a cluster is written from."""

    cluster: Cluster
    pools: Sequence[agent_pool.Pool]
    version: str
    tenant: str

    @property
    def spec(self) -> ManagedClusterSpec:
        """The cluster's spec."""
        return self.cluster.spec

    def accepted(self, path: str) -> Any:
        """What was sent at a path, if it is only kept."""
        return at_path(self.spec.accepted, path)


def derived_guid(cluster: Cluster, name: str) -> str:
    """A GUID of something that belongs to a cluster (an identity): always the same one."""
    digest = blake2b(f"{cluster.uid}/{name}".encode(), digest_size=16).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))


def _fqdn(view: ClusterView, domain: str = "hcp") -> str:
    digest = blake2b(view.cluster.uid.encode(), digest_size=4).hexdigest()
    place = f"{domain}.{view.spec.location}.azmk8s.io"
    return f"{view.spec.dns_prefix}-{digest}.{place}"


def _is_private(view: ClusterView) -> bool:
    return bool(view.accepted("apiServerAccessProfile.enablePrivateCluster"))


def _public_fqdn(view: ClusterView) -> Any:
    shown = view.accepted("apiServerAccessProfile.enablePrivateClusterPublicFQDN")
    return None if _is_private(view) and shown is False else _fqdn(view)


def _private_fqdn(view: ClusterView) -> Any:
    return _fqdn(view, "privatelink") if _is_private(view) else None


def _pod_cidr(view: ClusterView) -> Any:
    """azure without overlay has no pod range: pods live in the subnet (§7.2)."""
    spec = view.spec
    if spec.network_plugin == "none":
        return None
    if spec.network_plugin == "azure" and spec.network_plugin_mode != "overlay":
        return view.accepted("networkProfile.podCidr")
    return view.accepted("networkProfile.podCidr") or "10.244.0.0/16"


def _listed(path: str, single: Callable[[ClusterView], Any]) -> Callable[[ClusterView], Any]:
    def show(view: ClusterView) -> Any:
        own = view.accepted(path)
        if own:
            return own
        value = single(view)
        return [value] if value else None

    return show


def _service_cidr(view: ClusterView) -> str:
    return view.accepted("networkProfile.serviceCidr") or "10.0.0.0/16"


def _load_balancer(view: ClusterView) -> Any:
    """Managed outbound IPs default to one, and exactly as many are in effect (§7.1)."""
    sku = str(view.accepted("networkProfile.loadBalancerSku") or "standard").lower()
    outbound = view.accepted("networkProfile.outboundType") or "loadBalancer"
    if sku != "standard" or outbound != "loadBalancer":
        return None
    accepted: Mapping[str, Any] = view.accepted("networkProfile.loadBalancerProfile") or {}
    profile = dict(deepcopy(accepted))
    ids: list[dict[str, Any]] = []
    for path in ("outboundIPs.publicIPs", "outboundIPPrefixes.publicIPPrefixes"):
        entries: list[dict[str, Any]] = at_path(profile, path) or []
        ids += [{"id": entry.get("id")} for entry in entries]
    if not ids:
        managed: dict[str, Any] = {"count": 1, **(profile.get("managedOutboundIPs") or {})}
        profile["managedOutboundIPs"] = managed
        number: int = managed["count"] + managed.get("countIPv6", 0)
        group = (
            f"/subscriptions/{view.spec.subscription}/resourceGroups/"
            f"{view.spec.node_resource_group}/providers/Microsoft.Network/publicIPAddresses"
        )
        ids = [
            {"id": f"{group}/{derived_guid(view.cluster, f'ip{index}')}"} for index in range(number)
        ]
    profile["effectiveOutboundIPs"] = ids
    profile.setdefault("backendPoolType", "nodeIPConfiguration")
    return profile


def _kubelet_identity(view: ClusterView) -> Any:
    own = view.accepted("identityProfile")
    if own:
        return own
    spec = view.spec
    return {
        "kubeletidentity": {
            "resourceId": f"/subscriptions/{spec.subscription}/resourcegroups/"
            f"{spec.node_resource_group}/providers/Microsoft.ManagedIdentity/"
            f"userAssignedIdentities/{spec.name}-agentpool",
            "clientId": derived_guid(view.cluster, "kubelet-client"),
            "objectId": derived_guid(view.cluster, "kubelet-object"),
        }
    }


def _pools(view: ClusterView) -> Any:
    return [
        {
            "name": pool.spec.name,
            **agent_pool.TABLE.write(agent_pool.PoolView(pool, etag_of(pool)), view.version),
        }
        for pool in view.pools
    ]


def _autoscaler(view: ClusterView) -> Any:
    return dict(view.spec.autoscaler_profile) or None


def _gpu_default(view: ClusterView) -> Any:
    mode = view.spec.gpu_management_mode
    return mode.value if mode else None


def _provisioning_error(view: ClusterView) -> Any:
    status = view.cluster.status
    error = status.outage.error if status.outage is not None else status.error
    return None if error is None else {"code": error.code, "message": error.message}


def _default(path: str, value: Any) -> Callable[[ClusterView], Any]:
    def show(view: ClusterView) -> Any:
        own = view.accepted(path)
        return deepcopy(value) if own is None else own

    return show


def _kept(
    path: str, value: Any, type_: Wire = Wire.STRING, enum: tuple[str, ...] = (), **more: Any
) -> Property:
    """A property that is only kept, with what reads show by default."""
    return Property(path, type_, enum=enum, default=value, show=_default(path, value), **more)


def _oidc_issuer(view: ClusterView) -> Any:
    if not view.accepted("oidcIssuerProfile.enabled"):
        return None
    tenant, guid = view.tenant, derived_guid(view.cluster, "oidc")
    return f"https://{view.spec.location}.oic.prod-aks.azure.com/{tenant}/{guid}/"


P = Property

_ROWS: tuple[Property, ...] = (
    P(
        "provisioningState", Wire.STRING, change=Change.READ_ONLY,
        show=lambda v: v.cluster.status.provisioning_state.value, effect="what is going on",
    ),
    P(
        "powerState.code", Wire.STRING, change=Change.READ_ONLY, released="2020-09-01",
        show=lambda v: "Stopped" if v.spec.is_stopped else "Running",
        effect="control plane and machines run",
    ),
    P(
        "kubernetesVersion", Wire.STRING, "kubernetes_version", change=Change.ACTION,
        show=lambda v: v.spec.kubernetes_version, effect="control plane version",
    ),
    P(
        "currentKubernetesVersion", Wire.STRING, change=Change.READ_ONLY, released="2022-04-01",
        show=lambda v: v.cluster.status.running_kubernetes_version
        or v.spec.current_kubernetes_version,
        effect="what the control plane runs",
    ),
    P(
        "dnsPrefix", Wire.STRING, "dns_prefix", change=Change.IMMUTABLE,
        show=lambda v: None if v.accepted("fqdnSubdomain") else v.spec.dns_prefix,
        effect="names of the API server",
    ),
    P("fqdn", Wire.STRING, change=Change.READ_ONLY, show=_public_fqdn),
    P("azurePortalFQDN", Wire.STRING, change=Change.READ_ONLY, show=_public_fqdn),
    P("privateFQDN", Wire.STRING, change=Change.READ_ONLY, show=_private_fqdn),
    P(
        "agentPoolProfiles", Wire.OBJECTS, "pools", show=_pools,
        effect="the first pools; later updates of existing ones",
    ),
    *(
        _kept(f"apiServerAccessProfile.{name}", None, Wire.BOOL)
        for name in ("enablePrivateCluster", "enablePrivateClusterPublicFQDN")
    ),
    P("fqdnSubdomain", Wire.STRING, show=_default("fqdnSubdomain", None)),
    P("linuxProfile", Wire.OBJECT, show=_default("linuxProfile", None)),
    P("windowsProfile", Wire.OBJECT, show=_default("windowsProfile", None)),
    P(
        "servicePrincipalProfile.clientId", Wire.STRING,
        show=_default("servicePrincipalProfile.clientId", "msi"),
    ),
    P(
        "servicePrincipalProfile.secret", Wire.STRING, show=lambda _: None,
        effect="never shown",
    ),
    P(
        "nodeResourceGroup", Wire.STRING, "node_resource_group", change=Change.IMMUTABLE,
        show=lambda v: v.spec.node_resource_group, effect="ids of machines",
    ),
    _kept("enableRBAC", True, Wire.BOOL, change=Change.IMMUTABLE),
    _kept(
        "supportPlan", "KubernetesOfficial", enum=("KubernetesOfficial", "AKSLongTermSupport")
    ),
    P(
        "networkProfile.networkPlugin", Wire.STRING, "network_plugin",
        enum=("azure", "kubenet", "none"), show=lambda v: v.spec.network_plugin,
        effect="default of maxPods",
    ),
    P(
        "networkProfile.networkPluginMode", Wire.STRING, "network_plugin_mode",
        enum=("overlay",), show=lambda v: v.spec.network_plugin_mode,
        effect="default of maxPods",
    ),
    _kept("networkProfile.networkPolicy", "none", enum=("none", "azure", "calico", "cilium")),
    _kept("networkProfile.networkDataplane", "azure", enum=("azure", "cilium")),
    _kept("networkProfile.loadBalancerSku", "standard", enum=("standard", "basic")),
    P("networkProfile.loadBalancerProfile", Wire.PARENT, show=_load_balancer),
    *(
        P(f"networkProfile.loadBalancerProfile.{name}", type_, range=bounds)
        for name, type_, bounds in (
            ("allocatedOutboundPorts", Wire.INT, (0, 64000)),
            ("idleTimeoutInMinutes", Wire.INT, (4, 120)),
            ("managedOutboundIPs", Wire.PARENT, None),
            ("managedOutboundIPs.count", Wire.INT, (1, 100)),
            ("managedOutboundIPs.countIPv6", Wire.INT, (0, 100)),
            ("outboundIPs", Wire.PARENT, None),
            ("outboundIPs.publicIPs", Wire.OBJECTS, None),
            ("outboundIPPrefixes", Wire.PARENT, None),
            ("outboundIPPrefixes.publicIPPrefixes", Wire.OBJECTS, None),
            ("effectiveOutboundIPs", Wire.OBJECTS, None),
        )
    ),
    P("networkProfile.podCidr", Wire.STRING, show=_pod_cidr),
    P("networkProfile.serviceCidr", Wire.STRING, show=_service_cidr),
    _kept("networkProfile.dnsServiceIP", "10.0.0.10"),
    _kept(
        "networkProfile.outboundType", "loadBalancer",
        enum=(
            "loadBalancer", "userDefinedRouting", "managedNATGateway", "userAssignedNATGateway",
            "managedNATGatewayV2", "none", "block",
        ),
    ),
    P(
        "networkProfile.podCidrs", Wire.STRINGS,
        show=_listed("networkProfile.podCidrs", _pod_cidr),
    ),
    P(
        "networkProfile.serviceCidrs", Wire.STRINGS,
        show=_listed("networkProfile.serviceCidrs", _service_cidr),
    ),
    _kept("networkProfile.ipFamilies", ["IPv4"], Wire.STRINGS, enum=("IPv4", "IPv6")),
    P(
        "maxAgentPools", Wire.INT, change=Change.READ_ONLY,
        show=lambda v: limits(v.spec.profile).pools_per_cluster, effect="see model/limits.py",
    ),
    P("identityProfile", Wire.OBJECT, show=_kubelet_identity),
    _kept(
        "autoUpgradeProfile.nodeOSUpgradeChannel", "NodeImage",
        enum=("None", "Unmanaged", "NodeImage", "SecurityPatch"),
    ),
    P("autoUpgradeProfile.upgradeChannel", Wire.STRING,
      enum=("none", "rapid", "stable", "patch", "node-image"),
      show=_default("autoUpgradeProfile.upgradeChannel", None)),
    P(
        "autoScalerProfile", Wire.OBJECT, "autoscaler_profile", show=_autoscaler,
        effect="the autoscaler's options",
    ),
    _kept("disableLocalAccounts", False, Wire.BOOL),
    _kept("securityProfile", {}, Wire.OBJECT),
    _kept("storageProfile.diskCSIDriver", {"enabled": True}, Wire.OBJECT),
    _kept("storageProfile.fileCSIDriver", {"enabled": True}, Wire.OBJECT),
    _kept("storageProfile.snapshotController", {"enabled": True}, Wire.OBJECT),
    _kept("oidcIssuerProfile.enabled", False, Wire.BOOL),
    P("oidcIssuerProfile.issuerURL", Wire.STRING, change=Change.READ_ONLY, show=_oidc_issuer),
    _kept("workloadAutoScalerProfile", {}, Wire.OBJECT),
    _kept("metricsProfile.costAnalysis.enabled", False, Wire.BOOL),
    P(
        "resourceUID", Wire.STRING, change=Change.READ_ONLY,
        show=lambda v: v.cluster.uid.replace("-", "")[:24],
    ),
    _kept("nodeProvisioningProfile.mode", "Manual", enum=("Manual", "Auto")),
    _kept("nodeProvisioningProfile.defaultNodePools", "Auto", enum=("None", "Auto")),
    _kept("bootstrapProfile.artifactSource", "Direct", enum=("Direct", "Cache")),
    P(
        "gpuProfile.nvidia.managementMode", Wire.STRING, "gpu_management_mode",
        released="2026-08-01",
        previewed="2025-10-02-preview", enum=tuple(ManagementMode), convert=ManagementMode,
        show=_gpu_default, effect="default of pools that declare no mode",
        source="seed 003 (az aks create --managed-gpu); the field is ours",
    ),
    P(
        "status.provisioningError", Wire.OBJECT, change=Change.READ_ONLY, released="2024-10-01",
        show=_provisioning_error,
        effect="why the latest operation failed; what keeps us from an adopted cluster",
    ),
)  # fmt: skip

TABLE = Table(_ROWS, struct="ManagedClusterProperties", target="properties")

FIXED: tuple[Fixed, ...] = (
    *(
        Fixed(row.path, row.field, row.default)
        for row in _ROWS
        if row.change is Change.IMMUTABLE and not row.field
    ),
    Fixed("fqdnSubdomain"),
    Fixed("networkProfile.serviceCidr", default="10.0.0.0/16"),
    Fixed("networkProfile.dnsServiceIP", default="10.0.0.10"),
)

TOP_LEVEL = ("identity", "sku", "kind", "extendedLocation")
"""Members beside ``properties`` that are kept by name."""


def names(version: str) -> Mapping[str, Any] | None:
    """The tree of names that the published models of a version can know, if we can tell."""
    return possible_names("managedClusters", version)


def _identity(view: ClusterView) -> Any:
    identity = view.spec.accepted.get("identity")
    if identity is None:
        if view.accepted("servicePrincipalProfile.clientId") not in {None, "msi"}:
            return None
        identity = {"type": "SystemAssigned"}
    shown: dict[str, Any] = {"type": identity.get("type", "SystemAssigned")}
    if shown["type"] == "SystemAssigned":
        shown["principalId"] = derived_guid(view.cluster, "principal")
        shown["tenantId"] = view.tenant
    assigned = identity.get("userAssignedIdentities")
    if assigned:
        shown["userAssignedIdentities"] = {
            name: {
                "clientId": derived_guid(view.cluster, f"client {name}"),
                "principalId": derived_guid(view.cluster, f"principal {name}"),
            }
            for name in assigned
        }
    return shown


def cluster_body(view: ClusterView) -> dict[str, Any]:
    """The wire form of a cluster."""
    spec = view.spec
    sku: Mapping[str, Any] = spec.accepted.get("sku") or {}
    name = {"base": "Base", "automatic": "Automatic", "basic": "Base"}.get(
        str(sku.get("name", "Base")).lower(), "Base"
    )
    body: dict[str, Any] = {
        "id": cluster_id_of(spec),
        "location": spec.location,
        "name": spec.name,
        "type": "Microsoft.ContainerService/ManagedClusters",
    }
    if spec.tags:
        body["tags"] = dict(spec.tags)
    kept = {k: deepcopy(v) for k, v in spec.accepted.items() if k not in TOP_LEVEL}
    body["properties"] = _without_nulls(TABLE.write(view, view.version, base=kept))
    identity = _identity(view)
    if identity is not None:
        body["identity"] = identity
    body["sku"] = {"name": name, "tier": spec.tier}
    body["kind"] = spec.accepted.get("kind") or "Base"
    if view.version >= "2024-06-02":
        body["eTag"] = etag_of(view.cluster)
    return body


def _without_nulls(wire: dict[str, Any]) -> dict[str, Any]:
    """Secrets and members that were sent as null do not come back."""
    for name, secret in (
        ("servicePrincipalProfile", "secret"),
        ("windowsProfile", "adminPassword"),
    ):
        profile: Any = wire.get(name)
        if isinstance(profile, dict):
            cast("dict[str, Any]", profile).pop(secret, None)
    return {name: value for name, value in wire.items() if value is not None and value is not NULL}
