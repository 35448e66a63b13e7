"""``poolwright aks …``: managed clusters, their credentials and machines."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from poolwright.app.cli.arm_client import AKS_API_VERSION, ArmClient, CliError
from poolwright.app.cli.nodepool import ManagedGpuOption, nodepool
from poolwright.app.cli.options import (
    ClusterOption,
    GroupOption,
    LabelsOption,
    NameOption,
    NoWaitOption,
    Output,
    OutputOption,
    Printer,
    QueryOption,
    TagsOption,
    cluster_path,
    group_path,
    pairs,
    pool_path,
    prune,
)

aks = typer.Typer(help="Manage Kubernetes clusters.", no_args_is_help=True)
aks.add_typer(nodepool, name="nodepool")
machine = typer.Typer(help="Look at the machines of a node pool.", no_args_is_help=True)
aks.add_typer(machine, name="machine")

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
    nodepool_labels: LabelsOption = None,
    tags: TagsOption = None,
    tier: Annotated[str | None, typer.Option("--tier")] = None,
    max_pods: Annotated[int | None, typer.Option("--max-pods", "-m")] = None,
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
        "nodeLabels": pairs(nodepool_labels, "--nodepool-labels"),
    }
    mode = None if managed_gpu is None else ("Managed" if managed_gpu else "Unmanaged")
    body = {
        "location": location,
        "tags": pairs(tags, "--tags"),
        "sku": tier and {"name": "Base", "tier": tier},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "kubernetesVersion": kubernetes_version,
            "dnsPrefix": f"{name[:10]}-{resource_group[:16]}",
            "agentPoolProfiles": [prune(pool)],
            "enableRBAC": True,
            "gpuProfile": mode and {"nvidia": {"managementMode": mode}},
        },
    }
    # The cluster-level default for managed GPUs is in preview versions only.
    result = client.operate(
        "PUT",
        cluster_path(client, resource_group, name),
        body=prune(body),
        api_version="2026-08-02-preview" if mode else AKS_API_VERSION,
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
    kubernetes_version: Annotated[str, typer.Option("--kubernetes-version", "-k")],
    control_plane_only: Annotated[bool, typer.Option("--control-plane-only")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y")] = False,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Upgrade a managed cluster, with its node pools unless told otherwise."""
    if not yes:
        typer.confirm(
            f"Kubernetes will be upgraded to {kubernetes_version}. Are you sure?",
            abort=True,
            err=True,
        )
    client = ArmClient()
    path = cluster_path(client, resource_group, name)
    body = client.get(path)
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
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Update a managed cluster."""
    client = ArmClient()
    path = cluster_path(client, resource_group, name)
    body = client.get(path)
    profile = pairs(cluster_autoscaler_profile, "--cluster-autoscaler-profile")
    if profile is not None:
        body["properties"]["autoScalerProfile"] = profile
    if tags is not None:
        body["tags"] = pairs(tags, "--tags")
    if tier:
        body["sku"] = {"name": "Base", "tier": tier}
    result = client.operate("PUT", path, body=body, wait=not no_wait)
    Printer(output, query, "cluster")(result)


@aks.command("stop")
def stop(resource_group: GroupOption, name: NameOption, no_wait: NoWaitOption = False) -> None:
    """Stop a managed cluster."""
    client = ArmClient()
    client.operate("POST", f"{cluster_path(client, resource_group, name)}/stop", wait=not no_wait)


@aks.command("start")
def start(resource_group: GroupOption, name: NameOption, no_wait: NoWaitOption = False) -> None:
    """Start a stopped managed cluster."""
    client = ArmClient()
    client.operate("POST", f"{cluster_path(client, resource_group, name)}/start", wait=not no_wait)


@aks.command("delete")
def delete(
    resource_group: GroupOption,
    name: NameOption,
    yes: Annotated[bool, typer.Option("--yes", "-y")] = False,
    no_wait: NoWaitOption = False,
) -> None:
    """Delete a managed cluster."""
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
        query = (
            "values[].{KubernetesVersion: version, Patches: join(', ', keys(patchVersions)), "
            "IsDefault: isDefault, SupportPlan: join(', ', capabilities.supportPlan)}"
        )
    Printer(output, query)(result, lift=False)


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
    if output is Output.TABLE and not query:
        query = (
            "{Name: name, MasterVersion: controlPlaneProfile.kubernetesVersion, Upgrades: "
            "join(', ', controlPlaneProfile.upgrades[].kubernetesVersion)}"
        )
    Printer(output, query)(result)


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
) -> None:
    """Get a kubeconfig and merge it into KUBECONFIG (or ~/.kube/config)."""
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
