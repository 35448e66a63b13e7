"""Names of machines, as AKS gives them to the instances of a scale set and to single VMs.

Source: facts gathered from AKS nodes: ``aks-<pool>-<8 digits>-vmss<6 base-36>``, Windows
``aks<pool><6 base-36>``, pools of type VirtualMachines ``aks-<pool>-<8 digits>-vm<number>``; the
digits are stable for a cluster and the number is never used twice.
"""

from __future__ import annotations

import hashlib
import re

from poolwright.model.cluster_key import ClusterKey

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_WIDTH = 6
_SINGLE = re.compile(r"-vm(\d+)$")


def vmss_number(cluster: ClusterKey) -> str:
    """The eight digits that all machines of a cluster carry."""
    digest = hashlib.sha256(str(cluster).encode()).digest()
    return str(10_000_000 + int.from_bytes(digest[:8], "big") % 90_000_000)


def machine_name(
    pool: str, number: str, index: int, *, os_type: str = "Linux", is_single: bool = False
) -> str:
    """The name of a pool's machine with this index; ``is_single``: a VM without a scale set."""
    if is_single:
        return f"aks-{pool}-{number}-vm{index}"
    digits = ""
    while index or not digits:
        index, rest = divmod(index, 36)
        digits = _DIGITS[rest] + digits
    suffix = digits.rjust(_WIDTH, "0")
    return f"aks{pool}{suffix}" if os_type == "Windows" else f"aks-{pool}-{number}-vmss{suffix}"


def machine_index(name: str) -> int:
    """The inverse of `machine_name`; -1 for a name that is not ours."""
    single = _SINGLE.search(name)
    if single is not None:
        return int(single[1])
    try:
        return int(name[-_WIDTH:], 36)
    except ValueError:
        return -1
