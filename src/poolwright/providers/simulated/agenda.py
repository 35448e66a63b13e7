"""One timer for everything that falls due in world time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from poolwright.model.instant import Instant
from poolwright.ports.clock import Clock

Call = Callable[[], None]


class Agenda:
    """A heap of due calls with one sleeper, whatever their number.

    A call may be noted several times and for times that no longer hold: who is called looks at
    the state of the thing, not at why it was called.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Call]] = []
        self._count = 0
        self._woken = asyncio.Event()

    def note(self, at: Instant, call: Call) -> None:
        """Call at ``at`` (at once, if that has passed)."""
        if not self._heap or at.micros < self._heap[0][0]:
            self._woken.set()
        self._count += 1
        heapq.heappush(self._heap, (at.micros, self._count, call))

    async def run(self) -> None:
        """Make every call as it falls due, for ever."""
        while True:
            now = self._clock.now().world.micros
            while self._heap and self._heap[0][0] <= now:
                heapq.heappop(self._heap)[2]()
            self._woken.clear()
            if self._heap:
                await self._sleep(Instant(self._heap[0][0]))
            else:
                await self._woken.wait()

    async def _sleep(self, at: Instant) -> None:
        async with asyncio.TaskGroup() as group:
            sleeper = group.create_task(self._ring(at))
            await self._woken.wait()
            sleeper.cancel()

    async def _ring(self, at: Instant) -> None:
        await self._clock.sleep_until(at)
        self._woken.set()
