"""What can be set about the simulated cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from poolwright.model.scarcity import Scarcity


@dataclass(frozen=True, slots=True)
class SimulatedCloudSettings:
    """All of it; the defaults are what ``poolwright up`` runs with."""

    delay_factor: float = 1.0
    """Multiplies every delay of machines and pods; 0 makes everything instant. Legal: 0-100."""
    jitter: bool = True
    """Whether delays vary from machine to machine."""
    failure_weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """Chance of failing by bootstrap step (``driver``: 0.01); 0 for steps not named."""
    pod_events: bool = True
    """Whether kubelets write events about users' pods. Off in scale tests."""
    default_run_seconds: float = 30.0
    """World seconds that a container runs whose end nobody declared, in a pod that is meant to
    end (restart policy other than Always)."""
    requests_parallel: int = 16
    """How many requests to one cluster's API may be under way at once. Legal: 1-256."""
    unreachable_attempts: int = 12
    """After how many failed attempts a machine that is gone stops waiting for its cluster."""
    scarcity: Scarcity = field(default_factory=Scarcity)
    """What a region refuses before anybody set something else."""
