"""Accepting a write to a managed cluster, with the pools that it carries.

Source: facts aks-api §2.6, §3.2, §3.5; records.md R5, R6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from poolwright.model.agent_pool import AgentPoolSpec, PoolMode, ProvisioningState
from poolwright.model.catalog import autoscaler_profile_defaults
from poolwright.model.errors import InvalidRequest
from poolwright.model.limits import CLUSTER_NAME_PATTERN, DNS_PREFIX_PATTERN
from poolwright.model.managed_cluster import ManagedClusterSpec
from poolwright.model.scarcity import Restriction
from poolwright.plan.admission import Admitted, PoolRequest, Surroundings, admit_agent_pool
from poolwright.plan.admission_merge import (
    Fixed,
    at_path,
    change_refused,
    merge_accepted,
)
from poolwright.plan.admission_message import bad_request, invalid
from poolwright.plan.admission_mode import check_first_pools
from poolwright.plan.admission_size import check_cluster_size, check_pool_name
from poolwright.plan.admission_version import choose_cluster_version, profile_of
from poolwright.plan.gpu_profile import check_cluster_default

POOL_ADDED = (
    "A new agent pool was introduced. Adding agent pools to an existing cluster is not allowed "
    "through managed cluster operations. For agent pool specific change, please use per agent pool "
    "operations: https://aka.ms/agent-pool-rest-api"
)
"""Source: recorded (tyger#121)."""
POOL_REMOVED = (
    "Agent pool '{pool}' was removed. Removing agent pools from an existing cluster is not allowed "
    "through managed cluster operations. For agent pool specific change, please use per agent pool "
    "operations: https://aka.ms/agent-pool-rest-api"
)
MIXED_VERSIONS = (
    "Using managed cluster api, all Agent pools' OrchestratorVersion must be all specified or all "
    "unspecified. If all specified, they must be stay unchanged or the same with control plane. "
    "For agent pool specific change, please use per agent pool operations: "
    "https://aka.ms/agent-pool-rest-api"
)
"""Source: recorded in issues."""

ADOPTED = (
    "The control plane of managed cluster {name} was not made by this service: its version, power "
    "state and certificates are changed where it was made. Its agent pools can be changed."
)
"""Ours: AKS has no clusters of others' making."""

FEATURELESS_PLUGINS = frozenset({"kubenet", "none"})


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """A cluster as one request declares it. ``pools`` is None where the request has no list."""

    subscription: str
    resource_group: str
    name: str
    location: str
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    accepted: Mapping[str, Any] = field(default_factory=dict[str, Any])
    pools: tuple[PoolRequest, ...] | None = None
    fixed: tuple[Fixed, ...] = ()


@dataclass(frozen=True, slots=True)
class AdmittedCluster:
    """The new spec and state, with the pools that are made or changed."""

    spec: ManagedClusterSpec
    state: ProvisioningState
    pools: Mapping[str, Admitted]
    warnings: tuple[str, ...] = ()


def admit_cluster(
    request: ClusterRequest,
    old: ManagedClusterSpec | None,
    pools: Mapping[str, AgentPoolSpec],
    features: frozenset[str],
    restrictions: tuple[Restriction, ...] = (),
) -> AdmittedCluster:
    """Decide about one PUT of a managed cluster.

    Raises:
        InvalidRequest, Immutable, FeatureNotRegistered: with AKS' code and target.
    """
    if old is None:
        return _create(request, features, restrictions)
    return _update(request, old, pools, features, restrictions)


def _create(
    request: ClusterRequest, features: frozenset[str], restrictions: tuple[Restriction, ...]
) -> AdmittedCluster:
    given = request.given
    if not re.fullmatch(CLUSTER_NAME_PATTERN, request.name):
        raise invalid("resourceName")
    text = given.get("kubernetes_version", "")
    profile = profile_of(text)
    version = choose_cluster_version(text, None, profile)
    plugin, mode = _network(given, None, profile)
    spec = ManagedClusterSpec(
        subscription=request.subscription,
        resource_group=request.resource_group,
        name=request.name,
        location=request.location,
        kubernetes_version=version.text,
        current_kubernetes_version=str(version.exact),
        dns_prefix=_dns_prefix(request),
        node_resource_group=given.get("node_resource_group")
        or f"MC_{request.resource_group}_{request.name}_{request.location}"[:80],
        tags=given.get("tags") or {},
        network_plugin=plugin,
        network_plugin_mode=mode,
        gpu_management_mode=given.get("gpu_management_mode"),
        autoscaler_profile=autoscaler_profile(given.get("autoscaler_profile"), None),
        tier=given.get("tier", "Free"),
        profile=profile,
        accepted=merge_accepted(request.accepted, {}),
    )
    check_cluster_default(spec.gpu_management_mode, version.exact, features)
    _check_cluster(spec)
    admitted = _first_pools(request, spec, features, restrictions)
    return AdmittedCluster(
        spec, ProvisioningState.CREATING, admitted, _warnings(version.warnings, admitted)
    )


def _dns_prefix(request: ClusterRequest) -> str:
    prefix = request.given.get("dns_prefix")
    if not prefix:
        prefix = request.accepted.get("fqdnSubdomain")
    if not prefix:  # az makes it of these parts when nothing is given
        parts = (request.name[:10], request.resource_group[:16], request.subscription[:6])
        prefix = re.sub(r"[^A-Za-z0-9-]", "", "-".join(parts))
    if not re.fullmatch(DNS_PREFIX_PATTERN, prefix):
        raise invalid("dnsPrefix")
    return prefix


def _network(
    given: Mapping[str, Any], old: ManagedClusterSpec | None, profile: str
) -> tuple[str, str | None]:
    """Plugin and mode: overlay where nothing is said; kubenet in 2019."""
    plugin, mode = given.get("network_plugin"), given.get("network_plugin_mode")
    if old is not None:
        plugin = plugin or old.network_plugin
        if mode is None and plugin == old.network_plugin:
            mode = old.network_plugin_mode
        return plugin, mode
    if plugin is None:
        if profile == "preview-2019":
            return "kubenet", None
        return "azure", "overlay"
    if mode is not None and plugin in FEATURELESS_PLUGINS:
        raise invalid(
            "networkProfile.networkPluginMode",
            f"networkPluginMode '{mode}' is not supported with networkPlugin '{plugin}'",
        )
    return plugin, mode


def autoscaler_profile(
    given: Mapping[str, Any] | None, old: Mapping[str, str] | None
) -> Mapping[str, str]:
    """The effective profile as strings; an empty one resets to the defaults.

    Raises:
        InvalidRequest: an option has a value of another form than its default.
    """
    if given is None:
        return old or {}
    defaults = default_autoscaler_profile()
    for name, value in given.items():
        if name not in defaults:
            continue
        if name == "expander":
            chosen = str(value).split(",")
            if any(one not in {"least-waste", "most-pods", "priority", "random"} for one in chosen):
                raise invalid(f"autoScalerProfile.{name}", f"value '{value}' is not allowed")
        elif not _same_form(str(value), defaults[name]):
            raise invalid(f"autoScalerProfile.{name}", f"value '{value}' is not allowed")
    return {**defaults, **{k: str(v) for k, v in given.items() if v not in (None, "")}}


_DURATION = re.compile(r"(\d+(\.\d+)?(ms|s|m|h))+")
_NUMBER = re.compile(r"\d+(\.\d+)?")


def _same_form(value: str, default: str) -> bool:
    if default in {"true", "false"}:
        return value in {"true", "false"}
    if _DURATION.fullmatch(default):
        return bool(_DURATION.fullmatch(value))
    return bool(_NUMBER.fullmatch(value))


def default_autoscaler_profile() -> dict[str, str]:
    """AKS' defaults as the strings of its API (``scan-interval: 10s``)."""
    rows = {
        name: row
        for name, row in autoscaler_profile_defaults().items()
        if row.get("scope") == "aks-profile"
    }
    profile: dict[str, str] = {}
    for name, row in rows.items():
        value: Any = row["aks_default"]
        if isinstance(value, str) and value.startswith("= "):  # as long as another option
            value = rows[value.removeprefix("= ")]["aks_default"]
        profile[name] = _option_text(value, row.get("unit"), name)
    return profile


def _option_text(value: Any, unit: str | None, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if unit == "s" and not name.endswith("-sec"):
        return f"{value // 60}m" if value and value % 60 == 0 else f"{value}s"
    return str(value)


def _check_cluster(spec: ManagedClusterSpec) -> None:
    identity: Mapping[str, Any] = spec.accepted.get("identity") or {}
    if identity.get("type") == "UserAssigned" and not identity.get("userAssignedIdentities"):
        raise invalid("identity.userAssignedIdentities", "at least one identity is needed")


def _first_pools(
    request: ClusterRequest,
    spec: ManagedClusterSpec,
    features: frozenset[str],
    restrictions: tuple[Restriction, ...],
) -> dict[str, Admitted]:
    if not request.pools:
        raise InvalidRequest(
            "Required parameter agentPoolProfiles is missing (null).",
            code="InvalidParameter",
            target="agentPoolProfiles",
        )
    says_mode = any("mode" in pool.given for pool in request.pools)
    admitted: dict[str, Admitted] = {}
    for index, pool in enumerate(request.pools):
        check_pool_name(pool.name, pool.given.get("os_type", "Linux"))
        if pool.name in admitted:
            raise invalid("agentPoolProfile.name", f"'{pool.name}' is given twice")
        one = pool
        if index == 0 and not says_mode:
            one = replace(pool, given={**pool.given, "mode": PoolMode.SYSTEM})
        around = Surroundings(
            cluster=spec,
            features=features,
            restrictions=restrictions,
        )
        admitted[pool.name] = admit_agent_pool(one, None, around)
    specs = {name: pool.spec for name, pool in admitted.items()}
    check_first_pools(specs.values())
    check_cluster_size(specs, spec.profile)
    return admitted


def _warnings(own: tuple[str, ...], pools: Mapping[str, Admitted]) -> tuple[str, ...]:
    found = list(own)
    for pool in pools.values():
        found += [text for text in pool.warnings if text not in found]
    return tuple(found)


def _update(
    request: ClusterRequest,
    old: ManagedClusterSpec,
    pools: Mapping[str, AgentPoolSpec],
    features: frozenset[str],
    restrictions: tuple[Restriction, ...],
) -> AdmittedCluster:
    given = request.given
    _check_fixed(request, old)
    version = choose_cluster_version(given.get("kubernetes_version", ""), old, old.profile)
    plugin, mode = _network(given, old, old.profile)
    spec = replace(
        old,
        kubernetes_version=version.text,
        current_kubernetes_version=str(version.exact),
        tags=given.get("tags") or {},
        network_plugin=plugin,
        network_plugin_mode=mode,
        gpu_management_mode=given.get("gpu_management_mode", old.gpu_management_mode),
        autoscaler_profile=autoscaler_profile(
            given.get("autoscaler_profile"), old.autoscaler_profile
        ),
        tier=given.get("tier", old.tier),
        accepted=merge_accepted(request.accepted, old.accepted),
    )
    if spec.gpu_management_mode is not old.gpu_management_mode:
        check_cluster_default(spec.gpu_management_mode, version.exact, features)
    _check_cluster(spec)
    upgrades = spec.current_kubernetes_version != old.current_kubernetes_version
    if upgrades:
        check_control_plane_is_ours(old)
    changed = _changed_pools(request, spec, pools, features, restrictions, upgrades=upgrades)
    after = {**pools, **{name: one.spec for name, one in changed.items()}}
    _check_skew(after, spec, upgrades=upgrades)
    grows = sum(p.count for p in after.values()) > sum(p.count for p in pools.values())
    check_cluster_size(after, spec.profile, grows=grows)
    state = ProvisioningState.UPGRADING if upgrades else ProvisioningState.UPDATING
    return AdmittedCluster(spec, state, changed, _warnings(version.warnings, changed))


def check_control_plane_is_ours(cluster: ManagedClusterSpec) -> None:
    """Refuse to upgrade, stop, start or rotate keys of what somebody else made.

    Raises:
        InvalidRequest: the cluster was adopted.
    """
    if cluster.is_adopted:
        raise bad_request(ADOPTED.format(name=cluster.name), code="OperationNotAllowed")


def _check_fixed(request: ClusterRequest, old: ManagedClusterSpec) -> None:
    given = request.given
    for name, path in (("dns_prefix", "dnsPrefix"), ("node_resource_group", "nodeResourceGroup")):
        wanted = given.get(name)
        if wanted and wanted.lower() != getattr(old, name).lower():
            raise change_refused(path)
    for one in request.fixed:
        wanted, stored = at_path(request.accepted, one.path), at_path(old.accepted, one.path)
        if wanted is None:
            continue
        if (one.default if stored is None else stored) not in {None, wanted}:
            raise change_refused(one.path)


def _changed_pools(
    request: ClusterRequest,
    spec: ManagedClusterSpec,
    pools: Mapping[str, AgentPoolSpec],
    features: frozenset[str],
    restrictions: tuple[Restriction, ...],
    *,
    upgrades: bool,
) -> dict[str, Admitted]:
    """Pools whose spec changes by this request, by name."""
    wanted = {pool.name: pool for pool in request.pools or ()}
    if request.pools is None:
        wanted = {name: PoolRequest(name=name, given=_kept(pool)) for name, pool in pools.items()}
    for name in wanted:
        if name not in pools:
            raise bad_request(POOL_ADDED, target="agentPoolProfiles")
    for name in pools:
        if name not in wanted:
            raise bad_request(POOL_REMOVED.format(pool=name), target="agentPoolProfiles")
    if upgrades:
        wanted = _with_versions(wanted, spec, pools)
    changed: dict[str, Admitted] = {}
    for name, pool in wanted.items():
        others = {
            key: changed[key].spec if key in changed else one
            for key, one in pools.items()
            if key != name
        }
        around = Surroundings(
            cluster=spec,
            others=others,
            first_pool=pools[name],
            features=features,
            restrictions=restrictions,
        )
        one = admit_agent_pool(pool, pools[name], around)
        if one.spec != pools[name]:
            changed[name] = one
    return changed


def _kept(pool: AgentPoolSpec) -> dict[str, Any]:
    """What a request must repeat so that nothing of a pool is cleared."""
    return {
        "node_labels": pool.node_labels,
        "node_taints": [str(taint) for taint in pool.node_taints],
        "tags": pool.tags,
    }


def _with_versions(
    wanted: Mapping[str, PoolRequest],
    spec: ManagedClusterSpec,
    pools: Mapping[str, AgentPoolSpec],
) -> dict[str, PoolRequest]:
    """Pools follow an upgrade of the cluster unless the request repeats their own versions."""
    said = {name: pool.given.get("orchestrator_version", "") for name, pool in wanted.items()}
    targets = {spec.kubernetes_version, spec.current_kubernetes_version}
    if any(said.values()) and not all(said.values()):
        raise _mixed()
    for name, text in said.items():
        own = {pools[name].orchestrator_version, pools[name].kubernetes_version}
        if text and text not in targets | own:
            raise _mixed()
    return {
        name: pool
        if said[name]
        else replace(pool, given={**pool.given, "orchestrator_version": spec.kubernetes_version})
        for name, pool in wanted.items()
    }


def _mixed() -> InvalidRequest:
    return InvalidRequest(
        MIXED_VERSIONS,
        code="NotAllAgentPoolOrchestratorVersionSpecifiedAndUnchanged",
        target="agentPoolProfiles",
    )


def _check_skew(
    pools: Mapping[str, AgentPoolSpec], spec: ManagedClusterSpec, *, upgrades: bool
) -> None:
    """A control plane does not move more than two minors away from its pools."""
    if not upgrades:
        return
    minor = int(spec.current_kubernetes_version.split(".")[1])
    for name, pool in pools.items():
        if minor - int(pool.kubernetes_version.split(".")[1]) > 2:
            raise InvalidRequest(
                f"Agent pool '{name}' runs {pool.kubernetes_version}; the control plane cannot be "
                f"more than 2 minor versions ahead of it with {spec.current_kubernetes_version}. "
                "For more information, please check https://aka.ms/aks/UpgradeVersionRules",
                code="NodePoolMcVersionIncompatible",
                target="properties.kubernetesVersion",
            )
