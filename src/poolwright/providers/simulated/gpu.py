"""The GPUs of a simulated node: what they are, how busy they are, and how exporters say so.

Sources: facts gpu-stack §2 (MIG), §4 (DCGM exporter), data/dcgm_default_metrics.json and
data/mig_profiles.json. Clocks, power and temperatures per model are data sheet values; the load
is made up from the pods that hold a GPU, as a pure function of pod and world time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from poolwright.model.catalog import MigLayout, VmSize
from poolwright.model.gpu import MigProfile
from poolwright.model.instant import Instant
from poolwright.model.node_capacity import has_driver
from poolwright.providers.simulated.node_object import NodeState
from poolwright.providers.simulated.pod_run import PodRun
from poolwright.providers.simulated.workload import GPU_UTILIZATION, declared_number


@dataclass(frozen=True, slots=True)
class Board:
    """A card as its driver describes it. ``missing`` are metrics that its exporter lacks."""

    product: str
    memory_mib: int
    power_idle: float
    power_max: float
    sm_clock: int
    memory_clock: int
    pci_device: str
    missing: frozenset[str] = frozenset()


_DEV, _PROF = "DCGM_FI_DEV_", "DCGM_FI_PROF_"
_ROWS = frozenset(
    _DEV + name
    for name in (
        "UNCORRECTABLE_REMAPPED_ROWS",
        "CORRECTABLE_REMAPPED_ROWS",
        "ROW_REMAP_FAILURE",
    )
)
_NO_LINK = frozenset({_DEV + "NVLINK_BANDWIDTH_TOTAL"})
_NO_LICENCE = frozenset({_DEV + "VGPU_LICENSE_STATUS"})
_VIRTUAL = frozenset(
    [_DEV + n for n in ("MEMORY_TEMP", "GPU_TEMP", "POWER_USAGE", "PCIE_REPLAY_COUNTER")]
    + [_DEV + "TOTAL_ENERGY_CONSUMPTION"]
    + [_PROF + n for n in ("GR_ENGINE_ACTIVE", "PIPE_TENSOR_ACTIVE", "DRAM_ACTIVE")]
    + [_PROF + n for n in ("PCIE_TX_BYTES", "PCIE_RX_BYTES")]
)

# Series per model as seen on AKS: T4 20, A10 vGPU 11, A100 23, H100 24 (gpu-stack §4); which
# of them are absent is assumed, but for the vGPU.
_BOARDS: Mapping[str, Board] = {
    "NVIDIA A100 80GB PCIe": Board(
        "NVIDIA A100 80GB PCIe", 81920, 44, 300, 1410, 1512, "20B5", _NO_LINK | _NO_LICENCE
    ),
    "NVIDIA A100 80GB SXM4": Board(
        "NVIDIA A100-SXM4-80GB", 81920, 62, 400, 1410, 1593, "20B2", _NO_LICENCE
    ),
    "NVIDIA A100 40GB SXM4": Board(
        "NVIDIA A100-SXM4-40GB", 40960, 55, 400, 1410, 1215, "20B0", _NO_LICENCE
    ),
    "NVIDIA H100 NVL 94GB": Board(
        "NVIDIA H100 NVL", 95830, 62, 400, 1785, 2619, "2321", _NO_LICENCE
    ),
    "NVIDIA H100 80GB SXM5": Board(
        "NVIDIA H100 80GB HBM3", 81559, 70, 700, 1980, 2619, "2330", _NO_LICENCE
    ),
    "NVIDIA H200 141GB SXM": Board("NVIDIA H200", 143771, 76, 700, 1980, 3201, "2335", _NO_LICENCE),
    "NVIDIA T4": Board(
        "Tesla T4", 15360, 9, 70, 1590, 5001, "1EB8", _NO_LINK | _NO_LICENCE | _ROWS
    ),
    "NVIDIA V100 16GB": Board(
        "Tesla V100-PCIE-16GB", 16384, 24, 250, 1380, 877, "1DB4", _NO_LINK | _NO_LICENCE | _ROWS
    ),
    "NVIDIA A10": Board(
        "NVIDIA A10-24Q", 24512, 15, 150, 1695, 6251, "2236", _NO_LINK | _ROWS | _VIRTUAL
    ),
}


def board(size: VmSize) -> Board:
    """The card of a size; one that the table lacks is described by the catalogue alone."""
    assert size.gpu is not None
    known = _BOARDS.get(size.gpu.model)
    if known is None:
        return Board(size.gpu.model, size.gpu.memory_mib, 30, 300, 1500, 1215, "0000")
    if known.missing >= _VIRTUAL:
        product = f"{size.gpu.model}-{size.gpu.memory_mib // 1024}Q"
        return Board(product, size.gpu.memory_mib, 0, 0, 1695, 6251, "2236", known.missing)
    return known


# Usable memory of an instance in MiB (gpu-stack §2.2); else the share of the board.
_INSTANCE_MEMORY: Mapping[str, int] = {
    "1g.5gb": 4864, "2g.10gb": 9856, "3g.20gb": 19968, "4g.20gb": 19968, "7g.40gb": 40192,
    "1g.10gb": 9728, "2g.20gb": 19968, "3g.40gb": 40192, "4g.40gb": 40192, "7g.80gb": 80896,
    "1g.12gb": 11008, "2g.24gb": 22144, "3g.47gb": 47488, "4g.47gb": 47488, "7g.94gb": 95360,
    "1g.18gb": 16384, "2g.35gb": 33280, "3g.71gb": 71168, "4g.71gb": 71168, "7g.141gb": 143360,
}  # fmt: skip

# First GPU instance id and the ids after it, as the driver counts them for equal instances;
# profile ids: gpu-stack §2.1. Instance ids are assumed from listings of A100 and H100.
MIG_PROFILE_IDS: Mapping[MigProfile, int] = {
    MigProfile.MIG1G: 19,
    MigProfile.MIG2G: 14,
    MigProfile.MIG3G: 9,
    MigProfile.MIG4G: 5,
    MigProfile.MIG7G: 0,
}
_FIRST_INSTANCE: Mapping[MigProfile, int] = {
    MigProfile.MIG1G: 7,
    MigProfile.MIG2G: 3,
    MigProfile.MIG3G: 1,
    MigProfile.MIG4G: 1,
    MigProfile.MIG7G: 0,
}


@dataclass(frozen=True, slots=True)
class Instance:
    """A MIG instance; ``device`` is its number among what the node advertises."""

    profile: str
    instance_id: int
    uuid: str
    memory_mib: int
    device: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU of a node. ``device`` as for `Instance`, -1 if only instances are advertised."""

    index: int
    uuid: str
    pci_bus_id: str
    board: Board
    device: int
    instances: tuple[Instance, ...] = ()


def _uuid(prefix: str, *parts: object) -> str:
    text = hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
    return f"{prefix}-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def mig_layout(state: NodeState) -> MigLayout | None:
    """The layout that the node's bootstrap made, if it made one."""
    profile = state.machine.bootstrap.mig_profile
    if profile is None or state.size.gpu is None:
        return None
    return state.size.gpu.mig.get(profile)


def gpus(state: NodeState) -> list[Gpu]:
    """The NVIDIA GPUs that the node's driver sees; none without a driver."""
    bootstrap, size = state.machine.bootstrap, state.size
    if not size.is_nvidia or not has_driver(bootstrap.install_profile):
        return []
    assert size.gpu is not None
    layout, card = mig_layout(state), board(size)
    found: list[Gpu] = []
    for index in range(size.gpu.count):
        uuid = _uuid("GPU", state.machine.instance_id, state.machine.name, index)
        instances: tuple[Instance, ...] = ()
        if layout is not None and bootstrap.mig_profile is not None:
            first = _FIRST_INSTANCE[bootstrap.mig_profile]
            instances = tuple(
                Instance(
                    layout.profile,
                    first + n,
                    _uuid("MIG", uuid, n),
                    _INSTANCE_MEMORY.get(layout.profile, card.memory_mib // layout.per_gpu),
                    index * layout.per_gpu + n,
                )
                for n in range(layout.per_gpu)
            )
        bus = f"{index + 1:08X}:00:00.0"
        found.append(Gpu(index, uuid, bus, card, -1 if instances else index, instances))
    return found


# ---------------------------------------------------------------------- load


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a GPU or instance is: shares between 0 and 1."""

    compute: float = 0.0
    memory_bandwidth: float = 0.0
    memory: float = 0.0


IDLE = Load()


def load_of(pod: PodRun | None, world: Instant) -> Load:
    """The load that a pod puts on what it holds: warm-up, then a plateau that breathes."""
    if pod is None or pod.phase != "Running":
        return IDLE
    started = [c.world_started for c in pod.containers if c.world_started is not None]
    if not started:
        return IDLE
    digest = hashlib.sha256(pod.uid.encode()).digest()
    seconds = world.since(min(started, key=lambda at: at.micros)).total_seconds()
    declared = declared_number(pod.annotations.get(GPU_UTILIZATION))
    if declared is not None:
        level, swing = min(100.0, declared) / 100, 0.0
    else:
        level, swing = 0.78 + digest[0] / 256 * 0.17, 0.04
    wave = swing * math.sin(seconds / 17 + digest[1])
    compute = max(0.0, min(1.0, (level + wave) * min(1.0, (seconds + 1) / 6)))
    memory = (0.35 + digest[2] / 256 * 0.5) * min(1.0, (seconds + 2) / 10)
    return Load(compute, compute * (0.35 + digest[3] / 256 * 0.3), memory)


def loads(state: NodeState, pods: Iterable[PodRun], world: Instant) -> dict[int, Load]:
    """The load by advertised device number; devices that nobody holds are not in it."""
    by_uid = {pod.uid: pod for pod in pods}
    return {n: load_of(by_uid.get(uid), world) for n, uid in state.devices.items()}


def total_load(gpu: Gpu, by_device: Mapping[int, Load]) -> Load:
    """The load of a whole card, from its own device or its instances."""
    if not gpu.instances:
        return by_device.get(gpu.device, IDLE)
    parts = [by_device.get(instance.device, IDLE) for instance in gpu.instances]
    share = 1 / len(parts)
    return Load(
        sum(p.compute for p in parts) * share,
        sum(p.memory_bandwidth for p in parts) * share,
        sum(p.memory for p in parts) * share,
    )


# ---------------------------------------------------------------------- DCGM exporter


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the exporter's counters file."""

    name: str
    type: str
    help: str
    per_instance: bool = True


# Source: data/dcgm_default_metrics.json; help texts are those of the exporter's default file.
METRICS: tuple[Metric, ...] = (
    Metric(_DEV + "SM_CLOCK", "gauge", "SM clock frequency (in MHz)."),
    Metric(_DEV + "MEM_CLOCK", "gauge", "Memory clock frequency (in MHz)."),
    Metric(_DEV + "MEMORY_TEMP", "gauge", "Memory temperature (in C)."),
    Metric(_DEV + "GPU_TEMP", "gauge", "GPU temperature (in C)."),
    Metric(_DEV + "POWER_USAGE", "gauge", "Power draw (in W)."),
    Metric(
        _DEV + "TOTAL_ENERGY_CONSUMPTION",
        "counter",
        "Total energy consumption since boot (in mJ).",
    ),
    Metric(_DEV + "PCIE_REPLAY_COUNTER", "counter", "Total number of PCIe retries."),
    Metric(_DEV + "GPU_UTIL", "gauge", "GPU utilization (in %).", per_instance=False),
    Metric(_DEV + "MEM_COPY_UTIL", "gauge", "Memory utilization (in %).", per_instance=False),
    Metric(_DEV + "ENC_UTIL", "gauge", "Encoder utilization (in %).", per_instance=False),
    Metric(_DEV + "DEC_UTIL", "gauge", "Decoder utilization (in %).", per_instance=False),
    Metric(_DEV + "XID_ERRORS", "gauge", "Value of the last XID error encountered."),
    Metric(_DEV + "FB_FREE", "gauge", "Framebuffer memory free (in MiB)."),
    Metric(_DEV + "FB_USED", "gauge", "Framebuffer memory used (in MiB)."),
    Metric(_DEV + "FB_RESERVED", "gauge", "Framebuffer memory reserved (in MiB)."),
    Metric(
        _DEV + "NVLINK_BANDWIDTH_TOTAL",
        "counter",
        "Total number of NVLink bandwidth counters for all lanes.",
    ),
    Metric(_DEV + "VGPU_LICENSE_STATUS", "gauge", "vGPU License status"),
    Metric(
        _DEV + "UNCORRECTABLE_REMAPPED_ROWS",
        "counter",
        "Number of remapped rows for uncorrectable errors",
    ),
    Metric(
        _DEV + "CORRECTABLE_REMAPPED_ROWS",
        "counter",
        "Number of remapped rows for correctable errors",
    ),
    Metric(_DEV + "ROW_REMAP_FAILURE", "gauge", "Whether remapping of rows has failed"),
    Metric(_PROF + "GR_ENGINE_ACTIVE", "gauge", "Ratio of time the graphics engine is active."),
    Metric(
        _PROF + "PIPE_TENSOR_ACTIVE", "gauge", "Ratio of cycles the tensor (HMMA) pipe is active."
    ),
    Metric(
        _PROF + "DRAM_ACTIVE",
        "gauge",
        "Ratio of cycles the device memory interface is active sending or receiving data.",
    ),
    Metric(
        _PROF + "PCIE_TX_BYTES",
        "gauge",
        "The rate of data transmitted over the PCIe bus - including both protocol headers and "
        "data payloads - in bytes per second.",
    ),
    Metric(
        _PROF + "PCIE_RX_BYTES",
        "gauge",
        "The rate of data received over the PCIe bus - including both protocol headers and data "
        "payloads - in bytes per second.",
    ),
)

_RESERVED_MIB = 640  # assumed: what the driver keeps of the frame buffer


def readings(card: Board, load: Load, memory_mib: int, uptime: float) -> dict[str, float]:
    """Every metric of a card or instance under a load, by name."""
    power = card.power_idle + (card.power_max - card.power_idle) * 0.92 * load.compute
    average = card.power_idle + (power - card.power_idle) * 0.5
    busy = load.compute > 0
    reserved = min(_RESERVED_MIB, memory_mib // 20)
    used = int((memory_mib - reserved) * load.memory)
    values = {
        "SM_CLOCK": card.sm_clock if busy else card.sm_clock // 6,
        "MEM_CLOCK": card.memory_clock,
        "MEMORY_TEMP": round(36 + 36 * load.memory_bandwidth),
        "GPU_TEMP": round(31 + 38 * load.compute),
        "POWER_USAGE": round(power, 3),
        "TOTAL_ENERGY_CONSUMPTION": int(average * uptime * 1000),
        "PCIE_REPLAY_COUNTER": 0,
        "GPU_UTIL": round(100 * load.compute),
        "MEM_COPY_UTIL": round(100 * load.memory_bandwidth),
        "ENC_UTIL": 0,
        "DEC_UTIL": 0,
        "XID_ERRORS": 0,
        "FB_FREE": memory_mib - reserved - used,
        "FB_USED": used,
        "FB_RESERVED": reserved,
        "NVLINK_BANDWIDTH_TOTAL": int(uptime * load.compute * 5e4),
        "VGPU_LICENSE_STATUS": 1 if card.missing >= _VIRTUAL else 0,
        "UNCORRECTABLE_REMAPPED_ROWS": 0,
        "CORRECTABLE_REMAPPED_ROWS": 0,
        "ROW_REMAP_FAILURE": 0,
    }
    profiling = {
        "GR_ENGINE_ACTIVE": round(load.compute, 6),
        "PIPE_TENSOR_ACTIVE": round(load.compute * 0.45, 6),
        "DRAM_ACTIVE": round(load.memory_bandwidth, 6),
        "PCIE_TX_BYTES": int(2.1e8 * load.compute),
        "PCIE_RX_BYTES": int(9.4e8 * load.compute),
    }
    return {_DEV + k: v for k, v in values.items()} | {_PROF + k: v for k, v in profiling.items()}


def driver_version(state: NodeState) -> str:
    """The driver that the node's image brings for its size."""
    gpu = state.size.gpu
    return (gpu.driver_version if gpu else None) or "580.159.04"


def exposition(state: NodeState, pods: Iterable[PodRun], world: Instant) -> str:
    """What the exporter's ``/metrics`` says: one series per GPU, or per MIG instance."""
    by_device, uptime = loads(state, pods, world), max(0.0, world.micros / 1e6)
    rows: list[tuple[str, dict[str, float], bool]] = []
    missing: frozenset[str] = frozenset()
    for gpu in gpus(state):
        missing = gpu.board.missing
        if not gpu.instances:
            load = by_device.get(gpu.device, IDLE)
            values = readings(gpu.board, load, gpu.board.memory_mib, uptime)
            rows.append((_labels(state, gpu, None), values, False))
        whole = readings(gpu.board, total_load(gpu, by_device), gpu.board.memory_mib, uptime)
        for instance in gpu.instances:
            load = by_device.get(instance.device, IDLE)
            own = readings(gpu.board, load, instance.memory_mib, uptime)
            values = {n: own[n] if _is_own(n) else whole[n] for n in whole}
            rows.append((_labels(state, gpu, instance), values, True))
    return "".join(_lines(rows, missing))


def _is_own(name: str) -> bool:
    return name.startswith((_PROF, _DEV + "FB_"))


def _lines(
    rows: Sequence[tuple[str, dict[str, float], bool]], missing: frozenset[str]
) -> Iterator[str]:
    for metric in METRICS:
        if metric.name in missing:
            continue
        shown = [row for row in rows if metric.per_instance or not row[2]]
        if not shown:
            continue
        yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.type}\n"
        extra = ',err_code="0",err_msg="No Error"' if metric.name.endswith("XID_ERRORS") else ""
        for labels, values, _ in shown:
            yield f"{metric.name}{{{labels}{extra}}} {_number(values[metric.name])}\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6f}"


def _labels(state: NodeState, gpu: Gpu, instance: Instance | None) -> str:
    pairs = {
        "gpu": str(gpu.index),
        "UUID": gpu.uuid,
        "pci_bus_id": gpu.pci_bus_id,
        "device": f"nvidia{gpu.index}",
        "modelName": gpu.board.product,
    }
    if instance is not None:
        pairs |= {"GPU_I_PROFILE": instance.profile, "GPU_I_ID": str(instance.instance_id)}
    pairs |= {
        "Hostname": state.machine.name,
        "DCGM_FI_DRIVER_VERSION": driver_version(state),
    }
    return ",".join(f'{name}="{value}"' for name, value in pairs.items())
