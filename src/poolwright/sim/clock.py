"""A clock on the virtual loop: world time runs at a speed, a replica's view of it may be skewed.

What the whole world shares is `WorldTime`: its wall clock can be set, its world can stand still.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from poolwright.model.instant import Instant, Now

EPOCH = datetime(2026, 6, 1, tzinfo=UTC)
"""Wall time when a simulated world begins."""

_MICROSECOND = timedelta(microseconds=1)


class WorldTime:
    """The true times of a world. ``speed`` is world seconds per real second."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._wall_step = timedelta()
        self._stood_still = 0.0
        self._still_until = 0.0

    def step_wall(self, by: timedelta) -> None:
        """Somebody sets the wall clock; world time does not notice."""
        self._wall_step += by

    def stand_still(self, seconds: float) -> None:
        """The world pauses for so much real time, as it does while its process is down."""
        now = asyncio.get_running_loop().time()
        until = max(self._still_until, now + seconds)
        self._stood_still += until - max(self._still_until, now)
        self._still_until = until

    @property
    def wall(self) -> datetime:
        """Wall time."""
        seconds = asyncio.get_running_loop().time()
        return EPOCH + timedelta(seconds=seconds) + self._wall_step

    @property
    def world_micros(self) -> int:
        """World time; it begins at 0 and never goes back."""
        now = max(asyncio.get_running_loop().time(), self._still_until)
        return round((now - self._stood_still) * 1e6 * self.speed)


class SimClock:
    """``ports.Clock``. ``skew`` is how far this holder's clock, wall and world, is ahead of the
    true one (behind, if negative).
    """

    def __init__(
        self,
        *,
        speed: float = 60.0,
        skew: timedelta = timedelta(),
        time: WorldTime | None = None,
    ) -> None:
        self._time = time or WorldTime(speed)
        self._skew = skew

    def _world_micros(self) -> int:
        return self._time.world_micros + self._skew // _MICROSECOND

    def now(self) -> Now:
        """Both times; the world begins at `EPOCH` and at instant 0."""
        return Now(Instant(self._world_micros()), self._time.wall + self._skew)

    async def sleep_until(self, at: Instant) -> None:
        """Wait in virtual time until this clock shows ``at``."""
        while (missing := at.micros - self._world_micros()) > 0:  # noqa: ASYNC110 (rounding, pauses)
            # At least a microsecond: less could vanish in the loop's floating-point time.
            await asyncio.sleep(max(1e-6, missing / 1e6 / self._time.speed))

    async def sleep(self, duration: timedelta) -> None:
        """Wait so much virtual time."""
        await asyncio.sleep(max(0.0, duration.total_seconds()))

    def monotonic(self) -> float:
        """The loop's virtual seconds."""
        return asyncio.get_running_loop().time()
