"""When a node counts as ready: checks by install profile, in the order in which they pass.

Source: decisions §2. A condition that does not exist is unknown, and no reason to wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from poolwright.model.catalog import vm_size
from poolwright.model.gpu import InstallProfile
from poolwright.model.machine import Bootstrap, Machine, MachinePhase
from poolwright.model.node import Node
from poolwright.model.node_capacity import gpu_resources
from poolwright.model.pod import Pod
from poolwright.model.taint import Taint
from poolwright.plan.bootstrap import IMAGE_LABEL

NAME_LABEL = "app.kubernetes.io/name"
DEVICE_PLUGIN = "nvidia-device-plugin"
DCGM_EXPORTER = "nvidia-dcgm-exporter"

GPU_CONDITIONS = (
    # Polarity: False is healthy. Source: AKS "GPU health monitoring" page.
    "GPUMissing",
    "XIDErrors",
    "NVLinkStatusInactive",
    "IBLinkFlapping",
    "GPUClockThrottling",
    "UnhealthyNvidiaDevicePlugin",
    "UnhealthyNvidiaDCGMServices",
    "NVIDIAGRIDStatusInvalid",
)

READY_GRACE = timedelta(minutes=20)
"""How long after its expected boot a node may take (decisions §2)."""

_EXPECTED_BOOT: Mapping[InstallProfile, timedelta] = {
    # A CPU node takes about 2 minutes, a GPU node about 5 (field notes on AKS, 4 min 51 s).
    InstallProfile.NO_GPU: timedelta(minutes=2),
    InstallProfile.NOTHING: timedelta(minutes=3),
    InstallProfile.DRIVER_ONLY: timedelta(minutes=5),
    InstallProfile.EVERYTHING: timedelta(minutes=6),
}
_MIG_REBOOT = timedelta(minutes=3)


def ready_within(want: Bootstrap) -> timedelta:
    """How long a machine may take from being asked for to being a ready node."""
    mig = _MIG_REBOOT if want.mig_profile is not None else timedelta(0)
    return _EXPECTED_BOOT[want.install_profile] + mig + READY_GRACE


@dataclass(frozen=True, slots=True)
class Unmet:
    """The first check that a machine does not pass: a short step name, and what it waits for."""

    step: str
    message: str


def expected_gpus(want: Bootstrap, size_name: str) -> Mapping[str, int]:
    """The extended resources that a node with everything installed must offer."""
    size = vm_size(size_name)
    if size is None:
        return {}
    return gpu_resources(size, mig_profile=want.mig_profile, mig_strategy=want.mig_strategy)


@dataclass(frozen=True, slots=True)
class Candidate:
    """All that readiness looks at: a machine, its node and the pods on it, and what is wanted."""

    machine: Machine
    node: Node
    pods: Sequence[Pod]
    want: Bootstrap
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]


def _kubelet(c: Candidate) -> Unmet | None:
    if not c.node.is_ready:
        condition = c.node.conditions.get("Ready")
        reason = f": {condition.message}" if condition and condition.message else ""
        return Unmet("NodeReady", f"the kubelet is not ready{reason}")
    want = f"v{c.want.kubernetes_version}"
    if c.node.kubelet_version != want:
        return Unmet("KubeletVersion", f"the kubelet is {c.node.kubelet_version}, not {want}")
    image = c.node.labels.get(IMAGE_LABEL)
    if image != c.want.node_image_version:
        return Unmet("NodeImage", f"the image is {image}, not {c.want.node_image_version}")
    return None


def _identity(c: Candidate) -> Unmet | None:
    if not c.labels.items() <= c.node.labels.items():
        missing = (k for k, v in c.labels.items() if c.node.labels.get(k) != v)
        return Unmet("Labels", f"label {next(missing)} is not set yet")
    for taint in c.taints:
        if taint not in c.node.taints:
            return Unmet("Taints", f"taint {taint} is not set yet")
    return None


def _component(c: Candidate, name: str, step: str) -> Unmet | None:
    for pod in c.pods:
        if pod.is_ready and not pod.deleting and pod.labels.get(NAME_LABEL) == name:
            return None
    return Unmet(step, f"no ready {name} pod on the node")


def _device_plugin(c: Candidate) -> Unmet | None:
    return _component(c, DEVICE_PLUGIN, "DevicePlugin")


def _allocatable(c: Candidate) -> Unmet | None:
    for resource, amount in expected_gpus(c.want, c.machine.vm_size).items():
        have = c.node.allocatable.get(resource, 0)
        if have != amount:
            return Unmet("GpuAllocatable", f"{have} of {amount} {resource} are allocatable")
    return None


def _exporter(c: Candidate) -> Unmet | None:
    return _component(c, DCGM_EXPORTER, "DcgmExporter")


def _health(c: Candidate) -> Unmet | None:
    for name in GPU_CONDITIONS:
        condition = c.node.conditions.get(name)
        if condition is not None and condition.status == "True":
            return Unmet("GpuHealth", f"{name}: {condition.message or condition.reason}")
    return None


Check = Callable[[Candidate], Unmet | None]

CHECKS: Mapping[InstallProfile, tuple[Check, ...]] = {
    # "Driver loaded" is the bootstrap having ended well: the machine's phase says so.
    InstallProfile.NO_GPU: (_kubelet, _identity),
    InstallProfile.NOTHING: (_kubelet, _identity),
    InstallProfile.DRIVER_ONLY: (_kubelet, _identity),
    InstallProfile.EVERYTHING: (
        _kubelet,
        _identity,
        _device_plugin,
        _allocatable,
        _exporter,
        _health,
    ),
}


def unmet_machine(machine: Machine, node: Node | None) -> Unmet | None:
    """What a machine lacks before its node is worth looking at."""
    match machine.phase:
        case MachinePhase.RUNNING:
            if node is None or node.deleting:
                return Unmet("Registration", "the node has not registered yet")
            return None
        case MachinePhase.FAILED:
            failure = machine.failure
            return Unmet(machine.step or "Failed", failure.message if failure else "it failed")
        case MachinePhase.BOOTSTRAPPING:
            return Unmet(machine.step or "Bootstrap", "the node bootstraps")
        case MachinePhase.CREATING:
            return Unmet(machine.step or "Allocation", "the machine is being created")
        case MachinePhase.STOPPED:
            return Unmet("Stopped", "the machine is deallocated")
        case MachinePhase.DELETING:
            return Unmet("Deleting", "the machine is being deleted")


def unmet_check(candidate: Candidate) -> Unmet | None:
    """The first check of the install profile that the node does not pass, or None."""
    for check in CHECKS[candidate.want.install_profile]:
        unmet = check(candidate)
        if unmet is not None:
            return unmet
    return None
