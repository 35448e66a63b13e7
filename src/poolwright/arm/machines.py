"""``agentPools/machines``: the machines of a pool, as the provider has them.

Source: facts aks-api §2.2.
"""

from __future__ import annotations

from typing import Any

from poolwright.arm.agent_pools import POOL
from poolwright.arm.agent_pools_read import Cluster, get_cluster, get_pool, pool_id
from poolwright.arm.api_versions import since
from poolwright.arm.context import ArmContext
from poolwright.arm.errors import ENTITY_NOT_FOUND, KnownError
from poolwright.arm.properties.agent_pool import Pool
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.model.errors import InvalidRequest
from poolwright.model.machine import Machine, MachinePhase

MACHINE_TYPE = "Microsoft.ContainerService/managedClusters/agentPools/machines"

NO_MACHINES_MODE = KnownError(
    "BadRequest",
    InvalidRequest,
    "Machines can only be created or updated in agent pools of mode 'Machines'; agent pool {pool} "
    "has the mode '{mode}'. Change its count instead.",
)

_VM_STATE = {MachinePhase.DELETING: "Deleting"}


def resource_id(cluster: Cluster, machine: Machine) -> str:
    """The ARM id of the VM: an instance of the pool's scale set, or a VM of its own."""
    spec = cluster.spec
    base = (
        f"/subscriptions/{spec.subscription}/resourceGroups/{spec.node_resource_group}"
        "/providers/Microsoft.Compute"
    )
    scale_set, mark, index = machine.name.rpartition("-vmss")
    if not mark:
        return f"{base}/virtualMachines/{machine.name}"
    try:
        number = int(index, 36)
    except ValueError:
        number = 0
    instance = machine.instance_id if machine.instance_id.isdigit() else str(number)
    return f"{base}/virtualMachineScaleSets/{scale_set}-vmss/virtualMachines/{instance}"


def wire_machine(cluster: Cluster, pool: Pool, machine: Machine, version: str) -> dict[str, Any]:
    """The wire form; previews say more than released versions."""
    addresses = [{"family": "IPv4", "ip": machine.private_ip}] if machine.private_ip else []
    properties: dict[str, Any] = {
        "network": {"ipAddresses": addresses},
        "resourceId": resource_id(cluster, machine),
    }
    if version.endswith("-preview") and version >= "2025-04-02-preview":
        properties |= _details(pool, machine)
    body: dict[str, Any] = {
        "id": f"{pool_id(cluster, pool.spec.name)}/machines/{machine.name}",
        "name": machine.name,
        "type": MACHINE_TYPE,
        "properties": properties,
    }
    if machine.zone:
        body["zones"] = [machine.zone]
    return body


def _details(pool: Pool, machine: Machine) -> dict[str, Any]:
    spec, bootstrap = pool.spec, machine.bootstrap
    details: dict[str, Any] = {
        "hardware": {"vmSize": machine.vm_size},
        "operatingSystem": {
            "osType": spec.os_type,
            "osSKU": bootstrap.os_sku,
            "osDiskSizeGB": bootstrap.os_disk_size_gb,
            "osDiskType": spec.os_disk_type,
        },
        "kubernetes": {
            "nodeLabels": dict(spec.node_labels),
            "orchestratorVersion": bootstrap.kubernetes_version,
            "currentOrchestratorVersion": bootstrap.kubernetes_version,
            "nodeTaints": [str(taint) for taint in bootstrap.taints],
            "maxPods": bootstrap.max_pods,
            "nodeName": machine.name,
        },
        "mode": spec.mode.value,
        "priority": "Spot" if machine.spot else "Regular",
        "nodeImageVersion": bootstrap.node_image_version,
        "provisioningState": _provisioning_state(machine),
        "status": {"vmState": _VM_STATE.get(machine.phase, "Running")},
    }
    if machine.failure is not None:
        details["status"]["provisioningError"] = {
            "code": machine.failure.code,
            "message": machine.failure.message,
        }
    return details


def _provisioning_state(machine: Machine) -> str:
    match machine.phase:
        case MachinePhase.CREATING | MachinePhase.BOOTSTRAPPING:
            return "Creating"
        case MachinePhase.FAILED:
            return "Failed"
        case MachinePhase.DELETING:
            return "Deleting"
        case MachinePhase.RUNNING | MachinePhase.STOPPED:
            return "Succeeded"


async def list_machines(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET the machines of a pool."""
    pool = await get_pool(context, request)
    cluster = await get_cluster(context, request)
    machines = await context.machine_provider.list_machines(request.cluster_key, pool.spec.name)
    return listing(
        [wire_machine(cluster, pool, machine, request.api_version) for machine in machines]
    )


async def get_machine(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET one machine."""
    pool = await get_pool(context, request)
    cluster = await get_cluster(context, request)
    wanted = request.names["machine"].lower()
    machines = await context.machine_provider.list_machines(request.cluster_key, pool.spec.name)
    for machine in machines:
        if machine.name.lower() == wanted:
            return ArmResponse(200, wire_machine(cluster, pool, machine, request.api_version))
    raise ENTITY_NOT_FOUND()


async def put_machine(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PUT one machine (previews): only pools of mode Machines take it, and there are none.

    Raises:
        InvalidRequest: always, with the pool's mode.
    """
    request.json_object()
    pool = await get_pool(context, request)
    raise NO_MACHINES_MODE(pool=pool.spec.name, mode=pool.spec.mode.value)


_VERSIONS = since("2023-07-02-preview", "2024-07-01")

ROUTES: tuple[Route, ...] = (
    Route("GET", f"{POOL}/machines", list_machines, _VERSIONS),
    Route("GET", f"{POOL}/machines/{{machine}}", get_machine, _VERSIONS, parents_first=False),
    Route("PUT", f"{POOL}/machines/{{machine}}", put_machine, since("2026-01-02-preview")),
)
