"""Leases per key: one replica at a time works on it. For economy only; nothing is safe by it."""

from __future__ import annotations

from datetime import timedelta

from poolwright.model.errors import PoolwrightError
from poolwright.ports.clock import Clock
from poolwright.ports.store import Store


class Leases:
    """What this replica holds, renewed when half of the time is over."""

    def __init__(self, store: Store, clock: Clock, *, holder: str, duration: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._holder = holder
        self._duration = duration
        self._renew_at: dict[str, float] = {}

    async def acquire(self, key: str) -> bool:
        """Whether we hold the lease now; asks the store only when ours is half over.

        Raises:
            Transient, Unknown: the store cannot say.
        """
        asked_at = self._clock.monotonic()
        if self._renew_at.get(key, asked_at) > asked_at:
            return True
        self._renew_at[key] = asked_at  # it may be ours even if we never hear so
        if await self._store.lease(key, self._holder, self._duration) is None:
            self._renew_at.pop(key, None)
            return False
        self._renew_at[key] = asked_at + self._duration.total_seconds() / 2
        return True

    async def release(self, key: str) -> None:
        """Give one back, for whoever asks next."""
        self._renew_at.pop(key, None)
        try:
            await self._store.release(key, self._holder)
        except PoolwrightError:
            return  # it runs out by itself

    async def release_all(self) -> None:
        """Give everything back that may still be ours, so that others need not wait it out."""
        held, self._renew_at = sorted(self._renew_at), {}
        for key in held:
            try:
                await self._store.release(key, self._holder)
            except PoolwrightError:
                return  # it runs out by itself
