"""A clock on the virtual loop: world time runs at a speed, a replica's view of it may be skewed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from poolwright.model.instant import Instant, Now

EPOCH = datetime(2026, 6, 1, tzinfo=UTC)
"""Wall time when a simulated world begins."""

_MICROSECOND = timedelta(microseconds=1)


class SimClock:
    """``ports.Clock``. ``speed`` is world seconds per real second; ``skew`` is how far this
    holder's clock, wall and world, is ahead of the true one (behind, if negative).
    """

    def __init__(self, *, speed: float = 60.0, skew: timedelta = timedelta()) -> None:
        self._speed = speed
        self._skew = skew

    def _world_micros(self) -> int:
        return round(self.monotonic() * 1e6 * self._speed) + self._skew // _MICROSECOND

    def now(self) -> Now:
        """Both times; the world begins at `EPOCH` and at instant 0."""
        wall = EPOCH + timedelta(seconds=self.monotonic()) + self._skew
        return Now(Instant(self._world_micros()), wall)

    async def sleep_until(self, at: Instant) -> None:
        """Wait in virtual time until this clock shows ``at``."""
        while (missing := at.micros - self._world_micros()) > 0:  # noqa: ASYNC110 (rounding)
            # At least a microsecond: less could vanish in the loop's floating-point time.
            await asyncio.sleep(max(1e-6, missing / 1e6 / self._speed))

    async def sleep(self, duration: timedelta) -> None:
        """Wait so much virtual time."""
        await asyncio.sleep(max(0.0, duration.total_seconds()))

    def monotonic(self) -> float:
        """The loop's virtual seconds."""
        return asyncio.get_running_loop().time()
