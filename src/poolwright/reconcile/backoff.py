"""How long to wait after failures: exponential, bounded, with jitter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of real time. The n-th failure in a row waits ``first * factor**(n-1)``, at most
    ``most``; up to half of it is taken away at random so that replicas do not march in step.
    """

    first: timedelta = timedelta(milliseconds=200)
    factor: float = 2.0
    most: timedelta = timedelta(seconds=30)

    def delay(self, failures: int, rng: Random) -> timedelta:
        """The wait after ``failures`` failures in a row (at least 1)."""
        # The exponent is bounded so that a key that failed for a year does not overflow a float.
        grown = self.first.total_seconds() * self.factor ** min(failures - 1, 64)
        whole = min(grown, self.most.total_seconds())
        return timedelta(seconds=whole * (1 - rng.random() / 2))
