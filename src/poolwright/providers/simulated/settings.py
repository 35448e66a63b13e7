"""What can be set about the simulated cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from poolwright.model.bounds import Bounds, check_bounds
from poolwright.model.scarcity import Scarcity

STEPS = ("allocate", "boot", "deallocate", "delete", "driver", "gpu-stack", "kubelet", "mig",
         "reimage")  # fmt: skip
"""The steps of `stages` that may fail."""


@dataclass(frozen=True, slots=True)
class SimulatedCloudSettings:
    """All of it; the defaults are what ``poolwright up`` runs with."""

    delay_factor: float = 1.0
    """Multiplies every delay of machines and pods; 0 makes everything instant. Legal: 0-100."""
    jitter: bool = True
    """Whether delays vary from machine to machine."""
    failure_weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """Chance of failing, 0 to 1, by step (``driver``: 0.01); 0 for steps not named."""
    pod_events: bool = True
    """Whether kubelets write events about users' pods. Off in scale tests."""
    default_run_seconds: float = 30.0
    """World seconds that a container runs whose end nobody declared, in a pod that is meant to
    end (restart policy other than Always)."""
    requests_parallel: int = 16
    """How many requests to one cluster's API may be under way at once. Legal: 1-256."""
    unreachable_attempts: int = 12
    """After how many failed attempts a machine that is gone stops waiting for its cluster."""
    lease_duration: timedelta = timedelta(seconds=15)
    """3 s to 5 min; how long the nodes of a cluster belong to a server that may have died."""
    scarcity: Scarcity = field(default_factory=Scarcity)
    """What a region refuses before anybody set something else."""

    BOUNDS: ClassVar[Bounds] = {
        "delay_factor": (0, 100),
        "failure_weights": (0, 1),
        "default_run_seconds": (0, 1e9),
        "requests_parallel": (1, 256),
        "unreachable_attempts": (1, 1_000_000),
        "lease_duration": (3, 300),
    }

    def __post_init__(self) -> None:
        for step in self.failure_weights:
            if step not in STEPS:
                raise ValueError(f"failure_weights: no step {step!r}; there are {', '.join(STEPS)}")
        check_bounds(self, self.BOUNDS)
        check_bounds(self.scarcity, self.scarcity.BOUNDS, "scarcity.")
        for failure in self.scarcity.failures:
            check_bounds(failure, failure.BOUNDS, f"scarcity.failures.{failure.name}.")
