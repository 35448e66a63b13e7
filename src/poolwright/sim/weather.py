"""How rough a simulated world is: which faults occur, how often, and when it is calm."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    stale: float = 0.0
    """An answer or an event of a watch was true when it was given, and arrives minutes of world
    time later: what is seen lies behind, as an informer's picture may."""
    crash: float = 0.0
    """A replica of the control plane dies, per world minute."""
    clock_step: float = 0.0
    """The wall clock is set, forward or back, per world minute."""
    pause: float = 0.0
    """The world stands still for a while of real time, per world minute."""
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
            "stale": 0.02,
            "clock_step": 0.05,
            "pause": 0.02,
        }
        drawn: dict[str, float] = {}
        for name, rate in most.items():
            is_on, share = rng.random() < 0.5, rng.random()
            drawn[name] = rate * share if is_on else 0.0
        return cls(**drawn, delay=rng.choice((0.002, 0.05, 0.5)))

    def eased(self, share: float) -> FaultRates:
        """The same kinds of faults, only that share of them."""
        return replace(
            self,
            lost=self.lost * share,
            reply_lost=self.reply_lost * share,
            stalled=self.stalled * share,
            stale=self.stale * share,
        )


CALM = FaultRates()


class Weather:
    """The rates that hold now; the world switches them."""

    def __init__(self, speed: float) -> None:
        self.rates = CALM
        self.speed = speed

    def stall_seconds(self, rng: Random) -> float:
        """A stall of 1 to 15 world minutes, at most 100 real seconds."""
        return min(rng.uniform(60, 900) / self.speed, 100.0)

    def lag_seconds(self, rng: Random) -> float:
        """How long an event is under way; now and then it, and what follows it, is stale."""
        if rng.random() < self.rates.stale:
            return self.stall_seconds(rng)
        return rng.uniform(0, self.rates.delay)
