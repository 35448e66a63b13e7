"""How long to wait after failures: exponential, bounded, with jitter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import ClassVar

from poolwright.model.bounds import Bounds, check_bounds


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of real time. The n-th failure in a row waits ``first * factor**(n-1)``, at most
    ``most``; up to half of it is taken away at random so that replicas do not march in step.
    """

    first: timedelta = timedelta(milliseconds=200)
    """1 ms to 1 min."""
    factor: float = 2.0
    """1 to 10."""
    most: timedelta = timedelta(seconds=30)
    """1 ms to 1 h."""

    BOUNDS: ClassVar[Bounds] = {"first": (0.001, 60), "factor": (1, 10), "most": (0.001, 3_600)}

    def __post_init__(self) -> None:
        check_bounds(self, self.BOUNDS)

    def delay(self, failures: int, rng: Random) -> timedelta:
        """The wait after ``failures`` failures in a row (at least 1)."""
        # The exponent is bounded so that a key that failed for a year does not overflow a float.
        grown = self.first.total_seconds() * self.factor ** min(failures - 1, 64)
        whole = min(grown, self.most.total_seconds())
        return timedelta(seconds=whole * (1 - rng.random() / 2))
