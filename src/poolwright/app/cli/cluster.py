"""``poolwright aks …``: managed clusters, their credentials and machines."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from poolwright.app.cli.arm_client import (
    AKS_API_VERSION,
    AKS_PREVIEW_API_VERSION,
    ArmClient,
    CliError,
)
from poolwright.app.cli.nodepool import (
    AutoscalerOption,
    ManagedGpuOption,
    MaxOption,
    MinOption,
    nodepool,
)
from poolwright.app.cli.options import (
    ClusterOption,
    GroupOption,
    HeadersOption,
    NameOption,
    NoWaitOption,
    Output,
    OutputOption,
    Printer,
    QueryOption,
    TagsOption,
    cluster_path,
    custom_headers,
    group_path,
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

aks = typer.Typer(help="Manage Kubernetes clusters.", no_args_is_help=True)
aks.add_typer(nodepool, name="nodepool")
machine = typer.Typer(help="Look at the machines of a node pool.", no_args_is_help=True)
aks.add_typer(machine, name="machine")

ChannelOption = Annotated[str | None, typer.Option("--auto-upgrade-channel")]
NodepoolLabelsOption = Annotated[
    list[str] | None, typer.Option("--nodepool-labels", help="Labels of the first node pool.")
]
_PROVIDER = "providers/Microsoft.ContainerService"


@aks.command("create")
def create(
    resource_group: GroupOption,
    name: NameOption,
    location: Annotated[str | None, typer.Option("--location", "-l")] = None,
    kubernetes_version: Annotated[str, typer.Option("--kubernetes-version", "-k")] = "",
    nodepool_name: Annotated[str, typer.Option("--nodepool-name")] = "nodepool1",
    node_count: Annotated[int, typer.Option("--node-count", "-c")] = 3,
    node_vm_size: Annotated[str, typer.Option("--node-vm-size", "-s")] = "",
    nodepool_labels: NodepoolLabelsOption = None,
    tags: TagsOption = None,
    tier: Annotated[str | None, typer.Option("--tier")] = None,
    max_pods: Annotated[int | None, typer.Option("--max-pods", "-m")] = None,
    node_osdisk_size: Annotated[int | None, typer.Option("--node-osdisk-size")] = None,
    node_osdisk_type: Annotated[str | None, typer.Option("--node-osdisk-type")] = None,
    os_sku: Annotated[str | None, typer.Option("--os-sku")] = None,
    zones: Annotated[list[str] | None, typer.Option("--zones", "-z")] = None,
    nodepool_taints: Annotated[str | None, typer.Option("--nodepool-taints")] = None,
    nodepool_tags: Annotated[list[str] | None, typer.Option("--nodepool-tags")] = None,
    enable_cluster_autoscaler: AutoscalerOption = None,
    min_count: MinOption = None,
    max_count: MaxOption = None,
    dns_name_prefix: Annotated[str, typer.Option("--dns-name-prefix", "-p")] = "",
    network_plugin: Annotated[str | None, typer.Option("--network-plugin")] = None,
    network_plugin_mode: Annotated[str | None, typer.Option("--network-plugin-mode")] = None,
    auto_upgrade_channel: ChannelOption = None,
    aks_custom_headers: HeadersOption = "",
    managed_gpu: ManagedGpuOption = None,
    enable_vmss: Annotated[bool, typer.Option("--enable-vmss", hidden=True)] = False,
    generate_ssh_keys: Annotated[bool, typer.Option("--generate-ssh-keys", hidden=True)] = False,
    no_ssh_key: Annotated[bool, typer.Option("--no-ssh-key", "-x", hidden=True)] = False,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Create a managed cluster. (--enable-vmss and the SSH flags are accepted as az's are.)"""
    del enable_vmss, generate_ssh_keys, no_ssh_key
    client = ArmClient()
    if location is None:
        location = client.get(group_path(client, resource_group), api_version="2024-11-01")[
            "location"
        ]
    pool = {
        "name": nodepool_name,
        "count": node_count,
        "vmSize": node_vm_size,
        "mode": "System",
        "osType": "Linux",
        "type": "VirtualMachineScaleSets",
        "maxPods": max_pods,
        "osDiskSizeGB": node_osdisk_size,
        "osDiskType": node_osdisk_type,
        "osSKU": os_sku,
        "availabilityZones": zones and " ".join(zones).split(),
        "nodeLabels": pairs(nodepool_labels, "--nodepool-labels"),
        "nodeTaints": taints(nodepool_taints),
        "tags": pairs(nodepool_tags, "--nodepool-tags"),
        "enableAutoScaling": enable_cluster_autoscaler,
        "minCount": min_count,
        "maxCount": max_count,
    }
    network = prune({"networkPlugin": network_plugin, "networkPluginMode": network_plugin_mode})
    mode = None if managed_gpu is None else ("Managed" if managed_gpu else "Unmanaged")
    body = {
        "location": location,
        "tags": pairs(tags, "--tags"),
        "sku": tier and {"name": "Base", "tier": tier},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "kubernetesVersion": kubernetes_version,
            "dnsPrefix": dns_name_prefix or f"{name[:10]}-{resource_group[:16]}",
            "agentPoolProfiles": [prune(pool)],
            "enableRBAC": True,
            "networkProfile": network or None,
            "autoUpgradeProfile": auto_upgrade_channel and {"upgradeChannel": auto_upgrade_channel},
            "gpuProfile": mode and {"nvidia": {"managementMode": mode}},
        },
    }
    # The cluster-level default for managed GPUs is in preview versions only.
    result = client.operate(
        "PUT",
        cluster_path(client, resource_group, name),
        body=prune(body),
        api_version=AKS_PREVIEW_API_VERSION if mode else AKS_API_VERSION,
        headers=custom_headers(aks_custom_headers),
        wait=not no_wait,
    )
    Printer(output, query, "cluster")(result)


@aks.command("list")
def list_clusters(
    resource_group: Annotated[str | None, typer.Option("--resource-group", "-g")] = None,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """List managed clusters."""
    client = ArmClient()
    below = (
        group_path(client, resource_group)
        if resource_group
        else f"/subscriptions/{client.subscription}"
    )
    Printer(output, query, "cluster")(client.pages(f"{below}/{_PROVIDER}/managedClusters"))


@aks.command("show")
def show_cluster(
    resource_group: GroupOption,
    name: NameOption,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Show a managed cluster."""
    client = ArmClient()
    Printer(output, query, "cluster")(client.get(cluster_path(client, resource_group, name)))


@aks.command("upgrade")
def upgrade(
    resource_group: GroupOption,
    name: NameOption,
    kubernetes_version: Annotated[str, typer.Option("--kubernetes-version", "-k")] = "",
    node_image_only: Annotated[bool, typer.Option("--node-image-only")] = False,
    control_plane_only: Annotated[bool, typer.Option("--control-plane-only")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y")] = False,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Upgrade a managed cluster, with its node pools unless told otherwise."""
    if node_image_only == bool(kubernetes_version):
        raise CliError(
            "incorrect usage: --kubernetes-version VERSION | --node-image-only", exit_code=2
        )
    if not yes:
        typer.confirm(
            f"Kubernetes will be upgraded to {kubernetes_version}. Are you sure?"
            if kubernetes_version
            else "The node image of every pool will be upgraded. Are you sure?",
            abort=True,
            err=True,
        )
    client = ArmClient()
    path = cluster_path(client, resource_group, name)
    body = client.get(path)
    if node_image_only:
        for pool in body["properties"]["agentPoolProfiles"]:
            target = f"{path}/agentPools/{pool['name']}/upgradeNodeImageVersion"
            client.operate("POST", target, wait=not no_wait)
        Printer(output, query, "cluster")(client.get(path))
        return
    body["properties"]["kubernetesVersion"] = kubernetes_version
    if not control_plane_only:
        for pool in body["properties"]["agentPoolProfiles"]:
            pool["orchestratorVersion"] = kubernetes_version
    result = client.operate("PUT", path, body=body, wait=not no_wait)
    Printer(output, query, "cluster")(result)


@aks.command("update")
def update(
    resource_group: GroupOption,
    name: NameOption,
    tags: TagsOption = None,
    tier: Annotated[str | None, typer.Option("--tier")] = None,
    cluster_autoscaler_profile: Annotated[
        list[str] | None, typer.Option("--cluster-autoscaler-profile", "--ca-profile")
    ] = None,
    enable_cluster_autoscaler: AutoscalerOption = None,
    disable_cluster_autoscaler: Annotated[
        bool, typer.Option("--disable-cluster-autoscaler", "-d")
    ] = False,
    update_cluster_autoscaler: Annotated[
        bool, typer.Option("--update-cluster-autoscaler", "-u")
    ] = False,
    min_count: MinOption = None,
    max_count: MaxOption = None,
    nodepool_labels: NodepoolLabelsOption = None,
    auto_upgrade_channel: ChannelOption = None,
    managed_gpu: ManagedGpuOption = None,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Update a managed cluster; autoscaler and labels are those of its only node pool."""
    client = ArmClient()
    path = cluster_path(client, resource_group, name)
    body = client.get(path, api_version=AKS_PREVIEW_API_VERSION)
    changes: dict[str, Any] = {}
    if enable_cluster_autoscaler or update_cluster_autoscaler:
        changes |= prune({"enableAutoScaling": True, "minCount": min_count, "maxCount": max_count})
    if disable_cluster_autoscaler:
        changes |= {"enableAutoScaling": False, "minCount": None, "maxCount": None}
    if nodepool_labels is not None:
        changes["nodeLabels"] = pairs(nodepool_labels, "--nodepool-labels")
    if changes:
        _only_pool(body, "").update(changes)
    if auto_upgrade_channel:
        automatic: dict[str, Any] = body["properties"].setdefault("autoUpgradeProfile", {})
        automatic["upgradeChannel"] = auto_upgrade_channel
    if managed_gpu is not None:
        mode = "Managed" if managed_gpu else "Unmanaged"
        body["properties"]["gpuProfile"] = {"nvidia": {"managementMode": mode}}
    profile = pairs(cluster_autoscaler_profile, "--cluster-autoscaler-profile")
    if profile is not None:
        body["properties"]["autoScalerProfile"] = profile
    if tags is not None:
        body["tags"] = pairs(tags, "--tags")
    if tier:
        body["sku"] = {"name": "Base", "tier": tier}
    result = client.operate(
        "PUT", path, body=body, api_version=AKS_PREVIEW_API_VERSION, wait=not no_wait
    )
    Printer(output, query, "cluster")(result)


def _only_pool(body: dict[str, Any], name: str) -> dict[str, Any]:
    """The named node pool in a cluster's body, or its only one.

    Raises:
        CliError: there is none of that name, or a name is needed.
    """
    pools: list[dict[str, Any]] = body["properties"]["agentPoolProfiles"]
    found = [pool for pool in pools if name in {"", pool["name"]}]
    if not found:
        raise CliError(f'The nodepool "{name}" was not found.')
    if len(found) > 1:
        raise CliError(
            "There are more than one node pool in the cluster. Please use "
            "'poolwright aks nodepool' to change one of them."
        )
    return found[0]


@aks.command("scale")
def scale(
    resource_group: GroupOption,
    name: NameOption,
    node_count: Annotated[int, typer.Option("--node-count", "-c")],
    nodepool_name: Annotated[str, typer.Option("--nodepool-name")] = "",
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Scale the only node pool of a cluster, or the named one."""
    client = ArmClient()
    path = cluster_path(client, resource_group, name)
    body = client.get(path)
    pool = _only_pool(body, nodepool_name)
    if pool.get("enableAutoScaling"):
        raise CliError("Cannot scale cluster autoscaler enabled node pool.")
    pool["count"] = node_count
    result = client.operate("PUT", path, body=body, wait=not no_wait)
    Printer(output, query, "cluster")(result)


def _add_action_command(verb: str, action: str, description: str) -> None:
    """A verb that asks for one action on a cluster and shows nothing."""

    def command(
        resource_group: GroupOption,
        name: NameOption,
        no_wait: NoWaitOption = False,
        output: OutputOption = Output.JSON,
        query: QueryOption = "",
    ) -> None:
        del output, query  # nothing is printed
        client = ArmClient()
        path = f"{cluster_path(client, resource_group, name)}/{action}"
        client.operate("POST", path, wait=not no_wait)

    aks.command(verb, help=description)(command)


for _row in (
    # (verb, action, what it is for)
    ("operation-abort", "abort", "Abort the latest operation on a cluster."),
    ("stop", "stop", "Stop a managed cluster."),
    ("start", "start", "Start a stopped managed cluster."),
):
    _add_action_command(*_row)


@aks.command("wait")
def wait(
    resource_group: GroupOption,
    name: NameOption,
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
    """Wait until a cluster is as wanted."""
    del output, query  # nothing is printed
    client = ArmClient()
    wanted = Wanted(created, updated, deleted, exists, custom, interval, timeout)
    wait_for(client, cluster_path(client, resource_group, name), wanted)


@aks.command("delete")
def delete(
    resource_group: GroupOption,
    name: NameOption,
    yes: Annotated[bool, typer.Option("--yes", "-y")] = False,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Delete a managed cluster."""
    del output, query  # nothing is printed
    if not yes:
        typer.confirm("Are you sure you want to perform this operation?", abort=True, err=True)
    client = ArmClient()
    client.operate("DELETE", cluster_path(client, resource_group, name), wait=not no_wait)


@aks.command("get-versions")
def get_versions(
    location: Annotated[str, typer.Option("--location", "-l")],
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Which Kubernetes versions a region offers."""
    client = ArmClient()
    path = (
        f"/subscriptions/{client.subscription}/{_PROVIDER}/locations/{location}/kubernetesVersions"
    )
    result = client.get(path)
    if output is Output.TABLE and not query:
        Printer(output, query, "version")(_version_rows(result["values"]), lift=False)
        return
    Printer(output, query)(result, lift=False)


def _version_rows(minors: list[dict[str, Any]]) -> list[dict[str, str]]:
    """One row per patch, the newest first, as az shows them."""
    rows = [
        {
            "version": patch,
            "upgrades": ", ".join(sorted(found.get("upgrades") or [], key=_version_key))
            or "None available",
            "supportPlan": ", ".join(minor["capabilities"]["supportPlan"]),
        }
        for minor in minors
        for patch, found in minor["patchVersions"].items()
    ]
    return sorted(rows, key=lambda row: _version_key(row["version"]), reverse=True)


def _version_key(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@aks.command("get-upgrades")
def get_upgrades(
    resource_group: GroupOption,
    name: NameOption,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Which versions a cluster can be upgraded to."""
    client = ArmClient()
    result = client.get(f"{cluster_path(client, resource_group, name)}/upgradeProfiles/default")
    Printer(output, query, "upgrades")(result)


def _merge(path: Path, addition: dict[str, Any], *, overwrite: bool) -> None:
    """Put clusters, users and contexts into a kubeconfig file and make the context current.

    Raises:
        CliError: another object of that name is there, and ``overwrite`` was not given.
    """
    existing: dict[str, Any] = {}
    if path.exists():
        existing = yaml.safe_load(path.read_text()) or {}
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "preferences": {}, **existing}
    for section in ("clusters", "users", "contexts"):
        entries: list[dict[str, Any]] = list(merged.get(section) or [])
        for new in addition[section]:
            old = next((e for e in entries if e["name"] == new["name"]), None)
            if old is not None and old != new and not overwrite:
                raise CliError(
                    f"A different object named {new['name']} already exists in {section} in "
                    f"{path}. Use --overwrite-existing."
                )
            entries = [e for e in entries if e["name"] != new["name"]] + [new]
        merged[section] = entries
    merged["current-context"] = addition["current-context"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    path.write_text(yaml.safe_dump(merged, sort_keys=False))


@aks.command("get-credentials")
def get_credentials(
    resource_group: GroupOption,
    name: NameOption,
    admin: Annotated[bool, typer.Option("--admin", "-a")] = False,
    file: Annotated[str, typer.Option("--file", "-f", help="'-' prints to stdout.")] = "",
    overwrite_existing: Annotated[bool, typer.Option("--overwrite-existing")] = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Get a kubeconfig and merge it into KUBECONFIG (or ~/.kube/config)."""
    del output, query  # nothing is printed
    client = ArmClient()
    verb = "listClusterAdminCredential" if admin else "listClusterUserCredential"
    answer = client.send(
        "POST", f"{cluster_path(client, resource_group, name)}/{verb}", api_version=AKS_API_VERSION
    ).json()
    text = base64.b64decode(answer["kubeconfigs"][0]["value"]).decode()
    if file == "-":
        typer.echo(text, nl=False)
        return
    target = Path(file or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    config = yaml.safe_load(text)
    if admin:  # as az does it, so that the user's context stays
        name = f"{config['current-context']}-admin"
        config["contexts"][0]["name"] = config["current-context"] = name
    _merge(target, config, overwrite=overwrite_existing)
    typer.echo(f'Merged "{config["current-context"]}" as current context in {target}', err=True)


@machine.command("list")
def list_machines(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    nodepool_name: Annotated[str, typer.Option("--nodepool-name")],
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """List the machines of a node pool."""
    client = ArmClient()
    path = pool_path(client, resource_group, cluster_name, nodepool_name)
    Printer(output, query, "machine")(client.pages(f"{path}/machines"))


@machine.command("show")
def show_machine(
    resource_group: GroupOption,
    cluster_name: ClusterOption,
    nodepool_name: Annotated[str, typer.Option("--nodepool-name")],
    machine_name: Annotated[str, typer.Option("--machine-name")],
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Show a machine of a node pool."""
    client = ArmClient()
    path = pool_path(client, resource_group, cluster_name, nodepool_name)
    Printer(output, query, "machine")(client.get(f"{path}/machines/{machine_name}"))
