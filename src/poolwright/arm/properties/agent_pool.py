"""The property table of ``managedClusters/agentPools``.

Source: azure-mgmt-containerservice 41.8.0 and 41.9.0b1, AKS docs of 2026-08, recordings; each
row that stems from elsewhere says so. Rows are in the order that AKS writes them in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from poolwright.arm.properties.names import known_names
from poolwright.arm.properties.table import NULL, Change, Property, Table, Wire
from poolwright.model.agent_pool import (
    AgentPoolSpec,
    AgentPoolStatus,
    PoolMode,
    UndrainableNodeBehavior,
)
from poolwright.model.gpu import GpuDriver, ManagementMode, MigProfile, MigStrategy
from poolwright.model.record import Stored
from poolwright.plan.admission_merge import Fixed, at_path

Pool = Stored[AgentPoolSpec, AgentPoolStatus]


@dataclass(frozen=True, slots=True)
class PoolView:
    """What a pool is written from."""

    pool: Pool
    etag: str


def _spec(name: str) -> Callable[[PoolView], Any]:
    def show(view: PoolView) -> Any:
        value: Any = getattr(view.pool.spec, name)
        return None if value in ((), {}) else value

    return show


def _texts(name: str) -> Callable[[PoolView], Any]:
    def show(view: PoolView) -> Any:
        return [str(one) for one in getattr(view.pool.spec, name)] or None

    return show


def _upgrade(name: str) -> Callable[[PoolView], Any]:
    return lambda view: getattr(view.pool.spec.upgrade_settings, name)


def _gpu(name: str) -> Callable[[PoolView], Any]:
    def show(view: PoolView) -> Any:
        gpu = view.pool.spec.gpu
        return (getattr(gpu, name) or None) if gpu else None

    return show


def _nvidia(view: PoolView) -> Any:
    """``null`` says that the block was never declared; no GPU profile, no block."""
    gpu = view.pool.spec.gpu
    if gpu is None:
        return None
    if gpu.nvidia_declared:
        return {}
    return NULL if gpu.driver or gpu.driver_type else None


def _is_flexible(view: PoolView) -> bool:
    return view.pool.spec.pool_type == "VirtualMachines"


def _count(view: PoolView) -> Any:
    spec = view.pool.spec
    if _is_flexible(view):
        return None
    return 0 if spec.is_stopped else spec.count


def _provisioning_error(view: PoolView) -> Any:
    error = view.pool.status.error
    if error is None:
        return None
    wire = {"code": error.code, "message": error.message}
    return wire if error.target is None else {**wire, "target": error.target}


def _nodes_status(view: PoolView) -> Any:
    if not _is_flexible(view):
        return None
    return at_path(view.pool.spec.accepted, "virtualMachinesProfile.scale.manual")


def _install_driver(view: PoolView) -> Any:
    gpu = view.pool.spec.gpu
    return gpu.driver is GpuDriver.INSTALL if gpu and gpu.driver else None


def _accepted(row: Property) -> Property:
    head = row.path.partition(".")[0]

    def show(view: PoolView) -> Any:
        accepted = view.pool.spec.accepted
        if head not in accepted:  # nearly always, and nearly half of all rows
            return row.default
        value = at_path(accepted, row.path)
        if value == [] or (value == {} and row.type is Wire.MAP):
            value = None
        return row.default if value is None else value

    return replace(row, show=show)


P = Property

_ROWS: tuple[Property, ...] = (
    P(
        "count", Wire.INT, "count", show=_count,
        effect="number of machines", source="SDK, DOC",
    ),
    P(
        "vmSize", Wire.STRING, "vm_size", change=Change.IMMUTABLE,
        show=lambda v: None if _is_flexible(v) else v.pool.spec.vm_size,
        effect="size, GPUs and quota family of machines", source="SDK; echoed as sent (REC)",
    ),
    P(
        "osDiskSizeGB", Wire.INT, "os_disk_size_gb", range=(0, 2048), change=Change.IMMUTABLE,
        convert=lambda size: size or None, show=_spec("os_disk_size_gb"),
        effect="ephemeral storage of nodes",
    ),
    P(
        "osDiskType", Wire.STRING, "os_disk_type", released="2020-09-01",
        enum=("Managed", "Ephemeral"), change=Change.IMMUTABLE, show=_spec("os_disk_type"),
        effect="label kubernetes.azure.com/storageprofile",
    ),
    P(
        "kubeletDiskType", Wire.STRING, released="2020-12-01", enum=("OS", "Temporary"),
        default="OS",
    ),
    P(
        "workloadRuntime", Wire.STRING, released="2021-08-01", change=Change.IMMUTABLE,
        enum=("OCIContainer", "WasmWasi", "KataVmIsolation", "KataMshvVmIsolation"),
    ),
    P(
        "messageOfTheDay", Wire.STRING, released="2024-05-01", previewed="2022-11-02-preview",
        change=Change.IMMUTABLE,
    ),
    P("vnetSubnetID", Wire.STRING, change=Change.IMMUTABLE),
    P("podSubnetID", Wire.STRING, released="2020-11-01", change=Change.IMMUTABLE),
    P(
        "podIPAllocationMode", Wire.STRING, released="2024-09-01", previewed="2023-11-02-preview",
        enum=("DynamicIndividual", "StaticBlock"), change=Change.IMMUTABLE,
    ),
    P(
        "maxPods", Wire.INT, "max_pods", change=Change.IMMUTABLE,
        convert=lambda pods: pods or None, show=_spec("max_pods"),
        effect="pods capacity of nodes",
    ),
    P(
        "type", Wire.STRING, "pool_type", change=Change.IMMUTABLE, show=_spec("pool_type"),
        enum=("VirtualMachineScaleSets", "AvailabilitySet", "VirtualMachines", "FlexNodes"),
        effect="names of machines, label nodepool-type",
    ),
    P("maxCount", Wire.INT, "max_count", show=_spec("max_count"), effect="autoscaler's ceiling"),
    P("minCount", Wire.INT, "min_count", show=_spec("min_count"), effect="autoscaler's floor"),
    P(
        "enableAutoScaling", Wire.BOOL, "enable_auto_scaling", show=_spec("enable_auto_scaling"),
        effect="the autoscaler owns the count",
    ),
    P(
        "scaleDownMode", Wire.STRING, "scale_down_mode", released="2021-07-01",
        enum=("Delete", "Deallocate"), show=_spec("scale_down_mode"),
        effect="what happens to machines that are scaled away",
    ),
    P(
        "provisioningState", Wire.STRING, change=Change.READ_ONLY,
        show=lambda v: v.pool.status.provisioning_state.value, effect="what is going on",
    ),
    P(
        "powerState", Wire.PARENT, released="2020-09-01", effect="see powerState.code",
    ),
    P(
        "powerState.code", Wire.STRING, "is_stopped", released="2020-09-01",
        enum=("Running", "Stopped"), change=Change.ACTION,
        convert=lambda code: code == "Stopped",
        show=lambda v: "Stopped" if v.pool.spec.is_stopped else "Running",
        effect="machines are deallocated and started",
    ),
    P(
        "orchestratorVersion", Wire.STRING, "orchestrator_version", change=Change.ACTION,
        show=_spec("orchestrator_version"), effect="kubelet version; a change is an upgrade",
    ),
    P(
        "currentOrchestratorVersion", Wire.STRING, released="2022-04-01",
        change=Change.READ_ONLY,
        show=lambda v: v.pool.status.current_kubernetes_version or v.pool.spec.kubernetes_version,
        effect="what the nodes run",
    ),
    P(
        "enableNodePublicIP", Wire.BOOL, released="2019-06-01", change=Change.IMMUTABLE,
        default=False,
    ),
    P("nodePublicIPPrefixID", Wire.STRING, released="2021-02-01", change=Change.IMMUTABLE),
    P(
        "mode", Wire.STRING, "mode", released="2020-03-01",
        enum=("System", "User", "Gateway"), exact_case_since="2025-01-01",
        convert=PoolMode, show=lambda v: v.pool.spec.mode.value,
        effect="label mode; System pools are kept", source="SDK, DOC, CL",
    ),
    P(
        "availabilityZones", Wire.STRINGS, "availability_zones", change=Change.IMMUTABLE,
        convert=tuple, show=_texts("availability_zones"), effect="zones of machines",
    ),
    P(
        "nodeLabels", Wire.MAP, "node_labels", released="2019-11-01", show=_spec("node_labels"),
        effect="labels of nodes",
    ),
    P(
        "nodeTaints", Wire.STRINGS, "node_taints", show=_texts("node_taints"),
        effect="taints of nodes",
    ),
    P(
        "nodeInitializationTaints", Wire.STRINGS, "node_initialization_taints", released="",
        previewed="2023-11-02-preview", show=_texts("node_initialization_taints"),
        effect="taints of new nodes",
    ),
    P("tags", Wire.MAP, "tags", released="2019-11-01", show=_spec("tags"), effect="machine tags"),
    P(
        "scaleSetPriority", Wire.STRING, "scale_set_priority", released="2019-08-01",
        enum=("Spot", "Regular"), change=Change.IMMUTABLE, show=_spec("scale_set_priority"),
        effect="Spot machines, taint and label",
    ),
    P(
        "scaleSetEvictionPolicy", Wire.STRING, "scale_set_eviction_policy", released="2019-08-01",
        enum=("Delete", "Deallocate"), change=Change.IMMUTABLE,
        show=lambda v: v.pool.spec.scale_set_eviction_policy
        if v.pool.spec.scale_set_priority == "Spot"
        else None,
    ),
    P(
        "spotMaxPrice", Wire.DOUBLE, "spot_max_price", released="2020-02-01",
        change=Change.IMMUTABLE, convert=float, show=_spec("spot_max_price"),
    ),
    P("proximityPlacementGroupID", Wire.STRING, released="2020-06-01", change=Change.IMMUTABLE),
    P("kubeletConfig", Wire.OBJECT, released="2020-11-01", change=Change.IMMUTABLE),
    P("linuxOSConfig", Wire.OBJECT, released="2020-11-01", change=Change.IMMUTABLE),
    P(
        "enableEncryptionAtHost", Wire.BOOL, released="2020-12-01", change=Change.IMMUTABLE,
        default=False,
    ),
    P("enableUltraSSD", Wire.BOOL, released="2021-05-01", change=Change.IMMUTABLE, default=False),
    P(
        "osType", Wire.STRING, "os_type", enum=("Linux", "Windows"), change=Change.IMMUTABLE,
        show=_spec("os_type"), effect="operating system of nodes",
    ),
    P(
        "osSKU", Wire.STRING, "os_sku", released="2021-03-01",
        enum=(
            "Ubuntu", "AzureLinux", "AzureLinux3", "CBLMariner", "Mariner", "Ubuntu2204",
            "Ubuntu2404", "Ubuntu2604", "AzureContainerLinux", "AzureLinuxOSGuard", "Flatcar",
            "Windows2019", "Windows2022", "Windows2025", "WindowsAnnual",
        ),
        show=_spec("os_sku"), effect="node image; a change reimages",
    ),
    P(
        "nodeImageVersion", Wire.STRING, released="2020-04-01", change=Change.READ_ONLY,
        until="2026-03-01", show=_spec("node_image_version"), effect="what the nodes run",
    ),
    P(
        "nodeImageVersion", Wire.STRING, "node_image_version", released="2026-04-01",
        previewed="2026-01-02-preview", change=Change.ACTION, show=_spec("node_image_version"),
        effect="another value is a rollback",
    ),
    P(
        "upgradeSettings", Wire.PARENT, released="2020-04-01", show=lambda _: {},
        effect="see upgradeSettings.…",
    ),
    P(
        "upgradeSettings.maxSurge", Wire.STRING, "upgrade_settings.max_surge",
        released="2020-04-01", show=_upgrade("max_surge"), effect="surge machines of an upgrade",
    ),
    P(
        "upgradeSettings.maxUnavailable", Wire.STRING, "upgrade_settings.max_unavailable",
        released="2025-01-01", previewed="2024-09-02-preview", show=_upgrade("max_unavailable"),
        effect="machines that an upgrade may take away at once",
    ),
    P(
        "upgradeSettings.drainTimeoutInMinutes", Wire.INT,
        "upgrade_settings.drain_timeout_in_minutes", released="2023-06-01",
        show=_upgrade("drain_timeout_in_minutes"), effect="deadline of a drain",
    ),
    P(
        "upgradeSettings.nodeSoakDurationInMinutes", Wire.INT,
        "upgrade_settings.node_soak_duration_in_minutes", released="2023-11-01",
        show=_upgrade("node_soak_duration_in_minutes"), effect="wait between drain and reimage",
    ),
    P(
        "upgradeSettings.undrainableNodeBehavior", Wire.STRING,
        "upgrade_settings.undrainable_node_behavior", released="2025-01-01",
        previewed="2024-06-02-preview", enum=("Cordon", "Schedule"),
        convert=UndrainableNodeBehavior, show=_upgrade("undrainable_node_behavior"),
        effect="what happens to a node that cannot be drained",
    ),
    P(
        "upgradeSettings.maxBlockedNodes", Wire.STRING, "upgrade_settings.max_blocked_nodes",
        released="", previewed="2025-02-02-preview", show=_upgrade("max_blocked_nodes"),
        effect="undrainable nodes that an upgrade leaves behind",
    ),
    P(
        "upgradeSettings.upgradeGateSettings", Wire.OBJECT, released="",
        previewed="2026-08-02-preview",
    ),
    P(
        "upgradeStrategy", Wire.STRING, released="", previewed="2025-08-02-preview",
        enum=("Rolling", "BlueGreen"),
        effect="upgrades roll; BlueGreen is refused (NotSupported)",
    ),
    P(
        "upgradeSettingsBlueGreen", Wire.OBJECT, released="", previewed="2025-08-02-preview",
    ),
    P("enableFIPS", Wire.BOOL, released="2021-03-01", default=False, effect="node image"),
    P(
        "enableCustomCATrust", Wire.BOOL, released="", previewed="2022-01-02-preview",
        until="2026-01-02-preview",
    ),
    P("enableOSDiskFullCaching", Wire.BOOL, released="", previewed="2026-01-02-preview",
      change=Change.IMMUTABLE),
    P(
        "securityProfile.enableVTPM", Wire.BOOL, released="2024-09-01",
        previewed="2023-11-02-preview", default=False,
    ),
    P(
        "securityProfile.enableSecureBoot", Wire.BOOL, released="2024-09-01",
        previewed="2023-11-02-preview", default=False,
    ),
    P(
        "securityProfile.sshAccess", Wire.STRING, released="2025-08-01",
        previewed="2023-10-02-preview", enum=("LocalUser", "Disabled", "EntraId"),
    ),
    P(
        "gpuInstanceProfile", Wire.STRING, "gpu.mig_profile", released="2021-03-01",
        enum=tuple(MigProfile), change=Change.IMMUTABLE, convert=MigProfile,
        show=_gpu("mig_profile"), effect="MIG instances of every GPU", source="SDK, seed 003",
    ),
    P(
        "gpuProfile", Wire.PARENT, released="2025-01-01", previewed="2023-09-02-preview",
        effect="see gpuProfile.…",
    ),
    P(
        "gpuProfile.installGPUDriver", Wire.INSTALL_DRIVER, "gpu.driver", released="",
        previewed="2023-09-02-preview", until="2025-07-02-preview", change=Change.IMMUTABLE,
        convert=GpuDriver, show=_install_driver, effect="GPU driver of nodes",
    ),
    P(
        "gpuProfile.driver", Wire.STRING, "gpu.driver", released="2025-01-01",
        previewed="2025-03-02-preview", enum=tuple(GpuDriver), change=Change.IMMUTABLE,
        convert=GpuDriver, show=_gpu("driver"), effect="GPU driver of nodes",
        source="SDK, seed 003",
    ),
    P(
        "gpuProfile.driverType", Wire.STRING, "gpu.driver_type", released="",
        previewed="2024-10-02-preview", enum=("GRID", "CUDA"), change=Change.IMMUTABLE,
        show=_gpu("driver_type"),
    ),
    P(
        "gpuProfile.nvidia", Wire.PARENT, "gpu.nvidia_declared", released="2026-08-01",
        previewed="2025-10-02-preview", show=_nvidia, effect="see gpuProfile.nvidia.…",
        source="SDK; one preview earlier: seed 003",
    ),
    P(
        "gpuProfile.nvidia.managementMode", Wire.STRING, "gpu.management_mode",
        released="2026-08-01", previewed="2025-10-02-preview", enum=tuple(ManagementMode),
        change=Change.IMMUTABLE, convert=ManagementMode, show=_gpu("management_mode"),
        effect="device plugin, DCGM exporter and health checks", source="SDK, seed 003",
    ),
    P(
        "gpuProfile.nvidia.migStrategy", Wire.STRING, "gpu.mig_strategy", released="",
        previewed="2025-10-02-preview", enum=tuple(MigStrategy), change=Change.IMMUTABLE,
        convert=MigStrategy, show=_gpu("mig_strategy"), effect="names of GPU resources",
        source="SDK, seed 003",
    ),
    P(
        "gpuProfile.nvidia.driverMode", Wire.STRING, "gpu.driver_mode", released="",
        previewed="2026-06-02-preview", enum=("DevicePlugin", "DRA"), change=Change.IMMUTABLE,
        show=_gpu("driver_mode"),
    ),
    P(
        "gpuProfile.nvidia.migProfiles", Wire.STRINGS, "gpu.mig_profiles", released="",
        previewed="2026-08-02-preview", enum=tuple(MigProfile), change=Change.IMMUTABLE,
        convert=lambda names: tuple(MigProfile(name) for name in names),
        show=lambda v: list(v.pool.spec.gpu.mig_profiles) or None if v.pool.spec.gpu else None,
    ),
    P(
        "creationData", Wire.OBJECT, released="2021-08-01", change=Change.ACTION,
        effect="versions and size of a new pool come from the snapshot",
    ),
    P(
        "capacityReservationGroupID", Wire.STRING, released="2022-06-01", change=Change.IMMUTABLE,
    ),
    P("hostGroupID", Wire.STRING, released="2022-06-01", change=Change.IMMUTABLE),
    P("networkProfile", Wire.OBJECT, released="2023-10-01", previewed="2022-11-02-preview"),
    P(
        "windowsProfile.disableOutboundNat", Wire.BOOL, released="2024-02-01",
        previewed="2022-09-02-preview", change=Change.IMMUTABLE,
    ),
    P(
        "gatewayProfile.publicIPPrefixSize", Wire.INT, released="2024-10-01",
        previewed="2024-09-02-preview", range=(28, 31), change=Change.IMMUTABLE,
    ),
    P(
        "artifactStreamingProfile.enabled", Wire.BOOL, released="2026-03-01",
        previewed="2023-09-02-preview",
    ),
    P(
        "virtualMachinesProfile", Wire.OBJECT, released="2024-10-01",
        previewed="2023-10-02-preview", effect="sizes and counts of a VirtualMachines pool",
    ),
    P(
        "virtualMachineNodesStatus", Wire.OBJECTS, released="2024-10-01",
        previewed="2023-10-02-preview", change=Change.READ_ONLY, show=_nodes_status,
        effect="sizes and counts of a VirtualMachines pool",
    ),
    P(
        "status", Wire.PARENT, released="2024-10-01", previewed="2024-09-02-preview",
        change=Change.READ_ONLY, effect="see status.provisioningError",
    ),
    P(
        "status.provisioningError", Wire.OBJECT, released="2024-10-01",
        previewed="2024-09-02-preview", change=Change.READ_ONLY, show=_provisioning_error,
        effect="why the latest operation failed",
    ),
    P("localDNSProfile", Wire.OBJECT, released="2025-09-01", previewed="2025-01-02-preview"),
    P(
        "preparedImageSpecificationProfile", Wire.OBJECT, released="",
        previewed="2026-02-02-preview",
    ),
    P(
        "eTag", Wire.STRING, released="2024-09-01", previewed="2024-06-02-preview",
        change=Change.READ_ONLY, show=lambda v: v.etag, effect="If-Match",
    ),
)  # fmt: skip

TABLE = Table(
    tuple(row if row.show or row.type is Wire.PARENT else _accepted(row) for row in _ROWS),
    struct="AgentPoolProperties",
    target="agentPoolProfile",
)

FIXED: tuple[Fixed, ...] = tuple(
    Fixed(row.path, row.field, row.default)
    for row in _ROWS
    if row.change is Change.IMMUTABLE and row.type is not Wire.INSTALL_DRIVER
)
"""What cannot change, for admission."""

DEFAULTS: tuple[tuple[str, Any], ...] = tuple(
    (row.path, row.default) for row in _ROWS if row.default is not None
)
"""What reads show of properties that are only kept."""

_NVIDIA = next(row for row in _ROWS if row.path == "gpuProfile.nvidia")


def has_nvidia(version: str) -> bool:
    """Whether an api-version has the ``nvidia`` block."""
    return _NVIDIA.is_in(version)


def names(version: str) -> Mapping[str, Any] | None:
    """The tree of names that the published models of a version know, if we have it."""
    return known_names("agentPools", version)
