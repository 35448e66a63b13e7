"""How rough a simulated world is: which faults occur, how often, and when it is calm."""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random


@dataclass(frozen=True, slots=True)
class FaultRates:
    """Chances per call, 0 to 1; lifetimes and delays in real (virtual) seconds."""

    lost: float = 0.0
    """Never arrives: `Transient`, or `Unknown` where the caller cannot tell."""
    reply_lost: float = 0.0
    """Applied, but the caller never hears of it: `Unknown`."""
    duplicated: float = 0.0
    """Arrives twice, the second time minutes of world time later."""
    stalled: float = 0.0
    """Arrives minutes of world time later."""
    refused: float = 0.0
    """A machine is refused for want of capacity."""
    cut: float = 0.0
    """A stream (watch, change feed) ends within a few minutes."""
    expired: float = 0.0
    """A watch is told that its revision is too old."""
    crash: float = 0.0
    """A replica of the control plane dies, per world minute."""
    delay: float = 0.002
    """The longest ordinary delay. Never 0: delays are what explores interleavings."""

    @classmethod
    def draw(cls, rng: Random) -> FaultRates:
        """Rates for one seed: each class is off in half of the seeds (swarm testing)."""
        most = {
            "lost": 0.1,
            "reply_lost": 0.1,
            "duplicated": 0.1,
            "stalled": 0.02,
            "refused": 0.1,
            "cut": 0.5,
            "expired": 0.2,
            "crash": 0.05,
        }
        drawn: dict[str, float] = {}
        for field in fields(cls):
            if field.name in most:
                is_on, share = rng.random() < 0.5, rng.random()
                drawn[field.name] = most[field.name] * share if is_on else 0.0
        return cls(**drawn, delay=rng.choice((0.002, 0.05, 0.5)))


CALM = FaultRates()


class Weather:
    """The rates that hold now; the world switches them."""

    def __init__(self, speed: float) -> None:
        self.rates = CALM
        self.speed = speed

    def stall_seconds(self, rng: Random) -> float:
        """A stall of 1 to 15 world minutes, at most 100 real seconds."""
        return min(rng.uniform(60, 900) / self.speed, 100.0)
