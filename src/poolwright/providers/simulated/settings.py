"""What can be set about the simulated cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

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

    def __post_init__(self) -> None:
        for step, chance in self.failure_weights.items():
            if step not in STEPS:
                raise ValueError(f"failure_weights: no step {step!r}; there are {', '.join(STEPS)}")
            if not 0 <= chance <= 1:
                raise ValueError(f"failure_weights.{step}: must be between 0 and 1")
        scarcity = self.scarcity
        for name, limit in (("default_quota", scarcity.default_quota), *scarcity.quotas.items()):
            if limit < 0:
                raise ValueError(f"scarcity.{name}: a quota is 0 or more")
        for failure in scarcity.failures:
            if failure.every < 1 or (failure.times is not None and failure.times < 1):
                raise ValueError(
                    f"scarcity.failures {failure.name!r}: times and every are 1 or more"
                )
        for name, value, least, most in (
            ("delay_factor", self.delay_factor, 0, 100),
            ("default_run_seconds", self.default_run_seconds, 0, 1e9),
            ("lease_duration", self.lease_duration.total_seconds(), 3, 300),
            ("requests_parallel", self.requests_parallel, 1, 256),
            ("unreachable_attempts", self.unreachable_attempts, 1, 1_000_000),
        ):
            if not least <= value <= most:
                raise ValueError(f"{name}: must be between {least:g} and {most:g}")
