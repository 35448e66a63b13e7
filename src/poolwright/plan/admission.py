"""Accepting a write to an agent pool: defaults, rules, and what the pool then is.

`admit_agent_pool` is the one door: a request (only what it declares), the pool as it is, and its
surroundings go in; a full spec with its provisioning state comes out, or a refusal in AKS' words.
Each subject has its own module beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from poolwright.model.agent_pool import AgentPoolSpec, ProvisioningState, RecentVersion
from poolwright.model.catalog import VmSize, node_image_version, vm_size
from poolwright.model.gpu import GpuProfile, InstallProfile
from poolwright.model.managed_cluster import ManagedClusterSpec
from poolwright.model.scarcity import Restriction
from poolwright.model.version import KubernetesVersion
from poolwright.plan.admission_autoscaler import check_autoscaler
from poolwright.plan.admission_label import check_labels, check_tags, check_taints, read_taints
from poolwright.plan.admission_local_dns import admit_local_dns
from poolwright.plan.admission_merge import (
    Fixed,
    check_unchanged,
    merge_accepted,
    new_upgrade,
    without_defaults,
)
from poolwright.plan.admission_message import invalid
from poolwright.plan.admission_mode import check_mode
from poolwright.plan.admission_size import check_shape, check_size, default_vm_size
from poolwright.plan.admission_upgrade import check_upgrade_settings
from poolwright.plan.admission_version import PoolVersion, choose_version
from poolwright.plan.admission_virtual_machines import (
    check_virtual_machines,
    virtual_machines,
)
from poolwright.plan.gpu_profile import (
    CROSSING,
    GpuQuestion,
    decide_gpu,
    has_managed_gpu_tag,
    profile_after_upgrade,
)

SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
"""Added by the service to every Spot pool. Source: AKS spot-node-pool."""


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """A pool as one request declares it: only what was given.

    ``given`` is by model field (``gpu.…`` and ``upgrade_settings.…`` for nested ones);
    ``accepted`` by wire name. ``fixed`` are the properties that cannot change, ``defaults`` what
    reads show of accepted ones that nobody gave, by path. ``has_nvidia``:
    the api-version has the ``nvidia`` block.
    """

    name: str
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    accepted: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fixed: tuple[Fixed, ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()
    has_nvidia: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A node pool snapshot that a pool is made or upgraded from."""

    kubernetes_version: str
    node_image_version: str
    vm_size: str
    os_type: str
    os_sku: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pool is admitted into. ``others`` are the cluster's other pools by name;
    ``first_pool`` is the oldest of them. ``features`` are registered names in lower case;
    ``snapshot`` is what ``creationData`` newly names.
    """

    cluster: ManagedClusterSpec
    others: Mapping[str, AgentPoolSpec] = field(default_factory=dict[str, AgentPoolSpec])
    first_pool: AgentPoolSpec | None = None
    features: frozenset[str] = frozenset()
    restrictions: tuple[Restriction, ...] = ()
    recent_versions: tuple[RecentVersion, ...] = ()
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """The new spec, the state that shows while it is carried out, and warnings for the user."""

    spec: AgentPoolSpec
    state: ProvisioningState
    warnings: tuple[str, ...] = ()


def admit_agent_pool(
    request: PoolRequest, old: AgentPoolSpec | None, around: Surroundings
) -> Admitted:
    """Decide about one PUT of an agent pool.

    Raises:
        InvalidRequest, Immutable, FeatureNotRegistered, Conflict: with AKS' code and target.
    """
    admitted = _create(request, around) if old is None else _update(request, old, around)
    spec = admitted.spec
    check_shape(spec, around.cluster.profile)
    check_virtual_machines(spec)
    check_mode(spec, old, around.others)
    check_labels(spec.node_labels)
    check_tags(spec.tags)
    check_taints(spec)
    check_upgrade_settings(spec, admitted.state)
    return admitted


def _create(request: PoolRequest, around: Surroundings) -> Admitted:
    given, cluster = _with_snapshot(request.given, around.snapshot), around.cluster
    given.setdefault("os_type", "Linux")
    virtual_machines(given, request.accepted)
    vm_name = given.get("vm_size") or default_vm_size(given["os_type"])
    size, warnings = check_size(vm_name, request.name, cluster, around.restrictions)
    version = choose_version(
        given.get("orchestrator_version", ""),
        None,
        cluster,
        is_new_cluster=around.first_pool is None,
    )
    os_sku = given.get("os_sku") or ("Windows2022" if given["os_type"] == "Windows" else "Ubuntu")
    tags: Mapping[str, str] = given.get("tags") or {}
    gpu = decide_gpu(
        GpuQuestion(
            declared=_gpu(given, None),
            size=size,
            os_type=given["os_type"],
            os_sku=os_sku,
            version=version.exact,
            features=around.features,
            has_tag=has_managed_gpu_tag(tags),
            cluster_default=cluster.gpu_management_mode,
            can_say_nvidia=request.has_nvidia,
        )
    )
    accepted = _accepted(request, None)
    image = node_image(os_sku, size.architecture, fips=bool(accepted.get("enableFIPS")))
    if around.snapshot is not None:
        check_snapshot_size(around.snapshot, size)
        image = around.snapshot.node_image_version
    given.setdefault("count", 1)
    check_autoscaler(given, None)
    spec = AgentPoolSpec(
        name=request.name,
        vm_size=vm_name,
        count=given["count"],
        kubernetes_version=str(version.exact),
        orchestrator_version=version.text,
        node_image_version=image,
        os_sku=os_sku,
        os_disk_size_gb=given.get("os_disk_size_gb") or _default_disk(around),
        max_pods=given.get("max_pods") or _default_max_pods(cluster, given["os_type"]),
        node_taints=_taints(given, None),
        node_initialization_taints=read_taints(
            given.get("node_initialization_taints") or (), "nodeInitializationTaints"
        ),
        upgrade_settings=new_upgrade(given, None),
        gpu=gpu.shown,
        install_profile=gpu.install_profile,
        accepted=accepted,
        **_plain(given),
    )
    return Admitted(spec, ProvisioningState.CREATING, warnings + version.warnings + gpu.warnings)


def _with_snapshot(given: Mapping[str, Any], snapshot: Snapshot | None) -> dict[str, Any]:
    """What is not given comes from the snapshot."""
    if snapshot is None:
        return dict(given)
    return {
        "vm_size": snapshot.vm_size,
        "os_type": snapshot.os_type,
        "os_sku": snapshot.os_sku,
        "orchestrator_version": snapshot.kubernetes_version,
        **given,
    }


def check_snapshot_size(snapshot: Snapshot, size: VmSize) -> None:
    """Check that a pool's size is of the snapshot's family.

    Raises:
        InvalidRequest: another family. Source: AKS node-pool-snapshot, limitations.
    """
    own = vm_size(snapshot.vm_size)
    if own is not None and own.family.lower() != size.family.lower():
        raise invalid(
            "agentPoolProfile.vmSize",
            f"the VM size '{size.name}' is not of the family of the snapshot's size "
            f"'{snapshot.vm_size}'",
        )


def _accepted(request: PoolRequest, old: AgentPoolSpec | None) -> dict[str, Any]:
    """The properties that are only kept, after the rules that some of them have."""
    accepted = merge_accepted(request.accepted, old.accepted if old else {})
    sent = request.accepted.get("localDNSProfile")
    if sent is not None:
        merged = accepted["localDNSProfile"] if sent.get("mode") else sent
        accepted["localDNSProfile"] = admit_local_dns(merged, is_creation=old is None)
    return without_defaults(accepted, request.defaults)


_PLAIN = (
    "enable_auto_scaling",
    "min_count",
    "max_count",
    "mode",
    "os_type",
    "pool_type",
    "os_disk_type",
    "node_labels",
    "tags",
    "availability_zones",
    "scale_down_mode",
    "scale_set_priority",
    "scale_set_eviction_policy",
    "spot_max_price",
    "is_stopped",
    "sizes",
)
"""Fields of the spec that are taken as given, or keep the default of the spec."""


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: given[name] for name in _PLAIN if given.get(name) is not None}
    if not plain.get("enable_auto_scaling"):
        plain.pop("min_count", None)
        plain.pop("max_count", None)
    if plain.get("scale_set_priority") == "Spot":
        plain.setdefault("scale_set_eviction_policy", "Delete")
        plain.setdefault("spot_max_price", -1.0)
    return plain


def node_image(os_sku: str, architecture: str, *, fips: bool, release: str = "") -> str:
    """The node image of a pool; FIPS images are families of their own."""
    image = node_image_version(os_sku, architecture, release)
    if not fips:
        return image
    if "containerd-" in image:
        return image.replace("containerd-", "fipscontainerd-", 1)
    return image.replace("gen2", "gen2fips", 1)


def _default_disk(around: Surroundings) -> int:
    """128 GB unless the cluster's first pool says otherwise; 100 GB in 2019."""
    if around.first_pool is not None:
        return around.first_pool.os_disk_size_gb
    return 100 if around.cluster.profile == "preview-2019" else 128


def _default_max_pods(cluster: ManagedClusterSpec, os_type: str) -> int:
    """By network plugin. Source: AKS concepts-network-ip-address-planning."""
    if cluster.network_plugin == "azure" and cluster.network_plugin_mode != "overlay":
        return 30
    if os_type == "Windows":
        return 30
    return 250 if cluster.network_plugin == "azure" else 110


def _taints(given: Mapping[str, Any], old: AgentPoolSpec | None) -> tuple[Any, ...]:
    taints = read_taints(given.get("node_taints") or (), "nodeTaints")
    priority = given.get("scale_set_priority") or (old.scale_set_priority if old else "")
    if priority == "Spot":
        (spot,) = read_taints((SPOT_TAINT,), "nodeTaints")
        if spot not in taints:
            taints = (*taints, spot)
    return taints


def _gpu(given: Mapping[str, Any], old: GpuProfile | None) -> GpuProfile | None:
    """The GPU profile as declared; None if nothing was ever said about GPUs."""
    said = {k.removeprefix("gpu."): v for k, v in given.items() if k.startswith("gpu.")}
    said = {k: v for k, v in said.items() if v is not None}
    if not said:
        return old
    return replace(old or GpuProfile(), **said)


def _update(request: PoolRequest, old: AgentPoolSpec, around: Surroundings) -> Admitted:
    given, cluster = dict(request.given), around.cluster
    check_unchanged(request.fixed, given, request.accepted, old)
    accepted = _accepted(request, old)
    if old.pool_type == "VirtualMachines":
        given["pool_type"] = old.pool_type
        virtual_machines(given, accepted)
    check_autoscaler(given, old)
    text = given.get("orchestrator_version", "")
    if around.snapshot is not None and text in {"", old.orchestrator_version}:
        text = around.snapshot.kubernetes_version
    version = choose_version(text, old, cluster)
    os_sku = given.get("os_sku") or old.os_sku
    _check_os_sku_change(old, os_sku)
    install, warnings = _install_after(old, version, cluster)
    spec = replace(
        old,
        vm_size=given.get("vm_size") or old.vm_size,
        count=_new_count(given, old),
        sizes=given.get("sizes", ()),
        kubernetes_version=str(version.exact),
        orchestrator_version=version.text,
        os_sku=os_sku,
        mode=given.get("mode") or old.mode,
        node_labels=given.get("node_labels") or {},
        tags=given.get("tags") or {},
        node_taints=_taints(given, old),
        node_initialization_taints=_initialization_taints(given, old),
        scale_down_mode=given.get("scale_down_mode") or old.scale_down_mode,
        upgrade_settings=new_upgrade(given, old.upgrade_settings),
        is_stopped=given.get("is_stopped", old.is_stopped),
        install_profile=install,
        accepted=accepted,
        **_autoscaler(given, old),
    )
    spec = replace(spec, node_image_version=_new_image(given, old, spec, around))
    return Admitted(spec, _state(old, spec), version.warnings + warnings)


def _initialization_taints(given: Mapping[str, Any], old: AgentPoolSpec) -> tuple[Any, ...]:
    if "node_initialization_taints" not in given:
        return old.node_initialization_taints
    return read_taints(given["node_initialization_taints"] or (), "nodeInitializationTaints")


def _autoscaler(given: Mapping[str, Any], old: AgentPoolSpec) -> dict[str, Any]:
    """Absent bounds are inherited only while the autoscaler stays on."""
    enabled = given.get("enable_auto_scaling", old.enable_auto_scaling)
    if not enabled:
        return {"enable_auto_scaling": False, "min_count": None, "max_count": None}
    return {
        "enable_auto_scaling": True,
        "min_count": given.get("min_count", old.min_count),
        "max_count": given.get("max_count", old.max_count),
    }


def _new_count(given: Mapping[str, Any], old: AgentPoolSpec) -> int:
    """The autoscaler owns the count, which never is below its minimum; a stopped pool reads 0
    and comes back to what it had.
    """
    count = given.get("count")
    is_scaled = given.get("enable_auto_scaling", old.enable_auto_scaling)
    if count is None or (old.is_stopped and count == 0) or (old.enable_auto_scaling and is_scaled):
        count = old.count
    minimum = given.get("min_count", old.min_count) if is_scaled else None
    if minimum is None or count < 0:  # a negative count is refused, not mended
        return count
    return max(count, minimum)


def _install_after(
    old: AgentPoolSpec, version: PoolVersion, cluster: ManagedClusterSpec
) -> tuple[InstallProfile, tuple[str, ...]]:
    after = profile_after_upgrade(
        old.install_profile,
        old.gpu,
        before=KubernetesVersion.parse(old.kubernetes_version),
        after=version.exact,
        cluster_default=cluster.gpu_management_mode,
    )
    if after is old.install_profile:
        return after, ()
    return after, (CROSSING.format(pool=old.name),)


def _new_image(
    given: Mapping[str, Any], old: AgentPoolSpec, spec: AgentPoolSpec, around: Surroundings
) -> str:
    """Same value: nothing. Another value: a rollback to a version that the pool had."""
    if around.snapshot is not None:
        return around.snapshot.node_image_version
    wanted = given.get("node_image_version")
    if wanted and wanted != old.node_image_version:
        offered = [recent.node_image_version for recent in around.recent_versions]
        if wanted not in offered:
            raise invalid(
                "agentPoolProfile.nodeImageVersion",
                f"'{wanted}' is not among the recently used versions of this agent pool",
            )
        return wanted
    fips, was_fips = bool(spec.accepted.get("enableFIPS")), bool(old.accepted.get("enableFIPS"))
    if (
        spec.os_sku == old.os_sku
        and fips == was_fips
        and spec.kubernetes_version == old.kubernetes_version
    ):
        return old.node_image_version
    size = vm_size(spec.vm_size)
    return node_image(spec.os_sku, size.architecture if size else "amd64", fips=fips)


def _check_os_sku_change(old: AgentPoolSpec, os_sku: str) -> None:
    if os_sku != old.os_sku and old.os_type == "Windows":
        raise invalid(
            "agentPoolProfile.osSKU",
            f"changing osSKU from '{old.os_sku}' to '{os_sku}' is only supported for Linux",
        )


def _state(old: AgentPoolSpec, new: AgentPoolSpec) -> ProvisioningState:
    """Which provisioning state an update shows (recorded from the service)."""
    if new.is_stopped != old.is_stopped:
        return ProvisioningState.STOPPING if new.is_stopped else ProvisioningState.STARTING
    if new.kubernetes_version != old.kubernetes_version:
        return ProvisioningState.UPGRADING
    if new.node_image_version != old.node_image_version:
        return ProvisioningState.UPGRADING
    if new.os_sku != old.os_sku or new.install_profile is not old.install_profile:
        return ProvisioningState.UPGRADING
    if new.count != old.count:
        return ProvisioningState.SCALING
    if new.accepted.get("virtualMachinesProfile") != old.accepted.get("virtualMachinesProfile"):
        return ProvisioningState.SCALING
    return ProvisioningState.UPDATING
