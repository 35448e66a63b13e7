"""What can be set about metrics; built once in ``app`` and passed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from poolwright.model.bounds import Bounds, check_bounds


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Settings of the metrics endpoint."""

    gpu_interval: timedelta = timedelta(seconds=15)
    """Real time between two rounds over the GPU nodes' exporters, 1 s to 1 h."""
    gpu_idle: timedelta = timedelta(minutes=5)
    """Real time after the last GET of ``/metrics`` until exporters are asked no more, 10 s to a
    day: figures that nobody reads cost nothing."""
    gpu_requests: int = 8
    """Exporters asked at once, 1 to 256."""

    BOUNDS: ClassVar[Bounds] = {
        "gpu_interval": (1, 3_600),
        "gpu_idle": (10, 86_400),
        "gpu_requests": (1, 256),
    }

    def __post_init__(self) -> None:
        check_bounds(self, self.BOUNDS)
