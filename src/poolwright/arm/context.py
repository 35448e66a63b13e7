"""What every ARM handler may use: the ports, and the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from poolwright.arm.settings import ArmSettings
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.kube import Clusters, ControlPlanes
from poolwright.ports.machine_provider import MachineProvider
from poolwright.ports.store import Store


@dataclass(frozen=True, slots=True)
class ArmContext:
    """The outside world of the ARM front."""

    store: Store
    machine_provider: MachineProvider
    clusters: Clusters
    control_planes: ControlPlanes
    clock: Clock
    identity: Identity
    settings: ArmSettings = field(default_factory=ArmSettings)
    answers: dict[tuple[str, str], tuple[int, Any]] = field(
        default_factory=dict[tuple[str, str], tuple[int, Any]], compare=False, repr=False
    )
    """Wire forms by uid and api-version, with the revision that they are of."""
