"""What ``nvidia-smi`` prints on a simulated node: the table, ``-L``, queries and MIG lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from poolwright.model.catalog import VmSize
from poolwright.model.gpu import MigProfile
from poolwright.providers.simulated.gpu import (
    IDLE,
    MIG_PROFILE_IDS,
    Gpu,
    Load,
    readings,
    total_load,
)

# CUDA version of a driver branch. Source: facts gpu-stack §10.
_CUDA: Mapping[str, str] = {"470": "11.4", "550": "12.4", "570": "12.8", "580": "13.0"}
_CUDA_NEWEST = "13.1"

NO_DEVICES = "No devices were found\n"


@dataclass(frozen=True, slots=True)
class Sight:
    """What the tool sees: the node's GPUs, or those that a container holds, under their load."""

    gpus: Sequence[Gpu]
    by_device: Mapping[int, Load]
    driver: str
    size: VmSize
    mig_profile: MigProfile | None
    processes: Mapping[int, str]
    """What runs on which device, by advertised device number."""


def nvidia_smi(sight: Sight, args: Sequence[str], now: datetime) -> tuple[str, int]:
    """What the tool prints for these arguments, and its exit code."""
    if not sight.gpus:
        return NO_DEVICES, 6
    if not args:
        return _table(sight, now), 0
    if args[0] in {"-L", "--list-gpus"}:
        return _list(sight), 0
    if args[0] == "mig":
        return _mig(sight, args[1:])
    options = dict(_split(arg) for arg in args)
    query = options.get("--query-gpu")
    if query is not None:
        return _query(sight, query.split(","), options.get("--format", ""), now)
    if args[0] in {"-h", "--help"}:
        return "NVIDIA System Management Interface (simulated)\n", 0
    return "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n", 1


def _split(arg: str) -> tuple[str, str]:
    key, _, value = arg.partition("=")
    return key, value


def _list(sight: Sight) -> str:
    lines: list[str] = []
    for gpu in sight.gpus:
        lines.append(f"GPU {gpu.index}: {gpu.board.product} (UUID: {gpu.uuid})")
        for number, instance in enumerate(gpu.instances):
            lines.append(f"  MIG {instance.profile:<12}Device {number:>2}: (UUID: {instance.uuid})")
    return "\n".join(lines) + "\n"


def _values(sight: Sight, gpu: Gpu) -> dict[str, float]:
    load = total_load(gpu, sight.by_device)
    return readings(gpu.board, load, gpu.board.memory_mib, 0.0)


def _fields(sight: Sight, gpu: Gpu, now: datetime) -> dict[str, tuple[str, str]]:
    """Every property that can be queried: value and unit."""
    values = _values(sight, gpu)

    def of(name: str) -> str:
        return str(int(values[f"DCGM_FI_DEV_{name}"]))

    has_mig = bool(gpu.instances)
    mode = (
        "Enabled" if has_mig else "Disabled" if sight.size.gpu and sight.size.gpu.mig else "[N/A]"
    )
    power = f"{values['DCGM_FI_DEV_POWER_USAGE']:.2f}"
    busy = ("[N/A]", "") if has_mig else (of("GPU_UTIL"), "%")
    copying = ("[N/A]", "") if has_mig else (of("MEM_COPY_UTIL"), "%")
    return {
        "index": (str(gpu.index), ""),
        "name": (gpu.board.product, ""),
        "gpu_name": (gpu.board.product, ""),
        "uuid": (gpu.uuid, ""),
        "gpu_uuid": (gpu.uuid, ""),
        "count": (str(len(sight.gpus)), ""),
        "timestamp": (now.strftime("%Y/%m/%d %H:%M:%S.000"), ""),
        "driver_version": (sight.driver, ""),
        "pci.bus_id": (gpu.pci_bus_id, ""),
        "gpu_bus_id": (gpu.pci_bus_id, ""),
        "memory.total": (str(gpu.board.memory_mib), "MiB"),
        "memory.used": (of("FB_USED"), "MiB"),
        "memory.free": (of("FB_FREE"), "MiB"),
        "memory.reserved": (of("FB_RESERVED"), "MiB"),
        "utilization.gpu": busy,
        "utilization.memory": copying,
        "temperature.gpu": (of("GPU_TEMP"), ""),
        "temperature.memory": (of("MEMORY_TEMP"), ""),
        "power.draw": (power, "W"),
        "power.limit": (f"{gpu.board.power_max:.2f}", "W"),
        "clocks.sm": (of("SM_CLOCK"), "MHz"),
        "clocks.current.sm": (of("SM_CLOCK"), "MHz"),
        "clocks.mem": (of("MEM_CLOCK"), "MHz"),
        "mig.mode.current": (mode, ""),
        "mig.mode.pending": (mode, ""),
        "pstate": ("P0" if total_load(gpu, sight.by_device).compute else "P8", ""),
        "persistence_mode": ("Enabled", ""),
        "compute_mode": ("Default", ""),
        "ecc.mode.current": ("Enabled", ""),
        "ecc.errors.uncorrected.volatile.total": ("0", ""),
        "ecc.errors.corrected.volatile.total": ("0", ""),
    }


def _query(sight: Sight, names: Sequence[str], form: str, now: datetime) -> tuple[str, int]:
    flags = [flag.strip() for flag in form.split(",")]
    if "csv" not in flags:
        return "\"--format=\" switch is missing. Please run 'nvidia-smi -h' for help.\n", 2
    names = [name.strip() for name in names]
    rows = [_fields(sight, gpu, now) for gpu in sight.gpus]
    unknown = next((name for name in names if name not in rows[0]), None)
    if unknown is not None:
        return f'Field "{unknown}" is not a valid field to query.\n\n', 2
    with_units = "nounits" not in flags
    lines: list[str] = []
    if "noheader" not in flags:
        units = [f" [{rows[0][n][1]}]" if rows[0][n][1] and with_units else "" for n in names]
        lines.append(", ".join(name + unit for name, unit in zip(names, units, strict=True)))
    for row in rows:
        cells = (f"{v} {u}" if u and with_units else v for v, u in (row[n] for n in names))
        lines.append(", ".join(cells))
    return "\n".join(lines) + "\n", 0


# ---------------------------------------------------------------------- MIG

_RULE = "+" + "-" * 77 + "+"


def _mig(sight: Sight, args: Sequence[str]) -> tuple[str, int]:
    if args and args[0] in {"-lgip", "--list-gpu-instance-profiles"}:
        return _profiles(sight), 0
    if args and args[0] in {"-lgi", "--list-gpu-instances"}:
        return _instances(sight)
    if args and args[0] in {"-cgi", "-dgi", "-cci", "-dci"}:
        return "Unable to perform the operation: Insufficient Permissions\n", 4
    return "Invalid combination of input arguments. Please run 'nvidia-smi mig -h' for help.\n", 1


def _line(text: str) -> str:
    return f"| {text:<75} |"


def _profiles(sight: Sight) -> str:
    size = sight.size
    lines = [_RULE, _line("GPU instance profiles:")]
    lines.append(_line("GPU   Name               ID    Instances   Memory     P2P    SM"))
    lines.append(_line("                               Free/Total   GiB"))
    lines.append("|" + "=" * 77 + "|")
    assert size.gpu is not None
    for gpu in sight.gpus:
        for profile, layout in size.gpu.mig.items():
            free = layout.per_gpu if not gpu.instances else 0
            memory = gpu.board.memory_mib * _SHARE[profile] / 1024
            text = (
                f"{gpu.index:>3}  MIG {layout.profile:<14}{MIG_PROFILE_IDS[profile]:>4}"
                f"{free:>6}/{layout.per_gpu:<8}{memory:>7.2f}      No"
            )
            lines += [_line(text), _RULE]
    return "\n".join(lines) + "\n"


_SHARE: Mapping[MigProfile, float] = {
    MigProfile.MIG1G: 0.12,
    MigProfile.MIG2G: 0.245,
    MigProfile.MIG3G: 0.49,
    MigProfile.MIG4G: 0.49,
    MigProfile.MIG7G: 0.985,
}


def _instances(sight: Sight) -> tuple[str, int]:
    if sight.mig_profile is None:
        return "No MIG-enabled devices found.\n", 6
    number = MIG_PROFILE_IDS[sight.mig_profile]
    head = ["GPU instances:", "GPU   Name             Profile  Instance   Placement"]
    lines = [_RULE, *(_line(text) for text in head)]
    lines.append(_line("                          ID       ID       Start:Size"))
    lines.append("|" + "=" * 77 + "|")
    width = {19: 1, 14: 2, 9: 4, 5: 4, 0: 8}[number]
    for gpu in sight.gpus:
        for place, instance in enumerate(gpu.instances):
            text = (
                f"{gpu.index:>3}  MIG {instance.profile:<14}{number:>5}{instance.instance_id:>9}"
                f"{place * width:>11}:{width}"
            )
            lines += [_line(text), _RULE]
    return "\n".join(lines) + "\n", 0


# ---------------------------------------------------------------------- the table

_OUTER = "+" + "-" * 89 + "+"
_COLUMNS = "+" + "-" * 41 + "+" + "-" * 24 + "+" + "-" * 22 + "+"
_DOUBLE = "|" + "=" * 41 + "+" + "=" * 24 + "+" + "=" * 22 + "|"


def _row(left: str, middle: str, right: str) -> str:
    return f"|{left:<41}|{middle:>23} |{right:>21} |"


def _table(sight: Sight, now: datetime) -> str:
    cuda = _CUDA.get(sight.driver.split(".")[0], _CUDA_NEWEST)
    driver = sight.driver
    head = f" NVIDIA-SMI {driver:<23}Driver Version: {driver:<15}CUDA Version: {cuda:<9}"
    lines = [
        now.strftime("%a %b %e %H:%M:%S %Y"),
        _OUTER,
        f"|{head:<89}|",
        _COLUMNS,
        _row(
            " GPU  Name                 Persistence-M",
            "Bus-Id          Disp.A",
            "Volatile Uncorr. ECC",
        ),
        _row(
            " Fan  Temp   Perf          Pwr:Usage/Cap",
            "          Memory-Usage",
            "GPU-Util  Compute M.",
        ),
        _row("", "", "MIG M."),
        _DOUBLE,
    ]
    for gpu in sight.gpus:
        lines += [*_card(sight, gpu), _COLUMNS]
    if any(gpu.instances for gpu in sight.gpus):
        lines += _mig_table(sight)
    return "\n".join([*lines, *_processes(sight)]) + "\n"


def _card(sight: Sight, gpu: Gpu) -> list[str]:
    values = _values(sight, gpu)
    load = total_load(gpu, sight.by_device)
    temperature = int(values["DCGM_FI_DEV_GPU_TEMP"])
    power = f"{int(values['DCGM_FI_DEV_POWER_USAGE'])}W / {gpu.board.power_max:>4.0f}W"
    used = f"{int(values['DCGM_FI_DEV_FB_USED'])}MiB / {gpu.board.memory_mib:>6}MiB"
    busy = "N/A" if gpu.instances else f"{int(values['DCGM_FI_DEV_GPU_UTIL'])}%"
    state = "P0" if load.compute else "P8"
    mode = "Enabled" if gpu.instances else "Disabled"
    if not (sight.size.gpu and sight.size.gpu.mig):
        mode = "N/A"
    return [
        _row(f" {gpu.index:>3}  {gpu.board.product:<31}On  ", f"{gpu.pci_bus_id} Off", "0"),
        _row(f" N/A  {temperature:>3}C    {state}  {power:>22}", used, f"{busy:>8}      Default"),
        _row("", "", mode),
    ]


_WIDE = "|" + "=" * 18 + "+" + "=" * 34 + "+" + "=" * 11 + "+" + "=" * 23 + "|"


def _mig_table(sight: Sight) -> list[str]:
    lines = [
        "",
        _OUTER,
        f"| {'MIG devices:':<88}|",
        "+" + "-" * 18 + "+" + "-" * 34 + "+" + "-" * 11 + "+" + "-" * 23 + "+",
        f"| {'GPU  GI  CI  MIG':<17}|{'Memory-Usage':>33} |{'Vol':>10} |{'Shared':>14}{'':9}|",
        f"| {'     ID  ID  Dev':<17}|{'BAR1-Usage':>33} |{'SM     Unc':>10} |"
        f"{' CE ENC  DEC  OFA  JPG':<23}|",
        _WIDE,
    ]
    for gpu in sight.gpus:
        for number, instance in enumerate(gpu.instances):
            load = sight.by_device.get(instance.device, IDLE)
            used = int(instance.memory_mib * load.memory)
            ids = f"{gpu.index:>3}{instance.instance_id:>5}{0:>4}{number:>4}"
            memory = f"{used}MiB / {instance.memory_mib}MiB"
            lines.append(f"| {ids:<17}|{memory:>33} |{'0':>10} |{'  1   0    0    0    0':<23}|")
            lines.append(_OUTER)
    return lines


def _processes(sight: Sight) -> list[str]:
    lines = [
        "",
        _OUTER,
        f"| {'Processes:':<88}|",
        f"| {' GPU   GI   CI              PID   Type   Process name':<75}{'GPU Memory':>12} |",
        f"| {'       ID   ID':<75}{'Usage     ':>12} |",
        "|" + "=" * 89 + "|",
    ]
    running = list[str]()
    for gpu in sight.gpus:
        for device, memory in _held(sight, gpu):
            name = sight.processes[device]
            ids = "N/A  N/A" if not gpu.instances else f"{device:>3}    0"
            text = f"{gpu.index:>4}   {ids}{1000 + device:>17}      C   {name[:34]:<34}"
            running.append(f"| {text:<75}{f'{memory}MiB':>12} |")
    nothing = f"| {' No running processes found':<88}|"
    return [*lines, *(running or [nothing]), _OUTER]


def _held(sight: Sight, gpu: Gpu) -> list[tuple[int, int]]:
    if not gpu.instances:
        sizes = [(gpu.device, gpu.board.memory_mib)]
    else:
        sizes = [(i.device, i.memory_mib) for i in gpu.instances]
    return [
        (device, int(memory * sight.by_device.get(device, IDLE).memory))
        for device, memory in sizes
        if device in sight.processes
    ]
