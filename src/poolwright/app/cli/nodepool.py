"""``poolwright aks nodepool …``: az's grammar, and the flags of every generation of the docs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from poolwright.app.cli.arm_client import (
    AKS_API_VERSION,
    AKS_PREVIEW_API_VERSION,
    ArmClient,
    CliError,
)
from poolwright.app.cli.options import (
    ClusterOption,
    GroupOption,
    HeadersOption,
    IfMatchOption,
    LabelsOption,
    NoWaitOption,
    Output,
    OutputOption,
    PoolOption,
    Printer,
    QueryOption,
    TagsOption,
    TaintsOption,
    cluster_path,
    custom_headers,
    pairs,
    pool_path,
    prune,
    taints,
)
from poolwright.app.cli.wait import (
    CreatedOption,
    CustomOption,
    DeletedOption,
    ExistsOption,
    IntervalOption,
    TimeoutOption,
    UpdatedOption,
    Wanted,
    wait_for,
)

nodepool = typer.Typer(help="Manage node pools.", no_args_is_help=True)

ManagedGpuOption = Annotated[
    bool | None,
    typer.Option(
        # the flag of the announcement, of the API design, and the published one
        "--enable-managed-gpu-experience/--disable-managed-gpu-experience",
        "--managed-gpu/--no-managed-gpu",
        "--enable-managed-gpu/--disable-managed-gpu",
        help="Driver, device plugin, DCGM and exporter managed for you.",
    ),
]
MigProfileOption = Annotated[
    str | None, typer.Option("--gpu-instance-profile", "--mig-profile", help="MIG1g … MIG7g.")
]
MigStrategyOption = Annotated[
    str | None, typer.Option("--gpu-mig-strategy", "--mig-strategy", help="None, Single or Mixed.")
]
DriverOption = Annotated[str | None, typer.Option("--gpu-driver", help="Install or None.")]
AutoscalerOption = Annotated[bool | None, typer.Option("--enable-cluster-autoscaler", "-e")]
MinOption = Annotated[int | None, typer.Option("--min-count")]
MaxOption = Annotated[int | None, typer.Option("--max-count")]
SurgeOption = Annotated[str | None, typer.Option("--max-surge")]
UnavailableOption = Annotated[str | None, typer.Option("--max-unavailable")]
DrainOption = Annotated[int | None, typer.Option("--drain-timeout")]
SoakOption = Annotated[int | None, typer.Option("--node-soak-duration")]
UndrainableOption = Annotated[str | None, typer.Option("--undrainable-node-behavior")]


def gpu_profile(
    driver: str | None, managed: bool | None, mig_strategy: str | None
) -> dict[str, Any] | None:
    """The ``gpuProfile`` of a body; None when nothing about it was said."""
    mode = None if managed is None else ("Managed" if managed else "Unmanaged")
    strategy = mig_strategy and mig_strategy.capitalize()
    nvidia = prune({"managementMode": mode, "migStrategy": strategy}) or None
    return prune({"driver": driver and driver.capitalize(), "nvidia": nvidia}) or None


def _api_version(profile: dict[str, Any] | None) -> str:
    # migStrategy is in preview versions only; everything else we send is in the newest GA.
    preview = profile is not None and "migStrategy" in (profile.get("nvidia") or {})
    return AKS_PREVIEW_API_VERSION if preview else AKS_API_VERSION


@nodepool.command("add")
def add(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    name: PoolOption,
    node_count: Annotated[int, typer.Option("--node-count", "-c")] = 3,
    node_vm_size: Annotated[str | None, typer.Option("--node-vm-size", "-s")] = None,
    kubernetes_version: Annotated[str | None, typer.Option("--kubernetes-version", "-k")] = None,
    mode: Annotated[str, typer.Option("--mode")] = "User",
    os_type: Annotated[str, typer.Option("--os-type")] = "Linux",
    os_sku: Annotated[str | None, typer.Option("--os-sku")] = None,
    node_osdisk_size: Annotated[int | None, typer.Option("--node-osdisk-size")] = None,
    node_osdisk_type: Annotated[str | None, typer.Option("--node-osdisk-type")] = None,
    max_pods: Annotated[int | None, typer.Option("--max-pods", "-m")] = None,
    zones: Annotated[list[str] | None, typer.Option("--zones", "-z")] = None,
    priority: Annotated[str, typer.Option("--priority")] = "Regular",
    eviction_policy: Annotated[str | None, typer.Option("--eviction-policy")] = None,
    spot_max_price: Annotated[float | None, typer.Option("--spot-max-price")] = None,
    labels: LabelsOption = None,
    node_taints: TaintsOption = None,
    tags: TagsOption = None,
    enable_cluster_autoscaler: AutoscalerOption = None,
    min_count: MinOption = None,
    max_count: MaxOption = None,
    max_surge: SurgeOption = None,
    max_unavailable: UnavailableOption = None,
    drain_timeout: DrainOption = None,
    node_soak_duration: SoakOption = None,
    undrainable_node_behavior: UndrainableOption = None,
    snapshot_id: Annotated[str | None, typer.Option("--snapshot-id")] = None,
    gpu_driver: DriverOption = None,
    gpu_instance_profile: MigProfileOption = None,
    managed_gpu: ManagedGpuOption = None,
    gpu_mig_strategy: MigStrategyOption = None,
    aks_custom_headers: HeadersOption = "",
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Add a node pool to a managed cluster."""
    client = ArmClient()
    existing = client.pages(f"{cluster_path(client, resource_group, cluster_name)}/agentPools")
    if any(p["name"] == name for p in existing):
        raise CliError(
            f"Node pool {name} already exists, please try a different name, "
            "use 'poolwright aks nodepool list' to get current list of node pool"
        )
    profile = gpu_profile(gpu_driver, managed_gpu, gpu_mig_strategy)
    properties = {
        "count": node_count,
        "vmSize": node_vm_size,
        "orchestratorVersion": kubernetes_version,
        "mode": mode,
        "osType": os_type,
        "osSKU": os_sku,
        "osDiskSizeGB": node_osdisk_size,
        "osDiskType": node_osdisk_type,
        "maxPods": max_pods,
        "type": "VirtualMachineScaleSets",
        "availabilityZones": zones and " ".join(zones).split(),
        "scaleSetPriority": priority,
        "scaleSetEvictionPolicy": eviction_policy,
        "spotMaxPrice": spot_max_price,
        "nodeLabels": pairs(labels, "--labels"),
        "nodeTaints": taints(node_taints),
        "tags": pairs(tags, "--tags"),
        "enableAutoScaling": enable_cluster_autoscaler,
        "minCount": min_count,
        "maxCount": max_count,
        "upgradeSettings": prune(
            {
                "maxSurge": max_surge,
                "maxUnavailable": max_unavailable,
                "drainTimeoutInMinutes": drain_timeout,
                "nodeSoakDurationInMinutes": node_soak_duration,
                "undrainableNodeBehavior": undrainable_node_behavior,
            }
        ),
        "creationData": snapshot_id and {"sourceResourceId": snapshot_id},
        "gpuInstanceProfile": gpu_instance_profile,
        "gpuProfile": profile,
    }
    result = client.operate(
        "PUT",
        pool_path(client, resource_group, cluster_name, name),
        body={"properties": prune(properties)},
        api_version=_api_version(profile),
        headers=custom_headers(aks_custom_headers),
        wait=not no_wait,
    )
    Printer(output, query, "nodepool")(result)


@nodepool.command("list")
def list_pools(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """List the node pools of a managed cluster."""
    client = ArmClient()
    pools = client.pages(f"{cluster_path(client, resource_group, cluster_name)}/agentPools")
    Printer(output, query, "nodepool")(pools)


@nodepool.command("show")
def show_pool(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    name: PoolOption,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Show a node pool."""
    client = ArmClient()
    pool = client.get(pool_path(client, resource_group, cluster_name, name))
    Printer(output, query, "nodepool")(pool)


def _change(
    client: ArmClient,
    path: str,
    changes: dict[str, Any],
    *,
    wait: bool,
    headers: dict[str, str] | None = None,
) -> Any:
    """Read, change and write a pool back, as az does. A value of None removes the member."""
    pool = client.get(path, api_version=AKS_PREVIEW_API_VERSION)
    properties: dict[str, Any] = pool["properties"]
    for member, value in changes.items():
        if value is None:
            properties.pop(member, None)
        else:
            properties[member] = value
    return client.operate(
        "PUT",
        path,
        body={"properties": properties},
        api_version=AKS_PREVIEW_API_VERSION,
        headers=headers,
        wait=wait,
    )


@nodepool.command("scale")
def scale(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    name: PoolOption,
    node_count: Annotated[int, typer.Option("--node-count", "-c")] = 3,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Scale a node pool."""
    client = ArmClient()
    path = pool_path(client, resource_group, cluster_name, name)
    current = client.get(path)["properties"]
    if current.get("enableAutoScaling"):
        raise CliError("Cannot scale cluster autoscaler enabled node pool.")
    if current.get("count") == node_count:
        raise CliError(f"The new node count is the same as the current node count ({node_count}).")
    result = _change(client, path, {"count": node_count}, wait=not no_wait)
    Printer(output, query, "nodepool")(result)


@nodepool.command("update")
def update(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    name: PoolOption,
    enable_cluster_autoscaler: AutoscalerOption = None,
    disable_cluster_autoscaler: Annotated[
        bool, typer.Option("--disable-cluster-autoscaler", "-d")
    ] = False,
    update_cluster_autoscaler: Annotated[
        bool, typer.Option("--update-cluster-autoscaler", "-u")
    ] = False,
    min_count: MinOption = None,
    max_count: MaxOption = None,
    labels: LabelsOption = None,
    node_taints: TaintsOption = None,
    tags: TagsOption = None,
    mode: Annotated[str | None, typer.Option("--mode")] = None,
    scale_down_mode: Annotated[str | None, typer.Option("--scale-down-mode")] = None,
    max_surge: SurgeOption = None,
    max_unavailable: UnavailableOption = None,
    drain_timeout: DrainOption = None,
    node_soak_duration: SoakOption = None,
    undrainable_node_behavior: UndrainableOption = None,
    managed_gpu: ManagedGpuOption = None,
    gpu_driver: DriverOption = None,
    gpu_mig_strategy: MigStrategyOption = None,
    aks_custom_headers: HeadersOption = "",
    if_match: IfMatchOption = "",
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Update a node pool."""
    client = ArmClient()
    path = pool_path(client, resource_group, cluster_name, name)
    pool = client.get(path, api_version=AKS_PREVIEW_API_VERSION)["properties"]
    changes: dict[str, Any] = {}
    if enable_cluster_autoscaler:
        changes["enableAutoScaling"] = True
    if enable_cluster_autoscaler or update_cluster_autoscaler:
        changes |= prune({"minCount": min_count, "maxCount": max_count})
    if disable_cluster_autoscaler:
        changes |= {"enableAutoScaling": False, "minCount": None, "maxCount": None}
    changes |= prune(
        {
            "nodeLabels": pairs(labels, "--labels"),
            "nodeTaints": taints(node_taints),
            "tags": pairs(tags, "--tags"),
            "mode": mode,
            "scaleDownMode": scale_down_mode,
        }
    )
    upgrade = prune(
        {
            "maxSurge": max_surge,
            "maxUnavailable": max_unavailable,
            "drainTimeoutInMinutes": drain_timeout,
            "nodeSoakDurationInMinutes": node_soak_duration,
            "undrainableNodeBehavior": undrainable_node_behavior,
        }
    )
    if upgrade:
        changes["upgradeSettings"] = {**(pool.get("upgradeSettings") or {}), **upgrade}
    profile = gpu_profile(gpu_driver, managed_gpu, gpu_mig_strategy)
    if profile:
        changes["gpuProfile"] = profile
    if not changes:
        raise CliError("Please specify one or more options to update.", exit_code=2)
    result = _change(
        client,
        path,
        changes,
        wait=not no_wait,
        headers=custom_headers(aks_custom_headers, if_match),
    )
    Printer(output, query, "nodepool")(result)


@nodepool.command("upgrade")
def upgrade(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    name: PoolOption,
    kubernetes_version: Annotated[str | None, typer.Option("--kubernetes-version", "-k")] = None,
    node_image_only: Annotated[bool, typer.Option("--node-image-only")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accepted as az's is.")] = False,
    max_surge: SurgeOption = None,
    drain_timeout: DrainOption = None,
    node_soak_duration: SoakOption = None,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Upgrade the Kubernetes version or the node image of a node pool."""
    del yes
    client = ArmClient()
    path = pool_path(client, resource_group, cluster_name, name)
    if node_image_only:
        if kubernetes_version:
            raise CliError(
                "Conflicting flags. Upgrading the Kubernetes version will also upgrade node image "
                "version. If you only want to upgrade the node version please use the "
                '"--node-image-only" option only.'
            )
        result = client.operate("POST", f"{path}/upgradeNodeImageVersion", wait=not no_wait)
    else:
        if not kubernetes_version:
            raise CliError("Please specify --kubernetes-version or --node-image-only.", exit_code=2)
        pool = client.get(path, api_version=AKS_PREVIEW_API_VERSION)["properties"]
        settings = prune(
            {
                "maxSurge": max_surge,
                "drainTimeoutInMinutes": drain_timeout,
                "nodeSoakDurationInMinutes": node_soak_duration,
            }
        )
        changes: dict[str, Any] = {"orchestratorVersion": kubernetes_version}
        if settings:
            changes["upgradeSettings"] = {**(pool.get("upgradeSettings") or {}), **settings}
        result = _change(client, path, changes, wait=not no_wait)
    Printer(output, query, "nodepool")(result)


@nodepool.command("get-upgrades")
def get_upgrades(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    nodepool_name: PoolOption,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Which versions a node pool can be upgraded to."""
    client = ArmClient()
    path = pool_path(client, resource_group, cluster_name, nodepool_name)
    Printer(output, query)(client.get(f"{path}/upgradeProfiles/default"))


def _add_power_command(verb: str, code: str, description: str) -> None:
    """Starting and stopping are PUTs of a power state; each is a verb of its own to people."""

    def command(
        resource_group: GroupOption,
        cluster_name: ClusterOption,
        nodepool_name: PoolOption,
        no_wait: NoWaitOption = False,
        output: OutputOption = Output.JSON,
        query: QueryOption = "",
    ) -> None:
        client = ArmClient()
        path = pool_path(client, resource_group, cluster_name, nodepool_name)
        result = _change(client, path, {"powerState": {"code": code}}, wait=not no_wait)
        Printer(output, query, "nodepool")(result)

    nodepool.command(verb, help=description)(command)


_add_power_command("stop", "Stopped", "Stop a running node pool.")
_add_power_command("start", "Running", "Start a stopped node pool.")


@nodepool.command("operation-abort")
def operation_abort(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    nodepool_name: PoolOption,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Abort the latest operation on a node pool."""
    del output, query  # nothing is printed
    client = ArmClient()
    path = pool_path(client, resource_group, cluster_name, nodepool_name)
    client.operate("POST", f"{path}/abort", wait=not no_wait)


@nodepool.command("delete-machines")
def delete_machines(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    nodepool_name: PoolOption,
    machine_names: Annotated[list[str], typer.Option("--machine-names")],
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Delete specific machines of a node pool."""
    del output, query  # nothing is printed
    client = ArmClient()
    path = pool_path(client, resource_group, cluster_name, nodepool_name)
    names = " ".join(machine_names).split()
    client.operate("POST", f"{path}/deleteMachines", body={"machineNames": names}, wait=not no_wait)


@nodepool.command("delete")
def delete(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    name: PoolOption,
    ignore_pdb: Annotated[bool, typer.Option("--ignore-pdb", "-i")] = False,
    if_match: IfMatchOption = "",
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Delete a node pool."""
    del output, query  # nothing is printed
    client = ArmClient()
    existing = client.pages(f"{cluster_path(client, resource_group, cluster_name)}/agentPools")
    if not any(p["name"].lower() == name.lower() for p in existing):
        raise CliError(
            f"Node pool {name} doesnt exist, "
            "use 'poolwright aks nodepool list' to get current node pool list"
        )
    path = pool_path(client, resource_group, cluster_name, name)
    parameters = {"ignore-pod-disruption-budget": "true"} if ignore_pdb else {}
    client.operate(
        "DELETE",
        path,
        parameters=parameters,
        headers=custom_headers("", if_match),
        wait=not no_wait,
    )


@nodepool.command("wait")
def wait(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    name: PoolOption,
    created: CreatedOption = False,
    updated: UpdatedOption = False,
    deleted: DeletedOption = False,
    exists: ExistsOption = False,
    custom: CustomOption = "",
    interval: IntervalOption = 1,
    timeout: TimeoutOption = 3600,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Wait until a node pool is as wanted."""
    del output, query  # nothing is printed
    client = ArmClient()
    wanted = Wanted(created, updated, deleted, exists, custom, interval, timeout)
    wait_for(client, pool_path(client, resource_group, cluster_name, name), wanted)
